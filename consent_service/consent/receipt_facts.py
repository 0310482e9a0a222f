"""Gathers what a receipt tells: who asked whom for what, on which notice, and every state since; nobody's address."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from sqlalchemy.orm import Session

from consent_service.consent import records, rules
from consent_service.consent.entries import RecordedEntry
from consent_service.consent.records import ConsentRecord
from consent_service.errors import ConsentUnknownError
from consent_service.registry import boxes, controllers, notices, recipients
from consent_service.registry.boxes import ShownBox
from consent_service.registry.controllers import Controller
from consent_service.registry.notices import NoticeVersion
from consent_service.registry.recipients import Recipient
from consent_service.vault import keys

Party = Literal["subject", "controller"]

#: How the subject's will was expressed, by the grade of its evidence.
_METHOD_OF_GRADE: Final = {
    "double_opt_in": "act of the subject, proved by a link or code sent to the contact point (double opt-in)",
    "single_opt_in": "act of the subject in a form (single opt-in)",
    "signed_paper": "statement signed by the subject",
    "witnessed": "act or statement of the subject, witnessed by the controller's staff",
    "claimed": "claimed by the controller",
}
_OF_CONSENT: Final = frozenset({"consent", "explicit_consent"})


@dataclass(frozen=True, slots=True)
class StateChange:
    """From when a status held, who indicated it, and how where that was an answer of the subject."""

    status: str
    since: datetime
    indicated_by: Party
    method: str | None = None


@dataclass(frozen=True, slots=True)
class ReceiptFacts:
    """Everything a receipt rests on; `subject` is a pseudonym that no other controller would see for that person."""

    public_url: str
    record: ConsentRecord
    subject: uuid.UUID
    controller: Controller
    notice: NoticeVersion
    box: ShownBox
    recipients: tuple[Recipient, ...]
    states: tuple[StateChange, ...]

    @property
    def is_explicit(self) -> bool:
        """Say whether the consent is explicit (GDPR Art. 9(2)(a))."""
        return self.record.legal_basis == "explicit_consent"

    @property
    def choices_url(self) -> str:
        """Return where the person can take the consent back (GDPR Art. 7(3))."""
        return f"{self.public_url}/p?controller={self.controller.key}"


def gather(session: Session, *, consent_id: str, public_url: str, at: datetime) -> ReceiptFacts:
    """Gather what the receipt of a declaration tells at a moment; reads only, and opens nothing that is sealed.

    Raises ConsentUnknownError, also for a declaration that no consent was ever asked with, such as a withdrawal that
    ended nothing.
    """
    record = records.get(session, consent_id=consent_id, at=at)
    states = _states(session, record, at)
    if not states or record.notice_id is None or record.language is None or record.legal_basis not in _OF_CONSENT:
        raise ConsentUnknownError
    notice = notices.get(session, notice_id=record.notice_id)
    box = boxes.of_notice(session, notice=notice, channel=record.channel, language=record.language)
    if box is None:
        raise ConsentUnknownError
    return ReceiptFacts(
        public_url=public_url,
        record=record,
        subject=_pseudonym(session, record),
        controller=controllers.get(session),
        notice=notice,
        box=box,
        recipients=recipients.list_all(session, keys=notice.content.recipients),
        states=states,
    )


def _pseudonym(session: Session, record: ConsentRecord) -> uuid.UUID:
    """Derive the person's name in receipts under the controller's own key: stable there, and equal nowhere else.

    While nobody has confirmed yet there may be no person, and then the declaration stands for one. A receipt stays as
    it was when the record that it belongs to is merged into another.
    """
    known = record.entries[0].subject_id if record.entries else record.subject_id
    index = keys.index(session, kind="receipt_subject", value=known or record.consent_id)
    return custom_uuid(index)


def custom_uuid(octets: bytes) -> uuid.UUID:
    """Make a UUID of 16 bytes that mean something to us alone (version 8, RFC 9562 §5.8)."""
    number = int.from_bytes(octets[:16])
    number = number & ~(0xF << 76) | 0x8 << 76
    return uuid.UUID(int=number & ~(0b11 << 62) | 0b10 << 62)


def _states(session: Session, record: ConsentRecord, at: datetime) -> tuple[StateChange, ...]:
    """List the states that a declaration went through until a moment, derived ones in their place."""
    if record.status == "requested" and record.requested_at is not None:
        return (StateChange("requested", record.requested_at, "controller"),)
    states: list[StateChange] = []
    ends = [entry.effective_at for entry in record.entries[1:]]
    for place, entry in enumerate(record.entries):
        states += _states_of(entry)
        if entry.kind in rules.GIVEN:
            until = ends[place] if place < len(ends) else at
            states += [each for each in _derived(session, entry) if each.since <= until]
    return tuple(state for place, state in enumerate(states) if place == 0 or state.status != states[place - 1].status)


def _states_of(entry: RecordedEntry) -> list[StateChange]:
    # On a page that was opened from a mailed link asking and confirming are one act.
    waited = entry.confirmed_at is not None and entry.occurred_at < entry.confirmed_at
    asked = [StateChange("requested", entry.occurred_at, "controller")] if waited else []
    answered = entry.kind in rules.GIVEN or entry.kind == "refused"
    state = StateChange(
        status=entry.kind,
        since=entry.effective_at,
        indicated_by="controller" if entry.kind == "revoked" else "subject",
        method=_METHOD_OF_GRADE[entry.evidence_grade] if answered else None,
    )
    return [*asked, state]


def _derived(session: Session, given: RecordedEntry) -> list[StateChange]:
    """List what ends a yes without an act, in order of time: its expiry, and a material change of the notice."""
    found = [] if given.expires_at is None else [StateChange("expired", given.expires_at, "controller")]
    changes = [
        version.publication.effective_at
        for version in notices.publications(session, purpose_key=given.purpose)
        if version.publication is not None
        and version.publication.material
        and given.notice_version is not None
        and version.number > given.notice_version
    ]
    if changes:
        found.append(StateChange("invalidated", min(changes), "controller"))
    return sorted(found, key=lambda each: each.since)
