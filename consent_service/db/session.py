"""One transaction per act, opened for one controller.

The row-level-security variable is set for that transaction only, so a connection that goes back to the pool carries
nothing over to the next act.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.crypto.keyring import Keyring

_act_is_open: ContextVar[bool] = ContextVar("act_is_open", default=False)
_request: ContextVar[str | None] = ContextVar("request", default=None)
_CONTROLLER = "controller_id"
_KEYRING = "keyring"
_REQUEST = "request_id"


class NestedTransactionError(RuntimeError):
    """A transaction was opened inside another: an act commits whole or not at all."""


@dataclass(frozen=True, slots=True)
class Database:
    """An engine together with the keys that open what is sealed in it."""

    engine: Engine
    keyring: Keyring

    @contextmanager
    def transaction(self, controller_id: str) -> Iterator[Session]:
        """Open one transaction that sees one controller; commit at the end, roll back on any error.

        Raises NestedTransactionError when one is open already, and whatever the database raises: a caller that
        gets out of this block without an exception knows that the act is durable.
        """
        about = {_CONTROLLER: controller_id, _KEYRING: self.keyring, _REQUEST: _request.get()}
        with self._session(about) as session:
            session.execute(
                text("SELECT set_config('app.controller', :controller, true)"),
                {"controller": str(identifiers.to_uuid(controller_id, "ctl"))},
            )
            yield session

    @contextmanager
    def platform_transaction(self) -> Iterator[Session]:
        """Open a transaction that sees no controller's rows, only the directory and, for the worker, the outbox."""
        with self._session({_KEYRING: self.keyring}) as session:
            yield session

    @contextmanager
    def _session(self, info: dict[str, Any]) -> Iterator[Session]:
        if _act_is_open.get():
            raise NestedTransactionError
        token = _act_is_open.set(True)
        try:
            with Session(self.engine, expire_on_commit=False, info=info) as session, session.begin():
                yield session
        finally:
            _act_is_open.reset(token)


def is_away(error: Exception) -> bool:
    """Say whether the database cannot be reached, rather than that it refused one statement."""
    is_connecting = isinstance(error, OperationalError) and error.statement is None
    return isinstance(error, DBAPIError) and (error.connection_invalidated or is_connecting)


def controller_of(session: Session) -> str:
    """Return the controller that this transaction was opened for."""
    return str(session.info[_CONTROLLER])


def keyring_of(session: Session) -> Keyring:
    """Return the keys of this service."""
    keyring = session.info[_KEYRING]
    assert isinstance(keyring, Keyring)  # noqa: S101 - set by the only constructor of these sessions
    return keyring


def serve_request(request_id: str | None) -> None:
    """Name the request that this context's transactions serve from now on; None where it has ended."""
    _request.set(request_id)


def request_of(session: Session) -> str | None:
    """Return the id of the request that this transaction serves; None for the worker and the command line."""
    request_id: str | None = session.info.get(_REQUEST)
    return request_id


def engine_options(
    *, pool_size: int = 5, statement_timeout_ms: int = 5_000, lock_timeout_ms: int = 2_000
) -> dict[str, Any]:
    """Return how an engine waits briefly, never prints parameters, and notices a connection that died.

    Timeouts are in milliseconds. A full pool gives up after one second, so that a check is answered *unavailable*
    and not late.
    """
    options = (
        f"-c statement_timeout={statement_timeout_ms} -c lock_timeout={lock_timeout_ms}"
        " -c idle_in_transaction_session_timeout=10000 -c timezone=UTC"
    )
    return {
        "pool_size": pool_size,
        "max_overflow": 2,
        "pool_timeout": 1,
        "pool_pre_ping": True,
        "hide_parameters": True,
        "connect_args": {"options": options, "connect_timeout": 3},
    }


def make_engine(
    url: str, *, pool_size: int = 5, statement_timeout_ms: int = 5_000, lock_timeout_ms: int = 2_000
) -> Engine:
    """Make an engine with `engine_options` for a `postgresql://` URL."""
    options = engine_options(
        pool_size=pool_size, statement_timeout_ms=statement_timeout_ms, lock_timeout_ms=lock_timeout_ms
    )
    return create_engine(url, **options)
