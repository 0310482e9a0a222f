"""Answers what people ask of the audit log: their words become ids before, and ids of purposes become words after.

An address is looked up by its blind index and then forgotten: the query that is run, shown and signed into cursors has
the person's id in its place.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from consent_service.audit import grammar, query, trail
from consent_service.audit.grammar import AddressTerm, Query, SubjectTerm, Term
from consent_service.audit.query import FoundEntry, Names
from consent_service.audit.query_values import QueryProblem, Vocabulary
from consent_service.errors import AuditQueryInvalidError, ContactPointInvalidError
from consent_service.registry import controllers, purposes
from consent_service.subjects import fields, identity, members
from consent_service.subjects.identity import SubjectReference

_CHANNELS: Final = tuple(fields.POINT_OF_CHANNEL)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry as it was found, and the key of the purpose that it is about."""

    found: FoundEntry
    purpose: str | None


@dataclass(frozen=True, slots=True)
class LogPage:
    """One page of entries, newest first; `next_after` is where the next one goes on, None on the last."""

    entries: tuple[LogEntry, ...]
    next_after: str | None


NOTHING: Final = LogPage((), None)


def read(session: Session, text: str, *, within: Collection[str] | None = None) -> Query:
    """Read a query in the words of this controller; raises AuditQueryInvalidError.

    Days are those of the controller's zone. `within` are the purposes (keys) to which somebody's view is limited; any
    other is unknown.
    """
    known = [each.key for each in purposes.list_all(session) if within is None or each.key in within]
    zone = ZoneInfo(controllers.get(session).timezone)
    vocabulary = Vocabulary(actions=trail.TYPES, channels=_CHANNELS, purposes=known, zone=zone)
    return grammar.parse(text, vocabulary=vocabulary)


def resolve(session: Session, asked: Query) -> Query | None:
    """Put ids in the place of addresses; raises AuditQueryInvalidError, which never repeats one.

    An address under which nobody is known names nobody: where all that was asked for are such, nothing can be found and
    None is returned.
    """
    terms: dict[tuple[str, bool, str], Term] = {}
    problems: list[QueryProblem] = []
    for term in asked.terms:
        known = _person(session, term, problems) if isinstance(term, AddressTerm) else term
        if known is not None:
            terms.setdefault((known.name, known.is_negated, known.text), known)
    if problems:
        raise AuditQueryInvalidError(tuple(problems))
    wanted = any(term.name == SubjectTerm.name and not term.is_negated for term in asked.terms)
    if wanted and not any(name == SubjectTerm.name and not negated for name, negated, _ in terms):
        return None
    return replace(asked, terms=tuple(terms.values()))


def page(
    session: Session,
    *,
    asked: Query,
    within: Collection[str] | None = None,
    after: str | None = None,
    limit: int,
) -> LogPage:
    """Return the newest entries that a resolved query asks for, older than the entry `after`; see `query.page`.

    Looking writes no entry: what entries say are ids, codes and the reasons that somebody gave for an act.
    """
    keys, people = _words(session, asked)
    found = query.page(
        session,
        query=asked,
        names=Names(purposes=keys, people=people),
        within_purposes=_ids(keys, within),
        after=after,
        limit=limit,
    )
    by_id = {purpose_id: key for key, purpose_id in keys.items()}
    return LogPage(
        tuple(LogEntry(each, each.purpose_id and by_id.get(each.purpose_id)) for each in found.entries),
        found.next_after,
    )


def count(session: Session, *, asked: Query, within: Collection[str] | None = None) -> int:
    """Count the entries that a resolved query asks for."""
    keys, people = _words(session, asked)
    return query.count(
        session, query=asked, names=Names(purposes=keys, people=people), within_purposes=_ids(keys, within)
    )


def get(session: Session, *, entry_id: str) -> LogEntry:
    """Get one entry; raises AuditEntryUnknownError."""
    found = query.get(session, entry_id=entry_id)
    by_id = {each.id: each.key for each in purposes.list_all(session)}
    return LogEntry(found, found.purpose_id and by_id.get(found.purpose_id))


def as_row(entry: LogEntry) -> dict[str, Any]:
    """Return an entry as it is listed, by the API and in a file; times are datetimes."""
    found, payload = entry.found, entry.found.payload
    return {
        "entry_id": found.entry_id,
        "type": found.type,
        "occurred_at": found.occurred_at,
        "actor": found.actor,
        "subject_id": found.subject_id,
        "purpose": entry.purpose,
        "channel": found.channel,
        "request_id": found.request_id,
        "stream": payload and payload["stream"],
        "number": payload and payload["number"],
        "payload": payload,
        "payload_status": found.payload_status,
        "epoch": found.epoch,
        "leaf_index": found.leaf_index,
    }


def _words(session: Session, asked: Query) -> tuple[Mapping[str, str], Mapping[str, Collection[str]]]:
    """Return what the words of a query stand for: ids of purposes by key, and all ids of the people it names."""
    keys = {each.key: each.id for each in purposes.list_all(session)}
    return keys, {term.text: members.ids_of(session, term.text) for term in asked.of(SubjectTerm)}


def _ids(keys: Mapping[str, str], within: Collection[str] | None) -> list[str] | None:
    return None if within is None else [keys[key] for key in within if key in keys]


def _person(session: Session, term: AddressTerm, problems: list[QueryProblem]) -> SubjectTerm | None:
    """Return whom an address belongs to, or None; what is wrong with it is added to `problems`."""
    try:
        contact = fields.parse(term.kind, term.text)
    except ContactPointInvalidError as error:
        (problem,) = error.problems
        problems.append(QueryProblem(code=problem.code, detail=problem.detail, column=term.column, length=term.length))
        return None
    found = identity.find_subject(session, SubjectReference(contact=contact))
    if found is None:
        return None
    return SubjectTerm(text=found.subject_id, is_negated=term.is_negated, column=term.column, length=term.length)
