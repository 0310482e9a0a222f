"""What is on record: one declaration with all that became of it, a person's standing choices, and their history."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.consent import entries, requested, rules
from consent_service.consent.entries import RecordedEntry
from consent_service.consent.requested import Requested
from consent_service.errors import ConsentUnknownError, IdentifierInvalidError
from consent_service.subjects import members

__all__ = [
    "ConsentRecord",
    "CurrentConsent",
    "HistoryCursor",
    "HistoryPage",
    "RecordedEntry",
    "current",
    "get",
    "history",
]


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    """One declaration as it stands at a moment.

    `entries` are the ledger entries of the declaration, oldest first, with the one that ended it last, also where that
    was an act with a declaration of its own. While it only waits for confirmation there are none, `requested_at` and
    `expires_at` are those of the request, and nobody may be known as its subject yet.
    """

    consent_id: str
    subject_id: str | None
    contact_point_id: str | None
    purpose_id: str
    purpose: str
    channel: str
    status: str
    legal_basis: str
    notice_id: str | None
    notice_version: int | None
    language: str | None
    evidence_grade: str | None
    requested_at: datetime | None
    given_at: datetime | None
    confirmed_at: datetime | None
    withdrawn_at: datetime | None
    expires_at: datetime | None
    form_id: str | None
    entries: tuple[RecordedEntry, ...]

    @property
    def status_term(self) -> str:
        """Return the status as a term of the Data Privacy Vocabulary."""
        return rules.DPV_STATUS[self.status]


@dataclass(frozen=True, slots=True)
class CurrentConsent:
    """How one series stands at a moment; the contact point is named by its id alone."""

    purpose_id: str
    purpose: str
    channel: str
    contact_point_id: str | None
    status: str
    consent_id: str
    legal_basis: str
    notice_version: int | None
    language: str | None
    since: datetime
    confirmed_at: datetime | None
    expires_at: datetime | None

    @property
    def status_term(self) -> str:
        """Return the status as a term of the Data Privacy Vocabulary."""
        return rules.DPV_STATUS[self.status]


@dataclass(frozen=True, slots=True)
class HistoryCursor:
    """Where a page of history ended."""

    recorded_at: datetime
    seq: int


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Some entries, newest first, and where the next page begins; None when there is nothing more."""

    entries: tuple[RecordedEntry, ...]
    next_cursor: HistoryCursor | None


def get(session: Session, *, consent_id: str, at: datetime) -> ConsentRecord:
    """Return one declaration as it stands at a moment, also while it only waits for confirmation.

    A yes that was taken back says so even where the act that took it back has a declaration of its own; one that was
    given anew stays as it was. Raises ConsentUnknownError.
    """
    try:
        identifiers.to_uuid(consent_id, "con")
    except IdentifierInvalidError:
        raise ConsentUnknownError from None
    own = entries.of_declaration(session, consent_id=consent_id, at=at)
    if own:
        return _from_ledger(session, own, at)
    waiting = requested.find(session, consent_id=consent_id, at=at)
    if waiting is None:
        raise ConsentUnknownError
    return _from_request(session, waiting)


def current(session: Session, *, subject_id: str, at: datetime) -> tuple[CurrentConsent, ...]:
    """Return how every series of a person stands, by purpose, channel and contact point.

    A series that only waits for its first confirmation is `requested`. Status is that of the acts alone: whether the
    person may be contacted is what a check answers.
    """
    latest = entries.latest_of_subject(session, subject_id=subject_id, at=at)
    standing = [_standing(session, entry, at) for entry in latest]
    acted_on = {(each.purpose_id, each.channel, each.contact_point_id) for each in standing}
    standing += [
        _waiting(each)
        for each in requested.list_of_subject(session, subject_id=subject_id, at=at)
        if (each.purpose_id, each.channel, each.contact_point_id) not in acted_on
    ]
    return tuple(sorted(standing, key=lambda each: (each.purpose, each.channel, each.contact_point_id or "")))


