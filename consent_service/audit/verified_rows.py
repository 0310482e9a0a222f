"""Looks through what stands around a log's tree: each entry has one place or waits for it, each stream its head."""

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import unlinking
from consent_service.audit.findings import MOST_OF_A_NAME, Findings
from consent_service.audit.models import AuditEntry, AuditLeaf, AuditQueue, AuditStreamHead
from consent_service.audit.verified_streams import StreamCheck
from consent_service.db.session import controller_of
from consent_service.errors import IdentifierInvalidError
from consent_service.vault import keys

#: How many rows one transaction looks through.
STEP: Final = 10_000
_CHUNK: Final = 1_000
#: How the streams of people are named.
_PERSON: Final = "subject:"


class PlaceCheck:
    """Looks through all entries by id: each stands in the tree once, or waits in the queue."""

    def __init__(self, findings: Findings) -> None:
        self.done = 0
        self._last: str | None = None
        self._is_done = False
        self._findings = findings

    def advance(self, session: Session) -> bool:
        """Look through some entries; False where there are no more."""
        entry, leaf, queue = AuditEntry, AuditLeaf, AuditQueue
        of_controller = entry.controller_id == controller_of(session)
        after = of_controller if self._last is None else of_controller & (entry.id > self._last)
        if self._is_done:
            return False
        # The last id of the page; the last page has none and needs no bound.
        last = session.scalar(select(entry.id).where(after).order_by(entry.id).offset(STEP - 1).limit(1))
        page = after if last is None else after & (entry.id <= last)
        rows = session.execute(
            select(entry.id, func.count(leaf.entry_id).label("placed"), func.count(queue.entry_id).label("waiting"))
            .outerjoin(leaf, (leaf.controller_id == entry.controller_id) & (leaf.entry_id == entry.id))
            .outerjoin(queue, (queue.controller_id == entry.controller_id) & (queue.entry_id == entry.id))
            .where(page)
            .group_by(entry.id)
            .having(func.count(leaf.entry_id) + func.count(queue.entry_id) != 1)
            .order_by(entry.id)
        )
        for row in rows:
            if row.placed:
                self._findings.add("leaf_twice", row.id, "the entry has two places, or one and waits for another")
            else:
                self._findings.add("unsequenced", row.id, "the entry is neither in the tree nor waits for its place")
        self._last, self._is_done, self.done = last, last is None, self.done + STEP
        return True

    def finish(self, session: Session, *, epochs: Iterable[int]) -> None:
        """Report places of no entry: in the queue, and in epochs that there are not."""
        leaf, queue, entry = AuditLeaf, AuditQueue, AuditEntry
        orphans = session.scalars(
            select(queue.entry_id)
            .outerjoin(entry, (entry.controller_id == queue.controller_id) & (entry.id == queue.entry_id))
            .where(queue.controller_id == controller_of(session), entry.id.is_(None))
            .order_by(queue.entry_id)
            .limit(MOST_OF_A_NAME)
        )
        for entry_id in orphans:
            self._findings.add("entry_missing", entry_id, "the entry waits for its place and is not there")
        strangers = session.execute(
            select(leaf.epoch, leaf.entry_id)
            .where(leaf.controller_id == controller_of(session), leaf.epoch.not_in(list(epochs)))
            .order_by(leaf.epoch, leaf.index)
            .limit(MOST_OF_A_NAME)
        )
        for row in strangers:
            self._findings.add("entry_extra", row.entry_id, f"it stands in epoch {row.epoch}, which there is not")


class StreamHeadCheck:
    """Looks through the stored heads of all streams; those that differ are compared again in the end, at one moment."""

    def __init__(self, streams: StreamCheck, findings: Findings) -> None:
        self._streams = streams
        self._findings = findings
        self._last = ""
        self._suspects: list[str] = []

    def advance(self, session: Session) -> bool:
        """Look through some heads; False where there are no more."""
        head = AuditStreamHead
        rows = session.execute(
            select(head.stream, head.number, head.commit)
            .where(head.controller_id == controller_of(session), head.stream > self._last)
            .order_by(head.stream)
            .limit(STEP)
        ).all()
        for row in rows:
            if not self._streams.compare(row.stream, number=row.number, commit=row.commit):
                self._suspects.append(row.stream)
        self._last = rows[-1].stream if rows else self._last
        return bool(rows)

    def finish(self, session: Session, *, is_all_opened: bool) -> None:
        """Compare again what differed and what had no head; `is_all_opened` where nothing of the log was erased."""
        names = [*self._suspects, *self._streams.list_without_head()]
        for at in range(0, len(names), _CHUNK):
            self._compare(session, names[at : at + _CHUNK], is_all_opened=is_all_opened)

    def _compare(self, session: Session, names: Sequence[str], *, is_all_opened: bool) -> None:
        head = AuditStreamHead
        rows = session.execute(
            select(head.stream, head.number, head.commit).where(
                head.controller_id == controller_of(session), head.stream.in_(names)
            )
        )
        heads = {row.stream: row for row in rows}
        living = _living(session, names)
        for name in names:
            row = heads.get(name)
            if row is not None and self._streams.compare(name, number=row.number, commit=row.commit):
                continue
            if self._must_be_there(name, living, has_head=row is not None, is_all_opened=is_all_opened):
                words = "its head is gone" if row is None else "its entries do not end where its head says"
                self._findings.add("stream_gap", name, words)

    def _must_be_there(self, name: str, living: set[str], *, has_head: bool, is_all_opened: bool) -> bool:
        """Say whether a stream must have a head that agrees with its entries: erasure takes both away."""
        if name.startswith(_PERSON):
            return name in living
        if not has_head:
            return not name.startswith(unlinking.FORGOTTEN)
        return is_all_opened or self._streams.knows(name)


def _living(session: Session, names: Sequence[str]) -> set[str]:
    """Return the streams of people whose key is there."""
    people: dict[str, str] = {}
    for name in names:
        try:
            identifiers.to_uuid(name.removeprefix(_PERSON), "sub")
        except IdentifierInvalidError:
            continue
        people[name.removeprefix(_PERSON)] = name
    return {people[each] for each in keys.list_with_key(session, subject_ids=people)}
