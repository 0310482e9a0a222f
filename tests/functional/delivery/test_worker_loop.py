"""The worker's loop: woken by commits, outliving outages of PostgreSQL, stopping when told, sweeping beside it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Thread

import psycopg
import pytest
from sqlalchemy import select

from consent_service import clock
from consent_service.db.session import Database
from consent_service.delivery import outbox, worker
from consent_service.delivery.models import OutboxMessage
from consent_service.delivery.worker import Job
from tests.builders import NOON
from tests.functional.delivery.conftest import Letters, PlainTransport
from tests.smtp_sink import SmtpSink

#: Long enough for a busy machine; nothing waits for it where all is well.
PATIENCE = 30.0
NEVER = 3600.0


def enqueue(database: Database, controller: str, reference: str = "req_A", *, at: datetime = NOON) -> str:
    with database.transaction(controller) as session:
        return outbox.enqueue(session, kind="letter", reference=reference, at=at)


def get_message(database: Database, controller: str, message_id: str) -> OutboxMessage:
    with database.transaction(controller) as session:
        return session.scalars(select(OutboxMessage).where(OutboxMessage.id == message_id)).one()


class Outage:
    """Cuts every connection to the database and refuses new ones, until it ends."""

    def __init__(self, superuser_url: str) -> None:
        self._name = psycopg.conninfo.conninfo_to_dict(superuser_url)["dbname"]
        self._elsewhere = psycopg.conninfo.make_conninfo(superuser_url, dbname="postgres")

    def begin(self) -> None:
        self._execute(f"ALTER DATABASE {self._name} WITH ALLOW_CONNECTIONS false")
        self._execute(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{self._name}'"  # noqa: S608 - our own name
        )

    def end(self) -> None:
        self._execute(f"ALTER DATABASE {self._name} WITH ALLOW_CONNECTIONS true")

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._elsewhere, autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture
def outage(superuser_url: str) -> Iterator[Outage]:
    outage = Outage(superuser_url)
    yield outage
    outage.end()


@contextmanager
def running(
    database: Database, letters: Letters, transport: PlainTransport, *, jobs: tuple[Job, ...] = ()
) -> Iterator[Event]:
    """Run a worker that looks by itself once an hour, and stop it at the end."""
    stop = Event()
    thread = Thread(
        target=worker.run,
        args=(database,),
        kwargs={
            "handlers": {"letter": letters},
            "transport": transport,
            "stop": stop,
            "jobs": jobs,
            "poll_seconds": NEVER,
        },
    )
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def told(letters: Letters) -> Event:
    """Return what is set whenever a mail was accepted."""
    event = Event()
    letters.on_accepted = event.set
    return event


class TestRun:
    def test_a_commit_wakes_it(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
    ) -> None:
        sent = told(letters)

        with running(worker_database, letters, plain_transport):
            for _ in range(3):
                sent.clear()
                enqueue(database, controller, at=clock.now())
                assert sent.wait(PATIENCE)

    def test_it_finishes_the_message_in_hand_before_it_stops(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
    ) -> None:
        message_id = enqueue(database, controller, "req_A", at=clock.now())
        waiting = enqueue(database, controller, "req_B", at=clock.now())

        with running(worker_database, letters, plain_transport) as stop:
            plain_transport.then = stop.set
            assert stop.wait(PATIENCE)

        states = {get_message(database, controller, each).state for each in (message_id, waiting)}
        assert states == {"sent", "ready"}
        assert get_message(database, controller, waiting).locked_until is None

    def test_it_comes_back_when_postgresql_does(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
        outage: Outage,
    ) -> None:
        sent = told(letters)
        enqueue(database, controller, "req_A", at=clock.now())

        with running(worker_database, letters, plain_transport):
            assert sent.wait(PATIENCE)
            sent.clear()
            outage.begin()
            outage.end()
            database.engine.dispose()
            enqueue(database, controller, "req_B", at=clock.now())
            assert sent.wait(PATIENCE)

    def test_what_was_sent_while_postgresql_was_away_is_settled_afterwards(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
        smtp_sink: SmtpSink,
        outage: Outage,
    ) -> None:
        sent = told(letters)
        message_id = enqueue(database, controller, at=clock.now())
        plain_transport.then = outage.begin

        with running(worker_database, letters, plain_transport):
            smtp_sink_has_it = wait_for(lambda: len(smtp_sink.messages) == 1)
            outage.end()
            assert sent.wait(PATIENCE)

        database.engine.dispose()
        assert smtp_sink_has_it
        assert len(smtp_sink.messages) == 1
        assert get_message(database, controller, message_id).state == "sent"


class TestJobs:
    def test_a_job_runs_at_the_start_and_one_that_fails_stops_nothing(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
    ) -> None:
        swept, sent = Event(), told(letters)

        def fail(*_: object) -> None:
            raise LookupError

        def sweep(*_: object) -> None:
            swept.set()

        jobs = (Job("fail", timedelta(hours=1), fail), Job("sweep", timedelta(hours=1), sweep))
        enqueue(database, controller, at=clock.now())

        with running(worker_database, letters, plain_transport, jobs=jobs):
            assert swept.wait(PATIENCE)
            assert sent.wait(PATIENCE)

    def test_a_job_that_takes_long_does_not_hold_up_the_mail(
        self,
        database: Database,
        worker_database: Database,
        controller: str,
        letters: Letters,
        plain_transport: PlainTransport,
    ) -> None:
        begun, sent = Event(), told(letters)

        def sweep(*_: object) -> None:
            begun.set()
            sent.wait(PATIENCE)

        with running(worker_database, letters, plain_transport, jobs=(Job("sweep", timedelta(hours=1), sweep),)):
            assert begun.wait(PATIENCE)
            enqueue(database, controller, at=clock.now())
            assert sent.wait(PATIENCE / 2)

    def test_a_job_comes_round_again_when_its_time_has_passed(
        self, worker_database: Database, letters: Letters, plain_transport: PlainTransport
    ) -> None:
        rounds: list[datetime] = []

        def sweep(_: Database, at: datetime) -> None:
            rounds.append(at)

        with running(worker_database, letters, plain_transport, jobs=(Job("sweep", timedelta(0), sweep),)):
            assert wait_for(lambda: len(rounds) > 1)


def wait_for(condition: Callable[[], bool]) -> bool:
    """Look until the condition holds, for as long as a test may wait."""
    pause = Event()
    return any(condition() or pause.wait(0.05) for _ in range(int(PATIENCE / 0.05)))
