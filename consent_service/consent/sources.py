"""Where a yes came from: the form, the API key that reported it, the import that brought it; and whether to trust it.

A recall waits for the acts that are under way and holds back the next ones while it commits, so every yes of its source
is either there when it counts or refused: nothing it covers is written after it.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, SQLColumnExpression, and_, func, or_, select
from sqlalchemy.orm import Session

from consent_service.audit.trail import Actor
from consent_service.consent.models import LedgerEntry, Revocation
from consent_service.db.session import controller_of
from consent_service.errors import SourceRecalledError
from consent_service.subjects import locks

#: The kinds of entry that say yes.
YES: Final = ("given", "renewed")
#: A word for one import, such as `crm-2026-03`.
IMPORT_LABEL: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a yes came from, as far as that is known; what a recall looks for.

    `api_key_id` is the key whose report it rests on, also where the person confirmed it later; `import_label` is what
    that system calls the import.
    """

    form_id: str | None = None
    form_version: int | None = None
    api_key_id: str | None = None
    import_label: str | None = None


#: Of a person's own visit to the preference centre.
NO_SOURCE: Final = Source()


def key_of(actor: Actor) -> str | None:
    """Return the API key that acts, or None where somebody else does."""
    return actor.id if actor.kind == "api_key" else None


def demand_trusted(session: Session, source: Source, *, asked_at: datetime) -> None:
    """Let a recall wait for this act, or wait for the recall; raises SourceRecalledError where it covers the act.

    `asked_at` is when the yes was reported, or when what the person confirms now was asked for. The caller holds the
    locks of addresses and subject.
    """
    locks.join_acts(session)
    if is_recalled(session, source, asked_at=asked_at):
        raise SourceRecalledError


def is_recalled(session: Session, source: Source, *, asked_at: datetime) -> bool:
    """Say whether what this source brought, or asked for, at a moment was recalled since."""
    covers = (
        _is_open_or(Revocation.form_id, Revocation.form_id == source.form_id),
        _is_open_or(Revocation.form_version, Revocation.form_version == source.form_version),
        _is_open_or(Revocation.api_key_id, Revocation.api_key_id == source.api_key_id),
        _is_open_or(Revocation.import_label, Revocation.import_label == source.import_label),
        _is_open_or(Revocation.recorded_from, Revocation.recorded_from <= asked_at),
        Revocation.recorded_until >= asked_at,
    )
    found = session.scalar(select(Revocation.id).where(Revocation.controller_id == controller_of(session), *covers))
    return found is not None


def recalled_at(session: Session, *, entry_id: str, until: datetime | None = None) -> datetime | None:
    """Return since when the source of a yes is recalled, or None; `until` leaves out what was recalled later."""
    query = select(func.min(Revocation.recorded_at)).where(
        Revocation.controller_id == controller_of(session), LedgerEntry.id == entry_id, covers_entry()
    )
    return session.scalar(query if until is None else query.where(Revocation.recorded_at <= until))


def covers_entry() -> ColumnElement[bool]:
    """Return the condition that a row of `revocation` covers a row of `ledger_entry`, which it joins."""
    return and_(
        LedgerEntry.controller_id == Revocation.controller_id,
        LedgerEntry.kind.in_(YES),
        _is_open_or(Revocation.form_id, Revocation.form_id == LedgerEntry.form_id),
        _is_open_or(Revocation.form_version, Revocation.form_version == LedgerEntry.form_version),
        _is_open_or(Revocation.api_key_id, Revocation.api_key_id == LedgerEntry.api_key_id),
        _is_open_or(Revocation.import_label, Revocation.import_label == LedgerEntry.import_label),
        _is_open_or(Revocation.recorded_from, Revocation.recorded_from <= LedgerEntry.recorded_at),
        Revocation.recorded_until >= LedgerEntry.recorded_at,
    )


def _is_open_or(column: SQLColumnExpression[Any], matches: ColumnElement[bool]) -> ColumnElement[bool]:
    return or_(column.is_(None), matches)
