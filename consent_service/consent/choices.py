"""What stands on the page of choices: every series of a visitor that they may see, and what they may do with it.

A row is one purpose on one channel at one contact point. What the notice in force offers is there with its words; what
it dropped is there as long as the ledger speaks of it, and can only be taken back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.orm import Session

from consent_service.consent import age, gathering, records, rules, standing
from consent_service.consent.gathering import Question
from consent_service.consent.ledger import Series
from consent_service.consent.preference_links import Visitor
from consent_service.consent.records import CurrentConsent
from consent_service.consent.rules import Facts
from consent_service.consent.standing import Standing
from consent_service.registry import boxes, notices, purposes
from consent_service.registry.boxes import ShownBox
from consent_service.registry.purposes import Purpose
from consent_service.subjects import fields, identity
from consent_service.subjects.fields import ContactValue
from consent_service.subjects.identity import FoundPoint, SubjectReference

#: A purpose and a channel, by the purpose's key.
Pair = tuple[str, str]
#: What names a row: purpose and channel, and the contact point where it is not the one that the link came by.
Key = tuple[str, ...]

_OF_CONSENT = frozenset({"consent", "explicit_consent"})


@dataclass(frozen=True, slots=True)
class Choice:
    """One purpose on one channel: what it is, how it stands, and whether it can be given here.

    `masked` is the contact point, masked, where it is not the one that the link came by. `lacks_age` says that age
    matters and was never declared for it: that is asked in a form, and not here.
    """

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
    point_id: str | None
    masked: str
    key: Key
    lacks_age: bool = False

    @property
    def pair(self) -> Pair:
        """Return the purpose and the channel."""
        return self.purpose, self.channel

    @property
    def name(self) -> str:
        """Return the key as a form sends it."""
        return ":".join(self.key)


@dataclass(frozen=True, slots=True)
class _Place:
    """One series of the visitor; `is_own` says that its address is the one that the link came by, or that it has none.

    A channel that reaches a contact point has one, unless nobody is known under the visitor's address.
    """

    purpose: Purpose
    channel: str
    contact: ContactValue | None = field(repr=False)
    point: FoundPoint | None
    is_own: bool

    @property
    def key(self) -> Key:
        pair = (self.purpose.key, self.channel)
        return pair if self.is_own or self.point is None else (*pair, self.point.id)


def list_of(session: Session, *, visitor: Visitor, language: str, at: datetime) -> tuple[Choice, ...]:
    """List the rows of a visitor in a language; reads only.

    A visitor with a sender's link gets only what that link is for, as far as it is given anywhere (WD-13).
    """
    told = {(box.purpose, box.channel): box for box in boxes.all_in_force(session, language=language, at=at)}
    known = _known_points(session, visitor)
    asked = _offered(session, visitor, at)
    places = (place for purpose, channel in asked for place in _places(session, visitor, purpose, channel, known))
    copy = standing.load(session)
    rows = [choice for place in places if (choice := _choice(session, visitor, place, told, copy, at)) is not None]
    offered = {(purpose.key, channel) for purpose, channel in asked}
    rows += _dropped(session, visitor, known, offered, language, at)
    if visitor.can_give:
        return tuple(rows)
    given = {choice.pair: replace(choice, key=choice.pair, masked="") for choice in rows if choice.is_given}
    return tuple(given.values())


def titles(session: Session, *, language: str) -> Mapping[str, str]:
    """Return what each purpose was called last in a language, by its id; its key where it was never told in it."""
    found = {}
    for purpose in purposes.list_all(session):
        versions = notices.publications(session, purpose_key=purpose.key)
        texts = [
            version.content.languages[language].title for version in versions if language in version.content.languages
        ]
        found[purpose.id] = texts[-1] if texts else purpose.key
    return found


def _offered(session: Session, visitor: Visitor, at: datetime) -> tuple[tuple[Purpose, str], ...]:
    asked = []
    for purpose in purposes.list_all(session):
        if not _concerns(visitor, purpose) or purpose.is_retired(at):
            continue
        notice = notices.current(session, purpose_key=purpose.key, at=at)
        channels = notice.content.channels if notice is not None else ()
        asked += [(purpose, channel) for channel in channels if visitor.channel in {None, channel}]
    return tuple(asked)


def _concerns(visitor: Visitor, purpose: Purpose) -> bool:
    return purpose.legal_basis in _OF_CONSENT and visitor.purpose in {None, purpose.key}


def _known_points(session: Session, visitor: Visitor) -> tuple[FoundPoint, ...]:
    """Return the visitor's contact points; where the address is only reported, that address alone."""
    if visitor.point is None or visitor.subject_id is None:
        return ()
    own = identity.list_points(session, subject_id=visitor.subject_id) if visitor.point.verified_at else ()
    return (visitor.point, *(point for point in own if point.id != visitor.point.id))


