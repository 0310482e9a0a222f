"""May this person be contacted for this purpose on this channel? The question every other system asks first."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.consent import facts, rules
from consent_service.consent.facts import Question
from consent_service.consent.rules import Facts, Verdict
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


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, with what it rests on. `valid_until` is a send-by time and never a licence to keep a yes."""

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
    obligations: tuple[str, ...]
    decision_id: str
    evaluated_at: datetime


def decide(session: Session, *, request: CheckRequest, at: datetime) -> Decision:
    """Decide one question; reads only. Unknown is no (GDPR Art. 6(1), 25(2)).

    Raises InvalidInputError where `as_of` or `known_at` lies in the future.
    """
    _demand_past(request, at)
    moment = request.as_of or at
    gathered = facts.gather(
        session,
        Question(
            reference=request.reference,
            purpose=request.purpose,
            channel=request.channel,
            at=moment,
            until=request.as_of,
            known_at=request.known_at,
            recipient=request.recipient,
            min_evidence=request.min_evidence,
        ),
    )
    verdict = rules.decide(gathered, at=moment)
    if request.as_of is not None:
        # What held in the past says nothing about sending now.
        verdict = replace(verdict, valid_until=None)
    return _decision(request, gathered, verdict, at)


def _decision(request: CheckRequest, gathered: Facts, verdict: Verdict, at: datetime) -> Decision:
    entry = gathered.latest
    gave = entry is not None and entry.kind in rules.GIVEN
    return Decision(
        allowed=verdict.allowed,
        status=verdict.status,
        reason=verdict.reason,
        purpose=request.purpose,
        channel=request.channel,
        legal_basis=verdict.legal_basis,
        subject_id=gathered.subject_id,
        consent_id=entry.consent_id if entry else None,
        notice_version=entry.notice_number if entry else None,
        language=entry.language if entry else None,
        given_at=entry.occurred_at if entry and gave else None,
        confirmed_at=entry.confirmed_at if entry and gave else None,
        withdrawn_at=entry.effective_at if entry and entry.kind == "withdrawn" else None,
        expires_at=entry.expires_at if entry and gave else None,
        valid_until=verdict.valid_until,
        obligations=verdict.obligations,
        decision_id=identifiers.new_id("dec", at=at),
        evaluated_at=at,
    )


def _demand_past(request: CheckRequest, at: datetime) -> None:
    for name, moment in (("as_of", request.as_of), ("known_at", request.known_at)):
        if moment is not None and moment > at:
            raise InvalidInputError((FieldProblem(f"/{name}", "in_the_future", "This moment has not come yet."),))
