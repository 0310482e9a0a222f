"""Builders of what tests begin with; each call says only what matters to the test.

`controller`-like builders take a Database and commit; the others take the session of the caller.
"""

import secrets
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import insert

from consent_service import identifiers
from consent_service.db.session import Database
from consent_service.registry.models import Controller, ControllerDirectory
from consent_service.vault import keys

#: The moment at which tests happen, unless they say otherwise: a Monday in winter time.
NOON: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def a_controller(database: Database, *, key: str = "nordlys", at: datetime = NOON) -> str:
    """Create a controller with its keys and return its id."""
    controller_id = identifiers.new_id("ctl", at=at)
    with database.transaction(controller_id) as session:
        session.execute(
            insert(ControllerDirectory).values(controller_id=controller_id, key=key, tag=secrets.randbits(31))
        )
        session.execute(
            insert(Controller).values(
                controller_id=controller_id,
                legal_name=f"{key.capitalize()} AS",
                display_name=key.capitalize(),
                organisation_number="999 999 999",
                postal_address="Storgata 1, 0001 Oslo",
                privacy_contact=f"personvern@{key}.example",
                phone=None,
                country="NO",
                timezone="Europe/Oslo",
                decision_lifetime_seconds=4 * 3600,
                keeps_traces=True,
                created_at=at,
            )
        )
        keys.create_for_controller(session, at=at)
    return controller_id


def make_noise(database: Database) -> str:
    """Create the controller whose rows must never show up in a test that does not ask for them."""
    return a_controller(database, key="noise")
