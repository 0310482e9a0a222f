"""Measures many decisions at once: batches, a stream of a million lines, and streams that stop reading."""

import contextlib
import http.client
import itertools
import json
import random
import select
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import figures, open_loop, people
from bench.figures import Spread
from bench.installation import Service
from bench.open_loop import Answers, OpenLoop
from bench.processes import BenchmarkError
from consent_service import identifiers

BATCH: Final = 10_000
STALLED: Final = 20
BATCH_PATH: Final = "/v1/checks/batch"
STREAM_PATH: Final = "/v1/checks/stream?purpose=newsletter&channel=email"

_LINES_A_PART: Final = 1_000
#: Longer than a worker takes for a piece of a stream, and much shorter than the service bears one that stands still.
_STALLED_AFTER_SECONDS: Final = 3.0
_STALLED_WITHIN_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class StreamRun:
    """One stream: lines answered, seconds it took, and the peak of each web process in MB."""

    lines: int
    seconds: float
    peaks: tuple[float, ...]
    peaks_before: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Return lines per second."""
        return self.lines / self.seconds


@dataclass(frozen=True, slots=True)
class Calm:
    """Times of checks and withdrawals that went on at a fixed rate beside something else."""

    checks: Answers
    withdrawals: Answers


def has(service: Service, path: str) -> bool:
    """Say whether this build of the service has a route; a stream is asked with no line."""
    status, _ = _raw(service, path, b"")
    return status not in {http.client.NOT_FOUND, http.client.METHOD_NOT_ALLOWED}


def batch_seconds(service: Service, *, total: int, runs: int) -> Spread:
    """Return how long batches of 10,000 take, one after the other."""
    drawn = random.Random(1)  # noqa: S311 - which people are asked about is no secret.
    bodies = [_batch(drawn, total) for _ in range(runs)]
    _batch_once(service, _batch(drawn, total))
    return figures.spread([_batch_once(service, body) for body in bodies])


def batch_rate(service: Service, *, total: int, runs: int, at_once: int) -> Spread:
    """Return decisions per second with so many batches under way at once."""
    drawn = random.Random(2)  # noqa: S311 - as above.
    rates = []
    with ThreadPoolExecutor(at_once) as pool:
        for _ in range(runs):
            bodies = [_batch(drawn, total) for _ in range(at_once * 2)]
            begun = time.perf_counter()
            list(pool.map(lambda body: _batch_once(service, body), bodies))
            rates.append(len(bodies) * BATCH / (time.perf_counter() - begun))
    return figures.spread(rates)


def stream(service: Service, *, total: int, lines: int) -> StreamRun:
    """Send so many lines, read the answers as they come, and watch the memory of the web processes."""
    web = sorted(service.web_processes())
    for pid in web:
        with contextlib.suppress(OSError):
            # The kernel's own way to let the peak begin anew (proc(5), clear_refs).
            Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    before = tuple(_peak(pid) for pid in web)
    parts = list(itertools.islice(_parts(total), -(-lines // _LINES_A_PART)))
    begun = time.perf_counter()
    with socket.create_connection(("127.0.0.1", service.port), timeout=120) as opened:
        sender = threading.Thread(target=_send, args=(opened, service, parts), daemon=True)
        sender.start()
        answered = _count_answers(opened)
        seconds = time.perf_counter() - begun
        sender.join(timeout=10)
    if answered != len(parts) * _LINES_A_PART:
        raise BenchmarkError(f"a stream of {len(parts) * _LINES_A_PART} lines answered {answered}")
    return StreamRun(answered, seconds, tuple(_peak(pid) for pid in web), before)


def calm(service: Service, *, total: int, seconds: float) -> Calm:
    """Keep up checks (100 a second) and withdrawals (10 a second) and return how long they took."""
    drawn = random.Random()  # noqa: S311 - as above; other people each time, for a withdrawal is final.
    credential = service.company.api_key

    def check(_: int) -> bytes:
        return check_request(drawn.randrange(total), credential=credential)

    def withdraw(_: int) -> bytes:
        # Those at the other end stay as they were written, for a later run that asks whether their rows are right.
        subject = {"subject": {"email": people.email(drawn.randrange(total // 2, total))}}
        return open_loop.post("/v1/withdrawals", json.dumps(subject).encode(), credential=credential)

    checks = OpenLoop(service.port, rate=100, seconds=seconds, request=check)
    withdrawals = OpenLoop(service.port, rate=10, seconds=seconds, request=withdraw)
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(checks.run), pool.submit(withdrawals.run)]
        return Calm(running[0].result(), running[1].result())


@contextlib.contextmanager
def stalled_streams(service: Service, *, total: int) -> Iterator[int]:
    """Open twenty streams that send lines and never read an answer, while the block lasts; yield how many were let in.

    The block begins when nothing has gone through for some time: all that could be answered is answered, the buffers
    on the way are full, and the service has stopped reading, which is what is asked of it.
    """
    opened: dict[socket.socket, bytes] = {}
    part = _chunk(next(_parts(total)))
    try:
        for _ in range(STALLED):
            each = socket.socket()
            # Before it connects, so that little fits on the way and the stream soon stands.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            each.connect(("127.0.0.1", service.port))
            each.settimeout(0)
            opened[each] = _head(service)
        moved_at = begun = time.monotonic()
        while (
            time.monotonic() - moved_at < _STALLED_AFTER_SECONDS and time.monotonic() - begun < _STALLED_WITHIN_SECONDS
        ):
            _, writable, _ = select.select([], list(opened), [], 0.1)
            for each in writable:
                with contextlib.suppress(OSError):
                    opened[each] = opened[each][each.send(opened[each]) :] or part
                    moved_at = time.monotonic()
        yield sum(1 for each in opened if _was_let_in(each))
    finally:
        for each in opened:
            each.close()


def check_request(number: int, *, credential: str) -> bytes:
    """Write a single check as it goes over the wire."""
    question = {"subject": {"email": people.email(number)}, "purpose": "newsletter", "channel": "email"}
    return open_loop.post("/v1/checks", json.dumps(question).encode(), credential=credential)


def reference(number: int) -> dict[str, object]:
    """Name a person by address, by id with the address, or by the shop's own number with the address, in turn."""
    point = {"contact_point": {"email": people.email(number)}}
    match number % 3:
        case 0:
            return {"email": people.email(number)}
        case 1:
            return {"id": identifiers.from_uuid(uuid.UUID(people.subject_hex(number)), "sub"), **point}
        case _:
            return {"external_id": people.external_id(number), **point}


