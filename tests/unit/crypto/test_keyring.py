"""The key folder is made once, read strictly, and never tells a secret."""

import base64
import stat
from pathlib import Path

import pytest

from consent_service.crypto import keyring as key_folder
from consent_service.crypto.keyring import NAMES, Key, Keyring
from consent_service.errors import KeyFolderError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with fresh keys."""
    key_folder.create_keyring(tmp_path / "keys")
    return tmp_path / "keys"


class TestCreateKeyring:
    def test_it_makes_the_first_version_of_every_key(self, tmp_path: Path) -> None:
        keyring = key_folder.create_keyring(tmp_path / "keys")

        assert {name: [key.version for key in keyring.all(name)] for name in NAMES} == {name: [1] for name in NAMES}
        assert len({keyring.newest(name).secret for name in NAMES}) == len(NAMES)
        assert key_folder.load_keyring(tmp_path / "keys") == keyring

    def test_only_the_owner_may_read_them(self, folder: Path) -> None:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}

    def test_a_file_is_32_bytes_in_base64_and_a_line_end(self, folder: Path) -> None:
        text = (folder / "root.1.key").read_bytes()

        assert text.endswith(b"\n")
        assert len(base64.b64decode(text, validate=False)) == 32

    def test_it_fills_an_empty_folder_and_makes_missing_parents(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()

        key_folder.create_keyring(tmp_path / "empty")
        key_folder.create_keyring(tmp_path / "a" / "b" / "keys")

        assert (tmp_path / "empty" / "root.1.key").exists()
        assert (tmp_path / "a" / "b" / "keys" / "root.1.key").exists()

    def test_it_never_makes_keys_a_second_time(self, folder: Path) -> None:
        before = key_folder.load_keyring(folder)

        with pytest.raises(KeyFolderError, match="never made a second time"):
            key_folder.create_keyring(folder)

        assert key_folder.load_keyring(folder) == before

    def test_it_refuses_a_folder_in_which_one_key_is_left(self, folder: Path) -> None:
        for path in folder.glob("[!r]*.key"):
            path.unlink()

        with pytest.raises(KeyFolderError, match="never made a second time"):
            key_folder.create_keyring(folder)

    def test_a_refusal_leaves_nothing_half_made(self, tmp_path: Path) -> None:
        (tmp_path / "keys").write_text("a file stands here")

        with pytest.raises(KeyFolderError, match="cannot be made"):
            key_folder.create_keyring(tmp_path / "keys")

        assert [path.name for path in tmp_path.iterdir()] == ["keys"]


class TestLoadKeyring:
    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(KeyFolderError, match="keys does not exist") as refused:
            key_folder.load_keyring(tmp_path / "keys")

        assert refused.value.code == "key_folder_invalid"

    @pytest.mark.parametrize("name", NAMES)
    def test_a_missing_key_is_named(self, folder: Path, name: str) -> None:
        (folder / f"{name}.1.key").unlink()

        with pytest.raises(KeyFolderError, match=f"has no key {name}"):
            key_folder.load_keyring(folder)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\n",
            b"not base64 at all!\n",
            base64.b64encode(b"k" * 31) + b"\n",
            base64.b64encode(b"k" * 33) + b"\n",
            b"k" * 32,
            b"\xff\xfe\n",
            base64.b64encode(b"k" * 4096),
        ],
    )
    def test_a_damaged_key_is_refused_without_telling_it(self, folder: Path, content: bytes) -> None:
        (folder / "links.1.key").write_bytes(content)

        with pytest.raises(KeyFolderError, match=r"links\.1\.key does not hold 32 bytes") as told:
            key_folder.load_keyring(folder)

        assert "a2tra" not in str(told.value)

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
    def test_a_key_that_others_may_touch_is_refused(self, folder: Path, mode: int) -> None:
        (folder / "caps.1.key").chmod(mode)

        with pytest.raises(KeyFolderError, match=r"caps\.1\.key is open to other users"):
            key_folder.load_keyring(folder)

    @pytest.mark.parametrize("mode", [0o750, 0o705, 0o711])
    def test_a_folder_that_others_may_enter_is_refused(self, folder: Path, mode: int) -> None:
        folder.chmod(mode)

        with pytest.raises(KeyFolderError, match="open to other users"):
            key_folder.load_keyring(folder)

    @pytest.mark.parametrize(
        "name", ["rot.1.key", "root.01.key", "root.0.key", "root.key", "Root.1.key", "root.-1.key"]
    )
    def test_a_key_that_would_be_overlooked_is_refused(self, folder: Path, name: str) -> None:
        (folder / name).write_bytes((folder / "root.1.key").read_bytes())

        with pytest.raises(KeyFolderError, match="is not a key of this service"):
            key_folder.load_keyring(folder)

    def test_a_folder_under_the_name_of_a_key_is_refused(self, folder: Path) -> None:
        (folder / "root.2.key").mkdir()

        with pytest.raises(KeyFolderError, match="cannot be read"):
            key_folder.load_keyring(folder)

    def test_other_files_are_left_alone(self, folder: Path) -> None:
        (folder / "README").write_text("kept apart from the backups")

        assert key_folder.load_keyring(folder).newest("root").version == 1

    def test_versions_are_ordered_as_numbers(self, folder: Path) -> None:
        for version in (10, 9):
            copy = folder / f"links.{version}.key"
            copy.write_bytes(base64.b64encode(bytes([version]) * 32))
            copy.chmod(0o600)

        keyring = key_folder.load_keyring(folder)

        assert [key.version for key in keyring.all("links")] == [1, 9, 10]
        assert keyring.newest("links").secret == bytes([10]) * 32
        assert keyring.get("links", 9).secret == bytes([9]) * 32


class TestKeyring:
    def test_a_version_that_is_not_there_is_refused(self, keyring: Keyring) -> None:
        with pytest.raises(KeyFolderError, match=r"root\.7 is not in the key folder"):
            keyring.get("root", 7)

    def test_a_name_that_is_not_there_is_refused(self, keyring: Keyring) -> None:
        with pytest.raises(KeyFolderError, match="roof is not in the key folder"):
            keyring.newest("roof")

    def test_no_repr_tells_a_secret(self) -> None:
        secret = b"S" * 32
        keyring = Keyring({"root": (Key(version=1, secret=secret),)})

        shown = f"{keyring!r} {keyring} {keyring.newest('root')!r} {keyring.newest('root')}"

        assert "SSS" not in shown
        assert repr(keyring) == "Keyring(root.1)"


class TestFingerprints:
    def test_they_name_every_key_with_16_hex_digits(self, keyring: Keyring) -> None:
        told = key_folder.fingerprints(keyring)

        assert sorted(told) == sorted(f"{name}.1" for name in NAMES)
        assert len(set(told.values())) == len(NAMES)
        assert all(len(bytes.fromhex(value)) == 8 for value in told.values())

    def test_they_are_the_same_for_the_same_key_tomorrow(self) -> None:
        keyring = Keyring({"root": (Key(version=3, secret=bytes(range(32))),)})

        assert key_folder.fingerprints(keyring) == {"root.3": "713584c93020f6cd"}
