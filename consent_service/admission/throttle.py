"""How often something may be tried in a window of time; counted in PostgreSQL, so that all processes count together."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from consent_service.admission.models import ThrottleCounter
from consent_service.admission.sweeping import delete_some
from consent_service.db.session import controller_of

#: Longer than any window.
KEPT_FOR: Final = timedelta(days=2)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ThrottleState:
    """Whether this try may go on, how many more may in this window, and when the next window begins."""

    allowed: bool
    remaining: int
    reset_at: datetime


def hit(session: Session, *, name: str, key_hash: bytes, limit: int, window: timedelta, at: datetime) -> ThrottleState:
    """Count one try of `name` by whoever `key_hash` stands for, and say whether it is within `limit`.

    Windows are fixed: they begin at multiples of `window` since 1970. The counter is locked until the transaction
    ends and forgets the try if it rolls back, so give it a short transaction of its own.
    """
    begins_at = at - (at - _EPOCH) % window
    counter = insert(ThrottleCounter).values(
        controller_id=controller_of(session), name=name, key_hash=key_hash, window_start_at=begins_at, count=1
    )
    count = session.execute(
        counter.on_conflict_do_update(
            index_elements=[
                ThrottleCounter.controller_id,
                ThrottleCounter.name,
                ThrottleCounter.key_hash,
                ThrottleCounter.window_start_at,
            ],
            set_={"count": ThrottleCounter.count + 1},
        ).returning(ThrottleCounter.count)
    ).scalar_one()
    return ThrottleState(allowed=count <= limit, remaining=max(0, limit - count), reset_at=begins_at + window)


def purge(session: Session, *, at: datetime, limit: int) -> int:
    """Forget up to `limit` counters of windows that ended long ago; return how many."""
    return delete_some(session, ThrottleCounter, ThrottleCounter.window_start_at <= at - KEPT_FOR, limit=limit)
