"""Acts with their evidence, and objections: rows that are added and never changed."""

import sqlalchemy as sa
from alembic import op

from consent_service.db import tenancy

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    retention = op.get_context().config.attributes["roles"].retention
    op.create_table(
        "evidence",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("consent_id", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id", "subject_id"],
            ["subject.controller_id", "subject.id"],
            name=op.f("fk_evidence_controller_id_subject_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_evidence")),
    )
    op.create_table(
        "evidence_part",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("evidence_id", sa.Uuid(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("delete_after", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("part IN ('statement', 'trace')", name=op.f("ck_evidence_part_part")),
        sa.ForeignKeyConstraint(
            ["controller_id", "evidence_id"],
            ["evidence.controller_id", "evidence.id"],
            name=op.f("fk_evidence_part_controller_id_evidence_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "evidence_id", "part", name=op.f("pk_evidence_part")),
    )
    op.create_table(
        "ledger_entry",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("consent_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("contact_point_id", sa.Uuid(), nullable=True),
        sa.Column("purpose_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("legal_basis", sa.String(), nullable=False),
        sa.Column("notice_id", sa.Uuid(), nullable=True),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("evidence_id", sa.Uuid(), nullable=True),
        sa.Column("evidence_grade", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("audit_entry_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "channel IN ('email', 'sms', 'phone', 'voice_automated', 'post', 'direct_message', 'push', 'ads', 'web')",
            name=op.f("ck_ledger_entry_channel"),
        ),
        sa.CheckConstraint(
            "contact_point_id IS NOT NULL OR channel IN ('web', 'push')",
            name=op.f("ck_ledger_entry_contact_channel_has_point"),
        ),
        sa.CheckConstraint(
            "evidence_grade IN ('double_opt_in', 'single_opt_in', 'signed_paper', 'witnessed', 'claimed')",
            name=op.f("ck_ledger_entry_evidence_grade"),
        ),
        sa.CheckConstraint(
            "kind IN ('given', 'renewed', 'refused', 'withdrawn', 'revoked')", name=op.f("ck_ledger_entry_kind")
        ),
        sa.CheckConstraint(
            "kind NOT IN ('given', 'renewed')"
            " OR (evidence_id IS NOT NULL AND notice_id IS NOT NULL AND language IS NOT NULL)",
            name=op.f("ck_ledger_entry_given_is_proved"),
        ),
        sa.ForeignKeyConstraint(
            ["controller_id", "audit_entry_id"],
            ["audit.entry.controller_id", "audit.entry.id"],
            name=op.f("fk_ledger_entry_controller_id_audit_entry_id"),
        ),
        sa.ForeignKeyConstraint(
            ["controller_id", "contact_point_id"],
            ["contact_point.controller_id", "contact_point.id"],
            name=op.f("fk_ledger_entry_controller_id_contact_point_id"),
        ),
        sa.ForeignKeyConstraint(
            ["controller_id", "evidence_id"],
            ["evidence.controller_id", "evidence.id"],
            name=op.f("fk_ledger_entry_controller_id_evidence_id"),
        ),
        sa.ForeignKeyConstraint(
            ["controller_id", "notice_id"],
            ["notice_version.controller_id", "notice_version.id"],
            name=op.f("fk_ledger_entry_controller_id_notice_id"),
        ),
        sa.ForeignKeyConstraint(
            ["controller_id", "purpose_id"],
            ["purpose.controller_id", "purpose.id"],
            name=op.f("fk_ledger_entry_controller_id_purpose_id"),
        ),
        sa.ForeignKeyConstraint(
            ["controller_id", "subject_id"],
            ["subject.controller_id", "subject.id"],
            name=op.f("fk_ledger_entry_controller_id_subject_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_ledger_entry")),
        sa.UniqueConstraint("seq", name=op.f("uq_ledger_entry_seq")),
    )
    op.create_index("ix_ledger_entry_consent_id", "ledger_entry", ["controller_id", "consent_id"], unique=False)
    op.create_index(
        "ix_ledger_entry_point",
        "ledger_entry",
        ["controller_id", "contact_point_id", "purpose_id", "channel"],
        unique=False,
    )
    op.create_index(
        "ix_ledger_entry_series",
        "ledger_entry",
        ["controller_id", "subject_id", "purpose_id", "channel", "effective_at", "seq"],
        unique=False,
    )
    op.create_table(
        "objection",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("purpose_id", sa.Uuid(), nullable=True),
        sa.Column("channel", sa.String(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("audit_entry_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id", "audit_entry_id"],
            ["audit.entry.controller_id", "audit.entry.id"],
            name=op.f("fk_objection_controller_id_audit_entry_id"),
        ),
        sa.ForeignKeyConstraint(
            ["controller_id", "purpose_id"],
            ["purpose.controller_id", "purpose.id"],
            name=op.f("fk_objection_controller_id_purpose_id"),
        ),
        sa.ForeignKeyConstraint(
            ["controller_id", "subject_id"],
            ["subject.controller_id", "subject.id"],
            name=op.f("fk_objection_controller_id_subject_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_objection")),
    )
    op.create_index("ix_objection_subject_id", "objection", ["controller_id", "subject_id"], unique=False)
    connection = op.get_bind()
    for table in ("evidence", "evidence_part", "ledger_entry", "objection"):
        tenancy.isolate(connection, table, to=app, grants="SELECT, INSERT")
    tenancy.grant(connection, "evidence_part", to=retention, grants="DELETE")
    for table in ("evidence", "ledger_entry", "objection"):
        tenancy.freeze(connection, table)
    tenancy.freeze(connection, "evidence_part", against="UPDATE OR TRUNCATE")


def downgrade() -> None:
    op.drop_table("objection")
    op.drop_table("ledger_entry")
    op.drop_table("evidence_part")
    op.drop_table("evidence")
