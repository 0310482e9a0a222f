"""Where a consent came from, and sources that proved defective."""

import sqlalchemy as sa
from alembic import op

from consent_service.db import tenancy

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    op.add_column("ledger_entry", sa.Column("form_id", sa.Uuid(), nullable=True))
    op.add_column("ledger_entry", sa.Column("form_version", sa.Integer(), nullable=True))
    op.add_column("ledger_entry", sa.Column("api_key_id", sa.Uuid(), nullable=True))
    op.add_column("ledger_entry", sa.Column("import_label", sa.String(), nullable=True))
    op.add_column("ledger_entry", sa.Column("age_at_least", sa.SmallInteger(), nullable=True))
    op.add_column(
        "ledger_entry", sa.Column("by_guardian", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_table(
        "revocation",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("form_id", sa.Uuid(), nullable=True),
        sa.Column("form_version", sa.Integer(), nullable=True),
        sa.Column("api_key_id", sa.Uuid(), nullable=True),
        sa.Column("import_label", sa.String(), nullable=True),
        sa.Column("recorded_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recorded_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("counted", sa.Integer(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("audit_entry_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("form_version IS NULL OR form_id IS NOT NULL", name=op.f("ck_revocation_version_of_a_form")),
        sa.ForeignKeyConstraint(
            ["controller_id", "audit_entry_id"],
            ["audit.entry.controller_id", "audit.entry.id"],
            name=op.f("fk_revocation_controller_id_audit_entry_id"),
        ),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controller.controller_id"], name=op.f("fk_revocation_controller_id")
        ),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_revocation")),
    )
    connection = op.get_bind()
    tenancy.isolate(connection, "revocation", to=app, grants="SELECT, INSERT")
    tenancy.grant(connection, "revocation", to=app, grants="UPDATE (applied_at)")


def downgrade() -> None:
    op.drop_table("revocation")
    op.drop_column("ledger_entry", "by_guardian")
    op.drop_column("ledger_entry", "age_at_least")
    op.drop_column("ledger_entry", "import_label")
    op.drop_column("ledger_entry", "api_key_id")
    op.drop_column("ledger_entry", "form_version")
    op.drop_column("ledger_entry", "form_id")
