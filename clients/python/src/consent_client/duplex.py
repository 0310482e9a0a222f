"""Sends the body of one request while it reads the answer, in one thread and without waiting for either side.

Neither side can hold up the other: nothing is sent that the service does not take, and nothing is read before somebody
wants it, so what is held here stays small whatever the length of the stream. One thread is enough and the only safe
number: OpenSSL's connections may not be written and read by two at once.
"""

import contextlib
import selectors
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Final, Self

import h11

from consent_client.transport import Endpoint, NoAnswerError, media_type

_PART: Final = 32 * 2**10


class Duplex:
    """One request and its answer on a connection of its own."""

    def __init__(self, endpoint: Endpoint, path: str, *, content_type: str, timeout: float) -> None:
        """Connect and begin the request; `timeout` is in seconds without progress. Raises NoAnswerError."""
        self._timeout = timeout
        self._http = h11.Connection(h11.CLIENT)
        self._out = bytearray()
        self._can_send = True
        self._ended = False
        self._failure: str | None = None
        self.status: int | None = None
        self.media_type = ""
        self.headers: Mapping[str, str] = {}
        try:
            self._socket = _connect(endpoint, timeout)
        except (OSError, ValueError) as error:
            raise NoAnswerError(type(error).__name__) from None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        headers = {**endpoint.headers, "Content-Type": content_type, "Transfer-Encoding": "chunked"}
        self._queue(
            h11.Request(
                method="POST",
                target=f"{endpoint.path}{path}",
                headers=[("Host", endpoint.host_header), *headers.items()],
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        with contextlib.suppress(OSError):
            self._socket.close()

    @property
    def backlog(self) -> int:
        """Return how many bytes wait to be sent."""
        return len(self._out)

    @property
    def is_ended(self) -> bool:
        """Say whether the answer has come to its proper end."""
        return self._ended

    def send(self, body: bytes) -> None:
        """Put a part of the body in line; nothing happens once the service takes no more."""
        if body and self._can_send:
            self._queue(h11.Data(data=body))

    def finish(self) -> None:
        """Say that the body is complete."""
        if self._can_send:
            self._queue(h11.EndOfMessage())

    def exchange(self, *, wait: bool) -> bytes:
        """Send what the service takes and return what it said since, waiting for either where `wait` says so.

        Raises NoAnswerError where the connection breaks, the answer is no HTTP, or nothing moves for too long.
        """
        give_up_at = time.monotonic() + self._timeout
        while True:
            sent = self._push()
            body, received = self._pull()
            if received or self._ended:
                return body
            if self._failure is not None:
                raise NoAnswerError(self._failure)
            if sent or not wait:
                return b""
            left = give_up_at - time.monotonic()
            interest = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0)
            self._selector.modify(self._socket, interest)
            if left <= 0 or not self._selector.select(left):
                raise NoAnswerError("Timeout")

    def _queue(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        self._out += self._http.send(event) or b""

    def _push(self) -> bool:
        if not self._out:
            return False
        try:
            sent = self._socket.send(memoryview(self._out)[:_PART])
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            # It may have said why before it stopped listening.
            self._can_send = False
            self._out.clear()
            return False
        del self._out[:sent]
        return True

    def _pull(self) -> tuple[bytes, bool]:
        """Return a part of the answer's body, and whether anything came at all.

        A failure is raised by whoever asks next: what came whole before it counts.
        """
        if self._failure is not None:
            return b"", False
        try:
            received = self._socket.recv(_PART)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b"", False
        except OSError as error:
            self._failure = type(error).__name__
            return b"", False
        body = bytearray()
        try:
            self._http.receive_data(received)
            while (event := self._http.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                if isinstance(event, h11.Response):
                    self._begin(event)
                elif isinstance(event, h11.Data):
                    body += event.data
                else:
                    self._ended = isinstance(event, h11.EndOfMessage)
                    break
        except h11.RemoteProtocolError:
            self._failure = "ProtocolError"
        if not received and not self._ended:
            self._failure = self._failure or "ConnectionClosed"
        return bytes(body), bool(received)

    def _begin(self, response: h11.Response) -> None:
        self.status = response.status_code
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
        self.media_type = media_type(self.headers.get("content-type", ""))


def _connect(endpoint: Endpoint, timeout: float) -> socket.socket:
    connection = socket.create_connection((endpoint.host, endpoint.port), timeout)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if endpoint.tls is not None:
            connection = endpoint.tls.wrap_socket(connection, server_hostname=endpoint.host)
        connection.setblocking(False)  # noqa: FBT003 - the socket's own signature
    except BaseException:
        connection.close()
        raise
    return connection
