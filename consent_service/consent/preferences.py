"""The preference centre: a person who came by a link that was sent to their address sees and changes their choices.

Everything on the page is one act per purpose and channel. A yes given here is confirmed, because the page was opened
from the address itself; withdrawing takes no more than giving (GDPR Art. 7(3)).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.consent import (
    evidence,
    facts,
    gathering,
    ledger,
    preference_links,
    rules,
    standing,
    unsubscribing,
    withdrawal,
)
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.gathering import Question
from consent_service.consent.ledger import Act, Series
from consent_service.consent.models import LedgerEntry
from consent_service.consent.preference_links import Visitor
from consent_service.consent.rules import Facts
from consent_service.consent.standing import Standing
from consent_service.consent.withdrawal import EndedConsent, Scope
from consent_service.db.session import controller_of
from consent_service.errors import LinkInvalidError
from consent_service.registry import boxes, notices, purposes
from consent_service.registry.boxes import ShownBox
from consent_service.registry.purposes import Purpose
from consent_service.subjects import fields, identity, members
from consent_service.subjects.fields import ContactValue
from consent_service.subjects.identity import FoundPoint, SubjectReference

HISTORY_ROWS = 50

#: A purpose and a channel, by the purpose's key.
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Choice:
    """One purpose on one channel: what it is, how it stands, and whether it can be given here."""

    purpose: str
    channel: str
    title: str
    status: str
    is_given: bool
    can_give: bool
    box: ShownBox | None
    since: datetime | None
    expires_at: datetime | None
    consent_id: str | None


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One act of the past."""

    at: datetime
    kind: str
    title: str
    channel: str
    consent_id: str


@dataclass(frozen=True, slots=True)
class PreferencesView:
    """What the page shows."""

    masked: str
    can_give: bool
    choices: tuple[Choice, ...]
    history: tuple[HistoryRow, ...]


@dataclass(frozen=True, slots=True)
class SavedChoices:
    """What a visit changed."""

    given: tuple[Pair, ...]
    withdrawn: tuple[EndedConsent, ...]
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class _Place:
    """One series of the visitor, with the purpose it is for."""

    purpose: Purpose
    channel: str
    contact: ContactValue | None = field(repr=False)
    point: FoundPoint | None


def view(session: Session, *, visitor: Visitor, language: str, at: datetime) -> PreferencesView:
    """Show the choices of a visitor in a language; reads only.

    A visitor with a sender's link sees only what that link is for, as far as it is given, and no history (WD-13).
    """
    told = {(box.purpose, box.channel): box for box in boxes.all_in_force(session, language=language, at=at)}
    copy = standing.load(session)
    choices = tuple(_choice(session, visitor, place, told, copy, at) for place in _places(session, visitor, at))
    if not visitor.can_give:
        choices = tuple(choice for choice in choices if choice.is_given)
    return PreferencesView(
        masked=visitor.masked,
        can_give=visitor.can_give,
        choices=choices,
        history=_history(session, visitor, language) if visitor.can_give else (),
    )


def save(
    session: Session,
    *,
    visitor: Visitor,
    wanted: frozenset[Pair],
    shown: frozenset[Pair],
    language: str,
    act: ActEvidence,
    at: datetime,
) -> SavedChoices:
    """Give what is ticked and was not, withdraw what was given and is not ticked; leave what was not shown alone.

    Raises LinkInvalidError where a visitor who may only withdraw wants something.
    """
    visitor = _hold(session, visitor)
    told = {(box.purpose, box.channel): box for box in boxes.all_in_force(session, language=language, at=at)}
    copy = standing.load(session)
    offered = (_choice(session, visitor, place, told, copy, at) for place in _places(session, visitor, at))
    choices = {(choice.purpose, choice.channel): choice for choice in offered}
    to_end = [pair for pair in sorted(shown - wanted) if pair in choices and choices[pair].is_given]
    to_give = [pair for pair in sorted(shown & wanted) if pair in choices and not choices[pair].is_given]
    withdrawn = tuple(each for pair in to_end for each in _withdraw(session, visitor, Scope(*pair), act, at))
    given = []
    for pair in to_give:
        choice = choices[pair]
        if not choice.can_give or choice.box is None:
            raise LinkInvalidError("this link cannot give consent")
        visitor = _give(session, visitor, choice.box, language=language, act=act, at=at)
        given.append(pair)
    return SavedChoices(tuple(given), withdrawn, at)


