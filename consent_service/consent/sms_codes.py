"""From a code that was sent to a phone number to consent: nothing else confirms what hangs on the number (DOI-02).

A code is found by the number that is typed with it. A wrong number, a wrong code, a dead one and none at all are
answered alike, so that nobody learns which numbers wait for something.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy import Select, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.consent import giving, requested, signup_requests
from consent_service.consent.answers import WaitingRequest
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.models import SignupRequest, SmsCode
from consent_service.crypto import links
from consent_service.db.session import controller_of, keyring_of
from consent_service.delivery import outbox
from consent_service.registry.forms import ShownBox
from consent_service.subjects import fields, locks
from consent_service.subjects.fields import ContactValue
from consent_service.vault import keys

LIFETIME: Final = timedelta(minutes=10)
MOST_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class CodeOutcome:
    """What became of a typed code. Only one that was right says anything about a request."""

    state: Literal["confirmed", "repeated", "wrong"]
    masked: str = ""
    language: str | None = None
    boxes: tuple[ShownBox, ...] = ()
    subject_id: str | None = None
    consent_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A code that was sent to the number, and what waits for it; None where nothing does any more."""

    code: SmsCode = field(repr=False)
    waiting: WaitingRequest | None


def create_code(session: Session, *, request_id: str, phone: ContactValue, at: datetime) -> str:
    """Make a new code for a request and its number; it takes the place of an earlier one, and its tries begin anew.

    The database keeps its hash, bound to the request and the number (DOI-05).
    """
    code = links.new_code()
    row = insert(SmsCode).values(
        controller_id=controller_of(session),
        request_id=request_id,
        phone_index=_index(session, phone),
        code_hash=links.code_hash(keyring_of(session), bound_to=_binding(request_id, phone), code=code),
        tries=0,
        expires_at=at + LIFETIME,
    )
    fresh = {name: row.excluded[name] for name in ("phone_index", "code_hash", "tries", "expires_at")}
    session.execute(
        row.on_conflict_do_update(
            index_elements=[SmsCode.controller_id, SmsCode.request_id], set_={**fresh, "used_at": None}
        )
    )
    return code


def sms_accepted(session: Session, *, request_id: str, at: datetime) -> None:
    """Note that the code of a request left the house."""
    session.execute(
        update(SmsCode)
        .where(SmsCode.controller_id == controller_of(session), SmsCode.request_id == request_id)
        .values(accepted_at=at)
    )


def ask_again(session: Session, *, phone: ContactValue, at: datetime) -> None:
    """Queue a new code for everything that waits for a number; whether one is sent is decided in the worker."""
    request_ids = session.scalars(
        select(SignupRequest.id).where(
            SignupRequest.controller_id == controller_of(session),
            SignupRequest.phone_index == _index(session, phone),
            SignupRequest.sealed.is_not(None),
            SignupRequest.expires_at > at,
        )
    ).all()
    for request_id in request_ids:
        if requested.waits_by(session, request_id=request_id, confirmation="sms"):
            outbox.enqueue(session, kind=signup_requests.SMS_MESSAGE, reference=request_id, at=at)


def confirm(
    session: Session, *, phone: ContactValue, code: str, confirmation: ActEvidence, at: datetime
) -> CodeOutcome:
    """Turn what waits for a number into consent, once; a second press is answered as such and changes nothing.

    A wrong code is counted for every code that it might have been, so the door must commit whatever this returns;
    after five wrong ones a code is dead.
    """
    candidates = _take(session, phone, at)
    found = next((each for each in candidates if _matches(session, each.code, phone, code)), None)
    if found is None:
        _count_wrong_code(session, candidates, at)
        return CodeOutcome("wrong")
    if found.code.used_at is not None:
        return CodeOutcome("repeated", masked=fields.mask(phone))
    if found.waiting is None:
        return CodeOutcome("wrong")
    waiting = found.waiting
    # Before the request is done with, for then the codes that were not used go.
    found.code.used_at = at
    session.flush()
    sent_at = found.code.accepted_at
    confirmation = confirmation.with_signals(sms_accepted_at=sent_at.isoformat() if sent_at else None)
    subject_id, consent_ids = giving.give(
        session, waiting, contact=phone, proved_by="sms", confirmation=confirmation, at=at
    )
    return CodeOutcome(
        "confirmed",
        masked=fields.mask(phone),
        language=waiting.origin.language,
        boxes=tuple(each.box for each in waiting.boxes if each.confirmation == "sms"),
        subject_id=subject_id,
        consent_ids=consent_ids,
    )


def _take(session: Session, phone: ContactValue, at: datetime) -> list[_Candidate]:
    """Find the codes that may be meant and hold them: first all addresses concerned, then the rows."""
    seen = [_waiting(session, row.SmsCode.request_id, at) for row in session.execute(_living(session, phone, at))]
    contacts = [contact for each in seen if each is not None for contact in each.answer.contacts()]
    locks.lock_addresses(session, [phone, *contacts])
    # Without this the session would go on believing what it read before it waited for the locks.
    held = _living(session, phone, at).with_for_update().execution_options(populate_existing=True)
    codes = [row.SmsCode for row in session.execute(held).all()]
    return [_Candidate(code, _waiting(session, code.request_id, at)) for code in codes]


def _living(session: Session, phone: ContactValue, at: datetime) -> Select[SmsCode, SignupRequest]:
    return (
        select(SmsCode, SignupRequest)
        .join(
            SignupRequest,
            (SignupRequest.controller_id == SmsCode.controller_id) & (SignupRequest.id == SmsCode.request_id),
        )
        .where(
            SmsCode.controller_id == controller_of(session),
            SmsCode.phone_index == _index(session, phone),
            SmsCode.expires_at > at,
            SmsCode.tries < MOST_TRIES,
        )
        .order_by(SmsCode.request_id)
    )


def _waiting(session: Session, request_id: str, at: datetime) -> WaitingRequest | None:
    waiting = signup_requests.find_waiting(session, request_id=request_id, at=at)
    return waiting if waiting is not None and any(each.confirmation == "sms" for each in waiting.boxes) else None


def _matches(session: Session, stored: SmsCode, phone: ContactValue, code: str) -> bool:
    bound_to = _binding(stored.request_id, phone)
    return links.codes_match(keyring_of(session), bound_to=bound_to, code=code, stored=stored.code_hash)


def _count_wrong_code(session: Session, candidates: list[_Candidate], at: datetime) -> None:
    for each in candidates:
        if each.waiting is None:
            continue
        each.code.tries += 1
        trail.record(
            session,
            type="signup.code_failed",
            at=at,
            actor=trail.SUBJECT,
            stream=f"request:{each.code.request_id}",
            payload={"request": each.code.request_id},
        )


def _binding(request_id: str, phone: ContactValue) -> bytes:
    return f"{request_id} {phone.normal}".encode()


def _index(session: Session, phone: ContactValue) -> bytes:
    return keys.index(session, kind=phone.kind, value=phone.normal)
