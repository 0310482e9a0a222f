"""Decisions for tests: written into a spool as a check writes them.

It imports little, because processes that do nothing else are started, and killed, many times over.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from consent_service import identifiers
from consent_service.consent import decisions
from consent_service.consent.decisions import Answer
from consent_service.consent.spool import Spool

NOON: Final = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
KARI = identifiers.new_id("sub")
KEY = identifiers.new_id("key", at=NOON)
CONSENT = identifiers.new_id("con", at=NOON)
ENTRY = identifiers.new_id("led", at=NOON)


def answer_single(
    spool: Spool,
    controller: str,
    *,
    subject: str | None = KARI,
    api_key: str = KEY,
    purpose: str = "newsletter",
    channel: str = "email",
    allowed: bool = True,
    at: datetime = NOON,
) -> str:
    """Write down one answer and return the id of the decision."""
    decision_id = identifiers.new_id("dec", at=at)
    decisions.record_single(
        spool,
        controller_id=identifiers.to_uuid(controller, "ctl"),
        decision_id=decision_id,
        api_key_id=api_key,
        purpose=purpose,
        channel=channel,
        evaluated_at=at,
        as_of=None,
        known_at=None,
        recipient=None,
        min_evidence="single_opt_in",
        subject_id=subject,
        allowed=allowed,
        status="given" if allowed else "unknown",
        reason="consent_given" if allowed else "no_consent",
        legal_basis="consent" if allowed else None,
        consent_id=CONSENT if allowed else None,
        ledger_entry_id=ENTRY if allowed else None,
        notice_version=3 if allowed else None,
        obligations=("sender_identity",) if allowed else (),
        valid_until=at + timedelta(hours=4) if allowed else None,
        next_allowed_at=None,
    )
    return decision_id


def an_answer(item: int, *, subject: str = KARI) -> Answer:
    """Return what was answered about one person of many."""
    person = identifiers.to_uuid(subject, "sub")
    return (item, person, True, "given", "consent_given", "consent", CONSENT, ENTRY, 3, (), None, None)


def answer_chunk(
    spool: Spool,
    controller: str,
    decision_id: str,
    *,
    answers: Sequence[Answer],
    counts: tuple[int, int, int],
    at: datetime = NOON,
) -> None:
    """Write down one piece of a stream; `counts` are those from its beginning."""
    allowed, denied, invalid = counts
    decisions.record_many(
        spool,
        kind="stream",
        controller_id=controller,
        decision_id=decision_id,
        api_key_id=KEY,
        purpose="newsletter",
        channel="email",
        started_at=at,
        evaluated_at=at + timedelta(seconds=1),
        as_of=None,
        known_at=None,
        recipient=None,
        min_evidence=None,
        allowed=allowed,
        denied=denied,
        invalid=invalid,
        answers=answers,
    )
