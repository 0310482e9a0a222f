"""Contact points that were compared with the register of reservations, and what was found."""

import sqlalchemy as sa
from alembic import op

from consent_service.db import tenancy

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    op.create_table(
        "reservation_wash",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("washed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("matches", sa.Integer(), nullable=False),
        sa.Column("file_hash", sa.LargeBinary(), nullable=False),
        sa.Column("audit_entry_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("kind IN ('phone', 'post')", name=op.f("ck_reservation_wash_kind")),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controller.controller_id"], name=op.f("fk_reservation_wash_controller_id")
        ),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_reservation_wash")),
    )
    op.create_index(
        "ix_reservation_wash_washed_at", "reservation_wash", ["controller_id", "kind", "washed_at"], unique=False
    )
    op.create_table(
        "reservation_match",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("contact_point_id", sa.Uuid(), nullable=False),
        sa.Column("wash_id", sa.Uuid(), nullable=False),
        sa.Column("reserved", sa.Boolean(), nullable=False),
        sa.Column("reserved_charity", sa.Boolean(), nullable=False),
        sa.Column("is_certain", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id", "contact_point_id"],
            ["contact_point.controller_id", "contact_point.id"],
            name=op.f("fk_reservation_match_controller_id_contact_point_id"),
        ),
        sa.ForeignKeyConstraint(
            ["controller_id", "wash_id"],
            ["reservation_wash.controller_id", "reservation_wash.id"],
            name=op.f("fk_reservation_match_controller_id_wash_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "contact_point_id", "wash_id", name=op.f("pk_reservation_match")),
    )
    connection = op.get_bind()
    tenancy.isolate(connection, "reservation_wash", to=app, grants="SELECT, INSERT")
    tenancy.isolate(connection, "reservation_match", to=app, grants="SELECT, INSERT")
    tenancy.freeze(connection, "reservation_wash")
    tenancy.freeze(connection, "reservation_match")


def downgrade() -> None:
    op.drop_table("reservation_match")
    op.drop_table("reservation_wash")
