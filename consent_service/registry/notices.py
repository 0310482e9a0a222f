"""Answers for notice versions: drafted, published, in force; never changed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Row, Select, and_, func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.db.session import controller_of
from consent_service.errors import (
    AlreadyPublishedError,
    FieldProblem,
    InvalidInputError,
    NewerNoticePublishedError,
    NoticeIncompleteError,
    NoticeUnknownError,
)
from consent_service.registry import controllers, locks, models, notice_content, purposes, recipients, terms
from consent_service.registry.notice_content import ChannelText, NoticeContent, NoticeText

__all__ = [
    "ChannelText",
    "NoticeContent",
    "NoticeText",
    "NoticeVersion",
    "Publication",
    "current",
    "current_of_all",
    "draft",
    "find_last",
    "get",
    "get_number",
    "list_versions",
    "publications",
    "publish",
]


@dataclass(frozen=True, slots=True)
class Publication:
    """The act that puts a notice version in force: whether people must consent anew, why not, and from when."""

    material: bool
    reason: str
    published_at: datetime
    effective_at: datetime


@dataclass(frozen=True, slots=True)
class NoticeVersion:
    """One edition of what the person is told about a purpose; without a publication it is a draft."""

    id: str
    purpose_id: str
    purpose_key: str
    number: int
    content: NoticeContent
    created_at: datetime
    publication: Publication | None

    @property
    def content_sha256(self) -> bytes:
        """Return the hash by which evidence says what was told."""
        return notice_content.sha256(self.content)


def draft(
    session: Session, *, purpose_key: str, content: NoticeContent, actor: trail.Actor, at: datetime
) -> NoticeVersion:
    """Add the next version of a purpose's notice, which may still lack texts.

    Raises PurposeUnknownError, and InvalidInputError for a content that could not be read back. Writes an audit entry.
    """
    content = notice_content.parse(notice_content.serialise(content))
    purpose = purposes.get(session, key=purpose_key)
    locks.hold(session, name=purpose.id)
    version = NoticeVersion(
        id=identifiers.new_id("ntc", at=at),
        purpose_id=purpose.id,
        purpose_key=purpose_key,
        number=_last_number(session, purpose.id) + 1,
        content=content,
        created_at=at,
        publication=None,
    )
    session.execute(
        insert(models.NoticeVersion).values(
            controller_id=controller_of(session),
            id=version.id,
            purpose_id=purpose.id,
            number=version.number,
            content=notice_content.serialise(content),
            created_at=at,
        )
    )
    trail.record(
        session,
        type="notice.drafted",
        at=at,
        actor=actor,
        stream=f"purpose:{purpose_key}",
        payload={
            "purpose_id": purpose.id,
            "notice_id": version.id,
            "notice_version": version.number,
            "content_sha256": version.content_sha256.hex(),
        },
    )
    return version


def publish(
    session: Session,
    *,
    purpose_key: str,
    number: int,
    material: bool,
    reason: str = "",
    effective_at: datetime | None = None,
    actor: trail.Actor,
    at: datetime,
) -> NoticeVersion:
    """Put a version in force from `effective_at` on, now when it is left out; a material one asks for new consent.

    Raises NoticeIncompleteError with all that is missing (CAP-06), InvalidInputError where the decision itself is
    incomplete, AlreadyPublishedError, and NewerNoticePublishedError where a later version was published before.
    Writes an audit entry.
    """
    purpose = purposes.get(session, key=purpose_key)
    locks.hold(session, name=purpose.id)
    version = get_number(session, purpose_key=purpose_key, number=number)
    publication = Publication(
        material=material, reason=reason.strip(), published_at=at, effective_at=effective_at or at
    )
    _demand_next(version, publications(session, purpose_key=purpose_key), publication)
    _demand_complete(session, version.content)
    session.execute(
        insert(models.NoticePublication).values(
            controller_id=controller_of(session),
            notice_id=version.id,
            purpose_id=purpose.id,
            number=number,
            material=material,
            reason=publication.reason,
            published_at=at,
            effective_at=publication.effective_at,
        )
    )
    trail.record(
        session,
        type="notice.published",
        at=at,
        actor=actor,
        stream=f"purpose:{purpose_key}",
        payload={
            "purpose_id": purpose.id,
            "notice_id": version.id,
            "notice_version": number,
            "material": material,
            "reason": publication.reason,
            "effective_at": publication.effective_at.isoformat(),
            "content_sha256": version.content_sha256.hex(),
        },
    )
    return replace(version, publication=publication)


def current(session: Session, *, purpose_key: str, at: datetime) -> NoticeVersion | None:
    """Find the version that is in force at a time, or None while nothing was published."""
    return current_of_all(session, purpose_keys=(purpose_key,), at=at).get(purpose_key)


def current_of_all(session: Session, *, purpose_keys: Iterable[str], at: datetime) -> dict[str, NoticeVersion]:
    """Find the versions in force of several purposes; a purpose without one is left out."""
    rows = session.execute(
        _versions(session)
        .where(models.Purpose.key.in_(tuple(purpose_keys)), models.NoticePublication.effective_at <= at)
        .ext(distinct_on(models.Purpose.key))
        .order_by(models.Purpose.key, models.NoticePublication.effective_at.desc(), models.NoticeVersion.number.desc())
    )
    return {version.purpose_key: version for version in map(_value, rows)}


def get(session: Session, *, notice_id: str) -> NoticeVersion:
    """Get a version by its id; raises NoticeUnknownError."""
    row = session.execute(_versions(session).where(models.NoticeVersion.id == notice_id)).one_or_none()
    if row is None:
        raise NoticeUnknownError
    return _value(row)


def get_number(session: Session, *, purpose_key: str, number: int) -> NoticeVersion:
    """Get a version by its number; raises PurposeUnknownError or NoticeUnknownError."""
    purpose = purposes.get(session, key=purpose_key)
    row = session.execute(
        _versions(session).where(models.NoticeVersion.purpose_id == purpose.id, models.NoticeVersion.number == number)
    ).one_or_none()
    if row is None:
        raise NoticeUnknownError
    return _value(row)


def list_versions(session: Session, *, purpose_key: str) -> tuple[NoticeVersion, ...]:
    """List all versions of a purpose's notice, drafts included, oldest first; raises PurposeUnknownError."""
    purpose = purposes.get(session, key=purpose_key)
    rows = session.execute(
        _versions(session).where(models.NoticeVersion.purpose_id == purpose.id).order_by(models.NoticeVersion.number)
    )
    return tuple(_value(row) for row in rows)


