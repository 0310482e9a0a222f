"""Gathers what a decision rests on; reads only, and leaves every judgement to the rules."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from consent_service.consent import rules, signup_requests
from consent_service.consent.ledger import Series
from consent_service.consent.models import LedgerEntry, Objection
from consent_service.consent.rules import Entry, Facts, Offer, Stop
from consent_service.db.session import controller_of
from consent_service.errors import PurposeUnknownError
from consent_service.registry import controllers, notices, purposes
from consent_service.registry.notices import NoticeVersion
from consent_service.registry.purposes import Purpose
from consent_service.subjects import fields, identity, restriction, suppression
from consent_service.subjects.identity import FoundPoint, FoundSubject, SubjectReference


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: about whom, for which purpose on which channel, and as of when.

    `until` leaves out what counts from a later moment only. Without it everything on record counts, also what another
    node wrote with a clock that is ahead: what was acknowledged holds at once, everywhere.
    """

    reference: SubjectReference = field(repr=False)
    purpose: str
    channel: str
    at: datetime
    until: datetime | None = None
    known_at: datetime | None = None
    recipient: str | None = None
    min_evidence: str | None = None


def gather(session: Session, question: Question) -> Facts:
    """Gather the facts for one question, as they were at its moment and as far as they were known then."""
    purpose = _find_purpose(session, question)
    if purpose is None:
        return Facts(purpose_known=False, offer=None, point_required=False)
    notice = notices.current(session, purpose_key=purpose.key, at=question.at)
    offer = _offer(purpose, notice, question.channel)
    contact = question.reference.named_point
    reaches_point = offer is not None and fields.point_kind(question.channel) is not None
    point_required = reaches_point and (contact is None or contact.kind != fields.point_kind(question.channel))
    asked = Facts(
        purpose_known=True,
        offer=offer,
        point_required=point_required,
        recipient=question.recipient,
        min_evidence=question.min_evidence,
    )
    if offer is None or point_required:
        return asked
    return _about_person(session, question, purpose, asked)


def is_given(session: Session, *, series: Series, at: datetime, until: datetime | None = None) -> bool:
    """Say whether a consent stands in a series at a moment, so that another yes renews it; `until` as in Question."""
    latest = latest_entry(session, where=in_series(series), until=until)
    return latest is not None and status_after(session, latest, purpose_id=series.purpose_id, at=at) in rules.GIVEN


def status_after(session: Session, entry: Entry, *, purpose_id: str, at: datetime) -> str:
    """Say what the status is at a moment where this entry is the last one that counts."""
    superseded = _superseded_by(session, purpose_id, entry, at)
    stand_in = Facts(purpose_known=True, offer=None, point_required=False, latest=entry, superseded_by=superseded)
    return rules.status_of(stand_in, at=at)


def latest_entry(
    session: Session, *, where: ColumnElement[bool], until: datetime | None = None, known_at: datetime | None = None
) -> Entry | None:
    """Return the latest entry by (effective_at, seq), of those that count at `until` and were known at `known_at`."""
    row = session.execute(
        select(LedgerEntry)
        .where(LedgerEntry.controller_id == controller_of(session), where, *_counts(until, known_at))
        .order_by(LedgerEntry.effective_at.desc(), LedgerEntry.seq.desc())
        .limit(1)
    ).scalar_one_or_none()
    return None if row is None else to_entry(session, row)


def to_entry(session: Session, row: LedgerEntry) -> Entry:
    """Return what the rules need of a ledger row."""
    notice = notices.get(session, notice_id=row.notice_id) if row.notice_id is not None else None
    return Entry(
        kind=row.kind,
        consent_id=row.consent_id,
        effective_at=row.effective_at,
        occurred_at=row.occurred_at,
        confirmed_at=row.confirmed_at,
        expires_at=row.expires_at,
        legal_basis=row.legal_basis,
        evidence_grade=row.evidence_grade,
        notice_number=None if notice is None else notice.number,
        language=row.language,
        recipients=() if notice is None else tuple(notice.content.recipients),
    )


def _find_purpose(session: Session, question: Question) -> Purpose | None:
    try:
        purpose = purposes.get(session, key=question.purpose)
    except PurposeUnknownError:
        return None
    return None if purpose.is_retired(question.at) or purpose.created_at > question.at else purpose


def _offer(purpose: Purpose, notice: NoticeVersion | None, channel: str) -> Offer | None:
    if notice is None or channel not in notice.content.channels:
        return None
    return Offer(
        legal_basis=purpose.legal_basis,
        double_opt_in=purpose.double_opt_in,
        special_category=purpose.special_category,
        recipients=tuple(notice.content.recipients),
    )


def _about_person(session: Session, question: Question, purpose: Purpose, asked: Facts) -> Facts:
    found = identity.find_subject(session, question.reference, until=question.until)
    of_series = _where_of(found, purpose, question.channel)
    latest = confirmed = None
    if of_series is not None:
        latest = latest_entry(session, where=of_series, until=question.until, known_at=question.known_at)
        confirmed = _confirmed_act_at(session, of_series, question)
    others = _others(session, question, found)
    latest = _with_no_of_others(session, question, purpose, others, latest)
    people = {each.subject_id for each in (found, *others) if each is not None}
    return Facts(
        purpose_known=True,
        offer=asked.offer,
        point_required=False,
        recipient=asked.recipient,
        min_evidence=asked.min_evidence,
        subject_id=None if found is None else found.subject_id,
        restricted=found is not None
        and restriction.is_restricted(session, subject_id=found.subject_id, until=_limit(question)),
        suppressions=_suppressions(session, question, purpose),
        objections=_objections(session, people, question, purpose),
        latest=latest,
        confirmed_act_at=confirmed,
        superseded_by=None if latest is None else _superseded_by(session, purpose.id, latest, question.at),
        other_point_given=found is not None and latest is None and _other_point(session, found, question, purpose),
        request_waits=_waits(session, question, purpose),
        decision_lifetime=controllers.get(session).decision_lifetime,
    )


