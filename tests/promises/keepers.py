"""Lets log keepers be killed, stopped and resumed from outside, and compares what they leave with what must be."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from consent_service import identifiers
from consent_service.audit import checkpoints, logs, merkle, tiles
from consent_service.audit.checkpoints import Checkpoint
from consent_service.audit.outside_copy import LogCopy
from consent_service.crypto import notes
from consent_service.crypto.notes import VerifierKey
from consent_service.db.session import Database
from tests.log_house import House
from tests.promises import keeper_child
from tests.services import PATIENCE, ROOT


@dataclass(frozen=True, slots=True)
class Forge:
    """The process that forks keepers, and where they leave what they signed and said."""

    process: subprocess.Popen[str]
    folder: Path

    def start(self, *, wait: bool = True, **order: object) -> dict[str, Any]:
        """Start a keeper, and return how it ended or stopped, or only its pid where that is not waited for."""
        return self._ask(do="start", wait=wait, journal=str(self.journal), said=str(self.said), **order)

    def resume(self, pid: int) -> dict[str, Any]:
        return self._ask(do="resume", pid=pid)

    def wait(self, pid: int) -> dict[str, Any]:
        return self._ask(do="wait", pid=pid)

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    @property
    def said(self) -> Path:
        return self.folder / "said"

    def signed(self) -> list[str]:
        """Return every note that any of the keepers ever signed."""
        if not self.journal.exists():
            return []
        return [json.loads(line) for line in self.journal.read_text(encoding="utf-8").splitlines()]

    def _ask(self, **order: object) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@contextlib.contextmanager
def forge(folder: Path) -> Iterator[Forge]:
    """Run a forge while the block lasts; the keepers that it forked must have ended before."""
    folder.mkdir(exist_ok=True)
    words = [sys.executable, "-m", "tests.promises.keeper_child"]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Forge(process, folder)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(PATIENCE)


@dataclass
class Watch:
    """Remembers every head of a log that was seen, and demands that all of them are of one history."""

    house: House
    heads: dict[tuple[str, int], bytes] = field(default_factory=dict)

    def write(self, times: int) -> None:
        """Write entries that are acknowledged when this returns."""
        with psycopg.connect(self.house.superuser_url) as connection:
            keeper_child.write(connection, str(identifiers.to_uuid(self.house.controller_id, "ctl")), times)

    def finish(self) -> None:
        """Let a new keeper place and sign whatever waits; a killed one's locks may be held for a moment."""
        self.house.begin_again()
        give_up_at = time.monotonic() + PATIENCE
        while not self._is_done():
            assert time.monotonic() < give_up_at, self.house.log()
            self.house.keep()

    def see(self, signed: list[str]) -> None:
        """Take what was signed, and demand that no two heads of one size differ."""
        for note in signed:
            head = checkpoints.read(notes.unsafe_text(note))
            if self.house.controller_id in head.origin:
                assert self.heads.setdefault((head.origin, head.size), head.root) == head.root, "a fork was signed"

    def demand_whole(self) -> None:
        """Demand one place for each entry, without holes, under a head that lies outside with its tiles."""
        with psycopg.connect(self.house.superuser_url) as connection:
            found = connection.execute(
                "SELECT (SELECT count(*) FROM audit.entry WHERE controller_id = c), count(*),"
                " count(DISTINCT entry_id), min(index), max(index) + 1,"
                " (SELECT count(*) FROM audit.queue WHERE controller_id = c)"
                " FROM audit.leaf, (SELECT %s::uuid) as of (c) WHERE controller_id = c GROUP BY c",
                (identifiers.to_uuid(self.house.controller_id, "ctl"),),
            ).fetchone()
        log, head = self.house.log(), self.house.head()
        assert found == (log.size, log.size, log.size, 0, log.size, 0)
        assert (head.size, head.root, log.refused) == (log.size, log.root, None)
        assert self.house.signed()[-1] == log.size
        copy = self.house.copy.folder
        missing = [place.path for place in tiles.tiles_of(head.size) if not (copy / place.path).is_file()]
        assert missing == []

    def demand_one_history(self) -> None:
        """Demand that every head that was ever signed is one that the log had, and that the copy makes the last one."""
        log = self.house.log()
        with self.house.database.transaction(self.house.controller_id) as session:
            read = logs.reader(session, log)
            roots = {size: merkle.root_at(size, read) for _, size in self.heads}
        assert {(log.origin, size): root for size, root in roots.items()} == self.heads
        assert root_of_copy(self.house.copy, log.size) == log.root

    def _is_done(self) -> bool:
        with self.house.database.transaction(self.house.controller_id) as session:
            waiting = session.connection().exec_driver_sql("SELECT count(*) FROM audit.queue").scalar_one()
            log = logs.find(session)
            newest = None if log is None else logs.find_checkpoint(session, log)
        return waiting == 0 and log is not None and newest is not None and newest.size == log.size


def root_of_copy(copy: LogCopy, size: int) -> bytes:
    """Hash the tree anew from the entries that lie outside."""
    leaves: list[bytes] = []
    for place in tiles.tiles_of(size):
        if place.level == 0:
            leaves += tiles.read_bundle(copy.read_tile(tiles.Place(None, place.number, place.width)))
    return merkle.root_of([merkle.leaf_hash(leaf) for leaf in leaves])


def read_head(note: str, vkey: str) -> Checkpoint:
    """Verify a note and read the head in it."""
    return checkpoints.read(notes.open_note(note, [VerifierKey.parse(vkey)]).text)


def order_of(watch: Watch, sequencer_url: str, *, rounds: tuple[int, ...]) -> dict[str, Any]:
    """Return what a keeper has to know that runs a few rounds on a house's log."""
    return {
        "url": sequencer_url,
        "writer": watch.house.superuser_url,
        "controller": str(identifiers.to_uuid(watch.house.controller_id, "ctl")),
        "folder": str(watch.house.folder),
        "rounds": rounds,
    }


def waiting_count(database: Database, controller_id: str) -> int:
    """Count the entries of a log that have no place yet."""
    with database.transaction(controller_id) as session:
        count: int = session.connection().exec_driver_sql("SELECT count(*) FROM audit.queue").scalar_one()
    return count
