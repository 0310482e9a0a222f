"""Gathers what an evidence bundle tells: the declarations of a person, their evidence, and what the log has of them.

Opening evidence and addresses is a look at personal data, and is written into the audit log with its reason.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy.orm import Session

from consent_service.audit import query
from consent_service.audit.grammar import Query, SubjectTerm
from consent_service.audit.openings import Opening
from consent_service.audit.query import FoundEntry, Names
from consent_service.audit.trail import Actor
from consent_service.consent import entries, evidence, records
from consent_service.consent.entries import RecordedEntry
from consent_service.consent.evidence import OpenedEvidence
from consent_service.consent.records import ConsentRecord, HistoryCursor
from consent_service.errors import AuditEntryUnknownError, ConsentUnknownError, SubjectUnknownError
from consent_service.registry import boxes, notices, purposes
from consent_service.registry.boxes import ShownBox
from consent_service.subjects import identity, members, revealing
from consent_service.subjects.identity import SubjectReference
from consent_service.vault import keys

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class About:
    """Whom or what a bundle is about: one person, or one declaration; `within` are the purposes it is limited to."""

    subject_id: str | None = None
    consent_id: str | None = None
    within: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry of the audit log; `is_shown` says that its payload belongs into this bundle."""

    found: FoundEntry
    is_shown: bool

    @property
    def opening(self) -> Opening:
        """Return what opens it, or says that it was erased."""
        return self.found.opening


@dataclass(frozen=True, slots=True)
class BundledConsent:
    """One declaration with all that proves it; `box` is the published text, `address` the one that it is for."""

    record: ConsentRecord
    box: ShownBox | None
    opened: tuple[OpenedEvidence, ...] = field(repr=False)
    address: str | None = field(repr=False)
    logged: tuple[tuple[RecordedEntry, str | None], ...]


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """Everything that a bundle tells. `entries` are in the order of the log."""

    subject_id: str | None
    is_erased: bool
    consents: tuple[BundledConsent, ...]
    entries: tuple[LoggedEntry, ...]


def gather(session: Session, *, about: About, reason: str, actor: Actor, at: datetime) -> BundleFacts:
    """Gather what a bundle tells, and write down who looked and why.

    Raises ConsentUnknownError where there is no such declaration, or nothing is on record about the person within the
    purposes.
    """
    found = _declarations(session, about, at)
    person = person_of(session, about=about, at=at)
    # Read before anything is opened: the looks that follow are no part of what is looked at.
    logged = {led: aud for each in found for led, aud in entries.log_entries_of(session, entries=each.entries).items()}
    log = _log(session, person, {aud for aud in logged.values() if aud is not None})
    is_erased = person is not None and not any(
        keys.has_subject_key(session, subject_id=each) for each in members.ids_of(session, person)
    )
    addresses = {} if person is None or is_erased else _addresses(session, person, reason=reason, actor=actor, at=at)
    consents = tuple(
        BundledConsent(
            record=each,
            box=_told(session, each),
            opened=() if is_erased else _evidence(session, each, reason=reason, actor=actor, at=at),
            address=addresses.get(each.contact_point_id or ""),
            logged=tuple((entry, logged.get(entry.id)) for entry in each.entries),
        )
        for each in found
    )
    shown = _Shown(session, about, consents)
    return BundleFacts(person, is_erased, consents, tuple(LoggedEntry(each, shown.has(each)) for each in log))


def person_of(session: Session, *, about: About, at: datetime) -> str | None:
    """Return whom a bundle is about; None where a declaration waits and nobody is known yet.

    Raises SubjectUnknownError, and ConsentUnknownError also for a declaration outside the purposes.
    """
    if about.subject_id is not None:
        if identity.find_subject(session, SubjectReference(id=about.subject_id)) is None:
            raise SubjectUnknownError
        return members.survivor_of(session, about.subject_id)
    return next((each.subject_id for each in _declarations(session, about, at)), None)


