"""Answers for the spool: files of this machine that hold what was decided until the worker has moved it on.

A process appends to a file that nobody else writes, `<pid>-<random>.open`, and holds a lock on it for as long as it
lives. Once a second the file is synced, renamed to `.ready` and replaced. A `.open` file without a lock was left behind
by a process that died. Whatever `write` was given survives that death; the loss of power costs the last second.
"""

import contextlib
import fcntl
import os
import secrets
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

import structlog

from consent_service.errors import SpoolUnavailableError

#: How often a file is synced and handed over, in seconds: what the loss of power may cost.
ROTATE_SECONDS: Final = 1.0

OPEN: Final = ".open"
READY: Final = ".ready"
BROKEN: Final = "broken"
_NEW: Final = ".new"
_MOST_YOUNG_BYTES: Final = 64 * 1024 * 1024
_FILE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _File:
    """The file that this process writes now, with the bytes that are certain to be whole lines."""

    path: Path
    descriptor: int
    size: int = 0


class Spool:
    """Appends lines to this process's own file; one for all threads, and safe to carry through a fork."""

    _file: _File | None
    _thread: threading.Thread | None

    def __init__(self, folder: Path, *, rotate_seconds: float = ROTATE_SECONDS) -> None:
        self.folder = folder
        self._rotate_seconds = rotate_seconds
        self._begin_in_this_process()
        _spools.add(self)

    def append(self, lines: bytes) -> None:
        """Write whole lines, each with its line feed, in one piece.

        When this returns, the lines survive the death of the process. Raises SpoolUnavailableError when they could not
        be written whole: whoever asked must then be answered no.
        """
        with self._lock:
            file = self._file or self._start()
            if not os.fstat(file.descriptor).st_nlink:
                # Somebody has deleted the file: whatever is written to it now is found by nobody.
                os.close(file.descriptor)
                self._file = None
                file = self._start()
            try:
                written = os.write(file.descriptor, lines)
            except OSError as error:
                self._refuse(file, error.strerror)
            if written != len(lines):
                self._refuse(file, "no room")
            file.size += written

    def rotate(self) -> None:
        """Sync what was written and hand it over as a `.ready` file; does nothing where nothing was written.

        Raises OSError; what was written stays where it is and is found as the file of a dead process at the latest.
        """
        with self._lock:
            file = self._file
            if file is None or not file.size:
                return
            self._file = None
        try:
            os.fdatasync(file.descriptor)
            file.path.rename(file.path.with_suffix(READY))
            _sync_folder(self.folder)
        finally:
            # Closing alone would not do: a process forked in this moment holds the file open, and its lock with it.
            fcntl.flock(file.descriptor, fcntl.LOCK_UN)
            os.close(file.descriptor)

    def close(self) -> None:
        """Hand over what was written and stop; a later append begins anew."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with contextlib.suppress(OSError):
            self.rotate()
        with self._lock:
            if self._file is not None:
                os.close(self._file.descriptor)
                with contextlib.suppress(OSError):
                    self._file.path.unlink()
        self._begin_in_this_process()

    def leave_to_parent(self) -> None:
        """Let go of the file that a forked process inherited: while it is held, the parent would seem to live."""
        if self._file is not None:
            os.close(self._file.descriptor)
        self._begin_in_this_process()

    def _begin_in_this_process(self) -> None:
        # A lock that another thread held during a fork would stay locked for ever in the child.
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = None
        self._file = None

    def _start(self) -> _File:
        """Begin a file, and the thread that rotates it where this process has none yet. Called under the lock."""
        try:
            file = _create(self.folder)
        except OSError as error:
            _log.error("spool_unavailable", error=error.strerror)
            raise SpoolUnavailableError(f"the spool cannot be written: {error.strerror}") from None
        self._file = file
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep_rotating, args=(self._stop,), name="spool", daemon=True)
            self._thread.start()
        return file

    def _refuse(self, file: _File, reason: str | None) -> NoReturn:
        """Cut off what was written in part, so that the next line does not begin in its middle."""
        try:
            os.ftruncate(file.descriptor, file.size)
        except OSError:
            # The torn line stays the last one of its file, where a reader expects one.
            os.close(file.descriptor)
            self._file = None
        _log.error("spool_unavailable", error=reason)
        raise SpoolUnavailableError(f"the spool cannot be written: {reason}")

    def _keep_rotating(self, stop: threading.Event) -> None:
        while not stop.wait(self._rotate_seconds):
            try:
                self.rotate()
            except OSError as error:
                _log.error("spool_not_synced", error=error.strerror)


@dataclass(frozen=True, slots=True)
class Taken:
    """A file whose writer is done with it, held by this process alone."""

    path: Path
    descriptor: int

    def lines(self) -> Iterator[bytes]:
        """Read line after line; a last one without its line feed was never answered and is still handed out."""
        with os.fdopen(os.dup(self.descriptor), "rb") as file:
            file.seek(0)
            yield from file

    def discard(self) -> None:
        """Delete the file, once everything in it is committed elsewhere."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What lies in the spool: bytes that wait, when the oldest was last written to, and bytes that were set aside."""

    size: int
    oldest: datetime | None
    broken: int


