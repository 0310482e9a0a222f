"""Forms that were sent and wait for confirmation: not consent, sealed under their own key, deleted when they expire.

The same answer again is the same request, as long as all of it waits: after a no to one of its boxes, ticking that box
again is a new act. When a newer request takes the place of an older one is said in `replacement.py`.
"""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Update, delete, func, insert, or_, select, type_coerce, update
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.consent import answers, ledger, sources
from consent_service.consent.answers import Confirmation, Origin, RequestedBox, SignupAnswer, WaitingRequest
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.models import RequestedConsent, SignupRequest, SmsCode
from consent_service.db.session import controller_of
from consent_service.delivery import outbox
from consent_service.registry import purposes
from consent_service.subjects import locks, members
from consent_service.subjects.fields import ContactValue
from consent_service.vault import keys

LIFETIME: Final = timedelta(days=7)
CONFIRM_MESSAGE: Final = "confirm_signup"
SMS_MESSAGE: Final = "confirm_sms"

_MESSAGES: Final[dict[Confirmation, str]] = {"email": CONFIRM_MESSAGE, "sms": SMS_MESSAGE}


def record(
    session: Session,
    *,
    origin: Origin,
    answer: SignupAnswer,
    submission: ActEvidence,
    actor: Actor,
    at: datetime,
) -> tuple[str, tuple[RequestedBox, ...]]:
    """Keep an answer until it is confirmed, queue its mail and SMS, and return the request's id and its boxes.

    Does the same for every address, known or not: whether a message goes out is decided later, in the worker.
    """
    locks.lock_addresses(session, answer.contacts())
    answer_hash = _answer_hash(session, origin, answer, submission)
    known = _find_same(session, answer_hash, at)
    if known is not None and len(known.boxes) == len(answer.ticked):
        _queue_messages(session, known.request_id, known.boxes, at)
        return known.request_id, known.boxes
    request_id = identifiers.new_id("req")
    keys.create_for_request(session, request_id=request_id, at=at)
    boxes = _mint(session, answer, at)
    session.execute(
        insert(SignupRequest).values(
            controller_id=controller_of(session),
            id=request_id,
            form_id=origin.form_id,
            form_version=origin.form_version,
            language=origin.language,
            subject_id=origin.subject_id,
            email_index=_index(session, answer.email),
            phone_index=_index(session, answer.phone),
            answer_hash=answer_hash,
            sealed=answers.seal(
                session, request_id=request_id, origin=origin, answer=answer, boxes=boxes, submission=submission
            ),
            created_at=at,
            expires_at=at + LIFETIME,
        )
    )
    _insert_boxes(session, request_id, boxes)
    trail.record(
        session,
        type="signup.requested",
        at=at,
        actor=actor,
        stream=f"request:{request_id}",
        payload={
            "request": request_id,
            "form": origin.form_id,
            "form_version": origin.form_version,
            # No id that the ledger keeps: this entry is sealed for the controller and outlives the person's key.
            "boxes": [[box.purpose_id, box.box.channel] for box in boxes],
        },
    )
    _queue_messages(session, request_id, boxes, at)
    return request_id, boxes


def find_waiting(session: Session, *, request_id: str, at: datetime) -> WaitingRequest | None:
    """Open a request that still waits, with the boxes that are neither completed nor cancelled; None when none does.

    What a source asked for that was recalled since waits no more.
    """
    row = session.execute(
        select(SignupRequest).where(
            SignupRequest.controller_id == controller_of(session),
            SignupRequest.id == request_id,
            SignupRequest.sealed.is_not(None),
            SignupRequest.rejected_at.is_(None),
            SignupRequest.replaced_at.is_(None),
            SignupRequest.expires_at > at,
        )
    ).scalar_one_or_none()
    if row is None:
        return None
    opened = answers.without_stopped(session, answers.open_request(session, row, waiting=_asked(session, row.id)))
    if sources.is_recalled(session, opened.origin.source, asked_at=opened.requested_at):
        return None
    return opened if opened.boxes else None


