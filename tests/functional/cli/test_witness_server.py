"""A witness answers over HTTP as C2SP tlog-witness says, and bears callers that mean it no good."""

import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from consent_service.audit import witnessing
from consent_service.cli import witness_server
from consent_service.cli.witness_server import WitnessServer
from consent_service.crypto import notes
from consent_service.web import logs
from tests.small_log import SmallLog
from tests.witnesses import Reply, a_witness, post

LOG = SmallLog()
OTHER = SmallLog("log.example/log/ctl_other", b"\x02" * 32)
FORK = SmallLog(fork_at=2)
TEXT = "text/plain; charset=utf-8"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WitnessServer]:
    with a_witness(tmp_path / "witness", LOG.vkey, OTHER.vkey) as running:
        yield running


def conflict(known: int) -> Reply:
    return Reply(409, "text/x.tlog.size", f"{known}\n")


def raw(server: WitnessServer, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def front_page(server: WitnessServer) -> bytes:
    try:
        return raw(server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    except OSError:
        return b""


@pytest.mark.rule("LOG-06")
class TestAddCheckpoint:
    def test_each_status_is_the_one_of_the_specification(self, server: WitnessServer) -> None:
        stranger, impostor = SmallLog("log.example/log/ctl_stranger"), SmallLog(seed=b"\x09" * 32)

        first = post(server.url, LOG.request(0, 3))

        assert (first.status, first.content_type) == (200, TEXT)
        assert post(server.url, stranger.request(0, 3)).status == 404
        assert post(server.url, impostor.request(3, 8)).status == 403
        assert post(server.url, b"nonsense").status == 400
        assert post(server.url, LOG.request(8, 3)).status == 400
        assert post(server.url, LOG.request(0, 8)) == conflict(3)
        assert post(server.url, FORK.request(3, 3)) == conflict(3)
        assert post(server.url, FORK.request(3, 8)).status == 422
        assert post(server.url, LOG.request(3, 3)).status == 200
        assert post(server.url, LOG.request(3, 8)).status == 200

    @pytest.mark.rule("LOG-02")
    def test_what_it_answers_makes_the_note_a_cosigned_one(self, server: WitnessServer) -> None:
        reply = post(server.url, LOG.request(0, 3))

        opened = notes.open_note(LOG.note(3) + reply.body, [LOG.signer.key, server.witness.cosigner.key])
        assert [signer.key.name for signer in opened.signers] == [LOG.origin, "witness.example/sister"]

    def test_two_logs_are_two_histories(self, server: WitnessServer) -> None:
        assert post(server.url, LOG.request(0, 8)).status == 200
        assert post(server.url, OTHER.request(0, 3)).status == 200

        assert post(server.url, LOG.request(0, 9)) == conflict(8)
        assert post(server.url, OTHER.request(3, 5)).status == 200

    def test_many_at_once_leave_one_history(self, server: WitnessServer) -> None:
        post(server.url, LOG.request(0, 3))
        forks = [SmallLog(fork_at=at) for at in range(3, 11)]

        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda log: post(server.url, log.request(3, 12)), forks))

        assert sorted(reply.status for reply in replies) == [200, *[409] * 7]
        [winner] = [log for log, reply in zip(forks, replies, strict=True) if reply.status == 200]
        assert post(server.url, winner.request(12, 12)).status == 200

    def test_a_connection_may_be_used_again(self, server: WitnessServer) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        statuses = []
        for old, size in ((0, 3), (3, 8), (3, 8)):
            connection.request("POST", "/add-checkpoint", body=LOG.request(old, size))
            response = connection.getresponse()
            statuses.append((response.status, bool(response.read())))
        connection.close()

        assert statuses == [(200, True), (200, True), (409, True)]

    def test_a_memory_that_cannot_be_used_is_an_error_without_a_cosignature(self, server: WitnessServer) -> None:
        post(server.url, LOG.request(0, 3))
        [kept] = (server.witness.folder / "state").glob("*.checkpoint")
        kept.with_name(f".{kept.name}.new").mkdir()

        assert post(server.url, LOG.request(3, 8)) == Reply(500, TEXT, "the witness cannot use its memory\n")


