"""Writes into the log of the platform what concerns the whole installation: who is served, and on which schema."""

from datetime import datetime
from typing import Final

from sqlalchemy.orm import Session

from consent_service.audit import streams, trail
from consent_service.db import migrate
from consent_service.registry import controllers

_SCHEMA_STREAM: Final = "schema"


def note_controllers(session: Session, *, at: datetime, limit: int) -> int:
    """Write down, once for ever, up to `limit` controllers that the platform's log does not know; say how many.

    Needs a transaction of the platform's log. Two that do so at once write no controller twice.
    """
    named = {f"controller:{row.controller_id}": row.controller_id for row in controllers.list_directory(session)}
    begun = streams.list_begun(session, streams=named.keys())
    # In one order, so that two that work at once wait for each other instead of standing in each other's way.
    missing = sorted(named.keys() - begun)[:limit]
    noted = [stream for stream in missing if not streams.lock(session, stream=stream).number]
    for stream in noted:
        trail.record(
            session,
            type="controller.registered",
            at=at,
            actor=trail.SYSTEM,
            stream=stream,
            payload={"controller": named[stream]},
        )
    return len(noted)


def note_schema(session: Session, *, at: datetime) -> bool:
    """Write down which schema the database is at, where that is not what was written down last; say whether it was.

    Needs a transaction of the platform's log. Two that do so at once write it once.
    """
    revision = migrate.current(session.connection())
    if _says(session, streams.lock(session, stream=_SCHEMA_STREAM), revision):
        return False
    trail.record(
        session,
        type="schema.migrated",
        at=at,
        actor=trail.SYSTEM,
        stream=_SCHEMA_STREAM,
        payload={"revision": revision},
    )
    return True


def _says(session: Session, head: streams.Head, revision: str | None) -> bool:
    said = streams.read_last(session, head=head, type="schema.migrated")
    return said is not None and said["revision"] == revision
