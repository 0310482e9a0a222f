"""The process that keeps the audit log: it gives entries their places, signs the heads, and writes them outside.

It holds the key that signs and none that opens. Whatever stops it, consent traffic goes on: entries wait in the queue.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Final

import click
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, OperationalError

from consent_service import clock
from consent_service.audit import logs, outside_copy, policy, publisher, sequencer
from consent_service.audit.logs import Log
from consent_service.audit.outside_copy import LogCopy
from consent_service.audit.policy import Policy
from consent_service.audit.publisher import Outside
from consent_service.cli import log_witnesses, stopping
from consent_service.cli.log_witnesses import Witnesses
from consent_service.config import LogKeeperSettings
from consent_service.crypto import keyring
from consent_service.crypto.keyring import Keyring
from consent_service.crypto.notes import NoteSigner
from consent_service.db.session import Database, is_away, make_engine
from consent_service.errors import ConsentServiceError, LogCopyError, LogRefusedError, SettingsError
from consent_service.vault import fingerprints
from consent_service.web import logs as log_lines

#: How long an entry waits for the next batch at most, and a head for the next signature, in seconds.
PLACE_SECONDS: Final = 0.5
SIGN_SECONDS: Final = 1.0
#: How often a log that is refused is looked at again, and said to be.
REFUSED_SECONDS: Final = 30.0
_AWAY_SECONDS: Final = 1.0
_PLACE: Final = "place"
_PUBLISH: Final = "publish"

_registry = CollectorRegistry()
_placed = Counter("consent_log_entries_placed", "Audit entries that were given their place.", registry=_registry)
_signed = Counter("consent_log_heads_signed", "Heads of logs that were signed.", registry=_registry)
_refused = Gauge(
    "consent_log_refused",
    "Logs that are not signed because they do not go on from what lies outside. Anything but 0 is an alarm.",
    registry=_registry,
    multiprocess_mode="mostrecent",
)

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Known:
    """What a keeper found out about the logs of one database; a new connection may lead to another one.

    `later` says of a work and a log before when it is not tried again, in seconds of the monotonic clock.
    """

    compared: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    done: dict[str, tuple[int, int]] = field(default_factory=dict)
    later: dict[tuple[str, str], float] = field(default_factory=dict)

    def is_due(self, work: str, controller_id: str) -> bool:
        return self.later.get((work, controller_id), 0.0) <= time.monotonic()

    def put_off(self, work: str, controller_id: str, *, seconds: float) -> None:
        self.later[work, controller_id] = time.monotonic() + seconds

    def allow(self, controller_id: str) -> None:
        """Note that a log is not refused, or no longer."""
        self.refused.discard(controller_id)
        for work in (_PLACE, _PUBLISH):
            self.later.pop((work, controller_id), None)


class Keeper:
    """Keeps the logs of all controllers; remembers which of them it has compared with what lies outside."""

    def __init__(self, database: Database, settings: LogKeeperSettings, seed: bytes) -> None:
        self._database = database
        self._settings = settings
        self._seed = seed
        self._known = _Known()
        event.listen(database.engine, "connect", lambda *_: self._forget())

    def place(self) -> int:
        """Place what waits, a batch of each log, and return how many entries that was.

        A log is compared with its copy before it grows for the first time on a connection: a database that was put
        back to an earlier state must not grow another end. Raises DBAPIError where the database is away.
        """
        with self._database.platform_transaction() as session:
            waiting = sequencer.list_waiting_controllers(session)
        placed = 0
        for controller_id in waiting:
            if self._known.is_due(_PLACE, controller_id):
                with self._apart(_PLACE, controller_id):
                    placed += self._place(controller_id)
        _placed.inc(placed)
        return placed

    def contradict(self, controller_id: str, epoch: int) -> None:
        """Sign nothing more of an epoch of which a witness has seen another history, or more than there is.

        That stands at the log itself, so that no restart forgets it; a recovery alone goes on from there.
        """
        with self._database.transaction(controller_id) as session:
            log = logs.get(session, epoch=epoch)
            publisher.mark(session, log, refused=publisher.CONTRADICTED, at=clock.now())
        self._known.done.pop(controller_id, None)

    def publish_all(self) -> None:
        """Sign the head of every log that has grown; raises DBAPIError where the database is away."""
        with self._database.platform_transaction() as session:
            heads = publisher.list_heads(session)
        for controller_id, epoch, size in heads:
            if self._known.done.get(controller_id) != (epoch, size):
                self._publish_if_due(controller_id)
        _refused.set(len(self._known.refused))

    def _place(self, controller_id: str) -> int:
        if controller_id not in self._known.compared:
            self._publish_if_due(controller_id)
        known = self._known
        # In the queue of a refused log may be the entry that opens its next epoch.
        if controller_id not in known.compared | known.refused:
            return 0
        with self._database.transaction(controller_id) as session:
            # The transaction may have come with a new connection, to a database that is not what it was.
            if known is not self._known:
                return 0
            batch = sequencer.place_batch(session, host=self._settings.host, vkey_of=self._vkey_of, at=clock.now())
        if batch is None:
            return 0
        if batch.log.refused is None:
            known.allow(controller_id)
        return batch.placed

    def _publish_if_due(self, controller_id: str) -> None:
        if self._known.is_due(_PUBLISH, controller_id):
            with self._apart(_PUBLISH, controller_id):
                self._publish(controller_id)

    def _publish(self, controller_id: str) -> None:
        """Compare a log with its copy and sign what is new.

        A log that does not go on from its copy is marked as refused, and grows no further.
        """
        known = self._known
        log = self._get_log(controller_id)
        try:
            is_done = self._sign(controller_id, log)
        except LogRefusedError as error:
            self._refuse(controller_id, log, known, error)
            return
        known.compared.add(controller_id)
        known.allow(controller_id)
        if is_done:
            known.done[controller_id] = (log.epoch, log.size)

    def _get_log(self, controller_id: str) -> Log:
        with self._database.transaction(controller_id) as session:
            log = logs.find(session)
            if log is None:
                # A log that begins is compared too: a database from before its beginning may have been put back.
                sequencer.place_batch(session, host=self._settings.host, vkey_of=self._vkey_of, at=clock.now(), limit=0)
            return log or logs.get(session)

    def _sign(self, controller_id: str, log: Log) -> bool:
        """Sign the next head of a log; True where there was nothing new to sign."""
        if log.refused == publisher.CONTRADICTED:
            raise LogRefusedError(publisher.CONTRADICTED, "a witness has seen another history")
        copy = self._copy(controller_id, log.epoch)
        outside = self._look_outside(controller_id, log.epoch)
        signer = NoteSigner(log.origin, self._seed)
        with self._database.transaction(controller_id) as session:
            publication = publisher.prepare(session, epoch=log.epoch, outside=outside, key=signer.key)
            if publication is None:
                publisher.mark(session, log, refused=None, at=None)
        if publication is None:
            return True
        note = publisher.write_outside(copy, publication, signer=signer, at=clock.now())
        with self._database.transaction(controller_id) as session:
            publisher.record(session, publication, note=note, at=clock.now())
        _signed.inc()
        return False

    def _look_outside(self, controller_id: str, epoch: int) -> Outside:
        with self._database.transaction(controller_id) as session:
            before = logs.find_before(session, epoch=epoch)
        first = 1 if before is None else before.epoch
        return Outside(
            head=self._copy(controller_id, epoch).read_checkpoint(),
            ended=tuple(self._copy(controller_id, number).read_checkpoint() for number in range(first, epoch)),
            is_last=self._copy(controller_id, epoch + 1).read_checkpoint() is None,
        )

    def _refuse(self, controller_id: str, log: Log, known: _Known, error: LogRefusedError) -> None:
        """Say it at the log, in our own log and in the figures, and look again a little later."""
        known.compared.discard(controller_id)
        known.refused.add(controller_id)
        known.put_off(_PUBLISH, controller_id, seconds=REFUSED_SECONDS)
        with self._database.transaction(controller_id) as session:
            publisher.mark(session, log, refused=error.finding, at=clock.now())
        _log.error("log_refused", controller_id=controller_id, log=log.origin, finding=error.finding)

    @contextmanager
    def _apart(self, work: str, controller_id: str) -> Iterator[None]:
        """Keep what goes wrong with one log from stopping the others; raises DBAPIError where the database is away."""
        known = self._known
        try:
            yield
        except LogCopyError as error:
            known.put_off(work, controller_id, seconds=_AWAY_SECONDS)
            _log.warning("log_copy_unavailable", controller_id=controller_id, error=type(error).__name__)
        except Exception as error:
            if is_away(error):
                raise
            # Another keeper may hold a row; what cannot be read stays so until somebody mends it.
            seconds = _AWAY_SECONDS if isinstance(error, OperationalError) else REFUSED_SECONDS
            known.put_off(work, controller_id, seconds=seconds)
            _log.error("log_failed", controller_id=controller_id, **log_lines.describe(error))

    def _forget(self) -> None:
        self._known = _Known()

    def _copy(self, controller_id: str, epoch: int) -> LogCopy:
        return outside_copy.of_log(self._settings.log_copy_dir, controller_id=controller_id, epoch=epoch)

    def _vkey_of(self, origin: str) -> str:
        return NoteSigner(origin, self._seed).vkey


@click.command()
def command() -> None:
    """Give audit entries their places, sign the heads of the logs and write them outside, until SIGTERM.

    Reads DATABASE_URL_SEQUENCER, CONSENT_LOG_KEYS, CONSENT_LOG_COPY and PUBLIC_URL; `consent up` starts it. Several may
    run: one at a time works on a log.
    """
    settings = LogKeeperSettings.from_environ()
    log_lines.configure()
    stopping.hold_back()
    keys = keyring.load_keyring(settings.log_keys_dir, names=keyring.LOG_NAMES)
    database = Database(make_engine(settings.database_url, pool_size=3), Keyring({}))
    stop = Event()
    failures: list[Exception] = []
    threads = start(database, settings, keys, stop=stop, failures=failures)
    _log.info("log_keeper_started", pid=os.getpid())
    while all(thread.is_alive() for thread in threads) and not stopping.is_asked(within=_AWAY_SECONDS):
        pass
    stop.set()
    for thread in threads:
        thread.join()
    database.engine.dispose()
    for failure in failures:
        if isinstance(failure, ConsentServiceError):
            raise failure
        _log.error("log_keeper_failed", pid=os.getpid(), **log_lines.describe(failure))
        sys.exit(1)
    _log.info("log_keeper_stopped", pid=os.getpid())


def start(
    database: Database, settings: LogKeeperSettings, keys: Keyring, *, stop: Event, failures: list[Exception]
) -> tuple[Thread, ...]:
    """Start placing and signing beside each other, each in a thread of its own; they end when `stop` is set.

    A slow disk or witness holds up signatures, and no entry's place.
    """
    keeper = Keeper(database, settings, keys.newest("log").secret)
    rounds: list[tuple[Callable[[], object], float]] = [
        (keeper.place, PLACE_SECONDS),
        (keeper.publish_all, SIGN_SECONDS),
    ]
    if settings.policy_file is not None:
        witnesses = Witnesses(database, _read_policy(settings.policy_file), keeper.contradict)
        rounds.append((witnesses.show_all, log_witnesses.ROUND_SECONDS))

    def run(work: Callable[[], object], pause: float) -> None:
        try:
            if _key_is_right(database, keys, stop):
                _repeat(work, pause=pause, stop=stop)
        except Exception as error:  # noqa: BLE001 - the outermost door; the main thread says it without its message
            failures.append(error)

    threads = tuple(Thread(target=run, args=each, name=each[0].__name__) for each in rounds)
    for thread in threads:
        thread.start()
    return threads


def _read_policy(path: Path) -> Policy:
    """Read who the witnesses are; raises SettingsError or PolicyInvalidError."""
    try:
        return policy.read(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"LOG_POLICY: the file cannot be read: {error.strerror}") from None


def _repeat(work: Callable[[], object], *, pause: float, stop: Event) -> None:
    """Work again and again, at once where there was something to do; `pause` is in seconds."""
    while not stop.is_set():
        try:
            wait = 0.0 if work() else pause
        except DBAPIError as error:
            _log.warning("database_unavailable", error=type(error).__name__)
            wait = _AWAY_SECONDS
        stop.wait(wait)


def _key_is_right(database: Database, keys: Keyring, stop: Event) -> bool:
    """Compare the key that signs with its fingerprint; False where it is time to stop before there is a database.

    Raises KeyFolderError where this is another key: what it signed would be no one's word.
    """
    while not stop.is_set():
        try:
            with database.platform_transaction() as session:
                fingerprints.verify_log(session, keys)
            return True
        except DBAPIError as error:
            _log.warning("database_unavailable", error=type(error).__name__)
            stop.wait(_AWAY_SECONDS)
    return False
