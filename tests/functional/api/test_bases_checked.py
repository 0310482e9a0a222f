"""What a check answers on more than consent: every condition is a recorded fact, and all is off until turned on."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask.testing import FlaskClient

from consent_service.audit import trail
from consent_service.db.session import Database
from consent_service.registry import controllers
from tests import builders
from tests.builders import NOON
from tests.functional.api.conftest import KARI, System

OFFICE = {"email": "post@firma.example"}
SALE = {
    "subject": KARI,
    "relation": "membership",
    "sold_at": "2026-03-01T12:00:00Z",
    "product_category": "skis",
    "contact_point_received_at_sale": True,
    "opt_out_offered": True,
    "active_until": "2026-12-31T00:00:00Z",
}
CUSTOMERS = {"existing_customer": True, "product_categories": ["skis"]}
BALANCED = {"balancing": "LIA-7", "balanced_on": "2026-01-15"}
HOUR = timedelta(hours=1)


@pytest.fixture
def shop(client: FlaskClient, database: Database, controller: str, clock: time_machine.Traveller) -> System:
    """Connect a system of a controller with `offers` by e-mail and SMS, on consent alone, at noon."""
    del clock
    with database.transaction(controller) as session:
        builders.a_published_purpose(session, key="offers", channels=("email", "sms"))
        return System(client, builders.an_api_key(session))


def turn_on(shop: System, **settings: object) -> None:
    answer = shop.post("/v1/purposes/offers/settings", settings)
    assert answer.status_code == 200, answer.text


def sell(shop: System, **said: object) -> None:
    answer = shop.post("/v1/customer-relations", {**SALE, **said})
    assert answer.status_code == 201, answer.text


def ask(shop: System, **said: Any) -> dict[str, Any]:  # noqa: ANN401 - passed on
    return shop.check(purpose=said.pop("purpose", "offers"), **said)


class TestExistingCustomers:
    @pytest.mark.rule("NO-03")
    def test_every_condition_on_record_is_a_yes_on_that_basis(self, shop: System) -> None:
        turn_on(shop, **CUSTOMERS)
        sell(shop)

        decision = ask(shop)

        assert (decision["allowed"], decision["reason"]) == (True, "existing_customer")
        assert (decision["status"], decision["consent_id"]) == ("unknown", None)
        assert decision["obligations"] == ["sender_identity", "objection_notice"]

    def test_the_answer_names_the_basis(self, shop: System) -> None:
        turn_on(shop, **CUSTOMERS)
        sell(shop)

        assert ask(shop)["legal_basis"] == "existing_customer"

    @pytest.mark.rule("NO-03")
    def test_it_is_off_unless_the_controller_turns_it_on(self, shop: System) -> None:
        sell(shop)
        before = ask(shop)
        turn_on(shop, **CUSTOMERS)

        assert (before["allowed"], before["reason"]) == (False, "no_consent")
        assert ask(shop)["allowed"] is True

    @pytest.mark.rule("NO-03")
    @pytest.mark.parametrize(
        "said",
        [
            {"contact_point_received_at_sale": False},
            {"opt_out_offered": False},
            {"product_category": "boats"},
            {"active_until": "2026-03-02T11:59:59Z"},
            {"active_until": None},
        ],
    )
    def test_one_condition_that_is_missing_is_a_no(self, shop: System, said: dict[str, object]) -> None:
        turn_on(shop, **CUSTOMERS)
        sell(shop, **said)

        decision = ask(shop)

        assert (decision["allowed"], decision["reason"]) == (False, "existing_customer_conditions_not_met")

    @pytest.mark.rule("NO-04")
    def test_one_purchase_makes_no_customer(self, shop: System) -> None:
        turn_on(shop, **CUSTOMERS)
        sell(shop, relation="single_purchase")

        assert ask(shop)["reason"] == "existing_customer_conditions_not_met"

    @pytest.mark.rule("NO-03")
    def test_an_earlier_end_that_is_reported_later_ends_it(self, shop: System) -> None:
        turn_on(shop, **CUSTOMERS)
        sell(shop)
        before = ask(shop)
        sell(shop, active_until="2026-03-02T00:00:00Z")

        assert (before["allowed"], ask(shop)["allowed"]) == (True, False)

    @pytest.mark.rule("NO-03")
    def test_it_holds_for_the_contact_point_of_the_sale_alone(self, shop: System) -> None:
        turn_on(shop, **CUSTOMERS)
        sell(shop)

        assert ask(shop, subject={"phone": "+4740000001"}, channel="sms")["allowed"] is False
        assert ask(shop, subject={"email": "kari@elsewhere.example"})["allowed"] is False

    @pytest.mark.rule("WD-05")
    def test_each_message_must_offer_the_way_out(self, shop: System) -> None:
        turn_on(shop, **CUSTOMERS)
        sell(shop)
        told = {"subject": KARI, "notice": "objection", "delivered_at": "2026-03-02T12:00:00Z"}
        assert shop.post("/v1/notice-deliveries", told).status_code == 201

        assert "objection_notice" in ask(shop)["obligations"]

    @pytest.mark.parametrize(("path", "reason"), [("withdrawals", "consent_withdrawn"), ("objections", "objected")])
    def test_a_no_of_the_person_ends_it(self, shop: System, path: str, reason: str) -> None:
        turn_on(shop, **CUSTOMERS)
        sell(shop)
        shop.post(f"/v1/{path}", {"subject": KARI})

        decision = ask(shop)

        assert (decision["allowed"], decision["reason"]) == (False, reason)

    @pytest.mark.rule("CAP-12")
    def test_it_does_not_take_the_place_of_a_consent_that_was_withdrawn(self, shop: System) -> None:
        sell(shop)
        shop.post("/v1/withdrawals", {"subject": KARI, "purpose": "offers"})
        turn_on(shop, **CUSTOMERS)

        assert ask(shop)["reason"] == "consent_withdrawn"

    def test_the_past_is_asked_as_it_was(self, shop: System, clock: time_machine.Traveller) -> None:
        turn_on(shop, **CUSTOMERS)
        sell(shop)
        clock.shift(HOUR)
        turn_on(shop, existing_customer=False)
        clock.shift(HOUR)
        turn_on(shop, existing_customer=True)
        clock.shift(HOUR)

        answers = {at: ask(shop, as_of=f"2026-03-02T{at}:30:00Z") for at in (12, 13, 14)}

        assert {at: answer["reason"] for at, answer in answers.items()} == {
            12: "existing_customer",
            13: "no_consent",
            14: "existing_customer",
        }
        assert ask(shop)["allowed"] is True


class TestLegitimateInterest:
    @pytest.fixture(autouse=True)
    def on_the_site(self, database: Database, controller: str, shop: System) -> None:
        """Let the controller show offers on its site on a balanced legitimate interest, to a customer it knows."""
        with database.transaction(controller) as session:
            builders.a_published_purpose(session, key="plain", channels=("web",))
        answer = shop.post("/v1/purposes", {"key": "site", "legal_basis": "legitimate_interest", **BALANCED})
        assert answer.status_code == 201
        with database.transaction(controller) as session:
            content = builders.a_notice(purpose="site", channels=("web", "email"))
            builders.a_published_notice(session, purpose="site", content=content)
        sell(shop)

    def test_it_carries_where_the_law_allows_it(self, shop: System) -> None:
        decision = ask(shop, purpose="site", channel="web")

        assert (decision["allowed"], decision["reason"]) == (True, "legitimate_interest")
        assert decision["legal_basis"] == "legitimate_interest"

    @pytest.mark.rule("NO-01")
    def test_it_carries_no_mail(self, shop: System) -> None:
        decision = ask(shop, purpose="site", channel="email")

        assert (decision["allowed"], decision["reason"]) == (False, "no_consent")

    def test_it_carries_no_other_purpose(self, shop: System) -> None:
        assert ask(shop, purpose="plain", channel="web")["allowed"] is False

    @pytest.mark.rule("WD-05")
    def test_the_sender_owes_each_notice_until_it_was_delivered(self, shop: System) -> None:
        owed = [ask(shop, purpose="site", channel="web")["obligations"]]
        for notice in ("objection", "article_14"):
            told = {"subject": KARI, "notice": notice, "delivered_at": "2026-03-02T12:00:00Z"}
            assert shop.post("/v1/notice-deliveries", told).status_code == 201
            owed.append(ask(shop, purpose="site", channel="web")["obligations"])

        assert owed == [
            ["sender_identity", "objection_notice", "art14_notice"],
            ["sender_identity", "art14_notice"],
            ["sender_identity"],
        ]

    def test_an_objection_needs_no_balancing(self, shop: System) -> None:
        shop.post("/v1/objections", {"subject": KARI, "purpose": "site"})

        assert ask(shop, purpose="site", channel="web")["reason"] == "objected"


@pytest.mark.rule("CAP-20")
class TestCompanyAddresses:
    @staticmethod
    def classify(shop: System, kind: str = "company") -> None:
        body = {"subject": OFFICE, "recipient_kind": kind, "reason": "their web site"}
        assert shop.post("/v1/recipient-kinds", body).status_code == 201

    @staticmethod
    def allow(database: Database, controller: str) -> None:
        with database.transaction(controller) as session:
            changed = replace(controllers.get(session), allows_company_addresses=True)
            controllers.change_settings(session, changed=changed, actor=trail.SYSTEM, at=NOON)

    def test_an_address_is_a_persons_until_somebody_says_otherwise(
        self, shop: System, database: Database, controller: str
    ) -> None:
        self.allow(database, controller)
        sell(shop, subject=OFFICE)
        before = ask(shop, subject=OFFICE)
        self.classify(shop)

        decision = ask(shop, subject=OFFICE)

        assert (before["allowed"], before["reason"]) == (False, "no_consent")
        assert (decision["allowed"], decision["reason"]) == (True, "not_natural_person")

    def test_the_controller_must_allow_it(self, shop: System) -> None:
        self.classify(shop)

        assert ask(shop, subject=OFFICE)["reason"] == "no_consent"

    def test_it_can_be_taken_back(self, shop: System, database: Database, controller: str) -> None:
        self.allow(database, controller)
        self.classify(shop)
        before = ask(shop, subject=OFFICE)
        self.classify(shop, "natural_person")

        assert (before["allowed"], ask(shop, subject=OFFICE)["allowed"]) == (True, False)

    def test_another_address_of_the_company_stays_a_persons(
        self, shop: System, database: Database, controller: str
    ) -> None:
        self.allow(database, controller)
        self.classify(shop)

        assert ask(shop, subject={"email": "ola.nordmann@firma.example"})["allowed"] is False

    def test_a_no_is_heard_there_too(self, shop: System, database: Database, controller: str) -> None:
        self.allow(database, controller)
        self.classify(shop)
        shop.post("/v1/objections", {"subject": OFFICE})

        assert ask(shop, subject=OFFICE)["reason"] == "objected"
