"""A log that only grows, and the queue that feeds its tree."""

import sqlalchemy as sa
from alembic import op

from consent_service.db import tenancy

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    app = op.get_context().config.attributes["roles"].app
    retention = op.get_context().config.attributes["roles"].retention
    op.execute("CREATE SCHEMA audit")
    op.execute(f'GRANT USAGE ON SCHEMA audit TO "{app}"')
    op.create_table(
        "entry",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("commit", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_for", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("sealed_for IN ('subject', 'controller')", name=op.f("ck_entry_sealed_for")),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_entry")),
        schema="audit",
    )
    op.create_table(
        "entry_subject",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id", "entry_id"],
            ["audit.entry.controller_id", "audit.entry.id"],
            name=op.f("fk_entry_subject_controller_id_entry_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "entry_id", name=op.f("pk_entry_subject")),
        schema="audit",
    )
    op.create_index(op.f("ix_entry_subject_subject_id"), "entry_subject", ["subject_id"], unique=False, schema="audit")
    op.create_table(
        "stream_head",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("commit", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "stream", name=op.f("pk_stream_head")),
        schema="audit",
    )
    op.create_table(
        "queue",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id", "entry_id"],
            ["audit.entry.controller_id", "audit.entry.id"],
            name=op.f("fk_queue_controller_id_entry_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "entry_id", name=op.f("pk_queue")),
        schema="audit",
    )
    connection = op.get_bind()
    tenancy.isolate(connection, "audit.entry", to=app, grants="SELECT, INSERT")
    tenancy.isolate(connection, "audit.entry_subject", to=app, grants="SELECT, INSERT")
    tenancy.grant(connection, "audit.entry_subject", to=retention, grants="DELETE")
    tenancy.isolate(connection, "audit.stream_head", to=app, grants="SELECT, INSERT, UPDATE (number, commit)")
    tenancy.freeze(connection, "audit.entry")
    tenancy.freeze(connection, "audit.entry_subject", against="UPDATE OR TRUNCATE")
    # Nobody but the sequencer may touch the queue, so the insert of an entry fills it in the owner's name.
    op.execute("ALTER TABLE audit.queue ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE audit.queue FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY one_controller ON audit.queue USING (controller_id = {tenancy.CURRENT_CONTROLLER})"
        f" WITH CHECK (controller_id = {tenancy.CURRENT_CONTROLLER})"
    )
    op.execute(
        "CREATE FUNCTION audit.enqueue() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        " SET search_path = pg_catalog, pg_temp AS $$ BEGIN"
        " INSERT INTO audit.queue (controller_id, entry_id) VALUES (NEW.controller_id, NEW.id); RETURN NULL; END $$"
    )
    op.execute("REVOKE ALL ON FUNCTION audit.enqueue() FROM PUBLIC")
    op.execute("CREATE TRIGGER feeds_the_log AFTER INSERT ON audit.entry FOR EACH ROW EXECUTE FUNCTION audit.enqueue()")


def downgrade() -> None:
    op.drop_table("queue", schema="audit")
    op.drop_table("stream_head", schema="audit")
    op.drop_table("entry_subject", schema="audit")
    op.drop_table("entry", schema="audit")
