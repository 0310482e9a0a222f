"""Carries one POST and its whole answer, within a time and a size, on connections that rest in a pool meanwhile."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from consent_client.connections import Connection, NoAnswerError
from consent_client.endpoints import Endpoint

#: Longer answers are none; a batch's is a tenth of this.
MOST_BYTES: Final = 64 * 2**20
_MOST_RESTING: Final = 16


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    media_type: str
    body: bytes = field(repr=False)
    retry_after: float | None = None


class Transport:
    """A pool of connections to one service; threads may share it, and so may a process and its forks."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Open nothing yet."""
        self._endpoint = endpoint
        self._resting: list[Connection] = []
        self._process = os.getpid()

    def post(self, path: str, body: bytes, *, timeout: float, headers: Mapping[str, str] | None = None) -> Reply:
        """Send a JSON object and return the whole answer, whatever its status; raises NoAnswerError.

        `timeout` is in seconds and bounds all of it but the look-up of the host's name. No redirect is followed, for it
        would carry address and key elsewhere. A connection that ended while it rested is replaced by a new one.
        """
        give_up_at = time.monotonic() + timeout
        rested = self._take()
        if rested is not None:
            try:
                return self._ask(rested, path, body, headers, give_up_at)
            except NoAnswerError:
                if rested.has_heard or time.monotonic() >= give_up_at:
                    raise
        connection = Connection(self._endpoint, give_up_at=give_up_at)
        return self._ask(connection, path, body, headers, give_up_at)

    def close(self) -> None:
        """Close every connection that rests."""
        while (connection := self._pop()) is not None:
            connection.close()

    def _ask(
        self, connection: Connection, path: str, body: bytes, more: Mapping[str, str] | None, give_up_at: float
    ) -> Reply:
        headers = {
            **self._endpoint.headers,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(more or {}),
        }
        can_rest = False
        try:
            connection.begin(f"{self._endpoint.path}{path}", headers)
            connection.send(body)
            connection.finish()
            reply = _read(connection, give_up_at)
            can_rest = connection.rest() and len(self._resting) < _MOST_RESTING
        finally:
            # One that was interrupted may still say what belongs to nobody.
            if not can_rest:
                connection.close()
        if can_rest:
            self._resting.append(connection)
        return reply

    def _take(self) -> Connection | None:
        """Return a connection that rests and still stands."""
        if self._process != os.getpid():
            # On a connection that two processes share, one would read what the other was told.
            self.close()
            self._process = os.getpid()
        while (connection := self._pop()) is not None:
            if connection.is_quiet:
                return connection
            connection.close()
        return None

    def _pop(self) -> Connection | None:
        try:
            return self._resting.pop()
        except IndexError:
            return None


def _read(connection: Connection, give_up_at: float) -> Reply:
    body = bytearray()
    while not connection.is_ended:
        body += connection.exchange(give_up_at=give_up_at)
        if len(body) > MOST_BYTES:
            raise NoAnswerError("TooLong")
    return Reply(
        status=connection.status or 0,
        media_type=connection.media_type,
        body=bytes(body),
        retry_after=_seconds(connection.headers.get("retry-after")),
    )


def _seconds(value: str | None) -> float | None:
    return float(value) if value and value.isascii() and value.isdigit() and len(value) < len("1000000") else None
