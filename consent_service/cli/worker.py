"""The worker process: sends what waits in the outbox, makes files, and sweeps what has served its time."""

import os
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Final, Protocol

import click
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from consent_service import app
from consent_service.admission import idempotency, mail_caps, throttle
from consent_service.audit.logs import PLATFORM
from consent_service.cli import decision_mover, retention, stopping
from consent_service.cli.export_maker import ExportMaking
from consent_service.config import Settings
from consent_service.consent import preference_links, revoking, signup_requests
from consent_service.consent.revoking import Place
from consent_service.crypto import keyring
from consent_service.db.session import Database, make_engine
from consent_service.delivery import outbox, worker
from consent_service.delivery.worker import Job
from consent_service.errors import ConsentServiceError
from consent_service.oversight import checkpoint_mails
from consent_service.registry import controllers, platform_log
from consent_service.vault import fingerprints, keys
from consent_service.web import logs

#: How many rows one transaction of a sweep may take, and how many such transactions in one round of a controller.
BATCH: Final = 500
MOST_BATCHES: Final = 20

_LOOK_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class Sweep(Protocol):
    """Takes up to `limit` rows of a controller that have served their time, and says how many it took."""

    def __call__(self, session: Session, *, at: datetime, limit: int) -> int:
        """Sweep once."""


@click.command()
def command() -> None:
    """Send what waits in the outbox and sweep what has served its time, until SIGTERM.

    Reads DATABASE_URL_WORKER and the other variables of the service; `consent up` starts it. Several may run.
    """
    settings = Settings.from_environ(database_variable="DATABASE_URL_WORKER")
    logs.configure()
    stopping.hold_back()
    database = Database(make_engine(settings.database_url), keyring.load_keyring(settings.keys_dir))
    stop = Event()
    failures: list[Exception] = []
    thread = Thread(target=_work, args=(database, settings, stop, failures), name="worker")
    thread.start()
    _log.info("worker_started", pid=os.getpid())
    while thread.is_alive() and not stopping.is_asked(within=_LOOK_SECONDS):
        pass
    stop.set()
    thread.join()
    database.engine.dispose()
    for failure in failures:
        if isinstance(failure, ConsentServiceError):
            raise failure
        _log.error("worker_failed", pid=os.getpid(), **logs.describe(failure))
        sys.exit(1)
    _log.info("worker_stopped", pid=os.getpid())


def _work(database: Database, settings: Settings, stop: Event, failures: list[Exception]) -> None:
    try:
        if _keys_are_right(database, stop):
            worker.run(
                database,
                handlers=app.message_handlers(settings),
                transport=app.mail_transport(settings),
                sms_transport=app.sms_transport(settings),
                stop=stop,
                jobs=jobs(settings),
            )
    except Exception as error:  # noqa: BLE001 - the outermost door; the main thread says it without its message
        failures.append(error)


def _keys_are_right(database: Database, stop: Event) -> bool:
    """Compare the key folder with the database, as soon as there is one; False where it is time to stop before that.

    Raises KeyFolderError where they differ.
    """
    while not stop.is_set():
        try:
            with database.platform_transaction() as session:
                fingerprints.verify(session)
            return True
        except DBAPIError as error:
            _log.warning("database_unavailable", error=type(error).__name__)
            stop.wait(_LOOK_SECONDS)
    return False


def for_each_controller(sweep: Sweep) -> Callable[[Database, datetime], None]:
    """Make housekeeping of a sweep: every controller has its turn, and one that fails does not stop the others."""

    def job(database: Database, at: datetime) -> None:
        with database.platform_transaction() as session:
            directory = controllers.list_directory(session)
        for row in directory:
            try:
                _sweep_controller(database, sweep, row.controller_id, at)
            except Exception as error:  # noqa: BLE001 - one controller's trouble is not the others'
                _log.warning("sweep_failed", controller_id=row.controller_id, error=type(error).__name__)

    return job


