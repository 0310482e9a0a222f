"""The only pen of the ledger: acts are added in the order in which they count, and never changed."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.consent import sources
from consent_service.consent.models import LedgerEntry
from consent_service.consent.sources import NO_SOURCE, Source
from consent_service.db.session import controller_of
from consent_service.subjects import members

Kind = Literal["given", "renewed", "refused", "withdrawn", "revoked"]

_STEP: Final = timedelta(microseconds=1)
_AUDITED: Final[dict[Kind, str]] = {
    "given": "consent.given",
    "renewed": "consent.renewed",
    "refused": "consent.refused",
    "withdrawn": "consent.withdrawn",
    "revoked": "consent.revoked",
}


@dataclass(frozen=True, slots=True)
class Series:
    """What a consent holds for: a contact point (none for `web` and `push`), a purpose and a channel of a subject.

    With a contact point, `subject_id` is the record that the point stays with, also where it was merged into another.
    """

    subject_id: str
    contact_point_id: str | None
    purpose_id: str
    channel: str


@dataclass(frozen=True, slots=True)
class Act:
    """One act to record: `occurred_at` is when it is said to have happened, `confirmed_at` when it was confirmed.

    `source` says where a yes came from; a person's own visit to the preference centre has none. `age_at_least` is the
    age in years that was declared, `by_guardian` that a guardian acted for a child (GDPR Art. 8).
    """

    kind: Kind
    consent_id: str
    legal_basis: str
    evidence_grade: str
    occurred_at: datetime
    reason: str
    notice_id: str | None = None
    language: str | None = None
    evidence_id: str | None = None
    evidence_sha256: str | None = None
    confirmed_at: datetime | None = None
    valid_for_months: int | None = None
    counts_from_report: bool = False
    source: Source = NO_SOURCE
    age_at_least: int | None = None
    by_guardian: bool = False


def append(session: Session, *, series: Series, act: Act, actor: Actor, at: datetime) -> datetime:
    """Append an act to its series and return the moment from which it counts.

    The caller holds the subject's lock. An act that happens now counts from now, or from just after the series' last
    entry where another node's clock was ahead; a yes that is reported later (`counts_from_report`) counts from when
    it happened and does not override anything newer. What the controller revokes counts from when it was recalled.
    Raises SourceRecalledError for a yes of a source that was recalled while the act was under way.
    """
    if act.kind in {"given", "renewed"}:
        asked_at = at if act.confirmed_at is None else act.occurred_at
        sources.demand_trusted(session, act.source, asked_at=asked_at)
    effective_at = act.occurred_at
    if not act.counts_from_report:
        effective_at = _next_moment(session, series, act.occurred_at if act.kind == "revoked" else at)
    entry_id = identifiers.new_id("led", at=at)
    audit_id = trail.record(
        session,
        type=_AUDITED[act.kind],
        at=at,
        actor=actor,
        stream=f"subject:{series.subject_id}",
        subject_id=series.subject_id,
        payload={
            "entry": entry_id,
            "consent": act.consent_id,
            "subject": series.subject_id,
            "contact_point": series.contact_point_id,
            "purpose": series.purpose_id,
            "channel": series.channel,
            "notice": act.notice_id,
            "evidence": act.evidence_id,
            "evidence_sha256": act.evidence_sha256,
            "legal_basis": act.legal_basis,
            "grade": act.evidence_grade,
            "effective_at": effective_at.isoformat(),
            "reason": act.reason,
            **_told(act.source),
        },
    )
    session.execute(
        insert(LedgerEntry).values(
            controller_id=controller_of(session),
            id=entry_id,
            consent_id=act.consent_id,
            subject_id=series.subject_id,
            contact_point_id=series.contact_point_id,
            purpose_id=series.purpose_id,
            channel=series.channel,
            kind=act.kind,
            legal_basis=act.legal_basis,
            notice_id=act.notice_id,
            language=act.language,
            evidence_id=act.evidence_id,
            evidence_grade=act.evidence_grade,
            occurred_at=act.occurred_at,
            confirmed_at=act.confirmed_at,
            effective_at=effective_at,
            recorded_at=at,
            expires_at=_expiry(effective_at, act.valid_for_months),
            reason=act.reason,
            actor=str(actor),
            form_id=act.source.form_id,
            form_version=act.source.form_version,
            api_key_id=act.source.api_key_id,
            import_label=act.source.import_label,
            age_at_least=act.age_at_least,
            by_guardian=act.by_guardian,
            audit_entry_id=audit_id,
        )
    )
    return effective_at


def moment_after(session: Session, *, subject_id: str, at: datetime) -> datetime:
    """Return the moment from which a stop counts that is recorded now: after every act of the person so far.

    The caller holds the subject's lock.
    """
    last = session.scalar(
        select(func.max(LedgerEntry.effective_at)).where(
            LedgerEntry.controller_id == controller_of(session),
            LedgerEntry.subject_id.in_(members.ids_of(session, subject_id)),
        )
    )
    return at if last is None else max(at, last + _STEP)


def new_consent_id(at: datetime) -> str:
    """Mint the id of a declaration when it is asked for or reported."""
    return identifiers.new_id("con", at=at)


def add_months(moment: datetime, months: int) -> datetime:
    """Return the same day of a later month, or that month's last day where there is none such."""
    years, month = divmod(moment.month - 1 + months, 12)
    day = moment.day
    while True:
        try:
            return moment.replace(year=moment.year + years, month=month + 1, day=day)
        except ValueError:
            day -= 1


def _told(source: Source) -> dict[str, str | int]:
    """Return what is known of a source, for the audit log."""
    whole = {
        "form": source.form_id,
        "form_version": source.form_version,
        "api_key": source.api_key_id,
        "import": source.import_label,
    }
    return {name: value for name, value in whole.items() if value is not None}


def _expiry(effective_at: datetime, months: int | None) -> datetime | None:
    return None if months is None else add_months(effective_at, months)


def _next_moment(session: Session, series: Series, at: datetime) -> datetime:
    point = LedgerEntry.contact_point_id
    last = session.scalar(
        select(LedgerEntry.effective_at)
        .where(
            LedgerEntry.controller_id == controller_of(session),
            LedgerEntry.subject_id == series.subject_id,
            point.is_(None) if series.contact_point_id is None else point == series.contact_point_id,
            LedgerEntry.purpose_id == series.purpose_id,
            LedgerEntry.channel == series.channel,
        )
        .order_by(LedgerEntry.effective_at.desc(), LedgerEntry.seq.desc())
        .limit(1)
    )
    before = (*_last_of_others(session, series), *([] if last is None else [last]))
    return max(at, *(moment + _STEP for moment in before)) if before else at


def _last_of_others(session: Session, series: Series) -> tuple[datetime, ...]:
    """List what an act has to come after where records were merged: each merge, and the others' acts on the matter.

    A no of one record counts against a yes of another, so the order of the two must not hang on the nodes' clocks.
    """
    others = members.joined_at(session, series.subject_id)
    if not others:
        return ()
    last = session.scalar(
        select(func.max(LedgerEntry.effective_at)).where(
            LedgerEntry.controller_id == controller_of(session),
            LedgerEntry.subject_id.in_(tuple(others)),
            LedgerEntry.purpose_id == series.purpose_id,
            LedgerEntry.channel == series.channel,
        )
    )
    return (*others.values(), *([] if last is None else [last]))
