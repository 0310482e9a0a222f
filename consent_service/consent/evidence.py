"""What proves an act: what was shown, how it was answered, when; sealed, in parts that can be destroyed apart.

The controller must prove the individual act and not the set-up of a web site (GDPR Art. 7(1); EDPB 05/2020).
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.consent import ledger
from consent_service.consent.models import Evidence, EvidencePart
from consent_service.crypto import canonical
from consent_service.db.session import controller_of
from consent_service.errors import ConsentUnknownError
from consent_service.registry import controllers
from consent_service.registry.forms import ShownBox
from consent_service.vault import keys

TRACE_MONTHS: Final = 12
_SALT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class ActEvidence:
    """How somebody acted, as the door saw it. IP and user agent form the trace, which is kept apart and shorter.

    `acting` says who: the person, or a guardian for a child; `age_at_least` is the age in years that was declared.
    """

    method: str
    act: str
    occurred_at: datetime
    page_url: str | None = None
    ip: str | None = field(default=None, repr=False)
    user_agent: str | None = field(default=None, repr=False)
    operator: str | None = None
    reference: str | None = field(default=None, repr=False)
    rendered_by: str = "service"
    form_id: str | None = None
    form_version: int | None = None
    language: str | None = None
    signals: Mapping[str, Any] = field(default_factory=dict)
    acting: str = "subject"
    age_at_least: int | None = None

    def with_signals(self, **signals: object) -> "ActEvidence":
        """Return the same evidence with more signals noted."""
        return replace(self, signals={**self.signals, **signals})


@dataclass(frozen=True, slots=True)
class KeptEvidence:
    """Evidence that was sealed, and the SHA-256 of its statement (hex), by which the audit log commits to it."""

    evidence_id: str
    sha256: str


@dataclass(frozen=True, slots=True)
class OpenedEvidence:
    """The evidence of a declaration in clear; whoever gets this has been written into the audit log."""

    evidence_id: str
    consent_id: str
    recorded_at: datetime
    statement: Mapping[str, Any] = field(repr=False)
    trace: Mapping[str, Any] | None = field(repr=False)


def record(
    session: Session,
    *,
    subject_id: str,
    consent_id: str,
    box: ShownBox | None,
    acts: Mapping[str, ActEvidence],
    at: datetime,
) -> KeptEvidence:
    """Seal the evidence of one declaration; the caller names its hash in the act's audit entry.

    `box` is what was shown at the box, word for word, and is kept with its hash; `acts` names each act that made up
    the declaration, such as `submission` and `confirmation`. Traces are kept for twelve months, and not at all where
    the controller says so; they are not under the hash, for they go earlier.
    """
    evidence_id = identifiers.new_id("evd", at=at)
    session.execute(
        insert(Evidence).values(
            controller_id=controller_of(session),
            id=evidence_id,
            subject_id=subject_id,
            consent_id=consent_id,
            recorded_at=at,
        )
    )
    shown = None if box is None else _as_json(box)
    statement = {
        "shown": shown,
        "shown_sha256": None if shown is None else shown_sha256(shown),
        "checked_by_default": False,
        "acts": {name: _without_trace(act) for name, act in acts.items()},
        # Without it, whoever sees the hash alone could try what few things a statement may say.
        "salt": secrets.token_hex(_SALT_BYTES),
    }
    _add_part(session, evidence_id, subject_id, part="statement", content=statement, delete_after=None)
    trace = {name: _trace(act) for name, act in acts.items() if act.ip or act.user_agent}
    if trace and controllers.get(session).keeps_traces:
        until = ledger.add_months(at, TRACE_MONTHS)
        _add_part(session, evidence_id, subject_id, part="trace", content=trace, delete_after=until)
    return KeptEvidence(evidence_id, _sha256(statement))


def reveal(session: Session, *, consent_id: str, reason: str, actor: Actor, at: datetime) -> tuple[OpenedEvidence, ...]:
    """Open all evidence of a declaration, oldest first, and write down who looked and why.

    Raises InvalidInputError without a reason, ConsentUnknownError where there is none, and KeyDestroyedError after
    erasure.
    """
    trail.demand_reason(reason)
    rows = session.execute(
        select(Evidence.id, Evidence.subject_id, Evidence.recorded_at)
        .where(Evidence.controller_id == controller_of(session), Evidence.consent_id == consent_id)
        .order_by(Evidence.recorded_at, Evidence.id)
    ).all()
    if not rows:
        raise ConsentUnknownError
    opened = tuple(_open(session, consent_id, *row) for row in rows)
    subject_id = rows[0].subject_id
    trail.record(
        session,
        type="evidence.revealed",
        at=at,
        actor=actor,
        stream=f"subject:{subject_id}",
        payload={"consent": consent_id, "subject": subject_id, "reason": reason},
        subject_id=subject_id,
    )
    return opened


def shown_sha256(shown: Mapping[str, Any]) -> str:
    """Hash the canonical JSON of what was shown, in hex; whoever has the words can do the same (RFC 8785)."""
    return hashlib.sha256(canonical.canonical_json(dict(shown))).hexdigest()


def as_document(act: ActEvidence) -> dict[str, Any]:
    """Write an act as JSON values, for sealing it in a request that waits."""
    return {**asdict(act), "occurred_at": act.occurred_at.isoformat(), "signals": dict(act.signals)}


def from_document(document: Mapping[str, Any]) -> ActEvidence:
    """Read an act back from JSON values."""
    return ActEvidence(**{**document, "occurred_at": datetime.fromisoformat(document["occurred_at"])})


def _as_json(box: ShownBox) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(box).items()}


def _without_trace(act: ActEvidence) -> dict[str, Any]:
    document = as_document(act)
    del document["ip"], document["user_agent"]
    # Whole numbers have one spelling in canonical JSON, without a point.
    document["signals"] = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in act.signals.items()
    }
    return document


def _sha256(statement: Mapping[str, Any]) -> str:
    # Signals hold fractions of a second, which canonical_json refuses; Python spells such numbers as RFC 8785 does.
    text = json.dumps(statement, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _trace(act: ActEvidence) -> dict[str, str | None]:
    return {"ip": act.ip, "user_agent": act.user_agent}


def _add_part(
    session: Session,
    evidence_id: str,
    subject_id: str,
    *,
    part: str,
    content: Mapping[str, Any],
    delete_after: datetime | None,
) -> None:
    sealed = keys.seal_for_subject(
        session,
        json.dumps(content, ensure_ascii=False, sort_keys=True).encode(),
        subject_id=subject_id,
        table="evidence_part",
        column=part,
        row_id=evidence_id,
    )
    session.execute(
        insert(EvidencePart).values(
            controller_id=controller_of(session),
            evidence_id=evidence_id,
            part=part,
            sealed=sealed,
            delete_after=delete_after,
        )
    )


def _open(
    session: Session, consent_id: str, evidence_id: str, subject_id: str, recorded_at: datetime
) -> OpenedEvidence:
    rows = session.execute(
        select(EvidencePart.part, EvidencePart.sealed).where(
            EvidencePart.controller_id == controller_of(session), EvidencePart.evidence_id == evidence_id
        )
    )
    parts: dict[str, Any] = {
        row.part: json.loads(
            keys.unseal_for_subject(
                session,
                row.sealed,
                subject_id=subject_id,
                table="evidence_part",
                column=row.part,
                row_id=evidence_id,
            )
        )
        for row in rows
    }
    return OpenedEvidence(evidence_id, consent_id, recorded_at, parts.get("statement", {}), parts.get("trace"))
