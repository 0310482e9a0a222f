"""Files over HTTP: asked for at once, made by the worker, fetched within seven days, by whoever may."""

import csv
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import time_machine

from consent_service import app as composition
from consent_service import clock
from consent_service.cli.export_maker import ExportMaking
from consent_service.config import Settings
from consent_service.db.session import Database
from consent_service.rights import audit_export
from tests import builders
from tests.audit_logs import LogKeeper
from tests.functional.api.conftest import KARI, System, key_with

UNKNOWN = "exp_" + "0" * 26

Make = Callable[[], None]


@pytest.fixture(autouse=True)
def now(clock: time_machine.Traveller) -> time_machine.Traveller:
    """Let it be 4 March 2026, after what systems report here."""
    clock.shift(timedelta(days=2))
    return clock


@pytest.fixture
def make(worker_database: Database, settings: Settings) -> Make:
    """Let the worker make what was asked for."""
    # All of it, however slow the machine is.
    job = ExportMaking(composition.export_makers(settings), slice_seconds=60)
    return lambda: job(worker_database, clock.now())


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_export, "PAGE", 3)


@pytest.fixture
def keeper(sequencer_database: Database, controller: str) -> LogKeeper:
    return LogKeeper(sequencer_database, controller)


def report_kari(system: System) -> None:
    assert system.post("/v1/consents", system.report()).status_code == 201


def ask(system: System, form: str = "ndjson", **more: object) -> str:
    answer = system.post("/v1/exports", {"kind": "audit", "format": form, **more})
    assert answer.status_code == 202
    assert answer.json == {"export_id": (answer.json or {})["export_id"], "status": "queued"}
    return str((answer.json or {})["export_id"])


def fetch(system: System, export_id: str) -> bytes:
    answer = system.get(f"/v1/exports/{export_id}/file")
    assert answer.status_code == 200
    return bytes(answer.data)


def listed(system: System, q: str = "") -> list[object]:
    found, cursor = [], ""
    while True:
        body = {"q": q, "limit": 200, **({"cursor": cursor} if cursor else {})}
        page = system.post("/v1/audit/queries", body).get_json()
        found += page["data"]
        cursor = page["next_cursor"]
        if not cursor:
            return found


@pytest.mark.usefixtures("small_pages")
class TestNdjson:
    def test_has_the_same_rows_as_the_list(self, system: System, make: Make, now: time_machine.Traveller) -> None:
        report_kari(system)
        rows = listed(system)
        now.shift(timedelta(seconds=1))

        export_id = ask(system)
        make()

        lines = [json.loads(line) for line in fetch(system, export_id).splitlines()]
        assert len(rows) > 2 * audit_export.PAGE
        # What was asked for last is the export itself, written before it was made.
        assert lines[0]["type"] == "log.exported"
        assert lines[1:] == rows

    def test_an_address_in_the_query_is_stored_nowhere(self, system: System, make: Make, superuser_url: str) -> None:
        report_kari(system)

        export_id = ask(system, q=f"subject:{KARI['email']} action:consent.given")
        make()

        [row] = [json.loads(line) for line in fetch(system, export_id).splitlines()]
        [asked] = [each for each in listed(system, "action:log.exported") if "format" in each["payload"]]  # type: ignore[index]
        assert row["type"] == "consent.given"
        assert asked["payload"]["query"] == f"subject:{row['subject_id']} action:consent.given"  # type: ignore[index]
        assert KARI["email"] not in dump(superuser_url)

    def test_about_nobody_there_is_nothing(self, system: System, make: Make) -> None:
        export_id = ask(system, q="subject:nobody@kunde.example")
        make()

        assert fetch(system, export_id) == b""
        assert (system.get(f"/v1/exports/{export_id}").json or {})["total"] == 0

    def test_a_key_limited_to_purposes_gets_only_these(
        self, system: System, make: Make, database: Database, controller: str
    ) -> None:
        report_kari(system)
        limited = System(system.client, limited_key(database, controller, "newsletter"), system.form)
        own = System(system.client, limited_key(database, controller, "survey"), system.form)

        foreign, all_of_it, mine = ask(limited), ask(system), ask(own)
        make()

        assert {json.loads(line)["purpose"] for line in fetch(limited, foreign).splitlines()} == {"newsletter"}
        assert {json.loads(line)["purpose"] for line in fetch(own, mine).splitlines()} == {"survey"}
        assert limited.get(f"/v1/exports/{all_of_it}").status_code == 403
        assert limited.get(f"/v1/exports/{all_of_it}/file").status_code == 403


