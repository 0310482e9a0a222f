"""Only a key with the scope gets in, and only to what is its controller's."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from consent_service.db.session import Database
from consent_service.web import access
from tests.functional.api.conftest import System, key_with


def routes(app: Flask) -> list[tuple[str, str, str]]:
    return [
        (method, rule.replace("<id(sub):subject_id>", "sub_00000000000000000000000000"), who.removeprefix("scope:"))
        for method, rule, who in access.list_callers(app)
        if who is not None and who.startswith("scope:")
    ]


class TestAccess:
    def test_without_a_key_nothing_opens(self, client: FlaskClient, app: Flask) -> None:
        for method, rule, _ in routes(app):
            answer = client.open(rule, method=method)

            assert answer.status_code in {401, 404}, rule
            assert answer.mimetype == "application/problem+json"

    def test_a_caller_without_a_key_is_told_how_to_send_one(self, client: FlaskClient) -> None:
        answer = client.post("/v1/checks", json={})

        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.json is not None
        assert answer.json["code"] == "authentication_required"

    @pytest.mark.parametrize("text", ["cs_live_x", "Kari", "cs_live_" + "0" * 101])
    def test_a_text_that_is_no_key_is_refused(self, client: FlaskClient, text: str) -> None:
        answer = client.post("/v1/checks", json={}, headers={"Authorization": f"Bearer {text}"})

        assert answer.status_code == 401
        assert answer.json is not None
        assert answer.json["code"] == "api_key_invalid"

    def test_a_key_of_another_controller_is_not_found_here(self, system: System, other_system: System) -> None:
        # The text of the one with the secret of the other: right shape, wrong checksum, and never a way in.
        mixed = system.key[:60] + other_system.key[60:]

        assert System(system.client, mixed).get("/v1/subjects/sub_00000000000000000000000000").status_code == 401

    def test_a_key_without_the_scope_is_told_so_before_its_body_is_looked_at(
        self, system: System, database: Database, controller: str, app: Flask
    ) -> None:
        narrow = System(system.client, key_with(database, controller, "events"))

        for method, rule, _ in routes(app):
            answer = narrow.post(rule, {}) if method == "POST" else narrow.get(rule)

            assert answer.status_code == 403 or "<" in rule, rule
