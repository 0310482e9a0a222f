"""The server receives and sends at the same time, ends what stands still, and takes both roads of a check for one."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask

from consent_service.api import asking
from consent_service.server import LONGEST_BODY_BYTES, MOST_STREAMS, Server
from tests import event_loops
from tests.functional.api.conftest import KARI, System

CHECK = {"subject": KARI, "purpose": "survey", "channel": "email"}
LINE = json.dumps(KARI).encode() + b"\n"
PATIENCE = 30.0

Pieces = Callable[["Call"], AsyncIterator[bytes]]


@dataclass
class Call:
    """One request as the web server hands it over, and what is answered."""

    path: str
    key: str
    pieces: Pieces
    query_string: str = ""
    content_type: str = "application/json"
    length: int | None = None
    takes: bool = True
    method: str = "POST"
    proto: str = "http"
    http_version: str = "1.1"
    server: str = "127.0.0.1:8000"
    client: str = "127.0.0.1:40000"
    scheme: str = "http"
    status: int = 0
    answered_headers: dict[str, str] = field(default_factory=dict)
    sent: int = 0
    body: bytes = b""
    is_answered: asyncio.Event = field(default_factory=asyncio.Event)
    headers: Any = None

    def __post_init__(self) -> None:
        self.headers = {"authorization": f"Bearer {self.key}", "content-type": self.content_type}
        if self.length is not None:
            self.headers["content-length"] = str(self.length)

    async def __call__(self) -> bytes:
        return b"".join([piece async for piece in self])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self.pieces(self):
            self.sent += len(piece)
            yield piece

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.answered_headers, self.body = status, dict(headers), body

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> "Call":
        self.status, self.answered_headers = status, dict(headers)
        return self

    async def send_bytes(self, data: bytes) -> None:
        if not self.takes:
            await asyncio.Event().wait()
        self.body += data
        self.is_answered.set()

    @property
    def answers(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.body.splitlines()]


def whole(body: bytes) -> Pieces:
    async def pieces(_: Call) -> AsyncIterator[bytes]:
        yield body

    return pieces


async def never(_: Call) -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


def a_check(system: System, body: object = CHECK, *, path: str = "/v1/checks") -> Call:
    text = json.dumps(body).encode()
    return Call(path, system.key, whole(text), length=len(text))


def a_stream(system: System, pieces: Pieces, **said: Any) -> Call:  # noqa: ANN401 - passed on
    return Call(
        "/v1/checks/stream",
        system.key,
        pieces,
        query_string="purpose=survey&channel=email",
        content_type="application/x-ndjson",
        **said,
    )


def serve(server: Server, *calls: Call) -> None:
    """Answer calls at the same time."""

    async def all_of_them() -> None:
        await asyncio.wait_for(asyncio.gather(*(server.__rsgi__(call, call) for call in calls)), PATIENCE)

    event_loops.run(all_of_them())


class TestBothRoads:
    @pytest.mark.rule("ACC-01")
    def test_answer_alike(self, app: Flask, system: System) -> None:
        system.post("/v1/consents", system.report())
        server = Server(app)
        quick, usual = a_check(system), a_check(system, {**CHECK, "as_of": None})

        serve(server, quick)
        serve(server, usual)

        ours, theirs = json.loads(quick.body), json.loads(usual.body)
        assert list(ours) == list(theirs)
        for name in ("evaluated_at", "valid_until", "decision_id"):
            assert ours.pop(name) is not None
            assert theirs.pop(name) is not None
        assert ours == theirs
        assert ours["allowed"] is True
        assert set(quick.answered_headers) | {"content-length"} == set(usual.answered_headers) | {"content-length"}

    def test_a_withdrawal_between_two_quick_checks_counts(self, app: Flask, system: System) -> None:
        system.post("/v1/consents", system.report())
        server = Server(app)
        before, after = a_check(system), a_check(system)

        serve(server, before)
        system.post("/v1/withdrawals", {"subject": KARI})
        serve(server, after)

        assert [json.loads(call.body)["allowed"] for call in (before, after)] == [True, False]

    def test_a_check_that_is_too_long_is_refused_without_receiving_all_of_it(self, app: Flask, system: System) -> None:
        async def endless(_: Call) -> AsyncIterator[bytes]:
            while True:
                yield b" " * 1024 * 1024

        call = Call("/v1/checks", system.key, endless)

        serve(Server(app), call)

        assert call.status == 413
        assert call.sent < 2 * LONGEST_BODY_BYTES


class TestStreams:
    def test_a_slow_sender_is_answered_while_it_sends(self, app: Flask, system: System) -> None:
        async def slowly(call: Call) -> AsyncIterator[bytes]:
            for _ in range(3):
                yield LINE
                await call.is_answered.wait()
                call.is_answered.clear()

        call = a_stream(system, slowly)

        serve(Server(app), call)

        assert (call.status, len(call.answers)) == (200, 3)

    def test_a_sender_that_never_pauses_is_answered_before_a_chunk_is_full(self, app: Flask, system: System) -> None:
        async def steadily(call: Call) -> AsyncIterator[bytes]:
            while not call.is_answered.is_set():
                yield LINE
                await asyncio.sleep(0)

        call = a_stream(system, steadily)

        serve(Server(app, longest_wait_seconds=0), call)

        assert call.sent < 10 * len(LINE)
        assert len(call.answers) * len(LINE) == call.sent

    def test_one_that_sends_nothing_more_is_ended(self, app: Flask, system: System) -> None:
        async def stuck(call: Call) -> AsyncIterator[bytes]:
            yield LINE
            async for piece in never(call):
                yield piece

        call = a_stream(system, stuck)

        serve(Server(app, stands_still_seconds=0.1), call)

        assert (call.status, len(call.answers)) == (200, 1)

    def test_one_that_takes_nothing_is_ended(self, app: Flask, system: System) -> None:
        call = a_stream(system, whole(LINE), takes=False)

        serve(Server(app, stands_still_seconds=0.1), call)

        assert (call.status, call.body) == (200, b"")

    def test_one_too_many_is_told_to_come_back(self, app: Flask, system: System) -> None:
        server = Server(app, stands_still_seconds=0.5)
        standing = [a_stream(system, never) for _ in range(MOST_STREAMS)]
        late = a_stream(system, whole(LINE))

        serve(server, *standing, late)
        again = a_stream(system, whole(LINE))
        serve(server, again)

        assert {call.status for call in standing} == {200}
        assert (late.status, json.loads(late.body)["allowed"]) == (503, False)
        assert late.answered_headers["retry-after"] == "5"
        assert (again.status, len(again.answers)) == (200, 1)

    def test_a_body_that_trickles_holds_up_no_check(self, app: Flask, system: System) -> None:
        check = a_check(system)

        async def until_the_check_is_answered(_: Call) -> AsyncIterator[bytes]:
            while not check.status:
                yield b""
                await asyncio.sleep(0)
            yield json.dumps({"purpose": "survey", "channel": "email", "subjects": [KARI]}).encode()

        batch = Call("/v1/checks/batch", system.key, until_the_check_is_answered)

        serve(Server(app), batch, check)

        assert (check.status, batch.status) == (200, 200)

    @pytest.mark.rule("ACC-01")
    def test_without_database_everybody_is_a_no_in_place(self, app: Flask, system: System) -> None:
        async def then_the_connection_goes(call: Call) -> AsyncIterator[bytes]:
            yield LINE
            await call.is_answered.wait()
            yield LINE + b"nonsense\n"

        call = a_stream(system, then_the_connection_goes)
        direct = app.extensions[asking.EXTENSION].direct_many

        def lose(*_: object) -> list[Any]:
            raise OSError

        async def serve_without_database() -> None:
            serving = asyncio.ensure_future(Server(app).__rsgi__(call, call))
            await asyncio.wait({asyncio.ensure_future(call.is_answered.wait())}, timeout=PATIENCE)
            direct.run = lose
            try:
                await asyncio.wait_for(serving, PATIENCE)
            finally:
                del direct.run

        event_loops.run(serve_without_database())

        assert [each["reason"] for each in call.answers] == ["no_consent", "unavailable", "invalid_reference"]