class _Shown:
    """Says which entries of the log a bundle opens: those of its declarations, or all of its person's within bounds."""

    def __init__(self, session: Session, about: About, consents: Collection[BundledConsent]) -> None:
        self._about = about
        self._consents = {each.record.consent_id for each in consents}
        self._own = {aud for each in consents for _, aud in each.logged}
        ids = {each.key: each.id for each in purposes.list_all(session)}
        self._purposes = None if about.within is None else {ids[key] for key in about.within if key in ids}

    def has(self, entry: FoundEntry) -> bool:
        """Say whether an entry is opened."""
        if entry.entry_id in self._own:
            return True
        if self._purposes is not None and entry.purpose_id not in self._purposes:
            return False
        if self._about.consent_id is None:
            return True
        payload: Mapping[str, object] = entry.payload or {}
        named = payload.get("consents")
        return payload.get("consent") in self._consents or (
            isinstance(named, list) and not self._consents.isdisjoint(named)
        )


def _declarations(session: Session, about: About, at: datetime) -> tuple[ConsentRecord, ...]:
    if about.consent_id is not None:
        ids = [about.consent_id]
    else:
        assert about.subject_id is not None  # noqa: S101 - a bundle is about one or the other
        waiting = [each.consent_id for each in records.current(session, subject_id=about.subject_id, at=at)]
        ids = list(dict.fromkeys([*_history(session, about.subject_id), *waiting]))
    found = tuple(records.get(session, consent_id=each, at=at) for each in ids)
    kept = tuple(each for each in found if about.within is None or each.purpose in about.within)
    if not kept and (found or about.consent_id is not None):
        raise ConsentUnknownError
    return kept


def _history(session: Session, subject_id: str) -> list[str]:
    """List the declarations of a person, oldest first."""
    found: list[str] = []
    before: HistoryCursor | None = None
    while True:
        page = records.history(session, subject_id=subject_id, before=before, limit=_PAGE)
        found += [each.consent_id for each in page.entries]
        before = page.next_cursor
        if before is None:
            return list(dict.fromkeys(reversed(found)))


def _log(session: Session, subject_id: str | None, linked: Collection[str]) -> list[FoundEntry]:
    """Return the entries of the log about a person, and those that declarations name, in the order of the log."""
    found = {} if subject_id is None else {each.entry_id: each for each in _about_person(session, subject_id)}
    for entry_id in linked:
        if entry_id not in found:
            try:
                found[entry_id] = query.get(session, entry_id=entry_id)
            except AuditEntryUnknownError:
                continue
    return sorted(found.values(), key=_in_order)


def _in_order(entry: FoundEntry) -> tuple[bool, int, int, str]:
    """Order entries as the log does; those that wait for their place come last."""
    waits = entry.epoch is None or entry.leaf_index is None
    return (waits, entry.epoch or 0, entry.leaf_index or 0, entry.entry_id)


def _about_person(session: Session, subject_id: str) -> Iterator[FoundEntry]:
    asked = Query((SubjectTerm(text=subject_id),))
    names = Names(purposes={}, people={subject_id: members.ids_of(session, subject_id)})
    after: str | None = None
    while True:
        page = query.page(session, query=asked, names=names, after=after, limit=_PAGE)
        yield from page.entries
        after = page.next_after
        if after is None:
            return


def _addresses(session: Session, subject_id: str, *, reason: str, actor: Actor, at: datetime) -> dict[str, str]:
    """Return the contact points that a person holds by id, in clear; the look is written into the log."""
    points = identity.list_points(session, subject_id=subject_id)
    if not points:
        return {}
    revealed = revealing.reveal(session, subject_id=subject_id, reason=reason, actor=actor, at=at)
    return {point.id: value for point, (_, value) in zip(points, revealed.contact_points, strict=True)}


def _evidence(
    session: Session, record: ConsentRecord, *, reason: str, actor: Actor, at: datetime
) -> tuple[OpenedEvidence, ...]:
    try:
        return evidence.reveal(session, consent_id=record.consent_id, reason=reason, actor=actor, at=at)
    except ConsentUnknownError:
        # An act without evidence of its own, or one that only waits.
        return ()


def _told(session: Session, record: ConsentRecord) -> ShownBox | None:
    if record.notice_id is None or record.language is None:
        return None
    notice = notices.get(session, notice_id=record.notice_id)
    return boxes.of_notice(session, notice=notice, channel=record.channel, language=record.language)
