"""A file goes out piece by piece while others are answered, and one that nobody takes holds up nothing."""

import hashlib
from typing import Any

import pytest
import time_machine
from flask import Flask

from consent_service import app as composition
from consent_service.cli.export_maker import ExportMaking
from consent_service.config import Settings
from consent_service.db.session import Database
from consent_service.exports import files
from consent_service.server import MOST_STREAMS, Server
from tests.builders import NOON
from tests.functional.api.conftest import System
from tests.functional.api.test_server import Call, a_check, never, serve

pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
def export_id(
    system: System,
    worker_database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    clock: time_machine.Traveller,
) -> str:
    """Return a finished file of several pieces."""
    del clock
    monkeypatch.setattr(files, "CHUNK_BYTES", 1000)
    asked = system.post("/v1/exports", {"kind": "audit", "format": "ndjson"})
    ExportMaking(composition.export_makers(settings), slice_seconds=60)(worker_database, NOON)
    return str((asked.json or {})["export_id"])


def a_file(system: System, export_id: str, **said: Any) -> Call:  # noqa: ANN401 - passed on
    return Call(f"/v1/exports/{export_id}/file", system.key, never, method="GET", **said)


class TestFiles:
    def test_arrive_whole_with_their_length(self, app: Flask, system: System, export_id: str) -> None:
        call = a_file(system, export_id)

        serve(Server(app), call)

        shown = system.get(f"/v1/exports/{export_id}").get_json()
        assert call.status == 200
        assert call.answered_headers["content-length"] == str(len(call.body)) == str(shown["size"])
        assert hashlib.sha256(call.body).hexdigest() == shown["sha256"]

    def test_one_that_nobody_takes_is_ended_and_holds_up_nobody(
        self, app: Flask, system: System, export_id: str
    ) -> None:
        server = Server(app, stands_still_seconds=0.3)
        stuck, check = a_file(system, export_id, takes=False), a_check(system)

        serve(server, stuck, check)

        assert (stuck.status, stuck.body) == (200, b"")
        assert check.status == 200

    def test_one_too_many_is_told_to_come_back(self, app: Flask, system: System, export_id: str) -> None:
        server = Server(app, stands_still_seconds=0.5)
        standing = [a_file(system, export_id, takes=False) for _ in range(MOST_STREAMS)]
        late = a_file(system, export_id)

        serve(server, *standing, late)

        assert {call.status for call in standing} == {200}
        assert (late.status, late.answered_headers["retry-after"]) == (503, "5")