class TestOtherRequests:
    def test_the_front_page_says_what_it_is(self, server: WitnessServer) -> None:
        answer = front_page(server).decode()

        assert answer.startswith("HTTP/1.1 200 ")
        assert answer.endswith(
            f"A witness of transparency logs (c2sp.org/tlog-witness): {server.witness.cosigner.vkey}\n"
        )

    @pytest.mark.parametrize(
        ("request_line", "status"),
        [
            ("GET /add-checkpoint HTTP/1.1", 404),
            ("GET /favicon.ico HTTP/1.1", 404),
            ("PUT /add-checkpoint HTTP/1.1", 501),
            ("POST / HTTP/1.1\r\nContent-Length: 0", 404),
            ("POST /add-checkpoint?x HTTP/1.1\r\nContent-Length: 0", 404),
            ("POST /add-checkpoint HTTP/1.1", 411),
            ("POST /add-checkpoint HTTP/1.1\r\nContent-Length: -1", 411),
            ("POST /add-checkpoint HTTP/1.1\r\nContent-Length: many", 411),
            ("POST /add-checkpoint HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2", 411),
            ("POST /add-checkpoint HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", 411),
            ("POST /add-checkpoint HTTP/1.1\r\nTransfer-Encoding: chunked", 411),
            (f"POST /add-checkpoint HTTP/1.1\r\nContent-Length: {witnessing.MAX_REQUEST_BYTES + 1}", 413),
            (f"POST /add-checkpoint HTTP/1.1\r\nContent-Length: {'9' * 5000}", 413),
        ],
    )
    def test_anything_else_is_refused_in_a_line(self, server: WitnessServer, request_line: str, status: int) -> None:
        head, _, body = raw(server, f"{request_line}\r\nHost: x\r\n\r\n".encode()).decode().partition("\r\n\r\n")

        assert head.startswith(f"HTTP/1.1 {status} ")
        assert "text/plain" in head
        assert "connection: close" in head.lower()
        assert body.count("\n") == 1

    def test_a_body_that_was_cut_off_changes_nothing(self, server: WitnessServer) -> None:
        body = LOG.request(0, 3)
        head = f"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()

        answer = raw(server, head + body[:-1])

        assert answer == b""
        assert post(server.url, LOG.request(3, 8)) == conflict(0)


class TestCallersWithoutEnd:
    def test_one_that_says_nothing_is_hung_up_on(self, tmp_path: Path) -> None:
        with (
            a_witness(tmp_path, LOG.vkey, step_seconds=0.2) as server,
            socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection,
        ):
            connection.sendall(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 9\r\n\r\nold")

            assert connection.recv(100) == b""

    def test_one_that_says_a_little_now_and_then_is_hung_up_on(self, tmp_path: Path) -> None:
        with (
            a_witness(tmp_path, LOG.vkey, connection_seconds=0.3) as server,
            socket.create_connection(("127.0.0.1", server.server_port), timeout=0.05) as connection,
        ):
            said = 0
            while True:
                try:
                    connection.sendall(b"G")
                    said += 1
                    if connection.recv(100) == b"":
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break

            assert 1 < said < 100

    def test_too_many_at_once_are_hung_up_on_and_others_are_served_later(self, server: WitnessServer) -> None:
        address = ("127.0.0.1", server.server_port)
        idle = [socket.create_connection(address, timeout=10) for _ in range(witness_server.MOST_CONNECTIONS)]
        try:
            for connection in idle:
                connection.sendall(b"G")
            with socket.create_connection(address, timeout=10) as late:
                assert late.recv(100) == b""
        finally:
            for connection in idle:
                connection.close()

        # A place is given back when its thread notices, which is soon and not at once.
        tries = (front_page(server) for _ in range(1000))
        assert next(filter(None, tries)).startswith(b"HTTP/1.1 200 ")


class TestLog:
    def test_it_names_the_checkpoint_and_nothing_that_a_caller_liked(
        self, server: WitnessServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        logs.configure()

        post(server.url, LOG.request(0, 3))
        post(server.url, FORK.request(3, 3))
        post(server.url, FORK.request(3, 8))
        post(server.url, b"kari@example.no")
        raw(server, b"GET /kari@example.no HTTP/1.1\r\nHost: kari@example.no\r\n\r\n")

        said = capsys.readouterr().err
        lines = [json.loads(line) for line in said.splitlines()]
        assert [(line["event"], line["status"], line["size"]) for line in lines] == [
            ("checkpoint_answered", 200, 3),
            ("log_contradicts_itself", 409, 3),
            ("log_proves_nothing", 422, 8),
            ("checkpoint_answered", 400, None),
        ]
        assert {line["log"] for line in lines} == {LOG.origin, None}
        assert "kari" not in said
