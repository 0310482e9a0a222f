"""The data folder of one service: who holds it, what lies where in it, and whether it is a demo."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from consent_service.errors import ServiceStartError

LOCK = "lock"
DEMO_MARK = "demo"


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A folder that this process holds."""

    path: Path
    is_demo: bool

    @property
    def postgres(self) -> Path:
        """Where the embedded PostgreSQL keeps its data."""
        return self.path / "postgres"

    @property
    def keys(self) -> Path:
        """Where keys lie unless another place is named."""
        return self.path / "keys"

    @property
    def log(self) -> Path:
        """Where every program writes a log."""
        return self.path / "log"

    @property
    def run(self) -> Path:
        """Where lies what has a meaning during one run only."""
        return self.path / "run"

    @property
    def mail(self) -> Path:
        """Where the demo's mails arrive."""
        return self.path / "mail"

    @property
    def clock(self) -> Path:
        """The file that moves the demo's clock."""
        return self.path / "clock"


@contextlib.contextmanager
def held(path: Path, *, demo: bool) -> Iterator[DataFolder]:
    """Hold the folder, made if need be, while the block lasts; the lock ends with the process, however that ends.

    Raises ServiceStartError when another process holds it, it cannot be written to, or its demo mark says otherwise.
    """
    path = path.absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ServiceStartError(f"{path} cannot be used as data folder: {error.strerror}") from None
    try:
        _lock_or_refuse(lock, path)
        _mark_or_refuse(path, demo=demo)
        folder = DataFolder(path=path, is_demo=demo)
        for place in (folder.log, folder.run):
            place.mkdir(mode=0o700, exist_ok=True)
        yield folder
    finally:
        os.close(lock)


def _lock_or_refuse(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode("ascii").strip() or "unknown"
        raise ServiceStartError(
            f"{path} is in use by process {holder}: stop that one first, or name another folder with --data"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode("ascii"), 0)


def _mark_or_refuse(path: Path, *, demo: bool) -> None:
    """Mark a new folder as a demo; a folder stays what it was born as, so that test people never meet real ones."""
    mark = path / DEMO_MARK
    if mark.exists():
        if not demo:
            raise ServiceStartError(f"{path} is a demo folder: add --demo, or name another folder with --data")
        return
    if not demo:
        return
    if any(entry.name != LOCK for entry in path.iterdir()):
        raise ServiceStartError(f"{path} is not a demo folder: name an empty one with --data, or leave --demo out")
    mark.write_text("This folder holds a demo: invented people, and keys that protect nobody.\n", encoding="utf-8")
