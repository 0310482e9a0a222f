"""Purposes, what people are told about them, and who else gets data."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from consent_service.db import tenancy

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    op.create_table(
        "purpose",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("legal_basis", sa.String(), nullable=False),
        sa.Column("double_opt_in", sa.Boolean(), nullable=False),
        sa.Column("special_category", sa.Boolean(), nullable=False),
        sa.Column("valid_for_months", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "NOT special_category OR legal_basis = 'explicit_consent'", name=op.f("ck_purpose_special_is_explicit")
        ),
        sa.CheckConstraint(
            "legal_basis IN ('consent', 'explicit_consent', 'contract', 'legal_obligation')",
            name=op.f("ck_purpose_legal_basis"),
        ),
        sa.CheckConstraint("NOT special_category OR double_opt_in", name=op.f("ck_purpose_special_is_confirmed")),
        sa.ForeignKeyConstraint(["controller_id"], ["controller.controller_id"], name=op.f("fk_purpose_controller_id")),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_purpose")),
        sa.UniqueConstraint("controller_id", "key", name=op.f("uq_purpose_controller_id_key")),
    )
    op.create_table(
        "recipient",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("legal_name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("country", sa.String(), nullable=False),
        sa.Column("agreement", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("role IN ('processor', 'partner')", name=op.f("ck_recipient_role")),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controller.controller_id"], name=op.f("fk_recipient_controller_id")
        ),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_recipient")),
        sa.UniqueConstraint("controller_id", "key", name=op.f("uq_recipient_controller_id_key")),
    )
    op.create_table(
        "notice_version",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("purpose_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id", "purpose_id"],
            ["purpose.controller_id", "purpose.id"],
            name=op.f("fk_notice_version_controller_id_purpose_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_notice_version")),
        sa.UniqueConstraint(
            "controller_id",
            "id",
            "purpose_id",
            "number",
            name=op.f("uq_notice_version_controller_id_id_purpose_id_number"),
        ),
        sa.UniqueConstraint(
            "controller_id", "purpose_id", "number", name=op.f("uq_notice_version_controller_id_purpose_id_number")
        ),
    )
    op.create_table(
        "notice_publication",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("notice_id", sa.Uuid(), nullable=False),
        sa.Column("purpose_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("material", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("material OR reason <> ''", name=op.f("ck_notice_publication_immaterial_has_reason")),
        sa.CheckConstraint("effective_at >= published_at", name=op.f("ck_notice_publication_not_backdated")),
        sa.ForeignKeyConstraint(
            ["controller_id", "notice_id", "purpose_id", "number"],
            ["notice_version.controller_id", "notice_version.id", "notice_version.purpose_id", "notice_version.number"],
            name=op.f("fk_notice_publication_controller_id_notice_id_purpose_id_number"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "notice_id", name=op.f("pk_notice_publication")),
    )
    connection = op.get_bind()
    tenancy.isolate(connection, "purpose", to=app, grants="SELECT, INSERT, UPDATE (retired_at)")
    tenancy.isolate(connection, "recipient", to=app, grants="SELECT, INSERT")
    tenancy.isolate(connection, "notice_version", to=app, grants="SELECT, INSERT")
    tenancy.isolate(connection, "notice_publication", to=app, grants="SELECT, INSERT")
    tenancy.freeze(connection, "notice_version")
    tenancy.freeze(connection, "notice_publication")


def downgrade() -> None:
    op.drop_table("notice_publication")
    op.drop_table("notice_version")
    op.drop_table("recipient")
    op.drop_table("purpose")
