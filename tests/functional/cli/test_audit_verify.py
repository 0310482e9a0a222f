"""`consent audit verify` says what it verified, names the first bad row, and ends with 3 where something was found."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from consent_service.cli import main
from consent_service.db.session import Database
from tests.log_house import House

Run = Callable[..., Result]


@pytest.fixture
def house(
    database: Database, sequencer_database: Database, controller: str, tmp_path: Path, superuser_url: str
) -> House:
    """Keep the log of a controller, with its copy outside."""
    house = House.of(database, sequencer_database, controller, tmp_path / "log-copy", superuser_url)
    house.act(4)
    house.keep()
    return house


@pytest.fixture
def run(app_url: str, keys_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line beside the service, in a data folder of its own."""
    monkeypatch.setenv("DATABASE_URL_APP", app_url)
    monkeypatch.setenv("CONSENT_KEYS", str(keys_dir))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("CONSENT_LOG_COPY", raising=False)

    def run_one(*words: str) -> Result:
        return CliRunner().invoke(main.consent, ["audit", "verify", *words, "--data", str(tmp_path)])

    return run_one


OURS = ("--controller", "nordlys")


class TestSound:
    def test_it_says_what_was_verified_and_what_that_cannot_show(self, house: House, run: Run) -> None:
        result = run(*OURS)

        assert result.exit_code == 0, result.output
        assert "nordlys: 5 entries, 1 tiles, 3 signed heads, 5 entries outside" in result.stdout
        assert "5 payloads opened" in result.stdout
        assert "Nothing was found." in result.stdout
        assert "an act whose entry was never written" in result.stdout
        assert house.log().size == 5

    def test_programs_read_json(self, house: House, run: Run) -> None:
        result = run("--json", *OURS)

        found = json.loads(result.stdout)
        assert result.exit_code == 0
        assert found["sound"] is True
        assert found["logs"][0]["epochs"][0] == {"epoch": 1, "origin": house.log().origin, "size": 5, "copied": 5}

    @pytest.mark.usefixtures("house")
    def test_quiet_says_nothing(self, run: Run) -> None:
        result = run("--quiet", *OURS)

        assert (result.exit_code, result.stdout) == (0, "")

    @pytest.mark.usefixtures("house")
    def test_all_logs_are_verified_where_none_is_named(self, run: Run) -> None:
        logs = json.loads(run("--json").stdout)["logs"]

        assert [each["controller"] for each in logs] == ["noise", "nordlys", "platform"]

    @pytest.mark.usefixtures("house")
    def test_the_log_of_the_installation_can_be_named(self, run: Run) -> None:
        assert [each["controller"] for each in json.loads(run("--json", "--platform").stdout)["logs"]] == ["platform"]


class TestUnsound:
    def test_what_is_wrong_is_named_with_its_place(self, house: House, run: Run) -> None:
        house.as_superuser(
            "UPDATE audit.entry SET occurred_at = occurred_at + interval '1 hour' FROM audit.leaf l"
            " WHERE l.entry_id = id AND l.index = 3"
        )

        result = run(*OURS)

        assert result.exit_code == 3
        assert "nordlys: leaf_mismatch: entry 3: the entry is not the one that was placed here" in result.stdout
        assert "NOT SOUND: nordlys." in result.stdout

    def test_quiet_says_only_that(self, house: House, run: Run) -> None:
        house.as_superuser("DELETE FROM audit.stream_head WHERE stream = 'log'")

        result = run("--quiet", *OURS)

        assert result.exit_code == 3
        assert result.stdout == "nordlys: stream_gap: log: its head is gone\n"

    def test_a_copy_that_is_not_there_is_missed(self, house: House, run: Run, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()

        result = run("--copy", str(tmp_path / "elsewhere"), *OURS)

        assert result.exit_code == 3
        assert "nordlys: copy_missing: copy e1: no signed head lies outside the database" in result.stdout
        assert house.signed() == [5]

    def test_nobody_looks_at_the_copy_where_that_is_asked_for(self, house: House, run: Run) -> None:
        result = run("--without-copy", *OURS)

        assert result.exit_code == 0
        assert "The copy outside was not looked at" in result.stdout
        assert house.signed() == [5]


class TestMistakes:
    def test_an_unknown_controller_is_a_wrong_usage(self, run: Run) -> None:
        assert run("--controller", "nobody").exit_code == 2
