"""Find the newest entries of a type that is rare: auditors look for these most."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.create_index("ix_entry_type", "entry", ["controller_id", "type", "id"], unique=False, schema="audit")


def downgrade() -> None:
    op.drop_index("ix_entry_type", table_name="entry", schema="audit")