def _where_of(found: FoundSubject | None, purpose: Purpose, channel: str) -> ColumnElement[bool] | None:
    if found is None:
        return None
    if fields.point_kind(channel) is None:
        return in_series(Series(found.subject_id, None, purpose.id, channel))
    if found.point is None:
        return None
    return in_series(Series(found.subject_id, found.point.id, purpose.id, channel))


def _others(session: Session, question: Question, found: FoundSubject | None) -> tuple[FoundPoint, ...]:
    """Return everybody else under the address that is asked about."""
    contact = question.reference.named_point
    if contact is None:
        return ()
    own = None if found is None else found.subject_id
    return tuple(each for each in identity.list_holders(session, contact) if each.subject_id != own)


def _with_no_of_others(
    session: Session, question: Question, purpose: Purpose, others: tuple[FoundPoint, ...], own: Entry | None
) -> Entry | None:
    """Return the last word about an address: anybody's no binds it for all, a yes needs the person's own later act."""
    latest = own
    for other in others if fields.point_kind(question.channel) is not None else ():
        series = Series(other.subject_id, other.id, purpose.id, question.channel)
        entry = latest_entry(session, where=in_series(series), until=question.until, known_at=question.known_at)
        if entry is None or entry.kind in rules.GIVEN:
            continue
        if latest is None or latest.effective_at <= entry.effective_at:
            latest = entry
    return latest


def in_series(series: Series) -> ColumnElement[bool]:
    """Return the condition that selects the entries of one series."""
    point = LedgerEntry.contact_point_id
    return and_(
        LedgerEntry.subject_id == series.subject_id,
        point.is_(None) if series.contact_point_id is None else point == series.contact_point_id,
        LedgerEntry.purpose_id == series.purpose_id,
        LedgerEntry.channel == series.channel,
    )


def _counts(until: datetime | None, known_at: datetime | None) -> list[ColumnElement[bool]]:
    limits = ((LedgerEntry.effective_at, until), (LedgerEntry.recorded_at, known_at))
    return [column <= limit for column, limit in limits if limit is not None]


def _confirmed_act_at(session: Session, series: ColumnElement[bool], question: Question) -> datetime | None:
    return session.scalar(
        select(LedgerEntry.effective_at)
        .where(
            LedgerEntry.controller_id == controller_of(session),
            series,
            *_counts(question.until, question.known_at),
            LedgerEntry.kind.in_(tuple(rules.GIVEN)),
            LedgerEntry.confirmed_at.is_not(None),
        )
        .order_by(LedgerEntry.effective_at.desc(), LedgerEntry.seq.desc())
        .limit(1)
    )


def _limit(question: Question) -> datetime | None:
    return min((limit for limit in (question.until, question.known_at) if limit is not None), default=None)


def _suppressions(session: Session, question: Question, purpose: Purpose) -> tuple[Stop, ...]:
    contact = question.reference.named_point
    if contact is None:
        return ()
    hashed = suppression.address_hash(session, contact)
    return tuple(
        Stop(found.recorded_at)
        for found in suppression.list_for(session, hashed=hashed, until=_limit(question))
        if found.covers(purpose_id=purpose.id, channel=question.channel)
    )


def _objections(session: Session, subject_ids: set[str], question: Question, purpose: Purpose) -> tuple[Stop, ...]:
    query = select(Objection.recorded_at).where(
        Objection.controller_id == controller_of(session),
        Objection.subject_id.in_(subject_ids),
        or_(Objection.purpose_id.is_(None), Objection.purpose_id == purpose.id),
        or_(Objection.channel.is_(None), Objection.channel == question.channel),
    )
    limit = _limit(question)
    moments = session.scalars(query if limit is None else query.where(Objection.recorded_at <= limit))
    return tuple(Stop(moment) for moment in moments)


def _superseded_by(session: Session, purpose_id: str, latest: Entry, at: datetime) -> int | None:
    """Return the notice version that was published as a material change and took effect after the consent's own."""
    if latest.notice_number is None:
        return None
    return notices.first_material_after(session, purpose_id=purpose_id, number=latest.notice_number, at=at)


def _other_point(session: Session, found: FoundSubject, question: Question, purpose: Purpose) -> bool:
    other = and_(
        LedgerEntry.subject_id == found.subject_id,
        LedgerEntry.purpose_id == purpose.id,
        LedgerEntry.channel == question.channel,
    )
    latest = latest_entry(session, where=other, until=question.until, known_at=question.known_at)
    return latest is not None and latest.kind in rules.GIVEN


def _waits(session: Session, question: Question, purpose: Purpose) -> bool:
    contact = question.reference.named_point
    return contact is not None and signup_requests.waits_for(
        session, contact=contact, purpose_id=purpose.id, channel=question.channel, at=question.at
    )
