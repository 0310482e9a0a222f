"""The signed statement that comes with an answer: a sender proves with it that it asked, and what it was told."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from consent_service.crypto.statements import SigningKey

#: How long a statement may be shown to somebody who acts on it; who asked and when it proves for ever.
LIFETIME: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Stated:
    """What a statement says, in public ids and words; no address."""

    decision_id: str
    evaluated_at: datetime
    allowed: bool
    status: str
    reason: str
    purpose: str
    channel: str
    legal_basis: str | None
    subject_id: str | None
    consent_id: str | None
    notice_version: int | None
    valid_until: datetime | None
    as_of: datetime | None


def sign(key: SigningKey, stated: Stated, *, issuer: str, controller_key: str) -> str:
    """Sign a statement as a compact JWS; `issuer` is the public address of the service.

    It ends after five minutes, or when the decision ends where that is sooner.
    """
    ends_at = stated.evaluated_at + LIFETIME
    if stated.valid_until is not None:
        ends_at = min(ends_at, stated.valid_until)
    claims = {
        "iss": issuer,
        "jti": stated.decision_id,
        "iat": int(stated.evaluated_at.timestamp()),
        "exp": int(ends_at.timestamp()),
        "controller": controller_key,
        "allowed": stated.allowed,
        "status": stated.status,
        "reason": stated.reason,
        "purpose": stated.purpose,
        "channel": stated.channel,
        "legal_basis": stated.legal_basis,
        "subject_id": stated.subject_id,
        "consent_id": stated.consent_id,
        "notice_version": stated.notice_version,
    }
    if stated.as_of is not None:
        # An answer about the past must not pass for one about now.
        claims["as_of"] = stated.as_of.isoformat().replace("+00:00", "Z")
    return key.sign(claims)
