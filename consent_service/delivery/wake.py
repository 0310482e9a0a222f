"""Wakes the worker when a transaction that queued a message commits, and every few seconds in any case."""

from threading import Event
from time import monotonic
from types import TracebackType
from typing import Final, Self

import psycopg
import structlog
from sqlalchemy import Engine

from consent_service.delivery.outbox import WAKE_CHANNEL

#: What fell due by the passing of time is found by looking, this often, in seconds.
POLL_SECONDS: Final = 5.0
#: How often a wait looks at whether it should stop, in seconds.
_SLICE_SECONDS: Final = 0.5
#: How long to wait before listening anew, in seconds.
_RECONNECT_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class WakeUp:
    """A connection of its own that listens. Where it is lost, the poll carries on and a new one is made."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: psycopg.Connection[object] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Hang up."""
        self._close()

    def wait(self, stop: Event, *, seconds: float) -> None:
        """Return when something was queued, after `seconds`, or soon after `stop` is set."""
        end = monotonic() + seconds
        while not stop.is_set() and monotonic() < end:
            try:
                if self._heard():
                    return
            except psycopg.Error as error:
                _log.warning("listener_lost", error=type(error).__name__)
                self._close()
                stop.wait(_RECONNECT_SECONDS)

    def _heard(self) -> bool:
        if self._connection is None:
            self._connection = self._listen()
            # Something may have been queued while nobody listened.
            return True
        return bool(list(self._connection.notifies(timeout=_SLICE_SECONDS, stop_after=1)))

    def _listen(self) -> "psycopg.Connection[object]":
        # Beside the pool, for this connection is busy all the time.
        url = self._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        connection = psycopg.connect(url, autocommit=True, connect_timeout=3)
        connection.execute(f"LISTEN {WAKE_CHANNEL}")
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
