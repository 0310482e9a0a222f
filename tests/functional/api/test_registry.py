"""The registry over the API: what may be asked, refused with reasons, shown to its own controller alone."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from consent_service.accounts import api_keys
from consent_service.audit import trail
from consent_service.db.session import Database
from tests.builders import NOON
from tests.functional.api.conftest import System, key_with
from tests.unit.registry.samples import a_form_document, a_notice_document

NOT_THERE = "frm_00000000000000000000000000"


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


def publish_newsletter(registrar: System) -> None:
    answered(registrar.post("/v1/purposes", {"key": "newsletter", "valid_for_months": 24}), 201)
    answered(registrar.post("/v1/purposes/newsletter/notice-versions", a_notice_document()), 201)
    answered(registrar.post("/v1/purposes/newsletter/notice-versions/1/publish", {"material": True}))


class TestPurposes:
    def test_from_nothing_to_a_notice_in_force(self, registrar: System) -> None:
        publish_newsletter(registrar)

        shown = answered(registrar.get("/v1/purposes/newsletter"))

        assert shown["key"] == "newsletter"
        assert shown["double_opt_in"] is True
        assert shown["version_in_force"] == 1
        assert shown["notice_versions"][0]["content"] == a_notice_document()
        assert shown["notice_versions"][0]["publication"]["material"] is True

    def test_a_draft_is_not_in_force(self, registrar: System) -> None:
        publish_newsletter(registrar)

        drafted = answered(registrar.post("/v1/purposes/newsletter/notice-versions", {}), 201)

        assert (drafted["number"], drafted["publication"]) == (2, None)
        assert answered(registrar.get("/v1/purposes"))["data"][0]["version_in_force"] == 1

    @pytest.mark.rule("CAP-06")
    def test_publishing_lists_what_is_missing(self, registrar: System) -> None:
        document = a_notice_document()
        del document["languages"]["nb"]["purpose_text"]
        document["languages"]["en"]["channels"]["email"]["frequency_text"] = ""
        registrar.post("/v1/purposes", {"key": "newsletter"})
        registrar.post("/v1/purposes/newsletter/notice-versions", document)

        answer = registrar.post("/v1/purposes/newsletter/notice-versions/1/publish", {"material": True})

        assert set(errors_of(answer)) == {
            ("/languages/nb/purpose_text", "missing"),
            ("/languages/en/channels/email/frequency_text", "missing"),
        }
        assert answer.json is not None
        assert answer.json["code"] == "notice_incomplete"

    @pytest.mark.rule("CAP-08")
    @pytest.mark.parametrize(
        ("decision", "error"),
        [
            ({}, ("/material", "missing")),
            ({"material": "yes"}, ("/material", "not_a_boolean")),
            ({"material": False}, ("/reason", "missing")),
            ({"material": True, "effective_at": "2020-01-01T00:00:00Z"}, ("/effective_at", "in_the_past")),
            ({"material": True, "effective": "now"}, ("/effective", "unknown_field")),
        ],
    )
    def test_the_decision_to_publish_is_whole(
        self, registrar: System, decision: dict[str, object], error: tuple[str, str]
    ) -> None:
        registrar.post("/v1/purposes", {"key": "newsletter"})
        registrar.post("/v1/purposes/newsletter/notice-versions", a_notice_document())

        answer = registrar.post("/v1/purposes/newsletter/notice-versions/1/publish", decision)

        assert errors_of(answer) == [error]

    def test_a_version_is_published_once(self, registrar: System) -> None:
        publish_newsletter(registrar)

        answer = registrar.post("/v1/purposes/newsletter/notice-versions/1/publish", {"material": True})

        assert answered(answer, 409)["code"] == "already_published"

    def test_an_older_version_is_not_put_back(self, registrar: System) -> None:
        publish_newsletter(registrar)
        for _ in range(2):
            registrar.post("/v1/purposes/newsletter/notice-versions", a_notice_document())
        registrar.post("/v1/purposes/newsletter/notice-versions/3/publish", {"material": True})

        answer = registrar.post("/v1/purposes/newsletter/notice-versions/2/publish", {"material": True})

        assert answered(answer, 409)["code"] == "newer_notice_published"

    @pytest.mark.parametrize(
        "path",
        [
            "/v1/purposes/nothing/notice-versions",
            "/v1/purposes/nothing/notice-versions/1/publish",
            "/v1/purposes/newsletter/notice-versions/9/publish",
            "/v1/purposes/newsletter/notice-versions/99999999999/publish",
        ],
    )
    def test_what_does_not_exist_is_404(self, registrar: System, path: str) -> None:
        publish_newsletter(registrar)

        body = {"material": True} if path.endswith("publish") else a_notice_document()

        assert registrar.post(path, body).status_code == 404

    def test_a_key_is_taken_once(self, registrar: System) -> None:
        registrar.post("/v1/purposes", {"key": "newsletter"})

        assert answered(registrar.post("/v1/purposes", {"key": "newsletter"}), 409)["code"] == "already_exists"

    def test_the_same_call_again_makes_no_second_draft(self, registrar: System) -> None:
        publish_newsletter(registrar)
        path = "/v1/purposes/newsletter/notice-versions"

        first = registrar.post(path, a_notice_document(), Idempotency_Key="once")
        again = registrar.post(path, a_notice_document(), Idempotency_Key="once")

        assert again.json == first.json
        assert len(answered(registrar.get("/v1/purposes/newsletter"))["notice_versions"]) == 2

    def test_a_name_that_may_be_an_address_is_not_repeated(self, registrar: System) -> None:
        registrar.post("/v1/purposes", {"key": "newsletter"})

        answer = registrar.post("/v1/purposes/newsletter/notice-versions", {"kari@nordmann.example": 1})

        assert errors_of(answer) == [("", "unknown_field")]
        assert "nordmann" not in answer.text


class TestForms:
    def test_what_was_made_is_what_is_shown(self, registrar: System) -> None:
        publish_newsletter(registrar)

        made = answered(registrar.post("/v1/forms", {"key": "kundeklubb", **a_form_document()}), 201)
        shown = answered(registrar.get(f"/v1/forms/{made['form_id']}"))

        assert shown == made
        assert {name: shown[name] for name in a_form_document()} == a_form_document()
        assert answered(registrar.get("/v1/forms"))["data"] == [made]

    def test_a_new_version_is_in_force_at_once(self, registrar: System) -> None:
        publish_newsletter(registrar)
        made = answered(registrar.post("/v1/forms", {"key": "kundeklubb", **a_form_document()}), 201)
        changed = a_form_document() | {"titles": {"nb": "Ny", "en": "New"}}

        answered(registrar.post(f"/v1/forms/{made['form_id']}/versions", changed), 201)

        shown = answered(registrar.get(f"/v1/forms/{made['form_id']}"))
        assert (shown["number"], shown["titles"]["nb"]) == (2, "Ny")

    @pytest.mark.parametrize(
        ("member", "value", "code"),
        [
            pytest.param("default", True, "pre_ticked", marks=pytest.mark.rule("CAP-01")),
            pytest.param("checked", True, "pre_ticked", marks=pytest.mark.rule("CAP-01")),
            pytest.param("required", True, "consent_required", marks=pytest.mark.rule("CAP-05")),
            pytest.param("terms", "https://x.example", "bundled_consent", marks=pytest.mark.rule("CAP-02")),
        ],
    )
    def test_it_cannot_tick_require_or_bundle(self, registrar: System, member: str, value: object, code: str) -> None:
        publish_newsletter(registrar)
        document = {"key": "kundeklubb", **a_form_document()}
        document["offers"][0][member] = value

        answer = registrar.post("/v1/forms", document)

        assert errors_of(answer) == [(f"/offers/0/{member}", code)]
        assert answered(registrar.get("/v1/forms"))["data"] == []

    def test_a_form_that_does_not_exist_is_404(self, registrar: System) -> None:
        assert registrar.get(f"/v1/forms/{NOT_THERE}").status_code == 404
        assert registrar.post(f"/v1/forms/{NOT_THERE}/versions", a_form_document()).status_code == 404

    @pytest.mark.parametrize("key", [None, 7, "", "Kunde klubb"])
    def test_a_key_is_a_word(self, registrar: System, key: object) -> None:
        publish_newsletter(registrar)

        assert errors_of(registrar.post("/v1/forms", {"key": key, **a_form_document()})) == [("/key", "invalid")]


class TestRecipients:
    def test_what_was_made_is_listed(self, registrar: System) -> None:
        recipient = {
            "key": "postduen",
            "legal_name": "Postduen AS",
            "role": "processor",
            "country": "NO",
            "agreement": "Agreement of 2026-01-15",
        }

        made = answered(registrar.post("/v1/recipients", recipient), 201)

        assert made.items() >= recipient.items()
        assert answered(registrar.get("/v1/recipients"))["data"] == [made]

    def test_a_role_is_one_of_two(self, registrar: System) -> None:
        body = {"key": "x", "legal_name": "X AS", "role": "friend", "country": "NO", "agreement": "None"}

        assert errors_of(registrar.post("/v1/recipients", body)) == [("/role", "not_a_choice")]


class TestLists:
    def test_pages_hold_everything_once_and_in_order(self, registrar: System) -> None:
        keys = ["ads", "events", "newsletter", "survey", "tips"]
        for key in reversed(keys):
            registrar.post("/v1/purposes", {"key": key})

        seen: list[str] = []
        path = "/v1/purposes?limit=2"
        while path:
            answer = registrar.get(path)
            page = answered(answer)
            seen += [purpose["key"] for purpose in page["data"]]
            path = f"/v1/purposes?limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else ""
            assert ("Link" in answer.headers) == bool(path)

        assert seen == keys

    @pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "page=2"])
    def test_a_wrong_query_is_422(self, registrar: System, query: str) -> None:
        assert registrar.get(f"/v1/purposes?{query}").status_code == 422

    @pytest.mark.parametrize("cursor", ["", "%25", "bm90IG91cnM9==", "a", "%C3%A6"])
    def test_a_cursor_of_somebody_else_is_400(self, registrar: System, cursor: str) -> None:
        assert answered(registrar.get(f"/v1/purposes?cursor={cursor}"), 400)["code"] == "cursor_invalid"


class TestCallers:
    @pytest.mark.parametrize("path", ["/v1/purposes", "/v1/forms", "/v1/recipients"])
    def test_another_scope_is_403(self, client: FlaskClient, database: Database, controller: str, path: str) -> None:
        system = System(client, key_with(database, controller, "check", "capture", "withdraw"))

        assert system.get(path).status_code == 403
        assert system.post(path, {}).status_code == 403

    def test_another_controllers_registry_is_not_there(
        self, client: FlaskClient, database: Database, registrar: System, other_controller: str
    ) -> None:
        publish_newsletter(registrar)
        form = answered(registrar.post("/v1/forms", {"key": "kundeklubb", **a_form_document()}), 201)
        other = System(client, key_with(database, other_controller, "registry"))

        assert answered(other.get("/v1/purposes"))["data"] == []
        assert answered(other.get("/v1/forms"))["data"] == []
        assert other.get("/v1/purposes/newsletter").status_code == 404
        assert other.get(f"/v1/forms/{form['form_id']}").status_code == 404

    def test_a_key_that_is_limited_to_purposes_sees_and_changes_no_others(
        self, client: FlaskClient, database: Database, controller: str, registrar: System
    ) -> None:
        publish_newsletter(registrar)
        registrar.post("/v1/purposes", {"key": "survey"})
        with database.transaction(controller) as session:
            created = api_keys.create(
                session,
                name="Survey tool",
                system="survey",
                scopes=("registry",),
                environment="live",
                purposes=("survey",),
                actor=trail.SYSTEM,
                at=NOON,
            )
        limited = System(client, created.text)

        assert [purpose["key"] for purpose in answered(limited.get("/v1/purposes"))["data"]] == ["survey"]
        assert limited.get("/v1/purposes/newsletter").status_code == 403
        assert limited.post("/v1/purposes/newsletter/notice-versions", {}).status_code == 403
