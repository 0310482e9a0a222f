"""Finds among the yeses of the ledger those that stand, and counts them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, exists, func, or_, select, text, tuple_
from sqlalchemy.orm import Session, aliased

from consent_service.consent import sources
from consent_service.consent.models import LedgerEntry, Revocation
from consent_service.db.session import controller_of
from consent_service.registry import notices, purposes

#: How long a count may take, in milliseconds; millions are counted in some seconds.
_PATIENCE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class StandingCount:
    """How many consents to a purpose on a channel."""

    purpose: str
    channel: str
    count: int


def count_standing(session: Session, *, of: ColumnElement[bool], at: datetime) -> tuple[StandingCount, ...]:
    """Count the consents among these yeses that stand at a moment, by purpose and channel.

    What was followed by anything, has expired, was given on a superseded notice or recalled does not stand.
    """
    keys = {purpose.id: purpose.key for purpose in purposes.list_all(session)}
    query = (
        select(LedgerEntry.purpose_id, LedgerEntry.channel, func.count())
        .where(
            LedgerEntry.controller_id == controller_of(session),
            of,
            is_latest(),
            or_(LedgerEntry.expires_at.is_(None), LedgerEntry.expires_at > at),
            LedgerEntry.notice_id.not_in(_superseded(session, list(keys.values()), at)),
            ~exists().where(Revocation.controller_id == controller_of(session), sources.covers_entry()),
        )
        .group_by(LedgerEntry.purpose_id, LedgerEntry.channel)
    )
    usual = session.scalar(text("SELECT current_setting('statement_timeout')"))
    _set_patience(session, f"{_PATIENCE_MS}ms")
    rows = session.execute(query).all()
    _set_patience(session, usual)
    counted = (StandingCount(keys[purpose_id], channel, number) for purpose_id, channel, number in rows)
    return tuple(sorted(counted, key=lambda each: (each.purpose, each.channel)))


def is_latest() -> ColumnElement[bool]:
    """Return the condition that an entry is the last of its series by (effective_at, seq)."""
    later = aliased(LedgerEntry)
    return ~exists().where(
        later.controller_id == LedgerEntry.controller_id,
        later.subject_id == LedgerEntry.subject_id,
        later.purpose_id == LedgerEntry.purpose_id,
        later.channel == LedgerEntry.channel,
        later.contact_point_id.is_not_distinct_from(LedgerEntry.contact_point_id),
        tuple_(later.effective_at, later.seq) > tuple_(LedgerEntry.effective_at, LedgerEntry.seq),
    )


def _superseded(session: Session, purpose_keys: list[str], at: datetime) -> list[str]:
    """List the notice versions whose consents ended with a later one that is a material change."""
    ended = []
    for key in purpose_keys:
        versions = notices.publications(session, purpose_key=key)
        material = [
            version.number
            for version in versions
            if version.publication is not None
            and version.publication.material
            and version.publication.effective_at <= at
        ]
        ended += [version.id for version in versions if version.number < max(material, default=0)]
    return ended


def _set_patience(session: Session, value: object) -> None:
    session.execute(text("SELECT set_config('statement_timeout', :value, true)"), {"value": value})
