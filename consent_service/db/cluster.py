"""The files of an embedded PostgreSQL: how a cluster is made, and the superuser's password kept."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from consent_service.db.binaries import QUIET_ENVIRONMENT, Binaries
from consent_service.db.programs import Account, Program
from consent_service.errors import DatabaseStartError

SUPERUSER = "postgres"
BUILTIN_LOCALE_SINCE = 17
STAYS_IN_FOLDER_SINCE = 16


def initialise(data_dir: Path, *, binaries: Binaries, account: Account | None, password: str) -> None:
    """Make a new cluster; it is renamed into place, so that an interrupted start leaves nothing half-made."""
    staging = data_dir.with_name("data.new")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o700)
    locale = (
        ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        if binaries.major >= BUILTIN_LOCALE_SINCE
        else ("--locale=C.UTF-8",)
    )
    folder, argument = place_of(staging, binaries=binaries, account=account)
    program = Program(
        name="initdb",
        arguments=(
            str(binaries.folder / "initdb"),
            f"--pgdata={argument}",
            f"--username={SUPERUSER}",
            "--pwfile=/dev/stdin",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            *locale,
            "--data-checksums",
            "--no-instructions",
        ),
        environment=QUIET_ENVIRONMENT,
        folder=folder,
        account=account,
    )
    with tempfile.TemporaryFile() as standard_input:
        standard_input.write(password.encode())
        standard_input.seek(0)
        if account:
            os.chown(staging, account.uid, account.gid)
            os.fchown(standard_input.fileno(), account.uid, account.gid)
        made = subprocess.run(
            program.leashed(),
            cwd=program.folder,
            env=program.environment,
            stdin=standard_input,
            capture_output=True,
            text=True,
            check=False,
        )
    if made.returncode != 0:
        reason = " ".join(made.stderr.split()) or f"initdb ended with {made.returncode}"
        raise DatabaseStartError(f"PostgreSQL could not make its data folder: {reason}")
    staging.rename(data_dir)


def place_of(data_dir: Path, *, binaries: Binaries, account: Account | None) -> tuple[Path, str]:
    """Return the folder in which a program of PostgreSQL is started, and how it is told where the data is.

    Another account may be unable to walk to the folder from the root (below /root, say). It needs not: it is put into
    the folder before root's rights are given up, and Linux lets a process name where it is without walking there.
    Raises DatabaseStartError where that is impossible: before version 16 the programs leave that folder while they
    look for themselves.
    """
    if account is None:
        return Path("/"), str(data_dir)
    if binaries.major < STAYS_IN_FOLDER_SINCE:
        raise DatabaseStartError(
            f"root cannot hand its data to PostgreSQL {binaries.major}: start the service as an ordinary user, "
            f"or name programs of {STAYS_IN_FOLDER_SINCE} or newer in CONSENT_PG_BIN"
        )
    if not sys.platform.startswith("linux"):
        raise DatabaseStartError("start the service as an ordinary user: root can hand over its data on Linux only")
    return data_dir, "/proc/self/cwd"


def refuse_other_version(data_dir: Path, binaries: Binaries) -> None:
    """Raise DatabaseStartError when the data was made by another major version, which cannot read it."""
    made_by = int((data_dir / "PG_VERSION").read_text(encoding="ascii"))
    if made_by != binaries.major:
        raise DatabaseStartError(
            f"{data_dir} was made by PostgreSQL {made_by}, and the programs are of {binaries.major}: "
            "name a folder with the right ones in CONSENT_PG_BIN"
        )


def new_password(password_file: Path) -> str:
    """Make a password, keep it in a file that only the owner can read, and return it."""
    password = secrets.token_urlsafe(32)
    password_file.unlink(missing_ok=True)
    with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password)
        file.flush()
        os.fsync(file.fileno())
    return password


def read_password(password_file: Path) -> str:
    """Return the kept password; raises DatabaseStartError when it is gone."""
    try:
        return password_file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise DatabaseStartError(f"the database's password is missing: put {password_file} back") from None