def history(session: Session, *, subject_id: str, before: HistoryCursor | None = None, limit: int) -> HistoryPage:
    """Return entries about a person, newest first; `before` continues where a page ended."""
    place = None if before is None else (before.recorded_at, before.seq)
    found = entries.newest_of_subject(session, subject_id=subject_id, before=place, limit=limit + 1)
    page = found[:limit]
    goes_on = len(found) > limit
    return HistoryPage(page, HistoryCursor(page[-1].recorded_at, page[-1].seq) if goes_on else None)


def _from_ledger(session: Session, own: tuple[RecordedEntry, ...], at: datetime) -> ConsentRecord:
    last = own[-1]
    ending = entries.find_ending(session, given=last, at=at) if last.kind in rules.GIVEN else None
    whole = own if ending is None else (*own, ending)
    told = next((entry for entry in reversed(own) if entry.notice_id is not None), last)
    given = next((entry for entry in reversed(own) if entry.kind in rules.GIVEN), None)
    return ConsentRecord(
        consent_id=last.consent_id,
        subject_id=members.survivor_of(session, last.subject_id),
        contact_point_id=last.contact_point_id,
        purpose_id=last.purpose_id,
        purpose=last.purpose,
        channel=last.channel,
        status=entries.status_of(session, whole[-1], at=at),
        legal_basis=told.legal_basis,
        notice_id=told.notice_id,
        notice_version=told.notice_version,
        language=told.language,
        evidence_grade=told.evidence_grade,
        requested_at=given.occurred_at if given is not None and given.confirmed_at is not None else None,
        given_at=given.occurred_at if given is not None else None,
        confirmed_at=given.confirmed_at if given is not None else None,
        withdrawn_at=next((entry.effective_at for entry in whole if entry.kind == "withdrawn"), None),
        expires_at=given.expires_at if given is not None else None,
        form_id=given.source.form_id if given is not None else None,
        entries=whole,
    )


def _from_request(session: Session, waiting: Requested) -> ConsentRecord:
    return ConsentRecord(
        consent_id=waiting.consent_id,
        subject_id=None if waiting.subject_id is None else members.survivor_of(session, waiting.subject_id),
        contact_point_id=waiting.contact_point_id,
        purpose_id=waiting.purpose_id,
        purpose=waiting.purpose,
        channel=waiting.channel,
        status="requested" if waiting.waits else "unknown",
        legal_basis=waiting.legal_basis,
        notice_id=waiting.notice_id,
        notice_version=waiting.notice_version,
        language=waiting.language,
        evidence_grade=None,
        requested_at=waiting.requested_at,
        given_at=None,
        confirmed_at=None,
        withdrawn_at=None,
        expires_at=waiting.expires_at,
        form_id=waiting.form_id,
        entries=(),
    )


def _standing(session: Session, entry: RecordedEntry, at: datetime) -> CurrentConsent:
    # The entry is the last of its own series, so what ends it can only be a no of another record of the person.
    ending = entries.find_ending(session, given=entry, at=at) if entry.kind in rules.GIVEN else None
    return CurrentConsent(
        purpose_id=entry.purpose_id,
        purpose=entry.purpose,
        channel=entry.channel,
        contact_point_id=entry.contact_point_id,
        status=entries.status_of(session, ending or entry, at=at),
        consent_id=entry.consent_id,
        legal_basis=entry.legal_basis,
        notice_version=entry.notice_version,
        language=entry.language,
        since=(ending or entry).effective_at,
        confirmed_at=entry.confirmed_at,
        expires_at=entry.expires_at,
    )


def _waiting(each: Requested) -> CurrentConsent:
    return CurrentConsent(
        purpose_id=each.purpose_id,
        purpose=each.purpose,
        channel=each.channel,
        contact_point_id=each.contact_point_id,
        status="requested",
        consent_id=each.consent_id,
        legal_basis=each.legal_basis,
        notice_version=each.notice_version,
        language=each.language,
        since=each.requested_at,
        confirmed_at=None,
        expires_at=each.expires_at,
    )
