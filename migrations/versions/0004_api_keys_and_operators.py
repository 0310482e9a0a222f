"""Who may call and who works here."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from consent_service.db import tenancy

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    op.create_table(
        "api_key",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("system", sa.String(), nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("purposes", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("forms", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("environment IN ('live', 'demo')", name=op.f("ck_api_key_environment")),
        sa.ForeignKeyConstraint(["controller_id"], ["controller.controller_id"], name=op.f("fk_api_key_controller_id")),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_api_key")),
    )
    op.create_table(
        "operator",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("email_index", sa.LargeBinary(), nullable=False),
        sa.Column("email_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('admin', 'dpo', 'auditor', 'support')", name=op.f("ck_operator_role")),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controller.controller_id"], name=op.f("fk_operator_controller_id")
        ),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_operator")),
        sa.UniqueConstraint("controller_id", "email_index", name=op.f("uq_operator_controller_id_email_index")),
    )
    connection = op.get_bind()
    tenancy.isolate(connection, "api_key", to=app, grants="SELECT, INSERT, UPDATE (revoked_at)")
    tenancy.isolate(connection, "operator", to=app, grants="SELECT, INSERT, UPDATE (password_hash, disabled_at)")


def downgrade() -> None:
    op.drop_table("operator")
    op.drop_table("api_key")
