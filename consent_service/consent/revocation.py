"""A source of consents proved defective: the controller recalls it, and all that it brought is no consent any more.

One row is enough for every check to say no, whatever the number; the ledger is given its entries afterwards (revoking).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Select, and_, func, insert, select
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.accounts import api_keys
from consent_service.audit import trail
from consent_service.audit.trail import Actor
from consent_service.consent import counting, reporting, sources
from consent_service.consent.counting import StandingCount
from consent_service.consent.models import LedgerEntry, Revocation
from consent_service.consent.sources import Source
from consent_service.db.session import controller_of
from consent_service.errors import FieldProblem, InvalidInputError, RevocationUnknownError
from consent_service.registry import forms
from consent_service.subjects import locks

LONGEST_REASON: Final = 500


@dataclass(frozen=True, slots=True)
class Extent:
    """What is recalled: every yes that fits all that is named here, and was recorded within the period.

    Without `recorded_until` it is all that was recorded before the recall.
    """

    source: Source
    recorded_from: datetime | None = None
    recorded_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recall:
    """A recall on record: `counted` consents stood when it came, `ended` have their entry in the ledger by now.

    `applied_at` is when all had.
    """

    id: str
    extent: Extent
    reason: str
    counted: int
    ended: int
    recorded_at: datetime
    applied_at: datetime | None

    @property
    def status(self) -> str:
        """Say whether the ledger is still being given its entries; checks say no in either case."""
        return "applying" if self.applied_at is None else "applied"


def preview(session: Session, *, extent: Extent, at: datetime) -> tuple[StandingCount, ...]:
    """Count the consents that stand now and would end, by purpose and channel; writes nothing.

    Raises InvalidInputError, FormUnknownError and ApiKeyUnknownError.
    """
    extent = _demand_valid(session, extent, at)
    return counting.count_standing(session, of=condition(extent), at=at)


def record(
    session: Session, *, extent: Extent, reason: str, actor: Actor, at: datetime
) -> tuple[Recall, tuple[StandingCount, ...]]:
    """Recall a source: from commit on every check says no for what it brought (GDPR Art. 5(2), 7(1)).

    Returns it with what it ends, counted just before. Waits for the acts that are under way, so that each is either
    covered or comes after. Raises as `preview` does, and InvalidInputError without a reason.
    """
    extent = _demand_valid(session, extent, at)
    reason = _demand_reason(reason)
    # Before the acts are held back, for it may take its time.
    ending = counting.count_standing(session, of=condition(extent), at=at)
    counted = sum(each.count for each in ending)
    locks.stop_acts(session)
    until = extent.recorded_until or _last_recorded(session, extent, at)
    revocation_id = identifiers.new_id("rvk", at=at)
    said = {
        "form_id": extent.source.form_id,
        "form_version": extent.source.form_version,
        "api_key_id": extent.source.api_key_id,
        "import_label": extent.source.import_label,
    }
    audit_id = _note(
        session,
        "revocation.recorded",
        revocation_id,
        {**said, "from": _text(extent.recorded_from), "until": _text(until), "reason": reason, "count": counted},
        actor=actor,
        at=at,
    )
    session.execute(
        insert(Revocation).values(
            controller_id=controller_of(session),
            id=revocation_id,
            recorded_from=extent.recorded_from,
            recorded_until=until,
            reason=reason,
            recorded_at=at,
            counted=counted,
            audit_entry_id=audit_id,
            **said,
        )
    )
    whole = replace(extent, recorded_until=until)
    return Recall(revocation_id, whole, reason, counted, 0, at, None), ending


def get(session: Session, *, revocation_id: str) -> Recall:
    """Return a recall and how far it has come; raises RevocationUnknownError."""
    found = _read(session, _all(session).where(Revocation.id == revocation_id))
    if not found:
        raise RevocationUnknownError(revocation_id)
    return found[0]


def list_all(session: Session) -> tuple[Recall, ...]:
    """List the recalls of the controller, oldest first."""
    return _read(session, _all(session).order_by(Revocation.id))


def condition(extent: Extent) -> ColumnElement[bool]:
    """Return the condition that selects the yeses of an extent in the ledger."""
    named = (
        (LedgerEntry.form_id, extent.source.form_id),
        (LedgerEntry.form_version, extent.source.form_version),
        (LedgerEntry.api_key_id, extent.source.api_key_id),
        (LedgerEntry.import_label, extent.source.import_label),
    )
    conditions = [column == value for column, value in named if value is not None]
    if extent.recorded_from is not None:
        conditions.append(LedgerEntry.recorded_at >= extent.recorded_from)
    if extent.recorded_until is not None:
        conditions.append(LedgerEntry.recorded_at <= extent.recorded_until)
    return and_(LedgerEntry.kind.in_(sources.YES), *conditions)


def extent_of(row: Revocation) -> Extent:
    """Return what a row recalls."""
    return Extent(
        Source(row.form_id, row.form_version, row.api_key_id, row.import_label), row.recorded_from, row.recorded_until
    )


def ledger_reason(revocation_id: str) -> str:
    """Return the reason that a recall's entries in the ledger carry."""
    return f"recalled:{revocation_id}"


