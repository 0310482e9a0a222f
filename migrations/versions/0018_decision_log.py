"""Decisions as they were answered: who asked, for what, and what the answer rested on."""

import sqlalchemy as sa
from alembic import op

from consent_service.db import tenancy

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    worker = op.get_context().config.attributes["roles"].worker
    retention = op.get_context().config.attributes["roles"].retention
    op.create_table(
        "decision",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=True),
        sa.Column("known_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recipient", sa.String(), nullable=True),
        sa.Column("min_evidence", sa.String(), nullable=True),
        sa.Column("allowed", sa.Integer(), nullable=False),
        sa.Column("denied", sa.Integer(), nullable=False),
        sa.Column("invalid", sa.Integer(), nullable=False),
        sa.CheckConstraint("kind IN ('single', 'batch', 'stream')", name=op.f("ck_decision_kind")),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controller.controller_id"], name=op.f("fk_decision_controller_id")
        ),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_decision")),
    )
    op.create_index("ix_decision_evaluated_at", "decision", ["controller_id", "evaluated_at"], unique=False)
    op.create_table(
        "decision_answer",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("decision_id", sa.Uuid(), nullable=False),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("allowed", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("legal_basis", sa.String(), nullable=True),
        sa.Column("consent_id", sa.Uuid(), nullable=True),
        sa.Column("ledger_entry_id", sa.Uuid(), nullable=True),
        sa.Column("notice_version", sa.Integer(), nullable=True),
        sa.Column("obligations", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_allowed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controller.controller_id"], name=op.f("fk_decision_answer_controller_id")
        ),
        sa.PrimaryKeyConstraint("controller_id", "decision_id", "item", name=op.f("pk_decision_answer")),
    )
    op.create_index(
        "ix_decision_answer_evaluated_at", "decision_answer", ["controller_id", "evaluated_at"], unique=False
    )
    op.create_index(
        "ix_decision_answer_subject_id",
        "decision_answer",
        ["controller_id", "subject_id", "evaluated_at"],
        unique=False,
    )
    op.drop_constraint(op.f("ck_controller_key_kind"), "controller_key", schema="vault")
    op.create_check_constraint(
        op.f("ck_controller_key_kind"),
        "controller_key",
        "kind IN ('kek', 'index', 'suppression', 'signing')",
        schema="vault",
    )
    connection = op.get_bind()
    tenancy.isolate(connection, "decision", to=app, grants="SELECT")
    tenancy.isolate(connection, "decision_answer", to=app, grants="SELECT")
    tenancy.grant(connection, "decision", to=worker, grants="INSERT, UPDATE")
    tenancy.grant(connection, "decision_answer", to=worker, grants="INSERT")
    tenancy.grant(connection, "decision", to=retention, grants="DELETE")
    tenancy.grant(connection, "decision_answer", to=retention, grants="DELETE")
    tenancy.freeze(connection, "decision_answer", against="UPDATE OR TRUNCATE")


def downgrade() -> None:
    op.execute("DELETE FROM vault.controller_key WHERE kind = 'signing'")
    op.drop_constraint(op.f("ck_controller_key_kind"), "controller_key", schema="vault")
    op.create_check_constraint(
        op.f("ck_controller_key_kind"), "controller_key", "kind IN ('kek', 'index', 'suppression')", schema="vault"
    )
    op.drop_table("decision_answer")
    op.drop_table("decision")
