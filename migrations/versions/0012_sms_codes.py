"""Codes that were sent to a phone number: only their hashes, and how often they were tried."""

import sqlalchemy as sa
from alembic import op

from consent_service.db import tenancy

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    op.create_table(
        "sms_code",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("phone_index", sa.LargeBinary(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["controller_id", "request_id"],
            ["signup_request.controller_id", "signup_request.id"],
            name=op.f("fk_sms_code_controller_id_request_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("controller_id", "request_id", name=op.f("pk_sms_code")),
    )
    op.create_index("ix_sms_code_phone_index", "sms_code", ["controller_id", "phone_index"], unique=False)
    op.create_index("ix_signup_request_phone_index", "signup_request", ["controller_id", "phone_index"], unique=False)
    tenancy.isolate(op.get_bind(), "sms_code", to=app, grants="SELECT, INSERT, UPDATE, DELETE")


def downgrade() -> None:
    op.drop_index("ix_signup_request_phone_index", "signup_request")
    op.drop_table("sms_code")
