"""What a restored database has lost is shown by verify.py for ever, and cannot be used to hide more."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from consent_service.audit.standalone_verifier import command
from tests import bundles
from tests.bundles import ORIGIN, Log, Signer, Writer

VKEY = Signer(ORIGIN).vkey
#: More than one tile, and a second level.
MANY = 600


def _verify(capsys: pytest.CaptureFixture[str], bundle: Path, *options: str) -> tuple[int, dict[str, Any]]:
    code = command.main([str(bundle), "--json", *options])
    return code, json.loads(capsys.readouterr().out)


def _said(capsys: pytest.CaptureFixture[str], bundle: Path) -> str:
    command.main([str(bundle)])
    return capsys.readouterr().out


def _names(told: dict[str, Any]) -> set[str]:
    return {finding["name"] for finding in told["findings"]}


class TestRecovery:
    @pytest.mark.parametrize("lost", [None, 400])
    def test_what_was_lost_is_shown_for_ever(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], lost: int | None
    ) -> None:
        writer = Writer()
        first = Log(writer.entries(MANY), kept=(100, 400, 500))
        writer.restored(first.entries[:400])
        second = Log([writer.entry("log", "log.recovered", gap=first.gap(400)), *writer.entries(9)], epoch=2)
        bundles.write_bundle(tmp_path, first, second, lost=lost, opened=400)

        code, told = _verify(capsys, tmp_path, "--vkey", VKEY)

        assert code == 0, told["findings"]
        assert [gap["gap"] for gap in told["gaps"]] == [first.gap(400)]
        assert [epoch["lost"] for epoch in told["epochs"]] == [0 if lost is None else 2, 0]
        assert "  200 are lost, from index 400 on\n" in _said(capsys, tmp_path)

    def test_evidence_of_a_later_epoch_shows_it_too(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        writer = Writer()
        first = Log(writer.entries(9))
        writer.restored(first.entries[:4])
        second = Log([writer.entry("log", "log.recovered", gap=first.gap(4)), *writer.entries(9)], epoch=2)
        bundles.write_evidence(tmp_path / "with", first, second, about=[second.entries[0].id, second.entries[4].id])
        bundles.write_evidence(tmp_path / "without", first, second, about=[second.entries[4].id])

        shown, hidden = _verify(capsys, tmp_path / "with"), _verify(capsys, tmp_path / "without")

        assert (shown[0], [gap["gap"]["kept"] for gap in shown[1]["gaps"]]) == (0, [4])
        assert (hidden[0], _names(hidden[1])) == (3, {"gap_hidden"})

    @pytest.mark.parametrize(
        "change",
        [
            {"root": "0" * 64},
            {"root": "A" * 44},
            {"size": 8},
            {"size": "9"},
            {"kept": -1},
            {"log": "other.example/log"},
            {"log": f"{ORIGIN}/e3"},
            {"later": [{"log": f"{ORIGIN}/e2", "size": 1, "root": "0" * 64}]},
        ],
    )
    def test_a_recovery_that_names_another_end_is_refused(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any]
    ) -> None:
        writer = Writer()
        first = Log(writer.entries(9))
        gap = {**first.gap(9), **change}
        second = Log([writer.entry("log", "log.recovered", gap=gap), *writer.entries(9)], epoch=2)
        bundles.write_bundle(tmp_path, first, second)

        code, told = _verify(capsys, tmp_path, "--vkey", VKEY)

        assert code == 3
        assert _names(told) & {"gap_hidden", "checkpoint_conflict", "not_append_only"}

    def test_what_was_kept_without_a_checkpoint_is_said_to_be_unproved(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        writer = Writer()
        signed = Log(writer.entries(500))
        kept = [*signed.entries, *writer.entries(20)]
        end = Log([*kept, *writer.entries(80)])
        writer.restored(kept)
        second = Log([writer.entry("log", "log.recovered", gap=end.gap(520)), *writer.entries(9)], epoch=2)
        folders = [tmp_path / name for name in ("with", "without", "evidence")]
        for folder, entries in zip(folders, (kept, signed.entries, signed.entries), strict=True):
            if folder.name == "evidence":
                bundles.write_evidence(
                    folder, signed, second, about=[entry.id for entry in (*entries, *second.entries)]
                )
            else:
                bundles.write_bundle(folder, signed, second)
                bundles.write_openings(folder, [*entries, *second.entries])
                bundles.write_tiles(folder / "log/e1/tile", (entry.leaf for entry in entries), anew=True)

        codes = [_verify(capsys, folder)[0] for folder in folders]
        shown = _said(capsys, folders[0])

        assert codes == [0, 0, 0]
        assert "the last 20 leaves are under no checkpoint that is here and agrees" in shown

    def test_no_more_may_be_missing_than_was_kept_without_a_checkpoint(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        writer = Writer()
        first = Log(writer.entries(9, streams=1))
        between = writer.entries(3, streams=1)
        for kept, code in ((12, 0), (11, 3)):
            again = Writer().restored([*first.entries, *between])
            second = Log(
                [again.entry("log", "log.recovered", gap=first.gap(kept)), *again.entries(2, streams=1)], epoch=2
            )
            ids = [bundles.entry_id(1000 + at) for at in range(3)]
            second.entries = [dataclasses.replace(each, id=id_) for each, id_ in zip(second.entries, ids, strict=True)]
            bundles.write_bundle(tmp_path / str(kept), first, second)

            assert _verify(capsys, tmp_path / str(kept))[0] == code

    def test_epochs_that_only_lie_outside_are_named(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        writer = Writer()
        first = Log(writer.entries(9))
        later = [{"log": f"{ORIGIN}/e2", "size": 4, "root": "0" * 64}]
        third = Log([writer.entry("log", "log.recovered", gap={**first.gap(9), "later": later})], epoch=3)
        bundles.write_bundle(tmp_path, first, third)

        code, told = _verify(capsys, tmp_path, "--vkey", VKEY)

        assert (code, told["findings"]) == (0, [])

    def test_epochs_that_were_given_up_may_be_in_the_bundle(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        writer = Writer()
        first = Log(writer.entries(9))
        writer.restored(first.entries[:7])
        second = Log([writer.entry("log", "log.recovered", gap=first.gap(7)), *writer.entries(3)], epoch=2)
        later = [{name: value for name, value in second.gap(0).items() if name in {"log", "size", "root"}}]
        writer.restored(first.entries[:5])
        gap = {**first.gap(5), "later": later}
        third = Log([writer.entry("log", "log.recovered", gap=gap), *writer.entries(9)], epoch=3)
        bundles.write_bundle(tmp_path, first, second, third)
        bundles.write_openings(tmp_path, [*first.entries[:5], *third.entries])

        code, told = _verify(capsys, tmp_path, "--vkey", VKEY)

        assert (code, told["findings"]) == (0, [])
        assert len(told["gaps"]) == 2

    def test_a_log_that_was_lost_before_it_was_signed_begins_later(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        writer = Writer()
        second = Log([writer.entry("log", "log.recovered", gap=Log([]).gap(0)), *writer.entries(3)], epoch=2)
        bundles.write_bundle(tmp_path, second)

        code, told = _verify(capsys, tmp_path, "--vkey", VKEY)

        assert (code, told["findings"]) == (0, [])

    def test_a_kept_checkpoint_of_what_was_lost_is_no_contradiction(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        writer = Writer()
        signed = Log(writer.entries(50))
        end = Log([*signed.entries, *writer.entries(30)])
        writer.restored(signed.entries)
        second = Log([writer.entry("log", "log.recovered", gap=end.gap(50)), *writer.entries(3)], epoch=2)
        bundles.write_bundle(tmp_path / "bundle", signed, second)
        (tmp_path / "mailed.txt").write_text(end.checkpoint(70), "utf-8")

        code, told = _verify(capsys, tmp_path / "bundle", "--checkpoint", str(tmp_path / "mailed.txt"))

        assert (code, told["findings"]) == (0, [])
        assert told["epochs"][0]["lost"] == 1

    def test_an_epoch_that_begins_without_one_is_refused(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        writer = Writer()
        bundles.write_bundle(tmp_path, Log(writer.entries(9)), Log(writer.entries(9), epoch=2))

        code, told = _verify(capsys, tmp_path, "--vkey", VKEY)

        assert (code, _names(told)) == (3, {"gap_hidden"})
