"""Reads declarations that only wait for confirmation: they are not consent, and not in the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Row, Select, and_, exists, or_, select
from sqlalchemy.orm import Session

from consent_service.consent.answers import Confirmation
from consent_service.consent.models import RequestedConsent, SignupRequest
from consent_service.db.session import controller_of
from consent_service.registry import notices, purposes
from consent_service.registry.purposes import Purpose
from consent_service.subjects import fields, identity, members


@dataclass(frozen=True, slots=True)
class Requested:
    """One box of a sign-up request; `waits` is false once it was taken back, replaced, rejected or has expired.

    `subject_id` is known where a system reported who acted, or another box of the same request was confirmed;
    `contact_point_id` where the person holds that point.
    """

    consent_id: str
    subject_id: str | None
    contact_point_id: str | None
    purpose_id: str
    purpose: str
    legal_basis: str
    channel: str
    notice_id: str
    notice_version: int
    language: str
    form_id: str | None
    requested_at: datetime
    expires_at: datetime
    waits: bool


_Found = Select[RequestedConsent, SignupRequest]


def find(session: Session, *, consent_id: str, at: datetime) -> Requested | None:
    """Find a declaration that was asked for and is not in the ledger; None after its request was deleted."""
    row = session.execute(
        _asked(session).where(RequestedConsent.consent_id == consent_id, SignupRequest.created_at <= at)
    ).one_or_none()
    return None if row is None else _values(session, [row], at)[0]


def waits_by(session: Session, *, request_id: str, confirmation: Confirmation) -> bool:
    """Say whether a box of a request still waits to be confirmed in this way."""
    waiting = exists().where(
        RequestedConsent.controller_id == controller_of(session),
        RequestedConsent.request_id == request_id,
        RequestedConsent.confirmation == confirmation,
        RequestedConsent.completed_at.is_(None),
        RequestedConsent.cancelled_at.is_(None),
    )
    return bool(session.scalar(select(waiting)))


def list_of_subject(session: Session, *, subject_id: str, at: datetime) -> tuple[Requested, ...]:
    """List what waits for a person: what was reported of them, and what was asked for at an address they proved."""
    points = identity.verified_indexes(session, subject_id=subject_id)
    own = [index for _, index in points]
    rows = session.execute(
        _asked(session)
        .where(
            or_(
                SignupRequest.subject_id.in_(members.ids_of(session, subject_id)),
                SignupRequest.email_index.in_(own),
                SignupRequest.phone_index.in_(own),
            ),
            SignupRequest.created_at <= at,
            SignupRequest.expires_at > at,
        )
        .order_by(SignupRequest.created_at.desc(), RequestedConsent.consent_id)
    ).all()
    waiting = zip((request for _, request in rows), _values(session, rows, at), strict=True)
    return tuple(
        replace(each, contact_point_id=_point(points, request, each.channel)) for request, each in waiting if each.waits
    )


def _point(points: dict[tuple[str, bytes], str], request: SignupRequest, channel: str) -> str | None:
    kind = fields.point_kind(channel)
    index = {"email": request.email_index, "phone": request.phone_index}.get(kind or "")
    return None if kind is None or index is None else points.get((kind, bytes(index)))


def _asked(session: Session) -> _Found:
    box, request = RequestedConsent, SignupRequest
    return (
        select(box, request)
        .join(request, and_(request.controller_id == box.controller_id, request.id == box.request_id))
        .where(box.controller_id == controller_of(session))
    )


def _values(session: Session, rows: Sequence[Row[RequestedConsent, SignupRequest]], at: datetime) -> list[Requested]:
    known = {purpose.id: purpose for purpose in purposes.list_all(session)}
    numbers = notices.numbers_of(session, notice_ids={box.notice_id for box, _ in rows})
    return [_value(box, request, known[box.purpose_id], numbers[box.notice_id], at) for box, request in rows]


def _value(
    box: RequestedConsent, request: SignupRequest, purpose: Purpose, notice_number: int, at: datetime
) -> Requested:
    ends = (box.completed_at, box.cancelled_at, request.rejected_at, request.replaced_at)
    return Requested(
        consent_id=box.consent_id,
        subject_id=request.subject_id,
        contact_point_id=None,
        purpose_id=box.purpose_id,
        purpose=purpose.key,
        legal_basis=purpose.legal_basis,
        channel=box.channel,
        notice_id=box.notice_id,
        notice_version=notice_number,
        language=request.language,
        form_id=request.form_id,
        requested_at=request.created_at,
        expires_at=request.expires_at,
        waits=request.expires_at > at and all(end is None or end > at for end in ends),
    )
