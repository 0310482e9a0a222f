"""The tree over the audit entries: places, tiles, signed heads, and what an entry is about for whoever searches."""

import sqlalchemy as sa
from alembic import op
from psycopg import sql
from sqlalchemy.dialects import postgresql

from consent_service.db import tenancy

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_SCHEMA = "audit"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    roles = op.get_context().config.attributes["roles"]
    _say_what_entries_are_about()
    _say_what_was_lost()
    _order_the_queue()
    _make_tree()
    _make_heads()
    _grant(app=roles.app, sequencer=roles.sequencer, retention=roles.retention)


def _say_what_entries_are_about() -> None:
    op.rename_table("entry_subject", "entry_about", schema=_SCHEMA)
    for old, new in (
        ("pk_entry_subject", "pk_entry_about"),
        ("fk_entry_subject_controller_id_entry_id", "fk_entry_about_controller_id_entry_id"),
    ):
        op.execute(f"ALTER TABLE audit.entry_about RENAME CONSTRAINT {old} TO {new}")
    op.alter_column("entry_about", "subject_id", nullable=True, schema=_SCHEMA)
    op.add_column("entry_about", sa.Column("actor", sa.String(), nullable=True), schema=_SCHEMA)
    op.add_column("entry_about", sa.Column("purpose_id", sa.Uuid(), nullable=True), schema=_SCHEMA)
    op.add_column("entry_about", sa.Column("channel", sa.String(), nullable=True), schema=_SCHEMA)
    op.add_column("entry_about", sa.Column("request_id", sa.String(), nullable=True), schema=_SCHEMA)
    op.drop_index("ix_entry_subject_subject_id", table_name="entry_about", schema=_SCHEMA)
    for column in ("subject_id", "actor", "purpose_id"):
        columns = ["controller_id", column, "entry_id"]
        op.create_index(f"ix_entry_about_{column}", "entry_about", columns, unique=False, schema=_SCHEMA)
    op.create_index(
        "ix_entry_about_request_id", "entry_about", ["controller_id", "request_id"], unique=False, schema=_SCHEMA
    )


def _say_what_was_lost() -> None:
    op.add_column("entry", sa.Column("gap", postgresql.JSONB(none_as_null=True), nullable=True), schema=_SCHEMA)
    op.create_check_constraint(
        op.f("ck_entry_gap"), "entry", "(gap IS NOT NULL) = (type = 'log.recovered')", schema=_SCHEMA
    )

    # A recovery is looked for before each batch, and there is hardly ever one.
    op.create_index(
        "ix_entry_gap",
        "entry",
        ["controller_id", "id"],
        unique=False,
        schema=_SCHEMA,
        postgresql_where=sa.text("gap IS NOT NULL"),
    )


def _order_the_queue() -> None:
    op.add_column("queue", sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False), schema=_SCHEMA)
    op.create_index("ix_queue_seq", "queue", ["controller_id", "seq"], unique=False, schema=_SCHEMA)


