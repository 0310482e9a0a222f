"""What API tests begin with: a controller whose system calls, and what that system sends."""

from dataclasses import dataclass
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from consent_service.db.session import Database
from tests import builders
from tests.functional.api import contract

KARI = {"email": "kari@nordmann.example"}


@dataclass(frozen=True, slots=True)
class System:
    """A system of a controller that calls the API with its key."""

    client: FlaskClient
    key: str
    form: str = ""

    def post(self, path: str, body: object = None, **headers: str) -> TestResponse:
        """Send a JSON body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return contract.demand(
            self.client.post(path, json=body, headers={"Authorization": f"Bearer {self.key}", **named})
        )

    def get(self, path: str, **headers: str) -> TestResponse:
        """Ask for something."""
        return contract.demand(self.client.get(path, headers={"Authorization": f"Bearer {self.key}", **headers}))

    def report(self, *, purpose: str = "survey", granted: bool = True, **changes: object) -> dict[str, Any]:
        """Return the report of an act on the form, at a till."""
        return {
            "subject": KARI,
            "form": self.form,
            "language": "nb",
            "decisions": [{"purpose": purpose, "channel": "email", "granted": granted}],
            "evidence": {
                "method": "web_form",
                "act": "button_pressed",
                "occurred_at": "2026-03-03T12:00:00Z",
                "page_url": "https://nordlys.example/signup",
            },
            **changes,
        }

    def check(
        self, *, purpose: str = "survey", subject: dict[str, Any] | None = None, **more: object
    ) -> dict[str, Any]:
        """Return the answer to a check."""
        body = {"subject": subject or KARI, "purpose": purpose, "channel": "email", **more}
        decision: dict[str, Any] = self.post("/v1/checks", body).get_json()
        return decision


@pytest.fixture
def system(client: FlaskClient, database: Database, controller: str) -> System:
    """Connect a system of a controller with a newsletter (double opt-in) and a survey (single opt-in)."""
    with database.transaction(controller) as session:
        builders.a_published_purpose(session)
        builders.a_published_purpose(session, key="survey", double_opt_in=False)
        form = builders.a_form(session, offers=[("newsletter", "email"), ("survey", "email")])
        key = builders.an_api_key(session)
    return System(client, key, form.form_id)


@pytest.fixture
def other_system(client: FlaskClient, database: Database, other_controller: str) -> System:
    """Connect a system of another controller."""
    with database.transaction(other_controller) as session:
        builders.a_published_purpose(session, key="survey", double_opt_in=False)
        form = builders.a_form(session, offers=[("survey", "email")])
        key = builders.an_api_key(session)
    return System(client, key, form.form_id)


def key_with(database: Database, controller: str, *scopes: str) -> str:
    """Make a key with these scopes."""
    with database.transaction(controller) as session:
        return builders.an_api_key(session, scopes=scopes, system="till")