class TestCsv:
    def test_is_what_a_spreadsheet_reads(self, system: System, make: Make) -> None:
        report_kari(system)

        export_id = ask(system, "csv", q="action:consent.given")
        make()

        content = fetch(system, export_id)
        [row] = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        [line] = listed(system, "action:consent.given")
        assert content.startswith(b"\xef\xbb\xbfentry_id,")
        assert row["occurred_at"] == line["occurred_at"]  # type: ignore[index]
        assert json.loads(row["payload"]) == line["payload"]  # type: ignore[index]

    @pytest.mark.parametrize("beginning", ["=", "+", "-", "@", "\t", "\r"])
    def test_holds_nothing_that_a_spreadsheet_computes(self, beginning: str) -> None:
        row = dict.fromkeys(audit_export.COLUMNS) | {"actor": f"{beginning}cmd|' /C calc'!A0"}

        [written] = csv.DictReader(
            io.StringIO(audit_export.as_csv([row]).decode(), newline=""), fieldnames=audit_export.COLUMNS
        )

        assert written["actor"] == f"'{beginning}cmd|' /C calc'!A0"


class TestTheFile:
    def test_comes_with_its_name_size_and_hash_and_is_kept_by_nobody(self, system: System, make: Make) -> None:
        export_id = ask(system)
        make()

        shown = system.get(f"/v1/exports/{export_id}").get_json()
        answer = system.get(f"/v1/exports/{export_id}/file")

        assert (shown["status"], shown["done"], shown["total"]) == ("ready", shown["total"], shown["done"])
        assert shown["expires_at"] == "2026-03-11T12:00:00Z"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="audit-log-2026-03-04.ndjson"'
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Length"] == str(shown["size"]) == str(len(answer.data))
        assert hashlib.sha256(answer.data).hexdigest() == shown["sha256"]

    def test_is_not_given_out_before_it_is_ready(self, system: System) -> None:
        answer = system.get(f"/v1/exports/{ask(system)}/file")

        assert (answer.status_code, (answer.json or {})["code"]) == (409, "export_not_ready")

    def test_is_gone_after_seven_days(self, system: System, make: Make, now: time_machine.Traveller) -> None:
        export_id = ask(system)
        make()
        now.shift(timedelta(days=7))

        answer = system.get(f"/v1/exports/{export_id}/file")

        assert (answer.status_code, (answer.json or {})["code"]) == (410, "export_expired")
        assert (system.get(f"/v1/exports/{export_id}").json or {})["status"] == "expired"

    def test_a_head_request_is_answered_without_it(self, system: System, make: Make) -> None:
        export_id = ask(system)
        make()

        answer = system.client.head(f"/v1/exports/{export_id}/file", headers={"Authorization": f"Bearer {system.key}"})

        assert (answer.status_code, answer.data) == (200, b"")


class TestAsking:
    def test_twice_with_one_key_makes_one_file(self, system: System, superuser_url: str) -> None:
        body = {"kind": "audit", "format": "csv"}

        first = system.post("/v1/exports", body, Idempotency_Key="a")
        second = system.post("/v1/exports", body, Idempotency_Key="a")

        assert first.json == second.json
        assert count(superuser_url, "export") == 1

    @pytest.mark.parametrize(
        "body",
        [
            {"format": "csv"},
            {"kind": "audit"},
            {"kind": "consents", "format": "csv"},
            {"kind": "audit", "format": "xlsx"},
            {"kind": "audit", "format": "csv", "query": "actor:system"},
            {"kind": "audit", "format": "csv", "q": "colour:red"},
            {"kind": "audit", "format": "csv", "q": "purpose:nothing_of_ours"},
        ],
    )
    def test_for_what_there_is_not_is_refused(self, system: System, body: dict[str, str], superuser_url: str) -> None:
        assert system.post("/v1/exports", body).status_code == 422
        assert count(superuser_url, "export") == 0

    def test_needs_the_scope(self, system: System, database: Database, controller: str) -> None:
        other = System(system.client, key_with(database, controller, "audit:read"))

        assert other.post("/v1/exports", {"kind": "audit", "format": "csv"}).status_code == 403

    def test_of_another_controller_finds_nothing(self, system: System, other_system: System, make: Make) -> None:
        export_id = ask(system)
        make()

        assert other_system.get(f"/v1/exports/{export_id}").status_code == 404
        assert other_system.get(f"/v1/exports/{export_id}/file").status_code == 404
        assert system.get(f"/v1/exports/{UNKNOWN}").status_code == 404


