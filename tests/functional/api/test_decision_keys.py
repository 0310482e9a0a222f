"""Whoever is shown a statement can verify it with what the service publishes, and without an API key."""

import dataclasses
from datetime import timedelta

from flask.testing import FlaskClient

from consent_service.audit import trail
from consent_service.consent import statements
from consent_service.consent.statements import Stated
from consent_service.db.session import Database
from consent_service.registry import controllers
from consent_service.vault import keys
from tests.builders import NOON
from tests.functional.api import contract
from tests.unit.crypto.test_statements import verify

PATH = "/.well-known/consent-decision-keys"


def turn_on(database: Database, controller: str) -> str:
    with database.transaction(controller) as session:
        on = dataclasses.replace(controllers.get(session), signs_decisions=True)
        return controllers.change_settings(session, changed=on, actor=trail.SYSTEM, at=NOON).key


class TestKeys:
    def test_a_statement_is_verified_by_anybody(self, client: FlaskClient, database: Database, controller: str) -> None:
        controller_key = turn_on(database, controller)
        with database.transaction(controller) as session:
            key = keys.open_signing(session)
        stated = Stated(
            decision_id="dec_1",
            evaluated_at=NOON,
            allowed=False,
            status="withdrawn",
            reason="consent_withdrawn",
            purpose="newsletter",
            channel="email",
            legal_basis=None,
            subject_id="sub_1",
            consent_id="con_1",
            notice_version=1,
            valid_until=None,
            as_of=NOON - timedelta(days=1),
        )
        statement = statements.sign(key, stated, issuer="http://127.0.0.1:8000", controller_key=controller_key)

        published = contract.demand(client.get(f"{PATH}/{controller_key}"))

        [jwk] = published.get_json()["keys"]
        assert published.headers["Cache-Control"] == "public, max-age=300"
        assert verify(statement, jwk)["reason"] == "consent_withdrawn"

    def test_one_that_does_not_sign_publishes_none(self, client: FlaskClient, controller: str) -> None:
        del controller

        assert contract.demand(client.get(f"{PATH}/nordlys")).get_json() == {"keys": []}

    def test_controllers_have_keys_of_their_own(
        self, client: FlaskClient, database: Database, controller: str, other_controller: str
    ) -> None:
        first, second = turn_on(database, controller), turn_on(database, other_controller)

        published = [client.get(f"{PATH}/{key}").get_json()["keys"][0]["kid"] for key in (first, second)]

        assert len(set(published)) == 2

    def test_an_unknown_controller_is_not_found(self, client: FlaskClient) -> None:
        assert contract.demand(client.get(f"{PATH}/nobody")).status_code == 404
