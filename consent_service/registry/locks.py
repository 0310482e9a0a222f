"""Answers for one at a time: numbering the versions of one thing while others do the same."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session


def hold(session: Session, *, name: str) -> None:
    """Wait for the lock of this name and keep it until the transaction ends.

    An advisory lock, because the service's role may not change the rows that it numbers and so cannot lock them.
    """
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"registry:{name}", 0))))