def complete(session: Session, *, request_id: str, consent_ids: Iterable[str], subject_id: str, at: datetime) -> None:
    """Mark boxes as confirmed by a person; when none waits any more, destroy what the request held.

    What is confirmed later of the same request, through its other contact point, belongs to the same person.
    """
    session.execute(
        update(RequestedConsent)
        .where(
            RequestedConsent.controller_id == controller_of(session),
            RequestedConsent.request_id == request_id,
            RequestedConsent.consent_id.in_(tuple(consent_ids)),
        )
        .values(completed_at=at)
    )
    known = func.coalesce(SignupRequest.subject_id, type_coerce(subject_id, SignupRequest.subject_id.type))
    session.execute(_request(session, request_id).values(confirmed_at=at, subject_id=known))
    if not _asked(session, request_id):
        destroy(session, request_id=request_id, at=at)


def destroy(session: Session, *, request_id: str, at: datetime) -> None:
    """Destroy what a request held and its key; the row without it stays until it expires, for an honest page."""
    session.execute(_request(session, request_id).values(sealed=None, phone_index=None))
    keys.destroy_for_request(session, request_id=request_id)
    session.execute(
        delete(SmsCode).where(
            SmsCode.controller_id == controller_of(session), SmsCode.request_id == request_id, SmsCode.used_at.is_(None)
        )
    )
    for kind in _MESSAGES.values():
        outbox.cancel(session, kind=kind, reference=request_id, at=at)


def indexes_of(session: Session, *, subject_id: str) -> frozenset[bytes]:
    """Return the blind indexes of the addresses that a person's reported requests wait for, for locking them."""
    rows = session.execute(
        select(SignupRequest.email_index, SignupRequest.phone_index).where(
            SignupRequest.controller_id == controller_of(session),
            SignupRequest.subject_id.in_(members.ids_of(session, subject_id)),
            SignupRequest.sealed.is_not(None),
        )
    )
    return frozenset(index for row in rows for index in row if index is not None)


def cancel_for(
    session: Session,
    *,
    contacts: Iterable[ContactValue] = (),
    indexes: Iterable[bytes] = (),
    subject_id: str | None,
    purpose_id: str | None,
    channel: str | None,
    at: datetime,
) -> None:
    """Cancel what waits for any of these addresses or was reported of this person: a no overtakes an older yes.

    An address may be named by its blind index alone. What is open in purpose and channel means all. The caller holds
    the locks of the addresses.
    """
    meant = [*indexes, *(index for contact in contacts if (index := _index(session, contact)) is not None)]
    about: list[ColumnElement[bool]] = [SignupRequest.email_index.in_(meant), SignupRequest.phone_index.in_(meant)]
    if subject_id is not None:
        about.append(SignupRequest.subject_id.in_(members.ids_of(session, subject_id)))
    request_ids = session.scalars(
        select(SignupRequest.id).where(
            SignupRequest.controller_id == controller_of(session), or_(*about), SignupRequest.sealed.is_not(None)
        )
    ).all()
    for request_id in request_ids:
        condition = [
            RequestedConsent.controller_id == controller_of(session),
            RequestedConsent.request_id == request_id,
            RequestedConsent.completed_at.is_(None),
        ]
        if purpose_id is not None:
            condition.append(RequestedConsent.purpose_id == purpose_id)
        if channel is not None:
            condition.append(RequestedConsent.channel == channel)
        session.execute(update(RequestedConsent).where(*condition).values(cancelled_at=at))
        if not _asked(session, request_id):
            destroy(session, request_id=request_id, at=at)


def waits_for(session: Session, *, contact: ContactValue, purpose_id: str, channel: str, at: datetime) -> bool:
    """Say whether a request for this address, purpose and channel waits at a moment."""
    index = _index(session, contact)
    found = session.scalar(
        select(RequestedConsent.consent_id)
        .join(
            SignupRequest,
            (SignupRequest.controller_id == RequestedConsent.controller_id)
            & (SignupRequest.id == RequestedConsent.request_id),
        )
        .where(
            RequestedConsent.controller_id == controller_of(session),
            or_(SignupRequest.email_index == index, SignupRequest.phone_index == index),
            SignupRequest.sealed.is_not(None),
            SignupRequest.created_at <= at,
            SignupRequest.expires_at > at,
            SignupRequest.replaced_at.is_(None),
            RequestedConsent.purpose_id == purpose_id,
            RequestedConsent.channel == channel,
            RequestedConsent.completed_at.is_(None),
            RequestedConsent.cancelled_at.is_(None),
        )
        .limit(1)
    )
    return found is not None


