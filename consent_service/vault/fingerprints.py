"""Notices a wrong key folder before anything is sealed under it: the database keeps a fingerprint of each key."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.crypto import keyring
from consent_service.crypto.keyring import Keyring
from consent_service.db.session import keyring_of
from consent_service.errors import KeyFolderError
from consent_service.vault.models import KeyFingerprint


def verify(session: Session) -> None:
    """Compare every key but the log's with the fingerprint that this database was made with.

    Raises KeyFolderError, which names the keys that are missing, unknown or different.
    """
    _compare(_stored(session, is_log=False), keyring_of(session))


def verify_log(session: Session, keys: Keyring) -> None:
    """Compare the key that signs the audit log with its fingerprint; raises KeyFolderError where they differ."""
    _compare(_stored(session, is_log=True), keys)


def _stored(session: Session, *, is_log: bool) -> dict[str, str]:
    rows = session.execute(select(KeyFingerprint.name, KeyFingerprint.fingerprint))
    return {row.name: row.fingerprint for row in rows if keyring.is_of_log(row.name) == is_log}


def _compare(stored: Mapping[str, str], keys: Keyring) -> None:
    held = keyring.fingerprints(keys)
    wrong = sorted(name for name in stored.keys() | held.keys() if stored.get(name) != held.get(name))
    if wrong or not stored:
        raise KeyFolderError(f"the key folder is not the one of this database; it differs in {', '.join(wrong)}")
