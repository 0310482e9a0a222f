"""No byte of a bundle can be changed so that verify.py does not notice."""

import json
import random
import zipfile
from pathlib import Path

import pytest

from consent_service.audit.standalone_verifier import command
from tests import bundles
from tests.bundles import WITNESS_TYPE, Log, Signer, Writer

WITNESS = Signer("witness.example/w", WITNESS_TYPE, b"\x09" * 32)
LOG = Log(Writer().entries(300), kept=(100, 256), witnesses=(WITNESS,))
OPTIONS = ("--vkey", LOG.signer.vkey, "--witness", WITNESS.vkey)
#: What is said to count for nothing.
FREE = ("README.txt", "verify.py")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle with all tiles."""
    return bundles.write_bundle(tmp_path_factory.mktemp("whole") / "bundle", LOG, erased=[LOG.entries[5].id])


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle about one person."""
    person = [entry.id for entry in LOG.entries[3::7]]
    return bundles.write_evidence(tmp_path_factory.mktemp("evidence") / "bundle", LOG, about=person)


def _content(packed: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(packed) as opened:
        return {name: opened.read(name) for name in opened.namelist() if not name.endswith(FREE)}


class TestFolders:
    """Nor the README and the program count, nor a cosignature that stands once more below the checkpoint of a proof.

    Where it is changed it becomes the line of a key that nobody knows, which the standard bids to ignore, and nothing
    is said of witnesses that rests on it: they are asked about the checkpoint of the bundle.
    """

    @pytest.mark.rule("LOG-12")
    @pytest.mark.parametrize("kind", ["whole", "evidence"])
    @pytest.mark.parametrize("turns", [100, pytest.param(4000, marks=pytest.mark.long)])
    def test_none_can_be_changed_unnoticed(
        self, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], kind: str, turns: int
    ) -> None:
        folder: Path = request.getfixturevalue(kind)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in FREE]
        chance, unnoticed = random.Random(kind), []  # noqa: S311 - tests must be the same tomorrow
        for turn in range(max(turns, len(files))):
            path = files[turn % len(files)]
            data = path.read_bytes()
            end = data.rindex(WITNESS.name.encode()) - 4 if path.suffix == ".tlog-proof" else len(data)
            at, by = chance.randrange(end), chance.randrange(1, 256)
            path.write_bytes(data[:at] + bytes([data[at] ^ by]) + data[at + 1 :])

            if command.main([str(folder), *OPTIONS]) != command.FAILED:
                unnoticed.append((path.name, at, by))
            path.write_bytes(data)

        assert unnoticed == []
        capsys.readouterr()


class TestZips:
    @pytest.mark.rule("LOG-12")
    def test_a_changed_zip_is_noticed_or_reads_the_same(
        self, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        packed = bundles.as_zip(whole, tmp_path / "bundle.zip")
        data, chance = packed.read_bytes(), random.Random(9)  # noqa: S311 - tests must be the same tomorrow
        content = _content(packed)
        codes = []
        for _ in range(80):
            broken = bytearray(data)
            broken[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            packed.write_bytes(bytes(broken))

            codes.append(command.main([str(packed), *OPTIONS]))

            # Dates and rights of files are in a zip too, and count for nothing.
            assert codes[-1] != 0 or _content(packed) == content
        assert {0, 3} <= set(codes) <= {0, 1, 3}
        capsys.readouterr()

    def test_a_zip_that_was_cut_off_is_no_bundle(
        self, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        packed = bundles.as_zip(whole, tmp_path / "bundle.zip")
        data = packed.read_bytes()
        for end in (0, 1, 1000, len(data) // 2, len(data) - 1):
            packed.write_bytes(data[:end])

            assert command.main([str(packed), *OPTIONS]) == 1
            assert "it is no zip, or one that was cut off or changed" in capsys.readouterr().err

    def test_a_zip_of_a_later_kind_is_no_bundle(
        self, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        packed = bundles.as_zip(whole, tmp_path / "bundle.zip")
        data = bytearray(packed.read_bytes())
        # Behind the signature of the first entry of the directory stands the version of zip that it needs.
        data[data.index(b"PK\x01\x02") + 6] = 255
        packed.write_bytes(bytes(data))

        assert command.main([str(packed), *OPTIONS]) == 1
        assert capsys.readouterr().out == ""

    def test_a_zip_with_a_file_twice_is_refused(
        self, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        packed = bundles.as_zip(whole, tmp_path / "bundle.zip")
        with zipfile.ZipFile(packed, "a") as opened, pytest.warns(UserWarning, match="Duplicate name"):
            opened.writestr("log/e1/checkpoint", LOG.checkpoint())

        code = command.main([str(packed), "--json", *OPTIONS])

        told = json.loads(capsys.readouterr().out)
        assert (code, told["findings_by_name"]) == (3, {"entry_extra": 1})
