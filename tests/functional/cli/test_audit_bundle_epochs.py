"""After a database was put back a bundle says what was lost, and proves what is left, in every epoch."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from consent_service.cli import main
from consent_service.db.session import Database
from tests import log_backups
from tests.acts import Stage
from tests.log_house import House

Run = Callable[..., Result]
OURS = ("--controller", "nordlys")


@pytest.fixture
def house(
    database: Database, sequencer_database: Database, controller: str, tmp_path: Path, superuser_url: str
) -> House:
    return House.of(database, sequencer_database, controller, tmp_path / "outside", superuser_url)


@pytest.fixture
def run(app_url: str, keys_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command of the log beside the service."""
    monkeypatch.setenv("DATABASE_URL_APP", app_url)
    monkeypatch.setenv("CONSENT_KEYS", str(keys_dir))
    monkeypatch.setenv("CONSENT_LOG_COPY", str(tmp_path / "outside"))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def run_one(*words: str) -> Result:
        done = CliRunner().invoke(main.consent, ["audit", *words, "--data", str(tmp_path)])
        assert done.exit_code == 0, done.output
        return done

    return run_one


@pytest.fixture
def person(house: House, run: Run) -> str:
    """Let somebody subscribe, lose what came after in a restore, and let the log go on."""
    stage = Stage(house.database, house.controller_id)
    stage.purpose("newsletter")
    given = stage.give(stage.form(("newsletter", "email")), ("newsletter", "email"))
    house.keep()
    backup = log_backups.back_up(house)
    house.act(300)
    house.keep()
    log_backups.restore(house, backup)
    house.begin_again()
    house.keep()
    run("recover", *OURS, "--reason", "The disk broke.", "--yes")
    stage.withdraw()
    house.keep()
    assert given.subject_id is not None
    return given.subject_id


@pytest.mark.parametrize("what", ["person", "whole"])
def test_both_epochs_are_verified_and_the_gap_is_told(run: Run, person: str, what: str, tmp_path: Path) -> None:
    target = tmp_path / "bundle.zip"

    run("bundle", *OURS, *(("--all",) if what == "whole" else ("--subject", person)), "--out", str(target))

    told = verify(target, tmp_path)
    assert told["findings"] == []
    assert told["verified"]
    assert [each["epoch"] for each in told["epochs"]] == [1, 2]
    assert len(told["gaps"]) == 1
    assert told["epochs"][1]["opened"] > 0


def verify(target: Path, folder: Path) -> dict[str, Any]:
    """Verify a bundle by its own program, where it lies."""
    with zipfile.ZipFile(target) as packed:
        packed.extract("verify.py", folder)
    command = [sys.executable, "-I", str(folder / "verify.py"), str(target), "--json"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    told: dict[str, Any] = json.loads(done.stdout)
    return told
