"""Keeps what was signed outside the database: heads, tiles and entries as files that never change.

One folder for each epoch of a log, laid out as C2SP tlog-tiles says, so that any tool for such logs can read it. The
head alone is replaced, under a lock, and only by whoever knows what lies there: that is what notices a database that
was put back to an earlier state. A tile is there before the head that needs it.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from consent_service.audit.merkle import TILE_WIDTH
from consent_service.audit.tiles import Place
from consent_service.errors import LogCopyError, LogRefusedError, TileInvalidError

CHECKPOINT: Final = "checkpoint"
KEPT: Final = "checkpoints"
VKEY: Final = "vkey.txt"
_LOCK: Final = ".lock"
#: Files are written here before they get their name, each under one of its own: two publishers may write the same tile.
_NEW: Final = ".new"
#: No signed head is as long as this; reading stops there, whatever lies at its name.
_MOST_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class LogCopy:
    """The files of one epoch of one log."""

    folder: Path

    def read_checkpoint(self) -> str | None:
        """Return the last head that was signed; None where there is none. Raises LogCopyError."""
        with _speaking():
            try:
                with (self.folder / CHECKPOINT).open("rb") as file:
                    content = file.read(_MOST_BYTES + 1)
            except FileNotFoundError:
                return None
        # What is no text is no note either, and is refused as one.
        return content.decode("utf-8", "replace")

    def swap_checkpoint(self, *, old: str | None, new: str) -> None:
        """Replace the head that lies there if it is still `old`; it is on the disk when this returns.

        Raises LogCopyError where another publisher was faster or is at it, or the disk does not take it.
        """
        with _speaking(), self._locked():
            if self.read_checkpoint() != old:
                raise LogCopyError("another publisher has replaced the head meanwhile")
            self._write(self.folder / CHECKPOINT, new.encode())
            self._clear_leftovers()

    def write_tile(self, place: Place, content: bytes) -> None:
        """Write a tile or a bundle once; raises LogRefusedError where another content lies there, and LogCopyError."""
        path = self.folder / place.path
        with _speaking():
            try:
                known = path.read_bytes()
            except FileNotFoundError:
                self._write(path, content)
                return
        if known != content:
            raise LogRefusedError("copy_differs", f"{place.path} lies outside with another content")

    def read_tile(self, place: Place) -> bytes:
        """Return a tile or a bundle; raises TileInvalidError where there is none, and LogCopyError."""
        with _speaking():
            try:
                return (self.folder / place.path).read_bytes()
            except FileNotFoundError:
                raise TileInvalidError(f"{place.path} is not outside") from None

    def drop_partial(self, place: Place) -> None:
        """Forget the tiles that were not full when this one was written, and are part of it.

        A wider one stays: a publisher that was held up comes after another one's head, which needs it.
        """
        path = self.folder / place.path
        partial = path.parent if path.parent.name.endswith(".p") else path.with_name(f"{path.name}.p")
        with _speaking(), contextlib.suppress(FileNotFoundError):
            for older in list(partial.iterdir()):
                if older.name.isdigit() and int(older.name) < place.width:
                    older.unlink(missing_ok=True)
            if place.width == TILE_WIDTH:
                with contextlib.suppress(OSError):
                    partial.rmdir()

    def keep_of_day(self, day: date, note: str) -> None:
        """Keep the first head of each day for ever, for whoever asks whether the log only grew."""
        path = self.folder / KEPT / f"{day.isoformat()}.txt"
        with _speaking():
            if not path.exists():
                self._write(path, note.encode())

    def write_vkey(self, vkey: str) -> None:
        """Write the key that verifies this log beside it; raises LogRefusedError where another one lies there."""
        path = self.folder / VKEY
        with _speaking():
            if not path.exists():
                self._write(path, f"{vkey}\n".encode())
            elif path.read_text(encoding="utf-8").strip() != vkey:
                raise LogRefusedError("unknown_key", "the copy outside was signed with another key")

    def _write(self, path: Path, content: bytes) -> None:
        fresh = self.folder / _NEW / secrets.token_hex(8)
        for folder in (path.parent, fresh.parent):
            _make(folder)
        _write(path, content, fresh=fresh)

    def _clear_leftovers(self) -> None:
        """Remove what killed publishers left half written; one that is at it now has lost the race and tries again."""
        for each in (self.folder / _NEW).iterdir():
            each.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of this folder; one that is held elsewhere is not waited for."""
        _make(self.folder)
        descriptor = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise LogCopyError("another publisher is replacing the head") from None
        finally:
            os.close(descriptor)


def of_log(folder: Path, *, controller_id: str, epoch: int) -> LogCopy:
    """Return where one epoch of a controller's log lies below the folder of all copies."""
    return LogCopy(folder / controller_id / f"e{epoch}")


def _write(path: Path, content: bytes, *, fresh: Path) -> None:
    """Put a file in place whole and synced, or not at all."""
    try:
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        # A full disk must not be kept full by what was half written.
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _make(folder: Path) -> None:
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    # Without this the loss of power can take back the name of a file whose bytes are safe.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _speaking() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LogCopyError(f"the copy of the log cannot be used: {error.strerror}") from error
