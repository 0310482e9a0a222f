"""Answers for the registry as a whole: what every check asks, in a form that a process can keep while it stands."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.db.session import controller_of
from consent_service.registry import models


@dataclass(frozen=True, slots=True)
class PublishedNotice:
    """What a check needs of a published notice version."""

    id: str
    purpose_id: str
    number: int
    channels: frozenset[str]
    recipients: tuple[str, ...]
    material: bool
    published_at: datetime
    effective_at: datetime


def version(session: Session) -> uuid.UUID | None:
    """Return the version of what the registry says now; another one means that something was changed.

    Whoever keeps a copy reads this first, and the rest after it in the same transaction: a copy may then be newer than
    its version, and is read again, but never older.
    """
    return session.scalar(
        select(models.RegistryVersion.version).where(models.RegistryVersion.controller_id == controller_of(session))
    )


def list_published(session: Session) -> tuple[PublishedNotice, ...]:
    """List the published notice versions of all purposes, by number."""
    rows = session.execute(
        select(models.NoticeVersion, models.NoticePublication)
        .join(
            models.NoticePublication,
            (models.NoticePublication.controller_id == models.NoticeVersion.controller_id)
            & (models.NoticePublication.notice_id == models.NoticeVersion.id),
        )
        .where(models.NoticeVersion.controller_id == controller_of(session))
        .order_by(models.NoticeVersion.purpose_id, models.NoticeVersion.number)
    )
    return tuple(
        PublishedNotice(
            id=notice.id,
            purpose_id=notice.purpose_id,
            number=notice.number,
            channels=frozenset(notice.content.get("channels", ())),
            recipients=tuple(notice.content.get("recipients", ())),
            material=publication.material,
            published_at=publication.published_at,
            effective_at=publication.effective_at,
        )
        for notice, publication in rows
    )
