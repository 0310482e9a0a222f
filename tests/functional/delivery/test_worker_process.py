"""The worker as a process of its own: started, stopped and killed as a machine does it, and what it sweeps."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from consent_service import clock
from consent_service.admission import throttle
from consent_service.admission.models import ThrottleCounter
from consent_service.cli import worker as process
from consent_service.consent import preference_links
from consent_service.consent.models import PreferenceRequest
from consent_service.crypto.keyring import create_keyring
from consent_service.db.session import Database, controller_of
from consent_service.delivery import outbox, worker
from consent_service.delivery.models import OutboxMessage
from consent_service.subjects import fields
from consent_service.vault.models import RequestKey
from tests.builders import NOON, a_controller
from tests.functional.delivery.conftest import Letters, PlainTransport
from tests.smtp_sink import SmtpSink

PATIENCE = 30.0
CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def environment(worker_url: str, keys_dir: Path, tmp_path: Path, smtp_sink: SmtpSink) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(CHECKOUT),
        "DATABASE_URL_WORKER": worker_url,
        "CONSENT_KEYS": str(keys_dir),
        "CONSENT_DATA": str(tmp_path),
        "PUBLIC_URL": "https://samtykke.example",
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_PORT": str(smtp_sink.port),
        "MAIL_SENDER": "post@nordlys.example",
    }


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "worker.log"


@pytest.fixture
def start(environment: Mapping[str, str], log: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Return what starts a worker; none outlives the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one() -> subprocess.Popen[bytes]:
        with log.open("ab") as stream:
            command = [sys.executable, "-m", "consent_service.cli.main", "worker"]
            child = subprocess.Popen(command, env=dict(environment), stderr=stream)
        started.append(child)
        return child

    yield start_one
    for child in started:
        child.kill()
        child.wait()


def ask(database: Database, controller: str, address: str) -> None:
    """Ask for a mail, in real time: the worker's clock is the machine's."""
    with database.transaction(controller) as session:
        preference_links.ask(session, contact=fields.parse_email(address), language="nb", at=clock.now())


def wait_for(condition: Callable[[], bool]) -> bool:
    pause = Event()
    return any(condition() or pause.wait(0.05) for _ in range(int(PATIENCE / 0.05)))


def count(database: Database, controller: str, model: type) -> int:
    with database.transaction(controller) as session:
        return session.execute(select(func.count()).select_from(model)).scalar_one()


class TestProcess:
    def test_it_sends_and_ends_with_zero_when_it_is_told_to_stop(
        self,
        database: Database,
        controller: str,
        smtp_sink: SmtpSink,
        start: Callable[[], subprocess.Popen[bytes]],
        log: Path,
    ) -> None:
        child = start()
        ask(database, controller, "kari@nordmann.example")
        sent = wait_for(lambda: len(smtp_sink.messages_to("kari@nordmann.example")) == 1)

        child.send_signal(signal.SIGTERM)

        assert sent
        assert child.wait(PATIENCE) == 0
        assert "worker_stopped" in log.read_text()
        assert "nordmann" not in log.read_text()

    def test_a_killed_worker_loses_nothing(
        self, database: Database, controller: str, smtp_sink: SmtpSink, start: Callable[[], subprocess.Popen[bytes]]
    ) -> None:
        first = start()
        ask(database, controller, "kari@nordmann.example")
        assert wait_for(lambda: len(smtp_sink.messages) == 1)
        first.kill()
        first.wait()

        ask(database, controller, "ola@nordmann.example")
        start()

        assert wait_for(lambda: len(smtp_sink.messages_to("ola@nordmann.example")) == 1)

    def test_it_refuses_keys_of_another_database(
        self,
        environment: dict[str, str],
        tmp_path: Path,
        start: Callable[[], subprocess.Popen[bytes]],
        log: Path,
    ) -> None:
        from_elsewhere = tmp_path / "keys"
        create_keyring(from_elsewhere)
        environment["CONSENT_KEYS"] = str(from_elsewhere)

        child = start()

        assert child.wait(PATIENCE) == 1
        assert "key folder is not the one of this database" in log.read_text()


class TestJobs:
    def test_every_controller_is_swept(self, database: Database, worker_database: Database) -> None:
        controllers = [a_controller(database, key=key, at=NOON) for key in ("nordlys", "fjord")]
        for each in controllers:
            with database.transaction(each) as session:
                preference_links.ask(session, contact=fields.parse_email("k@n.example"), language="nb", at=NOON)
                throttle.hit(session, name="signup", key_hash=b"k" * 32, limit=3, window=timedelta(hours=1), at=NOON)

        for job in process.JOBS:
            job.function(worker_database, NOON + timedelta(days=40))

        for each in controllers:
            assert [count(database, each, model) for model in (PreferenceRequest, RequestKey, ThrottleCounter)] == [
                0
            ] * 3

    def test_one_controllers_trouble_does_not_stop_the_others(
        self, database: Database, worker_database: Database
    ) -> None:
        first, second = (a_controller(database, key=key, at=NOON) for key in ("a-fjord", "b-nordlys"))
        swept: list[str] = []

        def sweep(session: Session, *, at: object, limit: int) -> int:
            del at, limit
            controller = controller_of(session)
            if controller == first:
                raise LookupError
            swept.append(controller)
            return 0

        process.for_each_controller(sweep)(worker_database, NOON)

        assert second in swept

    def test_a_long_queue_is_swept_in_batches(self, worker_database: Database, controller: str) -> None:
        del controller
        left = [3 * process.BATCH]

        def sweep(session: Session, *, at: object, limit: int) -> int:
            del session, at
            taken = min(limit, left[0])
            left[0] -= taken
            return taken

        process.for_each_controller(sweep)(worker_database, NOON)

        assert left == [0]

    def test_settled_messages_are_forgotten_and_waiting_ones_are_not(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
    ) -> None:
        with database.transaction(controller) as session:
            outbox.enqueue(session, kind="letter", reference="req_A", at=NOON)
        worker.drain(worker_database, handlers={"letter": letters}, transport=plain_transport, at=NOON)
        with database.transaction(controller) as session:
            outbox.enqueue(session, kind="letter", reference="req_B", at=NOON)

        with worker_database.transaction(controller) as session:
            early = outbox.purge(session, at=NOON + timedelta(days=89), limit=10)
            late = outbox.purge(session, at=NOON + timedelta(days=90), limit=10)

        assert (early, late) == (0, 1)
        assert count(database, controller, OutboxMessage) == 1
