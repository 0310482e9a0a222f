"""Lets no request through before the key folder is known to be the one of this database."""

from typing import Final

from flask import Flask, request

from consent_service.db.session import Database
from consent_service.vault import fingerprints

# Probes tell an operator what is wrong, so they must answer when something is.
_ALWAYS_ANSWERED: Final = frozenset({"health.live", "health.ready", "health.expose_metrics"})


_EXTENSION: Final = "consent_service_key_guard"


class KeyGuard:
    """Remembers that the keys were compared, once for the life of the process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_verified = False

    def verify(self) -> None:
        """Compare the keys; raises KeyFolderError where they differ and OperationalError without a database."""
        with self._database.platform_transaction() as session:
            fingerprints.verify(session)
        self.is_verified = True

    def refuse_unverified(self) -> None:
        """Compare before the first request that seals or opens anything, where the start could not."""
        if not self.is_verified and request.endpoint not in _ALWAYS_ANSWERED:
            self.verify()


def install(app: Flask, guard: KeyGuard) -> None:
    """Let an application answer nothing that the guard refuses."""
    app.extensions[_EXTENSION] = guard
    app.before_request(guard.refuse_unverified)


def of(app: Flask) -> KeyGuard:
    """Return the guard of an application."""
    guard: KeyGuard = app.extensions[_EXTENSION]
    return guard
