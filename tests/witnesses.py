"""A witness that listens on loopback, and what answers in its place where a test says so."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from consent_service.audit import witness_state, witnessing
from consent_service.audit.witnessing import Witness
from consent_service.cli.witness_server import WitnessServer

NAME = "witness.example/sister"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back over HTTP."""

    status: int
    content_type: str
    body: str


@contextmanager
def a_witness(
    folder: Path, *vkeys: str, step_seconds: float = 10, connection_seconds: float = 60
) -> Iterator[WitnessServer]:
    """Run a witness of these logs on a free port."""
    witness = Witness(witness_state.open_cosigner(folder, name=NAME), folder, witnessing.watch(vkeys))
    server = WitnessServer(("127.0.0.1", 0), witness, step_seconds=step_seconds, connection_seconds=connection_seconds)
    with _serving(server):
        yield server


@contextmanager
def an_answer(
    status: int, body: bytes, content_type: str = "text/plain", *, delay: threading.Event | None = None
) -> Iterator[str]:
    """Run something that answers every request with the same, byte by byte where it waits, and give its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Location", "http://127.0.0.1:9/")
            self.end_headers()
            for byte in body:
                self.wfile.write(bytes([byte]))
                if delay is not None and delay.wait(0.05):
                    return

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            del format, args

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with _serving(server):
        yield f"http://127.0.0.1:{server.server_port}"


def post(url: str, body: bytes, path: str = "/add-checkpoint") -> Reply:
    """Post one body over a connection of its own."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request("POST", path, body=body)
        response = connection.getresponse()
        return Reply(response.status, response.headers["Content-Type"], response.read().decode())
    finally:
        connection.close()


@contextmanager
def _serving(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()
