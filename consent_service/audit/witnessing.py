"""What a witness does: it cosigns a checkpoint that continues all it has seen of the log (C2SP tlog-witness).

The rules, in the order in which they are looked at:

- a request that is malformed, or a checkpoint smaller than the size it is said to continue: 400
- a log that the witness does not watch: 404
- no valid signature of the log: 403
- a size to continue that is not the one seen last, or the same size with another root: 409 with the size seen last
- a proof that does not lead from the root seen last to the new one: 422
- else the checkpoint is kept, and only then cosigned: 200
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

from consent_service.audit import checkpoints, merkle, witness_state
from consent_service.audit.checkpoints import Checkpoint
from consent_service.crypto import notes
from consent_service.crypto.notes import Cosigner, OpenedNote, VerifierKey
from consent_service.errors import (
    CheckpointInvalidError,
    NoteInvalidError,
    ProofInvalidError,
    VerifierKeyInvalidError,
    WitnessFolderError,
)

TEXT: Final = "text/plain; charset=utf-8"
#: The kind of answer that holds nothing but the size that the witness knows.
SIZE: Final = "text/x.tlog.size"
MOST_HASHES: Final = 63
MAX_REQUEST_BYTES: Final = notes.MAX_NOTE_BYTES + 4096

_OLD_SIZE: Final = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness: its key, the folder of its memory, and the keys of each log that it watches, by origin."""

    cosigner: Cosigner
    folder: Path
    logs: Mapping[str, tuple[VerifierKey, ...]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered; `origin` and `size` name a checkpoint that its log signed, for the witness's log."""

    status: HTTPStatus
    body: str
    content_type: str = TEXT
    origin: str | None = None
    size: int | None = None
    is_fork: bool = False


@dataclass(frozen=True, slots=True)
class _Submission:
    old_size: int
    proof: tuple[bytes, ...]
    note: str
    checkpoint: Checkpoint


class _MalformedError(Exception):
    pass


def watch(vkeys: Sequence[str]) -> dict[str, tuple[VerifierKey, ...]]:
    """Read the keys of logs, by origin, which is a key's name; several of one name are a log's old and new key.

    Raises VerifierKeyInvalidError for what is no key of a log.
    """
    logs: dict[str, tuple[VerifierKey, ...]] = {}
    for vkey in vkeys:
        key = VerifierKey.parse(vkey)
        if key.kind != notes.ED25519:
            raise VerifierKeyInvalidError(f"{key.name} is the key of a witness, not of a log")
        if key not in logs.get(key.name, ()):
            logs[key.name] = (*logs.get(key.name, ()), key)
    return logs


def format_request(*, old_size: int, proof: Sequence[bytes], note: str) -> bytes:
    """Write the body of a request: the size to continue, the hashes that prove it, and the log's signed note."""
    return f"old {old_size}\n{checkpoints.write_hashes(proof)}\n{note}".encode()


def add_checkpoint(witness: Witness, request: bytes, *, now: Callable[[], datetime]) -> Answer:
    """Judge one request and cosign its checkpoint where the rules allow it; safe from many threads and processes.

    The checkpoint is on the disk before it is cosigned. The time is read under the lock, so that of two cosignatures
    of a log the one of the smaller tree never has the later time. Raises WitnessFolderError where the memory is damaged
    or cannot be written: then nothing is cosigned.
    """
    try:
        submission = _read_request(request)
    except _MalformedError as error:
        return Answer(HTTPStatus.BAD_REQUEST, f"{error}\n")
    checkpoint = submission.checkpoint
    keys = witness.logs.get(checkpoint.origin)
    if keys is None:
        return Answer(HTTPStatus.NOT_FOUND, "this witness does not watch the log\n")
    try:
        opened = notes.open_note(submission.note, keys)
    except NoteInvalidError:
        return Answer(HTTPStatus.FORBIDDEN, "the log's signature is missing or does not verify\n")
    if submission.old_size > checkpoint.size:
        return Answer(HTTPStatus.BAD_REQUEST, "the old size is larger than the checkpoint's\n")
    with witness_state.locked(witness.folder, checkpoint.origin):
        return _judge(witness, submission, opened, now)


def _judge(witness: Witness, submission: _Submission, opened: OpenedNote, now: Callable[[], datetime]) -> Answer:
    checkpoint = submission.checkpoint
    known = witness_state.find_latest(witness.folder, checkpoint.origin)
    seen = _read_known(known, checkpoint.origin)
    signed = f"{opened.text}\n{''.join(signer.line for signer in opened.signers)}"
    if submission.old_size != seen.size:
        return _conflict(checkpoint, seen.size)
    if checkpoint.size == seen.size and checkpoint.root != seen.root:
        # Side by side the two convict the log; the memory alone would soon hold a later one.
        for note in filter(None, (known, signed)):
            _keep_evidence(witness.folder, checkpoint.origin, note, is_fork=True)
        return _conflict(checkpoint, seen.size, is_fork=True)
    if not _continues(seen, checkpoint, submission.proof):
        _keep_evidence(witness.folder, checkpoint.origin, signed, is_fork=False)
        body = "the proof does not lead from what was seen to this checkpoint\n"
        return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, body, origin=checkpoint.origin, size=checkpoint.size)
    # Kept again where it is known already: it may not have reached the disk when it was read.
    witness_state.keep_latest(witness.folder, checkpoint.origin, signed)
    line = witness.cosigner.cosign(opened.text, timestamp=int(now().timestamp()))
    return Answer(HTTPStatus.OK, line, origin=checkpoint.origin, size=checkpoint.size)


