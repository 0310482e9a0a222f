"""What tests of the vault begin with: a session of one controller."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from consent_service.db.session import Database
from tests.acts import Stage


@pytest.fixture
def session(database: Database, controller: str) -> Iterator[Session]:
    """Open a transaction of the controller."""
    with database.transaction(controller) as session:
        yield session


@pytest.fixture
def stage(database: Database, controller: str) -> Stage:
    """Let acts be transactions of their own."""
    return Stage(database, controller)
