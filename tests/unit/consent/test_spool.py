"""The spool keeps every line that it took, whatever happens to the process."""

import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from consent_service.consent import spool as spools
from consent_service.consent.spool import Spool
from consent_service.errors import SpoolUnavailableError

ROOT = Path(__file__).resolve().parents[3]
#: Long enough that no test meets the thread that rotates.
NEVER = 3600.0

WRITE_AND_SAY = """
import itertools, sys
from pathlib import Path
from consent_service.consent.spool import Spool
spool = Spool(Path(sys.argv[1]), rotate_seconds=0.01)
for number in itertools.count():
    spool.append(b"%d\\n" % number)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""
FILL = """
import resource, sys
from pathlib import Path
from consent_service.consent.spool import Spool
from consent_service.errors import SpoolUnavailableError
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
spool = Spool(Path(sys.argv[1]), rotate_seconds=3600)
answered = 0
for number in range(20):
    try:
        spool.append(b"0123456789012345678901234567890\\n")
        answered += 1
    except SpoolUnavailableError:
        pass
spool.append(b"abc\\n")
print(answered)
"""


def _start(script: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True, bufsize=1
    )


def _taken(folder: Path) -> list[bytes]:
    lines = []
    for path in spools.list_files(folder):
        with spools.take(path) as taken:
            lines += [] if taken is None else list(taken.lines())
    return lines


def _only(folder: Path) -> Path:
    [path] = folder.iterdir()
    return path


class TestAppend:
    def test_it_writes_to_a_file_that_only_its_owner_can_read(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool", rotate_seconds=NEVER)

        spool.append(b"one\n")

        assert _only(spool.folder).read_bytes() == b"one\n"
        assert stat.S_IMODE(_only(spool.folder).stat().st_mode) == 0o600
        assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700
        spool.close()

    def test_two_processes_with_one_pid_never_share_a_file(self, tmp_path: Path) -> None:
        first, second = (Spool(tmp_path, rotate_seconds=NEVER) for _ in range(2))

        first.append(b"one\n")
        second.append(b"two\n")

        assert len(list(tmp_path.iterdir())) == 2
        first.close()
        second.close()

    def test_threads_never_tear_each_others_lines(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, rotate_seconds=0.001)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda number: spool.append(b"%04d\n" % number), range(2000)))
        spool.close()

        assert sorted(_taken(tmp_path)) == [b"%04d\n" % number for number in range(2000)]

    def test_a_forked_process_writes_to_a_file_of_its_own(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, rotate_seconds=NEVER)
        spool.append(b"parent\n")

        child = subprocess.run(
            [sys.executable, "-c", FORK, str(tmp_path / "other")], cwd=ROOT, check=True, capture_output=True, text=True
        )

        assert child.stdout.split() == ["child", "parent"]
        spool.close()

    def test_it_refuses_when_the_folder_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        spool = Spool(tmp_path / "file" / "spool")

        with pytest.raises(SpoolUnavailableError):
            spool.append(b"one\n")

    def test_a_full_disk_refuses_and_leaves_whole_lines(self, tmp_path: Path) -> None:
        writer = _start(FILL, tmp_path)

        said, _ = writer.communicate(timeout=20)

        assert said.splitlines()[-1] == "3"
        assert _taken(tmp_path) == [b"0123456789012345678901234567890\n"] * 3 + [b"abc\n"]


FORK = """
import os, sys
from pathlib import Path
from consent_service.consent import spool as spools
spool = spools.Spool(Path(sys.argv[1]), rotate_seconds=3600)
spool.append(b"parent\\n")
child = os.fork()
if child == 0:
    spool.append(b"child\\n")
    os._exit(0)
os.waitpid(child, 0)
found = []
for path in spools.list_files(spool.folder):
    with spools.take(path) as taken:
        found += taken.lines() if taken else []
assert found == [b"child\\n"], "the parent lives, and its file is its own"
spool.rotate()
found = [line for path in spools.list_files(spool.folder) for line in path.open("rb")]
print(*sorted(line.decode().strip() for line in found))
"""


class TestADeletedFile:
    def test_is_not_written_to(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, rotate_seconds=NEVER)
        spool.append(b"one\n")
        _only(tmp_path).unlink()

        spool.append(b"two\n")

        assert _only(tmp_path).read_bytes() == b"two\n"
        spool.close()


class TestTake:
    def test_a_file_that_is_being_written_is_left_alone(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, rotate_seconds=NEVER)
        spool.append(b"one\n")

        with spools.take(_only(tmp_path)) as taken:
            assert taken is None

        spool.close()

    def test_a_rotated_file_is_taken_by_one_only(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, rotate_seconds=NEVER)
        spool.append(b"one\n")
        spool.rotate()

        with spools.take(_only(tmp_path)) as first, spools.take(_only(tmp_path)) as second:
            assert first is not None
            assert list(first.lines()) == [b"one\n"]
            assert second is None

        spool.close()

    def test_a_name_that_means_nothing_any_more_is_none(self, tmp_path: Path) -> None:
        with spools.take(tmp_path / "1-a.ready") as taken:
            assert taken is None

    def test_what_is_discarded_is_gone(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path, rotate_seconds=NEVER)
        spool.append(b"one\n")
        spool.rotate()

        with spools.take(_only(tmp_path)) as taken:
            assert taken is not None
            taken.discard()

        assert list(tmp_path.iterdir()) == []
        assert spools.measure(tmp_path).size == 0
        spool.close()


class TestForgetUnborn:
    def test_a_file_that_was_never_begun_goes_after_a_while(self, tmp_path: Path) -> None:
        (tmp_path / "1-a.new").touch()
        os.utime(tmp_path / "1-a.new", (0, 0))
        (tmp_path / "2-b.new").touch()

        spools.forget_unborn(tmp_path, before=datetime(2000, 1, 1, tzinfo=UTC))

        assert [path.name for path in tmp_path.iterdir()] == ["2-b.new"]


class TestKill:
    def test_nothing_that_was_taken_is_lost(self, tmp_path: Path) -> None:
        for _ in range(3):
            folder = tmp_path / str(os.urandom(4).hex())
            writer = _start(WRITE_AND_SAY, folder)
            assert writer.stdout is not None
            said = [writer.stdout.readline() for _ in range(300)]

            writer.send_signal(signal.SIGKILL)
            said += [line for line in writer.communicate()[0].splitlines(keepends=True) if line.endswith("\n")]

            found = {line.decode() for line in _taken(folder)}
            assert set(said) <= found
