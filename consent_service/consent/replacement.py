"""When a newer sign-up request takes the place of an older one, and when it must not.

Only once its mail was accepted, and only where it asks for everything that the older one asked, to be confirmed in the
same way at the same address or number: a stranger who knows an address must not make a person's own request unusable.
"""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.consent import signup_requests
from consent_service.consent.models import RequestedConsent, SignupRequest
from consent_service.db.session import controller_of

#: A purpose and a channel, how they are confirmed, and the blind index of the contact point that proves them.
_Asked = tuple[str, str, str, bytes | None]


def mail_accepted(session: Session, *, request_id: str, at: datetime) -> None:
    """Note that the mail of a request left the house; older requests that it covers wholly are replaced by it.

    One that was said to be somebody else's meanwhile, or is over, replaces nothing.
    """
    own = session.execute(
        update(SignupRequest)
        .where(
            SignupRequest.controller_id == controller_of(session),
            SignupRequest.id == request_id,
            SignupRequest.rejected_at.is_(None),
            SignupRequest.replaced_at.is_(None),
            SignupRequest.expires_at > at,
        )
        .values(mail_accepted_at=at)
        .returning(SignupRequest.email_index, SignupRequest.created_at)
    ).one_or_none()
    if own is None or own.email_index is None:
        return
    covered = _asked(session, request_id)
    older = session.scalars(
        select(SignupRequest.id).where(
            SignupRequest.controller_id == controller_of(session),
            SignupRequest.email_index == own.email_index,
            SignupRequest.id != request_id,
            SignupRequest.created_at < own.created_at,
            SignupRequest.confirmed_at.is_(None),
            SignupRequest.rejected_at.is_(None),
            SignupRequest.replaced_at.is_(None),
        )
    ).all()
    for older_id in older:
        if _asked(session, older_id) <= covered:
            _replace(session, request_id=older_id, by=request_id, at=at)


def _asked(session: Session, request_id: str) -> frozenset[_Asked]:
    """Return what of a request still waits, and by which address or number each is proved."""
    rows = session.execute(
        select(
            RequestedConsent.purpose_id,
            RequestedConsent.channel,
            RequestedConsent.confirmation,
            SignupRequest.email_index,
            SignupRequest.phone_index,
        )
        .join(
            SignupRequest,
            (SignupRequest.controller_id == RequestedConsent.controller_id)
            & (SignupRequest.id == RequestedConsent.request_id),
        )
        .where(
            RequestedConsent.controller_id == controller_of(session),
            RequestedConsent.request_id == request_id,
            RequestedConsent.completed_at.is_(None),
            RequestedConsent.cancelled_at.is_(None),
        )
    )
    return frozenset(
        (
            row.purpose_id,
            row.channel,
            row.confirmation,
            row.email_index if row.confirmation == "email" else row.phone_index,
        )
        for row in rows
    )


def _replace(session: Session, *, request_id: str, by: str, at: datetime) -> None:
    session.execute(
        update(SignupRequest)
        .where(SignupRequest.controller_id == controller_of(session), SignupRequest.id == request_id)
        .values(replaced_at=at)
    )
    signup_requests.destroy(session, request_id=request_id, at=at)
    trail.record(
        session,
        type="signup.replaced",
        at=at,
        actor=trail.SYSTEM,
        stream=f"request:{request_id}",
        payload={"request": request_id, "by": by},
    )