class TestBundle:
    def test_of_a_person_is_verified_by_what_lies_in_it(
        self, system: System, make: Make, keeper: LogKeeper, tmp_path: Path
    ) -> None:
        person = kari(system)
        keeper.publish()

        export_id = ask(system, "bundle", subject_id=person)
        make()
        with zipfile.ZipFile(io.BytesIO(fetch(system, export_id))) as packed:
            packed.extractall(tmp_path)

        command = [sys.executable, "-I", str(tmp_path / "verify.py")]
        assert subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0
        shown = system.get(f"/v1/exports/{export_id}").get_json()
        assert (shown["media_type"], shown["file_name"]) == ("application/zip", f"evidence-{person}.zip")
        assert shown["done"] == shown["total"] > 1

    def test_needs_the_right_to_read_people(
        self, system: System, make: Make, keeper: LogKeeper, database: Database, controller: str
    ) -> None:
        other = System(system.client, key_with(database, controller, "exports"))
        person = kari(system)
        keeper.publish()
        export_id = ask(system, "bundle", subject_id=person)
        make()

        asked = other.post("/v1/exports", {"kind": "audit", "format": "bundle", "subject_id": person})
        fetched = other.get(f"/v1/exports/{export_id}/file")

        assert [(each.status_code, each.get_json()["code"]) for each in (asked, fetched)] == [
            (403, "scope_missing")
        ] * 2

    def test_of_a_declaration_is_asked_for_by_its_id(self, system: System, make: Make, keeper: LogKeeper) -> None:
        person = kari(system)
        keeper.publish()
        [consent] = system.get(f"/v1/subjects/{person}/consents").get_json()["data"]

        export_id = ask(system, "bundle", consent_id=consent["consent_id"])
        make()

        with zipfile.ZipFile(io.BytesIO(fetch(system, export_id))) as packed:
            assert f"evidence/{consent['consent_id']}.json" in packed.namelist()

    def test_making_and_fetching_it_are_looks_at_the_evidence(
        self, system: System, make: Make, keeper: LogKeeper
    ) -> None:
        person = kari(system)
        keeper.publish()

        export_id = ask(system, "bundle", subject_id=person)
        make()
        fetch(system, export_id)

        looks = listed(system, "action:evidence.revealed")
        reasons = {each["payload"]["reason"] for each in looks}  # type: ignore[index]
        assert reasons == {
            f"evidence bundle {export_id} was asked for",
            f"evidence bundle {export_id} was fetched",
        }
        assert {each["actor"].partition(":")[0] for each in looks} == {"api_key"}  # type: ignore[index]

    def test_goes_with_the_key_of_its_person(
        self, system: System, make: Make, keeper: LogKeeper, superuser_url: str
    ) -> None:
        person = kari(system)
        keeper.publish()
        export_id = ask(system, "bundle", subject_id=person)
        make()
        with psycopg.connect(superuser_url) as connection:
            connection.execute("DELETE FROM vault.subject_key")

        answer = system.get(f"/v1/exports/{export_id}/file")

        assert (answer.status_code, (answer.json or {})["code"]) == (410, "key_destroyed")

    def test_is_not_made_while_no_head_is_signed(self, system: System, make: Make) -> None:
        export_id = ask(system, "bundle", subject_id=kari(system))
        make()

        shown = system.get(f"/v1/exports/{export_id}").get_json()
        assert (shown["status"], shown["failure"]) == ("failed", "log_unknown")

    def test_of_another_purpose_is_not_for_a_limited_key(
        self, system: System, database: Database, controller: str
    ) -> None:
        person = kari(system)
        [consent] = system.get(f"/v1/subjects/{person}/consents").get_json()["data"]
        limited = System(system.client, limited_key(database, controller, "newsletter"), system.form)

        answer = limited.post("/v1/exports", {"kind": "audit", "format": "bundle", "consent_id": consent["consent_id"]})

        assert answer.status_code == 404

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({}, ""),
            ({"subject_id": "sub_" + "0" * 26, "consent_id": "con_" + "0" * 26}, ""),
            ({"subject_id": "sub_" + "0" * 26, "q": "actor:system"}, "/q"),
            ({"format": "csv", "subject_id": "sub_" + "0" * 26}, "/subject_id"),
        ],
    )
    def test_is_about_one_thing(self, system: System, body: dict[str, str], pointer: str) -> None:
        answer = system.post("/v1/exports", {"kind": "audit", "format": "bundle", **body})

        assert (answer.status_code, (answer.json or {})["errors"][0]["pointer"]) == (422, pointer)

    def test_of_nobody_is_not_found(self, system: System) -> None:
        body = {"kind": "audit", "format": "bundle"}

        assert system.post("/v1/exports", {**body, "subject_id": "sub_" + "0" * 26}).status_code == 404
        assert system.post("/v1/exports", {**body, "consent_id": "con_" + "0" * 26}).status_code == 404


def kari(system: System) -> str:
    """Let a system report what somebody said, and return who that is."""
    report_kari(system)
    return str(system.post("/v1/subjects/lookup", KARI).get_json()["subject_id"])


def limited_key(database: Database, controller: str, *purposes: str) -> str:
    with database.transaction(controller) as session:
        return builders.an_api_key(session, purposes=purposes)


def count(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()  # noqa: S608 - a table of this test
    assert row is not None
    return int(row[0])


def dump(url: str) -> str:
    """Write out everything that the tables of exports and of the log hold."""
    tables = ("export", "export_chunk", "audit.entry", "audit.entry_about")
    with psycopg.connect(url) as connection:
        found = [
            connection.execute(f"SELECT x::text FROM {table} x".encode()).fetchall()  # noqa: S608 - as above
            for table in tables
        ]
    return str(found)
