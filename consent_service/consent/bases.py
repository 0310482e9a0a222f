"""What may carry a use besides consent, pure: customer relations, legitimate interest, reservations, companies.

A basis that holds answers with its reason, and until when it can carry the answer. None of them ever carries special
categories of data, which need an explicit consent (GDPR Art. 9), and none knows a person that is not on record.
"""

from datetime import datetime
from typing import Final

from consent_service.consent import jurisdiction
from consent_service.consent.grounds import Facts, Offer, Relation, Reservation
from consent_service.consent.jurisdiction import Law

#: Where markedsføringsloven § 15 third paragraph makes an exception for customers.
_CUSTOMER_CHANNELS: Final = frozenset({"email", "sms"})
#: Where markedsføringsloven §§ 12-14 hold instead of § 15.
RESERVATION_CHANNELS: Final = frozenset({"phone", "post"})
#: Reasons whose yes rests on a wash where they answer on such a channel.
OF_RESERVATION: Final = frozenset({"not_reserved", "existing_customer"})
#: Legal bases of what is no marketing, and their reasons.
NO_MARKETING: Final = {"contract": "basis_contract", "legal_obligation": "basis_legal_obligation"}
#: A single purchase is no customer relation.
_LASTING: Final = frozenset({"subscription", "membership", "repeated_purchases"})

#: The legal basis behind the reason of a yes. What is no natural person's needs none (GDPR Art. 4(1)).
LEGAL_BASIS: Final[dict[str, str | None]] = {
    "basis_contract": "contract",
    "basis_legal_obligation": "legal_obligation",
    "existing_customer": "existing_customer",
    "legitimate_interest": "legitimate_interest",
    "not_reserved": "legitimate_interest",
    "not_natural_person": None,
}


def answer_without_consent(facts: Facts, offer: Offer, at: datetime, law: Law) -> str | None:
    """Return the reason by which a basis other than consent answers, yes or no, or None where none does."""
    if offer.special_category:
        return None
    if offer.existing_customer and facts.channel in _CUSTOMER_CHANNELS:
        stands = customer_until(facts, offer, at) is not None
        return "existing_customer" if stands else "existing_customer_conditions_not_met"
    if facts.subject_id is not None and offer.legal_basis == "legitimate_interest" and offer.is_balanced:
        today = jurisdiction.local_day(at, facts.timezone)
        if facts.channel in jurisdiction.interest_channels(facts.country, today, law=law):
            return "legitimate_interest"
    if offer.reservation_enabled and offer.is_balanced and facts.channel in RESERVATION_CHANNELS:
        today = jurisdiction.local_day(at, facts.timezone)
        if jurisdiction.regime(facts.country, today, law=law) == "reservation":
            return _under_reservation(facts, offer, at)
    if facts.is_company_address and facts.company_addresses_allowed and facts.subject_id is not None:
        return "not_natural_person"
    return None


def customer_until(facts: Facts, offer: Offer, at: datetime) -> datetime | None:
    """Return until when the customer exception holds, None where one of its conditions is missing.

    They are: a lasting relation that is still active, the address received from the customer at a sale by the
    controller, an own product of the kind that is advertised, and a way out offered at the sale (markedsføringsloven
    § 15 third paragraph). Without an end on record nobody knows that the relation still stands.
    """
    if facts.subject_id is None:
        return None
    ends = [
        relation.active_until
        for relation in facts.relations
        if relation.active_until is not None
        and relation.sold_at <= at < relation.active_until
        and relation.relation in _LASTING
        and relation.received_at_sale
        and relation.opt_out_offered
        and relation.product_category in offer.product_categories
        and not _is_replaced(relation, facts.relations)
    ]
    return max(ends, default=None)


def _is_replaced(relation: Relation, relations: tuple[Relation, ...]) -> bool:
    """Say whether something newer was recorded of the same relation, an earlier end for example."""
    return any(
        other.recorded_at > relation.recorded_at
        and other.relation == relation.relation
        and other.product_category == relation.product_category
        for other in relations
    )


def _under_reservation(facts: Facts, offer: Offer, at: datetime) -> str:
    wash = facts.reservation
    if facts.subject_id is None or wash is None or not _is_fresh(wash, facts, at):
        return "reservation_check_stale"
    if not wash.reserved and wash.is_certain:
        return "not_reserved"
    # An existing customer may be called and written to in spite of it (markedsføringsloven § 12).
    is_customer = offer.existing_customer and customer_until(facts, offer, at) is not None
    return "existing_customer" if is_customer else "reserved"


def _is_fresh(wash: Reservation, facts: Facts, at: datetime) -> bool:
    """Say whether the wash is of this month and knew this person's contact point (markedsføringsloven § 12)."""
    if facts.point_since is None or not facts.point_since <= wash.washed_at <= at:
        return False
    return jurisdiction.is_same_month(wash.washed_at, at, timezone=facts.timezone)
