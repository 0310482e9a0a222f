"""Postal addresses: reported beside an id, withdrawn, checked, and never a way to say who somebody is."""

from typing import Any

import pytest

from consent_service.db.session import Database
from tests import builders
from tests.functional.api.conftest import KARI, System

HOME = "Storgata 1, 0155 Oslo"
CRM_7 = {"external_id": "7", "contact_point": {"post": HOME}}


@pytest.fixture
def catalogue(system: System, database: Database, controller: str) -> System:
    """Let the shop ask at its counter for a catalogue by post, and for a magazine that demands double opt-in."""
    with database.transaction(controller) as session:
        builders.a_published_purpose(session, key="catalogue", channels=("post", "email"), double_opt_in=False)
        builders.a_published_purpose(session, key="magazine", channels=("post",))
        offers = [("catalogue", "post"), ("catalogue", "email"), ("magazine", "post")]
        form = builders.a_form(session, key="counter", offers=offers)
    return System(system.client, system.key, form.form_id)


def report(system: System, purpose: str = "catalogue", **changes: object) -> dict[str, Any]:
    decisions = [{"purpose": purpose, "channel": "post", "granted": True}]
    return {**system.report(), "subject": CRM_7, "decisions": decisions, **changes}


def check(system: System, subject: dict[str, Any]) -> dict[str, Any]:
    return system.check(purpose="catalogue", subject=subject, channel="post")


class TestReporting:
    def test_a_yes_holds_for_the_address_in_any_spelling(self, catalogue: System) -> None:
        answer = catalogue.post("/v1/consents", report(catalogue))

        assert answer.status_code == 201, answer.json
        again = {"external_id": "7", "contact_point": {"post": "STORGATA 1\n0155 Oslo"}}
        assert check(catalogue, again)["reason"] == "consent_given"

    @pytest.mark.rule("WD-12")
    def test_it_does_not_follow_the_person_to_another_address(self, catalogue: System) -> None:
        catalogue.post("/v1/consents", report(catalogue))

        moved = {"external_id": "7", "contact_point": {"post": "Lillegata 2, 0155 Oslo"}}

        assert check(catalogue, moved)["allowed"] is False

    def test_it_comes_beside_an_email_address_too(self, catalogue: System) -> None:
        sent = report(catalogue, subject=KARI, additional_contact_points=[{"post": HOME}])

        subject_id = catalogue.post("/v1/consents", sent).get_json()["subject_id"]

        assert check(catalogue, {"id": subject_id, "contact_point": {"post": HOME}})["allowed"] is True
        shown = catalogue.get(f"/v1/subjects/{subject_id}").get_json()
        assert [(each["kind"], each["masked"]) for each in shown["contact_points"]] == [("post", "S•••••")]

    def test_a_purpose_that_demands_a_confirmation_cannot_have_one_by_post(self, catalogue: System) -> None:
        answer = catalogue.post("/v1/consents", report(catalogue, purpose="magazine"))

        assert answer.status_code == 422
        assert answer.get_json()["errors"][0]["code"] == "not_confirmable"

    def test_without_an_address_it_says_which_is_missing(self, catalogue: System) -> None:
        answer = catalogue.post("/v1/consents", report(catalogue, subject={"external_id": "7"}))

        assert answer.get_json()["errors"] == [
            {
                "pointer": "/decisions/0",
                "code": "contact_point_required",
                "detail": "Name the contact point that this channel reaches.",
            }
        ]

    @pytest.mark.parametrize("text", ["", "Oslo", "?!"])
    def test_what_is_no_address_is_pointed_at(self, catalogue: System, text: str) -> None:
        subject = {"external_id": "7", "contact_point": {"post": text}}

        answer = catalogue.post("/v1/consents", report(catalogue, subject=subject))

        assert answer.status_code == 422
        assert answer.get_json()["errors"][0]["pointer"] == "/subject/contact_point/post"

    def test_an_address_alone_is_nobody(self, catalogue: System) -> None:
        answer = catalogue.post("/v1/consents", report(catalogue, subject={"post": HOME}))

        assert answer.status_code == 422


class TestWithdrawing:
    def test_it_ends_the_yes_for_the_address(self, catalogue: System) -> None:
        catalogue.post("/v1/consents", report(catalogue))

        answer = catalogue.post("/v1/withdrawals", {"subject": CRM_7, "channel": "post"})

        assert "post" in {each["channel"] for each in answer.get_json()["withdrawn"]}
        assert check(catalogue, CRM_7)["reason"] == "consent_withdrawn"

    def test_somebody_unknown_is_not_written_to_either(self, catalogue: System) -> None:
        answer = catalogue.post("/v1/withdrawals", {"subject": CRM_7})

        assert answer.status_code == 200
        assert check(catalogue, CRM_7)["reason"] == "suppressed"

    @pytest.mark.rule("NO-07")
    def test_an_objection_to_post_is_heard(self, catalogue: System) -> None:
        catalogue.post("/v1/consents", report(catalogue))

        catalogue.post("/v1/objections", {"subject": CRM_7, "channel": "post"})

        assert check(catalogue, CRM_7)["reason"] == "objected"


class TestThePublicPage:
    def test_it_does_not_ask_what_no_message_can_confirm(self, catalogue: System) -> None:
        page = catalogue.client.get(f"/f/{catalogue.form}?lang=nb").text
        definition = catalogue.client.get(f"/f/{catalogue.form}/definition?lang=nb").get_json()

        assert "catalogue:email" in page
        assert ":post" not in page
        assert [box["value"] for box in definition["boxes"]] == ["catalogue:email"]
