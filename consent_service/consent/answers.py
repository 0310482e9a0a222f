"""What a person answered in a form, as it waits: its values, and how they are sealed and opened again."""

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.orm import Session

from consent_service.consent import evidence
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.models import SignupRequest
from consent_service.consent.sources import Source
from consent_service.registry.forms import ShownBox
from consent_service.subjects import fields, suppression
from consent_service.subjects.fields import ContactValue
from consent_service.vault import keys

Confirmation = Literal["email", "sms"]


@dataclass(frozen=True, slots=True)
class SignupAnswer:
    """What a person answered: contact points, the boxes that were ticked as they were shown, and personal fields."""

    email: ContactValue | None
    phone: ContactValue | None
    ticked: tuple[ShownBox, ...]
    personal_fields: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def contacts(self) -> tuple[ContactValue, ...]:
        """Return the contact points that were given."""
        return tuple(contact for contact in (self.email, self.phone) if contact is not None)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from: the form and language, and the person it is about where a system said who that is.

    `api_key_id` and `import_label` are those of the report that asked for it.
    """

    form_id: str | None
    form_version: int | None
    form_title: str
    language: str
    subject_id: str | None = None
    api_key_id: str | None = None
    import_label: str | None = None

    @property
    def source(self) -> Source:
        """Return what of it a recall looks for."""
        return Source(self.form_id, self.form_version, self.api_key_id, self.import_label)


@dataclass(frozen=True, slots=True)
class RequestedBox:
    """One box that waits: its declaration, what was shown, and through which contact point it is confirmed."""

    consent_id: str
    purpose_id: str
    confirmation: Confirmation
    box: ShownBox


@dataclass(frozen=True, slots=True)
class WaitingRequest:
    """A request, opened: for its confirmation mail, its page, and the moment it becomes consent."""

    request_id: str
    origin: Origin
    requested_at: datetime
    expires_at: datetime
    mail_accepted_at: datetime | None
    email_index: bytes | None = field(repr=False)
    answer: SignupAnswer = field(repr=False)
    boxes: tuple[RequestedBox, ...]
    submission: ActEvidence = field(repr=False)


def confirmation_of(channel: str, *, has_email: bool) -> Confirmation:
    """Say what proves a channel's point; `web` and `push` hang on whatever identifies the person in the form."""
    kind = fields.point_kind(channel)
    if kind is None:
        return "email" if has_email else "sms"
    return "email" if kind == "email" else "sms"


def seal(
    session: Session,
    *,
    request_id: str,
    origin: Origin,
    answer: SignupAnswer,
    boxes: tuple[RequestedBox, ...],
    submission: ActEvidence,
) -> bytes:
    """Seal an answer under the key of its request, the shown texts word for word."""
    document = {
        "form_title": origin.form_title,
        "api_key_id": origin.api_key_id,
        "import_label": origin.import_label,
        "email": answer.email.value if answer.email else None,
        "phone": answer.phone.value if answer.phone else None,
        "personal_fields": answer.personal_fields,
        "boxes": [asdict(each) for each in boxes],
        "submission": evidence.as_document(submission),
    }
    plaintext = json.dumps(document, ensure_ascii=False).encode()
    return keys.seal_for_request(
        session, plaintext, request_id=request_id, table="signup_request", column="sealed", row_id=request_id
    )


def open_request(session: Session, row: SignupRequest, *, waiting: frozenset[tuple[str, str]]) -> WaitingRequest:
    """Open a request; `waiting` are the purposes and channels that still wait."""
    document = json.loads(
        keys.unseal_for_request(
            session,
            row.sealed or b"",
            request_id=row.id,
            table="signup_request",
            column="sealed",
            row_id=row.id,
        )
    )
    boxes = tuple(_box(each) for each in document["boxes"])
    return WaitingRequest(
        request_id=row.id,
        origin=Origin(
            row.form_id,
            row.form_version,
            document["form_title"],
            row.language,
            row.subject_id,
            # A request that was sealed by an earlier release says nothing of these.
            document.get("api_key_id"),
            document.get("import_label"),
        ),
        requested_at=row.created_at,
        expires_at=row.expires_at,
        mail_accepted_at=row.mail_accepted_at,
        email_index=row.email_index,
        answer=SignupAnswer(
            email=fields.parse_email(document["email"]) if document["email"] else None,
            phone=fields.parse_phone(document["phone"]) if document["phone"] else None,
            ticked=tuple(each.box for each in boxes),
            personal_fields=tuple((name, value) for name, value in document["personal_fields"]),
        ),
        boxes=tuple(each for each in boxes if (each.purpose_id, each.box.channel) in waiting),
        submission=evidence.from_document(document["submission"]),
    )


def without_stopped(session: Session, request: WaitingRequest) -> WaitingRequest:
    """Leave out what the address was stopped for since it was asked: a later no overtakes an older yes.

    A no by a sender's link may know the address by its hash alone, and cancels no request by itself.
    """
    contacts = {"email": request.answer.email, "sms": request.answer.phone}
    stops = {
        confirmation: suppression.list_for(session, hashed=suppression.address_hash(session, contact))
        for confirmation, contact in contacts.items()
        if contact is not None
    }

    def is_stopped(each: RequestedBox) -> bool:
        return any(
            stop.recorded_at > request.requested_at
            and stop.covers(purpose_id=each.purpose_id, channel=each.box.channel)
            for stop in stops.get(each.confirmation, ())
        )

    return replace(request, boxes=tuple(each for each in request.boxes if not is_stopped(each)))


def _box(document: dict[str, Any]) -> RequestedBox:
    shown = {**document["box"]}
    shown["data_categories"] = tuple(shown["data_categories"])
    shown["recipients"] = tuple(shown["recipients"])
    return RequestedBox(
        consent_id=document["consent_id"],
        purpose_id=document["purpose_id"],
        confirmation=document["confirmation"],
        box=ShownBox(**shown),
    )
