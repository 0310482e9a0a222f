"""Two records that turned out to be one person."""

import sqlalchemy as sa
from alembic import op

from consent_service.db import tenancy

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    op.create_table(
        "subject_merge",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("duplicate_id", sa.Uuid(), nullable=False),
        sa.Column("survivor_id", sa.Uuid(), nullable=False),
        sa.Column("merged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("audit_entry_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("duplicate_id <> survivor_id", name=op.f("ck_subject_merge_two_records")),
        sa.ForeignKeyConstraint(
            ["controller_id", "duplicate_id"],
            ["subject.controller_id", "subject.id"],
            name=op.f("fk_subject_merge_controller_id_duplicate_id"),
        ),
        sa.ForeignKeyConstraint(
            ["controller_id", "survivor_id"],
            ["subject.controller_id", "subject.id"],
            name=op.f("fk_subject_merge_controller_id_survivor_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "duplicate_id", name=op.f("pk_subject_merge")),
    )
    op.create_index("ix_subject_merge_survivor_id", "subject_merge", ["controller_id", "survivor_id"], unique=False)
    connection = op.get_bind()
    tenancy.isolate(connection, "subject_merge", to=app, grants="SELECT, INSERT")
    tenancy.freeze(connection, "subject_merge")


def downgrade() -> None:
    op.drop_table("subject_merge")