def expire(session: Session, *, at: datetime, limit: int = 500) -> int:
    """Delete requests whose time is over with all they held, and leave only a count (GDPR Art. 5(1)(e)).

    Returns how many were deleted; call again while it returns `limit`.
    """
    expired = session.execute(
        select(SignupRequest.id, SignupRequest.confirmed_at)
        .where(SignupRequest.controller_id == controller_of(session), SignupRequest.expires_at <= at)
        .order_by(SignupRequest.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if not expired:
        return 0
    for row in expired:
        destroy(session, request_id=row.id, at=at)
    session.execute(
        delete(SignupRequest).where(
            SignupRequest.controller_id == controller_of(session), SignupRequest.id.in_([row.id for row in expired])
        )
    )
    unconfirmed = sum(row.confirmed_at is None for row in expired)
    if unconfirmed:
        trail.record(
            session,
            type="signup.expired",
            at=at,
            actor=trail.SYSTEM,
            stream="signup_requests",
            payload={"count": unconfirmed},
        )
    return len(expired)


def _queue_messages(session: Session, request_id: str, boxes: tuple[RequestedBox, ...], at: datetime) -> None:
    """Queue what a request needs, again where an earlier one left, was refused or given up; one that waits stays."""
    needed = {box.confirmation for box in boxes}
    for confirmation, kind in _MESSAGES.items():
        if confirmation in needed:
            outbox.enqueue(session, kind=kind, reference=request_id, at=at)


def _mint(session: Session, answer: SignupAnswer, at: datetime) -> tuple[RequestedBox, ...]:
    return tuple(
        RequestedBox(
            consent_id=ledger.new_consent_id(at),
            purpose_id=purposes.get(session, key=box.purpose).id,
            confirmation=answers.confirmation_of(box.channel, has_email=answer.email is not None),
            box=box,
        )
        for box in answer.ticked
    )


def _insert_boxes(session: Session, request_id: str, boxes: tuple[RequestedBox, ...]) -> None:
    session.execute(
        insert(RequestedConsent),
        [
            {
                "controller_id": controller_of(session),
                "consent_id": each.consent_id,
                "request_id": request_id,
                "purpose_id": each.purpose_id,
                "channel": each.box.channel,
                "notice_id": each.box.notice_id,
                "confirmation": each.confirmation,
            }
            for each in boxes
        ],
    )


def _find_same(session: Session, answer_hash: bytes, at: datetime) -> WaitingRequest | None:
    request_id = session.scalar(
        select(SignupRequest.id)
        .where(
            SignupRequest.controller_id == controller_of(session),
            SignupRequest.answer_hash == answer_hash,
            SignupRequest.confirmed_at.is_(None),
        )
        .order_by(SignupRequest.created_at.desc())
        .limit(1)
    )
    return None if request_id is None else find_waiting(session, request_id=request_id, at=at)


def _asked(session: Session, request_id: str) -> frozenset[tuple[str, str]]:
    """Return the purposes and channels of a request that still wait."""
    rows = session.execute(
        select(RequestedConsent.purpose_id, RequestedConsent.channel).where(
            RequestedConsent.controller_id == controller_of(session),
            RequestedConsent.request_id == request_id,
            RequestedConsent.completed_at.is_(None),
            RequestedConsent.cancelled_at.is_(None),
        )
    )
    return frozenset((row.purpose_id, row.channel) for row in rows)


def _request(session: Session, request_id: str) -> Update:
    return update(SignupRequest).where(
        SignupRequest.controller_id == controller_of(session), SignupRequest.id == request_id
    )


def _index(session: Session, contact: ContactValue | None) -> bytes | None:
    return None if contact is None else keys.index(session, kind=contact.kind, value=contact.normal)


def _answer_hash(session: Session, origin: Origin, answer: SignupAnswer, submission: ActEvidence) -> bytes:
    whole = [
        origin.form_id,
        origin.form_version,
        origin.language,
        origin.subject_id,
        [contact.normal for contact in answer.contacts()],
        sorted(answer.personal_fields),
        sorted([box.purpose, box.channel, box.notice_id] for box in answer.ticked),
    ]
    if origin.api_key_id is not None:
        # What a system reports never takes the place of what the person sent, nor that of another system's report.
        whole += [origin.api_key_id, origin.import_label]
    if submission.age_at_least is not None or submission.acting != "subject":
        whole += [submission.acting, submission.age_at_least]
    return keys.request_hash(session, json.dumps(whole, ensure_ascii=False).encode())
