"""The content with which every test finds the database: taken down once, brought back before each test."""

from dataclasses import dataclass
from typing import Final

import psycopg

Connection = psycopg.Connection[tuple[object, ...]]

_TABLES: Final = """
SELECT format('%I.%I', table_schema, table_name), array_agg(quote_ident(column_name) ORDER BY ordinal_position)
  FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
 WHERE table_type = 'BASE TABLE' AND is_generated = 'NEVER'
   AND table_schema NOT IN ('pg_catalog', 'information_schema')
 GROUP BY table_schema, table_name ORDER BY table_name = 'registry_version', 1"""

# A trigger that never sleeps writes registry_version, so that table comes last.
# Plans of a function are kept as long as its connection, and a table is written only where somebody wrote to it: rows
# that are missing are counted, others are younger than the last restoring. Every test waits for this.
_RESTORE: Final = """
CREATE FUNCTION pg_temp.restore() RETURNS void LANGUAGE plpgsql SET session_replication_role = replica AS $restore$
DECLARE
    last_restoring bigint := current_setting('tests.last_restoring')::bigint;
BEGIN
    PERFORM pg_terminate_backend(pid, 1000) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle';
    {tables}
    PERFORM set_config('tests.last_restoring', txid_current()::text, false);
END $restore$"""
_IS_CHANGED: Final = "(SELECT count(*) <> {count} OR bool_or(xmin::text::bigint > last_restoring) FROM {table})"
_IS_THERE: Final = """
CREATE FUNCTION pg_temp.is_there() RETURNS boolean LANGUAGE plpgsql AS $is_there$
DECLARE
    last_restoring bigint := current_setting('tests.last_restoring')::bigint;
BEGIN
    {tables}
    RETURN true;
END $is_there$"""
_IS_TABLE_THERE: Final = """
    IF {is_changed} THEN
        RETURN false;
    END IF;"""
_RESTORE_TABLE: Final = """
    IF {is_changed} THEN
        DELETE FROM {table};
        {insert}
    END IF;"""


@dataclass(slots=True)
class Beginning:
    """The rows of a database at one moment; while they are brought back, the triggers that keep history are asleep."""

    database_url: str
    functions: tuple[str, ...]
    _connection: Connection | None = None

    def restore(self) -> None:
        """Bring it back, and cut off who still works on something else."""
        try:
            self._connected().execute("SELECT pg_temp.restore()")
        except psycopg.OperationalError:
            # The test before this one may have cut everybody off.
            self.hang_up()
            self._connected().execute("SELECT pg_temp.restore()")

    def is_there(self) -> bool:
        """Say whether it was brought back by this object and nobody has written anything since."""
        try:
            row = self._connected().execute("SELECT pg_temp.is_there()").fetchone()
        except psycopg.OperationalError:
            self.hang_up()
            return False
        return row == (True,)

    def hang_up(self) -> None:
        """Close the connection; the next restoring opens another."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = psycopg.connect(self.database_url, autocommit=True)
            # Whatever is there may be younger than this connection, so all of it is written once.
            self._connection.execute("SET tests.last_restoring = 0")
            for function in self.functions:
                self._connection.execute(function)
        return self._connection


def take_down(database_url: str) -> Beginning:
    """Take down what is in the database now; the login is a superuser's."""
    with psycopg.connect(database_url) as connection:
        tables = connection.execute(_TABLES).fetchall()
        contents = [_read(connection, table=table, columns=columns) for table, columns in tables]
    restore = _RESTORE.format(tables="".join(each.restore for each in contents))
    is_there = _IS_THERE.format(tables="".join(each.is_there for each in contents))
    return Beginning(database_url, (restore, is_there))


@dataclass(frozen=True, slots=True)
class _Table:
    """The statements that look after one table."""

    restore: str
    is_there: str


def _read(connection: Connection, *, table: str, columns: list[str]) -> _Table:
    values = ", ".join(f"quote_nullable({column}::text)" for column in columns)
    query = f"SELECT concat_ws(', ', {values}) FROM {table}"  # noqa: S608 - names that PostgreSQL quoted
    rows = connection.execute(query).fetchall()
    texts = ", ".join(f"({row})" for (row,) in rows)
    named = ", ".join(columns)
    insert = f"INSERT INTO {table} ({named}) OVERRIDING SYSTEM VALUE VALUES {texts};" if rows else ""  # noqa: S608 - as above
    is_changed = _IS_CHANGED.format(count=len(rows), table=table)
    return _Table(
        restore=_RESTORE_TABLE.format(is_changed=is_changed, table=table, insert=insert),
        is_there=_IS_TABLE_THERE.format(is_changed=is_changed),
    )
