"""Records of one person are merged at the command line, for a reason, after a question."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from consent_service.audit import trail
from consent_service.cli import main
from consent_service.db.session import Database
from consent_service.subjects import identity, members
from tests.builders import NOON

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


@pytest.fixture
def pair(database: Database, controller: str) -> tuple[str, str]:
    """Record somebody twice."""
    with database.transaction(controller) as session:
        first, second = (identity.create(session, at=NOON, actor=trail.SYSTEM) for _ in range(2))
    return first, second


class TestMerge:
    def test_it_says_which_record_goes_on(
        self, run: Run, pair: tuple[str, str], database: Database, controller: str
    ) -> None:
        result = run(
            *("subjects", "merge", *pair, "--reason", "One card.", "--yes", "--json", "--controller", "nordlys")
        )

        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["subject_id"] == pair[0]
        with database.transaction(controller) as session:
            assert members.survivor_of(session, pair[1]) == pair[0]

    def test_it_asks_first(self, run: Run, pair: tuple[str, str], database: Database, controller: str) -> None:
        words = ("subjects", "merge", *pair, "--reason", "One card.", "--controller", "nordlys")

        result = run(*words, stdin="n\n")

        assert result.exit_code == 1
        with database.transaction(controller) as session:
            assert members.ids_of(session, pair[0]) == (pair[0],)

    def test_what_is_no_id_is_a_sentence(self, run: Run, pair: tuple[str, str]) -> None:
        words = ("subjects", "merge", pair[0], "kari", "--reason", "One card.", "--yes", "--controller", "nordlys")

        result = run(*words)

        assert result.exit_code == 1
        assert "identifier_invalid" in result.stderr or "sub_" in result.stderr
        assert "Traceback" not in result.output
