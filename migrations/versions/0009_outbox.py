"""What must leave after commit."""

import sqlalchemy as sa
from alembic import op

from consent_service.db import tenancy

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    worker = op.get_context().config.attributes["roles"].worker
    op.create_table(
        "outbox_message",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.CheckConstraint("state IN ('ready', 'sent', 'cancelled', 'dead')", name=op.f("ck_outbox_message_state")),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_outbox_message")),
    )
    op.create_index("ix_outbox_message_due", "outbox_message", ["state", "due_at"], unique=False)
    connection = op.get_bind()
    changes = "SELECT, INSERT, UPDATE (state, due_at, attempts, locked_until, settled_at, last_error)"
    tenancy.isolate(connection, "outbox_message", to=app, grants=changes)
    tenancy.grant(connection, "outbox_message", to=worker, grants="DELETE")
    # The worker finds what is due before it knows whose it is; everything else it does for one controller at a time.
    op.execute(f'CREATE POLICY worker_sees_all ON outbox_message TO "{worker}" USING (true)')


def downgrade() -> None:
    op.drop_table("outbox_message")
