"""Forms and their versions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from consent_service.db import tenancy

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    op.create_table(
        "form",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["controller_id"], ["controller.controller_id"], name=op.f("fk_form_controller_id")),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_form")),
        sa.UniqueConstraint("controller_id", "key", name=op.f("uq_form_controller_id_key")),
    )
    op.create_table(
        "form_version",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("form_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id", "form_id"],
            ["form.controller_id", "form.id"],
            name=op.f("fk_form_version_controller_id_form_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "form_id", "number", name=op.f("pk_form_version")),
    )
    connection = op.get_bind()
    tenancy.isolate(connection, "form", to=app, grants="SELECT, INSERT")
    tenancy.isolate(connection, "form_version", to=app, grants="SELECT, INSERT")
    tenancy.freeze(connection, "form_version")


def downgrade() -> None:
    op.drop_table("form_version")
    op.drop_table("form")