def withdraw_all(session: Session, *, visitor: Visitor, act: ActEvidence, at: datetime) -> SavedChoices:
    """Withdraw everything that the visitor's link is for, also where nobody is known behind it."""
    if visitor.contact is None and visitor.address_hash is not None:
        outcome = unsubscribing.stop_hashed(
            session,
            hashed=visitor.address_hash,
            index=visitor.address_index,
            purpose=purposes.get(session, key=visitor.purpose) if visitor.purpose else None,
            channel=visitor.channel,
            reason="preference_centre",
            act=act,
            at=at,
        )
        return SavedChoices((), outcome.withdrawn, at)
    withdrawn = _withdraw(session, visitor, Scope(visitor.purpose, visitor.channel), act, at)
    return SavedChoices((), withdrawn, at)


def _withdraw(
    session: Session, visitor: Visitor, scope: Scope, act: ActEvidence, at: datetime
) -> tuple[EndedConsent, ...]:
    outcome = withdrawal.withdraw(
        session,
        reference=_reference(visitor),
        scope=scope,
        reason="preference_centre",
        act=act,
        actor=trail.SUBJECT,
        at=at,
    )
    return outcome.withdrawn


def _reference(visitor: Visitor) -> SubjectReference:
    if visitor.subject_id is None:
        return SubjectReference(contact=visitor.contact)
    return SubjectReference(id=visitor.subject_id, contact_point=visitor.contact)


def _hold(session: Session, visitor: Visitor) -> Visitor:
    """Take every lock that the visit may need, in the order of all acts, and look again who holds the address."""
    withdrawal.hold(session, _reference(visitor))
    return preference_links.settle(session, visitor)


def _give(
    session: Session, visitor: Visitor, box: ShownBox, *, language: str, act: ActEvidence, at: datetime
) -> Visitor:
    """Append one yes. The address is proved by the link; whoever was unknown becomes a person now."""
    visitor = preference_links.become_known(session, visitor, at=at)
    assert visitor.subject_id is not None  # noqa: S101 - become_known promises it
    purpose = purposes.get(session, key=box.purpose)
    point = visitor.point if fields.point_kind(box.channel) is not None else None
    owner, point_id = (point.subject_id, point.id) if point else (visitor.subject_id, None)
    series = Series(owner, point_id, purpose.id, box.channel)
    consent_id = ledger.new_consent_id(at)
    evidence_id = evidence.record(
        session, subject_id=owner, consent_id=consent_id, box=box, acts={"preference_centre": act}, at=at
    )
    ledger.append(
        session,
        series=series,
        act=Act(
            kind="renewed" if facts.is_given(session, series=series, at=at) else "given",
            consent_id=consent_id,
            legal_basis=purpose.legal_basis,
            evidence_grade="double_opt_in",
            occurred_at=at,
            reason="preference_centre",
            notice_id=box.notice_id,
            language=language,
            evidence_id=evidence_id,
            confirmed_at=at,
            valid_for_months=box.valid_for_months,
        ),
        actor=trail.SUBJECT,
        at=at,
    )
    return visitor


def _places(session: Session, visitor: Visitor, at: datetime) -> tuple[_Place, ...]:
    """List every series that the visitor may see: what is offered at their contact points, purpose by purpose."""
    known = _known_points(session, visitor)
    return tuple(
        place
        for purpose, channel in _asked_for(session, visitor, at)
        if (place := _place(session, visitor, purpose, channel, known)) is not None
    )


