"""A witness over HTTP: a small server for few callers that gives each little time and little room."""

import socket
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import structlog

from consent_service import clock
from consent_service.audit import witnessing
from consent_service.audit.witnessing import Answer, Witness
from consent_service.errors import WitnessFolderError
from consent_service.web import logs

PATH: Final = "/add-checkpoint"
#: How long a caller may take over one step, and how long a connection lives, in seconds.
STEP_SECONDS: Final = 10.0
CONNECTION_SECONDS: Final = 60.0
#: How many connections are served at once; one more is hung up on.
MOST_CONNECTIONS: Final = 64

_log = structlog.get_logger(__name__)


class WitnessServer(ThreadingHTTPServer):
    """Serves one witness."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        witness: Witness,
        *,
        step_seconds: float = STEP_SECONDS,
        connection_seconds: float = CONNECTION_SECONDS,
    ) -> None:
        self.witness = witness
        self.step_seconds = step_seconds
        self.connection_seconds = connection_seconds
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        host = str(self.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}"

    def server_bind(self) -> None:
        """Bind without asking the name service who this machine is."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the standard library's signature
        """Serve a connection in a thread of its own, while there is room."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            # No thread could be started, so none will give the place back.
            self._places.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above
        """Serve a connection for no longer than it may live, and give its place back."""
        timer = threading.Timer(self.connection_seconds, _hang_up, [request])
        timer.daemon = True
        timer.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            timer.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above
        """Say nothing of a caller that hung up; whatever else goes wrong is answered where it happens."""


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer
    protocol_version = "HTTP/1.1"
    server_version = "consent-witness"
    sys_version = ""
    error_message_format = "%(message)s\n"
    error_content_type = witnessing.TEXT

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.step_seconds)

    def do_GET(self) -> None:
        # A body that came with it is not read, so what follows on the connection could not be understood.
        self.close_connection = True
        if self.path != "/":
            self._answer(Answer(HTTPStatus.NOT_FOUND, "there is nothing here\n"))
            return
        vkey = self.server.witness.cosigner.vkey
        self._answer(Answer(HTTPStatus.OK, f"A witness of transparency logs (c2sp.org/tlog-witness): {vkey}\n"))

    def do_POST(self) -> None:
        if self.path != PATH:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here\n")
            return
        length = ",".join(self.headers.get_all("Content-Length", []))
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "a request says how long it is\n")
            return
        if len(length) > len(str(witnessing.MAX_REQUEST_BYTES)) or int(length) > witnessing.MAX_REQUEST_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too large\n")
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return
        self._answer(self._judge(body))

    def _judge(self, body: bytes) -> Answer:
        try:
            answer = witnessing.add_checkpoint(self.server.witness, body, now=clock.now)
        except WitnessFolderError as error:
            _log.error("witness_failed", code=error.code, **logs.describe(error))
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, "the witness cannot use its memory\n")
        except Exception as error:  # noqa: BLE001 - the outermost door
            _log.error("witness_failed", **logs.describe(error))
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, "the witness failed\n")
        fields = {"status": int(answer.status), "log": answer.origin, "size": answer.size}
        if answer.is_fork or answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            _log.error("log_contradicts_itself" if answer.is_fork else "log_proves_nothing", **fields)
        else:
            _log.info("checkpoint_answered", **fields)
        return answer

    def _refuse(self, status: HTTPStatus, body: str) -> None:
        """Answer without reading the body, after which nothing on this connection can be understood."""
        self.close_connection = True
        self._answer(Answer(status, body))

    def _answer(self, answer: Answer) -> None:
        content = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Leave the log to what was answered: a request line holds whatever its caller liked."""


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
