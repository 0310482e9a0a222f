"""What was asked for and is now proved becomes consent: contact point, ledger, evidence and the person it belongs to.

One sign-up makes one person, whichever of its contact points is proved first: the request remembers whom it made.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.consent import evidence, facts, ledger, signup_requests
from consent_service.consent.answers import Confirmation, RequestedBox, WaitingRequest
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.ledger import Act, Series
from consent_service.registry import purposes
from consent_service.subjects import fields, identity, locks, personal_fields
from consent_service.subjects.fields import ContactValue
from consent_service.subjects.identity import FoundPoint


def give(
    session: Session,
    waiting: WaitingRequest,
    *,
    contact: ContactValue,
    proved_by: Confirmation,
    confirmation: ActEvidence,
    at: datetime,
) -> tuple[str, tuple[str, ...]]:
    """Write what hangs on a proved contact point into the ledger; return the person and the consents.

    What hangs on another contact point of the same request keeps waiting (DOI-02). The caller holds the locks of the
    request's addresses.
    """
    point = _verified_point(session, waiting, contact, at)
    subject_id = locks.lock_subject(session, point.subject_id)
    personal_fields.record(session, subject_id=subject_id, values=waiting.answer.personal_fields, at=at)
    proved = [each for each in waiting.boxes if each.confirmation == proved_by]
    for each in proved:
        _give_one(session, each, subject_id=subject_id, point=point, waiting=waiting, confirmation=confirmation, at=at)
    consent_ids = tuple(each.consent_id for each in proved)
    signup_requests.complete(
        session, request_id=waiting.request_id, consent_ids=consent_ids, subject_id=subject_id, at=at
    )
    _note(session, waiting.request_id, subject_id, consent_ids, at)
    return subject_id, consent_ids


def _verified_point(session: Session, waiting: WaitingRequest, contact: ContactValue, at: datetime) -> FoundPoint:
    """Return the proved contact point: the verified holder's, else the request's own person's, else a new person's."""
    holder = identity.find_point(session, contact)
    if holder is not None and holder.verified_at is not None:
        return holder
    subject_id = waiting.origin.subject_id or identity.create(session, at=at, actor=trail.SUBJECT)
    return identity.attach_point(session, subject_id=subject_id, contact=contact, verified_at=at, at=at)


def _give_one(
    session: Session,
    each: RequestedBox,
    *,
    subject_id: str,
    point: FoundPoint,
    waiting: WaitingRequest,
    confirmation: ActEvidence,
    at: datetime,
) -> None:
    """Append one confirmed consent with its evidence."""
    reaches_point = fields.point_kind(each.box.channel) is not None
    series = Series(
        subject_id=point.subject_id if reaches_point else subject_id,
        contact_point_id=point.id if reaches_point else None,
        purpose_id=each.purpose_id,
        channel=each.box.channel,
    )
    submission = replace(
        waiting.submission,
        form_id=waiting.origin.form_id,
        form_version=waiting.origin.form_version,
        language=waiting.origin.language,
    )
    if each.confirmation == "email":
        mailed_at = waiting.mail_accepted_at
        submission = submission.with_signals(mail_accepted_at=mailed_at.isoformat() if mailed_at else None)
    kept = evidence.record(
        session,
        subject_id=series.subject_id,
        consent_id=each.consent_id,
        box=each.box,
        acts={"submission": submission, "confirmation": confirmation},
        at=at,
    )
    purpose = purposes.get(session, key=each.box.purpose)
    ledger.append(
        session,
        series=series,
        act=Act(
            kind="renewed" if facts.is_given(session, series=series, at=at) else "given",
            consent_id=each.consent_id,
            legal_basis=purpose.legal_basis,
            evidence_grade="double_opt_in",
            occurred_at=waiting.requested_at,
            reason="confirmed",
            notice_id=each.box.notice_id,
            language=waiting.origin.language,
            evidence_id=kept.evidence_id,
            evidence_sha256=kept.sha256,
            confirmed_at=at,
            valid_for_months=each.box.valid_for_months,
            source=waiting.origin.source,
            age_at_least=waiting.submission.age_at_least,
            by_guardian=waiting.submission.acting == "guardian",
        ),
        actor=trail.SUBJECT,
        at=at,
    )


def _note(session: Session, request_id: str, subject_id: str, consent_ids: Iterable[str], at: datetime) -> None:
    trail.record(
        session,
        type="signup.confirmed",
        at=at,
        actor=trail.SUBJECT,
        stream=f"subject:{subject_id}",
        payload={"request": request_id, "subject": subject_id, "consents": list(consent_ids)},
        subject_id=subject_id,
    )