def _asked_for(session: Session, visitor: Visitor, at: datetime) -> Iterable[tuple[Purpose, str]]:
    for purpose in purposes.list_all(session):
        if purpose.legal_basis not in {"consent", "explicit_consent"} or visitor.purpose not in {None, purpose.key}:
            continue
        notice = notices.current(session, purpose_key=purpose.key, at=at)
        for channel in notice.content.channels if notice is not None else ():
            if visitor.channel in {None, channel}:
                yield purpose, channel


def _known_points(session: Session, visitor: Visitor) -> dict[str, FoundPoint]:
    """Return the visitor's contact points by kind; where the address is only reported, that address alone."""
    if visitor.point is None or visitor.subject_id is None:
        return {}
    own = identity.list_points(session, subject_id=visitor.subject_id) if visitor.point.verified_at else ()
    return {**{point.kind: point for point in own}, visitor.point.kind: visitor.point}


def _place(
    session: Session, visitor: Visitor, purpose: Purpose, channel: str, known: dict[str, FoundPoint]
) -> _Place | None:
    kind = fields.point_kind(channel)
    if kind is None:
        return _Place(purpose, channel, None, None)
    if visitor.contact is not None and visitor.contact.kind == kind:
        return _Place(purpose, channel, visitor.contact, visitor.point)
    point = known.get(kind)
    return None if point is None else _Place(purpose, channel, identity.open_point(session, point), point)


def _choice(
    session: Session, visitor: Visitor, place: _Place, told: dict[Pair, ShownBox], copy: Standing, at: datetime
) -> Choice:
    reference = SubjectReference(contact=place.contact)
    if visitor.subject_id is not None:
        reference = SubjectReference(id=visitor.subject_id, contact_point=place.contact)
    question = Question(purpose=place.purpose.key, channel=place.channel, at=at)
    is_known = place.contact is not None or visitor.subject_id is not None
    gathered = gathering.gather(session, question, reference, copy=copy) if is_known else None
    box = told.get((place.purpose.key, place.channel))
    entry = gathered.latest if gathered is not None else None
    # Only the channel that the link itself came by is proved by it; a phone number has to be confirmed on its own.
    proved = fields.point_kind(place.channel) is None or place.contact == visitor.contact
    return Choice(
        purpose=place.purpose.key,
        channel=place.channel,
        title=box.title if box is not None else place.purpose.key,
        status=_status(gathered, at),
        is_given=_status(gathered, at) in rules.GIVEN,
        can_give=visitor.can_give and proved and box is not None,
        box=box,
        since=entry.effective_at if entry is not None else None,
        expires_at=entry.expires_at if entry is not None else None,
        consent_id=entry.consent_id if entry is not None else None,
    )


def _status(gathered: Facts | None, at: datetime) -> str:
    """Return the status as the person is shown it: where they objected since, it stands as withdrawn."""
    if gathered is None:
        return "unknown"
    status = rules.status_of(gathered, at=at)
    return "withdrawn" if status in rules.GIVEN and rules.stop_of(gathered) else status


def _history(session: Session, visitor: Visitor, language: str) -> tuple[HistoryRow, ...]:
    if visitor.subject_id is None or visitor.point is None or visitor.point.verified_at is None:
        return ()
    titles = dict(_titles(session, language))
    rows = session.scalars(
        select(LedgerEntry)
        .where(
            LedgerEntry.controller_id == controller_of(session),
            LedgerEntry.subject_id.in_(members.ids_of(session, visitor.subject_id)),
        )
        .order_by(LedgerEntry.recorded_at.desc(), LedgerEntry.seq.desc())
        .limit(HISTORY_ROWS)
    )
    return tuple(
        HistoryRow(row.effective_at, row.kind, titles.get(row.purpose_id, ""), row.channel, row.consent_id)
        for row in rows
    )


def _titles(session: Session, language: str) -> Iterable[tuple[str, str]]:
    for purpose in purposes.list_all(session):
        versions = notices.publications(session, purpose_key=purpose.key)
        texts = [
            version.content.languages[language].title for version in versions if language in version.content.languages
        ]
        yield purpose.id, texts[-1] if texts else purpose.key
