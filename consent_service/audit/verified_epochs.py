"""Begins the verification of each epoch of a log: which heads vouch for it, and whether the next one hides a loss."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.audit import logs, merkle, outside_copy, publisher, sequencer, verified_heads
from consent_service.audit.checkpoints import Checkpoint
from consent_service.audit.findings import Findings
from consent_service.audit.logs import Log
from consent_service.audit.models import AuditEntry, AuditLeaf
from consent_service.audit.verified_copy import CopyCheck, is_full
from consent_service.audit.verified_heads import FoundNote, Head, OutsideHeads
from consent_service.audit.verified_tree import TreeCheck
from consent_service.db.session import controller_of

#: How long a log may be without a head outside before that is a loss (security.md: at most a minute).
_COPIED_WITHIN: Final = timedelta(seconds=60)
_NOTHING: Final = OutsideHeads(None, None, ())


@dataclass(slots=True)
class EpochCheck:
    """One epoch under verification; `is_lost` where the copy goes on after it, and the next epoch says so."""

    tree: TreeCheck
    outside: OutsideHeads
    is_lost: bool

    def close(self, folder: Path | None, findings: Findings) -> None:
        """Compare how the copy ends, once the tree is verified, and report what is not there."""
        copy = self.tree.copy
        if copy is None or folder is None:
            return
        if self.is_lost:
            copy.compare_beginning(size=self.tree.size, edge=self.tree.edge)
        if verified_heads.outside(folder).last != self.outside.last:
            # Tiles that were not full gave way to longer ones while they were compared.
            copy.lost = [place for place in copy.lost if is_full(place)]
        copy.report_lost(findings)


@dataclass(frozen=True, slots=True)
class _Named:
    """What the first entry of an epoch says about the epoch before it."""

    type: str | None
    gap: Mapping[str, Any] | None


def begin(session: Session, *, copies: Path | None, at: datetime, findings: Findings) -> list[EpochCheck]:
    """Read the heads of every epoch and return what is to be verified, oldest first.

    `copies` is the folder of all copies, None where they are not looked at. What is read first can only be older than
    what is read after it: heads in the database, heads outside, trees. Raises LogCopyError.
    """
    in_database = {log.epoch: verified_heads.in_database(session, epoch=log.epoch) for log in logs.list_epochs(session)}
    outside = {} if copies is None else _outside(copies / controller_of(session))
    session.expire_all()
    epochs = logs.list_epochs(session)
    first_words = _first_words(session)
    given_up = _given_up(first_words)
    _demand_order(session, epochs, outside, given_up, findings)
    if epochs and given_up:
        _demand_given_up(session, epochs[-1], outside, given_up, findings)
    checks: list[EpochCheck] = []
    for log, following in zip(epochs, (*epochs[1:], None), strict=False):
        named = None if following is None else first_words.get(following.epoch, _Named(None, None))
        lies = outside.get(log.epoch, _NOTHING)
        _demand_copy(log, lies, copies, at=at, is_signed=bool(in_database.get(log.epoch)), findings=findings)
        checks.append(_check(session, log, in_database.get(log.epoch, ()), lies, copies, named, findings))
    return checks


def folder_of(session: Session, copies: Path | None, *, epoch: int) -> Path | None:
    """Return where one epoch of this log lies outside."""
    if copies is None:
        return None
    return outside_copy.of_log(copies, controller_id=controller_of(session), epoch=epoch).folder


def _check(
    session: Session,
    log: Log,
    in_database: Sequence[FoundNote],
    outside: OutsideHeads,
    copies: Path | None,
    named: _Named | None,
    findings: Findings,
) -> EpochCheck:
    key = verified_heads.find_key(log, findings)
    known: list[Head] = []
    last: Head | None = None
    if key is not None:
        found = [verified_heads.verify(note, log, key, findings) for note in (*in_database, *outside.kept)]
        known = [head for head in found if head is not None]
        last = None if outside.last is None else verified_heads.verify(outside.last, log, key, findings)
    newest = max((head.size for head in known), default=0)
    if last is not None and last.size < newest:
        findings.add("truncated", last.where, f"the copy ends with {last.size} entries, and {newest} were signed")
    is_lost = named is not None and _demand_named(log, last, named, findings) and last is not None
    is_lost = is_lost and last is not None and last.size > log.size
    heads = [*known, *([] if last is None else [last])]
    _demand_one_history(heads, findings)
    folder = folder_of(session, copies, epoch=log.epoch)
    copy = None if last is None or folder is None else CopyCheck(folder, size=last.size, findings=findings)
    if is_lost and copy is not None and last is not None:
        copy.demand_root(last.root)
        heads = [head for head in heads if head.size <= log.size]
    return EpochCheck(TreeCheck(log, heads, copy, findings), outside, is_lost)


def _demand_order(
    session: Session, epochs: Sequence[Log], outside: Iterable[int], given_up: Iterable[int], findings: Findings
) -> None:
    """Report epochs that are missing, foreign names, and what is signed no more."""
    there = [log.epoch for log in epochs]
    for epoch in sorted({*range(1, max(there, default=0) + 1), *outside} - {*there, *given_up}):
        findings.add("truncated", f"epoch {epoch}", "the database has no tree of this epoch")
    for log in epochs:
        name = f"/log/{controller_of(session)}" + (f"/e{log.epoch}" if log.epoch > 1 else "")
        if not log.origin.endswith(name):
            findings.add("other_log", f"epoch {log.epoch}", "the name of the tree is that of another log")
    if epochs and epochs[-1].refused is not None:
        findings.add(epochs[-1].refused, f"epoch {epochs[-1].epoch}", "the keeper of the log refuses to sign it")


def _demand_copy(
    log: Log, outside: OutsideHeads, copies: Path | None, *, at: datetime, is_signed: bool, findings: Findings
) -> None:
    """Report a copy that is not there although the log was signed, or had the time to be, and one of another key."""
    if copies is None:
        return
    where = f"copy e{log.epoch}"
    is_due = is_signed or (log.size > 0 and log.opened_at < at - _COPIED_WITHIN)
    if outside.last is None and is_due:
        findings.add("copy_missing", where, "no signed head lies outside the database")
    if outside.vkey is None and outside.last is not None:
        findings.add("copy_missing", where, "the key does not lie beside the signed head")
    if outside.vkey is not None and outside.vkey != log.vkey:
        findings.add("unknown_key", where, "the key outside is not the one at the log")


def _demand_named(log: Log, last: Head | None, named: _Named, findings: Findings) -> bool:
    """Report an epoch that does not begin by saying what the one before it had and what is left of that."""
    gap = named.gap
    where = f"epoch {log.epoch + 1}"
    if named.type != "log.recovered" or gap is None:
        findings.add("gap_hidden", where, "the epoch does not begin by saying what was lost")
        return False
    # The log that was lost may have begun with the name of another host.
    is_ours = str(gap.get("log")).partition("/")[2] == log.origin.partition("/")[2]
    if not is_ours or gap.get("kept") != log.size:
        findings.add("gap_hidden", where, "the epoch begins by naming another log, or another rest of it")
        return False
    if last is not None and (gap.get("size"), gap.get("root")) != (last.size, last.root.hex()):
        findings.add("gap_hidden", where, "the epoch begins by naming another loss than there was")
        return False
    return True


def _demand_one_history(heads: Iterable[Head], findings: Findings) -> None:
    """Report two heads of one size that both were signed."""
    known: dict[int, Head] = {}
    for head in heads:
        other = known.setdefault(head.size, head)
        if other.root != head.root:
            words = f"it contradicts {other.where}: both were signed over {head.size} entries"
            findings.add("checkpoint_conflict", head.where, words)


def _outside(folder: Path) -> dict[int, OutsideHeads]:
    """Read the heads of every epoch that lies outside."""
    named = {path.name.removeprefix("e"): path for path in folder.glob("e*")}
    found = {
        int(name): verified_heads.outside(path) for name, path in named.items() if name.isascii() and name.isdigit()
    }
    return {epoch: heads for epoch, heads in found.items() if replace(heads, vkey=None) != _NOTHING}


def _given_up(first_words: Mapping[int, _Named]) -> dict[int, Mapping[str, Any]]:
    """Return the epochs that a database put back twice does not know, with what the next one says of each."""
    found: dict[int, Mapping[str, Any]] = {}
    for epoch, named in first_words.items():
        later = (named.gap or {}).get("later", [])
        if isinstance(later, list) and all(isinstance(said, dict) for said in later):
            found |= dict(enumerate(later, epoch - len(later)))
    return found


def _demand_given_up(
    session: Session,
    log: Log,
    outside: Mapping[int, OutsideHeads],
    given_up: Mapping[int, Mapping[str, Any]],
    findings: Findings,
) -> None:
    """Report an epoch that lies outside alone, and of which a recovery names another end than it has."""
    key = verified_heads.find_key(log, findings)
    for epoch, said in given_up.items():
        last = outside.get(epoch, _NOTHING).last
        if last is None or key is None:
            continue
        path = sequencer.path_of(session, epoch=epoch)
        head = publisher.find_head(last.note, path, [key.public_key]) or Checkpoint(log.origin, 0, merkle.EMPTY_ROOT)
        if (said.get("size"), said.get("root")) != (head.size, head.root.hex()):
            findings.add("gap_hidden", last.where, "a recovery names another end of this epoch than lies outside")


def _first_words(session: Session) -> dict[int, _Named]:
    rows = session.execute(
        select(AuditLeaf.epoch, AuditEntry.type, AuditEntry.gap)
        .join(AuditEntry, (AuditEntry.controller_id == AuditLeaf.controller_id) & (AuditEntry.id == AuditLeaf.entry_id))
        .where(AuditLeaf.controller_id == controller_of(session), AuditLeaf.index == 0)
    )
    # Whatever stands there was written by somebody: a gap that is no gap says nothing.
    return {row.epoch: _Named(row.type, row.gap if isinstance(row.gap, dict) else None) for row in rows}
