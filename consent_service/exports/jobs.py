"""The life of an export: asked for, claimed, made piece by piece, kept seven days, and forgotten.

Whoever works on an export holds a lease on it; the end of the lease is also the token that proves the claim, so that a
worker that was overtaken cannot write into another's file.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, insert, or_, select, update
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.db.session import controller_of
from consent_service.errors import ExportUnknownError
from consent_service.exports import files
from consent_service.exports.making import Step, Wanted
from consent_service.exports.models import Export
from consent_service.vault import keys

KEPT_FOR: Final = timedelta(days=7)
#: Far longer than one step takes.
LEASE: Final = timedelta(minutes=2)
#: After so many tries that brought nothing an export has failed.
MOST_ATTEMPTS: Final = 5
_RETRY_AFTER: Final = timedelta(minutes=1)
_UNFINISHED: Final = ("queued", "running")


@dataclass(frozen=True, slots=True)
class ExportState:
    """How an export stands. `sha256` (hex) and `size` (bytes) are those of the finished file."""

    id: str
    kind: str
    status: str
    done: int
    total: int | None
    chunks: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime
    size: int | None
    sha256: str | None
    media_type: str
    file_name: str
    failure: str | None
    subject_id: str | None
    parameters: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claimed:
    """An export that this process alone may work on until `locked_until`, and how far it is."""

    wanted: Wanted
    kind: str
    subject_id: str | None
    locked_until: datetime
    chunks: int
    done: int
    place: Mapping[str, Any] | None = field(repr=False)
    is_whole: bool


def ask(
    session: Session,
    *,
    kind: str,
    parameters: Mapping[str, Any],
    said: Mapping[str, Any],
    media_type: str,
    file_name: str,
    actor: Actor,
    at: datetime,
    subject_id: str | None = None,
) -> str:
    """Queue a file, write into the audit log what was asked for (`said`), and return its id (`exp_…`).

    `subject_id` is the one person that the file is about: it is sealed under their key, and goes with it. `parameters`
    are JSON values without clear contact points.
    """
    export_id = identifiers.new_id("exp", at=at)
    entry_id = trail.record(
        session,
        type="log.exported",
        at=at,
        actor=actor,
        stream=f"export:{export_id}",
        payload={"export": export_id, "kind": kind, **said},
        subject_id=subject_id,
    )
    session.execute(
        insert(Export).values(
            controller_id=controller_of(session),
            id=export_id,
            kind=kind,
            parameters=_seal(session, export_id, "parameters", parameters),
            subject_id=subject_id,
            requested_by=str(actor),
            status="queued",
            done=0,
            chunks=0,
            attempts=0,
            created_at=at,
            expires_at=at + KEPT_FOR,
            media_type=media_type,
            file_name=file_name,
            audit_entry_id=entry_id,
        )
    )
    return export_id


def get(session: Session, *, export_id: str, at: datetime) -> ExportState:
    """Return how an export stands at a moment; raises ExportUnknownError."""
    row = session.scalar(select(Export).where(_is(session, export_id)))
    if row is None:
        raise ExportUnknownError
    is_over = row.status == "expired" or row.expires_at <= at
    return ExportState(
        id=row.id,
        kind=row.kind,
        status="expired" if is_over else row.status,
        done=row.done,
        total=row.total,
        chunks=row.chunks,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        expires_at=row.expires_at,
        size=row.size,
        sha256=None if row.sha256 is None else _open(session, export_id, "sha256", row.sha256)["hex"],
        media_type=row.media_type,
        file_name=row.file_name,
        failure=row.failure,
        subject_id=row.subject_id,
        parameters={} if row.parameters is None else _open(session, export_id, "parameters", row.parameters),
    )


def list_waiting_controllers(session: Session, *, at: datetime) -> tuple[str, ...]:
    """Return the controllers that have an export which nobody works on; needs the worker's login."""
    return tuple(session.scalars(select(Export.controller_id).where(_is_free(at)).distinct()))


