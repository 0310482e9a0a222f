"""Cuts what ties entries of the log to a person: rows that say whom they are about, and rows that name their entry.

The entries and their leaves stay as they are, so every proof goes on verifying (GDPR Art. 17). Only the role
`retention` may.
"""

from collections.abc import Collection, Iterable
from typing import Final

from sqlalchemy import ColumnElement, CursorResult, Executable, delete, update
from sqlalchemy.orm import Session

from consent_service.audit.models import AuditEntryAbout, AuditStreamHead
from consent_service.db.base import Base
from consent_service.db.session import controller_of

#: The column by which a row elsewhere names the entry that was written with it.
LINK: Final = "audit_entry_id"
#: How streams begin that erasure forgets although the controller can still open their entries: what waited for a
#: person, and stops of their addresses.
FORGOTTEN: Final = ("request:", "suppression:")


def forget_person(session: Session, *, subject_id: str, streams: Iterable[str]) -> dict[str, int]:
    """Delete what the log itself says about a person, and the heads of their streams; return how many rows by table."""
    about = delete(AuditEntryAbout).where(
        AuditEntryAbout.controller_id == controller_of(session), AuditEntryAbout.subject_id == subject_id
    )
    heads = delete(AuditStreamHead).where(
        AuditStreamHead.controller_id == controller_of(session),
        AuditStreamHead.stream.in_([f"subject:{subject_id}", *streams]),
    )
    return {"audit.entry_about": _count(session, about), "audit.stream_head": _count(session, heads)}


def forget_entries(session: Session, *links: tuple[type[Base], ColumnElement[bool]]) -> dict[str, int]:
    """Let rows name their entries no more: of each table those for which a condition holds; return how many by table.

    The condition names a person, and is put together with the controller of this transaction.
    """
    return {rows.__tablename__: _empty(session, rows, whose) for rows, whose in links}


def streams_of(prefix: str, ids: Collection[str]) -> tuple[str, ...]:
    """Return the names of the streams of things with these ids, such as `export:exp_…`."""
    return tuple(f"{prefix}:{each}" for each in ids)


def _empty(session: Session, rows: type[Base], whose: ColumnElement[bool]) -> int:
    columns = rows.__table__.c
    emptied = (
        update(rows)
        .where(columns.controller_id == controller_of(session), whose, columns[LINK].is_not(None))
        .values({LINK: None})
    )
    return _count(session, emptied)


def _count(session: Session, change: Executable) -> int:
    done = session.execute(change.execution_options(synchronize_session=False))
    assert isinstance(done, CursorResult)  # noqa: S101 - an UPDATE or DELETE has no other result
    return done.rowcount
