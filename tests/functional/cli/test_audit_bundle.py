"""A bundle from the command line: verified by its own program alone, whole or not there at all, and written down."""

import json
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from consent_service.audit import logs, query, standalone_verifier, trail
from consent_service.audit.grammar import Query
from consent_service.audit.query import Names
from consent_service.cli import audit_bundle, main
from consent_service.db.session import Database
from consent_service.vault import keys
from tests.acts import OLA, Stage
from tests.audit_logs import LogKeeper
from tests.builders import NOON

Run = Callable[..., Result]
OURS = ("--controller", "nordlys")


@pytest.fixture
def run(app_url: str, keys_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `consent audit bundle` beside the service."""
    monkeypatch.setenv("DATABASE_URL_APP", app_url)
    monkeypatch.setenv("CONSENT_KEYS", str(keys_dir))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def run_one(*words: str) -> Result:
        return CliRunner().invoke(main.consent, ["audit", "bundle", "--data", str(tmp_path), *words])

    return run_one


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "bundle.zip"


@pytest.fixture
def stage(database: Database, controller: str) -> Stage:
    return Stage(database, controller)


@pytest.fixture
def keeper(sequencer_database: Database, controller: str) -> LogKeeper:
    return LogKeeper(sequencer_database, controller)


@pytest.fixture
def person(stage: Stage) -> str:
    """Let two people subscribe, and return one of them."""
    stage.purpose("newsletter")
    form = stage.form(("newsletter", "email"))
    stage.give(form, ("newsletter", "email"), email=OLA)
    given = stage.give(form, ("newsletter", "email"))
    assert given.subject_id is not None
    return given.subject_id


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return verify.py, as it lies in every bundle."""
    path = tmp_path_factory.mktemp("verifier") / "verify.py"
    path.write_text(standalone_verifier.program(), "utf-8")
    return path


@pytest.fixture
def verify(verifier: Path, target: Path) -> Callable[[], dict[str, Any]]:
    """Verify the zip where it lies, with nothing of the service within reach."""

    def verify_it() -> dict[str, Any]:
        with zipfile.ZipFile(target) as packed:
            assert packed.read("verify.py") == verifier.read_bytes()
        command = [sys.executable, "-I", str(verifier), str(target), "--json"]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
        told: dict[str, Any] = json.loads(done.stdout)
        assert (done.returncode == 0) == told["verified"]
        return told

    return verify_it


def write_entries(database: Database, controller: str, count: int) -> None:
    with database.transaction(controller) as session:
        for _ in range(count):
            trail.record(
                session,
                type="signup.expired",
                at=NOON,
                actor=trail.SYSTEM,
                stream="controller",
                payload={"count": 1},
            )


class TestEvidence:
    def test_of_a_person_is_verified_and_readable_by_its_owner_alone(
        self, run: Run, keeper: LogKeeper, person: str, target: Path, verify: Callable[[], dict[str, Any]]
    ) -> None:
        keeper.publish()

        done = run(*OURS, "--subject", person, "--out", str(target), "--json")

        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["bytes"] == target.stat().st_size
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert verify()["verified"]

    def test_of_a_declaration_is_written_down_with_the_reason(
        self, run: Run, stage: Stage, keeper: LogKeeper, person: str, target: Path
    ) -> None:
        keeper.publish()
        consent_id = stage.check().consent_id
        assert consent_id is not None

        done = run(*OURS, "--consent", consent_id, "--out", str(target), "--reason", "Datatilsynet asks", "--quiet")

        assert done.stdout.strip() == str(target)
        assert written(stage, "evidence.revealed") == [{"consent": consent_id, "reason": "Datatilsynet asks"}]
        assert [each["consent"] for each in written(stage, "log.exported")] == [consent_id]
        assert person

    def test_of_nobody_leaves_nothing(self, run: Run, keeper: LogKeeper, person: str, target: Path) -> None:
        del person
        keeper.publish()

        done = run(*OURS, "--subject", "sub_" + "0" * 26, "--out", str(target))

        assert done.exit_code == 1
        assert list(target.parent.iterdir()) == []


class TestWholeLog:
    @pytest.mark.rule("LOG-04")
    def test_of_every_size_is_verified_and_wholly_opened(
        self,
        run: Run,
        database: Database,
        controller: str,
        keeper: LogKeeper,
        target: Path,
        verify: Callable[[], dict[str, Any]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """At the borders of tiles, and of the shares that one transaction reads."""
        monkeypatch.setattr(audit_bundle, "TILES", 1)
        monkeypatch.setattr(audit_bundle, "OPENINGS", 100)

        seen = {}
        for size in (2, 255, 256, 257, 512, 700):
            write_entries(database, controller, size - keeper.place().size)
            keeper.publish()
            run(*OURS, "--all", "--out", str(target), "--quiet")
            told = verify()
            [epoch] = told["epochs"]
            seen[size] = (told["verified"], epoch["size"], epoch["opened"], epoch["not_supplied"])
            target.unlink()

        assert seen == {size: (True, size, size, 0) for size in seen}

    def test_after_an_erasure_says_what_was_erased(
        self,
        run: Run,
        keeper: LogKeeper,
        person: str,
        target: Path,
        verify: Callable[[], dict[str, Any]],
        superuser_url: str,
    ) -> None:
        del person
        keeper.publish()
        with psycopg.connect(superuser_url) as connection:
            connection.execute("DELETE FROM vault.subject_key")

        run(*OURS, "--all", "--out", str(target))

        told = verify()
        [epoch] = told["epochs"]
        assert told["verified"]
        assert epoch["erased"] == 6
        assert epoch["opened"] + epoch["erased"] == epoch["size"]

    def test_of_the_installation_is_another(
        self,
        run: Run,
        database: Database,
        sequencer_database: Database,
        target: Path,
        verify: Callable[[], dict[str, Any]],
    ) -> None:
        with database.transaction(logs.PLATFORM) as session:
            keys.create_for_controller(session, at=NOON)
        write_entries(database, logs.PLATFORM, 3)
        LogKeeper(sequencer_database, logs.PLATFORM).publish()

        done = run("--all", "--platform", "--out", str(target))

        assert done.exit_code == 0, done.output
        told = verify()
        assert (told["verified"], told["epochs"][0]["opened"]) == (True, 3)
        assert told["epochs"][0]["origin"].endswith(logs.PLATFORM)

    def test_says_that_nothing_is_signed_yet(self, run: Run, person: str, target: Path) -> None:
        del person

        done = run(*OURS, "--all", "--out", str(target))

        assert (done.exit_code, "log_unknown" in done.output, target.exists()) == (1, True, False)


class TestUsage:
    @pytest.mark.parametrize(
        "words",
        [
            (),
            ("--all", "--subject", "sub_" + "0" * 26),
            ("--subject", "sub_" + "0" * 26, "--platform"),
            ("--all", "--platform", "--controller", "nordlys"),
            ("--all", "--controller", "nobody"),
        ],
    )
    def test_what_is_not_clear_is_not_done(self, run: Run, person: str, target: Path, words: tuple[str, ...]) -> None:
        del person

        assert run(*words, "--out", str(target)).exit_code == 2
        assert not target.exists()

    def test_no_file_is_overwritten(self, run: Run, keeper: LogKeeper, person: str, target: Path) -> None:
        del person
        keeper.publish()
        target.write_text("mine", "utf-8")

        assert run(*OURS, "--all", "--out", str(target)).exit_code == 2
        assert target.read_text("utf-8") == "mine"


def written(stage: Stage, type_: str) -> list[dict[str, Any]]:
    """Return what the entries of a type say, as far as tests ask."""
    with stage.act() as session:
        found = query.page(session, query=Query(), names=Names({}, {}), limit=100).entries
    names = ("consent", "reason")
    return [
        {name: (each.payload or {})[name] for name in names if name in (each.payload or {})}
        for each in found
        if each.type == type_
    ]
