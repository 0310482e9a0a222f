"""What a witness remembers: of each log the latest checkpoint it cosigned, and those that contradict it.

    <folder>/keys/witness.1.key        its key; 0600 in a folder of 0700
    <folder>/vkey.txt                  its public key
    <folder>/state/<log>.checkpoint    SHA-256 of the note that follows, newline, and the log's signed note
    <folder>/evidence/<log>/*.note     signed notes of the log: two of a fork, or one without proof

`<log>` is the SHA-256 of the log's origin in hex. A file is written beside its name, flushed, renamed and its folder
flushed, so that a kill or a power cut leaves the old note or the new one. The lock is the kernel's: it ends with the
process that holds it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from consent_service.audit import checkpoints
from consent_service.crypto import keyring, notes
from consent_service.crypto.notes import Cosigner
from consent_service.errors import CheckpointInvalidError, NoteInvalidError, WitnessFolderError

KEY_NAME: Final = "witness"
#: Anybody may post a genuine checkpoint with a wrong proof again and again; two that contradict only the log can sign.
MOST_UNPROVED: Final = 100

_STATE: Final = "state"
_EVIDENCE: Final = "evidence"


def open_cosigner(folder: Path, *, name: str) -> Cosigner:
    """Open the witness's key, and make folder and key at the first start.

    Raises WitnessFolderError where the folder is another witness's or has lost its key, KeyFolderError where the key is
    damaged or readable by others, and VerifierKeyInvalidError where no key can have this name.
    """
    keys, state, vkey = folder / "keys", folder / _STATE, folder / "vkey.txt"
    try:
        _make_folder(folder)
        _make_folder(state)
        if vkey.exists() and not keys.exists():
            raise WitnessFolderError(f"{folder} has lost its key; restore {keys}, or begin anew in another folder")
        if not notes.is_key_name(name):
            raise WitnessFolderError("a witness's name is not empty and has neither spaces nor +")
        opened = keyring.load_keyring if keys.exists() else keyring.create_keyring
        cosigner = Cosigner(name, opened(keys, names=(KEY_NAME,)).newest(KEY_NAME).secret)
        _claim(vkey, cosigner.vkey)
    except OSError as error:
        raise WitnessFolderError(f"{folder} cannot be used: {error.strerror}") from error
    return cosigner


@contextmanager
def locked(folder: Path, origin: str) -> Iterator[None]:
    """Hold a log's place alone, against threads and processes; waits for whoever holds it."""
    try:
        descriptor = os.open(_state_path(folder, origin, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise WitnessFolderError(f"the place of a log cannot be locked: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def find_latest(folder: Path, origin: str) -> str | None:
    """Find the log's signed note that was cosigned last; None where there is none. Call it under the lock.

    Raises WitnessFolderError where the file is damaged: a witness that has forgotten must not begin anew by itself.
    """
    try:
        content = _state_path(folder, origin, ".checkpoint").read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WitnessFolderError(f"what was seen of a log cannot be read: {error.strerror}") from error
    digest, _, note = content.partition(b"\n")
    if digest != sha256(note).hexdigest().encode() or _origin_of(note) != origin:
        raise WitnessFolderError(f"what was seen of {origin} is damaged")
    return note.decode()


def keep_latest(folder: Path, origin: str, note: str) -> None:
    """Keep the log's signed note as the latest, on the disk when this returns. Call it under the lock.

    Raises WitnessFolderError where the disk does not take it; then nothing may be cosigned.
    """
    content = note.encode()
    _write(_state_path(folder, origin, ".checkpoint"), sha256(content).hexdigest().encode() + b"\n" + content)


def keep_evidence(folder: Path, origin: str, note: str, *, is_fork: bool) -> None:
    """Keep a log's signed note: both of a fork, which are two roots of one size, or one that came without its proof.

    Raises WitnessFolderError where the disk does not take it. Call it under the lock.
    """
    place = folder / _EVIDENCE / _name(origin)
    try:
        _make_folder(place.parent)
        _make_folder(place)
        if not is_fork and sum(1 for _ in place.glob("unproved-*.note")) >= MOST_UNPROVED:
            return
    except OSError as error:
        raise WitnessFolderError(f"evidence cannot be kept: {error.strerror}") from error
    content = note.encode()
    _write(place / f"{'fork' if is_fork else 'unproved'}-{sha256(content).hexdigest()}.note", content)


def _claim(path: Path, vkey: str) -> None:
    if not path.exists():
        _write(path, f"{vkey}\n".encode())
    if path.read_text(encoding="utf-8", errors="replace") != f"{vkey}\n":
        raise WitnessFolderError(f"{path.parent} belongs to another witness; {path} says to which")


def _origin_of(note: bytes) -> str | None:
    try:
        return checkpoints.read(notes.unsafe_text(note.decode())).origin
    except (UnicodeDecodeError, NoteInvalidError, CheckpointInvalidError):
        return None


def _name(origin: str) -> str:
    return sha256(origin.encode()).hexdigest()


def _state_path(folder: Path, origin: str, suffix: str) -> Path:
    return folder / _STATE / f"{_name(origin)}{suffix}"


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)  # noqa: PTH105 - the step that decides stands beside the flushes around it
        _sync_folder(path.parent)
    except OSError as error:
        raise WitnessFolderError(f"{path.parent} cannot be written: {error.strerror}") from error


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    # Without this a power cut can take back the names of files whose bytes are safe.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
