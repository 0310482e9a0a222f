"""The supervisor: real programs are started, brought back, stopped in order and never left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consent_service.cli.supervisor import end_leftovers

ROOT = Path(__file__).parents[3]
PATIENCE = 20.0

# A program that says it runs, has a child of its own as a web server has, and says that it stopped.
FAMILY = """
import os, signal, subprocess, sys, time
name = sys.argv[1]
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
def stop(*_):
    print(name, "stops", flush=True)
    child.kill()
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
with open(name + ".new", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.replace(name + ".new", name + ".pids")
while True:
    time.sleep(600)
"""

SUPERVISE = """
import sys
from pathlib import Path
from consent_service.cli.supervisor import Supervisor
from consent_service.db.programs import Program
here = Path(sys.argv[1])
try:
    with Supervisor(log_dir=here, run_dir=here, say=lambda line: print(line, flush=True)) as supervisor:
        for name in sys.argv[2:]:
            program = (sys.executable, str(here / "family.py"), name)
            supervisor.start(Program(name=name, arguments=program, environment={}, folder=here))
        supervisor.wait_until(lambda: all((here / f"{name}.pids").exists() for name in sys.argv[2:]), seconds=20)
        print("ready", flush=True)
        supervisor.keep_running()
except KeyboardInterrupt:
    # The signal may come before the programs are looked after.
    pass
"""


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    (tmp_path / "family.py").write_text(textwrap.dedent(FAMILY), encoding="ascii")
    return tmp_path


@pytest.fixture(name="supervised")
def _supervised(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(folder), "first", "second"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()
    end_leftovers(folder / "token")


def _pids(folder: Path, name: str) -> list[int]:
    return [int(word) for word in (folder / f"{name}.pids").read_text(encoding="ascii").split()]


def _lives(pid: int) -> bool:
    """Say whether the process runs; one that has ended and waits for its parent to notice does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _until(condition: Callable[[], bool]) -> bool:
    give_up_at = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > give_up_at:
            return False
        os.sched_yield()
    return True


class TestStop:
    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
    def test_it_stops_everything_and_ends_well(
        self, folder: Path, supervised: subprocess.Popen[str], how: signal.Signals
    ) -> None:
        everybody = _pids(folder, "first") + _pids(folder, "second")

        supervised.send_signal(how)

        assert supervised.wait(PATIENCE) == 0
        assert not any(map(_lives, everybody))

    def test_what_was_started_last_stops_first(self, folder: Path, supervised: subprocess.Popen[str]) -> None:
        supervised.send_signal(signal.SIGTERM)
        supervised.wait(PATIENCE)

        stopped_at = [(folder / f"{name}.log").stat().st_mtime_ns for name in ("second", "first")]
        assert stopped_at == sorted(stopped_at)
        assert (folder / "first.log").read_text(encoding="ascii") == "first stops\n"


class TestCrash:
    def test_a_program_that_is_killed_comes_back_without_its_old_family(
        self, folder: Path, supervised: subprocess.Popen[str]
    ) -> None:
        leader, child = _pids(folder, "second")

        os.kill(leader, signal.SIGKILL)

        assert _until(lambda: _pids(folder, "second") != [leader, child])
        assert _until(lambda: not _lives(child))
        assert supervised.poll() is None
        assert supervised.stdout is not None
        assert "second was ended by SIGKILL" in supervised.stdout.readline()

    def test_programs_end_with_a_supervisor_that_is_killed(
        self, folder: Path, supervised: subprocess.Popen[str]
    ) -> None:
        everybody = _pids(folder, "first") + _pids(folder, "second")

        supervised.kill()

        assert _until(lambda: not any(map(_lives, everybody)))

    def test_the_next_start_ends_what_outlived_even_that(self, folder: Path, supervised: subprocess.Popen[str]) -> None:
        (first, orphan), (second, other_orphan) = _pids(folder, "first"), _pids(folder, "second")
        os.kill(supervised.pid, signal.SIGSTOP)
        for pid in (first, second):
            os.kill(pid, signal.SIGKILL)
        supervised.kill()
        assert _until(lambda: not _lives(first) and not _lives(second))
        assert _lives(orphan)
        assert _lives(other_orphan)

        ended = end_leftovers(folder / "token")

        assert ended == 2
        assert _until(lambda: not _lives(orphan) and not _lives(other_orphan))


class TestStart:
    def test_a_program_that_ends_at_once_is_reported_with_its_log(self, folder: Path) -> None:
        (folder / "family.py").write_text("raise SystemExit(7)", encoding="ascii")

        answer = subprocess.run(
            [sys.executable, "-c", SUPERVISE, str(folder), "first"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

        assert answer.returncode == 1
        assert f"first ended with exit code 7 (see {folder / 'first.log'})" in answer.stderr
