"""Speaks with the web server (RSGI) and hands each request to the application, one at a time for each process.

A body is received whole before the application is called, and an answer is sent after it has returned, so a slow
caller holds up nobody. A stream is received and sent here at the same time, with an end to standing still.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from io import BytesIO
from typing import Any, Final, Protocol
from urllib.parse import unquote_to_bytes

from flask import Flask

from consent_service.api import exports, many_checks, quick_checks
from consent_service.api.many_asking import Lines
from consent_service.api.quick_checks import QuickChecks
from consent_service.app import create_app
from consent_service.config import Settings

#: A stream that neither sends nor takes anything for so long is ended.
STANDS_STILL_SECONDS: Final = 30.0
#: Answers go out when nothing more has come for so long, however few they are.
_LULL_SECONDS: Final = 0.05
# The server keeps a number of pieces for a caller who does not take them, so they are small.
_PIECE_BYTES: Final = 16 * 1024
#: Nobody in a stream waits longer for an answer, however steadily more people come.
LONGEST_WAIT_SECONDS: Final = 0.25
#: Streams and files that one process carries at a time; the next one is told to come back.
MOST_STREAMS: Final = 32
#: No body of the API is longer.
LONGEST_BODY_BYTES: Final = many_checks.LARGEST_BATCH_BYTES
# How long a thread that decides for a stream may keep the interpreter from a check that waits, in seconds.
_SWITCH_SECONDS: Final = 0.001

Headers = list[tuple[str, str]]
Environ = dict[str, Any]


class Scope(Protocol):
    """What the server says of a request."""

    proto: str
    http_version: str
    server: str
    client: str
    scheme: str
    method: str
    path: str
    query_string: str
    headers: Any


class Transport(Protocol):
    """Takes an answer piece by piece."""

    async def send_bytes(self, data: bytes) -> None:
        """Send a piece; returns when there is room for the next."""


class HttpProtocol(Protocol):
    """One request that waits for its answer."""

    async def __call__(self) -> bytes:
        """Return the whole body."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Walk through the pieces of the body as they come."""

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer whole."""

    def response_stream(self, status: int, headers: Headers) -> Transport:
        """Answer piece by piece."""


class Server:
    """The application as the web server calls it."""

    def __init__(
        self,
        app: Flask,
        *,
        stands_still_seconds: float = STANDS_STILL_SECONDS,
        longest_wait_seconds: float = LONGEST_WAIT_SECONDS,
    ) -> None:
        self._app = app
        self._stands_still_seconds = stands_still_seconds
        self._longest_wait_seconds = longest_wait_seconds
        self._quick = QuickChecks(app)
        self._streams = 0
        # Its one thread has a connection of its own, so streams together ask the database one thing at a time.
        self._streaming = ThreadPoolExecutor(max_workers=1, thread_name_prefix="streams")

    async def __rsgi__(self, scope: Scope, protocol: HttpProtocol) -> None:
        """Answer one request."""
        if scope.method == "POST":
            if scope.path == quick_checks.PATH:
                body = await _receive_short(scope, protocol)
                quick = self._quick.answer(scope.headers, scope.query_string, body)
                if quick is not None:
                    protocol.response_bytes(HTTPStatus.OK, quick.headers, quick.body)
                    return
            elif scope.path == "/v1/checks/stream":
                await self._answer_stream(scope, protocol)
                return
            else:
                body = await _receive(protocol)
        else:
            body = b"" if scope.method in {"GET", "HEAD"} else await _receive(protocol)
        await self._answer(protocol, _environ(scope, body))

    async def _answer(self, protocol: HttpProtocol, environ: Environ) -> None:
        """Call the application, and send what it answers; of a file piece by piece, while others are answered."""
        place: list[Iterator[bytes]] = []
        environ[exports.FILE_KEY] = place
        environ[exports.BUSY_KEY] = self._streams >= MOST_STREAMS
        status, headers, answer = self._call(environ)
        if not place:
            protocol.response_bytes(status, headers, answer)
            return
        self._streams += 1
        transports = [protocol.response_stream(status, headers)]
        try:
            loop = asyncio.get_running_loop()
            while piece := await loop.run_in_executor(self._streaming, next, place[0], b""):
                if not await _send(transports[0], piece, self._stands_still_seconds):
                    return
        finally:
            self._streams -= 1
            transports.clear()

    def _call(self, environ: Environ) -> tuple[int, Headers, bytes]:
        begun: list[tuple[int, Headers]] = []

        def start(status: str, headers: Headers, exc_info: object = None) -> Callable[[bytes], object]:
            del exc_info
            begun[:] = [(int(status[:3]), [(name.lower(), value) for name, value in headers])]
            return lambda _: None

        pieces: Iterable[bytes] = self._app.wsgi_app(environ, start)
        try:
            answer = b"".join(pieces)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
        status, headers = begun[0]
        return status, headers, answer

    async def _answer_stream(self, scope: Scope, protocol: HttpProtocol) -> None:
        place: list[Lines] = []
        environ = _environ(scope, b"")
        environ[many_checks.STREAM_KEY] = place
        environ[many_checks.BUSY_KEY] = self._streams >= MOST_STREAMS
        status, headers, answer = self._call(environ)
        if not place:
            protocol.response_bytes(status, headers, answer)
            return
        headers = [header for header in headers if header[0] != "content-length"]
        self._streams += 1
        transports = [protocol.response_stream(status, headers)]
        try:
            await self._carry(place[0], protocol, transports)
        finally:
            self._streams -= 1
            # The server ends the answer when nobody holds the transport any more, and a frame that the traceback of a
            # line's fault still holds would hold it too, until the garbage is collected.
            transports.clear()

    async def _carry(self, lines: Lines, protocol: HttpProtocol, transports: list[Transport]) -> None:
        """Receive, decide and send until the end; returns early where nothing moves any more."""
        loop = asyncio.get_running_loop()
        pieces = aiter(protocol)
        receiving: asyncio.Future[bytes] = asyncio.ensure_future(_next(pieces))
        answered_at = loop.time()
        while True:
            patience = _LULL_SECONDS if lines.is_waiting else self._stands_still_seconds
            done, _ = await asyncio.wait({receiving}, timeout=patience)
            if done:
                piece = receiving.result()
                if not piece:
                    lines.finish()
                elif not lines.feed(piece) and (
                    not lines.is_waiting or loop.time() - answered_at < self._longest_wait_seconds
                ):
                    receiving = asyncio.ensure_future(_next(pieces))
                    continue
            elif not lines.is_waiting:
                receiving.cancel()
                return
            answer = await loop.run_in_executor(self._streaming, lines.answer) if lines.is_waiting else b""
            answered_at = loop.time()
            if answer and not await _send(transports[0], answer, self._stands_still_seconds):
                receiving.cancel()
                return
            if done:
                if not piece:
                    return
                receiving = asyncio.ensure_future(_next(pieces))


def create() -> Server:
    """Make the server of this process with the settings of its environment."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    return Server(create_app(Settings.from_environ()))


