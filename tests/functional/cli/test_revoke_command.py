"""A source is recalled at the command line: counted first, typed to confirm, and for a reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from consent_service.cli import main
from consent_service.consent.check import Decision
from consent_service.consent.confirmation import ConfirmationView
from consent_service.db.session import Database
from tests import builders
from tests.builders import KARI, OLA

Run = Callable[..., Result]

OURS = ("--controller", "nordlys")
WHY = ("--reason", "the page had ticked the box")


@pytest.fixture
def run(app_url: str, keys_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line beside the service, in a data folder of its own."""
    monkeypatch.setenv("DATABASE_URL_APP", app_url)
    monkeypatch.setenv("CONSENT_KEYS", str(keys_dir))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def run_one(*words: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(main.consent, [*words, *OURS, "--data", str(tmp_path)], input=stdin)

    return run_one


@pytest.fixture
def form_id(database: Database, controller: str) -> str:
    """Return the form on which two people subscribed to the newsletter."""
    with database.transaction(controller) as session:
        views: list[ConfirmationView] = [builders.a_given_consent(session, email=email) for email in (KARI, OLA)]
    assert views[0].form_id is not None
    return views[0].form_id


def check(database: Database, controller: str) -> Decision:
    with database.transaction(controller) as session:
        return builders.a_check(session)


def listed(run: Run) -> Any:  # noqa: ANN401 - JSON as a program reads it
    return json.loads(run("revocations", "list", "--json").stdout)


class TestRevoke:
    def test_a_dry_run_counts_and_writes_nothing(
        self, run: Run, form_id: str, database: Database, controller: str
    ) -> None:
        result = run("revoke", "--form", form_id, *WHY, "--dry-run")

        assert result.exit_code == 0
        assert "newsletter  email    2" in result.stdout
        assert "2 consents stand and would end." in result.stdout
        assert listed(run) == []
        assert check(database, controller).allowed

    def test_a_dry_run_speaks_to_programs(self, run: Run, form_id: str) -> None:
        result = run("revoke", "--form", form_id, "--form-version", "1", *WHY, "--dry-run", "--json")

        assert json.loads(result.stdout) == {
            "status": "dry_run",
            "count": 2,
            "consents": [{"purpose": "newsletter", "channel": "email", "count": 2}],
        }

    def test_the_number_is_typed_to_confirm(self, run: Run, form_id: str, database: Database, controller: str) -> None:
        result = run("revoke", "--form", form_id, *WHY, stdin="2\n")

        assert result.exit_code == 0
        assert "newsletter by email: 2" in result.stderr
        assert check(database, controller).reason == "consent_revoked"
        (recalled,) = listed(run)
        assert (recalled["form"], recalled["status"], recalled["count"]) == (form_id, "applying", 2)
        assert recalled["reason"] == WHY[1]

    @pytest.mark.parametrize("typed", ["\n", "y\n", "3\n", ""])
    def test_anything_else_writes_nothing(
        self, run: Run, form_id: str, database: Database, controller: str, typed: str
    ) -> None:
        result = run("revoke", "--form", form_id, *WHY, stdin=typed)

        assert result.exit_code == 1
        assert check(database, controller).allowed

    def test_a_program_says_yes_beforehand(self, run: Run, form_id: str, database: Database, controller: str) -> None:
        result = run("revoke", "--form", form_id, *WHY, "--yes", "--json")

        answer = json.loads(result.stdout)
        assert (answer["status"], answer["count"]) == ("applying", 2)
        assert not check(database, controller).allowed

    @pytest.mark.parametrize(
        "words",
        [
            WHY,
            ("--form", "frm_x", *WHY),
            ("--api-key", "crm", *WHY),
            ("--form-version", "1", "--import", "crm", *WHY),
            ("--import", "crm"),
            ("--from", "yesterday", *WHY),
        ],
    )
    def test_what_cannot_be_meant_is_a_usage_error(self, run: Run, form_id: str, words: tuple[str, ...]) -> None:
        assert form_id
        assert run("revoke", *words, "--yes").exit_code == 2

    def test_what_the_service_refuses_is_a_sentence(self, run: Run, form_id: str) -> None:
        result = run("revoke", "--form", form_id, "--form-version", "7", *WHY, "--yes")

        assert result.exit_code == 1
        assert "form_unknown" in result.stderr
        assert "Traceback" not in result.output
