"""The same database as the outbox: what limits repetition is asked in the same transactions."""

from tests.functional.delivery.conftest import app, cluster, connect, keyring, worker

__all__ = ["app", "cluster", "connect", "keyring", "worker"]
