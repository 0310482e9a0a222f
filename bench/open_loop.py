"""Open loop: requests leave at a fixed rate, however slowly the last ones are answered.

A request's time runs from the moment at which it was meant to leave, so a server that makes requests wait for a free
connection, or this generator when it is late itself, is not measured as faster than it felt (coordinated omission).
"""

import contextlib
import math
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bench import figures

MOST_CONNECTIONS: Final = 128
_OK: Final = b" 200 "
_END_OF_HEAD: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answers:
    """How long answers took from when the request was meant to leave, in ms, and how many were not 200 or missing."""

    times: tuple[float, ...]
    refused: int
    missing: int

    def percentile(self, share: float) -> float:
        """Return a percentile in ms; what was never answered took for ever."""
        return figures.percentile((*self.times, *[math.inf] * self.missing), share)


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    meant_at: float = 0.0
    received: bytearray = field(default_factory=bytearray)


class OpenLoop:
    """Requests at a fixed rate over connections that are kept open, more of them as needed up to a limit."""

    def __init__(self, port: int, *, rate: float, seconds: float, request: Callable[[int], bytes]) -> None:
        self._port = port
        self._rate = rate
        self._count = int(rate * seconds)
        self._request = request
        self._idle: list[_Connection] = []
        self._busy: dict[int, _Connection] = {}
        self._waiting: deque[tuple[int, float]] = deque()
        self._times: list[float] = []
        self._refused = 0

    def run(self, *, patience: float = 30.0) -> Answers:
        """Send everything, wait for the answers up to `patience` seconds longer, and return what was measured."""
        begun = time.perf_counter() + 0.05
        give_up_at = begun + self._count / self._rate + patience
        sent = 0
        while (sent < self._count or self._busy or self._waiting) and time.perf_counter() < give_up_at:
            due = begun + sent / self._rate
            while sent < self._count and due <= time.perf_counter():
                self._waiting.append((sent, due))
                sent += 1
                due = begun + sent / self._rate
            self._send_waiting()
            pause = max(0.0, due - time.perf_counter()) if sent < self._count else 0.05
            ready, _, _ = select.select(list(self._busy), [], [], pause)
            for number in ready:
                self._receive(number)
        for connection in (*self._idle, *self._busy.values()):
            connection.socket.close()
        return Answers(tuple(self._times), self._refused, self._count - len(self._times))

    def _send_waiting(self) -> None:
        while self._waiting and (self._idle or len(self._busy) < MOST_CONNECTIONS):
            number, due = self._waiting.popleft()
            connection = self._idle.pop() if self._idle else self._connect()
            connection.meant_at = due
            connection.received.clear()
            # A server may hang up on a connection that was idle; the answer is then missing, and counted so.
            with contextlib.suppress(ConnectionError):
                connection.socket.sendall(self._request(number))
            self._busy[connection.socket.fileno()] = connection

    def _connect(self) -> _Connection:
        opened = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _Connection(opened)

    def _receive(self, number: int) -> None:
        connection = self._busy[number]
        part = b""
        with contextlib.suppress(ConnectionError):
            part = connection.socket.recv(65_536)
        connection.received += part
        if part and not is_whole(connection.received):
            return
        now = time.perf_counter()
        del self._busy[number]
        if not part:
            connection.socket.close()
            return
        self._times.append((now - connection.meant_at) * 1000)
        if _OK not in connection.received.split(b"\r\n", 1)[0]:
            self._refused += 1
        self._idle.append(connection)


def is_whole(received: bytes | bytearray) -> bool:
    """Say whether an answer with a Content-Length has arrived wholly."""
    head, separator, body = bytes(received).partition(_END_OF_HEAD)
    if not separator:
        return False
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return len(body) >= int(value)
    return body.endswith(b"0\r\n\r\n")


def get(path: str) -> bytes:
    """Write a GET as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def post(path: str, body: bytes, *, credential: str) -> bytes:
    """Write a POST of JSON as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {credential}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