def _demand_valid(session: Session, extent: Extent, at: datetime) -> Extent:
    problems = tuple(_problems(extent, at))
    if problems:
        raise InvalidInputError(problems)
    source = extent.source
    if source.form_id is not None:
        # A form has a first version from the start; one that nobody has is a mistake, and the caller is told.
        forms.get_version(session, form_id=source.form_id, number=source.form_version or 1)
    if source.api_key_id is not None:
        api_keys.get(session, api_key_id=source.api_key_id)
    if extent.recorded_until is None:
        return extent
    return replace(extent, recorded_until=min(extent.recorded_until, at))


def _problems(extent: Extent, at: datetime) -> Iterator[FieldProblem]:
    source, since, until = extent.source, extent.recorded_from, extent.recorded_until
    if source == sources.NO_SOURCE and since is None:
        yield FieldProblem("", "source_missing", "Name a form, an API key, an import, or a time from which.")
    if source.form_version is not None and source.form_id is None:
        yield FieldProblem("/form_version", "form_missing", "Name the form that this is a version of.")
    if source.import_label is not None and sources.IMPORT_LABEL.fullmatch(source.import_label) is None:
        yield FieldProblem("/import", "import_label_invalid", "A word such as crm-2026-03 is expected here.")
    if until is not None and until > at + reporting.CLOCK_TOLERANCE:
        yield FieldProblem("/recorded_until", "in_the_future", "What has not happened yet cannot be recalled.")
    if since is not None and since > min(until or at, at):
        yield FieldProblem("/recorded_from", "not_before_the_end", "The period would end before it begins.")


def _demand_reason(reason: str) -> str:
    text = reason.strip()
    if not text or len(text) > LONGEST_REASON or not text.isprintable():
        detail = f"Say in 1 to {LONGEST_REASON} characters why this source is not to be trusted."
        raise InvalidInputError((FieldProblem("/reason", "missing" if not text else "invalid", detail),))
    return text


def _last_recorded(session: Session, extent: Extent, at: datetime) -> datetime:
    """Return up to when there is something to recall: now, or what a node wrote whose clock is ahead."""
    ahead = session.scalar(
        select(func.max(LedgerEntry.recorded_at)).where(
            LedgerEntry.controller_id == controller_of(session), condition(extent), LedgerEntry.recorded_at > at
        )
    )
    return at if ahead is None else ahead


def _note(
    session: Session, type_: str, revocation_id: str, payload: Mapping[str, object], *, actor: Actor, at: datetime
) -> str:
    return trail.record(
        session,
        type=type_,
        at=at,
        actor=actor,
        stream=f"revocation:{revocation_id}",
        payload={"revocation": revocation_id, **payload},
    )


def _all(session: Session) -> Select[Revocation]:
    return select(Revocation).where(Revocation.controller_id == controller_of(session))


def _read(session: Session, query: Select[Revocation]) -> tuple[Recall, ...]:
    rows = session.scalars(query).all()
    ended = _ended(session, [ledger_reason(row.id) for row in rows])
    return tuple(
        Recall(
            id=row.id,
            extent=extent_of(row),
            reason=row.reason,
            counted=row.counted,
            ended=ended.get(ledger_reason(row.id), 0),
            recorded_at=row.recorded_at,
            applied_at=row.applied_at,
        )
        for row in rows
    )


def _ended(session: Session, reasons: list[str]) -> dict[str, int]:
    rows = session.execute(
        select(LedgerEntry.reason, func.count())
        .where(
            LedgerEntry.controller_id == controller_of(session),
            LedgerEntry.kind == "revoked",
            LedgerEntry.reason.in_(reasons),
        )
        .group_by(LedgerEntry.reason)
    )
    return {row[0]: row[1] for row in rows}


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