@contextlib.contextmanager
def take(path: Path) -> Iterator[Taken | None]:
    """Hold a file for as long as the block lasts; None where somebody writes or holds it, or it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield Taken(path, descriptor) if _is_ours_alone(path, descriptor) else None
    finally:
        os.close(descriptor)


def forget_unborn(folder: Path, *, before: datetime) -> None:
    """Delete files that got no further than being made, before a moment: their process died, and they are empty."""
    for path in folder.glob(f"*{_NEW}"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < before.timestamp():
                path.unlink()


def set_aside(taken: Taken, line: bytes) -> None:
    """Keep a line that cannot be read where a person can look at it; the rest of its file goes on."""
    folder = taken.path.parent / BROKEN
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder / f"{taken.path.stem}.lines", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.write(line)


def list_files(folder: Path) -> list[Path]:
    """List what was written and not moved yet, the oldest first."""
    found = []
    for path in _paths(folder):
        with contextlib.suppress(FileNotFoundError):
            found.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(found)]


def read_young(folder: Path) -> Iterator[bytes]:
    """Read the whole lines that wait here, those of the file written to last first; nothing is taken.

    A file that vanishes meanwhile has been moved: look there after this and not before. Of a spool that has not been
    moved for long only the last 64 MiB are read.
    """
    room = _MOST_YOUNG_BYTES
    for path in reversed(list_files(folder)):
        content = _content(path)
        *lines, torn = content.split(b"\n")
        del torn
        yield from lines
        room -= len(content)
        if room <= 0:
            return


def measure(folder: Path) -> Waiting:
    """Say how much waits in the spool."""
    sizes, times = [], []
    for path in _paths(folder):
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            if found.st_size:
                sizes.append(found.st_size)
                times.append(found.st_mtime)
    broken = folder / BROKEN
    aside = sum(path.stat().st_size for path in broken.iterdir()) if broken.is_dir() else 0
    oldest = datetime.fromtimestamp(min(times), UTC) if times else None
    return Waiting(size=sum(sizes), oldest=oldest, broken=aside)


def is_writable(folder: Path) -> bool:
    """Say whether a decision could be written down here, as far as can be seen without writing one."""
    place = next(each for each in (folder, *folder.parents) if each.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return False
    room = os.statvfs(place)
    return room.f_bavail > 0 and (room.f_files == 0 or room.f_favail > 0)


def _content(path: Path) -> bytes:
    # It may be handed over between the listing and the reading.
    for name in (path, path.with_suffix(READY)):
        with contextlib.suppress(FileNotFoundError):
            return name.read_bytes()
    return b""


def _paths(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.suffix in {OPEN, READY}]
    except FileNotFoundError:
        return []


def _create(folder: Path) -> _File:
    """Make a file that nobody shares, locked before it has the name by which it is looked for."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The process id is for people; the random part keeps apart two processes that are given the same one.
    hidden = folder / f"{os.getpid()}-{secrets.token_hex(8)}{_NEW}"
    descriptor = os.open(hidden, _FILE_FLAGS, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path = hidden.rename(hidden.with_suffix(OPEN))
    except BaseException:
        os.close(descriptor)
        raise
    return _File(path, descriptor)


def _is_ours_alone(path: Path, descriptor: int) -> bool:
    """Say whether the lock is free and the name still means the file that was opened; takes the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def _sync_folder(folder: Path) -> None:
    # Without this the loss of power can take back the name of a file whose bytes are safe.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_spools: weakref.WeakSet[Spool] = weakref.WeakSet()


def _after_fork() -> None:
    for spool in list(_spools):
        spool.leave_to_parent()


os.register_at_fork(after_in_child=_after_fork)
