"""Creates, opens and destroys wrapped keys, and seals and opens values with them; no raw key leaves this room.

The chain is: root key (a file) → the controller's key (a row) → the key of one subject or of one request (a row) →
a key for one field. Destroying a subject's row makes everything sealed with it unreadable (GDPR Art. 17).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import delete, insert, select
from sqlalchemy.dialects.postgresql import insert as insert_or_leave
from sqlalchemy.orm import Session

from consent_service.crypto import blind_index, sealing, statements
from consent_service.crypto.keyring import Key
from consent_service.crypto.sealing import Context
from consent_service.crypto.statements import SigningKey
from consent_service.db.session import controller_of, keyring_of
from consent_service.errors import KeyDestroyedError, SealBrokenError
from consent_service.vault.models import ControllerKey, RequestKey, SubjectKey


@dataclass(frozen=True, slots=True)
class SealedOfSubject:
    """A value that is sealed under a person's key, and the row it belongs to."""

    row_id: str
    subject_id: str
    sealed: bytes = field(repr=False)


ControllerKeyKind = Literal["kek", "index", "suppression", "signing"]

_KINDS: Final[tuple[ControllerKeyKind, ...]] = ("kek", "index", "suppression")
_OPENED: Final = "vault_opened_controller_keys"


def create_for_controller(session: Session, *, at: datetime) -> None:
    """Create the three keys of the controller that this transaction is for."""
    root = keyring_of(session).newest("root")
    for kind in _KINDS:
        wrapped = sealing.wrap_key(root, sealing.random_key(), context=_controller_context(session, kind))
        session.execute(
            insert(ControllerKey).values(
                controller_id=controller_of(session), kind=kind, version=1, wrapped=wrapped, created_at=at
            )
        )


def ensure_for_controller(session: Session, *, at: datetime) -> None:
    """Create those of the three keys that are not there yet; two that do so at once end up with the same keys."""
    root = keyring_of(session).newest("root")
    for kind in _KINDS:
        wrapped = sealing.wrap_key(root, sealing.random_key(), context=_controller_context(session, kind))
        session.execute(
            insert_or_leave(ControllerKey)
            .values(controller_id=controller_of(session), kind=kind, version=1, wrapped=wrapped, created_at=at)
            .on_conflict_do_nothing()
        )


def ensure_signing(session: Session, *, at: datetime) -> None:
    """Create the key that signs this controller's statements, where there is none yet."""
    root = keyring_of(session).newest("root")
    wrapped = sealing.wrap_key(root, sealing.random_key(), context=_controller_context(session, "signing"))
    session.execute(
        insert_or_leave(ControllerKey)
        .values(controller_id=controller_of(session), kind="signing", version=1, wrapped=wrapped, created_at=at)
        .on_conflict_do_nothing()
    )


def open_signing(session: Session) -> SigningKey:
    """Open the newest key that signs this controller's statements; raises KeyDestroyedError where there is none."""
    return statements.open_key(_controller_key(session, "signing").secret)


def list_signing(session: Session) -> tuple[SigningKey, ...]:
    """Open every key that ever signed this controller's statements, the newest first; there may be none."""
    rows = session.execute(
        select(ControllerKey.wrapped)
        .where(ControllerKey.controller_id == controller_of(session), ControllerKey.kind == "signing")
        .order_by(ControllerKey.version.desc())
    )
    return tuple(
        statements.open_key(_unwrap_with_root(session, row.wrapped, _controller_context(session, "signing")))
        for row in rows
    )


def create_for_subject(session: Session, *, subject_id: str, at: datetime) -> None:
    """Create the key under which everything about this person is sealed."""
    wrapped = sealing.wrap_key(
        _controller_key(session, "kek"),
        sealing.random_key(),
        context=_owner_context(session, "subject_key", subject_id),
    )
    session.execute(
        insert(SubjectKey).values(
            controller_id=controller_of(session), subject_id=subject_id, wrapped=wrapped, created_at=at
        )
    )


def has_subject_key(session: Session, *, subject_id: str) -> bool:
    """Say whether anything can be sealed for this person; not after erasure."""
    return bool(
        session.scalar(
            select(SubjectKey.subject_id).where(
                SubjectKey.controller_id == controller_of(session), SubjectKey.subject_id == subject_id
            )
        )
    )


