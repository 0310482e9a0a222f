"""A stranger verifies a bundle with nothing but verify.py and Python."""

import ast
import base64
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from consent_service.audit import standalone_verifier
from consent_service.audit.standalone_verifier import command
from tests import bundles
from tests.bundles import ORIGIN, WITNESS_TYPE, Log, Signer, Writer

VKEY = Signer(ORIGIN).vkey
#: More than one tile, and a second level.
MANY = 600


def _verify(capsys: pytest.CaptureFixture[str], bundle: Path, *options: str) -> tuple[int, dict[str, Any]]:
    code = command.main([str(bundle), "--json", *options])
    return code, json.loads(capsys.readouterr().out)


def _run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    # Isolated from this environment and from its packages, as on a stranger's machine.
    return subprocess.run(
        [sys.executable, "-I", "-S", str(folder / "verify.py"), *options], capture_output=True, text=True, check=False
    )


class TestProgram:
    def test_it_imports_the_standard_library_alone(self) -> None:
        imported = set()
        for statement in ast.walk(ast.parse(standalone_verifier.program())):
            if isinstance(statement, ast.Import):
                imported |= {alias.name for alias in statement.names}
            elif isinstance(statement, ast.ImportFrom):
                imported.add((statement.module or "").partition(".")[0])

        assert imported - set(sys.stdlib_module_names) == set()

    def test_no_part_of_it_takes_a_name_of_another(self) -> None:
        body = ast.parse(standalone_verifier.program()).body
        named = [each.name for each in body if isinstance(each, ast.FunctionDef | ast.ClassDef)]
        targets = [each.target for each in body if isinstance(each, ast.AnnAssign)]
        named += [each.id for each in targets if isinstance(each, ast.Name)]

        assert len(named) > 50
        assert len(named) == len(set(named))

    def test_every_module_of_the_package_is_part_of_it(self) -> None:
        modules = {path.stem for path in Path(standalone_verifier.__file__).parent.glob("*.py")}

        assert modules - {"__init__"} == set(standalone_verifier.PARTS)

    @pytest.mark.rule("LOG-11")
    def test_it_verifies_the_bundle_that_it_lies_in(self, tmp_path: Path) -> None:
        bundles.write_bundle(tmp_path, Log(Writer().entries(MANY), kept=(1, 255, 256, 257, 512)))

        done = _run(tmp_path, "--vkey", VKEY)

        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.endswith("VERIFIED.\n")
        assert done.stderr == ""

    def test_it_says_loudly_that_the_key_came_with_the_bundle(self, tmp_path: Path) -> None:
        bundles.write_bundle(tmp_path, Log(Writer().entries(3)))

        done = _run(tmp_path)

        assert done.stdout.startswith("THE KEY WAS NOT PINNED.")
        assert done.stdout.endswith("WHO SIGNED IT WAS NOT VERIFIED.\n")
        assert "VERIFIED.\n" not in done.stdout.splitlines(keepends=True)
        assert done.returncode == 0

    def test_it_says_how_a_checkpoint_can_be_compared_that_the_bundle_does_not_know(self, tmp_path: Path) -> None:
        log = Log(Writer().entries(MANY))
        folder = bundles.write_evidence(tmp_path / "bundle", log, about={log.entries[7].id})
        kept = tmp_path / "kept.txt"
        kept.write_text(log.checkpoint(300), "utf-8")
        without = _run(folder, "--vkey", VKEY, "--checkpoint", str(kept))
        hashes = bundles.proof_of(300, log.hashes)
        (folder / "log/e1/consistency/300.txt").write_text(
            "".join(f"{base64.b64encode(each).decode()}\n" for each in hashes), "utf-8"
        )

        done = _run(folder, "--vkey", VKEY, "--checkpoint", str(kept))

        assert (without.returncode, done.returncode) == (3, 0), without.stdout + done.stdout
        assert f"from 300 to {MANY} leaves, and put them into log/e1/consistency/300.txt" in without.stdout

    def test_it_names_the_first_bad_row(self, tmp_path: Path) -> None:
        log = Log(Writer().entries(MANY))
        bundles.write_bundle(tmp_path, log)
        file = tmp_path / "log/e1/tile/entries/001"
        file.write_bytes(file.read_bytes().replace(log.entries[300].commit.encode(), b"0" * 64))

        done = _run(tmp_path, "--vkey", VKEY)

        assert done.returncode == 3
        assert f"First bad row: epoch 1, index 300, entry {log.entries[300].id}: " in done.stdout
        assert done.stdout.endswith("NOT VERIFIED.\n")

    def test_it_never_steers_the_terminal(self, tmp_path: Path) -> None:
        signer = Signer("evil\x9b2J.example")
        bundles.write_bundle(tmp_path, Log(Writer().entries(3), signer=signer))

        done = _run(tmp_path)

        assert "evil?2J.example" in done.stdout


