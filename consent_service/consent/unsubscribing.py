"""What a link in a sender's mail does: withdraw, at once, as often as it is asked, and nothing else (RFC 8058)."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.consent import withdrawal
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.public_links import SenderLink
from consent_service.consent.withdrawal import Scope, WithdrawalOutcome
from consent_service.errors import PurposeUnknownError, SubjectUnknownError
from consent_service.registry import notices, purposes
from consent_service.registry.purposes import Purpose
from consent_service.subjects import fields, identity, suppression
from consent_service.subjects.identity import FoundPoint, SubjectReference


@dataclass(frozen=True, slots=True)
class UnsubscribeView:
    """What the page of such a link shows: a masked address, and the title of what the link is for (None for all)."""

    masked: str
    purpose_title: str | None
    channel: str | None


def look(session: Session, *, link: SenderLink, language: str, at: datetime) -> UnsubscribeView:
    """Say what a link would withdraw; reads only."""
    point = find_holder(session, link)
    purpose = _purpose(session, link)
    title = None
    if purpose is not None:
        notice = notices.current(session, purpose_key=purpose.key, at=at)
        texts = notice.content.languages if notice is not None else {}
        title = texts[language].title if language in texts else purpose.key
    masked = fields.mask(identity.open_point(session, point)) if point is not None else ""
    return UnsubscribeView(masked=masked, purpose_title=title, channel=link.channel)


def unsubscribe(session: Session, *, link: SenderLink, act: ActEvidence, at: datetime) -> WithdrawalOutcome:
    """Withdraw what the link is for, or all. A second call changes nothing that matters and gets the same answer."""
    purpose = _purpose(session, link)
    scope = Scope(purpose.key if purpose else None, link.channel)
    point = find_holder(session, link)
    if point is None:
        if link.address_hash is None:
            raise SubjectUnknownError
        suppress_hash(session, hashed=link.address_hash, purpose_id=link.purpose_id, channel=link.channel, at=at)
        return WithdrawalOutcome(None, (), ())
    contact = identity.open_point(session, point)
    return withdrawal.withdraw(
        session,
        reference=SubjectReference(id=point.subject_id, contact_point=contact),
        scope=scope,
        reason="one_click" if act.act == "one_click" else "unsubscribe_page",
        act=act,
        actor=trail.SUBJECT,
        at=at,
    )


def find_holder(session: Session, link: SenderLink) -> FoundPoint | None:
    """Find the contact point that a link is for; None where the link is for the hash of an unknown address."""
    if link.contact_point_id is None:
        return None
    return identity.get_point(session, point_id=link.contact_point_id)


def suppress_hash(
    session: Session, *, hashed: bytes, purpose_id: str | None, channel: str | None, at: datetime
) -> None:
    """Remember a no for an address of which only the hash is known, because nobody was known under it."""
    suppression.suppress(
        session,
        hashed=hashed,
        purpose_id=purpose_id,
        channel=channel,
        kind="objected",
        actor=trail.SUBJECT,
        at=at,
    )


def _purpose(session: Session, link: SenderLink) -> Purpose | None:
    """Return the purpose of a link, also when it is retired; raises PurposeUnknownError for another controller's."""
    if link.purpose_id is None:
        return None
    for purpose in purposes.list_all(session):
        if purpose.id == link.purpose_id:
            return purpose
    raise PurposeUnknownError
