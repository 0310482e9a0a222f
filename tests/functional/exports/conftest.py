"""What tests of exports begin with: a controller by acts of its own."""

import pytest

from consent_service.db.session import Database
from tests.acts import Stage


@pytest.fixture
def stage(database: Database, controller: str) -> Stage:
    """Let acts be transactions of their own."""
    return Stage(database, controller)
