"""Answers for API keys: which system of a controller may do what; only a keyed hash of the secret is kept."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, cast

from sqlalchemy import Select, insert, select, update
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.accounts import models
from consent_service.audit import trail
from consent_service.crypto import api_secrets
from consent_service.crypto.api_secrets import Environment, ParsedApiKey
from consent_service.crypto.keyring import Keyring
from consent_service.db.session import controller_of, keyring_of
from consent_service.errors import ApiKeyInvalidError, ApiKeyUnknownError, FieldProblem, InvalidInputError

SCOPES: Final = (
    "check",
    "capture",
    "withdraw",
    "subjects:read",
    "subjects:write",
    "rights",
    "registry",
    "exports",
    "webhooks",
    "events",
    "audit:read",
)
_SYSTEM: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)
_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A controller's system and what it may do.

    `system` is the namespace of its external ids. `purposes` (keys) and `forms` (ids) limit what it may touch; None
    means no limit.
    """

    id: str
    name: str
    system: str
    environment: Environment
    scopes: tuple[str, ...]
    purposes: tuple[str, ...] | None
    forms: tuple[str, ...] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_active(self, at: datetime) -> bool:
        """Say whether the key may still be used at this time."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


@dataclass(frozen=True, slots=True)
class KnownApiKey:
    """A key with the keyed hash of its secret, as a process keeps it to tell callers apart."""

    api_key: ApiKey
    secret_hash: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CreatedApiKey:
    """A key that was just made, with its text, which is shown once and kept nowhere."""

    api_key: ApiKey
    text: str = field(repr=False)


def create(
    session: Session,
    *,
    name: str,
    system: str,
    scopes: Iterable[str],
    environment: Environment,
    purposes: Iterable[str] | None = None,
    forms: Iterable[str] | None = None,
    expires_at: datetime | None = None,
    actor: trail.Actor,
    at: datetime,
) -> CreatedApiKey:
    """Create an API key; raises InvalidInputError. Writes an audit entry without the secret."""
    api_key = ApiKey(
        id=identifiers.new_id("key", at=at),
        name=name.strip(),
        system=system,
        environment=environment,
        scopes=tuple(scopes),
        purposes=None if purposes is None else tuple(purposes),
        forms=None if forms is None else tuple(forms),
        created_at=at,
        expires_at=expires_at,
        revoked_at=None,
    )
    _demand_valid(api_key, at)
    made = api_secrets.new_api_key(
        keyring_of(session), environment=environment, controller_id=controller_of(session), key_id=api_key.id
    )
    session.execute(
        insert(models.ApiKey).values(
            controller_id=controller_of(session),
            id=api_key.id,
            name=api_key.name,
            system=system,
            environment=environment,
            scopes=list(api_key.scopes),
            purposes=None if api_key.purposes is None else list(api_key.purposes),
            forms=None if api_key.forms is None else list(api_key.forms),
            secret_hash=made.secret_hash,
            created_at=at,
            expires_at=expires_at,
        )
    )
    trail.record(
        session,
        type="api_key.created",
        at=at,
        actor=actor,
        stream=f"api_key:{api_key.id}",
        payload={"system": system, "scopes": list(api_key.scopes)},
    )
    return CreatedApiKey(api_key=api_key, text=made.text)


def authenticate(session: Session, parsed: ParsedApiKey, *, at: datetime) -> ApiKey:
    """Return the key whose text this is, in a transaction opened for the controller that the text names.

    Raises ApiKeyInvalidError, the same for an unknown, wrong, expired or revoked key.
    """
    row = session.scalar(_select(session).where(models.ApiKey.id == parsed.key_id))
    if row is None or parsed.controller_id != controller_of(session):
        raise ApiKeyInvalidError(parsed.key_id)
    return verify(KnownApiKey(_value(row), row.secret_hash), parsed, keyring=keyring_of(session), at=at)


def verify(known: KnownApiKey, parsed: ParsedApiKey, *, keyring: Keyring, at: datetime) -> ApiKey:
    """Return the known key where this is its text; raises ApiKeyInvalidError as `authenticate` does."""
    matches = api_secrets.api_secret_matches(keyring, secret=parsed.secret, stored=known.secret_hash)
    api_key = known.api_key
    if not matches or parsed.environment != api_key.environment or not api_key.is_active(at):
        raise ApiKeyInvalidError(parsed.key_id)
    return api_key


def list_known(session: Session) -> dict[str, KnownApiKey]:
    """Return every key of this controller by its id, with what proves it."""
    rows = session.scalars(_select(session).order_by(models.ApiKey.id))
    return {row.id: KnownApiKey(_value(row), row.secret_hash) for row in rows}


def revoke(session: Session, *, api_key_id: str, actor: trail.Actor, at: datetime) -> ApiKey:
    """End a key at once; ending it again changes nothing. Raises ApiKeyUnknownError. Writes an audit entry."""
    before = get(session, api_key_id=api_key_id)
    if before.revoked_at is not None:
        return before
    session.execute(
        update(models.ApiKey)
        .where(models.ApiKey.controller_id == controller_of(session), models.ApiKey.id == api_key_id)
        .values(revoked_at=at)
    )
    trail.record(session, type="api_key.revoked", at=at, actor=actor, stream=f"api_key:{api_key_id}", payload={})
    return get(session, api_key_id=api_key_id)


def get(session: Session, *, api_key_id: str) -> ApiKey:
    """Get a key by its id; raises ApiKeyUnknownError."""
    row = session.scalar(_select(session).where(models.ApiKey.id == api_key_id))
    if row is None:
        raise ApiKeyUnknownError(api_key_id)
    return _value(row)


def list_all(session: Session) -> tuple[ApiKey, ...]:
    """List the keys of this controller, ended ones included, oldest first."""
    return tuple(_value(row) for row in session.scalars(_select(session).order_by(models.ApiKey.id)))


def _demand_valid(api_key: ApiKey, at: datetime) -> None:
    problems = []
    if not 0 < len(api_key.name) <= _LONGEST_NAME or not api_key.name.isprintable():
        problems.append(FieldProblem("/name", "invalid", "A key has a name by which people know it."))
    if _SYSTEM.fullmatch(api_key.system) is None:
        problems.append(FieldProblem("/system", "invalid", "A system such as crm is expected here."))
    if not api_key.scopes:
        problems.append(FieldProblem("/scopes", "missing", "A key may do at least one thing."))
    problems += [
        FieldProblem(f"/scopes/{place}", "not_a_choice", f"Expected one of: {', '.join(SCOPES)}.")
        for place, scope in enumerate(api_key.scopes)
        if scope not in SCOPES
    ]
    if api_key.expires_at is not None and api_key.expires_at <= at:
        problems.append(FieldProblem("/expires_at", "in_the_past", "The key would have ended already."))
    if problems:
        raise InvalidInputError(tuple(problems))


def _select(session: Session) -> Select[models.ApiKey]:
    # A key may be revoked while a long transaction has it in memory: what the database says now is what counts.
    return (
        select(models.ApiKey)
        .where(models.ApiKey.controller_id == controller_of(session))
        .execution_options(populate_existing=True)
    )


def _value(row: models.ApiKey) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        system=row.system,
        environment=cast("Environment", row.environment),
        scopes=tuple(row.scopes),
        purposes=None if row.purposes is None else tuple(row.purposes),
        forms=None if row.forms is None else tuple(row.forms),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
