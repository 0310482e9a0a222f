"""Why an address was classified may speak of a person: it stands in the sealed audit entry alone."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.drop_column("recipient_kind_fact", "reason")


def downgrade() -> None:
    op.add_column("recipient_kind_fact", sa.Column("reason", sa.String(), server_default=sa.text("''"), nullable=False))
