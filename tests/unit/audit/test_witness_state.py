"""A witness keeps its key and its memory through a kill at any step, and refuses a folder that is not its own."""

import itertools
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import pytest

from consent_service.audit import witness_state, witnessing
from consent_service.audit.witnessing import Answer, Witness
from consent_service.errors import KeyFolderError, WitnessFolderError
from tests.small_log import SmallLog
from tests.unit.audit import killed_witness
from tests.unit.audit.killed_witness import NAME

ROOT = Path(__file__).resolve().parents[3]
LOG = SmallLog()


def post(folder: Path, request: bytes) -> Answer:
    witness = Witness(witness_state.open_cosigner(folder, name=NAME), folder, witnessing.watch([LOG.vkey]))
    return witnessing.add_checkpoint(witness, request, now=lambda: datetime(2026, 5, 3, 12, tzinfo=UTC))


def killed_at_every_step(folder: Path, *, old_size: int, size: int) -> Iterator[Path]:
    """Yield what each kill leaves of a copy of the folder, until one run comes to its end."""
    for number in itertools.count(1):
        copy = folder.with_name(f"{folder.name}-{number}")
        if folder.exists():
            shutil.copytree(folder, copy)
        arguments = [sys.executable, "-m", killed_witness.__name__, str(copy), str(number), str(old_size), str(size)]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode == 0:
            assert done.stdout.startswith("200\n— ")
            return
        assert (done.returncode, done.stdout) == (-signal.SIGKILL, ""), done.stderr
        yield copy


@pytest.mark.rule("LOG-06")
class TestKill:
    def test_at_any_step_of_the_first_start_the_next_start_goes_on(self, tmp_path: Path) -> None:
        left = list(killed_at_every_step(tmp_path / "witness", old_size=0, size=3))

        assert len(left) >= 10
        for folder in left:
            answer = post(folder, LOG.request(0, 3))
            assert answer.status == HTTPStatus.OK or (answer.status, answer.body) == (HTTPStatus.CONFLICT, "3\n")
            assert post(folder, LOG.request(3, 3)).status == HTTPStatus.OK

    def test_at_any_step_towards_the_disk_the_old_or_the_new_is_known(self, tmp_path: Path) -> None:
        folder = tmp_path / "witness"
        post(folder, LOG.request(0, 3))

        left = list(killed_at_every_step(folder, old_size=3, size=8))

        assert len(left) == 3
        known = [post(each, LOG.request(0, 8)).body for each in left]
        assert known == ["3\n", "3\n", "8\n"]
        for each in left:
            post(each, LOG.request(3, 8))
            assert post(each, LOG.request(8, 8)).status == HTTPStatus.OK
            assert post(each, SmallLog(fork_at=5).request(8, 8)).status == HTTPStatus.CONFLICT


class TestOpenCosigner:
    def test_the_key_is_made_once_and_for_its_owner_alone(self, tmp_path: Path) -> None:
        folder = tmp_path / "new" / "witness"

        first = witness_state.open_cosigner(folder, name=NAME)

        assert witness_state.open_cosigner(folder, name=NAME).vkey == first.vkey
        assert (folder / "vkey.txt").read_text() == f"{first.vkey}\n"
        modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, folder / "keys", *folder.glob("keys/*"))}
        assert modes == {"witness": 0o700, "keys": 0o700, "witness.1.key": 0o600}

    def test_a_key_that_others_can_read_is_refused(self, tmp_path: Path) -> None:
        witness_state.open_cosigner(tmp_path, name=NAME)
        (tmp_path / "keys" / "witness.1.key").chmod(0o640)

        with pytest.raises(KeyFolderError, match="open to other users"):
            witness_state.open_cosigner(tmp_path, name=NAME)

    def test_a_folder_belongs_to_one_name(self, tmp_path: Path) -> None:
        witness_state.open_cosigner(tmp_path, name=NAME)

        with pytest.raises(WitnessFolderError, match="another witness"):
            witness_state.open_cosigner(tmp_path, name="witness.example/brother")

    def test_a_folder_belongs_to_one_key(self, tmp_path: Path) -> None:
        witness_state.open_cosigner(tmp_path / "one", name=NAME)
        witness_state.open_cosigner(tmp_path / "other", name=NAME)
        shutil.copy(tmp_path / "other" / "keys" / "witness.1.key", tmp_path / "one" / "keys" / "witness.1.key")

        with pytest.raises(WitnessFolderError, match="another witness"):
            witness_state.open_cosigner(tmp_path / "one", name=NAME)

    def test_a_lost_key_is_not_replaced_by_a_second(self, tmp_path: Path) -> None:
        witness_state.open_cosigner(tmp_path, name=NAME)
        shutil.rmtree(tmp_path / "keys")

        with pytest.raises(WitnessFolderError, match="lost its key"):
            witness_state.open_cosigner(tmp_path, name=NAME)

        assert not (tmp_path / "keys").exists()

    def test_a_name_with_spaces_is_refused_before_a_key_is_made(self, tmp_path: Path) -> None:
        with pytest.raises(WitnessFolderError, match="neither spaces"):
            witness_state.open_cosigner(tmp_path, name="our witness")

        assert not (tmp_path / "keys").exists()

    def test_a_folder_that_is_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")

        with pytest.raises(WitnessFolderError):
            witness_state.open_cosigner(tmp_path / "file", name=NAME)
