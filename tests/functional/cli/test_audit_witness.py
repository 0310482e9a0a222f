"""`consent audit witness` runs on a machine that has nothing of the service but its program."""

import base64
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from consent_service.crypto import notes
from consent_service.crypto.notes import VerifierKey
from tests.small_log import SmallLog
from tests.witnesses import Reply, post

ROOT = Path(__file__).resolve().parents[3]
LOG = SmallLog()
OTHER = SmallLog("log.example/log/ctl_other", b"\x02" * 32)
COMMAND = [sys.executable, "-m", "consent_service.cli.main", "audit", "witness"]
#: None of the service's settings, and no home to read any from.
BARE = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}


@dataclass(frozen=True, slots=True)
class Running:
    """A witness in a process of its own, and what it said of itself when it began."""

    process: subprocess.Popen[str]
    vkey: str
    watched: list[str]
    url: str

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        """End it and return its exit code and all that it wrote after it began."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out + err


@contextmanager
def running(folder: Path, *logs: SmallLog) -> Iterator[Running]:
    watched = [argument for log in logs for argument in ("--log", log.vkey)]
    arguments = [*COMMAND, "--folder", str(folder), "--port", "0", "--name", "witness.example/sister", *watched]
    process = subprocess.Popen(
        arguments, cwd=folder.parent, env=BARE, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline().rstrip("\n") for _ in range(2 + len(logs))]
        assert lines[0].startswith("vkey "), process.communicate(timeout=20)
        yield Running(
            process,
            lines[0].removeprefix("vkey "),
            [line.removeprefix("watches ") for line in lines[1:-1]],
            lines[-1].removeprefix("listens on "),
        )
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=20)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], env=BARE, capture_output=True, text=True, timeout=60, check=False)


class TestWitness:
    @pytest.mark.rule("LOG-06")
    def test_it_cosigns_under_the_key_that_it_names(self, tmp_path: Path) -> None:
        with running(tmp_path / "witness", LOG, OTHER) as witness:
            reply = post(witness.url, LOG.request(0, 3))

            assert witness.watched == [LOG.origin, OTHER.origin]
            assert (tmp_path / "witness" / "vkey.txt").read_text() == f"{witness.vkey}\n"
            opened = notes.open_note(LOG.note(3) + reply.body, [VerifierKey.parse(witness.vkey)])
            assert opened.text.startswith(LOG.origin)

    @pytest.mark.rule("LOG-06")
    def test_it_stops_when_asked_and_goes_on_where_it_was(self, tmp_path: Path) -> None:
        with running(tmp_path / "witness", LOG) as witness:
            assert post(witness.url, LOG.request(0, 3)).status == 200
            code, _ = witness.stop(signal.SIGTERM)

        with running(tmp_path / "witness", LOG) as again:
            assert code == 0
            assert again.vkey == witness.vkey
            assert post(again.url, LOG.request(0, 8)) == Reply(409, "text/x.tlog.size", "3\n")
            assert post(again.url, LOG.request(3, 8)).status == 200

    @pytest.mark.rule("LOG-06")
    def test_what_it_cosigned_before_it_was_killed_it_still_knows(self, tmp_path: Path) -> None:
        for size in range(1, 4):
            with running(tmp_path / "witness", LOG) as witness:
                assert post(witness.url, LOG.request(size - 1, size)).status == 200
                code, _ = witness.stop(signal.SIGKILL)

            assert code == -signal.SIGKILL

    def test_it_writes_no_secret(self, tmp_path: Path) -> None:
        with running(tmp_path / "witness", LOG) as witness:
            post(witness.url, LOG.request(0, 3))
            post(witness.url, LOG.request(0, 3))
            _, said = witness.stop(signal.SIGTERM)

        secret = (tmp_path / "witness" / "keys" / "witness.1.key").read_text().strip()
        assert "checkpoint_answered" in said
        assert secret not in said
        assert base64.b64decode(secret).hex() not in said

    def test_a_key_that_others_can_read_is_refused_in_a_line(self, tmp_path: Path) -> None:
        folder = tmp_path / "witness"
        with running(folder, LOG):
            pass
        (folder / "keys" / "witness.1.key").chmod(0o644)

        done = run("--folder", str(folder), "--port", "0", "--name", "witness.example/sister", "--log", LOG.vkey)

        assert (done.returncode, done.stdout) == (1, "")
        assert "is open to other users of this machine; run: chmod 0600" in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize(
        ("name", "vkey", "says"),
        [
            ("our witness", LOG.vkey, "neither spaces nor +"),
            ("witness.example", "nonsense", "not a verifier key"),
        ],
    )
    def test_what_cannot_be_is_refused_in_a_line(self, tmp_path: Path, name: str, vkey: str, says: str) -> None:
        done = run("--folder", str(tmp_path / "witness"), "--port", "0", "--name", name, "--log", vkey)

        assert (done.returncode, done.stdout) == (1, "")
        assert says in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_port_that_is_taken_is_refused_in_a_line(self, tmp_path: Path) -> None:
        with running(tmp_path / "one", LOG) as witness:
            port = witness.url.rpartition(":")[2]

            done = run(
                "--folder", str(tmp_path / "two"), "--port", port, "--name", "witness.example", "--log", LOG.vkey
            )

        assert done.returncode == 1
        assert "cannot listen" in done.stderr
        assert "Traceback" not in done.stderr

    def test_without_a_log_to_watch_it_does_not_start(self, tmp_path: Path) -> None:
        done = run("--folder", str(tmp_path / "witness"), "--port", "0", "--name", "witness.example")

        assert done.returncode == 2
        assert "--log" in done.stderr
