"""A file that was asked for is made once, whoever dies meanwhile, kept sealed for seven days, and gone then."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import time_machine
from sqlalchemy.orm import Session

from consent_service import clock
from consent_service.audit import trail
from consent_service.cli import retention
from consent_service.cli.export_maker import ExportMaking
from consent_service.db.session import Database
from consent_service.errors import ConsentUnknownError, ExportUnknownError, KeyDestroyedError
from consent_service.exports import files, jobs
from consent_service.exports.jobs import ExportState
from consent_service.exports.making import Step, Wanted
from tests.acts import KARI, Stage
from tests.builders import NOON

ROOT = Path(__file__).resolve().parents[3]
WEEK = timedelta(days=7)
PART = b"0123456789abcdef" * 8192 * 3
PARTS = 4
# As long as it takes, on a machine that does much else.
PATIENCE = 60.0


class Counting:
    """Makes a file of four parts, and breaks where it is told to."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.breaks_at: dict[int, Exception] = {}

    def __call__(self, session: Session, *, wanted: Wanted, place: Mapping[str, Any] | None, at: datetime) -> Step:
        del session, at
        number = 0 if place is None else place["part"]
        self.steps.append(number)
        if number in self.breaks_at:
            raise self.breaks_at.pop(number)
        data = b"%d %s " % (number, str(wanted.parameters["word"]).encode()) + PART
        following = {"part": number + 1} if number + 1 < PARTS else None
        return Step(data, done=number + 1, total=PARTS, place=following)


@pytest.fixture
def maker() -> Counting:
    return Counting()


@pytest.fixture(autouse=True)
def at_noon(clock: time_machine.Traveller) -> time_machine.Traveller:
    return clock


def ask(database: Database, controller: str, *, word: str = "snow", subject_id: str | None = None) -> str:
    with database.transaction(controller) as session:
        return jobs.ask(
            session,
            kind="audit",
            parameters={"word": word},
            said={"query": "", "format": "ndjson"},
            media_type="application/x-ndjson",
            file_name="log.ndjson",
            actor=trail.SYSTEM,
            at=NOON,
            subject_id=subject_id,
        )


def state(database: Database, controller: str, export_id: str, at: datetime = NOON) -> ExportState:
    with database.transaction(controller) as session:
        return jobs.get(session, export_id=export_id, at=at)


def content(database: Database, controller: str, found: ExportState) -> bytes:
    with database.transaction(controller) as session:
        return b"".join(
            files.read(session, export_id=found.id, subject_id=found.subject_id, number=number)
            for number in range(found.chunks)
        )


def whole(word: str = "snow") -> bytes:
    return b"".join(b"%d %s " % (number, word.encode()) + PART for number in range(PARTS))


