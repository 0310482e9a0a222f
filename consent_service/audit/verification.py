"""Verifies a log in the database against itself, its signed heads, and its copy outside (LOG-11, LOG-12).

The door opens the transactions: one for `begin`, one for each `advance` until that says no, and one that sees a single
moment (REPEATABLE READ) for `finish`. Between them a running service goes on; what it adds meanwhile is verified in the
end. Memory is bounded by a few thousand entries and one number for each stream.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from consent_service.audit import logs, openings, verified_epochs
from consent_service.audit.findings import Findings, LogReport, VerifiedEpoch
from consent_service.audit.models import AuditEntry, AuditEntryAbout, AuditQueue
from consent_service.audit.openings import Opening, SealedEntry
from consent_service.audit.verified_epochs import EpochCheck
from consent_service.audit.verified_rows import PlaceCheck, StreamHeadCheck
from consent_service.audit.verified_streams import StreamCheck
from consent_service.db.session import controller_of
from consent_service.errors import SealBrokenError

#: How many waiting entries are opened at a time.
_STEP: Final = 2_000
_BROKEN: Final = Opening("damaged")


class Verification:
    """One verification of one controller's log.

    `copies` is the folder of the copies outside, None where they are not looked at; `at` is now.
    """

    def __init__(self, *, copies: Path | None, at: datetime) -> None:
        self.done = 0
        self.total = 0
        self._copies = copies
        self._at = at
        self._findings = Findings()
        self._epochs: list[EpochCheck] = []
        self._streams = StreamCheck(self._findings)
        self._places = PlaceCheck(self._findings)
        self._heads = StreamHeadCheck(self._streams, self._findings)
        self._opened = 0
        self._erased = 0
        self._waiting = 0

    @property
    def first_finding(self) -> str | None:
        """Name the place of what was found first; None while nothing was."""
        return self._findings.described[0].where if self._findings.described else None

    def begin(self, session: Session) -> None:
        """Read what vouches for the log; raises LogCopyError where the copy cannot be read."""
        self._epochs = verified_epochs.begin(session, copies=self._copies, at=self._at, findings=self._findings)
        self.total = sum(each.tree.log.size for each in self._epochs)

    def advance(self, session: Session) -> bool:
        """Verify some entries; False where only the end is left, which takes a moment of its own."""
        for each in self._epochs:
            if not each.tree.is_near_the_end:
                before = each.tree.size
                self._open(session, each.tree.advance(session))
                self.done += each.tree.size - before
                return True
        return self._places.advance(session) or self._heads.advance(session) or self._catch_up(session)

    def finish(self, session: Session) -> LogReport:
        """Verify the end of the log and what waits, as they are at one moment, and report.

        Raises LogCopyError where the copy cannot be read.
        """
        self._catch_up(session)
        for each in self._epochs:
            self._open(session, each.tree.finish(session))
            folder = verified_epochs.folder_of(session, self._copies, epoch=each.tree.log.epoch)
            each.close(folder, self._findings)
        self._open_waiting(session)
        self._streams.report_holes()
        self._heads.finish(session, is_all_opened=not self._erased)
        self._places.finish(session, epochs=[each.tree.log.epoch for each in self._epochs])
        self.done = self.total = sum(each.tree.size for each in self._epochs)
        return self._report(session)

    def _catch_up(self, session: Session) -> bool:
        """Follow the present epoch as far as it has grown; say whether that is worth a step of its own."""
        if not self._epochs:
            return False
        tree = self._epochs[-1].tree
        log = logs.find(session, epoch=tree.log.epoch)
        if log is not None and log.size > tree.log.size and not tree.is_cut:
            tree.log = log
            self.total = sum(each.tree.log.size for each in self._epochs)
        return not tree.is_near_the_end

    def _open(self, session: Session, rows: Sequence[Row[Any]]) -> None:
        """Open entries, hold them against their commitments, and follow their streams."""
        there = {row.entry_id: row for row in rows if row.found is not None}
        sealed = [
            SealedEntry(row.entry_id, row.sealed_for, row.subject_id, row.commit, row.sealed) for row in there.values()
        ]
        for entry_id, opening in _opened(session, sealed).items():
            self._take(there[entry_id], opening)

    def _take(self, row: Row[Any], opening: Opening) -> None:
        if opening.status == "erased":
            self._erased += 1
            return
        if opening.is_other:
            self._findings.add("commitment_mismatch", row.entry_id, "the payload is not what was committed to")
            return
        payload = _payload(opening)
        if payload is None:
            self._findings.add("payload_damaged", row.entry_id, "the key is there, and the payload does not open")
            return
        self._opened += 1
        if payload.get("type") != row.type:
            self._findings.add("commitment_mismatch", row.entry_id, "the payload is that of another type of entry")
        self._streams.follow(payload, commit=row.commit, entry_id=row.entry_id)

    def _open_waiting(self, session: Session) -> None:
        last: str | None = None
        while rows := _waiting(session, after=last):
            self._open(session, rows)
            self._waiting += len(rows)
            last = rows[-1].entry_id

    def _report(self, session: Session) -> LogReport:
        epochs = tuple(
            VerifiedEpoch(
                epoch=each.tree.log.epoch,
                origin=each.tree.log.origin,
                size=each.tree.size,
                copied=None if each.tree.copy is None else min(each.tree.copy.size, each.tree.size),
            )
            for each in self._epochs
        )
        return LogReport(
            controller_id=controller_of(session),
            epochs=epochs,
            entries=sum(each.size for each in epochs),
            waiting=self._waiting,
            opened=self._opened,
            erased=self._erased,
            streams=len(self._streams),
            tiles=sum(each.tree.tiles for each in self._epochs),
            heads=sum(each.tree.heads for each in self._epochs),
            files=sum(each.tree.copy.files for each in self._epochs if each.tree.copy is not None),
            findings=tuple(self._findings.described),
            counts=dict(self._findings.counts),
        )


def _opened(session: Session, sealed: Sequence[SealedEntry]) -> Mapping[str, Opening]:
    try:
        return openings.open_entries(session, sealed)
    except SealBrokenError:
        # A damaged key of one person must not hide the others.
        found: dict[str, Opening] = {}
    for each in sealed:
        try:
            found |= openings.open_entries(session, [each])
        except SealBrokenError:
            found[each.entry_id] = _BROKEN
    return found


def _payload(opening: Opening) -> Mapping[str, Any] | None:
    try:
        payload = opening.payload
    except ValueError:
        return None
    return payload if isinstance(payload, dict) else None


def _waiting(session: Session, *, after: str | None) -> Sequence[Row[Any]]:
    queue, entry, about = AuditQueue, AuditEntry, AuditEntryAbout
    later = () if after is None else (queue.entry_id > after,)
    columns: tuple[Any, ...] = (
        *(queue.entry_id, entry.id.label("found"), entry.type, entry.commit),
        *(entry.sealed_for, entry.sealed, about.subject_id),
    )
    return session.execute(
        select(*columns)
        .join(entry, (entry.controller_id == queue.controller_id) & (entry.id == queue.entry_id))
        .outerjoin(about, (about.controller_id == queue.controller_id) & (about.entry_id == queue.entry_id))
        .where(queue.controller_id == controller_of(session), *later)
        .order_by(queue.entry_id)
        .limit(_STEP)
    ).all()
