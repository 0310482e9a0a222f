"""Who stands behind a link to the preference centre, and the mail by which such a link is asked for.

A link that was mailed on request may see and change everything for an hour, however often it is opened. A link from a
sender's mail never expires, and can only withdraw.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.consent import unsubscribing
from consent_service.consent.models import PreferenceRequest
from consent_service.consent.public_links import SecretLink, SenderLink
from consent_service.crypto import links
from consent_service.db.session import controller_of
from consent_service.delivery import outbox
from consent_service.errors import LinkExpiredError, LinkInvalidError
from consent_service.registry import purposes
from consent_service.subjects import fields, identity, members
from consent_service.subjects.fields import ContactValue
from consent_service.subjects.identity import FoundPoint
from consent_service.vault import keys

LINK_LIFETIME: Final = timedelta(minutes=60)
#: How long a request waits for its mail. A link ends earlier, but the mail server may be away for longer than that.
WAITING_LIFETIME: Final = timedelta(hours=24)
MESSAGE: Final = "preference_link"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody on the preference page: by which address, who they are where that is known, and what they may do."""

    contact: ContactValue | None = field(repr=False)
    masked: str
    subject_id: str | None
    point: FoundPoint | None
    can_give: bool
    purpose: str | None = None
    channel: str | None = None
    address_hash: bytes | None = field(default=None, repr=False)
    address_index: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AskedLink:
    """A request for a link, opened for its mail."""

    contact: ContactValue = field(repr=False)
    email_index: bytes = field(repr=False)
    language: str
    asked_at: datetime


def ask(session: Session, *, contact: ContactValue, language: str, at: datetime) -> None:
    """Queue a mail with a link to the preference centre; does the same for every address, known or not."""
    request_id = identifiers.new_id("req")
    keys.create_for_request(session, request_id=request_id, at=at)
    session.execute(
        insert(PreferenceRequest).values(
            controller_id=controller_of(session),
            id=request_id,
            secret_hash=None,
            email_index=keys.index(session, kind=contact.kind, value=contact.normal),
            sealed=keys.seal_for_request(
                session,
                contact.value.encode(),
                request_id=request_id,
                table="preference_request",
                column="sealed",
                row_id=request_id,
            ),
            language=language,
            created_at=at,
            expires_at=at + WAITING_LIFETIME,
        )
    )
    trail.record(
        session,
        type="preferences.link_requested",
        at=at,
        actor=trail.SUBJECT,
        stream=f"request:{request_id}",
        payload={"request": request_id},
    )
    outbox.enqueue(session, kind=MESSAGE, reference=request_id, at=at)


def find_asked(session: Session, *, request_id: str, at: datetime) -> AskedLink | None:
    """Open a request for its mail; None when it has waited too long.

    A link that was made for a mail which did not leave may have ended meanwhile; another one can be made.
    """
    row = session.execute(
        select(PreferenceRequest).where(
            PreferenceRequest.controller_id == controller_of(session),
            PreferenceRequest.id == request_id,
            PreferenceRequest.created_at > at - WAITING_LIFETIME,
        )
    ).scalar_one_or_none()
    return None if row is None else AskedLink(_open(session, row), row.email_index, row.language, row.created_at)


def create_link(session: Session, *, request_id: str, at: datetime) -> bytes:
    """Make the secret of a link, good for an hour from now; the database keeps its hash."""
    secret = links.new_secret()
    session.execute(
        update(PreferenceRequest)
        .where(PreferenceRequest.controller_id == controller_of(session), PreferenceRequest.id == request_id)
        .values(secret_hash=links.secret_hash(secret), expires_at=at + LINK_LIFETIME)
    )
    return secret


def visitor_of(session: Session, *, link: SecretLink | SenderLink, at: datetime) -> Visitor:
    """Say who stands behind a link; reads only. Raises LinkInvalidError and LinkExpiredError."""
    if isinstance(link, SenderLink):
        return _sender_visitor(session, link)
    row = session.execute(
        select(PreferenceRequest).where(
            PreferenceRequest.controller_id == controller_of(session),
            PreferenceRequest.secret_hash == links.secret_hash(link.secret),
        )
    ).scalar_one_or_none()
    if row is None or row.expires_at <= at:
        # A request that is gone had expired: nobody else can have signed its secret.
        raise LinkExpiredError
    contact = _open(session, row)
    visitor = Visitor(contact=contact, masked=fields.mask(contact), subject_id=None, point=None, can_give=True)
    return settle(session, visitor)


def settle(session: Session, visitor: Visitor) -> Visitor:
    """Look again who holds the visitor's address, for instance under its lock."""
    if visitor.contact is None or not visitor.can_give:
        return visitor
    point = identity.find_point(session, visitor.contact)
    return replace(visitor, point=point, subject_id=_person(session, point))


def become_known(session: Session, visitor: Visitor, *, at: datetime) -> Visitor:
    """Make the visitor a person with a proved address, where they are not yet; the address' lock is held.

    Whoever was only reported under the address is not taken to be the visitor, and gives way.
    """
    if visitor.contact is None or not visitor.can_give:
        raise LinkInvalidError("this link cannot give consent")
    if visitor.point is not None and visitor.point.verified_at is not None:
        return visitor
    subject_id = identity.create(session, at=at, actor=trail.SUBJECT)
    point = identity.attach_point(session, subject_id=subject_id, contact=visitor.contact, verified_at=at, at=at)
    return replace(visitor, subject_id=subject_id, point=point)


def expire(session: Session, *, at: datetime, limit: int = 500) -> int:
    """Delete requests whose link has expired and for which no mail waits any more, with their keys.

    Returns how many; call again while it is `limit`.
    """
    expired = session.scalars(
        select(PreferenceRequest.id)
        .where(
            PreferenceRequest.controller_id == controller_of(session),
            PreferenceRequest.expires_at <= at,
            PreferenceRequest.created_at <= at - WAITING_LIFETIME,
        )
        .order_by(PreferenceRequest.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for request_id in expired:
        outbox.cancel(session, kind=MESSAGE, reference=request_id, at=at)
        keys.destroy_for_request(session, request_id=request_id)
    session.execute(
        delete(PreferenceRequest).where(
            PreferenceRequest.controller_id == controller_of(session), PreferenceRequest.id.in_(expired)
        )
    )
    return len(expired)


def _sender_visitor(session: Session, link: SenderLink) -> Visitor:
    point = unsubscribing.find_holder(session, link)
    contact = identity.open_point(session, point) if point is not None else None
    purpose = None
    if link.purpose_id is not None:
        purpose = next((each.key for each in purposes.list_all(session) if each.id == link.purpose_id), None)
        if purpose is None:
            raise LinkInvalidError
    return Visitor(
        contact=contact,
        masked=fields.mask(contact) if contact is not None else "",
        subject_id=_person(session, point),
        point=point,
        can_give=False,
        purpose=purpose,
        channel=link.channel,
        address_hash=link.address_hash,
        address_index=link.address_index,
    )


def _person(session: Session, point: FoundPoint | None) -> str | None:
    return None if point is None else members.survivor_of(session, point.subject_id)


def _open(session: Session, row: PreferenceRequest) -> ContactValue:
    clear = keys.unseal_for_request(
        session,
        row.sealed,
        request_id=row.id,
        table="preference_request",
        column="sealed",
        row_id=row.id,
    ).decode()
    return fields.parse_email(clear)