def find_last(session: Session, *, purpose_key: str) -> NoticeVersion | None:
    """Find the version with the highest number, draft or not."""
    versions = list_versions(session, purpose_key=purpose_key)
    return versions[-1] if versions else None


def publications(session: Session, *, purpose_key: str) -> tuple[NoticeVersion, ...]:
    """List the published versions of a purpose's notice, oldest first; raises PurposeUnknownError."""
    versions = list_versions(session, purpose_key=purpose_key)
    return tuple(version for version in versions if version.publication is not None)


def numbers_of(session: Session, *, notice_ids: Iterable[str]) -> dict[str, int]:
    """Return the version numbers of notices by their ids."""
    rows = session.execute(
        select(models.NoticeVersion.id, models.NoticeVersion.number).where(
            models.NoticeVersion.controller_id == controller_of(session),
            models.NoticeVersion.id.in_(tuple(notice_ids)),
        )
    )
    return {row.id: row.number for row in rows}


def first_material_after(session: Session, *, purpose_id: str, number: int, at: datetime) -> int | None:
    """Return the first version after `number` that was published as a material change and is in effect, or None."""
    return session.scalar(
        select(models.NoticePublication.number)
        .where(
            models.NoticePublication.controller_id == controller_of(session),
            models.NoticePublication.purpose_id == purpose_id,
            models.NoticePublication.number > number,
            models.NoticePublication.material.is_(True),
            models.NoticePublication.effective_at <= at,
        )
        .order_by(models.NoticePublication.number)
        .limit(1)
    )


def _demand_next(version: NoticeVersion, published: tuple[NoticeVersion, ...], publication: Publication) -> None:
    if version.publication is not None:
        raise AlreadyPublishedError(f"notice {version.id}")
    problems = list(terms.publication_problems(material=publication.material, reason=publication.reason))
    if publication.effective_at < publication.published_at:
        problems.append(
            FieldProblem("/effective_at", "in_the_past", "Nobody can have been told before it was published.")
        )
    if published:
        last = published[-1]
        if last.number > version.number:
            raise NewerNoticePublishedError(f"notice {last.id}")
        if last.publication is not None and publication.effective_at < last.publication.effective_at:
            # The older version would come into force after the newer one and replace it.
            problems.append(
                FieldProblem("/effective_at", "before_earlier_version", "An earlier version takes effect later.")
            )
    if problems:
        raise InvalidInputError(tuple(problems))


def _demand_complete(session: Session, content: NoticeContent) -> None:
    controller = controllers.get(session)
    gaps = terms.notice_gaps(
        content,
        controller_name=controller.legal_name,
        controller_contact=controller.privacy_contact,
        known_recipients=[recipient.key for recipient in recipients.list_all(session, keys=content.recipients)],
    )
    if gaps:
        raise NoticeIncompleteError(gaps)


def _last_number(session: Session, purpose_id: str) -> int:
    number = session.scalar(
        select(func.max(models.NoticeVersion.number)).where(
            models.NoticeVersion.controller_id == controller_of(session),
            models.NoticeVersion.purpose_id == purpose_id,
        )
    )
    return number or 0


def _versions(
    session: Session,
) -> Select[models.NoticeVersion, str, models.NoticePublication]:
    version, purpose, publication = models.NoticeVersion, models.Purpose, models.NoticePublication
    return (
        select(version, purpose.key, publication)
        .join(purpose, and_(purpose.controller_id == version.controller_id, purpose.id == version.purpose_id))
        .outerjoin(
            publication,
            and_(publication.controller_id == version.controller_id, publication.notice_id == version.id),
        )
        .where(version.controller_id == controller_of(session))
    )


def _value(row: Row[models.NoticeVersion, str, models.NoticePublication]) -> NoticeVersion:
    version, purpose_key = row[0], row[1]
    publication: models.NoticePublication | None = row[2]  # An outer join: a draft has none.
    return NoticeVersion(
        id=version.id,
        purpose_id=version.purpose_id,
        purpose_key=purpose_key,
        number=version.number,
        content=notice_content.parse(version.content),
        created_at=version.created_at,
        publication=None
        if publication is None
        else Publication(
            material=publication.material,
            reason=publication.reason,
            published_at=publication.published_at,
            effective_at=publication.effective_at,
        ),
    )
