"""What keeps controllers apart and history unchanged, written once for all migrations."""

from psycopg import sql
from sqlalchemy import Connection

CURRENT_CONTROLLER = "nullif(current_setting('app.controller', true), '')::uuid"


def isolate(connection: Connection, table: str, *, to: str, grants: str) -> None:
    """Show the rows of `table` only inside a transaction opened for their controller, and grant `grants` to role `to`.

    Row level security is forced, so that it binds the owner of the table too. The variable is '' and not null after
    a rollback, hence nullif.
    """
    own = f"controller_id = {CURRENT_CONTROLLER}"
    connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    connection.exec_driver_sql(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    connection.exec_driver_sql(f"CREATE POLICY one_controller ON {table} USING ({own}) WITH CHECK ({own})")
    grant(connection, table, to=to, grants=grants)


def grant(connection: Connection, table: str, *, to: str, grants: str) -> None:
    """Grant `grants` (such as `SELECT, INSERT`) on a table to a role."""
    role = sql.Identifier(to).as_string(None)
    connection.exec_driver_sql(f"GRANT {grants} ON {table} TO {role}")


def freeze(connection: Connection, table: str, *, against: str = "UPDATE OR DELETE OR TRUNCATE") -> None:
    """Refuse to change rows of `table` once they are there, whoever asks, the owner included."""
    connection.exec_driver_sql(
        f"CREATE TRIGGER never_changes BEFORE {against} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def allow_unlinking(connection: Connection, table: str, *, column: str, by: str) -> None:
    """Let role `by` empty the column in which a frozen table names its audit entry, and nobody change anything else.

    A row without its entry is still refused when it is added, and deleting is refused as before.
    """
    connection.exec_driver_sql(f"DROP TRIGGER never_changes ON {table}")
    freeze(connection, table, against="DELETE OR TRUNCATE")
    connection.exec_driver_sql(
        f"CREATE TRIGGER changes_by_unlinking BEFORE UPDATE ON {table} FOR EACH ROW"
        " EXECUTE FUNCTION refuse_all_but_unlinking()"
    )
    demand_link(connection, table, column=column)
    grant(connection, table, to=by, grants=f"UPDATE ({column})")


def demand_link(connection: Connection, table: str, *, column: str) -> None:
    """Let a column be empty in the end, and never at the beginning: no act without its audit entry."""
    connection.exec_driver_sql(f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL")
    connection.exec_driver_sql(
        f"CREATE TRIGGER begins_with_its_entry BEFORE INSERT ON {table} FOR EACH ROW"
        f" WHEN (NEW.{column} IS NULL) EXECUTE FUNCTION refuse_without_entry()"
    )
