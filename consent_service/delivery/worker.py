"""The worker: takes what is due out of the outbox, hands it over, and does the housekeeping beside it.

Sending is at least once. Between the claim and the settlement nothing is held open: a claim is committed, the message
is prepared in a transaction of its controller, sent outside any transaction, and settled in another one. A process
that dies in between leaves a lease behind, and after it the message is sent again under the same Message-ID.
"""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Final

import structlog
from sqlalchemy.exc import DBAPIError

from consent_service import clock
from consent_service.db.session import Database
from consent_service.delivery import outbox
from consent_service.delivery.mail import MailTransport, OutgoingMail
from consent_service.delivery.messages import Cancelled, Deferred, MessageHandler
from consent_service.delivery.outbox import Claimed, Dead, Failed, Outcome, Sent
from consent_service.delivery.sms import NoGateway, OutgoingSms, SmsTransport
from consent_service.delivery.wake import POLL_SECONDS, WakeUp
from consent_service.errors import (
    MailRefusedError,
    MailUnavailableError,
    RecipientRefusedError,
    SmsRefusedError,
    SmsUnavailableError,
)

#: Far longer than one mail takes, for one message is claimed at a time.
LEASE: Final = timedelta(minutes=2)
#: How long to go on settling what was sent while the database is away, in seconds; together less than the lease.
_SETTLE_PAUSES: Final = (0.2, 1.0, 3.0, 10.0, 30.0)
#: How long to wait after the database failed, in seconds, longer each time.
_BACKOFF: Final = (0.5, 1.0, 2.0, 5.0)
#: When a job that failed comes round again.
_JOB_RETRY: Final = timedelta(minutes=1)
#: How often the housekeeping looks at the clock, which a demo moves, and how long the end waits for it; in seconds.
_HOUSE_SECONDS: Final = 1.0
_HOUSE_PATIENCE: Final = 5.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Transports:
    """Who carries what."""

    mail: MailTransport
    sms: SmsTransport

    def send(self, message: OutgoingMail | OutgoingSms) -> None:
        """Hand a message over; raises what its transport raises."""
        if isinstance(message, OutgoingSms):
            self.sms.send(message)
        else:
            self.mail.send(message)


@dataclass(frozen=True, slots=True)
class Job:
    """Housekeeping that is due `every` so often; it opens its own transactions and runs in small batches."""

    name: str
    every: timedelta
    function: Callable[[Database, datetime], None]


def run(
    database: Database,
    *,
    handlers: Mapping[str, MessageHandler],
    transport: MailTransport,
    sms_transport: SmsTransport | None = None,
    stop: Event,
    jobs: Sequence[Job] = (),
    poll_seconds: float = POLL_SECONDS,
) -> None:
    """Work until `stop` is set, then finish the message in hand and return.

    Looks at the outbox whenever something was queued, and every `poll_seconds` for what fell due by itself.

    Goes on when PostgreSQL or the mail server is away, and comes back when they do. Without `sms_transport` an SMS
    waits.
    """
    transports = _Transports(transport, sms_transport or NoGateway())
    # Beside the mail, for sweeping many controllers takes its time. What is cut off half-way rolls back.
    house = Thread(target=_keep_house, args=(database, jobs, stop), name="housekeeping", daemon=True)
    house.start()
    failures = 0
    with WakeUp(database.engine) as wake_up:
        while not stop.is_set():
            try:
                if not _handle_next(database, handlers=handlers, transports=transports, at=clock.now(), stop=stop):
                    wake_up.wait(stop, seconds=poll_seconds)
                failures = 0
            except DBAPIError as error:
                _log.warning("database_unavailable", error=type(error).__name__)
                stop.wait(_BACKOFF[min(failures, len(_BACKOFF) - 1)])
                failures += 1
    house.join(_HOUSE_PATIENCE)


def drain(
    database: Database,
    *,
    handlers: Mapping[str, MessageHandler],
    transport: MailTransport,
    sms_transport: SmsTransport | None = None,
    at: datetime,
) -> int:
    """Handle everything that is due at `at`, and return how many messages that were."""
    transports = _Transports(transport, sms_transport or NoGateway())
    stop = Event()
    handled = 0
    while _handle_next(database, handlers=handlers, transports=transports, at=at, stop=stop):
        handled += 1
    return handled


