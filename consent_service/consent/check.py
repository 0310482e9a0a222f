"""May this person be contacted for this purpose on this channel? The question every other system asks first."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.consent import gathering, rules, standing
from consent_service.consent.gathering import Asked, Question
from consent_service.consent.grounds import Facts, Verdict
from consent_service.consent.standing import Standing
from consent_service.errors import FieldProblem, InvalidInputError
from consent_service.subjects.identity import SubjectReference


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """A question: who, for what, how; and, where another moment is meant, as of when and as known when."""

    reference: SubjectReference = field(repr=False)
    purpose: str
    channel: str
    as_of: datetime | None = None
    known_at: datetime | None = None
    recipient: str | None = None
    min_evidence: str | None = None


@dataclass(slots=True)
class Decision:
    """The answer, with what it rests on. `valid_until` is a send-by time and never a licence to keep a yes.

    Not frozen, for making a frozen value of twenty fields costs a check more than deciding it does.
    """

    allowed: bool
    status: str
    reason: str
    purpose: str
    channel: str
    legal_basis: str | None
    subject_id: str | None
    consent_id: str | None
    notice_version: int | None
    language: str | None
    given_at: datetime | None
    confirmed_at: datetime | None
    withdrawn_at: datetime | None
    expires_at: datetime | None
    valid_until: datetime | None
    next_allowed_at: datetime | None
    obligations: tuple[str, ...]
    decision_id: str
    evaluated_at: datetime
    ledger_entry_id: str | None


def decide(session: Session, *, request: CheckRequest, at: datetime) -> Decision:
    """Decide one question inside a transaction; reads only. Unknown is no (GDPR Art. 6(1), 25(2)).

    Raises InvalidInputError where `as_of` or `known_at` lies in the future.
    """
    asked = ask(standing.load(session), request, at=at)
    person = gathering.person_of(asked, request.reference)
    row: Sequence[Any] | None = None
    if person is not None:
        row = gathering.read(session, asked, person)
    return answer(asked, row, at=at)


def ask(copy: Standing, request: CheckRequest, *, at: datetime) -> Asked:
    """Hold a request against the registry; raises InvalidInputError as `decide` does."""
    demand_past(as_of=request.as_of, known_at=request.known_at, at=at)
    return gathering.ask(
        copy,
        Question(
            purpose=request.purpose,
            channel=request.channel,
            at=request.as_of or at,
            until=request.as_of,
            known_at=request.known_at,
            recipient=request.recipient,
            min_evidence=request.min_evidence,
        ),
    )


def answer(asked: Asked, row: Sequence[Any] | None, *, at: datetime) -> Decision:
    """Decide by what the statement said of the person; None where that makes no difference."""
    facts = gathering.facts_without_person(asked) if row is None else gathering.facts_of(asked, row)
    verdict = rules.decide(facts, at=asked.question.at)
    return _decision(asked, facts, verdict, at)


def demand_past(*, as_of: datetime | None, known_at: datetime | None, at: datetime) -> None:
    """Raise InvalidInputError where a moment that is asked about has not come yet."""
    for name, moment in (("as_of", as_of), ("known_at", known_at)):
        if moment is not None and moment > at:
            raise InvalidInputError((FieldProblem(f"/{name}", "in_the_future", "This moment has not come yet."),))


def _decision(asked: Asked, facts: Facts, verdict: Verdict, at: datetime) -> Decision:
    entry = facts.latest
    gave = entry is not None and entry.kind in rules.GIVEN
    # What held in the past says nothing about sending now.
    is_past = asked.question.until is not None
    return Decision(
        allowed=verdict.allowed,
        status=verdict.status,
        reason=verdict.reason,
        purpose=asked.question.purpose,
        channel=asked.question.channel,
        legal_basis=verdict.legal_basis,
        subject_id=facts.subject_id,
        consent_id=entry.consent_id if entry else None,
        notice_version=entry.notice_number if entry else None,
        language=entry.language if entry else None,
        given_at=entry.occurred_at if entry and gave else None,
        confirmed_at=entry.confirmed_at if entry and gave else None,
        withdrawn_at=entry.effective_at if entry and entry.kind == "withdrawn" else None,
        expires_at=entry.expires_at if entry and gave else None,
        valid_until=None if is_past else verdict.valid_until,
        next_allowed_at=None if is_past else verdict.next_allowed_at,
        obligations=verdict.obligations,
        decision_id=identifiers.new_id("dec", at=at),
        evaluated_at=at,
        ledger_entry_id=entry.ledger_entry_id if entry else None,
    )
