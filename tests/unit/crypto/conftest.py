"""Key folders for the tests of keys, seals and links."""

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from consent_service.crypto import keyring as key_folder
from consent_service.crypto.keyring import Key, Keyring


@pytest.fixture(scope="session")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    """Make one key folder with the first version of every key."""
    folder: Path = tmp_path_factory.mktemp("keys") / "keys"
    return key_folder.create_keyring(folder)


Rotate = Callable[[Keyring, str], Keyring]


@pytest.fixture
def rotated() -> Rotate:
    """Give a key a newer version, as a rotation does."""

    def rotate(keyring: Keyring, name: str) -> Keyring:
        newer = Key(version=keyring.newest(name).version + 1, secret=secrets.token_bytes(32))
        return Keyring({**keyring.keys, name: (*keyring.all(name), newer)})

    return rotate