def _sweep_controller(database: Database, sweep: Sweep, controller_id: str, at: datetime) -> None:
    for _ in range(MOST_BATCHES):
        with database.transaction(controller_id) as session:
            swept = sweep(session, at=at, limit=BATCH)
        if swept < BATCH:
            return


def sweep_platform_mails(database: Database, at: datetime) -> None:
    """Forget the mails that the caps across controllers look at no more."""
    for _ in range(MOST_BATCHES):
        with database.platform_transaction() as session:
            swept = mail_caps.purge_platform(session, at=at, limit=BATCH)
        if swept < BATCH:
            return


def keep_platform_log(database: Database, at: datetime) -> None:
    """Write into the platform's log which controllers there are and which schema, as far as it does not know."""
    with database.transaction(PLATFORM) as session:
        keys.ensure_for_controller(session, at=at)
        platform_log.note_schema(session, at=at)
        platform_log.note_controllers(session, at=at, limit=BATCH)


class Revoking:
    """Gives the ledger its entries after recalls, a share of each in every round; remembers how far each has come."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}

    def __call__(self, database: Database, at: datetime) -> None:
        """Work on every controller's recalls for one round."""
        with database.platform_transaction() as session:
            directory = controllers.list_directory(session)
        for row in directory:
            try:
                with database.transaction(row.controller_id) as session:
                    unfinished = revoking.list_unfinished(session)
                for revocation_id in unfinished:
                    self._apply(database, row.controller_id, revocation_id, at)
            except Exception as error:  # noqa: BLE001 - one controller's trouble is not the others'
                _log.warning("sweep_failed", controller_id=row.controller_id, error=type(error).__name__)

    def _apply(self, database: Database, controller_id: str, revocation_id: str, at: datetime) -> None:
        for _ in range(MOST_BATCHES):
            after = self._places.pop(revocation_id, None)
            with database.transaction(controller_id) as session:
                batch = revoking.apply_batch(session, revocation_id=revocation_id, after=after, at=at)
            if batch.next_place is None:
                return
            self._places[revocation_id] = batch.next_place


#: Housekeeping of the database.
JOBS: Final = (
    Job("expire_signup_requests", timedelta(minutes=10), for_each_controller(signup_requests.expire)),
    Job("expire_preference_requests", timedelta(minutes=10), for_each_controller(preference_links.expire)),
    Job("apply_revocations", timedelta(seconds=1), Revoking()),
    Job("purge_throttles", timedelta(hours=1), for_each_controller(throttle.purge)),
    Job("purge_idempotency_records", timedelta(hours=6), for_each_controller(idempotency.purge)),
    Job("purge_mail_caps", timedelta(hours=6), for_each_controller(mail_caps.purge)),
    Job("purge_platform_mails", timedelta(hours=6), sweep_platform_mails),
    Job("keep_platform_log", timedelta(minutes=1), keep_platform_log),
    Job("mail_checkpoints", timedelta(minutes=10), for_each_controller(checkpoint_mails.queue_due)),
    Job("purge_outbox", timedelta(hours=6), for_each_controller(outbox.purge)),
)


def jobs(settings: Settings) -> tuple[Job, ...]:
    """Return all housekeeping of the service, what lies on this machine and what needs another login included."""

    def move_decisions(database: Database, at: datetime) -> None:
        del at
        decision_mover.move(database, settings.spool_dir)

    def destroy_what_is_over(database: Database, at: datetime) -> None:
        if settings.retention_url is None:
            return
        engine = make_engine(settings.retention_url, pool_size=1)
        try:
            retention.run(Database(engine, database.keyring), decision_log_months=settings.decision_log_months, at=at)
        finally:
            engine.dispose()

    return (
        Job("move_decisions", timedelta(seconds=1), move_decisions),
        *JOBS,
        Job("make_exports", timedelta(seconds=1), ExportMaking(app.export_makers(settings))),
        Job("retention", timedelta(hours=1), destroy_what_is_over),
    )
