"""Forms that were sent and wait for confirmation."""

import sqlalchemy as sa
from alembic import op

from consent_service.db import tenancy

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    op.create_table(
        "signup_request",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("form_id", sa.Uuid(), nullable=True),
        sa.Column("form_version", sa.Integer(), nullable=True),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("email_index", sa.LargeBinary(), nullable=True),
        sa.Column("phone_index", sa.LargeBinary(), nullable=True),
        sa.Column("answer_hash", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mail_accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rejected_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["controller_id", "form_id", "form_version"],
            ["form_version.controller_id", "form_version.form_id", "form_version.number"],
            name=op.f("fk_signup_request_controller_id_form_id_form_version"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_signup_request")),
    )
    op.create_index("ix_signup_request_email_index", "signup_request", ["controller_id", "email_index"], unique=False)
    op.create_index("ix_signup_request_expires_at", "signup_request", ["controller_id", "expires_at"], unique=False)
    op.create_table(
        "requested_consent",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("consent_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("purpose_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("notice_id", sa.Uuid(), nullable=False),
        sa.Column("confirmation", sa.String(), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "channel IN ('email', 'sms', 'phone', 'voice_automated', 'post', 'direct_message', 'push', 'ads', 'web')",
            name=op.f("ck_requested_consent_channel"),
        ),
        sa.CheckConstraint("confirmation IN ('email', 'sms')", name=op.f("ck_requested_consent_confirmation")),
        sa.ForeignKeyConstraint(
            ["controller_id", "notice_id"],
            ["notice_version.controller_id", "notice_version.id"],
            name=op.f("fk_requested_consent_controller_id_notice_id"),
        ),
        sa.ForeignKeyConstraint(
            ["controller_id", "purpose_id"],
            ["purpose.controller_id", "purpose.id"],
            name=op.f("fk_requested_consent_controller_id_purpose_id"),
        ),
        sa.ForeignKeyConstraint(
            ["controller_id", "request_id"],
            ["signup_request.controller_id", "signup_request.id"],
            name=op.f("fk_requested_consent_controller_id_request_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("controller_id", "consent_id", name=op.f("pk_requested_consent")),
    )
    op.create_index(
        "ix_requested_consent_request_id", "requested_consent", ["controller_id", "request_id"], unique=False
    )
    op.create_table(
        "confirmation_link",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["controller_id", "request_id"],
            ["signup_request.controller_id", "signup_request.id"],
            name=op.f("fk_confirmation_link_controller_id_request_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("controller_id", "secret_hash", name=op.f("pk_confirmation_link")),
    )
    op.create_index(
        "ix_confirmation_link_request_id", "confirmation_link", ["controller_id", "request_id"], unique=False
    )
    op.create_table(
        "preference_request",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=True),
        sa.Column("email_index", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controller.controller_id"], name=op.f("fk_preference_request_controller_id")
        ),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_preference_request")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_preference_request_secret_hash")),
    )
    op.create_index(
        "ix_preference_request_expires_at", "preference_request", ["controller_id", "expires_at"], unique=False
    )
    connection = op.get_bind()
    tenancy.isolate(connection, "signup_request", to=app, grants="SELECT, INSERT, UPDATE, DELETE")
    tenancy.isolate(connection, "requested_consent", to=app, grants="SELECT, INSERT, UPDATE, DELETE")
    tenancy.isolate(connection, "confirmation_link", to=app, grants="SELECT, INSERT, UPDATE, DELETE")
    tenancy.isolate(connection, "preference_request", to=app, grants="SELECT, INSERT, UPDATE, DELETE")


def downgrade() -> None:
    op.drop_table("preference_request")
    op.drop_table("confirmation_link")
    op.drop_table("requested_consent")
    op.drop_table("signup_request")
