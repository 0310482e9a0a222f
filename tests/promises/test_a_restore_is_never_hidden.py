"""Promise: a database that was put back is found out, named for ever, and goes on.

A real cluster is copied file by file, more happens, and the copy is put back, as after a broken disk. What was signed
before lies outside: nothing more is signed until somebody says what is lost, and everybody who reads the log is told.
"""

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from consent_service.audit import published, standalone_verifier
from consent_service.cli import audit_verify, main
from consent_service.crypto.keyring import Keyring
from consent_service.db.session import Database, make_engine
from tests import builders, own_server
from tests.builders import KARI, OLA
from tests.conftest import ROLES
from tests.log_house import House
from tests.own_server import OwnServer

PER = "per.nordmann@kunde.example"


@dataclass(slots=True)
class Drill:
    """A service on a cluster that can be put back, with its log outside of it."""

    server: OwnServer
    house: House
    data_dir: Path

    def consent(self, email: str) -> None:
        with self.house.database.transaction(self.house.controller_id) as session:
            builders.a_given_consent(session, email=email)

    def allows(self, email: str) -> bool:
        with self.house.database.transaction(self.house.controller_id) as session:
            return builders.a_check(session, email=email).allowed

    def put_back(self, backup: Path) -> None:
        """Put the cluster back, and start the log keeper on it."""
        self.server.put_back(backup)
        self.house.begin_again()

    def keep(self) -> None:
        self.house.keep()
        self.house.keep()

    def recover(self) -> dict[str, Any]:
        result = CliRunner().invoke(
            main.consent,
            ["audit", "recover", "--data", str(self.data_dir), "--reason", "The disk broke.", "--yes", "--json"],
        )
        assert result.exit_code == 0, result.output
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    def waiting(self) -> int:
        with self.house.database.transaction(self.house.controller_id) as session:
            count: int = session.connection().exec_driver_sql("SELECT count(*) FROM audit.queue").scalar_one()
        return count

    def gaps(self) -> list[Any]:
        """Return what whoever reads the log is told about each of its epochs."""
        with self.house.database.transaction(self.house.controller_id) as session:
            return [epoch.gap for epoch in published.list_epochs(session)]

    def outside(self, epoch: int) -> Path:
        return self.house.folder / self.house.controller_id / f"e{epoch}"

    def findings(self) -> list[str]:
        """Verify the log where it lies, with what lies outside."""
        report = audit_verify.run(self.house.database, self.house.controller_id, copies=self.house.folder)
        return [found.name for found in report.findings]

    def verdict(self, folder: Path) -> tuple[int, dict[str, Any]]:
        """Let a stranger verify what lies outside, with verify.py, one kept head and nothing else."""
        shutil.copytree(
            self.house.folder / self.house.controller_id, folder / "log", ignore=shutil.ignore_patterns(".*")
        )
        (folder / "openings.jsonl").touch()
        (folder / "verify.py").write_text(standalone_verifier.program(), encoding="utf-8")
        words = [sys.executable, "-I", str(folder / "verify.py"), "--json", "--vkey", str(self.outside(1) / "vkey.txt")]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        told: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, told


@pytest.fixture
def drill(tmp_path: Path, keyring: Keyring, keys_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drill]:
    """Run a service on a cluster of its own; Kari has consented there."""
    with own_server.running(tmp_path / "own", keyring) as server, contextlib.ExitStack() as closing:
        urls = {login: server.cluster.url(login=login) for login in (ROLES.app, ROLES.sequencer)}
        engines = {login: make_engine(url) for login, url in urls.items()}
        for engine in engines.values():
            closing.callback(engine.dispose)
        database = Database(engines[ROLES.app], keyring)
        controller = builders.a_controller(database)
        monkeypatch.setenv("DATABASE_URL_APP", urls[ROLES.app])
        monkeypatch.setenv("CONSENT_KEYS", str(keys_dir))
        monkeypatch.setenv("CONSENT_LOG_COPY", str(tmp_path / "outside"))
        monkeypatch.delenv("DATABASE_URL", raising=False)
        house = House.of(
            database,
            Database(engines[ROLES.sequencer], Keyring({})),
            controller,
            tmp_path / "outside",
            server.cluster.database_url,
        )
        drill = Drill(server, house, tmp_path)
        drill.consent(KARI)
        drill.keep()
        yield drill


class TestARestoredDatabase:
    @pytest.mark.rule("LOG-03")
    @pytest.mark.rule("LOG-12")
    def test_is_refused_until_its_loss_is_named_and_then_goes_on(self, drill: Drill, tmp_path: Path) -> None:
        kept = drill.house.log().size
        backup = drill.server.back_up("backup")
        drill.house.begin_again()
        drill.consent(OLA)
        drill.keep()
        signed = drill.house.head()

        drill.put_back(backup)
        drill.consent(PER)
        drill.keep()

        assert (drill.house.log().refused, drill.house.log().size) == ("not_append_only", kept)
        assert drill.house.head() == signed
        assert drill.waiting() > 0
        assert [drill.allows(email) for email in (KARI, OLA, PER)] == [True, False, True]

        answer = drill.recover()
        drill.keep()

        gap = {
            "log": signed.origin,
            "size": signed.size,
            "root": signed.root.hex(),
            "kept": kept,
            "finding": "not_append_only",
            "is_prefix": True,
        }
        assert drill.gaps() == [None, gap]
        assert (answer["lost"], answer["spared"], answer["unread"]) == (signed.size - kept, 0, 0)
        assert answer["lost_types"]["consent.given"] == 1
        assert (drill.house.log().epoch, drill.house.log().refused, drill.waiting()) == (2, None, 0)
        assert drill.house.head() == signed
        assert drill.house.head(2).origin == f"{signed.origin}/e2"
        assert not drill.allows(OLA)
        assert drill.findings() == []
        code, told = drill.verdict(tmp_path / "bundle")
        assert (code, [each["gap"] for each in told["gaps"]]) == (0, [gap]), told

    @pytest.mark.rule("LOG-03")
    def test_may_be_put_back_again_and_again(self, drill: Drill, tmp_path: Path) -> None:
        first = drill.server.back_up("first")
        drill.house.begin_again()
        drill.consent(OLA)
        drill.keep()
        drill.put_back(first)
        drill.keep()
        drill.recover()
        drill.keep()
        second = drill.server.back_up("second")
        drill.house.begin_again()
        drill.consent(OLA)
        drill.keep()

        drill.put_back(second)
        drill.keep()
        assert drill.house.log().refused == "not_append_only"
        drill.recover()
        drill.keep()
        third = [drill.house.head(epoch) for epoch in (1, 2, 3)]
        drill.put_back(first)
        drill.keep()
        assert (drill.house.log().epoch, drill.house.log().refused) == (1, "not_append_only")
        answer = drill.recover()
        drill.consent(OLA)
        drill.keep()

        assert (answer["next_epoch"], [each["log"] for each in answer["later"]]) == (
            4,
            [head.origin for head in third[1:]],
        )
        assert (drill.house.log().epoch, drill.house.log().refused, drill.waiting()) == (4, None, 0)
        assert [drill.house.head(epoch) for epoch in (1, 2, 3)] == third
        assert drill.allows(OLA)
        assert drill.findings() == []
        code, told = drill.verdict(tmp_path / "bundle")
        assert (code, len(told["gaps"])) == (0, 3), told
