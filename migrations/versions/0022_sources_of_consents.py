"""Find the consents of a source that is recalled, in the order in which they were recorded."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_OF_SOURCES = {"form": "form_id", "api_key": "api_key_id", "import_label": "import_label"}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.create_index("ix_ledger_entry_recorded_at", "ledger_entry", ["controller_id", "recorded_at"], unique=False)
    for name, column in _OF_SOURCES.items():
        op.create_index(
            f"ix_ledger_entry_{name}",
            "ledger_entry",
            ["controller_id", column, "recorded_at"],
            unique=False,
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )
    op.create_index(
        "ix_ledger_entry_revoked",
        "ledger_entry",
        ["controller_id", "reason"],
        unique=False,
        postgresql_where=sa.text("kind = 'revoked'"),
    )


def downgrade() -> None:
    for name in ("revoked", *reversed(_OF_SOURCES), "recorded_at"):
        op.drop_index(f"ix_ledger_entry_{name}", table_name="ledger_entry")
