"""What ties audit entries to a person can be cut when the person is erased, and in no other way be changed."""

from alembic import op
from psycopg import sql

from consent_service.db import tenancy

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_LINK = "audit_entry_id"
_FROZEN = (
    "ledger_entry",
    "objection",
    "customer_relation",
    "notice_delivery",
    "recipient_kind_fact",
    "restriction_fact",
    "subject_merge",
    "suppression",
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    retention = op.get_context().config.attributes["roles"].retention
    op.execute(
        "CREATE FUNCTION refuse_all_but_unlinking() RETURNS trigger LANGUAGE plpgsql"
        f" SET search_path = pg_catalog, pg_temp AS $$ BEGIN OLD.{_LINK} := NULL;"
        " IF NEW IS DISTINCT FROM OLD THEN"
        " RAISE EXCEPTION '% never changes', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege'; END IF;"
        " RETURN NEW; END $$"
    )
    op.execute(
        "CREATE FUNCTION refuse_without_entry() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN RAISE EXCEPTION '% takes no row without its audit entry', TG_TABLE_NAME"
        " USING ERRCODE = 'not_null_violation'; END $$"
    )
    connection = op.get_bind()
    for table in _FROZEN:
        tenancy.allow_unlinking(connection, table, column=_LINK, by=retention)
    # The row of a file changes while the file is made, so it was never frozen; its entry is no part of that.
    tenancy.demand_link(connection, "export", column=_LINK)
    tenancy.grant(connection, "export", to=retention, grants=f"UPDATE ({_LINK})")
    op.execute(
        f"CREATE TRIGGER keeps_its_entry BEFORE UPDATE ON export FOR EACH ROW"
        f" WHEN (NEW.{_LINK} IS NOT NULL AND NEW.{_LINK} IS DISTINCT FROM OLD.{_LINK})"
        " EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    """Go back as far as nobody was unlinked; a row that lost its entry does not get it back."""
    retention = sql.Identifier(op.get_context().config.attributes["roles"].retention).as_string(None)
    op.execute("DROP TRIGGER keeps_its_entry ON export")
    for table in (*_FROZEN, "export"):
        op.execute(f"DROP TRIGGER begins_with_its_entry ON {table}")
        op.execute(f"REVOKE UPDATE ({_LINK}) ON {table} FROM {retention}")
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {_LINK} SET NOT NULL")
    for table in _FROZEN:
        op.execute(f"DROP TRIGGER changes_by_unlinking ON {table}")
        op.execute(f"DROP TRIGGER never_changes ON {table}")
        tenancy.freeze(op.get_bind(), table)
    op.execute("DROP FUNCTION refuse_without_entry()")
    op.execute("DROP FUNCTION refuse_all_but_unlinking()")
