"""What tests of consent begin with: a controller with two purposes that ask by e-mail, and a form that offers them."""

import pytest

from consent_service.db.session import Database
from consent_service.registry.forms import FormVersion
from tests.acts import Stage

NEWS = ("newsletter", "email")
OFFERS = ("offers", "email")
TEXTS = ("newsletter", "sms")


@pytest.fixture
def stage(database: Database, controller: str) -> Stage:
    """Let the purposes `newsletter` (e-mail, SMS) and `offers` (e-mail) demand double opt-in."""
    stage = Stage(database, controller)
    stage.purpose("newsletter", channels=("email", "sms"))
    stage.purpose("offers")
    return stage


@pytest.fixture
def form(stage: Stage) -> FormVersion:
    """Offer all of it on one form."""
    return stage.form(NEWS, OFFERS, TEXTS)