def _batch(drawn: random.Random, total: int) -> bytes:
    subjects = [{**reference(drawn.randrange(total)), "correlation_id": str(index)} for index in range(BATCH)]
    return json.dumps({"purpose": "newsletter", "channel": "email", "subjects": subjects}).encode()


def _batch_once(service: Service, body: bytes) -> float:
    begun = time.perf_counter()
    status, answer = _raw(service, BATCH_PATH, body)
    seconds = time.perf_counter() - begun
    if status != http.client.OK:
        raise BenchmarkError(f"a batch was answered with {status}: {answer[:300]!r}")
    document = json.loads(answer)
    if len(document["results"]) != BATCH or document["counts"]["invalid"] or not document["counts"]["allowed"]:
        raise BenchmarkError(f"a batch was answered with {document['counts']}")
    return seconds


def _raw(service: Service, path: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=120)
    kind = "application/x-ndjson" if path == STREAM_PATH else "application/json"
    headers = {"Authorization": f"Bearer {service.company.api_key}", "Content-Type": kind}
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _parts(total: int) -> Iterator[bytes]:
    """Yield parts of a thousand lines, without end; lines name people as a batch does."""
    drawn = random.Random(3)  # noqa: S311 - as above.
    # A hundred parts in a circle: making a million lines of JSON would be measured otherwise.
    made = [
        b"".join(
            json.dumps({**reference(drawn.randrange(total)), "correlation_id": str(index)}).encode() + b"\n"
            for index in range(_LINES_A_PART)
        )
        for _ in range(100)
    ]
    yield from itertools.cycle(made)


def _head(service: Service) -> bytes:
    return (
        f"POST {STREAM_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {service.company.api_key}\r\n"
        "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()


def _chunk(part: bytes) -> bytes:
    return f"{len(part):x}\r\n".encode() + part + b"\r\n"


def _send(opened: socket.socket, service: Service, parts: list[bytes]) -> None:
    with contextlib.suppress(OSError):
        opened.sendall(_head(service))
        for part in parts:
            opened.sendall(_chunk(part))
        opened.sendall(b"0\r\n\r\n")


def _count_answers(opened: socket.socket) -> int:
    answer = http.client.HTTPResponse(opened, method="POST")
    answer.begin()
    if answer.status != http.client.OK:
        raise BenchmarkError(f"a stream was answered with {answer.status}: {answer.read(300)!r}")
    count = 0
    while part := answer.read1(65_536):
        count += part.count(b"\n")
    return count


def _peak(pid: int) -> float:
    """Return the greatest resident memory of a process since its peak was last cleared, in MB."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1_000_000
    return 0.0


def _was_let_in(opened: socket.socket) -> bool:
    """Say whether a stream is being answered; one that is refused is answered with an error."""
    with contextlib.suppress(BlockingIOError):
        return opened.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
    return True
