"""Notices a wrong key folder before anything is sealed under it: the database keeps a fingerprint of each key."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.crypto import keyring
from consent_service.db.session import keyring_of
from consent_service.errors import KeyFolderError
from consent_service.vault.models import KeyFingerprint


def verify(session: Session) -> None:
    """Compare every key with the fingerprint that this database was made with.

    Raises KeyFolderError, which names the keys that are missing, unknown or different.
    """
    stored = {
        row.name: row.fingerprint for row in session.execute(select(KeyFingerprint.name, KeyFingerprint.fingerprint))
    }
    held = keyring.fingerprints(keyring_of(session))
    wrong = sorted(name for name in stored.keys() | held.keys() if stored.get(name) != held.get(name))
    if wrong or not stored:
        raise KeyFolderError(f"the key folder is not the one of this database; it differs in {', '.join(wrong)}")
