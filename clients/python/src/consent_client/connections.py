"""Carries HTTP/1.1 over one connection, in one thread, without ever waiting longer than it was told.

What is sent and what is read never wait for each other, so neither side can hold up the other, and what is held here
stays small whatever the length of a body. One thread is enough and the only safe number: OpenSSL's connections may not
be written and read by two at once.
"""

import contextlib
import selectors
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Final

import h11

from consent_client.endpoints import Endpoint

_PART: Final = 32 * 2**10
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
#: What a socket says when it has nothing to give or takes nothing now.
_NOT_NOW: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class NoAnswerError(Exception):
    """No whole answer came; the message names the kind of failure and nothing else."""


class Connection:
    """A connection on which one request follows another; `status`, `media_type` and `headers` are the answer's."""

    def __init__(self, endpoint: Endpoint, *, give_up_at: float) -> None:
        """Connect until a moment of the monotonic clock; raises NoAnswerError."""
        self._http = h11.Connection(h11.CLIENT)
        self._out = bytearray()
        self._can_send = True
        self._failure: str | None = None
        self._reset_answer()
        self._selector = selectors.DefaultSelector()
        try:
            self._socket = _connect(endpoint, give_up_at)
        except (OSError, ValueError) as error:
            self._selector.close()
            # Without the cause, here and below: its frames may hold what was sent.
            raise NoAnswerError(type(error).__name__) from None
        self._selector.register(self._socket, _READ)
        try:
            self._shake_hands(give_up_at)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        self._selector.close()
        with contextlib.suppress(OSError):
            self._socket.close()

    @property
    def backlog(self) -> int:
        """Return how many bytes wait to be sent."""
        return len(self._out)

    @property
    def is_quiet(self) -> bool:
        """Say whether the other side has said nothing since its last answer; a connection that ended says so."""
        self._selector.modify(self._socket, _READ)
        return not self._selector.select(0)

    def begin(self, target: str, headers: Mapping[str, str]) -> None:
        """Put the head of a POST in line."""
        self._reset_answer()
        self._queue(h11.Request(method="POST", target=target, headers=list(headers.items())))

    def send(self, body: bytes) -> None:
        """Put a part of the body in line; nothing happens once the other side takes no more."""
        if body and self._can_send:
            self._queue(h11.Data(data=body))

    def finish(self) -> None:
        """Say that the body is complete."""
        if self._can_send:
            self._queue(h11.EndOfMessage())

    def exchange(self, *, give_up_at: float, wait: bool = True) -> bytes:
        """Send what the other side takes and return the part of the answer's body that has come.

        Waits until something moves, where `wait` says so. Raises NoAnswerError where the connection breaks, what comes
        is no HTTP, or nothing moves until `give_up_at`; what came whole before that has been returned.
        """
        while True:
            sent = self._push()
            received, body = self._pull()
            if received or self.is_ended:
                return body
            if self._failure is not None:
                raise NoAnswerError(self._failure)
            if sent or not wait:
                return b""
            self._wait(_READ | _WRITE if self._out else _READ, give_up_at)

    def rest(self) -> bool:
        """Make ready for another request, and say whether there can be one."""
        is_done = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        if not is_done or self._failure is not None or not self._can_send or self._http.trailing_data[0]:
            return False
        self._http.start_next_cycle()
        return True

    def _reset_answer(self) -> None:
        self.status: int | None = None
        self.media_type = ""
        self.headers: Mapping[str, str] = {}
        self.is_ended = False
        self.has_heard = False

    def _queue(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        self._out += self._http.send(event) or b""

    def _push(self) -> bool:
        if not self._out:
            return False
        try:
            sent = self._socket.send(memoryview(self._out)[:_PART])
        except _NOT_NOW:
            return False
        except OSError:
            # The other side may have said why before it stopped listening.
            self._can_send = False
            self._out.clear()
            return False
        del self._out[:sent]
        return True

    def _pull(self) -> tuple[bool, bytes]:
        """Return whether anything came, and the part of the body in it; a failure is kept for whoever asks next."""
        if self._failure is not None:
            return False, b""
        try:
            received = self._socket.recv(_PART)
        except _NOT_NOW:
            return False, b""
        except OSError as error:
            self._failure = type(error).__name__
            return False, b""
        self.has_heard = self.has_heard or bool(received)
        body = bytearray()
        try:
            for part in self._parse(received):
                body += part
        except h11.RemoteProtocolError:
            self._failure = "ProtocolError"
        if not received and not self.is_ended:
            self._failure = self._failure or "ConnectionClosed"
        return bool(received), bytes(body)

    def _parse(self, received: bytes) -> Iterator[bytes]:
        self._http.receive_data(received)
        while (event := self._http.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            if isinstance(event, h11.Response):
                self.status = event.status_code
                self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
                self.media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
            elif isinstance(event, h11.Data):
                yield event.data
            elif not isinstance(event, h11.InformationalResponse):
                self.is_ended = isinstance(event, h11.EndOfMessage)
                return

    def _wait(self, interest: int, give_up_at: float) -> None:
        self._selector.modify(self._socket, interest)
        left = give_up_at - time.monotonic()
        if left <= 0 or not self._selector.select(left):
            raise NoAnswerError("Timeout")

    def _shake_hands(self, give_up_at: float) -> None:
        while isinstance(self._socket, ssl.SSLSocket):
            try:
                self._socket.do_handshake()
                return
            except ssl.SSLWantReadError:
                self._wait(_READ, give_up_at)
            except ssl.SSLWantWriteError:
                self._wait(_WRITE, give_up_at)
            except (OSError, ValueError) as error:
                raise NoAnswerError(type(error).__name__) from None


def _connect(endpoint: Endpoint, give_up_at: float) -> socket.socket:
    """Connect to the first address of the host that answers; each gets its share of the time that is left."""
    addresses = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    failure: Exception = OSError()
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        share = (give_up_at - time.monotonic()) / (len(addresses) - tried)
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(max(share, 0.001))
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setblocking(False)  # noqa: FBT003 - the socket's own signature
            if endpoint.tls is None:
                return connection
            return endpoint.tls.wrap_socket(connection, server_hostname=endpoint.host, do_handshake_on_connect=False)
        except (OSError, ValueError) as error:
            connection.close()
            failure = error
    raise failure
