"""What a yes comes with, pure: its legal basis, until when it is good, what the sender owes, and calling hours."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from consent_service.consent import bases, jurisdiction
from consent_service.consent.grounds import Facts, Verdict
from consent_service.consent.jurisdiction import Law

#: The reasons that say yes; every other reason says no, also one that nobody thought of.
REASONS: Final = frozenset({"consent_given", *bases.LEGAL_BASIS})
#: Whoever consented or has a contract was told of the controller and of the right to object at that time.
_TOLD_BEFORE: Final = frozenset({"consent_given", *bases.NO_MARKETING.values()})
#: Bases on which the data may come from elsewhere than the person (GDPR Art. 14).
_DATA_FROM_ELSEWHERE: Final = frozenset({"legitimate_interest", "not_reserved"})
_SENDER: Final = ("sender_identity",)
_CALLER: Final = ("sender_identity", "visible_caller_id")


def allow(facts: Facts, reason: str, status: str, *, at: datetime, law: Law) -> Verdict:
    """Return the yes for this reason; for a live call outside calling hours, the no that says when it may be made."""
    end = at + facts.decision_lifetime
    if facts.channel == "phone":
        hours = jurisdiction.calling_hours(at, country=facts.country, timezone=facts.timezone)
        if hours is None:
            return _not_now(facts, status, at)
        end = min(end, hours.closes_at)
    if reason == "consent_given":
        end = _end_of_consent(facts, end, at, law)
    elif reason not in _TOLD_BEFORE:
        end = min([end, *_ends_of_basis(facts, reason, at, law)])
    return Verdict(
        allowed=True,
        reason=reason,
        status=status,
        legal_basis=_legal_basis(facts, reason),
        valid_until=end,
        obligations=_obligations(facts, reason),
    )


def _not_now(facts: Facts, status: str, at: datetime) -> Verdict:
    return Verdict(
        allowed=False,
        reason="outside_calling_hours",
        status=status,
        next_allowed_at=jurisdiction.next_calling_time(at, country=facts.country, timezone=facts.timezone),
    )


def _end_of_consent(facts: Facts, end: datetime, at: datetime, law: Law) -> datetime:
    """Return the earliest of an end and the ends of the consent. No loop: nearly every yes comes through here."""
    entry, offer = facts.latest, facts.offer
    if entry is not None and entry.expires_at is not None and entry.expires_at < end:
        end = entry.expires_at
    if facts.supersedes_at is not None and facts.supersedes_at < end:
        end = facts.supersedes_at
    if offer is not None and offer.age_condition:
        return min([end, *_change_of_law(facts, at, law)])
    return end


def _ends_of_basis(facts: Facts, reason: str, at: datetime, law: Law) -> Iterator[datetime]:
    """Yield the ends of what a basis without consent rests on."""
    yield from _change_of_law(facts, at, law)
    if reason == "existing_customer" and facts.offer is not None:
        until = bases.customer_until(facts, facts.offer, at)
        if until is not None:
            yield until
    if reason in bases.OF_RESERVATION and facts.channel in bases.RESERVATION_CHANNELS:
        yield jurisdiction.month_end(at, timezone=facts.timezone)


def _change_of_law(facts: Facts, at: datetime, law: Law) -> tuple[datetime, ...]:
    change = jurisdiction.next_change(facts.country, at, timezone=facts.timezone, law=law)
    return () if change is None else (change,)


def _legal_basis(facts: Facts, reason: str) -> str | None:
    if reason == "consent_given":
        return None if facts.latest is None else facts.latest.legal_basis
    return bases.LEGAL_BASIS[reason]


def _obligations(facts: Facts, reason: str) -> tuple[str, ...]:
    """Return what the sender owes the person (e-handelsloven § 9; GDPR Art. 14, 21(4); markedsføringsloven § 15)."""
    told = _CALLER if facts.channel == "phone" else _SENDER
    if reason in _TOLD_BEFORE:
        return told
    owed = list(told)
    # Customers are told of the way out in each message, others once.
    if reason == "existing_customer" or not facts.objection_notice_given:
        owed.append("objection_notice")
    if reason in _DATA_FROM_ELSEWHERE and not facts.art14_notice_given:
        owed.append("art14_notice")
    return tuple(owed)
