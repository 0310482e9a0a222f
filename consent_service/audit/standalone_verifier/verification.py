"""Verifies what a bundle holds: checkpoints, witnesses, the tree or the proofs, and what recoveries say was lost."""

import argparse
import collections
import re
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from consent_service.audit.standalone_verifier.bundles import (
    TILE,
    Bundle,
    entry_of,
    read_gap,
    read_hashes,
    read_proof,
    tile_name,
)
from consent_service.audit.standalone_verifier.entries import Entries, Epoch
from consent_service.audit.standalone_verifier.findings import Findings, demanded
from consent_service.audit.standalone_verifier.signatures import FindingError, Head, Key, read_head, read_key
from consent_service.audit.standalone_verifier.trees import (
    EMPTY_ROOT,
    consistent_roots,
    edge_root,
    included_root,
    leaf_hash,
    subtree,
)

EPOCH: Final = re.compile(r"/e[1-9][0-9]{0,3}\Z")
TELL_EVERY_S: Final = 0.5


def _epoch_of(origin: str) -> int:
    """Return which epoch of a log signs under that name."""
    found = EPOCH.search(origin)
    return int(found[0].removeprefix("/e")) if found else 1


class Audit:
    """Reads a bundle from its first entry to its last, and keeps what was found."""

    def __init__(self, bundle: Bundle, options: argparse.Namespace) -> None:
        self.epochs: list[Epoch] = []
        self.findings = Findings()
        self.witnessed: dict[str, Any] | None = None
        self._bundle, self._options = bundle, options
        self._is_evidence = any("/proofs/" in name for name in bundle.unread)
        self.entries = Entries(bundle, self.findings, is_evidence=self._is_evidence)
        self._begun = self._told_at = time.monotonic()

    def run(self) -> None:
        """Verify everything; raises FileNotFoundError where there is no log at all."""
        names = self._bundle.unread
        numbers = sorted({int(found[1]) for name in names if (found := re.match(r"log/e([1-9][0-9]{0,3})/", name))})
        if not numbers:
            raise FileNotFoundError("it holds no log")
        for name in self._bundle.twice:
            self.findings.add("entry_extra", f"{name} is in the zip twice")
        for number in numbers:
            self.findings.epoch = number
            with self.findings.noting():
                self.epochs.append(self._read_epoch(number))
        self._place_given_checkpoints()
        ends: dict[int, dict[str, Any]] = {}
        for epoch in reversed(self.epochs):
            self.findings.epoch = epoch.number
            self._measure(epoch, ends.get(epoch.number))
            self._check_heads(epoch)
            self._remember_end(epoch, ends.get(epoch.number))
            if epoch.number > 1:
                with self.findings.noting(index=0):
                    for number, end in self._check_gap(epoch, self._read_gap(epoch), numbers).items():
                        # Where two recoveries speak of one epoch, what neither gave up was kept.
                        ends[number] = min(end, ends.get(number, end), key=lambda each: int(each["kept"]))
        self._ask_witnesses()
        for epoch in self.epochs:
            self.findings.epoch = epoch.number
            (self._prove if self._is_evidence else self._rebuild)(epoch)
        self.entries.finish()
        if self._told_at != self._begun:
            print(file=sys.stderr)

    def _read_epoch(self, number: int) -> Epoch:
        folder = f"log/e{number}/"
        newest = read_head(f"{folder}checkpoint", self._bundle.read(f"{folder}checkpoint"))
        epoch = Epoch(number, newest, [newest])
        with self.findings.noting():
            self._read_keys(epoch, self._bundle.read(f"{folder}vkey.txt"))
        names = sorted(self._bundle.unread)
        for name in (name for name in names if name.startswith(f"{folder}checkpoints/")):
            with self.findings.noting():
                epoch.heads.append(read_head(name, self._bundle.read(name)))
        for name in (name for name in names if name.startswith(f"{folder}proofs/")):
            with self.findings.noting(entry=name.removeprefix(f"{folder}proofs/").removesuffix(".tlog-proof")):
                self._read_proof(epoch, name)
        epoch.proved.sort(key=lambda proved: proved[0])
        return epoch

    def _read_keys(self, epoch: Epoch, data: bytes) -> None:
        origin, given = epoch.newest.origin, self._options.vkey
        try:
            inside = [read_key(line) for line in data.decode().removesuffix("\n").split("\n")]
        except ValueError:
            inside = []
        # A later epoch of a log signs under its own name, with the key of the log.
        stem = EPOCH.sub("", origin)
        pinned = [Key(origin, key.kind, key.public) for key in given if EPOCH.sub("", key.name) == stem]
        epoch.keys = pinned if given else inside
        if not inside or not data.endswith(b"\n"):
            raise FindingError("unknown_key", f"log/e{epoch.number}/vkey.txt holds no key")
        if any(key.name != origin for key in inside):
            raise FindingError("other_log", f"log/e{epoch.number}/vkey.txt is the key of another log")
        if given and not set(inside) <= set(pinned):
            raise FindingError("unknown_key", f"log/e{epoch.number}/vkey.txt is not the key that you gave")

    def _read_proof(self, epoch: Epoch, name: str) -> None:
        index, proof, note = read_proof(name, self._bundle.read(name))
        head = read_head(name, note)
        leaf = self._bundle.read(name.replace("/proofs/", "/entries/").removesuffix(".tlog-proof") + ".json")
        if f"/{entry_of(leaf)}.tlog-proof" not in name:
            raise FindingError("proof_invalid", f"{name} is about another entry")
        epoch.proved.append((index, leaf, proof, head))
        if (head.text, head.signatures) not in {(other.text, other.signatures) for other in epoch.heads}:
            epoch.heads.append(head)

    def _place_given_checkpoints(self) -> None:
        for head in self._options.checkpoint:
            epoch = next((epoch for epoch in self.epochs if epoch.newest.origin == head.origin), None)
            if epoch is None:
                self.findings.add(
                    "other_log", f"{head.where} is a checkpoint of {head.origin}, which is not in the bundle"
                )
            else:
                epoch.heads.append(head)

    def _measure(self, epoch: Epoch, end: dict[str, Any] | None) -> None:
        """Find out how many leaves there must be, where a later epoch says how this one ended."""
        epoch.size = epoch.kept = epoch.most = epoch.newest.size
        if end is None:
            return
        epoch.kept, epoch.most = end["kept"], max(epoch.most, end["size"])
        if end["log"] != epoch.newest.origin:
            self.findings.add("gap_hidden", f"the recovery after this epoch is one of {end['log']}")
        # What was kept may be more than a checkpoint speaks of, or less, where the lost leaves lay outside.
        epoch.size = min(epoch.size, epoch.kept)
        for size in sorted({epoch.newest.size, epoch.kept} - {0}):
            last = (size - 1) // TILE
            if tile_name(epoch.number, "entries", last, size - last * TILE) in self._bundle.unread:
                epoch.size = size
        supplied = epoch.newest.size if self._is_evidence else epoch.size
        self.entries.streams.unsupplied += max(0, epoch.kept - supplied)

    def _remember_end(self, epoch: Epoch, end: dict[str, Any] | None) -> None:
        """Hold what the recovery says was signed last against the newest checkpoint, or against the leaves."""
        if end is None:
            return
        where, root = "the end that the recovery names", bytes.fromhex(end["root"])
        if end["size"] == epoch.newest.size and root != epoch.newest.root:
            self.findings.add("checkpoint_conflict", f"{where} is not the newest checkpoint, which is of that size")
        elif end["size"] <= epoch.size and not self._is_evidence:
            epoch.heads.append(Head(where, "", end["log"], end["size"], root, ()))

    def _check_gap(self, epoch: Epoch, gap: dict[str, Any], numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Return how each epoch ended that this one says was recovered or given up whole; raises FindingError."""
        ends = {_epoch_of(each["log"]): {"kept": 0, **each} for each in (gap, *gap.get("later", ()))}
        before = min(ends)
        if list(ends) != list(range(before, epoch.number)):
            raise FindingError("gap_hidden", "the first entry of this epoch names another epoch than the one before")
        if before not in numbers and gap["size"] and not self._is_evidence:
            self.findings.add("truncated", f"epoch {before} of the log is missing")
        return ends

    def _read_gap(self, epoch: Epoch) -> dict[str, Any]:
        """Return what the first leaf of a later epoch says was lost; raises FindingError."""
        leaf, gap = None, None
        if self._is_evidence and epoch.proved and epoch.proved[0][0] == 0:
            leaf = epoch.proved[0][1]
        elif not self._is_evidence and epoch.size:
            leaf = self._bundle.entries(epoch.number, 0, min(TILE, epoch.size))[0]
        if leaf is None or (gap := read_gap(leaf)) is None:
            raise FindingError("gap_hidden", "the first entry of this epoch does not say what was lost before it")
        return gap

    def _check_heads(self, epoch: Epoch) -> None:
        roots: dict[int, Head] = {}
        for head in epoch.heads:
            with self.findings.noting():
                if head.origin != epoch.newest.origin:
                    raise FindingError("other_log", f"{head.where} is a checkpoint of another log, {head.origin}")
                if head.size > epoch.most:
                    says = f"{head.where} has {head.size} leaves, and the newest checkpoint here only"
                    says += f" {epoch.newest.size}: the bundle was made before, or its end was cut off"
                    raise FindingError("not_append_only", says)
                if roots.setdefault(head.size, head).root != head.root:
                    says = f"{head.where} and {roots[head.size].where} have other roots for {head.size} leaves"
                    raise FindingError("checkpoint_conflict", says)
                if not any(key.signed_at(head) is not None for key in epoch.keys):
                    raise FindingError("unknown_key", f"{head.where} is not signed by a known key of the log")
                epoch.counts["signed"] += 1

    def _ask_witnesses(self) -> None:
        if not self._options.witness or not self.epochs:
            return
        seen: dict[str, dict[str, int]] = collections.defaultdict(dict)
        for head in sorted(self.epochs[-1].heads, key=lambda head: head.size):
            for witness in self._options.witness:
                with self.findings.noting():
                    if (at := witness.signed_at(head)) is not None:
                        seen[head.text][str(witness)] = at
            if len(seen[head.text]) >= self._options.quorum:
                self.witnessed = {"size": head.size, "by": seen[head.text]}
        if self.witnessed is None:
            self.findings.add(
                "witness_missing", f"no checkpoint is cosigned by {self._options.quorum} of the witnesses you gave"
            )

    def _rebuild(self, epoch: Epoch) -> None:
        """Hash the tree anew from its entries, and compare it with every tile and checkpoint."""
        edge: list[list[bytes]] = [[]]
        roots = {0: EMPTY_ROOT}
        sizes = sorted({head.size for head in epoch.heads})
        for start in range(0, epoch.size, TILE):
            width = min(TILE, epoch.size - start)
            edge[0] = self._read_leaves(epoch, start, width)
            if len(edge[0]) < width:
                self.findings.add("truncated", "from here on the tree cannot be hashed", start + len(edge[0]))
                return
            for size in sizes:
                if start < size <= start + width:
                    roots[size] = edge_root([edge[0][: size - start], *edge[1:]])
            if width == TILE:
                self._promote(epoch, edge, start)
            self._tell(epoch, start + width)
        for level, hashes in enumerate(edge):
            if level and hashes:
                self._compare(epoch, level, epoch.size >> 8 * (level + 1), hashes)
        self._check_roots(epoch, roots)

    def _read_leaves(self, epoch: Epoch, start: int, width: int) -> list[bytes]:
        """Take up to 256 entries, and return as many hashes for the tree as there are."""
        leaves: list[bytes] = []
        with self.findings.noting(index=start):
            leaves = self._bundle.entries(epoch.number, start // TILE, width)
        for index, leaf in enumerate(leaves, start):
            self.entries.take(epoch, index, leaf)
        hashes = [leaf_hash(leaf) for leaf in leaves]
        told = self._compare(epoch, 0, start // TILE, hashes, leaves, width)
        # Where an entry is missing its hash may still be there, so that the others can be verified.
        return hashes or told

    def _promote(self, epoch: Epoch, edge: list[list[bytes]], start: int) -> None:
        """Put the root of each tile that is now full into the level above."""
        level = 0
        while len(edge[level]) == TILE:
            if level:
                self._compare(epoch, level, start >> 8 * (level + 1), edge[level])
            if level + 1 == len(edge):
                edge.append([])
            edge[level + 1].append(subtree(edge[level]))
            edge[level] = []
            level += 1

    def _check_roots(self, epoch: Epoch, roots: dict[int, bytes]) -> None:
        good = 0
        for head in sorted(epoch.heads, key=lambda head: head.size):
            if head.size not in roots:
                epoch.counts["lost"] += 1
            elif roots[head.size] == head.root:
                good = head.size
                epoch.counts["agreed"] += 1
            else:
                name = "root_mismatch" if head.size == epoch.newest.size else "not_append_only"
                self.findings.add(
                    name, f"{head.where} has another root: the difference is in leaves {good} to {head.size - 1}"
                )
        epoch.counts["unproved"] = epoch.size - good

    def _compare(
        self, epoch: Epoch, level: int, number: int, hashes: list[bytes], leaves: Sequence[bytes] = (), width: int = 0
    ) -> list[bytes]:
        """Compare a tile with what was hashed, and return the tile's hashes."""
        told: list[bytes] = []
        with self.findings.noting(index=number * TILE << 8 * level):
            told = self._bundle.tile(epoch.number, level, number, width or len(hashes))
        at = next((at for at, pair in enumerate(zip(hashes, told, strict=False)) if pair[0] != pair[1]), None)
        if at is not None:
            first = number * TILE + at << 8 * level
            if leaves:
                self.findings.add("leaf_mismatch", "its hash is not the one in the tree", first, entry_of(leaves[at]))
            else:
                says = f"a tile of level {level} is another for leaves {first} to {first + (1 << 8 * level) - 1}"
                self.findings.add("tile_mismatch", says, first)
        return told

    def _prove(self, epoch: Epoch) -> None:
        """Verify the proof of each entry, and that each kept checkpoint grew into the newest."""
        for index, leaf, proof, head in epoch.proved:
            says = f"its proof does not lead to the root of {head.where}"
            with self.findings.noting(index, entry_of(leaf)), demanded("proof_invalid", says):
                if index >= head.size or included_root(index, head.size, leaf_hash(leaf), proof) != head.root or proof:
                    raise ValueError("another root")
                epoch.counts["proofs"] += 1
            self.entries.take(epoch, index, leaf)
        for head in epoch.heads:
            if head.size > epoch.newest.size:
                epoch.counts["lost"] += 1
                continue
            with self.findings.noting():
                self._prove_growth(epoch, head)
                epoch.counts["agreed"] += 1

    def _prove_growth(self, epoch: Epoch, head: Head) -> None:
        """Verify that a kept checkpoint grew into the newest; raises FindingError."""
        old, new = (head.size, head.root), (epoch.newest.size, epoch.newest.root)
        name = f"log/e{epoch.number}/consistency/{head.size}.txt"
        if head in self._options.checkpoint and 0 < head.size < epoch.newest.size and name not in self._bundle.names:
            says = (
                f"the bundle holds no proof that {head.where} grew into its newest checkpoint: ask for the hashes from"
            )
            says += f" {head.size} to {epoch.newest.size} leaves, and put them into {name}, a line each"
            raise FindingError("truncated", says)
        with demanded("not_append_only", f"{name} does not show that {head.where} grew into the newest checkpoint"):
            if 0 < head.size < epoch.newest.size:
                proof = read_hashes(self._bundle.read(name).decode())
                if consistent_roots(head.size, epoch.newest.size, head.root, proof) != (old[1], new[1]) or proof:
                    raise ValueError("other roots")
            elif old not in {(0, EMPTY_ROOT), new}:
                raise ValueError("another root at the same size, or a larger tree")

    def _tell(self, epoch: Epoch, index: int) -> None:
        """Say on a terminal how far it is, and how long it will take."""
        now = time.monotonic()
        if now - self._told_at < TELL_EVERY_S or not sys.stderr.isatty():
            return
        self._told_at, of = now, sum(each.size for each in self.epochs)
        done = index + sum(each.size for each in self.epochs if each.number < epoch.number)
        left = (now - self._begun) * (of - done) / done
        print(f"\r{done:,} of {of:,} entries, {left:.0f} s left ", end="", file=sys.stderr, flush=True)
