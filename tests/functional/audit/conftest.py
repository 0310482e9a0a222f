"""What tests of the log begin with: a controller whose form asks for a newsletter, by acts of their own."""

import pytest

from consent_service.db.session import Database
from consent_service.registry.forms import FormVersion
from tests.acts import Stage


@pytest.fixture
def stage(database: Database, controller: str) -> Stage:
    """Let acts be transactions of their own."""
    return Stage(database, controller)


@pytest.fixture
def form(stage: Stage) -> FormVersion:
    """Offer a newsletter that is confirmed and a club that a till reports."""
    stage.purpose("newsletter")
    stage.purpose("club", double_opt_in=False)
    return stage.form(("newsletter", "email"), ("club", "email"))
