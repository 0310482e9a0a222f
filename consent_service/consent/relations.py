"""Answers for customer relations: the facts of a sale on which the existing-customer exception rests.

Nothing here is a consent. Whether the exception holds is decided by the rules, each time anew, from what is recorded
(markedsføringsloven § 15 third paragraph; directive 2002/58/EC Art. 13(2)).
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.consent import objection, reporting
from consent_service.consent.models import CustomerRelation
from consent_service.db.session import controller_of
from consent_service.errors import FieldProblem, InvalidInputError, ObjectedError, RestrictedError, SuppressedError
from consent_service.registry.notice_content import KEY
from consent_service.subjects import identity, members, reported_points, restriction, suppression
from consent_service.subjects.identity import FoundPoint, FoundSubject, SubjectReference
from consent_service.vault import keys

RELATIONS: Final = ("subscription", "membership", "repeated_purchases", "single_purchase")

#: On which channels a customer relation may count: by e-mail and SMS, and against a reservation for calls and post.
_CHANNELS_OF: Final = {"email": ("email",), "phone": ("sms", "phone"), "post": ("post",)}
_STEP: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Sale:
    """What a system reports of a sale and the relation that it belongs to.

    `received_at_sale` says that the customer gave this contact point in connection with the sale, `opt_out_offered`
    that she could refuse marketing then, easily and free of charge. `active_until` is when the relation ends or ended;
    with None nobody knows that it still stands, and it carries no yes. `sale_reference` is what the system calls the
    sale.
    """

    relation: str
    sold_at: datetime
    product_category: str
    received_at_sale: bool
    opt_out_offered: bool
    active_until: datetime | None = None
    sale_reference: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RecordedRelation:
    """A customer relation as it was recorded."""

    relation_id: str
    subject_id: str
    recorded_at: datetime


def record(
    session: Session, *, reference: SubjectReference, sale: Sale, actor: Actor, at: datetime
) -> RecordedRelation:
    """Record the facts of a sale; of one relation and product category, what was recorded last holds.

    The contact point, and a person where nobody is known, are recorded unverified. Raises InvalidInputError with
    everything that is wrong, SubjectUnknownError for an id of nobody, and RestrictedError, SuppressedError or
    ObjectedError where the person said no to marketing at this contact point (GDPR Art. 18, 21(3)).
    """
    _demand_valid(sale, at)
    found = reported_points.hold(session, reference)
    _demand_free(session, reference, found)
    point = reported_points.record(session, reference=reference, found=found, actor=actor, at=at)
    relation_id = identifiers.new_id("rel", at=at)
    recorded_at = _moment_after(session, point.id, at)
    audit_id = _write_down(session, relation_id, point, sale, actor, at)
    session.execute(
        insert(CustomerRelation).values(
            controller_id=controller_of(session),
            id=relation_id,
            subject_id=point.subject_id,
            contact_point_id=point.id,
            relation=sale.relation,
            sold_at=min(sale.sold_at, at),
            product_category=sale.product_category,
            received_at_sale=sale.received_at_sale,
            opt_out_offered=sale.opt_out_offered,
            active_until=sale.active_until,
            sale_reference=_sealed(session, relation_id, point.subject_id, sale.sale_reference),
            recorded_at=recorded_at,
            audit_entry_id=audit_id,
        )
    )
    return RecordedRelation(relation_id, members.survivor_of(session, point.subject_id), recorded_at)


def _demand_valid(sale: Sale, at: datetime) -> None:
    problems = []
    if sale.relation not in RELATIONS:
        problems.append(FieldProblem("/relation", "not_a_choice", f"Expected one of: {', '.join(RELATIONS)}."))
    if KEY.fullmatch(sale.product_category) is None:
        problems.append(FieldProblem("/product_category", "invalid", "A key such as sports_gear is expected here."))
    if sale.sold_at > at + reporting.CLOCK_TOLERANCE:
        problems.append(FieldProblem("/sold_at", "in_the_future", "The sale has not happened yet."))
    if sale.active_until is not None and sale.active_until < sale.sold_at:
        problems.append(FieldProblem("/active_until", "before_the_sale", "The relation cannot end before the sale."))
    if problems:
        raise InvalidInputError(tuple(problems))


def _demand_free(session: Session, reference: SubjectReference, found: FoundSubject | None) -> None:
    """Raise where the person said no to everything on the channels on which the facts could count."""
    if found is not None and restriction.is_restricted(session, subject_id=found.subject_id):
        raise RestrictedError
    contact = reported_points.named_point(reference)
    channels = _CHANNELS_OF[contact.kind]
    stops = suppression.list_for(session, hashed=suppression.address_hash(session, contact))
    suppressed = {stop.channel for stop in stops if stop.purpose_id is None}
    if None in suppressed or suppressed.issuperset(channels):
        raise SuppressedError
    # Anybody's no under an address binds it for all.
    people = {holder.subject_id for holder in identity.list_holders(session, contact)}
    people |= set() if found is None else {found.subject_id}
    everybody = {each for person in people for each in members.ids_of(session, person)}
    objected = objection.channels_without_purpose(session, subject_ids=everybody)
    if None in objected or (suppressed | objected).issuperset(channels):
        raise ObjectedError


def _write_down(session: Session, relation_id: str, point: FoundPoint, sale: Sale, actor: Actor, at: datetime) -> str:
    return trail.record(
        session,
        type="customer_relation.recorded",
        at=at,
        actor=actor,
        stream=f"subject:{point.subject_id}",
        payload={
            "relation_id": relation_id,
            "subject": point.subject_id,
            "contact_point": point.id,
            "relation": sale.relation,
            "sold_at": min(sale.sold_at, at).isoformat(),
            "product_category": sale.product_category,
            "received_at_sale": sale.received_at_sale,
            "opt_out_offered": sale.opt_out_offered,
            "active_until": None if sale.active_until is None else sale.active_until.isoformat(),
        },
        subject_id=point.subject_id,
    )


def _sealed(session: Session, relation_id: str, subject_id: str, sale_reference: str | None) -> bytes | None:
    if sale_reference is None:
        return None
    return keys.seal_for_subject(
        session,
        sale_reference.encode(),
        subject_id=subject_id,
        table="customer_relation",
        column="sale_reference",
        row_id=relation_id,
    )


def _moment_after(session: Session, point_id: str, at: datetime) -> datetime:
    """Return the moment from which a fact counts: clocks of nodes cannot reorder what is said of a contact point."""
    last = session.scalar(
        select(func.max(CustomerRelation.recorded_at)).where(
            CustomerRelation.controller_id == controller_of(session), CustomerRelation.contact_point_id == point_id
        )
    )
    return at if last is None else max(at, last + _STEP)
