"""The registry at the command line: what the service has is what was asked for, in the form that was asked for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from consent_service.accounts import api_keys
from consent_service.cli import main
from consent_service.crypto import api_secrets, keyring
from consent_service.db.session import Database
from tests.builders import NOON
from tests.unit.registry.samples import a_form_document, a_notice_document

Run = Callable[..., Result]


@pytest.fixture
def run(app_url: str, keys_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line beside the service, in a data folder of its own."""
    monkeypatch.setenv("DATABASE_URL_APP", app_url)
    monkeypatch.setenv("CONSENT_KEYS", str(keys_dir))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def run_one(*words: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(main.consent, [*words, "--data", str(tmp_path)], input=stdin)

    return run_one


def add_controller(run: Run, key: str = "nordlys-sport") -> Result:
    return run(
        *("controllers", "add", key),
        *("--legal-name", "Nordlys Sport AS"),
        *("--organisation-number", "999 999 999"),
        *("--postal-address", "Storgata 1, 0155 Oslo"),
        *("--privacy-contact", "personvern@nordlys.example"),
    )


def answer(result: Result) -> Any:  # noqa: ANN401 - JSON as a program reads it
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


OURS = ("--controller", "nordlys-sport")


class TestControllers:
    def test_what_was_added_is_listed_and_shown(self, run: Run) -> None:
        assert add_controller(run).exit_code == 0

        assert "nordlys-sport" in run("controllers", "list", "--quiet").stdout.splitlines()
        assert answer(run("controllers", "show", *OURS, "--json"))["legal_name"] == "Nordlys Sport AS"

    def test_a_setting_is_changed_and_the_rest_stays(self, run: Run) -> None:
        add_controller(run)

        run("controllers", "set", *OURS, "--decision-lifetime-minutes", "30", "--no-traces")

        shown = answer(run("controllers", "show", *OURS, "--json"))
        assert (shown["decision_lifetime"], shown["keeps_traces"]) == (1800, False)
        assert shown["legal_name"] == "Nordlys Sport AS"

    def test_what_is_off_can_be_turned_on_and_off_again(self, run: Run) -> None:
        add_controller(run)
        names = ("allows_company_addresses", "is_charity", "signs_decisions")

        run("controllers", "set", *OURS, "--allow-company-addresses", "--charity", "--sign-decisions")
        turned_on = answer(run("controllers", "show", *OURS, "--json"))
        run("controllers", "set", *OURS, "--no-company-addresses", "--no-charity", "--plain-decisions")
        turned_off = answer(run("controllers", "show", *OURS, "--json"))

        assert [turned_on[name] for name in names] == [True, True, True]
        assert [turned_off[name] for name in names] == [False, False, False]

    def test_a_taken_key_is_a_sentence_and_exit_code_1(self, run: Run) -> None:
        add_controller(run)

        result = add_controller(run)

        assert result.exit_code == 1
        assert "already_exists" in result.stderr
        assert "Traceback" not in result.output

    def test_without_a_name_of_a_controller_it_says_which_there_are(self, run: Run) -> None:
        add_controller(run)

        result = run("purposes", "list")

        assert result.exit_code == 2
        assert "nordlys-sport" in result.stderr


class TestPurposes:
    def test_from_nothing_to_a_published_notice_and_a_form(self, run: Run) -> None:
        add_controller(run)

        run("purposes", "add", "newsletter", *OURS, "--valid-for-months", "24")
        drafted = run("purposes", "draft", "newsletter", "-", *OURS, "--quiet", stdin=json.dumps(a_notice_document()))
        published = run("purposes", "publish", "newsletter", drafted.stdout.strip(), "--material", "--yes", *OURS)
        form = run("forms", "add", "kundeklubb", "-", *OURS, stdin=json.dumps(a_form_document()))

        assert published.exit_code == 0, published.output
        assert form.exit_code == 0, form.output
        assert answer(run("purposes", "list", *OURS, "--json"))[0]["version"] == 1
        shown = answer(run("forms", "show", "kundeklubb", *OURS, "--json"))
        assert shown["definition"]["offers"] == a_form_document()["offers"]

    def test_what_stands_beside_consent_is_named_one_by_one(self, run: Run) -> None:
        add_controller(run)

        run(
            *("purposes", "add", "offers", *OURS, "--age-condition", "--existing-customer", "--reservation-enabled"),
            *("--product-category", "skis", "--product-category", "ski_wax"),
            *("--balancing", "LIA-7", "--balanced-on", "2026-03-02"),
        )

        shown = answer(run("purposes", "show", "offers", *OURS, "--json"))
        assert (shown["age_condition"], shown["existing_customer"], shown["reservation_enabled"]) == (True, True, True)
        assert shown["product_categories"] == ["skis", "ski_wax"]
        assert (shown["balancing"], shown["balanced_on"]) == ("LIA-7", "2026-03-02")

    def test_what_stands_beside_consent_is_turned_on_and_off_later(self, run: Run) -> None:
        add_controller(run)
        run("purposes", "add", "offers", *OURS)

        run("purposes", "set", "offers", *OURS, "--existing-customer", "--product-category", "skis")
        run("purposes", "set", "offers", *OURS, "--no-existing-customer", "--age-condition")

        shown = answer(run("purposes", "show", "offers", *OURS, "--json"))
        assert (shown["existing_customer"], shown["age_condition"]) == (False, True)
        assert shown["product_categories"] == ["skis"]
        assert [each["existing_customer"] for each in shown["former_settings"]] == [False, True]
        assert run("purposes", "set", "offers", *OURS).exit_code == 2

    def test_a_basis_without_its_balancing_is_refused(self, run: Run) -> None:
        add_controller(run)

        result = run("purposes", "add", "offers", *OURS, "--legal-basis", "legitimate_interest")

        assert result.exit_code == 1
        assert "/balancing: " in result.stderr
        assert "(missing)" in result.stderr

    @pytest.mark.rule("CAP-06")
    def test_publishing_says_what_is_missing(self, run: Run) -> None:
        add_controller(run)
        run("purposes", "add", "newsletter", *OURS)
        document = a_notice_document()
        del document["languages"]["nb"]["purpose_text"]
        run("purposes", "draft", "newsletter", "-", *OURS, stdin=json.dumps(document))

        result = run("purposes", "publish", "newsletter", "1", "--material", "--yes", *OURS)

        assert result.exit_code == 1
        assert "/languages/nb/purpose_text" in result.stderr

    @pytest.mark.rule("CAP-08")
    def test_whether_a_change_is_material_must_be_said(self, run: Run) -> None:
        result = run("purposes", "publish", "newsletter", "1", *OURS)

        assert result.exit_code == 2

    def test_retiring_asks_first(self, run: Run) -> None:
        add_controller(run)
        run("purposes", "add", "newsletter", *OURS)

        assert run("purposes", "retire", "newsletter", *OURS, stdin="n\n").exit_code == 1
        assert answer(run("purposes", "show", "newsletter", *OURS, "--json"))["retired_at"] is None
        assert run("purposes", "retire", "newsletter", "--yes", *OURS).exit_code == 0

    def test_a_broken_file_is_a_usage_error(self, run: Run) -> None:
        add_controller(run)
        run("purposes", "add", "newsletter", *OURS)

        assert run("purposes", "draft", "newsletter", "-", *OURS, stdin="{").exit_code == 2

    @pytest.mark.rule("CAP-01")
    def test_a_form_that_pre_ticks_is_refused(self, run: Run) -> None:
        add_controller(run)
        document = a_form_document()
        document["offers"][0]["default"] = True

        result = run("forms", "add", "kundeklubb", "-", *OURS, stdin=json.dumps(document))

        assert result.exit_code == 1
        assert "/offers/0/default" in result.stderr
        assert "pre_ticked" in result.stderr


class TestApiKeys:
    def test_quietly_it_writes_a_key_that_works(self, run: Run, database: Database) -> None:
        add_controller(run)

        text = run("api-keys", "add", "Till", "--system", "till", "--scope", "check", *OURS, "--quiet").stdout.strip()

        parsed = api_secrets.parse_api_key(text)
        with database.transaction(parsed.controller_id) as session:
            assert api_keys.authenticate(session, parsed, at=NOON).scopes == ("check",)

    def test_the_text_is_shown_once(self, run: Run) -> None:
        add_controller(run)
        text = run("api-keys", "add", "Till", "--system", "till", "--scope", "check", *OURS, "--quiet").stdout.strip()

        assert text not in run("api-keys", "list", *OURS, "--json").stdout

    def test_a_revoked_key_is_listed_as_such(self, run: Run) -> None:
        add_controller(run)
        run("api-keys", "add", "Till", "--system", "till", "--scope", "check", *OURS)
        api_key_id = run("api-keys", "list", *OURS, "--quiet").stdout.strip()

        run("api-keys", "revoke", api_key_id, "--yes", *OURS)

        assert answer(run("api-keys", "list", *OURS, "--json"))[0]["revoked_at"] is not None


class TestOperators:
    def test_the_password_is_read_from_standard_input(self, run: Run) -> None:
        add_controller(run)

        result = run(
            *("operators", "add", "--email", "dpo@nordlys.example", "--role", "dpo", "--password-stdin", *OURS),
            stdin="correct horse battery\n",
        )

        assert result.exit_code == 0, result.output
        assert "nordlys.example" not in result.output
        assert [operator["role"] for operator in answer(run("operators", "list", *OURS, "--json"))] == ["dpo"]


class TestRecipients:
    def test_what_was_added_is_listed(self, run: Run) -> None:
        add_controller(run)

        run(
            *("recipients", "add", "postduen", "--legal-name", "Postduen AS", "--role", "processor"),
            *("--country", "NO", "--agreement", "Agreement of 2026-01-15", *OURS),
        )

        assert "Postduen AS" in run("recipients", "list", *OURS).stdout


class TestOpening:
    def test_another_databases_keys_are_refused(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keyring.create_keyring(tmp_path / "others")
        monkeypatch.setenv("CONSENT_KEYS", str(tmp_path / "others"))

        result = add_controller(run)

        assert result.exit_code == 1
        assert "key_folder_invalid" in result.stderr

    def test_a_folder_without_a_service_says_how_to_start_it(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DATABASE_URL_APP")

        result = run("controllers", "list")

        assert result.exit_code == 1
        assert "consent up" in result.stderr

    def test_a_database_that_does_not_answer_is_not_a_traceback(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_URL_APP", "postgresql://somebody:secret@127.0.0.1:9/consent")

        result = run("controllers", "list")

        assert result.exit_code == 1
        assert "secret" not in result.output
