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
