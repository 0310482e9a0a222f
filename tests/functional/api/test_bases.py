"""On what a purpose rests, over the API: named when it is made, widened later, and never exchanged."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from consent_service.audit.models import AuditEntry
from consent_service.db.session import Database
from tests.functional.api.conftest import System, key_with

EVERY_BASIS = {
    "age_condition": True,
    "existing_customer": True,
    "product_categories": ["skis", "ski_wax"],
    "reservation_enabled": True,
    "balancing": "LIA-7 of 2026-01-15",
    "balanced_on": "2026-01-15",
}


def errors_of(answer: TestResponse) -> list[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    assert answer.json is not None
    return [(error["pointer"], error["code"]) for error in answer.json["errors"]]


def answered(answer: TestResponse, status: int = 200) -> Any:  # noqa: ANN401 - JSON as a system reads it
    assert answer.status_code == status, answer.text
    return answer.json


@pytest.fixture
def registrar(client: FlaskClient, database: Database, controller: str) -> System:
    """Connect a system that may manage the registry of an empty controller."""
    return System(client, key_with(database, controller, "registry"))


def make_newsletter(registrar: System) -> None:
    answered(registrar.post("/v1/purposes", {"key": "newsletter", "valid_for_months": 24}), 201)


class TestBases:
    def test_nothing_stands_beside_consent_unless_it_is_said(self, registrar: System) -> None:
        made = answered(registrar.post("/v1/purposes", {"key": "newsletter"}), 201)

        assert made["legal_basis"] == "consent"
        assert {name: made[name] for name in EVERY_BASIS} == {
            "age_condition": False,
            "existing_customer": False,
            "product_categories": [],
            "reservation_enabled": False,
            "balancing": None,
            "balanced_on": None,
        }

    def test_what_is_said_is_shown(self, registrar: System) -> None:
        made = answered(registrar.post("/v1/purposes", {"key": "offers", **EVERY_BASIS}), 201)

        shown = answered(registrar.get("/v1/purposes/offers"))
        assert {name: made[name] for name in EVERY_BASIS} == EVERY_BASIS
        assert {name: shown[name] for name in EVERY_BASIS} == EVERY_BASIS

    @pytest.mark.parametrize(
        ("said", "errors"),
        [
            ({"legal_basis": "legitimate_interest"}, [("/balancing", "missing")]),
            (
                {"reservation_enabled": True, "existing_customer": True},
                [("/product_categories", "missing"), ("/balancing", "missing")],
            ),
            ({"balancing": "LIA-7", "balanced_on": "2999-01-01"}, [("/balanced_on", "in_the_future")]),
            ({"balancing": "LIA-7", "balanced_on": "2 March"}, [("/balanced_on", "day_invalid")]),
            ({"balancing": "LIA-7", "balanced_on": "2026-02-30"}, [("/balanced_on", "day_invalid")]),
            ({"balancing": " ", "balanced_on": "2026-01-15"}, [("/balancing", "blank")]),
            ({"existing_customer": 1, "product_categories": ["skis"]}, [("/existing_customer", "not_a_boolean")]),
            ({"product_categories": ["kari@nordmann.example"]}, [("/product_categories/0", "invalid")]),
            ({"legal_basis": "existing_customer"}, [("/legal_basis", "not_a_choice")]),
        ],
    )
    def test_what_is_missing_or_wrong_is_listed(
        self, registrar: System, said: dict[str, object], errors: list[tuple[str, str]]
    ) -> None:
        answer = registrar.post("/v1/purposes", {"key": "offers", **said})

        assert errors_of(answer) == errors
        assert "nordmann" not in answer.text


class TestSettings:
    PATH = "/v1/purposes/newsletter/settings"

    def test_what_is_said_changes_and_the_rest_stays(self, registrar: System) -> None:
        make_newsletter(registrar)

        changed = answered(registrar.post(self.PATH, {"existing_customer": True, "product_categories": ["skis"]}))

        shown = answered(registrar.get("/v1/purposes/newsletter"))
        assert (shown["existing_customer"], shown["product_categories"]) == (True, ["skis"])
        assert (shown["valid_for_months"], shown["balancing"]) == (24, None)
        assert changed.items() <= shown.items()
        assert [each["existing_customer"] for each in shown["former_settings"]] == [False]

    @pytest.mark.parametrize(
        ("said", "error"),
        [
            ({"existing_customer": True}, ("/product_categories", "missing")),
            ({"reservation_enabled": True}, ("/balancing", "missing")),
            ({"balancing": "LIA-7"}, ("/balanced_on", "missing")),
            ({"double_opt_in": False}, ("/double_opt_in", "unknown_field")),
            ({"special_category": False}, ("/special_category", "unknown_field")),
            ({"existing_customer": None}, ("/existing_customer", "null")),
        ],
    )
    def test_what_cannot_be_changes_nothing(
        self, registrar: System, said: dict[str, object], error: tuple[str, str]
    ) -> None:
        make_newsletter(registrar)

        assert errors_of(registrar.post(self.PATH, said)) == [error]
        assert answered(registrar.get("/v1/purposes/newsletter"))["former_settings"] == []

    @pytest.mark.rule("CAP-12")
    @pytest.mark.parametrize("basis", ["legitimate_interest", "contract", "explicit_consent"])
    def test_the_basis_is_not_exchanged_and_the_attempt_is_on_record(
        self, registrar: System, database: Database, controller: str, basis: str
    ) -> None:
        make_newsletter(registrar)
        said = {"legal_basis": basis, "balancing": "LIA-7", "balanced_on": "2026-01-15"}

        refused = [registrar.post(self.PATH, said, Idempotency_Key="once") for _ in range(2)]

        assert [answered(each, 409)["code"] for each in refused] == ["basis_unchangeable"] * 2
        shown = answered(registrar.get("/v1/purposes/newsletter"))
        assert (shown["legal_basis"], shown["balancing"], shown["former_settings"]) == ("consent", None, [])
        with database.transaction(controller) as session:
            types = session.scalars(select(AuditEntry.type).where(AuditEntry.controller_id == controller)).all()
        assert types.count("purpose.basis_change_refused") == 2
        assert types.count("purpose.settings_changed") == 0

    def test_the_basis_that_it_has_may_be_said(self, registrar: System) -> None:
        make_newsletter(registrar)

        changed = answered(registrar.post(self.PATH, {"legal_basis": "consent", "age_condition": True}))

        assert (changed["legal_basis"], changed["age_condition"]) == ("consent", True)

    def test_a_purpose_that_does_not_exist_is_404(self, registrar: System) -> None:
        assert registrar.post(self.PATH, {"age_condition": True}).status_code == 404
        assert registrar.post(self.PATH, {"legal_basis": "contract"}).status_code == 404
