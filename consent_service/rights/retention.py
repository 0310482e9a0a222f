"""How long each class of data is kept, in one table, and its destruction when that time is over (GDPR Art. 5(1)(e)).

Only the role `retention` may delete what is listed here. Every function takes a bounded number of rows; the door
commits after each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.orm import Session

from consent_service.consent import decision_log, ledger


class Purge(Protocol):
    """Deletes up to `limit` rows that are as old as `until` or older, and says how many there were."""

    def __call__(self, session: Session, *, until: datetime, limit: int) -> int:
        """Delete once."""


@dataclass(frozen=True, slots=True)
class DataClass:
    """One class of data: its name, for how many months it is kept, and how it is counted and destroyed."""

    name: str
    months: int
    count: Callable[[Session, datetime], int]
    purge: Purge

    def ends_at(self, at: datetime) -> datetime:
        """Return the moment at and before which rows have been kept long enough."""
        return ledger.add_months(at, -self.months)


def data_classes(*, decision_log_months: int) -> tuple[DataClass, ...]:
    """Return every class of data that ends by age alone."""
    return (DataClass("decisions", decision_log_months, decision_log.count_until, decision_log.purge),)


def count_due(session: Session, *, data_class: DataClass, at: datetime) -> int:
    """Count the rows of this controller that have been kept long enough."""
    return data_class.count(session, data_class.ends_at(at))


def purge_due(session: Session, *, data_class: DataClass, at: datetime, limit: int) -> int:
    """Destroy up to `limit` rows of this controller that have been kept long enough, and say how many there were."""
    return data_class.purge(session, until=data_class.ends_at(at), limit=limit)