def create_for_request(session: Session, *, request_id: str, at: datetime) -> None:
    """Create the key of a request that waits; it goes when the request goes."""
    wrapped = sealing.wrap_key(
        _controller_key(session, "kek"),
        sealing.random_key(),
        context=_owner_context(session, "request_key", request_id),
    )
    session.execute(
        insert(RequestKey).values(
            controller_id=controller_of(session), request_id=request_id, wrapped=wrapped, created_at=at
        )
    )


def destroy_for_request(session: Session, *, request_id: str) -> None:
    """Destroy the key of a request, and with it what the request held."""
    session.execute(
        delete(RequestKey).where(
            RequestKey.controller_id == controller_of(session), RequestKey.request_id == request_id
        )
    )


def seal_for_controller(session: Session, plaintext: bytes, *, table: str, column: str, row_id: str) -> bytes:
    """Seal a value under the controller's key, bound to its table, column and row."""
    key = _controller_key(session, "kek")
    context = Context(controller_of(session), table, column, row_id)
    return sealing.seal(key.secret, plaintext, context=context, key_version=key.version)


def unseal_for_controller(session: Session, sealed: bytes, *, table: str, column: str, row_id: str) -> bytes:
    """Open a value of the controller; raises SealBrokenError where it does not belong there."""
    key = _controller_key(session, "kek")
    return sealing.unseal(key.secret, sealed, context=Context(controller_of(session), table, column, row_id))


def seal_for_subject(
    session: Session, plaintext: bytes, *, subject_id: str, table: str, column: str, row_id: str
) -> bytes:
    """Seal a value under the person's key; raises KeyDestroyedError when that person was erased."""
    key = _subject_key(session, subject_id)
    return sealing.seal(key, plaintext, context=Context(controller_of(session), table, column, row_id))


def unseal_for_subject(
    session: Session, sealed: bytes, *, subject_id: str, table: str, column: str, row_id: str
) -> bytes:
    """Open a value of a person; raises KeyDestroyedError after erasure and SealBrokenError where it does not fit."""
    key = _subject_key(session, subject_id)
    return sealing.unseal(key, sealed, context=Context(controller_of(session), table, column, row_id))


def unseal_many_for_subjects(
    session: Session, values: Collection[SealedOfSubject], *, table: str, column: str
) -> Mapping[str, bytes | None]:
    """Open values of many people in one look; return them by row.

    Those of erased people are left out, and one that does not belong to its row is None.
    """
    rows = session.execute(
        select(SubjectKey.subject_id, SubjectKey.wrapped).where(
            SubjectKey.controller_id == controller_of(session),
            SubjectKey.subject_id.in_({each.subject_id for each in values}),
        )
    )
    found = {
        row.subject_id: _unwrap(session, row.wrapped, table="subject_key", owner_id=row.subject_id) for row in rows
    }
    opened: dict[str, bytes | None] = {}
    for each in values:
        if each.subject_id in found:
            context = Context(controller_of(session), table, column, each.row_id)
            try:
                opened[each.row_id] = sealing.unseal(found[each.subject_id], each.sealed, context=context)
            except SealBrokenError:
                opened[each.row_id] = None
    return opened


def list_with_key(session: Session, *, subject_ids: Collection[str]) -> frozenset[str]:
    """Return those of these people who were not erased."""
    rows = session.scalars(
        select(SubjectKey.subject_id).where(
            SubjectKey.controller_id == controller_of(session), SubjectKey.subject_id.in_(subject_ids)
        )
    )
    return frozenset(rows)


def seal_for_request(
    session: Session, plaintext: bytes, *, request_id: str, table: str, column: str, row_id: str
) -> bytes:
    """Seal a value under the key of a request."""
    key = _request_key(session, request_id)
    return sealing.seal(key, plaintext, context=Context(controller_of(session), table, column, row_id))


def unseal_for_request(
    session: Session, sealed: bytes, *, request_id: str, table: str, column: str, row_id: str
) -> bytes:
    """Open a value of a request; raises KeyDestroyedError when the request is gone."""
    key = _request_key(session, request_id)
    return sealing.unseal(key, sealed, context=Context(controller_of(session), table, column, row_id))


def index(session: Session, *, kind: str, value: str) -> bytes:
    """Return the blind index of a normalised value, equal for equal values of this controller only (16 bytes)."""
    return blind_index.blind_index(_controller_key(session, "index").secret, kind=kind, value=value)


