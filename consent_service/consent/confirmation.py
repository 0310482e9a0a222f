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
from consent_service.consent import evidence, facts, ledger, signup_requests
from consent_service.consent.answers import RequestedBox, WaitingRequest
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.ledger import Act, Series
from consent_service.consent.models import ConfirmationLink, SignupRequest
from consent_service.crypto import links
from consent_service.db.session import controller_of, keyring_of
from consent_service.registry import purposes
from consent_service.registry.forms import ShownBox
from consent_service.subjects import fields, identity, locks, personal_fields
from consent_service.subjects.fields import ContactValue
from consent_service.subjects.identity import FoundPoint

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
    state = _state(link, request, at)
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
    subject_id, consent_ids = _give(session, waiting, waiting.answer.email, confirmation, at)
    link.used_at = at
    trail.record(
        session,
        type="signup.confirmed",
        at=at,
        actor=trail.SUBJECT,
        stream=f"subject:{subject_id}",
        payload={"request": request.id, "subject": subject_id, "consents": list(consent_ids)},
        subject_id=subject_id,
    )
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


def _give(
    session: Session, waiting: WaitingRequest, email: ContactValue, confirmation: ActEvidence, at: datetime
) -> tuple[str, tuple[str, ...]]:
    """Write what hangs on the confirmed address into the ledger; what hangs on a phone number keeps waiting."""
    point = _verified_point(session, waiting, email, at)
    locks.lock_subject(session, point.subject_id)
    personal_fields.record(session, subject_id=point.subject_id, values=waiting.answer.personal_fields, at=at)
    proved = [each for each in waiting.boxes if each.confirmation == "email"]
    for each in proved:
        give_one(session, each, point=point, waiting=waiting, confirmation=confirmation, at=at)
    consent_ids = tuple(each.consent_id for each in proved)
    signup_requests.complete(session, request_id=waiting.request_id, consent_ids=consent_ids, at=at)
    return point.subject_id, consent_ids


def give_one(
    session: Session,
    each: RequestedBox,
    *,
    point: FoundPoint,
    waiting: WaitingRequest,
    confirmation: ActEvidence,
    at: datetime,
) -> None:
    """Append one confirmed consent with its evidence."""
    series = Series(
        subject_id=point.subject_id,
        contact_point_id=point.id if fields.point_kind(each.box.channel) is not None else None,
        purpose_id=each.purpose_id,
        channel=each.box.channel,
    )
    submission = replace(
        waiting.submission,
        form_id=waiting.origin.form_id,
        form_version=waiting.origin.form_version,
        language=waiting.origin.language,
    ).with_signals(mail_accepted_at=waiting.mail_accepted_at.isoformat() if waiting.mail_accepted_at else None)
    evidence_id = evidence.record(
        session,
        subject_id=point.subject_id,
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
            evidence_id=evidence_id,
            confirmed_at=at,
            valid_for_months=each.box.valid_for_months,
        ),
        actor=trail.SUBJECT,
        at=at,
    )


def _verified_point(session: Session, waiting: WaitingRequest, email: ContactValue, at: datetime) -> FoundPoint:
    """Return the proved contact point: the verified holder's, else the reported person's, else a new person's."""
    holder = identity.find_point(session, email)
    if holder is not None and holder.verified_at is not None:
        return holder
    subject_id = waiting.origin.subject_id or identity.create(session, at=at, actor=trail.SUBJECT)
    return identity.attach_point(session, subject_id=subject_id, contact=email, verified_at=at, at=at)


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
    if link is None or request is None or _state(link, request, at) != "waiting":
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


def _state(link: ConfirmationLink, request: SignupRequest, at: datetime) -> State:
    if request.rejected_at is not None:
        return "rejected"
    if link.used_at is not None or request.confirmed_at is not None:
        return "confirmed"
    if request.replaced_at is not None:
        return "replaced"
    if link.expires_at <= at or request.expires_at <= at or link.tries >= MOST_TRIES:
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