class TestOptions:
    def test_wrong_ones_end_it_with_2(self, tmp_path: Path) -> None:
        bundles.write_bundle(tmp_path, Log(Writer().entries(3)))
        witness = Signer("witness.example/w", WITNESS_TYPE).vkey

        wrong: list[Sequence[str]] = [
            ["--vkey", "nothing"],
            ["--vkey", witness],
            ["--witness", VKEY],
            ["--witness", witness, "--quorum", "2"],
            ["--witness", witness, "--quorum", "0"],
            ["--quorum", "1"],
            ["--unknown"],
        ]

        assert {_run(tmp_path, *options).returncode for options in wrong} == {2}

    def test_a_key_may_lie_in_a_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        bundles.write_bundle(tmp_path / "bundle", Log(Writer().entries(3)))
        (tmp_path / "vkey.txt").write_text(f"{VKEY}\n", "utf-8")

        code, told = _verify(capsys, tmp_path / "bundle", "--vkey", str(tmp_path / "vkey.txt"))

        assert (code, told["key_pinned"]) == (0, True)

    def test_nothing_to_verify_ends_it_with_1(self, tmp_path: Path) -> None:
        bundles.write_bundle(tmp_path / "bundle", Log(Writer().entries(3)))
        (tmp_path / "empty").mkdir()
        (tmp_path / "text.zip").write_text("no zip", "utf-8")

        done = [
            _run(tmp_path / "bundle", str(tmp_path / "missing")),
            _run(tmp_path / "bundle", str(tmp_path / "empty")),
            _run(tmp_path / "bundle", str(tmp_path / "text.zip")),
            _run(tmp_path / "bundle", "--checkpoint", str(tmp_path / "missing")),
            _run(tmp_path / "bundle", "--checkpoint", str(tmp_path / "text.zip")),
        ]

        assert {each.returncode for each in done} == {1}
        assert {each.stderr.count("\n") for each in done} == {1}


