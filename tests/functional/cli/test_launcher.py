"""The launcher as a person meets it: from another folder, through a symlink, on a machine where something is wrong."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(name="checkout")
def _checkout(tmp_path: Path) -> Path:
    """Return a copy of what the launcher needs, where paths have blanks and nothing is installed."""
    checkout = tmp_path / "a check out"
    (checkout / "consent_service" / "cli").mkdir(parents=True)
    shutil.copy(ROOT / "consent", checkout)
    shutil.copy(ROOT / "consent_service" / "cli" / "doctor.py", checkout / "consent_service" / "cli")
    shutil.copytree(ROOT / "requirements", checkout / "requirements")
    return checkout


def _run(words: list[str | Path], *, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CONSENT_", "DATABASE_"))}
    return subprocess.run(words, cwd=cwd, env=kept | environment, capture_output=True, text=True, check=False)


class TestDoctor:
    def test_it_names_each_problem_and_how_to_mend_it(self, checkout: Path, tmp_path: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            answer = _run([checkout / "consent", "doctor", "--port", str(port)], cwd=tmp_path)

        assert answer.returncode == 1
        assert "ok       Python" in answer.stdout
        assert "problem  environment      not complete" in answer.stdout
        assert f"problem  port             {port}: Address already in use" in answer.stdout
        assert "→ stop what listens there, or take another with --port" in answer.stdout

    def test_it_works_through_a_symlink_from_another_folder(self, checkout: Path, tmp_path: Path) -> None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "consent").symlink_to("../a check out/consent")

        answer = _run([tmp_path / "bin" / "consent", "doctor"], cwd=Path("/"))

        assert f"not complete in {checkout}/.venv" in answer.stdout
        assert answer.stderr == ""

    def test_keys_that_others_can_read_are_a_problem(self, checkout: Path, tmp_path: Path) -> None:
        keys = tmp_path / "var" / "keys"
        keys.mkdir(parents=True)
        (keys / "root").touch(mode=0o644)

        answer = _run([checkout / "consent", "doctor"], cwd=tmp_path)

        assert "open to other accounts" in answer.stdout

    def test_it_says_where_the_log_shares_the_databases_fate(self, checkout: Path, tmp_path: Path) -> None:
        answer = _run([checkout / "consent", "doctor"], cwd=tmp_path)
        (tmp_path / "file").touch()
        elsewhere = str(tmp_path / "file" / "below")
        missing = _run([checkout / "consent", "doctor"], cwd=tmp_path, CONSENT_LOG_COPY=elsewhere)

        assert "log-copy, on the database's own disk; CONSENT_LOG_COPY names another" in answer.stdout
        assert f"problem  log outside      {elsewhere} is not writable" in missing.stdout

    def test_it_never_shows_the_password_of_the_database(self, checkout: Path, tmp_path: Path) -> None:
        url = "postgresql://canary:geheim@127.0.0.1:1/none"

        answer = _run([checkout / "consent", "doctor"], cwd=tmp_path, DATABASE_URL=url, CONSENT_VENV=sys.prefix)

        assert "problem  database" in answer.stdout
        assert "geheim" not in answer.stdout + answer.stderr


class TestLauncher:
    def test_a_folder_that_is_no_environment_is_never_emptied(self, checkout: Path, tmp_path: Path) -> None:
        precious = tmp_path / "precious"
        precious.mkdir()
        (precious / "thesis.txt").touch()

        answer = _run([checkout / "consent", "up"], cwd=tmp_path, CONSENT_VENV=str(precious))

        assert answer.returncode == 1
        assert "is not an environment of Python" in answer.stderr
        assert (precious / "thesis.txt").exists()

    def test_without_python_it_says_the_line_to_run(self, checkout: Path, tmp_path: Path) -> None:
        (tmp_path / "bin").mkdir()
        for tool in ("sh", "readlink", "dirname", "id", "mkdir", "flock", "cmp", "ls"):
            path = shutil.which(tool)
            assert path is not None
            (tmp_path / "bin" / tool).symlink_to(path)

        answer = _run([checkout / "consent", "up"], cwd=tmp_path, PATH=str(tmp_path / "bin"))

        assert answer.returncode == 1
        assert "sudo apt-get install -y python3 python3-venv" in answer.stderr
