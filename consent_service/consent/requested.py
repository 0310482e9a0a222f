"""Reads declarations that only wait for confirmation: they are not consent, and not in the ledger."""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Row, Select, and_, or_, select
from sqlalchemy.orm import Session

from consent_service.consent.models import RequestedConsent, SignupRequest
from consent_service.db.session import controller_of
from consent_service.registry import models
from consent_service.subjects import fields
from consent_service.subjects.models import ContactPoint


@dataclass(frozen=True, slots=True)
class Requested:
    """One box of a sign-up request; `waits` is false once it was taken back, replaced, rejected or has expired.

    `subject_id` is known where a system reported who acted, `contact_point_id` where the person holds that point.
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


def find(session: Session, *, consent_id: str, at: datetime) -> Requested | None:
    """Find a declaration that was asked for and is not in the ledger; None after its request was deleted."""
    row = session.execute(
        _asked(session).where(RequestedConsent.consent_id == consent_id, SignupRequest.created_at <= at)
    ).one_or_none()
    return None if row is None else _value(row, at)


def list_of_subject(session: Session, *, subject_id: str, at: datetime) -> tuple[Requested, ...]:
    """List what waits for a person: what was reported of them, and what was asked for at an address they proved."""
    points = {
        (point.kind, bytes(point.blind_index)): point.id
        for point in session.execute(
            select(ContactPoint.id, ContactPoint.kind, ContactPoint.blind_index).where(
                ContactPoint.controller_id == controller_of(session),
                ContactPoint.subject_id == subject_id,
                ContactPoint.verified_at.is_not(None),
                ContactPoint.holder_until.is_(None),
            )
        )
    }
    own = [index for _, index in points]
    rows = session.execute(
        _asked(session)
        .where(
            or_(
                SignupRequest.subject_id == subject_id,
                SignupRequest.email_index.in_(own),
                SignupRequest.phone_index.in_(own),
            ),
            SignupRequest.created_at <= at,
            SignupRequest.expires_at > at,
        )
        .order_by(SignupRequest.created_at.desc(), RequestedConsent.consent_id)
    ).all()
    waiting = [(row[1], _value(row, at)) for row in rows]
    return tuple(
        replace(each, contact_point_id=_point(points, request, each.channel)) for request, each in waiting if each.waits
    )


def _point(points: dict[tuple[str, bytes], str], request: SignupRequest, channel: str) -> str | None:
    kind = fields.point_kind(channel)
    index = {"email": request.email_index, "phone": request.phone_index}.get(kind or "")
    return None if kind is None or index is None else points.get((kind, bytes(index)))


def _asked(session: Session) -> Select[RequestedConsent, SignupRequest, models.Purpose, int]:
    box, request, purpose, notice = RequestedConsent, SignupRequest, models.Purpose, models.NoticeVersion
    return (
        select(box, request, purpose, notice.number)
        .join(request, and_(request.controller_id == box.controller_id, request.id == box.request_id))
        .join(purpose, and_(purpose.controller_id == box.controller_id, purpose.id == box.purpose_id))
        .join(notice, and_(notice.controller_id == box.controller_id, notice.id == box.notice_id))
        .where(box.controller_id == controller_of(session))
    )


def _value(row: Row[RequestedConsent, SignupRequest, models.Purpose, int], at: datetime) -> Requested:
    box, request, purpose, notice_number = row
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
