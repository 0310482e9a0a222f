"""What has been kept long enough is destroyed to the day, and nothing before."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from consent_service import identifiers
from consent_service.cli import decision_mover, retention
from consent_service.consent.spool import Spool
from consent_service.db.session import Database
from tests.builders import NOON
from tests.decisions import an_answer, answer_chunk, answer_single

ROOT = Path(__file__).resolve().parents[3]
TWO_YEARS_LATER = NOON.replace(year=NOON.year + 2)
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", rotate_seconds=3600)
    yield spool
    spool.close()


def move(spool: Spool, database: Database) -> None:
    spool.rotate()
    decision_mover.move(database, spool.folder)


def run(database: Database, at: datetime, *, dry_run: bool = False, only: str | None = None) -> dict[str, int]:
    found = retention.run(database, decision_log_months=24, at=at, dry_run=dry_run, only=only)
    return {each.controller: each.rows for each in found if each.rows}


def kept(url: str) -> tuple[int, int]:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM decision), (SELECT count(*) FROM decision_answer)"
        ).fetchone()
    assert row is not None
    return row[0], row[1]


class TestDecisions:
    def test_they_are_kept_for_24_months_and_not_a_moment_longer(
        self,
        retention_database: Database,
        worker_database: Database,
        controller: str,
        spool: Spool,
        superuser_url: str,
    ) -> None:
        answer_single(spool, controller)
        answer_single(spool, controller, at=NOON + timedelta(days=1))
        move(spool, worker_database)

        assert run(retention_database, TWO_YEARS_LATER - MICROSECOND) == {}
        assert kept(superuser_url) == (2, 2)

        assert run(retention_database, TWO_YEARS_LATER) == {"nordlys": 1}
        assert kept(superuser_url) == (1, 1)

    def test_a_dry_run_counts_and_destroys_nothing(
        self,
        retention_database: Database,
        worker_database: Database,
        controller: str,
        spool: Spool,
        superuser_url: str,
    ) -> None:
        answer_single(spool, controller)
        move(spool, worker_database)

        assert run(retention_database, TWO_YEARS_LATER, dry_run=True) == {"nordlys": 1}
        assert kept(superuser_url) == (1, 1)

    def test_a_call_goes_with_its_last_answer(
        self,
        retention_database: Database,
        worker_database: Database,
        controller: str,
        spool: Spool,
        superuser_url: str,
    ) -> None:
        stream = identifiers.new_id("dec", at=NOON)
        answer_chunk(spool, controller, stream, answers=[an_answer(0)], counts=(1, 0, 0))
        move(spool, worker_database)

        run(retention_database, TWO_YEARS_LATER)
        assert kept(superuser_url) == (1, 1)

        run(retention_database, TWO_YEARS_LATER + timedelta(seconds=1))
        assert kept(superuser_url) == (0, 0)

    def test_many_batches_are_one_run(
        self,
        retention_database: Database,
        worker_database: Database,
        controller: str,
        spool: Spool,
        superuser_url: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(retention, "BATCH", 2)
        for _ in range(5):
            answer_single(spool, controller)
        move(spool, worker_database)

        assert run(retention_database, TWO_YEARS_LATER) == {"nordlys": 5}
        assert kept(superuser_url) == (0, 0)

    def test_one_controller_can_be_named(
        self,
        retention_database: Database,
        worker_database: Database,
        controller: str,
        other_controller: str,
        spool: Spool,
        superuser_url: str,
    ) -> None:
        answer_single(spool, controller)
        answer_single(spool, other_controller)
        move(spool, worker_database)

        assert run(retention_database, TWO_YEARS_LATER, only="fjord") == {"fjord": 1}
        assert kept(superuser_url) == (1, 1)

    def test_no_other_login_can_destroy_them(
        self, worker_database: Database, controller: str, spool: Spool, worker_url: str
    ) -> None:
        answer_single(spool, controller)
        move(spool, worker_database)

        with psycopg.connect(worker_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM decision_answer")


class TestCommand:
    def test_it_says_what_it_destroyed(
        self,
        retention_url: str,
        keys_dir: Path,
        worker_database: Database,
        controller: str,
        spool: Spool,
    ) -> None:
        answer_single(spool, controller, at=NOON - timedelta(days=800))
        move(spool, worker_database)
        environment = {
            **os.environ,
            "DATABASE_URL_APP": retention_url,
            "DATABASE_URL_RETENTION": retention_url,
            "CONSENT_KEYS": str(keys_dir),
        }

        def say(*words: str) -> str:
            command = [sys.executable, "-m", "consent_service.cli.main", "retention", "run", *words]
            done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
            return done.stdout

        assert '"would be destroyed": 1' in say("--json", "--dry-run", "--controller", "nordlys")
        assert '"destroyed": 1' in say("--json", "--controller", "nordlys")
        assert '"destroyed": 0' in say("--json", "--controller", "nordlys")
