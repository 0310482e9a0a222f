"""What limits repetition."""

import sqlalchemy as sa
from alembic import op

from consent_service.db import tenancy

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    op.create_table(
        "idempotency_record",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "api_key_id", "scope", "key_hash", name=op.f("pk_idempotency_record")),
    )
    op.create_index(
        "ix_idempotency_record_created_at", "idempotency_record", ["controller_id", "created_at"], unique=False
    )
    op.create_table(
        "admitted_mail",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("admitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('confirmation', 'preference')", name=op.f("ck_admitted_mail_kind")),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_admitted_mail")),
    )
    op.create_index(
        "ix_admitted_mail_address",
        "admitted_mail",
        ["controller_id", "address_hash", "kind", "admitted_at"],
        unique=False,
    )
    op.create_table(
        "mail_refusal",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('not_me', 'hard_bounce')", name=op.f("ck_mail_refusal_kind")),
        sa.PrimaryKeyConstraint("controller_id", "address_hash", "kind", name=op.f("pk_mail_refusal")),
    )
    op.create_table(
        "platform_mail",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("admitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform_mail")),
    )
    op.create_index("ix_platform_mail_address", "platform_mail", ["address_hash", "admitted_at"], unique=False)
    op.create_table(
        "throttle_counter",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("window_start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint(
            "controller_id", "name", "key_hash", "window_start_at", name=op.f("pk_throttle_counter")
        ),
    )
    connection = op.get_bind()
    tenancy.isolate(connection, "idempotency_record", to=app, grants="SELECT, INSERT, DELETE")
    tenancy.isolate(connection, "admitted_mail", to=app, grants="SELECT, INSERT, DELETE")
    tenancy.isolate(connection, "mail_refusal", to=app, grants="SELECT, INSERT, UPDATE, DELETE")
    tenancy.isolate(connection, "throttle_counter", to=app, grants="SELECT, INSERT, UPDATE, DELETE")


def downgrade() -> None:
    op.drop_table("throttle_counter")
    op.drop_table("platform_mail")
    op.drop_table("mail_refusal")
    op.drop_table("admitted_mail")
    op.drop_table("idempotency_record")
