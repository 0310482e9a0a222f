"""The outbox: what must leave after commit waits here, and is claimed, handled and settled.

A row holds ids only. Whoever claims a row holds a lease on it; the end of the lease is also the token that proves
the claim, so that a worker that was overtaken cannot settle in another's name.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

from sqlalchemy import ColumnElement, CursorResult, and_, delete, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.db.session import controller_of
from consent_service.delivery.messages import Cancelled, Deferred
from consent_service.delivery.models import OutboxMessage

#: The PostgreSQL channel that wakes a worker.
WAKE_CHANNEL: Final = "outbox"
#: How long to wait after each failed try; after the last, one more try, and the message is dead.
RETRY_AFTER: Final = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
    timedelta(hours=24),
)
MOST_ATTEMPTS: Final = len(RETRY_AFTER) + 1
#: How long it can be looked up what became of a message.
KEPT_FOR: Final = timedelta(days=90)

_ONCE: Final = UUID("5c7b1f0e-3b0a-4a52-9a0e-6f1d2c84e9b7")


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that this process alone may handle until `locked_until`."""

    controller_id: str
    message_id: str
    kind: str
    reference: str
    attempts: int
    locked_until: datetime


@dataclass(frozen=True, slots=True)
class Sent:
    """The message left."""


@dataclass(frozen=True, slots=True)
class Failed:
    """This try was in vain; the schedule decides when the next one is, and whether there is one."""

    error: str


@dataclass(frozen=True, slots=True)
class Dead:
    """The message will never be sent; somebody should look at it."""

    error: str


Outcome = Sent | Failed | Dead | Cancelled | Deferred


def enqueue(session: Session, *, kind: str, reference: str, at: datetime, due_at: datetime | None = None) -> str:
    """Queue a message for after the commit, and wake a worker then.

    Returns the id of the message. One that waits already for the same `reference` says the same, so its id is
    returned and nothing is added: fifty clicks on *send again* are one mail.
    """
    waiting = session.scalar(
        select(OutboxMessage.id)
        .where(_waits_for(session, kind, reference), _is_free(at))
        .order_by(OutboxMessage.due_at)
        .limit(1)
        # A worker that is about to claim the row passes over it until this act is known.
        .with_for_update(skip_locked=True)
    )
    if waiting is not None:
        return waiting
    message_id = identifiers.new_id("obx", at=at)
    session.add(
        OutboxMessage(
            controller_id=controller_of(session),
            id=message_id,
            kind=kind,
            reference=reference,
            state="ready",
            due_at=due_at or at,
            attempts=0,
            locked_until=None,
            created_at=at,
            settled_at=None,
            last_error="",
        )
    )
    session.flush()
    session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": WAKE_CHANNEL})
    return message_id


def enqueue_once(session: Session, *, kind: str, reference: str, at: datetime) -> bool:
    """Queue a message that is said once for its reference, and wake a worker after the commit; False where it was.

    Its id is made of what it says and whose it is, so two that queue it at once queue one. What became of it is
    forgotten after `KEPT_FOR`, so the reference names a day or the like.
    """
    added = session.scalar(
        insert(OutboxMessage)
        .values(
            controller_id=controller_of(session),
            id=identifiers.from_uuid(uuid5(_ONCE, f"{controller_of(session)} {kind} {reference}"), "obx"),
            kind=kind,
            reference=reference,
            state="ready",
            due_at=at,
            attempts=0,
            created_at=at,
            last_error="",
        )
        .on_conflict_do_nothing()
        .returning(OutboxMessage.id)
    )
    if added is not None:
        session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": WAKE_CHANNEL})
    return added is not None


def cancel(session: Session, *, kind: str, reference: str, at: datetime) -> None:
    """Stop every waiting message of this kind for `reference`.

    One that a worker prepares at this very moment is passed over: waiting for it, with the rows of this act locked,
    could be a deadlock, and a mail on the wire is not called back anyhow. Where it does not leave, it is checked anew.
    """
    waiting = (
        select(OutboxMessage.id).where(_waits_for(session, kind, reference)).with_for_update(skip_locked=True).cte("w")
    )
    session.execute(
        update(OutboxMessage)
        .where(_waits_for(session, kind, reference), OutboxMessage.id.in_(select(waiting.c.id)))
        .values(state="cancelled", settled_at=at)
        .execution_options(synchronize_session=False)
    )