def _make_tree() -> None:
    op.create_table(
        "tree",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("vkey", sa.String(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("edge", sa.ARRAY(sa.LargeBinary()), nullable=False),
        sa.Column("refused", sa.String(), nullable=True),
        sa.Column("refused_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("epoch >= 1 AND size >= 0 AND octet_length(root) = 32", name=op.f("ck_tree_head")),
        sa.PrimaryKeyConstraint("controller_id", "epoch", name=op.f("pk_tree")),
        schema=_SCHEMA,
    )
    op.create_table(
        "leaf",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("index", sa.BigInteger(), nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id", "entry_id"],
            ["audit.entry.controller_id", "audit.entry.id"],
            name=op.f("fk_leaf_controller_id_entry_id"),
        ),
        sa.PrimaryKeyConstraint("controller_id", "epoch", "index", name=op.f("pk_leaf")),
        sa.UniqueConstraint("controller_id", "entry_id", name=op.f("uq_leaf_controller_id_entry_id")),
        schema=_SCHEMA,
    )
    op.create_table(
        "tile",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("octet_length(hashes) = 8192", name=op.f("ck_tile_full")),
        sa.PrimaryKeyConstraint("controller_id", "epoch", "level", "number", name=op.f("pk_tile")),
        schema=_SCHEMA,
    )
    # Hashes do not compress, so trying to costs time and gains nothing.
    op.execute("ALTER TABLE audit.tile ALTER COLUMN hashes SET STORAGE EXTERNAL")


def _make_heads() -> None:
    op.create_table(
        "checkpoint",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "epoch", "size", name=op.f("pk_checkpoint")),
        schema=_SCHEMA,
    )
    op.create_table(
        "cosignature",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("witness", sa.String(), nullable=False),
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "epoch", "size", "witness", name=op.f("pk_cosignature")),
        schema=_SCHEMA,
    )


def _grant(*, app: str, sequencer: str, retention: str) -> None:
    connection = op.get_bind()
    name = sql.Identifier(sequencer).as_string(None)
    op.execute(f"GRANT USAGE ON SCHEMA audit TO {name}")
    for table in ("tree", "leaf", "tile", "checkpoint", "cosignature"):
        tenancy.isolate(connection, f"audit.{table}", to=app, grants="SELECT")
        tenancy.grant(connection, f"audit.{table}", to=sequencer, grants="SELECT, INSERT")
    tenancy.grant(connection, "audit.tree", to=sequencer, grants="UPDATE (size, root, edge, refused, refused_at)")
    # Of the heads of one hour the last is kept; all of them can be made again from the tree.
    for table in ("checkpoint", "cosignature"):
        tenancy.grant(connection, f"audit.{table}", to=sequencer, grants="DELETE")
        tenancy.freeze(connection, f"audit.{table}", against="UPDATE OR TRUNCATE")
    tenancy.freeze(connection, "audit.tree", against="DELETE OR TRUNCATE")
    tenancy.freeze(connection, "audit.leaf")
    tenancy.freeze(connection, "audit.tile")
    tenancy.grant(connection, "audit.queue", to=sequencer, grants="SELECT, DELETE")
    tenancy.grant(connection, "audit.queue", to=app, grants="SELECT")
    readable = "SELECT (controller_id, id, version, type, occurred_at, commit, gap)"
    tenancy.grant(connection, "audit.entry", to=sequencer, grants=readable)
    tenancy.grant(connection, "audit.stream_head", to=retention, grants="DELETE")
    for table in ("queue", "tree"):
        op.execute(f"CREATE POLICY sequencer_sees_all ON audit.{table} FOR SELECT TO {name} USING (true)")
    tenancy.grant(connection, "key_fingerprint", to=sequencer, grants="SELECT")


def downgrade() -> None:
    """Go back where nothing was signed yet; a log that was is not taken back, and neither is what it says."""
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM audit.tree WHERE size > 0)")):
        raise RuntimeError("entries have their places in signed logs; this schema does not go back")
    op.execute("DROP POLICY sequencer_sees_all ON audit.queue")
    for table in ("cosignature", "checkpoint", "tile", "leaf", "tree"):
        op.drop_table(table, schema=_SCHEMA)
    op.drop_index("ix_queue_seq", table_name="queue", schema=_SCHEMA)
    op.drop_column("queue", "seq", schema=_SCHEMA)
    op.drop_index("ix_entry_gap", table_name="entry", schema=_SCHEMA)
    op.drop_constraint(op.f("ck_entry_gap"), "entry", schema=_SCHEMA)
    op.drop_column("entry", "gap", schema=_SCHEMA)
    for column in ("subject_id", "actor", "purpose_id", "request_id"):
        op.drop_index(f"ix_entry_about_{column}", table_name="entry_about", schema=_SCHEMA)
    for column in ("request_id", "channel", "purpose_id", "actor"):
        op.drop_column("entry_about", column, schema=_SCHEMA)
    op.alter_column("entry_about", "subject_id", nullable=False, schema=_SCHEMA)
    op.create_index("ix_entry_subject_subject_id", "entry_about", ["subject_id"], unique=False, schema=_SCHEMA)
    for old, new in (
        ("pk_entry_about", "pk_entry_subject"),
        ("fk_entry_about_controller_id_entry_id", "fk_entry_subject_controller_id_entry_id"),
    ):
        op.execute(f"ALTER TABLE audit.entry_about RENAME CONSTRAINT {old} TO {new}")
    op.rename_table("entry_about", "entry_subject", schema=_SCHEMA)
