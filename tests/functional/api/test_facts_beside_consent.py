"""Facts beside consent are taken whole or refused with what is wrong, from keys that may report them."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from consent_service.accounts import api_keys
from consent_service.audit import trail
from consent_service.db.session import Database
from tests.builders import NOON
from tests.functional.api.conftest import KARI, System, key_with

SALE = {
    "subject": KARI,
    "relation": "membership",
    "sold_at": "2026-03-03T12:00:00Z",
    "product_category": "skis",
    "contact_point_received_at_sale": True,
    "opt_out_offered": True,
}
TOLD = {"subject": KARI, "notice": "objection", "delivered_at": "2026-03-03T12:00:00Z"}
OFFICE = {"subject": {"email": "post@firma.example"}, "recipient_kind": "company", "reason": "their web site"}
EVERY = {"/v1/customer-relations": SALE, "/v1/notice-deliveries": TOLD, "/v1/recipient-kinds": OFFICE}


def errors_of(system: System, path: str, body: dict[str, Any]) -> list[tuple[str, str]]:
    answer = system.post(path, body)
    assert answer.status_code == 422, answer.text
    assert answer.json is not None
    return [(error["pointer"], error["code"]) for error in answer.json["errors"]]


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in body.items() if each != name}


class TestCustomerRelations:
    def test_a_sale_gets_an_id(self, system: System) -> None:
        answer = system.post("/v1/customer-relations", {**SALE, "active_until": None, "sale_reference": "order 4711"})

        assert answer.status_code == 201
        assert answer.json is not None
        assert answer.json["customer_relation_id"].startswith("rel_")
        looked_up = system.post("/v1/subjects/lookup", KARI).json
        assert looked_up is not None
        assert looked_up["subject_id"] == answer.json["subject_id"]

    @pytest.mark.parametrize(
        "name",
        ["subject", "relation", "sold_at", "product_category", "contact_point_received_at_sale", "opt_out_offered"],
    )
    def test_no_condition_has_a_default(self, system: System, name: str) -> None:
        assert errors_of(system, "/v1/customer-relations", without(SALE, name)) == [(f"/{name}", "missing")]

    @pytest.mark.parametrize(
        ("said", "error"),
        [
            ({"opt_out_offered": "yes"}, ("/opt_out_offered", "not_a_boolean")),
            ({"contact_point_received_at_sale": 1}, ("/contact_point_received_at_sale", "not_a_boolean")),
            ({"relation": "friendship"}, ("/relation", "not_a_choice")),
            ({"sold_at": "2999-01-01T00:00:00Z"}, ("/sold_at", "in_the_future")),
            ({"active_until": "2026-03-01T00:00:00Z"}, ("/active_until", "before_the_sale")),
            ({"product_category": "Kari's skis"}, ("/product_category", "invalid")),
            ({"subject": {"external_id": "4711"}}, ("/subject/contact_point", "contact_point_required")),
            ({"purpose": "newsletter"}, ("/purpose", "unknown_field")),
        ],
    )
    def test_what_cannot_be_is_pointed_at(
        self, system: System, said: dict[str, object], error: tuple[str, str]
    ) -> None:
        assert errors_of(system, "/v1/customer-relations", {**SALE, **said}) == [error]

    @pytest.mark.rule("WD-04")
    def test_a_sale_lifts_no_objection(self, system: System) -> None:
        system.post("/v1/customer-relations", SALE)
        system.post("/v1/objections", {"subject": KARI})

        answer = system.post("/v1/customer-relations", SALE)

        assert answer.status_code == 409
        assert answer.json is not None
        assert answer.json["code"] == "objected"

    def test_a_suppressed_address_stays_unknown(self, system: System) -> None:
        system.post("/v1/withdrawals", {"subject": KARI})

        answer = system.post("/v1/customer-relations", SALE)

        assert answer.status_code == 409
        assert answer.json is not None
        assert answer.json["code"] == "suppressed"
        assert system.post("/v1/subjects/lookup", KARI).status_code == 404

    def test_the_same_call_again_records_nothing_more(self, system: System) -> None:
        first = system.post("/v1/customer-relations", SALE, Idempotency_Key="once")
        again = system.post("/v1/customer-relations", SALE, Idempotency_Key="once")

        assert again.json == first.json
        assert again.headers["Idempotent-Replay"] == "true"


class TestNoticeDeliveries:
    def test_a_delivery_gets_an_id(self, system: System) -> None:
        system.post("/v1/customer-relations", SALE)

        answer = system.post("/v1/notice-deliveries", TOLD)

        assert answer.status_code == 201
        assert answer.json is not None
        assert answer.json["notice_delivery_id"].startswith("ntd_")
        assert (answer.json["notice"], answer.json["delivered_at"]) == ("objection", "2026-03-03T12:00:00Z")

    def test_somebody_unknown_is_404(self, system: System) -> None:
        answer = system.post("/v1/notice-deliveries", TOLD)

        assert answer.status_code == 404
        assert answer.json is not None
        assert answer.json["code"] == "subject_unknown"

    @pytest.mark.parametrize(
        ("said", "error"),
        [
            ({"notice": "privacy"}, ("/notice", "not_a_choice")),
            ({"delivered_at": "2999-01-01T00:00:00Z"}, ("/delivered_at", "in_the_future")),
            ({"delivered_at": "yesterday"}, ("/delivered_at", "time_invalid")),
        ],
    )
    def test_what_cannot_be_is_pointed_at(
        self, system: System, said: dict[str, object], error: tuple[str, str]
    ) -> None:
        assert errors_of(system, "/v1/notice-deliveries", {**TOLD, **said}) == [error]


class TestRecipientKinds:
    @pytest.mark.rule("CAP-20")
    def test_an_address_is_classified_and_classified_back(self, system: System) -> None:
        classified = system.post("/v1/recipient-kinds", OFFICE)
        taken_back = system.post("/v1/recipient-kinds", {**OFFICE, "recipient_kind": "natural_person"})

        assert (classified.status_code, taken_back.status_code) == (201, 201)
        assert classified.json is not None
        assert taken_back.json is not None
        assert classified.json["recipient_kind"] == "company"
        assert taken_back.json["recipient_kind"] == "natural_person"
        assert taken_back.json["contact_point_id"] == classified.json["contact_point_id"]

    @pytest.mark.rule("CAP-20")
    @pytest.mark.parametrize("name", ["subject", "recipient_kind", "reason"])
    def test_nothing_is_left_to_guess(self, system: System, name: str) -> None:
        assert errors_of(system, "/v1/recipient-kinds", without(OFFICE, name)) == [(f"/{name}", "missing")]


class TestCallers:
    @pytest.mark.parametrize(("path", "body"), EVERY.items())
    def test_a_key_that_is_limited_to_purposes_says_nothing_for_all_of_them(
        self, client: FlaskClient, database: Database, controller: str, path: str, body: dict[str, Any]
    ) -> None:
        with database.transaction(controller) as session:
            created = api_keys.create(
                session,
                name="Survey tool",
                system="survey",
                scopes=("capture", "subjects:write"),
                environment="live",
                purposes=("survey",),
                actor=trail.SYSTEM,
                at=NOON,
            )

        answer = System(client, created.text).post(path, body)

        assert answer.status_code == 403
        assert answer.json is not None
        assert answer.json["code"] == "purpose_not_allowed"

    @pytest.mark.parametrize(("path", "body"), EVERY.items())
    def test_another_scope_is_403(
        self, client: FlaskClient, database: Database, controller: str, path: str, body: dict[str, Any]
    ) -> None:
        system = System(client, key_with(database, controller, "check", "withdraw", "subjects:read", "registry"))

        assert system.post(path, body).status_code == 403
