"""One connection for each thread that answers checks: autocommit, prepared, and thrown away at the first failure.

A check is one statement and reads alone, so it needs neither a transaction of ours nor a pool (docs/performance.md).
"""

import contextlib
import struct
import threading
from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow
from sqlalchemy import Engine

#: How long a statement may take. Whoever asks is answered `unavailable`, which is no, and not late.
STATEMENT_TIMEOUT_MS: Final = 2_000
#: Thousands of people in one statement take longer than one.
MANY_TIMEOUT_MS: Final = 10_000
_CONNECT_TIMEOUT_SECONDS: Final = 3
_BYTEA: Final = 17
_BYTEA_ARRAY: Final = 1001
# Dimensions, whether any is null, type of the elements, how many, and the number of the first.
_ARRAY_HEAD: Final = struct.Struct("!iiiii")
_LENGTH: Final = struct.Struct("!i")


class ByteStrings:
    """Many byte strings as one parameter, a bytea[] in PostgreSQL's own binary form.

    The driver would turn every one of ten thousand into an object of its own first.
    """

    __slots__ = ("binary",)

    def __init__(self, items: Sequence[bytes]) -> None:
        head = _ARRAY_HEAD.pack(1, 0, _BYTEA, len(items), 1)
        length = _LENGTH.pack
        self.binary = head + b"".join([length(len(item)) + item for item in items])


class _ByteStringsDumper(Dumper):
    """Hands the binary form to the driver as it is."""

    format = Format.BINARY
    oid = _BYTEA_ARRAY

    def dump(self, obj: ByteStrings) -> bytes:
        """Return the array as PostgreSQL receives it."""
        return obj.binary


class DirectConnections:
    """Runs single statements, each on the connection of its thread."""

    def __init__(self, engine: Engine, *, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> None:
        """Connect as the engine does; nothing is connected before the first statement."""
        _, arguments = engine.dialect.create_connect_args(engine.url)
        options = (
            f"-c statement_timeout={statement_timeout_ms} -c lock_timeout={statement_timeout_ms} -c timezone=UTC"
            " -c jit=off -c default_transaction_read_only=on"
        )
        self._arguments: dict[str, Any] = {
            **arguments,
            "options": options,
            "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
            # A server that has vanished from the network is noticed before anybody gives up waiting.
            "tcp_user_timeout": statement_timeout_ms,
        }
        self._threads = threading.local()
        self._lock = threading.Lock()
        self._open: set[psycopg.Connection[TupleRow]] = set()

    def run(self, statement: bytes, parameters: Sequence[object]) -> list[TupleRow]:
        """Run one statement and return its rows; raises psycopg.Error.

        The statement comes from our own code alone. A connection that the server closed while nobody used it is
        replaced once, for a read can be said twice.
        """
        cursor: psycopg.Cursor[TupleRow] | None = getattr(self._threads, "cursor", None)
        if cursor is not None:
            try:
                return cursor.execute(statement, parameters).fetchall()
            except psycopg.OperationalError:
                is_lost = cursor.connection.closed or cursor.connection.broken
                self.close()
                if not is_lost:
                    raise
            except BaseException:
                self.close()
                raise
        try:
            return self._connect().execute(statement, parameters).fetchall()
        except BaseException:
            self.close()
            raise

    def row(self, statement: bytes, types: Sequence[int], parameters: Sequence[bytes | None]) -> list[bytes | None]:
        """Run a statement of one row, prepared under its own text; parameters and columns are in binary form.

        Raises psycopg.Error. It goes past the driver's cursors, which cost a check as much as its own work does; a
        lost connection is replaced once, as in `run`.
        """
        connection: psycopg.Connection[TupleRow] | None = getattr(self._threads, "connection", None)
        if connection is not None:
            try:
                return self._row(connection, statement, types, parameters)
            except psycopg.Error:
                # Not OperationalError alone: a server that only hung up left no code that would make it one.
                is_lost = connection.pgconn.status != ConnStatus.OK
                self.close()
                if not is_lost:
                    raise
            except BaseException:
                self.close()
                raise
        self._connect()
        try:
            return self._row(self._threads.connection, statement, types, parameters)
        except BaseException:
            self.close()
            raise

    def _row(
        self,
        connection: psycopg.Connection[TupleRow],
        statement: bytes,
        types: Sequence[int],
        parameters: Sequence[bytes | None],
    ) -> list[bytes | None]:
        server = connection.pgconn
        prepared: dict[bytes, tuple[bytes, list[int]]] = self._threads.prepared
        known = prepared.get(statement)
        if known is None:
            known = (b"direct_%d" % len(prepared), [Format.BINARY] * len(types))
            _demand(server.prepare(known[0], statement, types), ExecStatus.COMMAND_OK)
            prepared[statement] = known
        result = server.exec_prepared(known[0], parameters, known[1], Format.BINARY)  # type: ignore[arg-type]  # None is NULL
        _demand(result, ExecStatus.TUPLES_OK)
        value = result.get_value
        return [value(0, column) for column in range(result.nfields)]

    def close(self) -> None:
        """Close the connection of this thread, if it has one."""
        cursor: psycopg.Cursor[TupleRow] | None = getattr(self._threads, "cursor", None)
        if cursor is not None:
            self._threads.cursor = self._threads.connection = None
            self._forget(cursor.connection)

    def close_all(self) -> None:
        """Close the connections of all threads, when nothing is asked any more."""
        for connection in tuple(self._open):
            self._forget(connection)

    def _forget(self, connection: psycopg.Connection[TupleRow]) -> None:
        with self._lock:
            self._open.discard(connection)
        with contextlib.suppress(psycopg.Error):
            connection.close()

    def _connect(self) -> psycopg.Cursor[TupleRow]:
        connection = psycopg.connect(**self._arguments, autocommit=True, prepare_threshold=0)
        connection.adapters.register_dumper(ByteStrings, _ByteStringsDumper)
        with self._lock:
            self._open.add(connection)
        cursor = connection.cursor(binary=True)
        self._threads.cursor = cursor
        self._threads.connection = connection
        self._threads.prepared = {}
        return cursor


def _demand(result: PGresult, status: ExecStatus) -> None:
    """Raise the driver's own error unless a command ended as it should."""
    if result.status != status:
        raise psycopg.errors.error_from_result(result)
