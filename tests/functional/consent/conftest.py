"""What tests of consent begin with: a controller with two purposes that ask by e-mail, and a form that offers them."""

import pytest

from consent_service.accounts import api_keys
from consent_service.db.session import Database
from consent_service.registry.forms import FormVersion
from tests import builders
from tests.acts import Stage
from tests.conftest import NORDLYS, Cluster

NEWS = ("newsletter", "email")
OFFERS = ("offers", "email")
TEXTS = ("newsletter", "sms")
CLUB = ("club", "email")
PURPOSES = "consent: purposes"


@pytest.fixture
def controller(known_controller: str) -> str:
    """Return the controller in whose world most of these tests begin."""
    return known_controller


@pytest.fixture
def stage(cluster: Cluster, database: Database, controller: str) -> Stage:
    """Let the purposes `newsletter` (e-mail, SMS) and `offers` (e-mail) demand double opt-in."""
    stage = Stage(database, controller)

    def build() -> None:
        stage.purpose("newsletter", channels=("email", "sms"))
        stage.purpose("offers")

    cluster.world(PURPOSES, build, on=NORDLYS)
    return stage


@pytest.fixture
def form(cluster: Cluster, stage: Stage) -> FormVersion:
    """Offer all of it on one form."""
    return cluster.world("consent: a form", lambda: stage.form(NEWS, OFFERS, TEXTS), on=PURPOSES)


@pytest.fixture
def club(cluster: Cluster, stage: Stage) -> FormVersion:
    """Let systems report a purpose without double opt-in, and the newsletter with it."""

    def build() -> FormVersion:
        stage.purpose("club", double_opt_in=False, channels=("email", "web"))
        return stage.form(CLUB, ("club", "web"), NEWS, key="till")

    return cluster.world("consent: a till", build, on=PURPOSES)


@pytest.fixture
def leaked(stage: Stage) -> str:
    """Return the id of a key that somebody got hold of."""
    with stage.act() as session:
        builders.an_api_key(session, system="leaky")
        return api_keys.list_all(session)[0].id
