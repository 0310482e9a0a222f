"""What tests of rights begin with: a controller by acts of its own, and the keeper of its log."""

import pytest

from consent_service.db.session import Database
from tests.acts import Stage
from tests.audit_logs import LogKeeper


@pytest.fixture
def stage(database: Database, controller: str) -> Stage:
    """Let acts be transactions of their own."""
    return Stage(database, controller)


@pytest.fixture
def keeper(sequencer_database: Database, controller: str) -> LogKeeper:
    """Keep the log of the controller."""
    return LogKeeper(sequencer_database, controller)
