"""Promise: a full disk, a wrong clock or a key that is not right stops signatures alone, and says so.

Entries wait meanwhile and acts go on; when it is mended, everything that waited has its place.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from consent_service import clock
from consent_service.crypto import keyring as key_folder
from consent_service.db import embedded
from consent_service.db.session import Database
from tests.conftest import Cluster
from tests.log_house import House
from tests.promises import keepers
from tests.promises.keepers import Watch
from tests.services import PATIENCE, ROOT, Service, start

#: In bytes: what one file may hold, so that another part of what is written finds no room each time.
ROOMS = (0, 10, 100, 250, 1_000, 8_000, 9_000)
CLOCKS = ("", "yesterday", "nan", "inf", "1e15", "-1e15")


@pytest.fixture
def watch(
    database: Database, sequencer_database: Database, controller: str, tmp_path: Path, superuser_url: str
) -> Watch:
    return Watch(House.of(database, sequencer_database, controller, tmp_path / "outside", superuser_url))


def wait_until(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


class TestAFullDisk:
    def test_whatever_does_not_fit_waits(self, watch: Watch, sequencer_url: str, tmp_path: Path) -> None:
        order = keepers.order_of(watch, sequencer_url, rounds=(3, 300))
        with keepers.forge(tmp_path / "forge") as forge:
            for room in ROOMS:
                assert forge.start(**order, room=room)["code"] == 0, forge.said.read_text(encoding="utf-8")
            watch.see(forge.signed())
            said = forge.said.read_text(encoding="utf-8")

        watch.finish()

        watch.demand_whole()
        watch.demand_one_history()
        assert "log_copy_unavailable" in said
        assert "Traceback" not in said

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
    def test_of_its_own_is_no_refusal(self, watch: Watch, tmp_path: Path) -> None:
        with small_disk(tmp_path / "outside", size="64k") as enlarge:
            watch.house.keep()
            watch.write(600)
            watch.house.keep()
            assert watch.house.log().refused is None
            assert watch.house.head().size == 1

            enlarge("4m")
            watch.finish()

            watch.demand_whole()


@contextlib.contextmanager
def small_disk(folder: Path, *, size: str) -> Iterator[Callable[[str], None]]:
    """Put a disk of this size at a folder, and give what makes it larger."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield lambda larger: _run("mount", "-o", f"remount,size={larger}", str(folder))
    finally:
        _run("umount", str(folder))


def _run(*words: str) -> None:
    subprocess.run(words, check=True)


class TestAClockThatSteps:
    def test_forwards_and_back_changes_nothing(
        self, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "clock"
        monkeypatch.setenv(clock.OFFSET_FILE_VARIABLE, str(path))

        for days in (0, 40, -400, 3_000, 0):
            path.write_text(str(days * 86_400), encoding="ascii")
            watch.write(3)
            watch.finish()
            watch.demand_whole()

        watch.demand_one_history()
        kept = [path.stem for path in (watch.house.copy.folder / "checkpoints").iterdir()]
        assert datetime.now(UTC).date().isoformat() in kept
        assert len(kept) >= 4

    @pytest.mark.parametrize("text", CLOCKS)
    def test_to_nowhere_lets_entries_wait(
        self, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        watch.finish()
        size = watch.house.head().size
        path = tmp_path / "clock"
        monkeypatch.setenv(clock.OFFSET_FILE_VARIABLE, str(path))
        path.write_text(text, encoding="ascii")
        watch.write(3)
        watch.house.begin_again()
        watch.house.keep()
        assert watch.house.head().size == size

        path.unlink()
        watch.finish()

        watch.demand_whole()


#: What is wrong with the folder of the key that signs, and what is said about it.
KeyFolder = Callable[[Path], object]
WRONG_KEYS: dict[str, tuple[KeyFolder, str]] = {
    "it is missing": (lambda folder: folder.rename(folder.with_name("elsewhere")), "does not exist"),
    "it is empty": (lambda folder: (folder / "log.1.key").unlink(), "has no key log (log.1.key)"),
    "the key is damaged": (lambda folder: (folder / "log.1.key").write_bytes(b"AAAA\n"), "does not hold 32 bytes"),
    "others can read the key": (lambda folder: (folder / "log.1.key").chmod(0o644), "is open to other users"),
    "others can read the folder": (lambda folder: folder.chmod(0o755), "is open to other users"),
    "the key is another database's": (
        lambda folder: (folder / "log.1.key").write_bytes(b"A" * 43 + b"=\n"),
        "is not the one of this database",
    ),
}


class TestAKeyThatIsNotRight:
    @pytest.mark.parametrize("wrong", WRONG_KEYS)
    def test_is_said_in_one_sentence(self, fresh: Cluster, sequencer_url: str, tmp_path: Path, wrong: str) -> None:
        folder = tmp_path / "log"
        fresh.record_keys(key_folder.create_keyring(folder, names=key_folder.LOG_NAMES))
        spoil, words = WRONG_KEYS[wrong]
        spoil(folder)

        done = subprocess.run(
            [sys.executable, "-m", "consent_service.cli.main", "log-keeper"],
            cwd=ROOT,
            env={
                **os.environ,
                "DATABASE_URL_SEQUENCER": sequencer_url,
                "CONSENT_LOG_KEYS": str(folder),
                "CONSENT_LOG_COPY": str(tmp_path / "outside"),
                "PUBLIC_URL": "https://consent.example",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

        sentences = [line for line in done.stderr.splitlines() if not line.startswith("{")]
        assert (done.returncode, len(sentences)) == (1, 1), done.stderr
        assert sentences[0].startswith("Error: ")
        assert words in sentences[0]

    def test_stops_no_act_and_all_is_placed_when_it_is_mended(self, tmp_path: Path) -> None:
        first = start(tmp_path / "data", "--demo", terminal="first")
        first.wait_ready()
        key = first.data / "keys" / "log" / "log.1.key"
        assert first.stop(signal.SIGTERM) == 0
        key.chmod(0o644)
        service = start(first.data, "--demo")
        try:
            service.wait_ready()
            wait_until(lambda: "log-keeper ended with exit code 1" in service.output())
            assert report_a_consent(service) == 201
            assert waiting(service) > 0

            key.chmod(0o600)
            wait_until(lambda: waiting(service) == 0)
        finally:
            service.stop()
        said = (service.data / "log" / "log-keeper.log").read_text(encoding="utf-8")
        assert "is open to other users" in said
        assert "Traceback" not in said


def report_a_consent(service: Service) -> int:
    world: dict[str, Any] = json.loads((service.data / "demo.json").read_text(encoding="utf-8"))
    shop = world["controllers"][0]
    body = {
        "subject": {"email": "ola@kunde.example"},
        "form": shop["forms"]["kundeklubb"],
        "language": "nb",
        "decisions": [{"purpose": "customer_survey", "channel": "email", "granted": True}],
        "evidence": {"method": "app", "act": "button_pressed", "occurred_at": datetime.now(UTC).isoformat()},
    }
    status, _ = service.post("/v1/consents", body, authorization=shop["api_key"])
    return status


def waiting(service: Service) -> int:
    """Count the entries that have no place yet, in all controllers."""
    server = embedded.find_running(service.data / "postgres")
    assert server is not None
    with psycopg.connect(server.superuser_url("consent")) as connection:
        row = connection.execute("SELECT count(*) FROM audit.queue").fetchone()
    assert row is not None
    count: int = row[0]
    return count
