"""The rules of consent, pure: what a series' status is, and whether a person may be contacted.

Everything is a function of facts and a moment, so *was there consent on 3 March?* is the same question as *is there
now?*. The first rule that applies answers; what no rule allows is not allowed.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from consent_service.consent.grounds import Entry, Facts, Offer, Relation, Reservation, Stop, Verdict

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

_WEAKEST_YES: Final = "witnessed"

GIVEN: Final = frozenset({"given", "renewed"})
_ENDED: Final = {
    "withdrawn": "consent_withdrawn",
    "refused": "consent_refused",
    "revoked": "consent_revoked",
}
_WITHOUT_CONSENT: Final = {"contract": "basis_contract", "legal_obligation": "basis_legal_obligation"}


def status_of(facts: Facts, *, at: datetime) -> str:
    """Derive the status of the series; it is stored nowhere."""
    entry = facts.latest
    if entry is None:
        return "requested" if facts.request_waits else "unknown"
    if entry.kind not in GIVEN:
        return entry.kind
    if entry.expires_at is not None and entry.expires_at <= at:
        return "expired"
    return "invalidated" if facts.superseded_by is not None else entry.kind


def decide(facts: Facts, *, at: datetime) -> Verdict:
    """Decide whether the person may be contacted at a moment; the first rule that applies answers.

    Sources: GDPR Art. 6, 7, 9, 18, 21; markedsføringsloven § 15; the order is that of docs/architecture.md.
    """
    status = status_of(facts, at=at)
    for rule in _RULES:
        outcome = rule(facts, at)
        if outcome is None:
            continue
        allowed, reason, basis = outcome
        if not allowed:
            return Verdict(allowed=False, reason=reason, status=status)
        return Verdict(
            allowed=True,
            reason=reason,
            status=status,
            legal_basis=basis,
            valid_until=_valid_until(facts, reason, at),
            obligations=("sender_identity",),
        )
    return Verdict(allowed=False, reason="no_consent", status=status)


def stop_of(facts: Facts) -> str | None:
    """Return what keeps anybody but the person from recording a yes (`suppressed`, say), or None."""
    if facts.restricted:
        return "restricted"
    if _stands(facts.suppressions, facts):
        return "suppressed"
    return "objected" if _stands(facts.objections, facts) else None


_Outcome = tuple[bool, str, str | None]


def _no(reason: str) -> _Outcome:
    return (False, reason, None)


def _question_makes_sense(facts: Facts, at: datetime) -> _Outcome | None:
    del at
    if not facts.purpose_known:
        return _no("purpose_unknown")
    if facts.offer is None:
        return _no("channel_not_offered")
    if facts.point_required:
        return _no("contact_point_required")
    if facts.recipient is not None and not _names_recipient(facts, facts.offer, facts.recipient):
        return _no("recipient_not_named")
    return None


def _names_recipient(facts: Facts, offer: Offer, recipient: str) -> bool:
    """Say whether the recipient is named in the notice in force and in the one that the consent was given on."""
    consented = facts.latest is None or facts.latest.kind not in GIVEN or recipient in facts.latest.recipients
    return recipient in offer.recipients and consented


def _use_is_stopped(facts: Facts, at: datetime) -> _Outcome | None:
    del at
    if facts.restricted:
        return _no("restricted")
    if _stands(facts.suppressions, facts):
        return _no("suppressed")
    return None


def _rests_on_another_basis(facts: Facts, at: datetime) -> _Outcome | None:
    del at
    basis = facts.offer.legal_basis if facts.offer else ""
    reason = _WITHOUT_CONSENT.get(basis)
    return None if reason is None or facts.subject_id is None else (True, reason, basis)


def _objection_stands(facts: Facts, at: datetime) -> _Outcome | None:
    del at
    return _no("objected") if _stands(facts.objections, facts) else None


def _latest_act_says_no(facts: Facts, at: datetime) -> _Outcome | None:
    del at
    if facts.latest is None or facts.latest.kind in GIVEN:
        return None
    return _no(_ENDED[facts.latest.kind])


def _consent_does_not_carry(facts: Facts, at: datetime) -> _Outcome | None:
    entry, offer = facts.latest, facts.offer
    if entry is None or offer is None or entry.kind not in GIVEN:
        return None
    faults = (
        ("consent_expired", entry.expires_at is not None and entry.expires_at <= at),
        ("notice_superseded", facts.superseded_by is not None),
        ("contact_point_not_confirmed", offer.double_opt_in and entry.confirmed_at is None),
        ("explicit_consent_required", offer.special_category and entry.legal_basis != "explicit_consent"),
        ("evidence_too_weak", _grade(entry.evidence_grade) < _demanded_grade(facts)),
    )
    return next((_no(reason) for reason, applies in faults if applies), None)


def _consent_is_given(facts: Facts, at: datetime) -> _Outcome | None:
    del at
    if facts.latest is None or facts.latest.kind not in GIVEN:
        return None
    return (True, "consent_given", facts.latest.legal_basis)


def _given_elsewhere(facts: Facts, at: datetime) -> _Outcome | None:
    del at
    return _no("contact_point_not_confirmed") if facts.other_point_given else None


def _waits(facts: Facts, at: datetime) -> _Outcome | None:
    del at
    return _no("confirmation_pending") if facts.request_waits else None


_RULES: Final[tuple[Callable[[Facts, datetime], _Outcome | None], ...]] = (
    _question_makes_sense,
    _use_is_stopped,
    _rests_on_another_basis,
    _objection_stands,
    _latest_act_says_no,
    _consent_does_not_carry,
    _consent_is_given,
    _given_elsewhere,
    _waits,
)


def _stands(stops: tuple[Stop, ...], facts: Facts) -> bool:
    """Say whether a stop still stands: only a later act that the subject confirmed lifts it (GDPR Art. 21(3))."""
    return any(facts.confirmed_act_at is None or facts.confirmed_act_at <= stop.recorded_at for stop in stops)


def _demanded_grade(facts: Facts) -> int:
    """Return the grade that is enough: what the check asks for, and never less than a witness."""
    return max(_grade(_WEAKEST_YES), _grade(facts.min_evidence or _WEAKEST_YES))


def _grade(name: str) -> int:
    return GRADES.index(name)


def _valid_until(facts: Facts, reason: str, at: datetime) -> datetime:
    limit = at + facts.decision_lifetime
    if reason != "consent_given" or facts.latest is None or facts.latest.expires_at is None:
        return limit
    return min(limit, facts.latest.expires_at)