def _read_known(note: str | None, origin: str) -> Checkpoint:
    return checkpoints.read(notes.unsafe_text(note)) if note else Checkpoint(origin, 0, merkle.EMPTY_ROOT)


def _continues(seen: Checkpoint, checkpoint: Checkpoint, proof: tuple[bytes, ...]) -> bool:
    if seen.size == 0:
        # Every tree continues the empty one, and there is nothing that could prove it.
        return not proof
    try:
        merkle.verify_consistency(
            old_size=seen.size, old_root=seen.root, size=checkpoint.size, root=checkpoint.root, proof=proof
        )
    except ProofInvalidError:
        return False
    return True


def _conflict(checkpoint: Checkpoint, known: int, *, is_fork: bool = False) -> Answer:
    return Answer(HTTPStatus.CONFLICT, f"{known}\n", SIZE, checkpoint.origin, checkpoint.size, is_fork)


def _keep_evidence(folder: Path, origin: str, note: str, *, is_fork: bool) -> None:
    # That the checkpoint is refused must be said even where the disk takes nothing any more.
    with suppress(WitnessFolderError):
        witness_state.keep_evidence(folder, origin, note, is_fork=is_fork)


def _read_request(request: bytes) -> _Submission:
    if len(request) > MAX_REQUEST_BYTES:
        raise _MalformedError("the request is too large")
    try:
        head, separator, note = request.decode().partition("\n\n")
    except UnicodeDecodeError:
        raise _MalformedError("the request is not UTF-8") from None
    first, _, hashes = f"{head}\n".partition("\n")
    size = _OLD_SIZE.fullmatch(first)
    if size is None or not separator or hashes.count("\n") > MOST_HASHES:
        raise _MalformedError("expected an old size, at most 63 hashes, an empty line and a checkpoint")
    try:
        proof, checkpoint = checkpoints.read_hashes(hashes), checkpoints.read(notes.unsafe_text(note))
    except ProofInvalidError:
        raise _MalformedError("a line of the proof is not a hash in base64") from None
    except (NoteInvalidError, CheckpointInvalidError):
        raise _MalformedError("the checkpoint is malformed") from None
    return _Submission(int(size[1]), proof, note, checkpoint)