class TestBundlesWithTiles:
    @pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 513])
    def test_trees_of_any_size_verify(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int) -> None:
        kept = [each for each in (1, 2, 128, 255, 256, 300, 512) if each < size]
        bundles.write_bundle(tmp_path, Log(Writer().entries(size), kept=kept))

        code, told = _verify(capsys, tmp_path, "--vkey", VKEY)

        assert code == 0, told["findings"]
        assert told["epochs"][0]["agreed"] == len(kept) + 1
        assert told["epochs"][0]["opened"] == size

    def test_a_tree_of_three_levels_verifies_up_to_the_last_hash(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        bundles.write_bundle(tmp_path, Log(Writer().entries(65_800), kept=(300, 65_536, 65_537)))
        whole = _verify(capsys, tmp_path, "--vkey", VKEY)
        for name in ("tile/1/000", "tile/1/001.p/1", "tile/2/000.p/1"):
            file = tmp_path / "log/e1" / name
            data = file.read_bytes()
            file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

        broken = _verify(capsys, tmp_path, "--vkey", VKEY)

        assert (whole[0], whole[1]["epochs"][0]["agreed"], whole[1]["epochs"][0]["opened"]) == (0, 4, 65_800)
        assert (broken[0], broken[1]["findings_by_name"]) == (3, {"tile_mismatch": 3})
        assert [finding["index"] for finding in broken[1]["findings"]] == [65_280, 65_536, 0]

    def test_a_zip_verifies_like_a_folder(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = bundles.write_bundle(tmp_path / "bundle", Log(Writer().entries(MANY), kept=(5,)))

        packed = bundles.as_zip(folder, tmp_path / "bundle.zip")

        assert _verify(capsys, packed) == _verify(capsys, folder)
        assert _verify(capsys, packed)[0] == 0

    @pytest.mark.rule("LOG-09")
    def test_what_was_erased_stays_proved_and_is_counted_apart(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        log = Log(Writer().entries(MANY, streams=3))
        person = [entry.id for entry in log.entries[1::3]]
        bundles.write_bundle(tmp_path, log, erased=person, withheld=[log.entries[3].id])

        code, told = _verify(capsys, tmp_path, "--vkey", VKEY)

        counts = {name: told["epochs"][0][name] for name in ("opened", "erased", "not_supplied")}
        assert code == 0
        assert counts == {"opened": 399, "erased": 200, "not_supplied": 1}

    @pytest.mark.rule("LOG-11")
    def test_a_checkpoint_that_was_kept_outside_is_compared(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        log = Log(Writer().entries(MANY))
        bundles.write_bundle(tmp_path / "bundle", log)
        (tmp_path / "mailed.txt").write_text(log.checkpoint(400), "utf-8")

        code, told = _verify(capsys, tmp_path / "bundle", "--checkpoint", str(tmp_path / "mailed.txt"))

        assert (code, told["epochs"][0]["agreed"]) == (0, 2)

    def test_witnesses_are_named_with_their_time(self, tmp_path: Path) -> None:
        witnesses = [Signer(f"w{at}.example", WITNESS_TYPE, bytes([at] * 32)) for at in (1, 2, 3)]
        bundles.write_bundle(tmp_path, Log(Writer().entries(5), witnesses=witnesses[:2]))
        given = [option for witness in witnesses for option in ("--witness", witness.vkey)]

        enough, too_few = _run(tmp_path, *given, "--quorum", "2"), _run(tmp_path, *given)

        assert "Witnessed up to 5 leaves by w1.example+" in enough.stdout
        assert "at 2027-01-15 08:00:00 UTC" in enough.stdout
        assert (enough.returncode, too_few.returncode) == (0, 3)
        assert "witness_missing" in too_few.stdout


class TestBundlesWithProofs:
    @pytest.mark.rule("LOG-11")
    @pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 300])
    def test_each_entry_is_proved_by_itself(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int
    ) -> None:
        log = Log(Writer().entries(size, streams=1), kept=range(1, min(size, 12)))
        bundles.write_evidence(tmp_path, log, about=[entry.id for entry in log.entries[size // 2 :]])

        code, told = _verify(capsys, tmp_path, "--vkey", VKEY)

        assert code == 0, told["findings"]
        assert told["epochs"][0]["proofs"] == told["epochs"][0]["opened"] == size - size // 2

    @pytest.mark.rule("LOG-09")
    def test_what_was_erased_stays_proved(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        log = Log(Writer().entries(MANY, streams=100))
        person = [entry.id for entry in log.entries[7::100]]
        bundles.write_evidence(tmp_path, log, about=person, erased=person)

        code, told = _verify(capsys, tmp_path, "--vkey", VKEY)

        assert code == 0
        assert (told["epochs"][0]["proofs"], told["epochs"][0]["erased"]) == (6, 6)

    def test_entries_between_may_stay_closed(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        log = Log(Writer().entries(20, streams=1))
        between = [entry.id for entry in log.entries[5:15]]
        bundles.write_evidence(tmp_path, log, about=[entry.id for entry in log.entries], withheld=between)

        code, told = _verify(capsys, tmp_path, "--vkey", VKEY)

        assert (code, told["epochs"][0]["not_supplied"]) == (0, 10)
