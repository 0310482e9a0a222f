"""Asks as the web server does: past the framework where that is possible, and a stream piece by piece."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace

from consent_service.server import Headers, Server
from tests import event_loops


@dataclass(slots=True)
class Received:
    """One request with the pieces of its body, and whatever has been answered."""

    pieces: Iterator[bytes]
    status: int = 0
    body: bytes = b""
    headers: Headers = field(default_factory=list)

    async def __call__(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Walk through the pieces."""
        for piece in self.pieces:
            yield piece

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        """Take a whole answer."""
        self.status, self.headers, self.body = status, headers, body

    def response_stream(self, status: int, headers: Headers) -> "Received":
        """Take the beginning of an answer in pieces."""
        self.status, self.headers = status, headers
        return self

    async def send_bytes(self, data: bytes) -> None:
        """Take a piece of an answer."""
        self.body += data


def post(
    loop: asyncio.AbstractEventLoop, server: Server, url: str, pieces: Iterable[bytes], *, media_type: str, api_key: str
) -> Received:
    """Send one request to the server and return what it answered."""
    path, _, query = url.partition("?")
    scope = SimpleNamespace(
        proto="http",
        http_version="1.1",
        server="127.0.0.1:8000",
        client="127.0.0.1:50000",
        scheme="http",
        method="POST",
        path=path,
        query_string=query,
        headers={"content-type": media_type, "authorization": f"Bearer {api_key}"},
    )
    received = Received(iter(pieces))
    event_loops.run(server.__rsgi__(scope, received), loop=loop)
    return received