def claim(session: Session, *, kinds: Collection[str], at: datetime) -> Claimed | None:
    """Take the export of the controller that is least far, of those that nobody works on; commit before working on it.

    So a small file does not wait for the end of a large one.
    """
    row = session.scalar(
        select(Export)
        .where(Export.controller_id == controller_of(session), Export.kind.in_(kinds), _is_free(at))
        .order_by(Export.done, Export.created_at, Export.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if row is None or row.parameters is None:
        return None
    if row.attempts >= MOST_ATTEMPTS:
        # Whoever took it died of it, each time.
        _change(session, row.id, status="failed", failure="abandoned", finished_at=at, locked_until=None)
        return None
    attempts = row.attempts + 1
    _change(
        session, row.id, status="running", attempts=attempts, locked_until=at + LEASE, started_at=row.started_at or at
    )
    place: dict[str, Any] = {} if row.place is None else _open(session, row.id, "place", row.place)
    return Claimed(
        wanted=Wanted(row.id, _open(session, row.id, "parameters", row.parameters), row.requested_by),
        kind=row.kind,
        subject_id=row.subject_id,
        locked_until=at + LEASE,
        chunks=row.chunks,
        done=row.done,
        place=place.get("next"),
        is_whole=place.get("whole", False),
    )


def hold(session: Session, *, claimed: Claimed) -> bool:
    """Say whether the claim still stands, and keep it so until the end of this transaction."""
    held = session.scalar(select(Export.id).where(_is_claim(session, claimed)).with_for_update())
    return held is not None


def keep(session: Session, *, claimed: Claimed, step: Step, at: datetime) -> Claimed:
    """Keep what a step made, under a lease that begins anew; needs a claim that is held."""
    chunks = files.add(
        session,
        export_id=claimed.wanted.export_id,
        subject_id=claimed.subject_id,
        first=claimed.chunks,
        data=step.data,
    )
    is_whole = step.place is None
    until = at + LEASE
    _change(
        session,
        claimed.wanted.export_id,
        done=step.done,
        total=step.total,
        chunks=chunks,
        place=_seal(session, claimed.wanted.export_id, "place", {"next": step.place, "whole": is_whole}),
        attempts=0,
        locked_until=until,
    )
    return Claimed(
        claimed.wanted, claimed.kind, claimed.subject_id, until, chunks, step.done, step.place, is_whole=is_whole
    )


def finish(session: Session, *, claimed: Claimed, size: int, sha256: bytes, at: datetime) -> None:
    """Say that the file is ready, and write that into the audit log; needs a claim that is held."""
    export_id = claimed.wanted.export_id
    _change(
        session,
        export_id,
        status="ready",
        total=claimed.done,
        finished_at=at,
        expires_at=at + KEPT_FOR,
        size=size,
        sha256=_seal(session, export_id, "sha256", {"hex": sha256.hex()}),
        locked_until=None,
    )
    trail.record(
        session,
        type="log.exported",
        at=at,
        actor=trail.SYSTEM,
        stream=f"export:{export_id}",
        payload={"export": export_id, "kind": claimed.kind, "entries": claimed.done, "sha256": sha256.hex()},
        subject_id=claimed.subject_id,
    )


def release(session: Session, *, claimed: Claimed) -> None:
    """Let whoever comes first go on with the export, after a turn that brought something; needs a held claim."""
    _change(session, claimed.wanted.export_id, attempts=0, locked_until=None)


def give_up(session: Session, *, claimed: Claimed, failure: str, at: datetime) -> None:
    """Say that the file never can be made, by a code; needs a claim that is held."""
    _change(session, claimed.wanted.export_id, status="failed", failure=failure, finished_at=at, locked_until=None)


def put_off(session: Session, *, claimed: Claimed, failure: str, at: datetime) -> None:
    """Try again in a minute, or give up after too many tries in a row that brought nothing; needs a held claim."""
    attempts = session.scalar(select(Export.attempts).where(_is(session, claimed.wanted.export_id)))
    if attempts is not None and attempts >= MOST_ATTEMPTS:
        give_up(session, claimed=claimed, failure=failure, at=at)
    else:
        _change(session, claimed.wanted.export_id, locked_until=at + _RETRY_AFTER)


def _change(session: Session, export_id: str, **values: object) -> None:
    session.execute(
        update(Export).where(_is(session, export_id)).values(**values).execution_options(synchronize_session=False)
    )


def _is(session: Session, export_id: str) -> ColumnElement[bool]:
    return and_(Export.controller_id == controller_of(session), Export.id == export_id)


def _is_free(at: datetime) -> ColumnElement[bool]:
    """Hold where an export is not made yet, may still be, and nobody works on it."""
    return and_(
        Export.status.in_(_UNFINISHED),
        Export.expires_at > at,
        or_(Export.locked_until.is_(None), Export.locked_until <= at),
    )


def _is_claim(session: Session, claimed: Claimed) -> ColumnElement[bool]:
    return and_(
        _is(session, claimed.wanted.export_id),
        Export.status == "running",
        Export.locked_until == claimed.locked_until,
    )


def _seal(session: Session, export_id: str, column: str, document: Mapping[str, Any]) -> bytes:
    text = json.dumps(document, ensure_ascii=False, sort_keys=True).encode()
    return keys.seal_for_controller(session, text, table="export", column=column, row_id=export_id)


def _open(session: Session, export_id: str, column: str, sealed: bytes) -> dict[str, Any]:
    text = keys.unseal_for_controller(session, sealed, table="export", column=column, row_id=export_id)
    document: dict[str, Any] = json.loads(text)
    return document
