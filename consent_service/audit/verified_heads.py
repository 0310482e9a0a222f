"""Reads signed heads for a verification: those in the database, and those that lie outside it."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.audit import checkpoints
from consent_service.audit.findings import Findings
from consent_service.audit.logs import Log
from consent_service.audit.models import AuditCheckpoint
from consent_service.audit.outside_copy import CHECKPOINT, KEPT, VKEY
from consent_service.crypto import notes
from consent_service.crypto.notes import VerifierKey
from consent_service.db.session import controller_of
from consent_service.errors import CheckpointInvalidError, LogCopyError, NoteInvalidError, VerifierKeyInvalidError


@dataclass(frozen=True, slots=True)
class FoundNote:
    """A note as it was found, and where; `row` is what the database says beside it: size and root."""

    where: str
    note: str
    row: tuple[int, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """A head whose signature holds."""

    where: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class OutsideHeads:
    """What lies outside of one epoch: the key, the last head, and those that were kept; None for what is not there."""

    vkey: str | None
    last: FoundNote | None
    kept: tuple[FoundNote, ...]


def in_database(session: Session, *, epoch: int) -> tuple[FoundNote, ...]:
    """Return the heads of an epoch that the database knows, smallest first."""
    rows = session.scalars(
        select(AuditCheckpoint)
        .where(AuditCheckpoint.controller_id == controller_of(session), AuditCheckpoint.epoch == epoch)
        .order_by(AuditCheckpoint.size)
    )
    return tuple(FoundNote(f"checkpoint {row.size}", row.note, (row.size, row.root)) for row in rows)


def outside(folder: Path) -> OutsideHeads:
    """Read key and heads of one epoch's copy; raises LogCopyError where files are there and cannot be read."""
    try:
        vkey = _read(folder / VKEY)
        kept = [(path, _read(path)) for path in sorted((folder / KEPT).glob("*.txt"))]
        last = _read(folder / CHECKPOINT)
    except OSError as error:
        raise LogCopyError(f"the copy of the log cannot be read: {error.strerror}") from None
    return OutsideHeads(
        vkey=None if vkey is None else vkey.strip(),
        last=None if last is None else FoundNote(f"copy {folder.name}/{CHECKPOINT}", last),
        kept=tuple(
            FoundNote(f"copy {folder.name}/{KEPT}/{path.name}", text) for path, text in kept if text is not None
        ),
    )


def find_key(log: Log, findings: Findings) -> VerifierKey | None:
    """Read the key of an epoch; None, and a finding, where what stands there is no key of this log."""
    try:
        key = VerifierKey.parse(log.vkey)
    except VerifierKeyInvalidError:
        key = None
    if key is None or key.name != log.origin:
        findings.add("unknown_key", f"epoch {log.epoch}", "the key at the log is no key of this log")
        return None
    return key


def verify(found: FoundNote, log: Log, key: VerifierKey, findings: Findings) -> Head | None:
    """Verify the signature of a head and that it is of this log; None, and a finding, where it is not."""
    try:
        head = checkpoints.read(notes.open_note(found.note, [key]).text)
    except (NoteInvalidError, CheckpointInvalidError):
        if _origin(found.note) not in {None, log.origin}:
            findings.add("other_log", found.where, "the head is that of another log")
        else:
            findings.add("bad_signature", found.where, "the key of the log has not signed this head")
        return None
    if head.origin != log.origin:
        findings.add("other_log", found.where, "the head is that of another log")
        return None
    if found.row is not None and found.row != (head.size, head.root):
        findings.add("root_mismatch", found.where, "the row says another size or root than the note that was signed")
    return Head(found.where, head.size, head.root)


def _origin(note: str) -> str | None:
    try:
        return checkpoints.read(notes.unsafe_text(note)).origin
    except (NoteInvalidError, CheckpointInvalidError):
        return None


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
