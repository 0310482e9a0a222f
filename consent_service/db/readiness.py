"""Reads from PostgreSQL whether this process may work with it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Reading:
    """The revision of the schema, the server's time, and whether the server takes writes."""

    revision: str | None
    server_time: datetime
    takes_writes: bool


def read(session: Session) -> Reading:
    """Take one reading."""
    row = session.execute(
        text(
            "SELECT clock_timestamp() AS server_time, NOT pg_is_in_recovery() AS takes_writes,"
            " (SELECT version_num FROM alembic_version) AS revision"
        )
    ).one()
    return Reading(revision=row.revision, server_time=row.server_time, takes_writes=row.takes_writes)