class TestMaking:
    def test_ends_with_a_file_its_size_and_its_hash(
        self, database: Database, worker_database: Database, controller: str, maker: Counting
    ) -> None:
        export_id = ask(database, controller)
        waiting = state(database, controller, export_id)

        ExportMaking({"audit": maker}, slice_seconds=PATIENCE)(worker_database, clock.now())

        ready = state(database, controller, export_id)
        assert (waiting.status, waiting.done, waiting.total) == ("queued", 0, None)
        assert (ready.status, ready.done, ready.total) == ("ready", PARTS, PARTS)
        assert content(database, controller, ready) == whole()
        assert (ready.size, ready.sha256) == (len(whole()), hashlib.sha256(whole()).hexdigest())
        assert ready.expires_at == NOON + WEEK

    def test_shows_how_far_it_is_and_goes_on_in_the_next_round(
        self, database: Database, worker_database: Database, controller: str, maker: Counting
    ) -> None:
        export_id = ask(database, controller)
        job = ExportMaking({"audit": maker}, slice_seconds=0.001)

        seen = []
        for _ in range(30):
            job(worker_database, clock.now())
            seen.append(state(database, controller, export_id))

        assert {each.status for each in seen} == {"running", "ready"}
        assert [each.done for each in seen] == sorted(each.done for each in seen)
        assert len({each.done for each in seen if each.status == "running"}) > 1
        assert content(database, controller, seen[-1]) == whole()

    def test_a_worker_that_dies_half_way_leaves_no_part_out_and_none_twice(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        maker: Counting,
        at_noon: time_machine.Traveller,
    ) -> None:
        export_id = ask(database, controller)
        maker.breaks_at = {2: KeyboardInterrupt()}  # type: ignore[dict-item] # as near as a test comes to kill -9
        with pytest.raises(KeyboardInterrupt):
            ExportMaking({"audit": maker}, slice_seconds=PATIENCE)(worker_database, clock.now())

        other = ExportMaking({"audit": maker}, slice_seconds=PATIENCE)
        other(worker_database, clock.now())
        still_leased = state(database, controller, export_id)
        at_noon.shift(jobs.LEASE)
        other(worker_database, clock.now())

        assert (still_leased.status, still_leased.done) == ("running", 2)
        assert maker.steps == [0, 1, 2, 2, 3]
        assert content(database, controller, state(database, controller, export_id)) == whole()

    def test_not_even_a_worker_that_is_killed_in_the_middle_of_a_step(
        self,
        database: Database,
        worker_database: Database,
        worker_url: str,
        keys_dir: Path,
        controller: str,
        maker: Counting,
        at_noon: time_machine.Traveller,
    ) -> None:
        export_id = ask(database, controller)
        killed = subprocess.run(
            [sys.executable, "-m", "tests.functional.exports.killed_worker"],
            env={**os.environ, "DATABASE_URL_WORKER": worker_url, "CONSENT_KEYS": str(keys_dir)},
            cwd=ROOT,
            check=False,
        )
        half = state(database, controller, export_id)
        at_noon.shift(jobs.LEASE)

        ExportMaking({"audit": maker}, slice_seconds=PATIENCE)(worker_database, clock.now())

        assert killed.returncode == -signal.SIGKILL
        assert (half.status, half.done) == ("running", 2)
        assert maker.steps == [2, 3]
        assert content(database, controller, state(database, controller, export_id)) == whole()

    def test_whoever_was_overtaken_writes_nothing(
        self, database: Database, worker_database: Database, controller: str
    ) -> None:
        ask(database, controller)
        with worker_database.transaction(controller) as session:
            slow = jobs.claim(session, kinds=["audit"], at=NOON)
        with worker_database.transaction(controller) as session:
            quick = jobs.claim(session, kinds=["audit"], at=NOON + jobs.LEASE)
        assert slow is not None
        assert quick is not None

        with worker_database.transaction(controller) as session:
            assert not jobs.hold(session, claimed=slow)
            assert jobs.hold(session, claimed=quick)

    def test_two_workers_never_take_the_same(
        self, database: Database, worker_database: Database, controller: str
    ) -> None:
        first, second = ask(database, controller), ask(database, controller)

        with worker_database.transaction(controller) as session:
            one = jobs.claim(session, kinds=["audit"], at=NOON)
            two = jobs.claim(session, kinds=["audit"], at=NOON)
            none = jobs.claim(session, kinds=["audit"], at=NOON)

        assert one is not None
        assert two is not None
        assert {one.wanted.export_id, two.wanted.export_id} == {first, second}
        assert none is None

    def test_every_controller_that_waits_has_its_turn(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        other_controller: str,
        maker: Counting,
    ) -> None:
        exports = {each: ask(database, each, word=each) for each in (controller, other_controller)}
        with worker_database.platform_transaction() as session:
            waiting = jobs.list_waiting_controllers(session, at=NOON)
        with database.platform_transaction() as session:
            seen_by_the_web_server = jobs.list_waiting_controllers(session, at=NOON)

        ExportMaking({"audit": maker}, slice_seconds=PATIENCE)(worker_database, NOON)

        assert sorted(waiting) == sorted(exports)
        assert seen_by_the_web_server == ()
        for each, export_id in exports.items():
            assert content(database, each, state(database, each, export_id)) == whole(each)

    def test_what_can_never_be_made_has_failed_with_a_code(
        self, database: Database, worker_database: Database, controller: str, maker: Counting
    ) -> None:
        export_id = ask(database, controller)
        maker.breaks_at = {1: ConsentUnknownError()}

        ExportMaking({"audit": maker}, slice_seconds=PATIENCE)(worker_database, clock.now())

        found = state(database, controller, export_id)
        assert (found.status, found.failure) == ("failed", "consent_unknown")

    def test_bad_luck_is_tried_again_from_where_it_was_and_not_for_ever(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        maker: Counting,
        at_noon: time_machine.Traveller,
    ) -> None:
        lucky = ask(database, controller, word="lucky")
        maker.breaks_at = {1: RuntimeError()}
        job = ExportMaking({"audit": maker}, slice_seconds=PATIENCE)
        for _ in range(2):
            job(worker_database, clock.now())
            at_noon.shift(timedelta(minutes=1))

        unlucky = ask(database, controller, word="unlucky")
        for _ in range(jobs.MOST_ATTEMPTS + 1):
            maker.breaks_at = {1: RuntimeError()}
            job(worker_database, clock.now())
            at_noon.shift(timedelta(minutes=1))

        found = state(database, controller, unlucky)
        assert content(database, controller, state(database, controller, lucky)) == whole("lucky")
        assert (found.status, found.failure) == ("failed", "internal_error")

    def test_what_every_worker_dies_of_is_given_up(
        self, database: Database, worker_database: Database, controller: str
    ) -> None:
        export_id = ask(database, controller)

        taken = []
        for turn in range(jobs.MOST_ATTEMPTS + 1):
            with worker_database.transaction(controller) as session:
                taken.append(jobs.claim(session, kinds=["audit"], at=NOON + turn * jobs.LEASE))

        found = state(database, controller, export_id)
        assert [each is None for each in taken] == [False] * jobs.MOST_ATTEMPTS + [True]
        assert (found.status, found.failure) == ("failed", "abandoned")

    def test_it_is_written_into_the_log_when_it_is_asked_for_and_when_it_is_made(
        self, database: Database, worker_database: Database, controller: str, maker: Counting, superuser_url: str
    ) -> None:
        ask(database, controller)
        before = count(superuser_url, "audit.entry WHERE type = 'log.exported'")
        ExportMaking({"audit": maker}, slice_seconds=PATIENCE)(worker_database, clock.now())

        assert (before, count(superuser_url, "audit.entry WHERE type = 'log.exported'")) == (1, 2)


