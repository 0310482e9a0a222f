"""Finds entries of the log, newest first, and opens those it finds.

What entries are about lies in rows that erasure deletes, so an entry may have none: it is then about nobody and
nothing, and a negated term finds it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, and_, false, func, or_, select, true
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import leaves, openings
from consent_service.audit.grammar import (
    ActionTerm,
    ActorTerm,
    ChannelTerm,
    CreatedTerm,
    PurposeTerm,
    Query,
    RequestTerm,
    SubjectTerm,
    Term,
)
from consent_service.audit.models import AuditEntry, AuditEntryAbout, AuditLeaf
from consent_service.audit.openings import Opening, SealedEntry, Status
from consent_service.db.session import controller_of
from consent_service.errors import AuditEntryUnknownError

_ALMOST_A_MILLISECOND: Final = timedelta(microseconds=999)


@dataclass(frozen=True, slots=True)
class Names:
    """What the words of a query stand for: the id of each purpose by key, and all ids of each person by any of them."""

    purposes: Mapping[str, str]
    people: Mapping[str, Collection[str]]


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """An entry with what it is about, what it says, and its place in the log (None while it waits for one)."""

    entry_id: str
    version: int
    type: str
    occurred_at: datetime
    commit: bytes
    actor: str | None
    subject_id: str | None
    purpose_id: str | None
    channel: str | None
    request_id: str | None
    gap: Mapping[str, Any] | None
    epoch: int | None
    leaf_index: int | None
    opening: Opening = field(repr=False)

    @property
    def payload(self) -> Mapping[str, Any] | None:
        """Return what the entry says, where it can be opened."""
        return self.opening.payload

    @property
    def leaf(self) -> bytes:
        """Return the bytes of its leaf, which say the same before it has a place."""
        return leaves.leaf_bytes(
            version=self.version,
            entry_id=self.entry_id,
            type=self.type,
            occurred_at=self.occurred_at,
            commit=self.commit,
            gap=self.gap,
        )

    @property
    def payload_status(self) -> Status:
        """Say whether it could be opened."""
        return self.opening.status


@dataclass(frozen=True, slots=True)
class FoundPage:
    """One page; `next_after` is where the next one goes on, None on the last."""

    entries: tuple[FoundEntry, ...]
    next_after: str | None


def page(
    session: Session,
    *,
    query: Query,
    names: Names,
    within_purposes: Collection[str] | None = None,
    after: str | None = None,
    limit: int,
) -> FoundPage:
    """Return the newest entries that a query asks for, at most `limit`, that are older than the entry `after`.

    `within_purposes` are the ids of the purposes to which somebody's view is limited. An entry that is written later is
    newer and never appears between two pages, except within the millisecond of `after`. Raises ValueError where an
    address was not turned into an id.
    """
    if query.addresses:
        raise ValueError("an address is turned into an id before anything is asked")
    statement = _all(session).where(*_conditions(query, names)).order_by(AuditEntry.id.desc()).limit(limit + 1)
    if within_purposes is not None:
        statement = statement.where(AuditEntryAbout.purpose_id.in_(within_purposes))
    if after is not None:
        statement = statement.where(AuditEntry.id < after)
    rows = session.execute(statement).all()
    found = _opened(session, rows[:limit])
    return FoundPage(found, found[-1].entry_id if len(rows) > limit else None)


def count(session: Session, *, query: Query, names: Names, within_purposes: Collection[str] | None = None) -> int:
    """Count the entries that a query asks for; see `page`."""
    about = AuditEntryAbout
    statement = (
        select(func.count())
        .select_from(AuditEntry)
        .outerjoin(about, and_(about.controller_id == AuditEntry.controller_id, about.entry_id == AuditEntry.id))
        .where(AuditEntry.controller_id == controller_of(session), *_conditions(query, names))
    )
    if within_purposes is not None:
        statement = statement.where(about.purpose_id.in_(within_purposes))
    return session.execute(statement).scalar_one()


def get(session: Session, *, entry_id: str) -> FoundEntry:
    """Get one entry; raises AuditEntryUnknownError."""
    rows = session.execute(_all(session).where(AuditEntry.id == entry_id)).all()
    if not rows:
        raise AuditEntryUnknownError
    return _opened(session, rows)[0]


def _all(session: Session) -> Select[Any]:
    about, leaf = AuditEntryAbout, AuditLeaf
    return (
        select(
            *(
                AuditEntry.id,
                AuditEntry.version,
                AuditEntry.type,
                AuditEntry.occurred_at,
                AuditEntry.commit,
                AuditEntry.gap,
            ),
            *(AuditEntry.sealed_for, AuditEntry.sealed, leaf.epoch, leaf.index.label("leaf_index")),
            *(about.actor, about.subject_id, about.purpose_id, about.channel, about.request_id),
        )
        .outerjoin(about, and_(about.controller_id == AuditEntry.controller_id, about.entry_id == AuditEntry.id))
        .outerjoin(leaf, and_(leaf.controller_id == AuditEntry.controller_id, leaf.entry_id == AuditEntry.id))
        .where(AuditEntry.controller_id == controller_of(session))
    )


def _conditions(query: Query, names: Names) -> list[ColumnElement[bool]]:
    """Return what must hold: of the terms of one name any, bounds of time all, and none of the negated ones."""
    wanted: dict[str, list[ColumnElement[bool]]] = {}
    conditions: list[ColumnElement[bool]] = []
    for term in query.terms:
        condition = _condition(term, names)
        if term.is_negated:
            # Not plain NOT: what is unknown of an entry is not what was excluded.
            conditions.append(condition.is_not(true()))
        elif isinstance(term, CreatedTerm) and term.period.is_bound:
            conditions.append(condition)
        else:
            wanted.setdefault(term.name, []).append(condition)
    return [*conditions, *(or_(false(), *alternatives) for alternatives in wanted.values())]


def _condition(term: Term, names: Names) -> ColumnElement[bool]:
    match term:
        case ActorTerm():
            found = _acted(term)
        case ActionTerm():
            found = AuditEntry.type.in_(term.types)
        case SubjectTerm():
            found = AuditEntryAbout.subject_id.in_(names.people[term.text])
        case PurposeTerm():
            found = AuditEntryAbout.purpose_id == names.purposes[term.text]
        case ChannelTerm():
            found = AuditEntryAbout.channel == term.text
        case RequestTerm():
            found = AuditEntryAbout.request_id == term.text
        case CreatedTerm():
            found = _created(term)
        case _:
            raise ValueError(f"{term.name} is nothing to ask for")
    return found


def _acted(term: ActorTerm) -> ColumnElement[bool]:
    if term.id is not None:
        return AuditEntryAbout.actor == f"{term.kind}:{term.id}"
    return or_(AuditEntryAbout.actor == term.kind, AuditEntryAbout.actor.startswith(f"{term.kind}:", autoescape=True))


def _created(term: CreatedTerm) -> ColumnElement[bool]:
    """Compare the moment, and the id beside it: ids are ordered by time and indexed."""
    since, until = term.period.since, term.period.until
    conditions: list[ColumnElement[bool]] = []
    if since is not None:
        conditions += [AuditEntry.occurred_at >= since, AuditEntry.id >= identifiers.lowest_id("aud", at=since)]
    if until is not None:
        first_after = identifiers.lowest_id("aud", at=until + _ALMOST_A_MILLISECOND)
        conditions += [AuditEntry.occurred_at < until, AuditEntry.id < first_after]
    return and_(true(), *conditions)


def _opened(session: Session, rows: Sequence[Row[Any]]) -> tuple[FoundEntry, ...]:
    opened = openings.open_entries(
        session,
        [
            SealedEntry(
                entry_id=row.id,
                sealed_for=row.sealed_for,
                subject_id=row.subject_id,
                commit=row.commit,
                sealed=row.sealed,
            )
            for row in rows
        ],
    )
    return tuple(
        FoundEntry(
            entry_id=row.id,
            version=row.version,
            type=row.type,
            occurred_at=row.occurred_at,
            commit=row.commit,
            actor=row.actor,
            subject_id=row.subject_id,
            purpose_id=row.purpose_id,
            channel=row.channel,
            request_id=row.request_id,
            gap=row.gap,
            epoch=row.epoch,
            leaf_index=row.leaf_index,
            opening=opened[row.id],
        )
        for row in rows
    )
