"""Whatever is changed in a bundle, verify.py names it and ends with 3."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consent_service.audit.standalone_verifier import command
from tests import bundles
from tests.bundles import ORIGIN, WITNESS_TYPE, Entry, Log, Signer, Writer

SIZE = 300
KEPT = (100, 256)
WITNESS = Signer("witness.example/w", WITNESS_TYPE, b"\x09" * 32)
THIEF = Signer(ORIGIN, seed=b"\x08" * 32)
LOG = Log(Writer().entries(SIZE), kept=KEPT, witnesses=(WITNESS,))
OTHER = Log(Writer().entries(SIZE, streams=9), signer=Signer("other.example/log"))
#: The entries of one person, for evidence.
PERSON = tuple(entry.id for entry in LOG.entries[3::7])
OPTIONS = ("--vkey", LOG.signer.vkey, "--witness", WITNESS.vkey)
E1 = Path("log/e1")

Tamper = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle with all tiles."""
    return bundles.write_bundle(tmp_path_factory.mktemp("whole") / "bundle", LOG, erased=[LOG.entries[5].id])


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle about one person."""
    return bundles.write_evidence(tmp_path_factory.mktemp("evidence") / "bundle", LOG, about=PERSON)


def _found(capsys: pytest.CaptureFixture[str], folder: Path, *options: str) -> tuple[int, set[str]]:
    code = command.main([str(folder), "--json", *OPTIONS, *options])
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, {finding["name"] for finding in told["findings"]}


def _replace(name: str, old: bytes, new: bytes) -> Tamper:
    def tamper(folder: Path) -> None:
        data = (folder / name).read_bytes()
        assert old in data
        (folder / name).write_bytes(data.replace(old, new, 1))

    return tamper


def _write(name: str, text: str) -> Tamper:
    return lambda folder: (folder / name).write_text(text, "utf-8")


def _append(name: str, text: str) -> Tamper:
    return lambda folder: (folder / name).write_text((folder / name).read_text("utf-8") + text, "utf-8")


def _shorten(name: str) -> Tamper:
    def tamper(folder: Path) -> None:
        head, hashes, note = (folder / name).read_text("utf-8").partition("index 3\n")
        (folder / name).write_text(head + hashes + note.partition("\n")[2], "utf-8")

    return tamper


def _remove(name: str) -> Tamper:
    return lambda folder: (folder / name).unlink()


def _rewrite(entries: list[Entry], *, resign: Signer | None = None, kept: bool = True) -> Tamper:
    """Put other entries in the tree, with all tiles; sign the newest checkpoint anew where a key is given."""

    def tamper(folder: Path) -> None:
        shutil.rmtree(folder / E1 / "tile")
        hashes = bundles.write_tiles(folder / E1 / "tile", (entry.leaf for entry in entries))
        (folder / "openings.jsonl").write_text("".join(f"{entry.opening}\n" for entry in entries), "utf-8")
        if resign is not None:
            note = bundles.checkpoint(ORIGIN, hashes, resign, WITNESS)
            (folder / E1 / "checkpoint").write_text(note, "utf-8")
        if not kept:
            shutil.rmtree(folder / E1 / "checkpoints")

    return tamper


def _changed(at: int, **change: Any) -> list[Entry]:  # noqa: ANN401 - any member of an entry
    entries = list(LOG.entries)
    entries[at] = dataclasses.replace(entries[at], **change)
    return entries


def _repeated() -> list[Entry]:
    """Let an entry take the place of the last one, and with it stand in the log twice."""
    return [*LOG.entries[:-1], LOG.entries[7]]


def _with_bundle(number: str, change: Callable[[list[bytes]], list[bytes]]) -> Tamper:
    """Change the leaves in one bundle of entries, and nothing else."""

    def tamper(folder: Path) -> None:
        file, leaves = folder / E1 / "tile/entries" / number, []
        data = file.read_bytes()
        while data:
            end = 2 + int.from_bytes(data[:2], "big")
            leaves.append(data[2:end])
            data = data[end:]
        file.write_bytes(b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in change(leaves)))

    return tamper


def _respaced(folder: Path) -> None:
    """Write a leaf as other JSON of the same meaning, and hash and sign the tree with it."""
    leaves = [entry.leaf for entry in LOG.entries]
    leaves[9] = leaves[9].replace(b'"v":1', b'"v": 1')
    shutil.rmtree(folder / E1 / "tile")
    hashes = bundles.write_tiles(folder / E1 / "tile", leaves)
    shutil.rmtree(folder / E1 / "checkpoints")
    (folder / E1 / "checkpoint").write_text(bundles.checkpoint(ORIGIN, hashes, LOG.signer, WITNESS), "utf-8")


def _next_in_stream(**more: object) -> Tamper:
    """Log one more entry that does not follow the one before it, honestly hashed and signed."""
    writer = Writer()
    entries = writer.entries(20, streams=1)
    last = writer.entry("subject:0")
    payload = bundles.canonical({**json.loads(last.payload), **more})
    return _rewrite([*entries, dataclasses.replace(last, payload=payload)], resign=LOG.signer, kept=False)


def _payload(text: str) -> Tamper:
    """Log one entry with that payload, honestly committed to, hashed and signed."""
    entry = dataclasses.replace(LOG.entries[0], payload=text)
    return _rewrite([entry, *LOG.entries[1:]], resign=LOG.signer, kept=False)


def _tiles_of(log: Log) -> Tamper:
    def tamper(folder: Path) -> None:
        shutil.rmtree(folder / E1 / "tile")
        bundles.write_tiles(folder / E1 / "tile", (entry.leaf for entry in log.entries))

    return tamper


FIRST = LOG.entries[0]
COMMIT = FIRST.commit.encode()
NAUGHT = b"0" * 64
TILE_WITH_END = f"log/e1/tile/entries/001.p/{SIZE - 256}"
TAMPERED: dict[str, tuple[Tamper, str]] = {
    # The log itself: entries, leaves and tiles.
    "an entry is edited": (_replace("log/e1/tile/entries/000", COMMIT, NAUGHT), "leaf_mismatch"),
    "an entry is deleted": (_with_bundle("000", lambda leaves: leaves[:9] + leaves[10:]), "truncated"),
    "the last entry is deleted": (_with_bundle("001.p/44", lambda leaves: leaves[:-1]), "truncated"),
    "an entry is inserted": (_with_bundle("000", lambda leaves: [leaves[0], *leaves]), "entry_extra"),
    "two entries are swapped": (_with_bundle("000", lambda all_: [all_[1], all_[0], *all_[2:]]), "leaf_mismatch"),
    "entries are reordered": (_with_bundle("000", lambda leaves: leaves[::-1]), "leaf_mismatch"),
    "a hash is edited": (lambda folder: _flip(folder / "log/e1/tile/0/000", 999, 1), "leaf_mismatch"),
    "a hash above is edited": (lambda folder: _flip(folder / "log/e1/tile/1/000.p/1", 5, 1), "tile_mismatch"),
    "a tile is missing": (_remove("log/e1/tile/0/000"), "truncated"),
    "a bundle of entries is missing": (_remove("log/e1/tile/entries/000"), "truncated"),
    "a bundle of entries is cut off": (_replace(TILE_WITH_END, b'"v":1}', b""), "truncated"),
    "a tile is one hash longer": (_write("log/e1/tile/0/000", "x" * 8224), "tile_mismatch"),
    "a tile is much longer": (_write("log/e1/tile/0/000", "x" * (1 << 20) + "x"), "truncated"),
    "a tile is added": (_write("log/e1/tile/0/002", "x" * 32), "entry_extra"),
    "tiles are those of another log": (_tiles_of(OTHER), "root_mismatch"),
    "the tree is written anew": (_rewrite(_changed(9, type="consent.refused")), "root_mismatch"),
    "the tree is shorter": (_rewrite(list(LOG.entries[:299])), "truncated"),
    "an entry is logged twice": (_rewrite(_repeated(), resign=LOG.signer, kept=False), "leaf_twice"),
    "a leaf is written in another form": (_respaced, "leaf_mismatch"),
    # Checkpoints and keys.
    "it is signed by another key": (_rewrite(_changed(9, type="x.y"), resign=THIEF), "unknown_key"),
    "history is rewritten with the stolen key": (
        _rewrite(_changed(9, type="x.y"), resign=LOG.signer),
        "not_append_only",
    ),
    "an old prefix is signed anew": (
        _write("log/e1/checkpoints/2026-05-01.txt", bundles.checkpoint(ORIGIN, LOG.hashes[1:101], LOG.signer)),
        "not_append_only",
    ),
    "a backup is restored": (_rewrite(list(LOG.entries[:50]), resign=LOG.signer), "not_append_only"),
    "two heads have one size": (
        _write("log/e1/checkpoints/fork.txt", bundles.checkpoint(ORIGIN, OTHER.hashes, LOG.signer)),
        "checkpoint_conflict",
    ),
    "a signature is false": (
        _replace("log/e1/checkpoint", f"\n{SIZE}\n".encode(), b"\n299\n"),
        "bad_signature",
    ),
    "a checkpoint has no signature": (
        _write("log/e1/checkpoint", LOG.checkpoint().partition("\n\n")[0] + "\n"),
        "bad_signature",
    ),
    "a checkpoint is of another log": (_write("log/e1/checkpoints/other.txt", OTHER.checkpoint()), "other_log"),
    "the checkpoint is missing": (_remove("log/e1/checkpoint"), "truncated"),
    "the key is another": (_write("log/e1/vkey.txt", f"{THIEF.vkey}\n"), "unknown_key"),
    "the key is of another log": (_write("log/e1/vkey.txt", f"{OTHER.signer.vkey}\n"), "other_log"),
    "the key is damaged": (_write("log/e1/vkey.txt", f"{LOG.signer.vkey}A\n"), "unknown_key"),
    "the key is missing": (_remove("log/e1/vkey.txt"), "truncated"),
    "the witness is gone": (_write("log/e1/checkpoint", LOG.checkpoint(SIZE)), "witness_missing"),
    "the witness is false": (
        _write(
            "log/e1/checkpoint",
            LOG.checkpoint(SIZE) + LOG.checkpoint().splitlines()[-1].replace("AAAABrSd", "AAAABrSe") + "\n",
        ),
        "bad_signature",
    ),
    # Openings and streams.
    "a payload is edited": (_replace("openings.jsonl", b"syltet", b"jaktet"), "commitment_mismatch"),
    "a key is edited": (_replace("openings.jsonl", FIRST.key.hex().encode(), NAUGHT), "commitment_mismatch"),
    "an opening is of another entry": (
        _replace("openings.jsonl", FIRST.id.encode(), LOG.entries[1].id.encode()),
        "entry_missing",
    ),
    "an opening is cut off": (_replace("openings.jsonl", b'"}\n', b"\n"), "payload_damaged"),
    "openings are in another order": (
        lambda folder: (folder / "openings.jsonl").write_text(
            "".join(sorted((folder / "openings.jsonl").read_text("utf-8").splitlines(keepends=True), reverse=True)),
            "utf-8",
        ),
        "entry_missing",
    ),
    "openings are missing": (_remove("openings.jsonl"), "truncated"),
    "a payload has no stream": (_payload('{"type":"consent.given"}'), "payload_damaged"),
    "a payload is of another type": (_payload(FIRST.payload.replace("given", "asked")), "payload_damaged"),
    "a payload is no JSON": (_payload(FIRST.payload[:-1]), "payload_damaged"),
    "a payload is no object": (_payload("[]"), "payload_damaged"),
    "a payload is nested without end": (_payload("[" * 100_000), "payload_damaged"),
    "a payload says something twice": (
        _payload(FIRST.payload.replace('"number":1', '"number":1,"number":1')),
        "payload_damaged",
    ),
    "a number is skipped": (_next_in_stream(number=22), "stream_gap"),
    "a number is used twice": (_next_in_stream(number=20), "stream_gap"),
    "a stream begins twice": (_next_in_stream(number=1, previous=None), "stream_gap"),
    "an entry follows another one": (_next_in_stream(previous="0" * 64), "stream_gap"),
}

PROVED, PROOF = f"log/e1/entries/{PERSON[0]}.json", f"log/e1/proofs/{PERSON[0]}.tlog-proof"
TAMPERED_EVIDENCE: dict[str, tuple[Tamper, str]] = {
    "an entry is edited": (_replace(PROVED, b'"consent.given"', b'"consent.asked"'), "proof_invalid"),
    "an entry is another": (lambda folder: (folder / PROVED).write_bytes(LOG.entries[10].leaf), "proof_invalid"),
    "an entry stands elsewhere": (_replace(PROOF, b"index 3\n", b"index 2\n"), "proof_invalid"),
    "an entry stands behind the end": (_replace(PROOF, b"index 3\n", b"index 903\n"), "proof_invalid"),
    "an entry is missing": (_remove(PROVED), "truncated"),
    "a proof is missing": (_remove(PROOF), "entry_extra"),
    "a proof is too long": (_replace(PROOF, b"=\n\n", f"=\n{'A' * 43}=\n\n".encode()), "proof_invalid"),
    "a proof is too short": (_shorten(PROOF), "proof_invalid"),
    "growth is shown with more": (_append("log/e1/consistency/100.txt", "A" * 43 + "=\n"), "not_append_only"),
    "growth is not shown": (_remove("log/e1/consistency/100.txt"), "truncated"),
    "growth is shown by nothing": (_write("log/e1/consistency/100.txt", ""), "not_append_only"),
    "growth of nothing is shown": (_write("log/e1/consistency/101.txt", ""), "entry_extra"),
    "a file is added": (_write("log/e1/README.txt", ""), "entry_extra"),
}


def _flip(path: Path, at: int, by: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= by
    path.write_bytes(bytes(data))


class TestBundleWithTiles:
    def test_it_verifies_as_long_as_nothing_is_changed(self, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert _found(capsys, whole) == (0, set())

    @pytest.mark.rule("LOG-12")
    @pytest.mark.parametrize("what", TAMPERED)
    def test_it_names_what_was_done(
        self, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
    ) -> None:
        tamper, name = TAMPERED[what]
        folder = shutil.copytree(whole, tmp_path / "bundle")
        tamper(folder)

        code, names = _found(capsys, folder)

        assert code == 3
        assert name in names

    @pytest.mark.rule("LOG-12")
    def test_a_kept_checkpoint_finds_history_that_was_rewritten_with_the_stolen_key(
        self, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = shutil.copytree(whole, tmp_path / "bundle")
        _rewrite(_changed(9, type="x.y"), resign=LOG.signer, kept=False)(folder)
        (tmp_path / "mailed.txt").write_text(LOG.checkpoint(200), "utf-8")

        without, with_it = _found(capsys, folder), _found(capsys, folder, "--checkpoint", str(tmp_path / "mailed.txt"))

        # The thief also has to change the payload, or the type in it gives him away.
        assert without == (3, {"payload_damaged"})
        assert with_it == (3, {"payload_damaged", "not_append_only"})

    @pytest.mark.rule("LOG-12")
    @pytest.mark.parametrize(
        ("note", "name"), [(OTHER.checkpoint(), "other_log"), (bundles.checkpoint(ORIGIN, [], THIEF), "unknown_key")]
    )
    def test_a_kept_checkpoint_must_be_of_this_log(
        self, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], note: str, name: str
    ) -> None:
        (tmp_path / "mailed.txt").write_text(note, "utf-8")

        assert _found(capsys, whole, "--checkpoint", str(tmp_path / "mailed.txt")) == (3, {name})

    def test_an_epoch_cannot_be_left_out(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        writer = Writer()
        first = Log(writer.entries(9))
        second = Log([writer.entry("controller", "log.recovered", gap=first.gap(9)), *writer.entries(9)], epoch=2)
        folder = bundles.write_bundle(tmp_path, first, second)
        shutil.rmtree(folder / E1)

        code = command.main([str(folder), "--json"])

        assert code == 3
        assert "epoch 1 of the log is missing" in capsys.readouterr().out


class TestBundleWithProofs:
    def test_it_verifies_as_long_as_nothing_is_changed(
        self, evidence: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _found(capsys, evidence) == (0, set())

    @pytest.mark.rule("LOG-12")
    @pytest.mark.parametrize("what", TAMPERED_EVIDENCE)
    def test_it_names_what_was_done(
        self, evidence: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
    ) -> None:
        tamper, name = TAMPERED_EVIDENCE[what]
        folder = shutil.copytree(evidence, tmp_path / "bundle")
        tamper(folder)

        code, names = _found(capsys, folder)

        assert code == 3
        assert name in names

    def test_an_entry_of_a_stream_cannot_be_left_out(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        bundles.write_evidence(tmp_path, LOG, about=[*PERSON[:4], *PERSON[5:]])

        assert _found(capsys, tmp_path) == (3, {"stream_gap"})

    def test_a_kept_checkpoint_needs_a_proof(
        self, evidence: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "mailed.txt").write_text(LOG.checkpoint(77), "utf-8")
        (tmp_path / "same.txt").write_text(LOG.checkpoint(256), "utf-8")

        unproved = _found(capsys, evidence, "--checkpoint", str(tmp_path / "mailed.txt"))
        proved = _found(capsys, evidence, "--checkpoint", str(tmp_path / "same.txt"))

        assert (unproved, proved) == ((3, {"truncated"}), (0, set()))
