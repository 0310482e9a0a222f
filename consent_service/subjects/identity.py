"""Who is meant, and the only home of contact points: finding, creating, verifying and opening them."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Select, and_, func, insert, or_, select, update
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.db.session import controller_of
from consent_service.errors import SubjectUnknownError
from consent_service.subjects import fields, members
from consent_service.subjects.fields import ContactValue
from consent_service.subjects.models import ContactPoint, ExternalId, Subject
from consent_service.vault import keys


@dataclass(frozen=True, slots=True)
class ExternalReference:
    """What another system calls the subject."""

    system: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SubjectReference:
    """Exactly one of id, contact or external id; the latter two may name the contact point that is asked about."""

    id: str | None = None
    contact: ContactValue | None = None
    external_id: ExternalReference | None = None
    contact_point: ContactValue | None = None

    @property
    def named_point(self) -> ContactValue | None:
        """Return the contact point that the reference speaks of, where it names one."""
        return self.contact or self.contact_point


@dataclass(frozen=True, slots=True)
class FoundPoint:
    """A contact point that a subject holds now; `subject_id` is the record that it stays with, also after a merge."""

    id: str
    subject_id: str
    kind: str
    verified_at: datetime | None


@dataclass(frozen=True, slots=True)
class FoundSubject:
    """Who a reference means, by the id that they go by, and the contact point it names where that is theirs."""

    subject_id: str
    point: FoundPoint | None


@dataclass(frozen=True, slots=True)
class MaskedContactPoint:
    """A contact point as it may be shown."""

    id: str
    kind: str
    masked: str
    verified_at: datetime | None


def create(session: Session, *, at: datetime, actor: Actor) -> str:
    """Create a person with a key of their own and return the id (`sub_…`)."""
    subject_id = identifiers.new_id("sub")
    session.execute(insert(Subject).values(controller_id=controller_of(session), id=subject_id, created_at=at))
    keys.create_for_subject(session, subject_id=subject_id, at=at)
    trail.record(
        session,
        type="subject.created",
        at=at,
        actor=actor,
        stream=f"subject:{subject_id}",
        payload={"subject": subject_id},
        subject_id=subject_id,
    )
    return subject_id


def find_subject(
    session: Session, reference: SubjectReference, *, until: datetime | None = None
) -> FoundSubject | None:
    """Find who is meant, or None. A verified holder of an address goes before anybody who is only reported under it.

    Of records that were merged it is the one that goes on. `until` asks who held the address at a moment of the past,
    before a merge that came later.
    """
    if reference.contact is not None:
        point = find_point(session, reference.contact, until=until)
        if point is None:
            return None
        return FoundSubject(members.survivor_of(session, point.subject_id, until=until), point)
    known = _by_id(session, reference.id) if reference.id else _by_external_id(session, reference.external_id)
    if known is None:
        return None
    subject_id = members.survivor_of(session, known, until=until)
    if reference.contact_point is None:
        return FoundSubject(subject_id, None)
    return FoundSubject(subject_id, find_point(session, reference.contact_point, subject_id=subject_id, until=until))


def find_point(
    session: Session, contact: ContactValue, *, subject_id: str | None = None, until: datetime | None = None
) -> FoundPoint | None:
    """Find who holds an address now, or held it at a moment: the verified holder, else the one reported last."""
    query = _under_address(session, contact).limit(1)
    if subject_id is not None:
        query = query.where(ContactPoint.subject_id.in_(members.ids_of(session, subject_id, until=until)))
    if until is None:
        query = query.where(ContactPoint.holder_until.is_(None)).order_by(
            ContactPoint.verified_at.is_(None), ContactPoint.holder_from.desc(), ContactPoint.id
        )
    else:
        # What happened before it was reported counts too, so whoever came first after the moment is better than nobody.
        query = query.where(or_(ContactPoint.holder_until.is_(None), ContactPoint.holder_until > until)).order_by(
            func.coalesce(ContactPoint.verified_at > until, True),
            ContactPoint.holder_from > until,
            func.abs(func.extract("epoch", ContactPoint.holder_from - until)),
            ContactPoint.id,
        )
    row = session.execute(query).one_or_none()
    return None if row is None else FoundPoint(*row)


def list_holders(session: Session, contact: ContactValue) -> tuple[FoundPoint, ...]:
    """List everybody who holds an address now, or was ever reported under it without proving it."""
    rows = session.execute(
        _under_address(session, contact)
        .where(or_(ContactPoint.holder_until.is_(None), ContactPoint.verified_at.is_(None)))
        .order_by(ContactPoint.holder_from, ContactPoint.id)
    )
    return tuple(FoundPoint(*row) for row in rows)


def find_holder(session: Session, *, index: bytes) -> FoundPoint | None:
    """Find who holds the address with a blind index now: the verified holder, else the one reported last."""
    row = session.execute(
        select(ContactPoint.id, ContactPoint.subject_id, ContactPoint.kind, ContactPoint.verified_at)
        .where(
            ContactPoint.controller_id == controller_of(session),
            ContactPoint.blind_index == index,
            ContactPoint.holder_until.is_(None),
        )
        .order_by(ContactPoint.verified_at.is_(None), ContactPoint.holder_from.desc(), ContactPoint.id)
        .limit(1)
    ).one_or_none()
    return None if row is None else FoundPoint(*row)


def get_point(session: Session, *, point_id: str) -> FoundPoint | None:
    """Find a contact point by its id, whether or not it is still held."""
    row = session.execute(
        select(ContactPoint.id, ContactPoint.subject_id, ContactPoint.kind, ContactPoint.verified_at).where(
            ContactPoint.controller_id == controller_of(session), ContactPoint.id == point_id
        )
    ).one_or_none()
    return None if row is None else FoundPoint(*row)


def list_points(session: Session, *, subject_id: str) -> tuple[FoundPoint, ...]:
    """List the contact points that a person holds now, oldest first."""
    rows = session.execute(
        select(ContactPoint.id, ContactPoint.subject_id, ContactPoint.kind, ContactPoint.verified_at)
        .where(
            ContactPoint.controller_id == controller_of(session),
            ContactPoint.subject_id.in_(members.ids_of(session, subject_id)),
            ContactPoint.holder_until.is_(None),
        )
        .order_by(ContactPoint.holder_from, ContactPoint.id)
    )
    return tuple(FoundPoint(*row) for row in rows)


def indexes_of(session: Session, *, subject_id: str) -> frozenset[bytes]:
    """Return the blind indexes of the contact points that a person holds now, for locking them."""
    return frozenset(
        session.scalars(
            select(ContactPoint.blind_index).where(
                ContactPoint.controller_id == controller_of(session),
                ContactPoint.subject_id.in_(members.ids_of(session, subject_id)),
                ContactPoint.holder_until.is_(None),
            )
        )
    )


def verified_indexes(session: Session, *, subject_id: str) -> dict[tuple[str, bytes], str]:
    """Return the contact points that a person proved and holds now, by kind and blind index."""
    rows = session.execute(
        select(ContactPoint.id, ContactPoint.kind, ContactPoint.blind_index).where(
            ContactPoint.controller_id == controller_of(session),
            ContactPoint.subject_id.in_(members.ids_of(session, subject_id)),
            ContactPoint.verified_at.is_not(None),
            ContactPoint.holder_until.is_(None),
        )
    )
    return {(row.kind, bytes(row.blind_index)): row.id for row in rows}


def attach_point(
    session: Session, *, subject_id: str, contact: ContactValue, verified_at: datetime | None, at: datetime
) -> FoundPoint:
    """Give a person a contact point, verified or only reported; return the one they have when it is theirs already.

    The caller holds the lock of the address.
    """
    known = find_point(session, contact, subject_id=subject_id)
    if known is not None:
        return known if verified_at is None else verify_point(session, point=known, contact=contact, at=verified_at)
    if verified_at is not None:
        _end_claims(session, contact=contact, at=at)
    point_id = identifiers.new_id("cpt", at=at)
    session.execute(
        insert(ContactPoint).values(
            controller_id=controller_of(session),
            id=point_id,
            subject_id=subject_id,
            kind=contact.kind,
            blind_index=keys.index(session, kind=contact.kind, value=contact.normal),
            sealed=keys.seal_for_subject(
                session,
                contact.value.encode(),
                subject_id=subject_id,
                table="contact_point",
                column="sealed",
                row_id=point_id,
            ),
            verified_at=verified_at,
            holder_from=at,
        )
    )
    return FoundPoint(point_id, subject_id, contact.kind, verified_at)


def verify_point(session: Session, *, point: FoundPoint, contact: ContactValue, at: datetime) -> FoundPoint:
    """Mark an address as proved by its holder; everybody who was only reported under it gives way."""
    if point.verified_at is not None:
        return point
    _end_claims(session, contact=contact, at=at, but=point.id)
    session.execute(
        update(ContactPoint)
        .where(ContactPoint.controller_id == controller_of(session), ContactPoint.id == point.id)
        .values(verified_at=at)
    )
    return FoundPoint(point.id, point.subject_id, point.kind, at)


def attach_external_id(session: Session, *, subject_id: str, external: ExternalReference, at: datetime) -> None:
    """Remember what another system calls the person, where it is not remembered yet."""
    if _by_external_id(session, external) is not None:
        return
    blind = keys.index(session, kind=f"external_id:{external.system}", value=external.value)
    sealed = keys.seal_for_subject(
        session,
        external.value.encode(),
        subject_id=subject_id,
        table="external_id",
        column="sealed",
        row_id=f"{external.system}:{subject_id}",
    )
    session.execute(
        insert(ExternalId).values(
            controller_id=controller_of(session),
            system=external.system,
            blind_index=blind,
            subject_id=subject_id,
            sealed=sealed,
            created_at=at,
        )
    )


def list_contact_points(session: Session, *, subject_id: str) -> tuple[MaskedContactPoint, ...]:
    """List the contact points of a person, masked; raises SubjectUnknownError."""
    if _by_id(session, subject_id) is None:
        raise SubjectUnknownError
    return tuple(
        MaskedContactPoint(point.id, point.kind, fields.mask(open_point(session, point)), point.verified_at)
        for point in list_points(session, subject_id=subject_id)
    )


def open_point(session: Session, point: FoundPoint) -> ContactValue:
    """Open one contact point for an act of the service itself, such as masking it or mailing its holder."""
    sealed = session.scalars(
        select(ContactPoint.sealed).where(
            ContactPoint.controller_id == controller_of(session), ContactPoint.id == point.id
        )
    ).one()
    clear = keys.unseal_for_subject(
        session, sealed, subject_id=point.subject_id, table="contact_point", column="sealed", row_id=point.id
    ).decode()
    return fields.parse(point.kind, clear)


def _end_claims(session: Session, *, contact: ContactValue, at: datetime, but: str | None = None) -> None:
    """End what was only reported: a claim never attaches to anybody and yields to whoever verifies."""
    condition = and_(
        ContactPoint.controller_id == controller_of(session),
        ContactPoint.kind == contact.kind,
        ContactPoint.blind_index == keys.index(session, kind=contact.kind, value=contact.normal),
        ContactPoint.verified_at.is_(None),
        ContactPoint.holder_until.is_(None),
    )
    if but is not None:
        condition = and_(condition, ContactPoint.id != but)
    session.execute(update(ContactPoint).where(condition).values(holder_until=at))


def _under_address(session: Session, contact: ContactValue) -> Select[str, str, str, datetime | None]:
    return select(ContactPoint.id, ContactPoint.subject_id, ContactPoint.kind, ContactPoint.verified_at).where(
        ContactPoint.controller_id == controller_of(session),
        ContactPoint.kind == contact.kind,
        ContactPoint.blind_index == keys.index(session, kind=contact.kind, value=contact.normal),
    )


def _by_id(session: Session, subject_id: str) -> str | None:
    return session.scalar(
        select(Subject.id).where(Subject.controller_id == controller_of(session), Subject.id == subject_id)
    )


def _by_external_id(session: Session, external: ExternalReference | None) -> str | None:
    if external is None:
        return None
    blind = keys.index(session, kind=f"external_id:{external.system}", value=external.value)
    return session.scalar(
        select(ExternalId.subject_id).where(
            ExternalId.controller_id == controller_of(session),
            ExternalId.system == external.system,
            ExternalId.blind_index == blind,
        )
    )