def _places(
    session: Session, visitor: Visitor, purpose: Purpose, channel: str, known: tuple[FoundPoint, ...]
) -> Iterable[_Place]:
    kind = fields.point_kind(channel)
    if kind is None:
        yield _Place(purpose, channel, None, None, is_own=True)
        return
    own = visitor.point
    if visitor.contact is not None and visitor.contact.kind == kind:
        yield _Place(purpose, channel, visitor.contact, own, is_own=True)
    for point in known:
        if point.kind == kind and (own is None or point.id != own.id):
            yield _Place(purpose, channel, identity.open_point(session, point), point, is_own=False)


def _choice(
    session: Session, visitor: Visitor, place: _Place, told: dict[Pair, ShownBox], copy: Standing, at: datetime
) -> Choice | None:
    """Say how one series stands; None where nothing is recorded for an address that nobody proved to be theirs."""
    reference = SubjectReference(contact=place.contact)
    if visitor.subject_id is not None:
        reference = SubjectReference(id=visitor.subject_id, contact_point=place.contact)
    question = Question(purpose=place.purpose.key, channel=place.channel, at=at)
    is_known = place.contact is not None or visitor.subject_id is not None
    gathered = gathering.gather(session, question, reference, copy=copy) if is_known else None
    status = _status(gathered, at)
    if status == "unknown" and not place.is_own and place.point is not None and place.point.verified_at is None:
        return None
    box = told.get((place.purpose.key, place.channel))
    entry = gathered.latest if gathered is not None else None
    lacks_age = place.purpose.age_condition and not _is_old_enough(session, visitor, place, copy, at)
    return Choice(
        purpose=place.purpose.key,
        channel=place.channel,
        title=box.title if box is not None else place.purpose.key,
        status=status,
        is_given=status in rules.GIVEN,
        # Only the address that the link itself came by is proved by it; any other has to be confirmed on its own.
        can_give=visitor.can_give and place.is_own and box is not None and not lacks_age,
        box=box,
        since=entry.effective_at if entry is not None else None,
        expires_at=entry.expires_at if entry is not None else None,
        consent_id=entry.consent_id if entry is not None else None,
        point_id=place.point.id if place.point is not None else None,
        masked="" if place.is_own or place.contact is None else fields.mask(place.contact),
        key=place.key,
        lacks_age=lacks_age,
    )


def _is_old_enough(session: Session, visitor: Visitor, place: _Place, copy: Standing, at: datetime) -> bool:
    """Say whether an age was declared in this series before that is enough now."""
    subject_id = visitor.subject_id if place.point is None else place.point.subject_id
    if subject_id is None or (place.contact is not None and place.point is None):
        return False
    point_id = None if place.point is None else place.point.id
    years = age.declared(session, Series(subject_id, point_id, place.purpose.id, place.channel))
    return years is not None and years >= age.limit(copy.controller, at=at)


def _status(gathered: Facts | None, at: datetime) -> str:
    """Return the status as the person is shown it: where they objected since, it stands as withdrawn."""
    if gathered is None:
        return "unknown"
    status = rules.status_of(gathered, at=at)
    return "withdrawn" if status in rules.GIVEN and rules.stop_of(gathered) else status


def _dropped(
    session: Session,
    visitor: Visitor,
    known: tuple[FoundPoint, ...],
    offered: set[Pair],
    language: str,
    at: datetime,
) -> Iterable[Choice]:
    """List what the ledger says of purposes and channels that are not asked for any more."""
    if visitor.subject_id is None or visitor.point is None or visitor.point.verified_at is None:
        return
    points = {point.id: point for point in known}
    meant = {purpose.id for purpose in purposes.list_all(session) if _concerns(visitor, purpose)}
    called = titles(session, language=language)
    for each in records.current(session, subject_id=visitor.subject_id, at=at):
        is_reached = each.contact_point_id is None or each.contact_point_id in points
        if (each.purpose, each.channel) in offered or each.purpose_id not in meant or not is_reached:
            continue
        if each.status != "requested" and visitor.channel in {None, each.channel}:
            yield _old(session, visitor, each, points, called[each.purpose_id])


def _old(
    session: Session, visitor: Visitor, each: CurrentConsent, points: Mapping[str, FoundPoint], title: str
) -> Choice:
    point = None if each.contact_point_id is None else points[each.contact_point_id]
    is_own = point is None or (visitor.point is not None and point.id == visitor.point.id)
    key = (each.purpose, each.channel)
    return Choice(
        purpose=each.purpose,
        channel=each.channel,
        title=title,
        status=each.status,
        is_given=each.status in rules.GIVEN,
        can_give=False,
        box=None,
        since=each.since,
        expires_at=each.expires_at,
        consent_id=each.consent_id,
        point_id=each.contact_point_id,
        masked="" if is_own or point is None else fields.mask(identity.open_point(session, point)),
        key=key if is_own or point is None else (*key, point.id),
    )
