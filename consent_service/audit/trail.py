"""The only pen of the audit log: one entry per change and per look at personal data, in the acting transaction.

An entry shows its id, type and time and a commitment to its payload. The payload, with the stream it belongs to, its
number there and the commitment before it, is sealed: under the subject's key where it is about a person, so that it
cannot be opened, or tied to other entries, once that key is gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, cast, get_args

from sqlalchemy import insert
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import streams
from consent_service.audit.models import AuditEntry, AuditEntryAbout
from consent_service.crypto import canonical, sealing
from consent_service.db.session import controller_of, request_of
from consent_service.errors import FieldProblem, InvalidInputError
from consent_service.vault import keys

VERSION: Final = 1

#: Every type of entry and what it says; docs/audit-events.md explains them and a test compares the two.
TYPES: Final = frozenset(
    {
        "api_key.created",
        "api_key.revoked",
        "consent.given",
        "consent.refused",
        "consent.revoked",
        "consent.renewed",
        "consent.withdrawn",
        "controller.created",
        "controller.registered",
        "controller.settings_changed",
        "customer_relation.recorded",
        "evidence.revealed",
        "form.created",
        "form.version_created",
        "log.exported",
        "log.recovered",
        "notice.drafted",
        "notice.published",
        "notice_delivery.recorded",
        "objection.recorded",
        "operator.created",
        "preferences.link_requested",
        "purpose.basis_change_refused",
        "purpose.created",
        "purpose.retired",
        "purpose.settings_changed",
        "recipient.created",
        "recipient_kind.recorded",
        "reservations.washed",
        "revocation.applied",
        "revocation.recorded",
        "schema.migrated",
        "signup.code_failed",
        "signup.confirmed",
        "signup.expired",
        "signup.reject_undone",
        "signup.rejected",
        "signup.replaced",
        "signup.requested",
        "subject.created",
        "subject.merged",
        "subject.restricted",
        "subject.restriction_lifted",
        "subject.revealed",
        "suppression.recorded",
    }
)


#: What every payload says, so no payload of its own can.
_OWN_NAMES: Final = frozenset({"actor", "stream", "number", "previous", "type", "request_id"})

ActorKind = Literal["subject", "api_key", "operator", "system"]
_KINDS: Final = get_args(ActorKind)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: the person, a system by its API key, an operator, or the service itself."""

    kind: ActorKind
    id: str | None = None

    def __str__(self) -> str:
        """Write the actor as one word, such as `api_key:key_…`."""
        return self.kind if self.id is None else f"{self.kind}:{self.id}"


SUBJECT: Final = Actor("subject")
SYSTEM: Final = Actor("system")


def read_actor(text: str) -> Actor:
    """Read an actor as `str` writes it; raises ValueError."""
    kind, _, actor_id = text.partition(":")
    if kind not in _KINDS:
        raise ValueError("this is no actor")
    return Actor(cast("ActorKind", kind), actor_id or None)


def record(
    session: Session,
    *,
    type: str,  # noqa: A002 - the log's own word
    at: datetime,
    actor: Actor,
    stream: str,
    payload: Mapping[str, Any],
    subject_id: str | None = None,
    gap: Mapping[str, Any] | None = None,
) -> str:
    """Append one entry and return its id (`aud_…`).

    `stream` names what the entry is about (`purpose:newsletter`); its head is locked until commit, so a caller that
    acts on a subject takes the subject's lock first. `payload` holds JSON values without floats. `gap` is what a
    recovery says in clear (`log.recovered`).
    """
    if type not in TYPES:
        raise ValueError(f"{type} is not a documented audit type")
    if not payload.keys().isdisjoint(_OWN_NAMES):
        raise ValueError(f"the payload of {type} uses a name that every entry has")
    entry_id = identifiers.new_id("aud", at=at)
    entry_key = sealing.random_key()
    last, previous = streams.lock(session, stream=stream)
    whole = {
        **payload,
        "actor": str(actor),
        "stream": stream,
        "number": last + 1,
        "previous": previous.hex() or None,
        "type": type,
        "request_id": request_of(session),
    }
    plaintext = canonical.canonical_json(whole)
    commit = canonical.commitment(entry_key, plaintext)
    sealed_for, sealed = _seal(session, entry_key + plaintext, entry_id=entry_id, subject_id=subject_id)
    session.execute(
        insert(AuditEntry).values(
            controller_id=controller_of(session),
            id=entry_id,
            version=VERSION,
            type=type,
            occurred_at=at,
            commit=commit,
            sealed_for=sealed_for,
            sealed=sealed,
            gap=gap,
        )
    )
    session.execute(
        insert(AuditEntryAbout).values(
            controller_id=controller_of(session),
            entry_id=entry_id,
            subject_id=subject_id,
            actor=str(actor),
            purpose_id=payload.get("purpose", payload.get("purpose_id")),
            channel=payload.get("channel"),
            request_id=request_of(session),
        )
    )
    streams.move(session, stream=stream, to=streams.Head(last + 1, commit))
    return entry_id


def demand_reason(reason: str) -> None:
    """Raise InvalidInputError where somebody wants to look at personal data and does not say why."""
    if not reason.strip():
        raise InvalidInputError((FieldProblem("/reason", "missing", "Say why you need to see this."),))


def _seal(session: Session, opening: bytes, *, entry_id: str, subject_id: str | None) -> tuple[str, bytes]:
    place = {"table": "audit.entry", "column": "sealed", "row_id": entry_id}
    if subject_id is None:
        return "controller", keys.seal_for_controller(session, opening, **place)
    return "subject", keys.seal_for_subject(session, opening, subject_id=subject_id, **place)
