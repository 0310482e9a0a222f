"""The bytes of exports: sealed in pieces of 256 KiB, read again piece by piece, destroyed when their time is over."""

from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, CursorResult, and_, delete, func, insert, select, tuple_, update
from sqlalchemy.orm import Session

from consent_service.db.session import controller_of
from consent_service.errors import ExportUnknownError
from consent_service.exports.models import Export, ExportChunk
from consent_service.vault import keys

CHUNK_BYTES: Final = 256 * 1024
_TABLE: Final = "export_chunk"
_COLUMN: Final = "sealed"


def add(session: Session, *, export_id: str, subject_id: str | None, first: int, data: bytes) -> int:
    """Add bytes to a file that has `first` pieces already; return how many it has then.

    Raises KeyDestroyedError where the person that the file is about was erased.
    """
    rows = [
        {
            "controller_id": controller_of(session),
            "export_id": export_id,
            "number": first + place,
            "sealed": _seal(session, data[start : start + CHUNK_BYTES], export_id, subject_id, first + place),
        }
        for place, start in enumerate(range(0, len(data), CHUNK_BYTES))
    ]
    if rows:
        session.execute(insert(ExportChunk), rows)
    return first + len(rows)


def read(session: Session, *, export_id: str, subject_id: str | None, number: int) -> bytes:
    """Return one piece of a file; raises ExportUnknownError where it is gone, KeyDestroyedError after erasure."""
    sealed = session.scalar(
        select(ExportChunk.sealed).where(
            ExportChunk.controller_id == controller_of(session),
            ExportChunk.export_id == export_id,
            ExportChunk.number == number,
        )
    )
    if sealed is None:
        raise ExportUnknownError
    place = {"table": _TABLE, "column": _COLUMN, "row_id": _row(export_id, number)}
    if subject_id is None:
        return keys.unseal_for_controller(session, sealed, **place)
    return keys.unseal_for_subject(session, sealed, subject_id=subject_id, **place)


def count_until(session: Session, until: datetime) -> int:
    """Count the pieces of this controller's files that were made, or given up, at `until` or before."""
    return session.execute(
        select(func.count())
        .select_from(ExportChunk)
        .join(Export, and_(Export.controller_id == ExportChunk.controller_id, Export.id == ExportChunk.export_id))
        .where(*_old(session, until))
    ).scalar_one()


def purge(session: Session, *, until: datetime, limit: int) -> int:
    """Destroy up to `limit` pieces of files made at `until` or before, with what was asked for; say how many.

    The row stays, `expired`, so that whoever comes late is told. Only the role `retention` may.
    """
    old = (
        select(ExportChunk.export_id, ExportChunk.number)
        .join(Export, and_(Export.controller_id == ExportChunk.controller_id, Export.id == ExportChunk.export_id))
        .where(*_old(session, until))
        .order_by(ExportChunk.export_id, ExportChunk.number)
        .limit(limit)
        .cte("old")
        .prefix_with("MATERIALIZED")
    )
    done = session.execute(
        delete(ExportChunk)
        .where(
            ExportChunk.controller_id == controller_of(session),
            tuple_(ExportChunk.export_id, ExportChunk.number).in_(select(old.c.export_id, old.c.number)),
        )
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(Export)
        .where(*_old(session, until), Export.status != "expired")
        .values(status="expired", parameters=None, place=None, sha256=None)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(done, CursorResult)  # noqa: S101 - a DELETE has no other result
    return done.rowcount


def count_records_until(session: Session, until: datetime) -> int:
    """Count the exports that are remembered though their files are gone, asked for at `until` or before."""
    return session.execute(select(func.count()).select_from(Export).where(*_forgettable(session, until))).scalar_one()


def purge_records(session: Session, *, until: datetime, limit: int) -> int:
    """Forget up to `limit` exports that were asked for at `until` or before and whose files are gone; say how many.

    The audit log remembers that they were asked for. Only the role `retention` may.
    """
    old = (
        select(Export.id)
        .where(*_forgettable(session, until))
        .order_by(Export.id)
        .limit(limit)
        .cte("old")
        .prefix_with("MATERIALIZED")
    )
    done = session.execute(
        delete(Export)
        .where(Export.controller_id == controller_of(session), Export.id.in_(select(old.c.id)))
        .execution_options(synchronize_session=False)
    )
    assert isinstance(done, CursorResult)  # noqa: S101 - a DELETE has no other result
    return done.rowcount


def _old(session: Session, until: datetime) -> tuple[ColumnElement[bool], ...]:
    ended = func.coalesce(Export.finished_at, Export.created_at)
    return (Export.controller_id == controller_of(session), ended <= until)


def _forgettable(session: Session, until: datetime) -> tuple[ColumnElement[bool], ...]:
    rest = select(ExportChunk.number).where(
        ExportChunk.controller_id == Export.controller_id, ExportChunk.export_id == Export.id
    )
    return (
        Export.controller_id == controller_of(session),
        Export.status == "expired",
        Export.created_at <= until,
        ~rest.exists(),
    )


def _seal(session: Session, data: bytes, export_id: str, subject_id: str | None, number: int) -> bytes:
    place = {"table": _TABLE, "column": _COLUMN, "row_id": _row(export_id, number)}
    if subject_id is None:
        return keys.seal_for_controller(session, data, **place)
    return keys.seal_for_subject(session, data, subject_id=subject_id, **place)


def _row(export_id: str, number: int) -> str:
    return f"{export_id}/{number}"
