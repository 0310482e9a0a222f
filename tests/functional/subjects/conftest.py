"""What tests of subjects begin with: a controller with a purpose that a till reports, and a session of it."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from consent_service.db.session import Database
from consent_service.registry.forms import FormVersion
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


@pytest.fixture
def club(stage: Stage) -> FormVersion:
    """Let the till report a purpose that is not confirmed."""
    stage.purpose("club", double_opt_in=False, channels=("email", "sms"))
    return stage.form(("club", "email"), ("club", "sms"), key="till")