class TestAtRest:
    def test_nothing_of_it_lies_in_clear(
        self, database: Database, worker_database: Database, controller: str, maker: Counting, superuser_url: str
    ) -> None:
        ask(database, controller, word="glacier")
        ExportMaking({"audit": maker}, slice_seconds=PATIENCE)(worker_database, clock.now())

        with psycopg.connect(superuser_url) as connection:
            chunks = connection.execute("SELECT sealed FROM export_chunk").fetchall()
            rows = connection.execute("SELECT export::text FROM export").fetchall()
        assert chunks
        assert not any(b"0123456789" in chunk for (chunk,) in chunks)
        assert not any(b"glacier".hex() in str(row) or "glacier" in str(row) for row in rows)

    def test_a_file_about_one_person_goes_with_their_key(
        self, stage: Stage, worker_database: Database, maker: Counting, superuser_url: str
    ) -> None:
        stage.purpose("newsletter")
        given = stage.give(stage.form(("newsletter", "email")), ("newsletter", "email"), email=KARI)
        assert given.subject_id is not None
        export_id = ask(stage.database, stage.controller_id, subject_id=given.subject_id)
        ExportMaking({"audit": maker}, slice_seconds=PATIENCE)(worker_database, clock.now())
        found = state(stage.database, stage.controller_id, export_id)

        with psycopg.connect(superuser_url) as connection:
            connection.execute("DELETE FROM vault.subject_key")

        with pytest.raises(KeyDestroyedError):
            content(stage.database, stage.controller_id, found)

    def test_another_controller_has_no_such_export(
        self, database: Database, controller: str, other_controller: str
    ) -> None:
        export_id = ask(database, controller)

        with pytest.raises(ExportUnknownError):
            state(database, other_controller, export_id)


class TestRetention:
    def test_the_file_is_kept_for_seven_days_and_not_a_moment_longer(
        self,
        database: Database,
        worker_database: Database,
        retention_database: Database,
        controller: str,
        maker: Counting,
        superuser_url: str,
    ) -> None:
        export_id = ask(database, controller)
        ExportMaking({"audit": maker}, slice_seconds=PATIENCE)(worker_database, clock.now())
        before = count(superuser_url, "export_chunk")

        retention.run(retention_database, decision_log_months=24, at=NOON + WEEK - timedelta(microseconds=1))
        kept = count(superuser_url, "export_chunk")
        retention.run(retention_database, decision_log_months=24, at=NOON + WEEK)

        assert before == kept > 0
        assert count(superuser_url, "export_chunk") == 0
        assert state(database, controller, export_id).status == "expired"
        assert state(database, controller, export_id).parameters == {}

    def test_nobody_is_given_it_after_that_even_before_it_is_destroyed(
        self, database: Database, worker_database: Database, controller: str, maker: Counting
    ) -> None:
        export_id = ask(database, controller)
        ExportMaking({"audit": maker}, slice_seconds=PATIENCE)(worker_database, clock.now())

        assert state(database, controller, export_id, NOON + WEEK).status == "expired"

    def test_that_it_was_asked_for_is_forgotten_after_three_months(
        self, database: Database, retention_database: Database, controller: str, superuser_url: str
    ) -> None:
        ask(database, controller)
        retention.run(retention_database, decision_log_months=24, at=NOON + WEEK)

        kept = count(superuser_url, "export")
        retention.run(retention_database, decision_log_months=24, at=NOON.replace(month=NOON.month + 3))

        assert (kept, count(superuser_url, "export")) == (1, 0)


def count(url: str, what: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {what}".encode()).fetchone()  # noqa: S608 - words of this module
    assert row is not None
    return int(row[0])