def claim(session: Session, *, at: datetime, limit: int, lease: timedelta) -> tuple[Claimed, ...]:
    """Take up to `limit` messages that are due, whosever they are, and count the try.

    Needs a platform transaction of the worker's role. Commit before handling them. Of messages that fell due at the
    same moment the newest comes first: when a mail cap opens, the latest request of a person is the one to confirm.
    """
    due = (
        select(OutboxMessage.controller_id, OutboxMessage.id)
        .where(OutboxMessage.state == "ready", OutboxMessage.due_at <= at, _is_free(at))
        .order_by(OutboxMessage.due_at, OutboxMessage.created_at.desc(), OutboxMessage.id.desc())
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    rows = session.execute(
        update(OutboxMessage)
        .where(OutboxMessage.controller_id == due.c.controller_id, OutboxMessage.id == due.c.id)
        .values(attempts=OutboxMessage.attempts + 1, locked_until=at + lease)
        .returning(
            OutboxMessage.controller_id,
            OutboxMessage.id,
            OutboxMessage.kind,
            OutboxMessage.reference,
            OutboxMessage.attempts,
            OutboxMessage.locked_until,
            OutboxMessage.due_at,
            OutboxMessage.created_at,
        )
        .execution_options(synchronize_session=False)
    ).all()
    newest_first = sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)
    in_order = sorted(newest_first, key=lambda row: row.due_at)
    return tuple(
        Claimed(row.controller_id, row.id, row.kind, row.reference, row.attempts, row.locked_until) for row in in_order
    )


def hold(session: Session, *, claimed: Claimed) -> bool:
    """Say whether the claim still stands, and keep it so until the end of this transaction.

    It does not where the message was cancelled since, or the lease ran out and another worker took it.
    """
    held = session.scalar(
        select(OutboxMessage.id).where(_is_claim(claimed), OutboxMessage.state == "ready").with_for_update()
    )
    return held is not None


def settle(session: Session, *, claimed: Claimed, outcome: Outcome, at: datetime) -> bool:
    """Write down what became of a claimed message, and say whether it was still ours to settle.

    A message that was cancelled while it was on the wire is `sent`, for so it was.
    """
    states = ("ready", "cancelled") if isinstance(outcome, Sent) else ("ready",)
    result = session.execute(
        update(OutboxMessage)
        .where(_is_claim(claimed), OutboxMessage.state.in_(states))
        .values(locked_until=None, **_changes(outcome, claimed.attempts, at))
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)  # noqa: S101 - an UPDATE has no other result
    return result.rowcount == 1


def purge(session: Session, *, at: datetime, limit: int) -> int:
    """Forget up to `limit` messages of this controller that were settled 90 days ago; return how many.

    Needs the worker's role.
    """
    old = (
        select(OutboxMessage.id)
        .where(OutboxMessage.controller_id == controller_of(session), OutboxMessage.settled_at <= at - KEPT_FOR)
        .order_by(OutboxMessage.settled_at)
        .limit(limit)
        .cte("old")
        .prefix_with("MATERIALIZED")
    )
    result = session.execute(
        delete(OutboxMessage)
        .where(OutboxMessage.controller_id == controller_of(session), OutboxMessage.id.in_(select(old.c.id)))
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)  # noqa: S101 - a DELETE has no other result
    return result.rowcount


def is_last(claimed: Claimed) -> bool:
    """Say whether a failure of this try is the end of the message."""
    return claimed.attempts >= MOST_ATTEMPTS


def _changes(outcome: Outcome, attempts: int, at: datetime) -> dict[str, object]:
    match outcome:
        case Sent():
            return {"state": "sent", "settled_at": at, "last_error": ""}
        case Cancelled(reason):
            return {"state": "cancelled", "settled_at": at, "last_error": reason}
        case Deferred(until):
            # Waiting for a cap to open is not a failure, so the try does not count.
            return {"due_at": until, "attempts": attempts - 1}
        case Failed(error) if attempts < MOST_ATTEMPTS:
            return {"due_at": at + RETRY_AFTER[attempts - 1], "last_error": error}
        case Failed(error) | Dead(error):
            return {"state": "dead", "settled_at": at, "last_error": error}


def _waits_for(session: Session, kind: str, reference: str) -> ColumnElement[bool]:
    # The worker's role sees the rows of all controllers, so the controller is always named.
    return and_(
        OutboxMessage.controller_id == controller_of(session),
        OutboxMessage.kind == kind,
        OutboxMessage.reference == reference,
        OutboxMessage.state == "ready",
    )


def _is_free(at: datetime) -> ColumnElement[bool]:
    return or_(OutboxMessage.locked_until.is_(None), OutboxMessage.locked_until <= at)


def _is_claim(claimed: Claimed) -> ColumnElement[bool]:
    return and_(
        OutboxMessage.controller_id == claimed.controller_id,
        OutboxMessage.id == claimed.message_id,
        OutboxMessage.locked_until == claimed.locked_until,
    )
