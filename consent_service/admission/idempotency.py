"""What was answered to a call that carried an idempotency key, so that a repeated call has one effect."""

import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, delete, func, select
from sqlalchemy.orm import Session

from consent_service.admission.models import IdempotencyRecord
from consent_service.admission.sweeping import delete_some
from consent_service.db.session import controller_of
from consent_service.errors import IdempotencyInFlightError, IdempotencyMismatchError

KEPT_FOR: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The answer that the first call got: the HTTP status, and the body as the door sealed it."""

    status: int
    sealed: bytes = field(repr=False)


def begin(
    session: Session, *, api_key_id: str, scope: str, key_hash: bytes, body_hash: bytes, at: datetime
) -> StoredAnswer | None:
    """Return what an equal call was answered, or None where this is the first one.

    A key counts per API key and `scope` (method and path), and for 30 days. Key and body come as keyed hashes, for
    callers put addresses in both. Raises IdempotencyInFlightError while an equal call is still running, and
    IdempotencyMismatchError where the key was used with another body. Holds the key until the end of the transaction
    (draft-ietf-httpapi-idempotency-key-header).
    """
    name = f"{controller_of(session)} {api_key_id} {scope} {key_hash.hex()}"
    if not session.scalar(select(func.pg_try_advisory_xact_lock(func.hashtextextended(name, 0)))):
        raise IdempotencyInFlightError("a call with this key is still running")
    record = session.execute(
        select(IdempotencyRecord.body_hash, IdempotencyRecord.status, IdempotencyRecord.sealed).where(
            _is_call(session, api_key_id, scope, key_hash), IdempotencyRecord.created_at > at - KEPT_FOR
        )
    ).one_or_none()
    if record is None:
        return None
    if not hmac.compare_digest(record.body_hash, body_hash):
        raise IdempotencyMismatchError("this key was used with another body")
    return StoredAnswer(status=record.status, sealed=record.sealed)


def store(
    session: Session,
    *,
    api_key_id: str,
    scope: str,
    key_hash: bytes,
    body_hash: bytes,
    status: int,
    sealed: bytes,
    at: datetime,
) -> None:
    """Keep the answer of a call that `begin` let through, in the transaction of its effects."""
    # One that ended but was not swept yet still holds the key.
    session.execute(delete(IdempotencyRecord).where(_is_call(session, api_key_id, scope, key_hash)))
    session.add(
        IdempotencyRecord(
            controller_id=controller_of(session),
            api_key_id=api_key_id,
            scope=scope,
            key_hash=key_hash,
            body_hash=body_hash,
            status=status,
            sealed=sealed,
            created_at=at,
        )
    )
    session.flush()


def purge(session: Session, *, at: datetime, limit: int) -> int:
    """Forget up to `limit` answers that are older than 30 days; return how many."""
    return delete_some(session, IdempotencyRecord, IdempotencyRecord.created_at <= at - KEPT_FOR, limit=limit)


def _is_call(session: Session, api_key_id: str, scope: str, key_hash: bytes) -> ColumnElement[bool]:
    return and_(
        IdempotencyRecord.controller_id == controller_of(session),
        IdempotencyRecord.api_key_id == api_key_id,
        IdempotencyRecord.scope == scope,
        IdempotencyRecord.key_hash == key_hash,
    )