def suppression_hash(session: Session, *, kind: str, value: str) -> bytes:
    """Return the hash by which an address is remembered after its subject is gone (32 bytes)."""
    return blind_index.suppression_hash(_controller_key(session, "suppression").secret, kind=kind, value=value)


@dataclass(frozen=True, slots=True)
class AddressHashes:
    """Makes a controller's keyed hashes without a database: what a process keeps to answer checks. Shows no key."""

    _index: Key = field(repr=False)
    _suppression: Key = field(repr=False)

    def index(self, kind: str, value: str) -> bytes:
        """Return the blind index of a normalised value (16 bytes); the same as `index`."""
        return blind_index.blind_index(self._index.secret, kind=kind, value=value)

    def suppression_hash(self, kind: str, value: str) -> bytes:
        """Return the hash of the list of stops (32 bytes); the same as `suppression_hash`."""
        return blind_index.suppression_hash(self._suppression.secret, kind=kind, value=value)


def open_hashes(session: Session) -> AddressHashes:
    """Open the keys of this controller's hashes; raises KeyDestroyedError where there are none."""
    return AddressHashes(_controller_key(session, "index"), _controller_key(session, "suppression"))


def platform_hash(session: Session, *, purpose: str, value: bytes) -> bytes:
    """Return a hash that is equal across controllers, for caps that hold for the whole installation (32 bytes)."""
    return blind_index.keyed_hash(keyring_of(session).newest("caps").secret, purpose=purpose, value=value)


def request_hash(session: Session, value: bytes) -> bytes:
    """Return the keyed hash by which a repeated call or a repeated answer is recognised (32 bytes)."""
    return blind_index.keyed_hash(keyring_of(session).newest("idempotency").secret, purpose="request", value=value)


def _controller_key(session: Session, kind: ControllerKeyKind) -> Key:
    opened: dict[str, Key] = session.info.setdefault(_OPENED, {})
    if kind not in opened:
        row = session.execute(
            select(ControllerKey.version, ControllerKey.wrapped)
            .where(ControllerKey.controller_id == controller_of(session), ControllerKey.kind == kind)
            .order_by(ControllerKey.version.desc())
            .limit(1)
        ).one_or_none()
        if row is None:
            raise KeyDestroyedError(f"controller {controller_of(session)} has no {kind} key")
        secret = _unwrap_with_root(session, row.wrapped, _controller_context(session, kind))
        opened[kind] = Key(version=row.version, secret=secret)
    return opened[kind]


def _unwrap_with_root(session: Session, wrapped: bytes, context: Context) -> bytes:
    root = keyring_of(session).get("root", sealing.key_version_of(wrapped))
    return sealing.unwrap_key(root, wrapped, context=context)


def _subject_key(session: Session, subject_id: str) -> bytes:
    wrapped = session.scalar(
        select(SubjectKey.wrapped).where(
            SubjectKey.controller_id == controller_of(session), SubjectKey.subject_id == subject_id
        )
    )
    return _unwrap(session, wrapped, table="subject_key", owner_id=subject_id)


def _request_key(session: Session, request_id: str) -> bytes:
    wrapped = session.scalar(
        select(RequestKey.wrapped).where(
            RequestKey.controller_id == controller_of(session), RequestKey.request_id == request_id
        )
    )
    return _unwrap(session, wrapped, table="request_key", owner_id=request_id)


def _wrap_new(session: Session, *, table: str, owner_id: str) -> bytes:
    kek = _controller_key(session, "kek")
    return sealing.wrap_key(kek, sealing.random_key(), context=_owner_context(session, table, owner_id))


def _unwrap(session: Session, wrapped: bytes | None, *, table: str, owner_id: str) -> bytes:
    if wrapped is None:
        raise KeyDestroyedError(f"{owner_id} has no key")
    kek = _controller_key(session, "kek")
    return sealing.unwrap_key(kek, wrapped, context=_owner_context(session, table, owner_id))


def _controller_context(session: Session, kind: ControllerKeyKind) -> Context:
    return Context(controller_of(session), "vault.controller_key", "wrapped", kind)


def _owner_context(session: Session, table: str, owner_id: str) -> Context:
    return Context(controller_of(session), f"vault.{table}", "wrapped", owner_id)