def _handle_next(
    database: Database,
    *,
    handlers: Mapping[str, MessageHandler],
    transports: _Transports,
    at: datetime,
    stop: Event,
) -> bool:
    """Claim one message and see it through; return whether there was one."""
    with database.platform_transaction() as session:
        batch = outbox.claim(session, at=at, limit=1, lease=LEASE)
    for claimed in batch:
        _handle(database, claimed, handler=handlers.get(claimed.kind), transports=transports, at=at, stop=stop)
    return bool(batch)


def _handle(
    database: Database,
    claimed: Claimed,
    *,
    handler: MessageHandler | None,
    transports: _Transports,
    at: datetime,
    stop: Event,
) -> None:
    outcome = _try(database, claimed, handler=handler, transports=transports, at=at)
    if outcome is None:
        return
    _log.info(
        "message_handled",
        message_id=claimed.message_id,
        kind=claimed.kind,
        outcome=type(outcome).__name__.lower(),
        error=getattr(outcome, "error", ""),
        attempts=claimed.attempts,
    )
    for pause in _SETTLE_PAUSES:
        try:
            _settle(database, claimed, outcome, handler=handler, at=at)
            return
        except DBAPIError:
            # What left must not leave twice only because the database went away meanwhile.
            if not isinstance(outcome, Sent) or stop.wait(pause):
                raise
    _settle(database, claimed, outcome, handler=handler, at=at)


def _try(
    database: Database, claimed: Claimed, *, handler: MessageHandler | None, transports: _Transports, at: datetime
) -> Outcome | None:
    """Return what became of the message, or None where it is no longer ours."""
    if handler is None:
        # Perhaps written by a newer version, which a later worker will be.
        return Failed("kind_unknown")
    if claimed.attempts > outbox.MOST_ATTEMPTS:
        return Dead("abandoned")
    try:
        prepared = _prepare(database, claimed, handler, at)
        return _send(transports, prepared) if isinstance(prepared, OutgoingMail | OutgoingSms) else prepared
    except Exception as error:  # noqa: BLE001 - one broken message must not stop all the others
        # The text of an error may hold what the message was about; its class and place do not.
        name = type(error).__name__
        _log.warning("message_broke", message_id=claimed.message_id, kind=claimed.kind, error=name, where=_place(error))
        return Failed(name)


def _send(transports: _Transports, message: OutgoingMail | OutgoingSms) -> Outcome:
    try:
        transports.send(message)
        return Sent()
    except (MailRefusedError, SmsRefusedError) as error:
        return Dead(error.code)
    except (MailUnavailableError, SmsUnavailableError) as error:
        return Failed(error.code)


def _place(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename.rpartition('consent_service/')[2]}:{frame.lineno} {frame.name}"


def _prepare(
    database: Database, claimed: Claimed, handler: MessageHandler, at: datetime
) -> OutgoingMail | OutgoingSms | Cancelled | Deferred | None:
    with database.transaction(claimed.controller_id) as session:
        if not outbox.hold(session, claimed=claimed):
            return None
        return handler.prepare(session, reference=claimed.reference, message_id=claimed.message_id, at=at)


def _settle(
    database: Database, claimed: Claimed, outcome: Outcome, *, handler: MessageHandler | None, at: datetime
) -> None:
    """Settle the message and tell its handler, in one transaction."""
    with database.transaction(claimed.controller_id) as session:
        if not outbox.settle(session, claimed=claimed, outcome=outcome, at=at) or handler is None:
            return
        match outcome:
            case Sent():
                handler.accepted(session, reference=claimed.reference, at=at)
            case Dead(error):
                permanent = error == RecipientRefusedError.code
                handler.failed(session, reference=claimed.reference, at=at, permanent=permanent)
            case Failed() if outbox.is_last(claimed):
                handler.failed(session, reference=claimed.reference, at=at, permanent=False)


def _keep_house(database: Database, jobs: Sequence[Job], stop: Event) -> None:
    """Run every job when it is due, the first time at once; one that fails is logged and comes round again."""
    next_at: dict[str, datetime] = {}
    while not stop.is_set():
        for job in jobs:
            at = clock.now()
            if stop.is_set() or at < next_at.get(job.name, at):
                continue
            next_at[job.name] = at + job.every
            try:
                job.function(database, at)
            except Exception as error:  # noqa: BLE001 - one job's trouble is not the others'
                _log.warning("job_failed", kind=job.name, error=type(error).__name__, where=_place(error))
                next_at[job.name] = at + min(job.every, _JOB_RETRY)
        stop.wait(_HOUSE_SECONDS)
