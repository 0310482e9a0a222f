"""Answers for the key folder: one file per key name and version, kept apart from the data."""

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from consent_service.errors import KeyFolderError

NAMES: Final = ("root", "links", "api_keys", "caps", "idempotency")
#: What signs the audit log lies in a folder of its own, which one process alone opens.
LOG_NAMES: Final = ("log",)
SECRET_BYTES: Final = 32

_FILE_NAME: Final = re.compile(r"([a-z_]+)\.([1-9][0-9]{0,8})\.key", re.ASCII)
_FINGERPRINT_MESSAGE: Final = b"consent-service fingerprint v1"
_FINGERPRINT_DIGITS: Final = 16
_OPEN_TO_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
# A key file is 45 bytes; reading stops soon after, whatever lies at that name.
_READ_LIMIT: Final = 256


@dataclass(frozen=True, slots=True)
class Key:
    """One version of a key; its secret is left out of the repr."""

    version: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class Keyring:
    """All keys of this installation, by name, each oldest version first."""

    keys: Mapping[str, tuple[Key, ...]]

    def __repr__(self) -> str:
        """Name the keys and versions, never a secret."""
        held = ", ".join(f"{name}.{key.version}" for name, versions in self.keys.items() for key in versions)
        return f"Keyring({held})"

    def newest(self, name: str) -> Key:
        """Get the version that signs and seals."""
        return self.all(name)[-1]

    def get(self, name: str, version: int) -> Key:
        """Get one version; raises KeyFolderError where the folder does not hold it."""
        for key in self.all(name):
            if key.version == version:
                return key
        raise KeyFolderError(f"key {name}.{version} is not in the key folder")

    def all(self, name: str) -> tuple[Key, ...]:
        """Get every version, oldest first; raises KeyFolderError where there is none."""
        versions = self.keys.get(name, ())
        if not versions:
            raise KeyFolderError(f"key {name} is not in the key folder")
        return versions


def create_keyring(folder: Path, *, names: Sequence[str] = NAMES) -> Keyring:
    """Make the first version of every named key in a new or empty folder, wholly or not at all.

    Raises KeyFolderError where the folder holds anything already: keys that are made anew
    silently would leave everything sealed before unreadable.
    """
    target = folder.resolve()
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir() and any(target.iterdir()):
            raise KeyFolderError(f"key folder {folder} is not empty; keys are never made a second time")
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        for name in names:
            _write_key(temporary / f"{name}.1.key")
        _sync_folder(temporary)
        # The rename is refused where somebody else filled the folder in the meantime.
        temporary.rename(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise KeyFolderError(f"key folder {folder} cannot be made: {error.strerror}") from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary)
    return load_keyring(folder, names=names)


def load_keyring(folder: Path, *, names: Sequence[str] = NAMES) -> Keyring:
    """Read every named key; raises KeyFolderError where one is missing, damaged or readable by others.

    A file that ends in `.key` and is not one of ours is refused too: an overlooked key is
    found out only when data cannot be opened.
    """
    found: dict[str, dict[int, Key]] = {name: {} for name in names}
    try:
        if not folder.is_dir():
            raise KeyFolderError(f"key folder {folder} does not exist")
        _demand_private(folder, folder.stat().st_mode, "0700")
        paths = sorted(folder.glob("*.key"))
    except OSError as error:
        raise KeyFolderError(f"key folder {folder} cannot be read: {error.strerror}") from error
    for path in paths:
        name, version = _parse_name(path, names)
        found[name][version] = Key(version=version, secret=_read_key(path))
    for name, versions in found.items():
        if not versions:
            raise KeyFolderError(f"key folder {folder} has no key {name} ({name}.1.key)")
    return Keyring(
        MappingProxyType({name: tuple(keys[version] for version in sorted(keys)) for name, keys in found.items()})
    )


def fingerprints(keyring: Keyring) -> dict[str, str]:
    """Tell keys apart without telling them: `root.1` to 16 hex digits.

    The database keeps these, so that a wrong key folder is noticed at the start.
    """
    return {f"{name}.{key.version}": _fingerprint(key) for name, versions in keyring.keys.items() for key in versions}


def is_of_log(name: str) -> bool:
    """Say whether a fingerprint's name (`log.1`) is that of a key which signs the audit log."""
    return name.partition(".")[0] in LOG_NAMES


def _fingerprint(key: Key) -> str:
    digest = hmac.new(key.secret, _FINGERPRINT_MESSAGE, hashlib.sha256).hexdigest()
    return digest[:_FINGERPRINT_DIGITS]


def _parse_name(path: Path, names: Sequence[str]) -> tuple[str, int]:
    match = _FILE_NAME.fullmatch(path.name)
    if match is None or match[1] not in names:
        raise KeyFolderError(f"{path} is not a key of this service (expected for example {names[0]}.1.key)")
    return match[1], int(match[2])


def _write_key(path: Path) -> None:
    text = base64.b64encode(secrets.token_bytes(SECRET_BYTES)) + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            _demand_private(path, os.fstat(file.fileno()).st_mode, "0600")
            text = file.read(_READ_LIMIT)
    except OSError as error:
        raise KeyFolderError(f"key file {path} cannot be read: {error.strerror}") from error
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise KeyFolderError(f"key file {path} does not hold 32 bytes in base64")
    return secret


def _demand_private(path: Path, mode: int, wanted: str) -> None:
    if mode & _OPEN_TO_OTHERS:
        raise KeyFolderError(f"{path} is open to other users of this machine; run: chmod {wanted} {path}")


def _sync_folder(folder: Path) -> None:
    # Without this a power cut can take back the names of files whose bytes are safe.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
