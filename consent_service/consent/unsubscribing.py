"""What a link in a sender's mail does: withdraw, at once, as often as it is asked, and nothing else (RFC 8058)."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.consent import ledger, signup_requests, withdrawal
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.public_links import SenderLink
from consent_service.consent.withdrawal import Scope, WithdrawalOutcome
from consent_service.errors import PurposeUnknownError, SubjectUnknownError
from consent_service.registry import notices, purposes
from consent_service.registry.purposes import Purpose
from consent_service.subjects import fields, identity, locks, suppression
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
    reason = "one_click" if act.act == "one_click" else "unsubscribe_page"
    point = find_holder(session, link)
    if point is not None:
        return _withdraw(session, point, purpose=purpose, channel=link.channel, reason=reason, act=act, at=at)
    if link.address_hash is None:
        raise SubjectUnknownError
    return stop_hashed(
        session,
        hashed=link.address_hash,
        index=link.address_index,
        purpose=purpose,
        channel=link.channel,
        reason=reason,
        act=act,
        at=at,
    )


def find_holder(session: Session, link: SenderLink) -> FoundPoint | None:
    """Find the contact point that a link is for; None where the link is for the hash of an unknown address.

    Whoever holds that address by now is not meant to be seen by whoever holds the link.
    """
    if link.contact_point_id is None:
        return None
    return identity.get_point(session, point_id=link.contact_point_id)


def stop_hashed(
    session: Session,
    *,
    hashed: bytes,
    index: bytes | None,
    purpose: Purpose | None,
    channel: str | None,
    reason: str,
    act: ActEvidence,
    at: datetime,
) -> WithdrawalOutcome:
    """Hear a no for an address of which only the hash is known, because nobody was known under it.

    Where somebody holds the address by now, it is their withdrawal too, as if the address itself had been named; what
    waits for the address is cancelled. Raises nothing where nobody does.
    """
    outcome = WithdrawalOutcome(None, (), ())
    holder = None if index is None else _holder_of(session, index)
    if holder is not None:
        outcome = _withdraw(session, holder, purpose=purpose, channel=channel, reason=reason, act=act, at=at)
        at = ledger.moment_after(session, subject_id=holder.subject_id, at=at)
    elif index is not None:
        purpose_id = purpose.id if purpose else None
        signup_requests.cancel_for(
            session, indexes=(index,), subject_id=None, purpose_id=purpose_id, channel=channel, at=at
        )
    suppression.suppress(
        session,
        hashed=hashed,
        purpose_id=purpose.id if purpose else None,
        channel=channel,
        kind="objected",
        actor=trail.SUBJECT,
        at=at,
    )
    return outcome


def _holder_of(session: Session, index: bytes) -> FoundPoint | None:
    """Find who holds an address; where it is nobody, hold its lock, so that nobody becomes its holder meanwhile."""
    holder = identity.find_holder(session, index=index)
    if holder is None:
        locks.lock_indexes(session, (index,))
        holder = identity.find_holder(session, index=index)
    return holder


def _withdraw(
    session: Session,
    point: FoundPoint,
    *,
    purpose: Purpose | None,
    channel: str | None,
    reason: str,
    act: ActEvidence,
    at: datetime,
) -> WithdrawalOutcome:
    return withdrawal.withdraw(
        session,
        reference=SubjectReference(id=point.subject_id, contact_point=identity.open_point(session, point)),
        scope=Scope(purpose.key if purpose else None, channel),
        reason=reason,
        act=act,
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
