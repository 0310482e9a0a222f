"""What every promise is tried in."""

import pytest
import time_machine
from flask.testing import FlaskClient

from consent_service.config import Settings
from consent_service.db.session import Database
from tests.promises.world import Company, World
from tests.smtp_sink import SmtpSink


@pytest.fixture
def world(
    client: FlaskClient,
    database: Database,
    worker_database: Database,
    settings: Settings,
    smtp_sink: SmtpSink,
    clock: time_machine.Traveller,
) -> World:
    """Return the running service and what stands around it."""
    return World(client, database, worker_database, settings, smtp_sink, clock)


@pytest.fixture
def company(world: World) -> Company:
    """Return a controller with a form."""
    return world.a_company()
