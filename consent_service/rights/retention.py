"""How long each class of data is kept, in one table, and its destruction when that time is over (GDPR Art. 5(1)(e)).

Only the role `retention` may delete what is listed here. Every function takes a bounded number of rows; the door
commits after each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, Protocol

from sqlalchemy.orm import Session

from consent_service.consent import decision_log, ledger
from consent_service.exports import files, jobs

#: For how many months somebody who comes late is told that a file expired.
_EXPORT_RECORD_MONTHS: Final = 3


class Purge(Protocol):
    """Deletes up to `limit` rows that are as old as `until` or older, and says how many there were."""

    def __call__(self, session: Session, *, until: datetime, limit: int) -> int:
        """Delete once."""


@dataclass(frozen=True, slots=True)
class DataClass:
    """One class of data: its name, from when rows are that end at a moment, and how they are counted and destroyed."""

    name: str
    ends_at: Callable[[datetime], datetime]
    count: Callable[[Session, datetime], int]
    purge: Purge


def data_classes(*, decision_log_months: int) -> tuple[DataClass, ...]:
    """Return every class of data that ends by age alone."""
    return (
        DataClass(
            "decisions", partial(_months_before, decision_log_months), decision_log.count_until, decision_log.purge
        ),
        DataClass("export_files", _export_time_before, files.count_until, files.purge),
        DataClass(
            "exports", partial(_months_before, _EXPORT_RECORD_MONTHS), files.count_records_until, files.purge_records
        ),
    )


def count_due(session: Session, *, data_class: DataClass, at: datetime) -> int:
    """Count the rows of this controller that have been kept long enough."""
    return data_class.count(session, data_class.ends_at(at))


def purge_due(session: Session, *, data_class: DataClass, at: datetime, limit: int) -> int:
    """Destroy up to `limit` rows of this controller that have been kept long enough, and say how many there were."""
    return data_class.purge(session, until=data_class.ends_at(at), limit=limit)


def _months_before(months: int, at: datetime) -> datetime:
    return ledger.add_months(at, -months)


def _export_time_before(at: datetime) -> datetime:
    return at - jobs.KEPT_FOR
