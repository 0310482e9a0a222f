"""A service on loopback that says whatever a test wants it to say."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import h11

HOURS_LEFT = timedelta(hours=4)


@dataclass(slots=True)
class Talk:
    """One connection, seen from the service."""

    socket: socket.socket
    http: h11.Connection = field(default_factory=lambda: h11.Connection(h11.SERVER))
    request: h11.Request | None = None

    def event(self) -> Any:  # noqa: ANN401 - h11's events share no base
        """Return the next event, waiting for it."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(self.socket.recv(2**16))
        return event

    def receive(self) -> bytes | None:
        """Return the body of the next request on this connection, None when no more comes."""
        if self.http.our_state is h11.DONE:
            self.http.start_next_cycle()
        event = self.event()
        if not isinstance(event, h11.Request):
            return None
        self.request = event
        return b"".join(self.parts())

    def begin(self) -> h11.Request:
        """Read the head of a request."""
        event = self.event()
        if not isinstance(event, h11.Request):
            raise ConnectionError
        self.request = event
        return event

    def parts(self) -> Iterator[bytes]:
        """Yield the body of the request as it comes."""
        while isinstance(event := self.event(), h11.Data):
            yield bytes(event.data)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of the body as they come."""
        rest = b""
        for part in self.parts():
            *lines, rest = (rest + part).split(b"\n")
            yield from (json.loads(line) for line in lines)

    def header(self, name: str) -> str | None:
        """Return a header of the request."""
        assert self.request is not None
        return next((value.decode() for key, value in self.request.headers if key == name.lower().encode()), None)

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def answer(
        self,
        body: object,
        *,
        status: int = 200,
        media_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        then: bytes = b"",
    ) -> None:
        """Send a whole answer, and in the same breath what belongs to none."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = [("Content-Type", media_type), ("Content-Length", str(len(data))), *(headers or {}).items()]
        events = (h11.Response(status_code=status, headers=head), h11.Data(data=data), h11.EndOfMessage())
        self.send(b"".join(self.http.send(event) or b"" for event in events) + then)

    def begin_stream(self, headers: Mapping[str, str] | None = None) -> None:
        """Send the head of a stream's answer, with other headers than usual, or without those that are empty."""
        named = [(name, value) for name, value in {**stream_headers(), **(headers or {})}.items() if value]
        self.send(self.http.send(h11.Response(status_code=200, headers=named)) or b"")

    def part(self, data: bytes) -> None:
        """Send a part of a stream's answer."""
        self.send(self.http.send(h11.Data(data=data)) or b"")

    def end(self) -> None:
        """End a stream's answer properly."""
        self.send(self.http.send(h11.EndOfMessage()) or b"")

    def reset(self) -> None:
        """Break the connection so that the other side gets an error and no end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.socket.close()


Handler = Callable[[Talk], None]


@contextlib.contextmanager
def running(handler: Handler) -> Iterator[str]:
    """Run a service while the block lasts and yield its base URL; `handler` is called for each connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    failures: list[BaseException] = []
    threads: list[threading.Thread] = []
    talks: list[socket.socket] = []

    def serve_one(connection: socket.socket) -> None:
        try:
            with connection:
                handler(Talk(connection))
        except (OSError, h11.ProtocolError):
            # Clients that have heard enough hang up.
            pass
        except Exception as error:
            failures.append(error)
            raise

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = listener.accept()[0]
                talks.append(connection)
                threads.append(threading.Thread(target=serve_one, args=(connection,)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for connection in talks:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
    assert failures == []


def always(body: object, **how: Any) -> Handler:  # noqa: ANN401 - passed on to Talk.answer
    """Answer every request the same."""

    def handle(talk: Talk) -> None:
        while talk.receive() is not None:
            talk.answer(body, **how)

    return handle


def raw(data: bytes) -> Handler:
    """Answer every request with bytes that may be no HTTP, and hang up."""

    def handle(talk: Talk) -> None:
        if talk.receive() is not None:
            talk.send(data)

    return handle


def text(moment: datetime) -> str:
    """Return a moment as the service writes it."""
    return moment.isoformat().replace("+00:00", "Z")


def a_yes(**changes: object) -> dict[str, object]:
    """Return the body of a yes about the newsletter by e-mail, good for four hours."""
    now = datetime.now(UTC)
    return {
        "allowed": True,
        "status": "given",
        "reason": "consent_given",
        "purpose": "newsletter",
        "channel": "email",
        "legal_basis": "consent",
        "subject_id": "sub_00000000000000000000000001",
        "consent_id": "con_00000000000000000000000001",
        "notice_version": 3,
        "language": "nb",
        "given_at": text(now - HOURS_LEFT),
        "confirmed_at": text(now - HOURS_LEFT),
        "withdrawn_at": None,
        "expires_at": None,
        "valid_until": text(now + HOURS_LEFT),
        "obligations": ["sender_identity"],
        "decision_id": "dec_00000000000000000000000001",
        "evaluated_at": text(now),
        **changes,
    }


def a_no(reason: str = "no_consent", **changes: object) -> dict[str, object]:
    """Return the body of a no."""
    return a_yes(allowed=False, status="unknown", reason=reason, valid_until=None, **changes)


def an_item(correlation_id: object, *, allowed: object = True, **changes: object) -> dict[str, object]:
    """Return one answer among many."""
    yes = {"status": "given", "reason": "consent_given", "valid_until": text(datetime.now(UTC) + HOURS_LEFT)}
    no = {"status": "unknown", "reason": "no_consent"}
    subject = {"subject_id": "sub_00000000000000000000000001"}
    return {"correlation_id": correlation_id, "allowed": allowed, **(yes if allowed else no), **subject, **changes}


def a_batch(results: list[dict[str, object]], **changes: object) -> dict[str, object]:
    """Return the body of a batch's answer."""
    now = datetime.now(UTC)
    return {
        "evaluated_at": text(now),
        "valid_until": text(now + HOURS_LEFT),
        "decision_id": "dec_00000000000000000000000002",
        "counts": {"allowed": 0, "denied": 0, "invalid": 0},
        "results": results,
        **changes,
    }


def stream_headers() -> dict[str, str]:
    """Return the headers of a stream's answer."""
    now = datetime.now(UTC)
    return {
        "Content-Type": "application/x-ndjson",
        "Transfer-Encoding": "chunked",
        "Decision-Id": "dec_00000000000000000000000003",
        "Evaluated-At": text(now),
        "Valid-Until": text(now + HOURS_LEFT),
    }


def a_line(correlation_id: object, **changes: Any) -> bytes:  # noqa: ANN401 - passed on to an_item
    """Return one line of a stream's answer."""
    return json.dumps(an_item(correlation_id, **changes)).encode() + b"\n"


def a_problem(status: int, code: str, **members: object) -> dict[str, object]:
    """Return the body of a problem document."""
    return {
        "type": f"https://consent.example/problems/{code}",
        "title": "A problem",
        "status": status,
        "detail": "Why.",
        "instance": "5b1c0f",
        "code": code,
        **members,
    }
