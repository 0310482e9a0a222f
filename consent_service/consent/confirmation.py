"""From a link that was mailed to consent: looking changes nothing, confirming is one act, and *not me* is heard.

Whoever fetches the link, however often, only looks. Confirming needs the page's nonce (checked by the door) or the
code that stands in the mail (DOI-03, DOI-04).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.admission import mail_caps
from consent_service.audit import trail
from consent_service.consent import giving, requested, signup_requests
from consent_service.consent.answers import WaitingRequest
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.models import ConfirmationLink, SignupRequest
from consent_service.crypto import links
from consent_service.db.session import controller_of, keyring_of
from consent_service.registry.forms import ShownBox
from consent_service.subjects import fields, locks

LINK_LIFETIME: Final = timedelta(hours=72)
MOST_TRIES: Final = 5

State = Literal["waiting", "confirmed", "expired", "replaced", "rejected", "unknown"]


@dataclass(frozen=True, slots=True)
class ConfirmationView:
    """What the page of a link shows. Only a request that waits shows what was asked, and then a masked address."""

    state: State
    language: str | None = None
    form_id: str | None = None
    form_title: str = ""
    masked: str = ""
    requested_at: datetime | None = None
    link_expires_at: datetime | None = None
    boxes: tuple[ShownBox, ...] = ()
    tries_left: int = 0
    code_wrong: bool = False
    subject_id: str | None = None
    consent_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewLink:
    """What goes into a mail and is kept only as hashes."""

    secret: bytes
    code: str
    expires_at: datetime


def create_link(session: Session, *, request_id: str, at: datetime) -> NewLink:
    """Make a link and a code for a request; the database keeps their hashes (DOI-05)."""
    secret, code = links.new_secret(), links.new_code()
    expires_at = at + LINK_LIFETIME
    session.add(
        ConfirmationLink(
            controller_id=controller_of(session),
            secret_hash=links.secret_hash(secret),
            request_id=request_id,
            code_hash=links.code_hash(keyring_of(session), bound_to=request_id.encode(), code=code),
            tries=0,
            expires_at=expires_at,
            used_at=None,
        )
    )
    session.flush()
    return NewLink(secret, code, expires_at)


def look(session: Session, *, secret: bytes, at: datetime) -> ConfirmationView:
    """Say what a link stands for; changes nothing, whoever asks and however often."""
    link, request = _find(session, secret)
    if link is None or request is None:
        return ConfirmationView(state="unknown")
    state = _state(session, link, request, at)
    seen = ConfirmationView(state=state, language=request.language, form_id=request.form_id)
    if state != "waiting":
        return seen
    waiting = signup_requests.find_waiting(session, request_id=request.id, at=at)
    if waiting is None or waiting.answer.email is None:
        return replace(seen, state="replaced" if request.replaced_at else "expired")
    return _waiting_view(waiting, link)


def confirm(
    session: Session, *, secret: bytes, code: str | None, confirmation: ActEvidence, at: datetime
) -> ConfirmationView:
    """Turn what waits into consent, once; a second press gets the same answer and changes nothing (DOI-06).

    `code` is what was typed, or None where the door has checked the page's nonce. A wrong code is counted, so the door
    must commit whatever this returns; after five the link is dead.
    """
    link, request, waiting = _take(session, secret, at)
    if link is None or request is None:
        return ConfirmationView(state="unknown")
    if waiting is None or waiting.answer.email is None:
        return look(session, secret=secret, at=at)
    if code is not None and not _code_matches(session, link, request.id, code):
        return _count_wrong_code(session, link, waiting, at)
    subject_id, consent_ids = giving.give(
        session, waiting, contact=waiting.answer.email, proved_by="email", confirmation=confirmation, at=at
    )
    link.used_at = at
    done = _waiting_view(waiting, link)
    return replace(done, state="confirmed", subject_id=subject_id, consent_ids=consent_ids)


def reject(session: Session, *, secret: bytes, code: str | None, at: datetime) -> ConfirmationView:
    """Hear *this was not me*: forget the request and send this address no confirmation mail for 90 days (DOI-08)."""
    link, request, waiting = _take(session, secret, at)
    if link is None or request is None:
        return ConfirmationView(state="unknown")
    if waiting is None or waiting.email_index is None:
        return look(session, secret=secret, at=at)
    if code is not None and not _code_matches(session, link, request.id, code):
        return _count_wrong_code(session, link, waiting, at)
    signup_requests.destroy(session, request_id=request.id, at=at)
    request.rejected_at = at
    mail_caps.refuse(session, contact_hash=waiting.email_index, kind="not_me", at=at)
    _note(session, "signup.rejected", request.id, at)
    return ConfirmationView(state="rejected", language=request.language, form_id=request.form_id)


def undo_reject(session: Session, *, secret: bytes, at: datetime) -> ConfirmationView:
    """Take *not me* back: mails may be sent again. The request itself is gone; the form has to be sent anew."""
    link, request = _find(session, secret, lock=True)
    if link is None or request is None or request.rejected_at is None or request.email_index is None:
        return look(session, secret=secret, at=at)
    mail_caps.lift_refusal(session, contact_hash=request.email_index, kind="not_me")
    _note(session, "signup.reject_undone", request.id, at)
    return ConfirmationView(state="rejected", language=request.language, form_id=request.form_id)


def _take(
    session: Session, secret: bytes, at: datetime
) -> tuple[ConfirmationLink | None, SignupRequest | None, WaitingRequest | None]:
    """Find what a link stands for and hold it: first its addresses and then its rows, as a withdrawal does.

    What still waits is read under those locks, so that a withdrawal that was under way has been heard.
    """
    _, request = _find(session, secret)
    seen = None if request is None else signup_requests.find_waiting(session, request_id=request.id, at=at)
    if seen is not None:
        locks.lock_addresses(session, seen.answer.contacts())
    link, request = _find(session, secret, lock=True)
    if link is None or request is None or _state(session, link, request, at) != "waiting":
        return link, request, None
    return link, request, signup_requests.find_waiting(session, request_id=request.id, at=at)


def _find(
    session: Session, secret: bytes, *, lock: bool = False
) -> tuple[ConfirmationLink | None, SignupRequest | None]:
    query = (
        select(ConfirmationLink, SignupRequest)
        .join(
            SignupRequest,
            (SignupRequest.controller_id == ConfirmationLink.controller_id)
            & (SignupRequest.id == ConfirmationLink.request_id),
        )
        .where(
            ConfirmationLink.controller_id == controller_of(session),
            ConfirmationLink.secret_hash == links.secret_hash(secret),
        )
    )
    if lock:
        # Without this the session would go on believing what it read before it waited for the lock.
        query = query.with_for_update().execution_options(populate_existing=True)
    row = session.execute(query).one_or_none()
    return (None, None) if row is None else (row[0], row[1])


def _state(session: Session, link: ConfirmationLink, request: SignupRequest, at: datetime) -> State:
    if request.rejected_at is not None:
        return "rejected"
    if link.used_at is not None:
        return "confirmed"
    # A code that came by SMS confirms what hangs on the phone number, and nothing of what a mail asks for.
    by_email = requested.waits_by(session, request_id=request.id, confirmation="email")
    if request.confirmed_at is not None and not by_email:
        return "confirmed"
    if request.replaced_at is not None:
        return "replaced"
    if not by_email or min(link.expires_at, request.expires_at) <= at or link.tries >= MOST_TRIES:
        return "expired"
    return "waiting"


def _waiting_view(waiting: WaitingRequest, link: ConfirmationLink) -> ConfirmationView:
    email = waiting.answer.email
    return ConfirmationView(
        state="waiting",
        language=waiting.origin.language,
        form_id=waiting.origin.form_id,
        form_title=waiting.origin.form_title,
        masked=fields.mask(email) if email else "",
        requested_at=waiting.requested_at,
        link_expires_at=link.expires_at,
        boxes=tuple(each.box for each in waiting.boxes if each.confirmation == "email"),
        tries_left=MOST_TRIES - link.tries,
    )


def _code_matches(session: Session, link: ConfirmationLink, request_id: str, code: str) -> bool:
    return links.codes_match(keyring_of(session), bound_to=request_id.encode(), code=code, stored=link.code_hash)


def _count_wrong_code(
    session: Session, link: ConfirmationLink, waiting: WaitingRequest, at: datetime
) -> ConfirmationView:
    tries = link.tries + 1
    link.tries = tries
    _note(session, "signup.code_failed", waiting.request_id, at)
    seen = replace(_waiting_view(waiting, link), tries_left=MOST_TRIES - tries, code_wrong=True)
    return seen if tries < MOST_TRIES else replace(seen, state="expired")


def _note(session: Session, type_: str, request_id: str, at: datetime) -> None:
    trail.record(
        session,
        type=type_,
        at=at,
        actor=trail.SUBJECT,
        stream=f"request:{request_id}",
        payload={"request": request_id},
    )
