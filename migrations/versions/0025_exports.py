"""Files that somebody asked for, with their progress, in sealed pieces."""

import sqlalchemy as sa
from alembic import op
from psycopg import sql

from consent_service.db import tenancy

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_MAKING = "status, done, total, chunks, place, attempts, locked_until, started_at, finished_at, expires_at"
_MADE = "size, sha256, failure"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    roles = op.get_context().config.attributes["roles"]
    _make_exports()
    op.create_table(
        "export_chunk",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("export_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id", "export_id"],
            ["export.controller_id", "export.id"],
            name=op.f("fk_export_chunk_controller_id_export_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "export_id", "number", name=op.f("pk_export_chunk")),
    )
    # Sealed bytes do not compress, so trying to costs time and gains nothing.
    op.execute("ALTER TABLE export_chunk ALTER COLUMN sealed SET STORAGE EXTERNAL")
    connection = op.get_bind()
    tenancy.isolate(connection, "export", to=roles.app, grants="SELECT, INSERT")
    tenancy.isolate(connection, "export_chunk", to=roles.app, grants="SELECT")
    tenancy.grant(connection, "export", to=roles.worker, grants=f"UPDATE ({_MAKING}, {_MADE})")
    tenancy.grant(connection, "export_chunk", to=roles.worker, grants="INSERT")
    tenancy.grant(connection, "export", to=roles.retention, grants="UPDATE (status, parameters, place, sha256), DELETE")
    tenancy.grant(connection, "export_chunk", to=roles.retention, grants="DELETE")
    tenancy.freeze(connection, "export_chunk", against="UPDATE OR TRUNCATE")
    # Asking each controller each second whether it wants a file would be a thousand questions where there are as many.
    worker = sql.Identifier(roles.worker).as_string(None)
    op.execute(
        f"CREATE POLICY worker_sees_waiting ON export FOR SELECT TO {worker} USING (status IN ('queued', 'running'))"
    )


def _make_exports() -> None:
    op.create_table(
        "export",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("parameters", sa.LargeBinary(), nullable=True),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.Column("place", sa.LargeBinary(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("failure", sa.String(), nullable=True),
        sa.Column("audit_entry_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'ready', 'failed', 'expired')", name=op.f("ck_export_status")
        ),
        sa.CheckConstraint(
            "status <> 'ready' OR (finished_at IS NOT NULL AND size IS NOT NULL AND sha256 IS NOT NULL)",
            name=op.f("ck_export_ready"),
        ),
        sa.CheckConstraint("status <> 'failed' OR failure IS NOT NULL", name=op.f("ck_export_failure")),
        sa.CheckConstraint("done >= 0 AND chunks >= 0 AND attempts >= 0", name=op.f("ck_export_counts")),
        sa.ForeignKeyConstraint(
            ["controller_id", "audit_entry_id"],
            ["audit.entry.controller_id", "audit.entry.id"],
            name=op.f("fk_export_controller_id_audit_entry_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "id", name=op.f("pk_export")),
    )
    op.create_index("ix_export_status", "export", ["controller_id", "status", "created_at"], unique=False)


def downgrade() -> None:
    op.drop_table("export_chunk")
    op.drop_table("export")
