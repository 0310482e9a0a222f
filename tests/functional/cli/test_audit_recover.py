"""A refused log is let go on at the command line: compared with its copy first, confirmed, and for a reason."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from consent_service.audit import logs, published
from consent_service.cli import main
from consent_service.cli.log_keeper import Keeper
from consent_service.db.session import Database
from consent_service.vault import keys
from tests import log_backups
from tests.builders import NOON
from tests.log_house import SEED, House, settings_of

Run = Callable[..., Result]

OURS = ("--controller", "nordlys")
WHY = ("--reason", "The disk broke.")


@pytest.fixture
def house(
    database: Database, sequencer_database: Database, controller: str, tmp_path: Path, superuser_url: str
) -> House:
    return House.of(database, sequencer_database, controller, tmp_path / "outside", superuser_url)


@pytest.fixture
def run(app_url: str, keys_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command beside the service, in a data folder of its own."""
    monkeypatch.setenv("DATABASE_URL_APP", app_url)
    monkeypatch.setenv("CONSENT_KEYS", str(keys_dir))
    monkeypatch.setenv("CONSENT_LOG_COPY", str(tmp_path / "outside"))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def run_one(*words: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(main.consent, ["audit", "recover", *words, "--data", str(tmp_path)], input=stdin)

    return run_one


def answer(result: Result) -> Any:  # noqa: ANN401 - JSON as a program reads it
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def lose(house: House, *, kept: int, lost: int) -> None:
    """Put the log back to what it was before some of its entries, and let the keeper find out."""
    house.act(kept - 1)
    house.keep()
    backup = log_backups.back_up(house)
    house.act(lost)
    house.keep()
    log_backups.restore(house, backup)
    house.begin_again()
    house.keep()


def gap_of(house: House) -> Any:  # noqa: ANN401 - JSON as a program reads it
    with house.database.transaction(house.controller_id) as session:
        return published.list_epochs(session)[-1].gap


class TestAsking:
    def test_what_is_lost_is_shown_before_anything_is_written(self, house: House, run: Run) -> None:
        lose(house, kept=5, lost=3)

        result = run(*OURS, *WHY, stdin="n\n")

        assert result.exit_code == 1
        assert "last signed head: 8 entries" in result.stderr
        assert "in the database: 5 entries, the beginning of what was signed" in result.stderr
        assert "lost: 3 entries, from 2026-03-02T12:00:00.000000Z to 2026-03-02T12:00:00.000000Z" in result.stderr
        assert "log.exported: 3" in result.stderr
        house.keep()
        assert house.log().epoch == 1

    def test_yes_is_enough(self, house: House, run: Run) -> None:
        lose(house, kept=5, lost=3)

        result = run(*OURS, *WHY, stdin="y\n")
        house.keep()

        assert result.exit_code == 0
        assert "Recorded." in result.stdout
        assert (house.log().epoch, house.log().refused) == (2, None)
        assert gap_of(house)["kept"] == 5

    def test_nothing_is_recovered_that_is_sound(self, house: House, run: Run) -> None:
        house.keep()

        result = run(*OURS, *WHY, "--yes")

        assert result.exit_code == 1
        assert "nothing_to_recover" in result.stderr

    def test_a_recovery_is_recorded_once(self, house: House, run: Run) -> None:
        lose(house, kept=5, lost=3)
        answer(run(*OURS, *WHY, "--yes", "--json"))

        result = run(*OURS, *WHY, "--yes")

        assert result.exit_code == 1
        assert "waits for the log keeper" in result.stderr

    @pytest.mark.parametrize("words", [OURS, (*OURS, *WHY, "--platform")])
    def test_what_cannot_be_meant_is_a_usage_error(self, house: House, run: Run, words: tuple[str, ...]) -> None:
        assert house.controller_id
        assert run(*words, "--yes").exit_code == 2

    def test_an_empty_reason_is_none(self, house: House, run: Run) -> None:
        lose(house, kept=5, lost=3)

        assert run(*OURS, "--reason", " ", "--yes").exit_code == 1


class TestComparing:
    def test_entries_that_wait_in_the_database_are_not_lost(self, house: House, run: Run) -> None:
        house.keep()
        house.act(2)
        backup = log_backups.back_up(house)
        house.act(3)
        house.keep()
        log_backups.restore(house, backup)
        house.begin_again()
        house.keep()

        told = answer(run(*OURS, *WHY, "--yes", "--json"))
        house.keep()

        assert (told["kept"], told["size"], told["lost"], told["spared"]) == (1, 6, 3, 2)
        assert house.head(2).size == 3

    @pytest.mark.parametrize("kept", [250, 256])
    def test_across_tiles(self, house: House, run: Run, kept: int) -> None:
        lose(house, kept=kept, lost=10)

        told = answer(run(*OURS, *WHY, "--yes", "--json"))

        assert (told["is_prefix"], told["lost"], told["unread"]) == (True, 10, 0)

    def test_another_beginning_is_said_to_be_one(self, house: House, run: Run) -> None:
        house.act(4)
        house.keep()
        house.as_superuser("UPDATE audit.tree SET root = sha256('another')")
        house.begin_again()
        house.keep()

        told = answer(run(*OURS, *WHY, "--yes", "--json"))
        house.begin_again()
        house.keep()
        house.keep()

        assert (told["is_prefix"], told["finding"]) == (False, "tree_mismatch")
        assert gap_of(house)["is_prefix"] is False
        assert (house.log().epoch, house.log().refused) == (2, None)

    def test_where_the_copy_is_gone_the_newest_head_of_the_database_is_named(self, house: House, run: Run) -> None:
        house.act(4)
        house.keep()
        signed = house.head()
        shutil.rmtree(house.folder)
        house.begin_again()
        house.keep()

        told = answer(run(*OURS, *WHY, "--yes", "--json"))
        house.keep()

        assert (told["finding"], told["size"], told["root"]) == ("copy_missing", 5, signed.root.hex())
        assert told["is_prefix"] is False
        assert house.log().epoch == 2

    def test_a_database_that_began_anew_at_another_address_goes_on(self, house: House, run: Run) -> None:
        backup = log_backups.back_up(house)
        house.act(4)
        house.keep()
        log_backups.restore(house, backup)
        moved = replace(settings_of(house.folder), host="elsewhere.example")
        house.keeper = Keeper(house.sequencer, moved, SEED)
        house.keep()

        told = answer(run(*OURS, *WHY, "--yes", "--json"))
        house.keep()

        assert (told["log"], told["size"]) == (f"consent.example/log/{house.controller_id}", 5)
        assert (house.log().epoch, house.log().refused) == (2, None)
        assert house.head(2).origin == f"elsewhere.example/log/{house.controller_id}/e2"

    def test_a_copy_that_the_service_keeps_elsewhere_is_asked_for(
        self, house: House, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lose(house, kept=5, lost=3)
        monkeypatch.delenv("CONSENT_LOG_COPY")

        result = run(*OURS, *WHY, "--yes")

        assert result.exit_code == 1
        assert "CONSENT_LOG_COPY" in result.output
        house.keep()
        assert house.log().epoch == 1

    def test_tiles_that_are_not_there_are_counted(self, house: House, run: Run) -> None:
        lose(house, kept=5, lost=3)
        shutil.rmtree(house.copy.folder / "tile" / "entries")

        told = answer(run(*OURS, *WHY, "--yes", "--json"))

        assert (told["is_prefix"], told["lost"], told["unread"]) == (True, 0, 3)

    def test_a_forged_head_outside_is_not_named(self, house: House, run: Run) -> None:
        house.act(4)
        house.keep()
        (house.copy.folder / "checkpoint").write_text("forged\n", encoding="utf-8")
        house.begin_again()
        house.keep()

        told = answer(run(*OURS, *WHY, "--yes", "--json"))
        house.keep()

        assert (told["finding"], told["size"]) == ("bad_signature", 5)
        assert (house.log().epoch, house.log().refused) == (2, None)


class TestThePlatform:
    def test_its_log_is_recovered_like_any_other(self, house: House, run: Run) -> None:
        house.controller_id = logs.PLATFORM
        with house.database.transaction(logs.PLATFORM) as session:
            keys.create_for_controller(session, at=NOON)
        lose(house, kept=5, lost=3)

        told = answer(run("--platform", *WHY, "--yes", "--json"))
        house.keep()

        assert told["log"] == f"consent.example/log/{logs.PLATFORM}"
        assert house.log().epoch == 2
