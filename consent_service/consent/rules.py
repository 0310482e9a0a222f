"""The rules of consent, pure: what a series' status is, and whether a person may be contacted.

Everything is a function of facts and a moment, so *was there consent on 3 March?* is the same question as *is there
now?*. The first rule that applies answers; what no rule allows is not allowed.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from consent_service.consent import allowing, bases, jurisdiction
from consent_service.consent.grounds import Entry, Facts, Offer, Relation, Reservation, Stop, Verdict
from consent_service.consent.jurisdiction import IN_FORCE, Law

__all__ = [
    "DPV_STATUS",
    "GIVEN",
    "GRADES",
    "Entry",
    "Facts",
    "Offer",
    "Relation",
    "Reservation",
    "Stop",
    "Verdict",
    "decide",
    "status_of",
    "stop_of",
]

#: DPV 2.3 terms of the statuses (law.md REC-03); only the terms of `given` and `renewed` permit processing.
DPV_STATUS: Final = {
    "unknown": "ConsentUnknown",
    "requested": "ConsentRequested",
    "given": "ConsentGiven",
    "renewed": "RenewedConsentGiven",
    "refused": "ConsentRefused",
    "withdrawn": "ConsentWithdrawn",
    "revoked": "ConsentRevoked",
    "expired": "ConsentExpired",
    "invalidated": "ConsentInvalidated",
}

#: From weakest to strongest; `claimed` alone never answers yes.
GRADES: Final = ("claimed", "witnessed", "signed_paper", "single_opt_in", "double_opt_in")

_STRENGTH: Final = {grade: strength for strength, grade in enumerate(GRADES)}
_ENOUGH: Final = _STRENGTH["witnessed"]

#: How far the clock that an act was recorded by may be ahead of ours. Beyond it one of the two is wrong, and what else
#: would follow from ours (expiry, calling hours) is not known either.
CLOCK_TOLERANCE: Final = timedelta(minutes=2)

GIVEN: Final = frozenset({"given", "renewed"})
_ENDED: Final = {
    "withdrawn": "consent_withdrawn",
    "refused": "consent_refused",
    "revoked": "consent_revoked",
}


def status_of(facts: Facts, *, at: datetime) -> str:
    """Derive the status of the series; it is stored nowhere."""
    entry = facts.latest
    if entry is None:
        return "requested" if facts.request_waits else "unknown"
    if entry.kind not in GIVEN:
        return entry.kind
    if facts.recalled:
        return "revoked"
    if _has_expired(entry, at):
        return "expired"
    return "invalidated" if _is_superseded(facts, at) else entry.kind


def decide(facts: Facts, *, at: datetime, law: Law = IN_FORCE) -> Verdict:
    """Decide whether the person may be contacted at a moment; the first rule that applies answers.

    `at` is in UTC. Sources: GDPR Art. 6 to 9, 18, 21; markedsføringsloven §§ 12 to 15; the order is that of
    docs/architecture.md.
    """
    reason = _answer(facts, at, law)
    status = status_of(facts, at=at)
    return allowing.allow(facts, reason, status, at=at, law=law) if reason in allowing.REASONS else _no(reason, status)


def stop_of(facts: Facts) -> str | None:
    """Return what keeps anybody but the person from recording a yes (`suppressed`, say), or None."""
    return _stopped(facts) or _objected(facts)


def _answer(facts: Facts, at: datetime, law: Law) -> str:
    """Return the reason of the first rule that applies: the fourteen steps, in their order."""
    offer = facts.offer
    if not facts.purpose_known:
        return "purpose_unknown"
    if offer is None:
        return "channel_not_offered"
    return (
        _question_lacks(facts, offer)
        or _stopped(facts)
        or _without_asking(facts, offer)
        or _objected(facts)
        or _of_latest_act(facts, offer, at, law)
        or ("contact_point_not_confirmed" if facts.other_point_given else None)
        or bases.answer_without_consent(facts, offer, at, law)
        or ("confirmation_pending" if facts.request_waits else "no_consent")
    )


# The same few answers of no are given all day; they say nothing of anybody, so one of each is enough.
@lru_cache(maxsize=256)
def _no(reason: str, status: str) -> Verdict:
    return Verdict(allowed=False, reason=reason, status=status)


def _question_lacks(facts: Facts, offer: Offer) -> str | None:
    if facts.point_required:
        return "contact_point_required"
    if facts.recipient is not None and not _names_recipient(facts, offer, facts.recipient):
        return "recipient_not_named"
    return None


def _names_recipient(facts: Facts, offer: Offer, recipient: str) -> bool:
    """Say whether the recipient is named in the notice in force and in the one that the consent was given on."""
    consented = facts.latest is None or facts.latest.kind not in GIVEN or recipient in facts.latest.recipients
    return recipient in offer.recipients and consented


def _stopped(facts: Facts) -> str | None:
    if facts.restricted:
        return "restricted"
    return "suppressed" if facts.suppressions and _stands(facts.suppressions, facts) else None


def _without_asking(facts: Facts, offer: Offer) -> str | None:
    """Return the reason of a use that is no marketing, which no objection to marketing stops."""
    return None if facts.subject_id is None else bases.NO_MARKETING.get(offer.legal_basis)


def _objected(facts: Facts) -> str | None:
    return "objected" if facts.objections and _stands(facts.objections, facts) else None


def _of_latest_act(facts: Facts, offer: Offer, at: datetime, law: Law) -> str | None:
    """Return what the latest act of the series answers, where there is one."""
    entry = facts.latest
    if entry is None:
        return None
    if entry.kind not in GIVEN:
        return _ENDED[entry.kind]
    if facts.recalled:
        return "consent_revoked"
    return _doubt(entry, at) or _fault(facts, offer, entry, at, law) or "consent_given"


def _doubt(entry: Entry, at: datetime) -> str | None:
    """Return why nobody can tell what a consent that was given is worth."""
    if entry.effective_at > at + CLOCK_TOLERANCE:
        return "unavailable"
    # Without its notice nobody can show what was consented to, nor tell whether it was superseded (GDPR Art. 7(1)).
    return "evidence_too_weak" if entry.notice_number is None else None


def _fault(facts: Facts, offer: Offer, entry: Entry, at: datetime, law: Law) -> str | None:
    """Return why a consent that was given does not carry the answer."""
    if _has_expired(entry, at):
        return "consent_expired"
    if _is_superseded(facts, at):
        return "notice_superseded"
    if offer.double_opt_in and entry.confirmed_at is None:
        return "contact_point_not_confirmed"
    if offer.age_condition and not _is_old_enough(facts, entry, at, law):
        return "age_condition_not_met"
    if offer.special_category and entry.legal_basis != "explicit_consent":
        return "explicit_consent_required"
    return "evidence_too_weak" if _STRENGTH[entry.evidence_grade] < _demanded_strength(facts) else None


def _has_expired(entry: Entry, at: datetime) -> bool:
    return entry.expires_at is not None and entry.expires_at <= at


def _is_superseded(facts: Facts, at: datetime) -> bool:
    return facts.superseded_by is not None or (facts.supersedes_at is not None and facts.supersedes_at <= at)


def _is_old_enough(facts: Facts, entry: Entry, at: datetime, law: Law) -> bool:
    """Say whether a guardian acted, or the age that was declared was enough at the act and is enough now.

    What was no consent then does not become one by a lower limit (GDPR Art. 8(1)), and a higher limit counts from its
    day for what was given before, because nobody kept a date of birth.
    """
    if entry.by_guardian:
        return True
    if entry.age_at_least is None:
        return False
    days = (jurisdiction.local_day(moment, facts.timezone) for moment in (entry.occurred_at, at))
    return entry.age_at_least >= max(jurisdiction.age_limit(facts.country, day, law=law) for day in days)


def _stands(stops: tuple[Stop, ...], facts: Facts) -> bool:
    """Say whether a stop still stands: only a later act that the subject confirmed lifts it (GDPR Art. 21(3))."""
    return any(facts.confirmed_act_at is None or facts.confirmed_act_at <= stop.recorded_at for stop in stops)


def _demanded_strength(facts: Facts) -> int:
    """Return the strength that is enough: what the check asks for, and never less than a witness."""
    return _ENOUGH if facts.min_evidence is None else max(_ENOUGH, _STRENGTH[facts.min_evidence])
