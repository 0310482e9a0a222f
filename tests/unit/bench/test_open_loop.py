"""The open loop against a server of a few lines."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench import open_loop
from bench.open_loop import OpenLoop

Serve = Callable[[type[BaseHTTPRequestHandler]], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:

        def begin(handler: type[BaseHTTPRequestHandler]) -> int:
            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return server.server_port

        yield begin


class Quick(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/yes" else 503)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class HangsUp(Quick):
    def do_GET(self) -> None:
        self.close_connection = True


class TestOpenLoop:
    def test_every_request_that_was_due_is_sent_and_timed(self, serve: Serve) -> None:
        loop = OpenLoop(serve(Quick), rate=200, seconds=0.1, request=lambda _: open_loop.get("/yes"))

        answers = loop.run()

        assert (len(answers.times), answers.refused, answers.missing) == (20, 0, 0)
        assert min(answers.times) > 0

    def test_another_status_is_no_good_answer(self, serve: Serve) -> None:
        loop = OpenLoop(serve(Quick), rate=200, seconds=0.05, request=lambda _: open_loop.get("/no"))

        assert loop.run().refused == 10

    def test_a_server_that_hangs_up_leaves_answers_missing(self, serve: Serve) -> None:
        loop = OpenLoop(serve(HangsUp), rate=200, seconds=0.05, request=lambda _: open_loop.get("/yes"))

        assert loop.run().missing == 10
