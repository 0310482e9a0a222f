"""Promise: every answer can be shown later.

Processes answer without a pause and are killed with kill -9, again and again, and so is the worker that moves what
they wrote down. Afterwards each answer that left a process is in the decision log, once.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from consent_service import identifiers
from consent_service.cli import decision_mover
from consent_service.consent import spool as spools
from consent_service.db.session import Database

ROOT = Path(__file__).resolve().parents[2]

#: Answers, and says so only afterwards, as a web server does.
ANSWER = """
import sys
from pathlib import Path
from consent_service.consent.spool import Spool
from tests.decisions import answer_single
spool = Spool(Path(sys.argv[1]), rotate_seconds=0.05)
while True:
    sys.stdout.write(answer_single(spool, sys.argv[2]) + "\\n")
    sys.stdout.flush()
"""
MOVE = """
import os, sys
from pathlib import Path
from consent_service.cli import decision_mover
from consent_service.crypto import keyring
from consent_service.db.session import Database, make_engine
decision_mover.SLICE = 20
database = Database(make_engine(os.environ["URL"]), keyring.load_keyring(Path(sys.argv[2])))
while True:
    decision_mover.move(database, Path(sys.argv[1]))
    print("moved", flush=True)
"""


@dataclass
class Machine:
    """One machine: its spool, the processes that answer on it, and its worker."""

    folder: Path
    controller: str
    keys_dir: Path
    worker_url: str
    answered: list[str] = field(default_factory=list)

    def answers_until_killed(self, answers: int) -> None:
        """Let two processes answer at the same time, and kill them in the middle of it."""
        words = [sys.executable, "-c", ANSWER, str(self.folder), self.controller]
        processes = [self._start(words) for _ in range(2)]
        for process in processes:
            assert process.stdout is not None
            self.answered += [process.stdout.readline().strip() for _ in range(answers)]
        for process in processes:
            process.send_signal(signal.SIGKILL)
            rest = process.communicate()[0].splitlines(keepends=True)
            self.answered += [line.strip() for line in rest if line.endswith("\n")]

    def moves_until_killed(self) -> None:
        """Let a worker move, and kill it in the middle of it."""
        worker = self._start([sys.executable, "-c", MOVE, str(self.folder), str(self.keys_dir)])
        assert worker.stdout is not None
        worker.stdout.readline()
        worker.send_signal(signal.SIGKILL)
        worker.communicate()

    def _start(self, words: list[str]) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "URL": self.worker_url}
        return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def machine(tmp_path: Path, controller: str, keys_dir: Path, worker_url: str) -> Machine:
    return Machine(tmp_path / "spool", controller, keys_dir, worker_url)


def logged(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT decision_id FROM decision_answer").fetchall()
    return [identifiers.from_uuid(row[0], "dec") for row in rows]


Crash = Callable[[int], None]


@pytest.fixture
def crash(machine: Machine) -> Crash:
    def crash(rounds: int) -> None:
        for number in range(rounds):
            machine.answers_until_killed(100)
            if number % 2:
                machine.moves_until_killed()

    return crash


class TestEveryAnswer:
    @pytest.mark.parametrize("rounds", [2, pytest.param(300, marks=pytest.mark.long)])
    def test_is_in_the_log_once_whatever_was_killed(
        self, crash: Crash, machine: Machine, worker_database: Database, superuser_url: str, rounds: int
    ) -> None:
        crash(rounds)

        while spools.measure(machine.folder).size:
            decision_mover.move(worker_database, machine.folder)

        found = logged(superuser_url)
        assert len(machine.answered) >= rounds * 200
        assert set(machine.answered) <= set(found)
        assert len(found) == len(set(found))
        assert spools.measure(machine.folder).broken == 0