async def _send(transport: Transport, answer: bytes, patience: float) -> bool:
    """Send an answer in small pieces; each within `patience` seconds; returns whether all was taken."""
    try:
        for start in range(0, len(answer), _PIECE_BYTES):
            piece = answer[start : start + _PIECE_BYTES]
            await asyncio.wait_for(transport.send_bytes(piece), patience)
    except (TimeoutError, RuntimeError):
        return False
    return True


async def _next(pieces: AsyncIterator[bytes]) -> bytes:
    """Return the next piece that holds anything, and none at the end."""
    try:
        while True:
            piece = await anext(pieces)
            if piece:
                return bytes(piece)
    except StopAsyncIteration:
        return b""


async def _receive_short(scope: Scope, protocol: HttpProtocol) -> bytes:
    """Receive a body at once where it says that it is short, which is quicker."""
    length = scope.headers.get("content-length")
    if length is not None and length.isdecimal() and int(length) <= LONGEST_BODY_BYTES:
        return await protocol()
    return await _receive(protocol)


async def _receive(protocol: HttpProtocol) -> bytes:
    """Receive a body, or as much of it as is enough to see that it is too long."""
    pieces = []
    received = 0
    async for piece in protocol:
        pieces.append(bytes(piece))
        received += len(piece)
        if received > LONGEST_BODY_BYTES:
            break
    return b"".join(pieces)


def _environ(scope: Scope, body: bytes) -> Environ:
    """Write a request as WSGI wants it (PEP 3333)."""
    host, _, port = scope.server.rpartition(":")
    address = scope.client.rpartition(":")[0] if scope.client else ""
    environ: Environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope.path).decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": host or "127.0.0.1",
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": address.strip("[]"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        key = name.upper().replace("-", "_")
        if key in {"CONTENT_TYPE", "CONTENT_LENGTH"}:
            environ[key] = value
        else:
            variable = f"HTTP_{key}"
            # A header that stands twice is one list (RFC 9110 §5.3).
            environ[variable] = f"{environ[variable]},{value}" if variable in environ else value
    return environ
