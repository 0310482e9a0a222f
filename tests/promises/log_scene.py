"""The logs of two companies, whole and copied outside, which are tampered with and put back before each try."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import logs, openings, published, tiles
from consent_service.audit.findings import LogReport
from consent_service.audit.merkle import TILE_WIDTH
from consent_service.audit.models import AuditEntry, AuditEntryAbout, AuditLeaf
from consent_service.audit.openings import SealedEntry
from consent_service.audit.outside_copy import CHECKPOINT, VKEY
from consent_service.audit.tiles import Place
from consent_service.cli import audit_verify
from consent_service.crypto import canonical
from tests import log_backups
from tests.log_backups import Backup
from tests.log_house import HOST, House, vkey_of

#: The entry that waits last; the statement that uses it is a test's own.
_QUEUED: Final = "(SELECT entry_id FROM audit.queue WHERE controller_id = '%s' ORDER BY seq DESC LIMIT 1)"


@dataclass(slots=True)
class LogScene:
    """A company's log, another's, and both as they were before anybody touched them.

    The log has two full tiles and part of a third; `first` is its size at the first head that was kept. Three more
    entries wait for their place. `early` is a backup from when that head was signed.
    """

    house: House
    other: House
    person: str
    first: int
    early: Backup
    whole: Backup
    kept: Path

    @classmethod
    def build(cls, house: House, other: House, *, kept: Path) -> "LogScene":
        """Let things happen, be signed, and be copied."""
        person = log_backups.a_person(house)
        house.act(40)
        house.keep()
        early = log_backups.back_up(house)
        first = house.log().size
        other.act(300)
        other.keep()
        house.act(500)
        log_backups.a_person(house, acts=20)
        house.keep()
        house.act(2)
        log_backups.act_about(house, person)
        shutil.copytree(house.folder, kept)
        return cls(house, other, person, first, early, log_backups.back_up(house), kept)

    @property
    def copy(self) -> Path:
        """Where the copy of the log lies."""
        return self.house.copy.folder

    def put_back(self) -> None:
        """Undo whatever was done."""
        log_backups.restore(self.house, self.whole)
        shutil.rmtree(self.house.folder)
        shutil.copytree(self.kept, self.house.folder)

    def verify(self, house: House | None = None) -> LogReport:
        """Verify a log as the command does."""
        house = house or self.house
        return audit_verify.run(house.database, house.controller_id, copies=house.folder)

    def places(self, rng: Random) -> Mapping[str, object]:
        """Choose places of the log, by the names that statements use."""
        size = self.house.log().size
        near, far = sorted(rng.sample(range(size), 2))
        with self.house.database.transaction(self.house.controller_id) as session:
            log = logs.get(session)
            found = {each: logs.list_leaves(session, log, first=each, limit=1)[0].entry_id for each in (near, far)}
        return {
            "controller": (ours := _uuid(self.house.controller_id, "ctl")),
            "ours": f"controller_id = '{ours}'",
            "queued": _QUEUED % ours,
            "other": _uuid(self.other.controller_id, "ctl"),
            "size": size,
            "near": near,
            "far": far,
            "near_id": _uuid(found[near], "aud"),
            "far_id": _uuid(found[far], "aud"),
            "tile": rng.randrange(size // TILE_WIDTH),
            "byte": rng.randrange(32),
            "tile_byte": rng.randrange(TILE_WIDTH * 32),
            "edge_byte": rng.randrange(size % TILE_WIDTH * 32),
            "head_byte": rng.randrange(32),
            "person": _uuid(self.person, "sub"),
        }

    def export(self, folder: Path) -> Path:
        """Write what an auditor fetches through the API: the log up to its signed head, and the openings."""
        place = folder / "log" / "e1"
        with self.house.database.transaction(self.house.controller_id) as session:
            log = published.get(session, epoch=1)
            for each in tiles.tiles_of(log.head.size):
                _write(place / each.path, published.tile(session, log, each))
                if each.level == 0:
                    bundle = Place(None, each.number, each.width)
                    _write(place / bundle.path, published.tile(session, log, bundle))
            _write(place / VKEY, f"{log.log.vkey}\n".encode())
            _write(place / CHECKPOINT, log.head.text.encode())
            _write(folder / "openings.jsonl", self._openings(session, log.head.size))
        return folder

    def export_copy(self, folder: Path) -> Path:
        """Write what lies outside as a bundle: it has the same layout."""
        shutil.copytree(self.copy, folder / "log" / "e1", ignore=shutil.ignore_patterns(".*"))
        _write(folder / "openings.jsonl", b"")
        return folder

    def _openings(self, session: Session, size: int) -> bytes:
        """Write what opens the entries under a head, in their order."""
        entry, about, leaf = AuditEntry, AuditEntryAbout, AuditLeaf
        rows = session.execute(
            select(entry.id, entry.sealed_for, about.subject_id, entry.commit, entry.sealed)
            .outerjoin(about, (about.entry_id == entry.id) & (about.controller_id == entry.controller_id))
            .join(leaf, (leaf.entry_id == entry.id) & (leaf.controller_id == entry.controller_id))
            .where(entry.controller_id == self.house.controller_id, leaf.index < size)
            .order_by(leaf.index)
        )
        sealed = [SealedEntry(*row) for row in rows]
        opened = openings.open_entries(session, sealed)
        found = ((each.entry_id, opened[each.entry_id]) for each in sealed)
        lines = [
            {"id": entry_id, "key": each.entry_key.hex(), "payload": each.plaintext.decode()}
            for entry_id, each in found
            if each.entry_key is not None and each.plaintext is not None
        ]
        return b"".join(canonical.canonical_json(line) + b"\n" for line in lines)

    def auditor(self) -> tuple[str, ...]:
        """Return what an auditor knows from elsewhere: the key of the log, and a head that was kept."""
        log = self.house.controller_id
        kept = self.kept / log / "e1" / CHECKPOINT
        return ("--vkey", vkey_of(f"{HOST}/log/{log}"), "--checkpoint", str(kept))


def chance(name: str) -> Random:
    """Return what chooses places, always the same ones for a name."""
    return Random(name)  # noqa: S311 - which place of a log is tried is no secret


def _uuid(text: str, prefix: str) -> str:
    return str(identifiers.to_uuid(text, prefix))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
