"""Asks a witness to cosign a checkpoint, over HTTP, and believes only what the witness's key signed."""

import http.client
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import SplitResult, urlsplit

from consent_service.audit import checkpoints, policy, witnessing
from consent_service.crypto import notes
from consent_service.crypto.notes import Signer, VerifierKey
from consent_service.errors import (
    NoteInvalidError,
    WitnessAheadError,
    WitnessContradictsError,
    WitnessRefusedError,
    WitnessUnavailableError,
)

#: How long a witness may take over one step, and over one whole request, in seconds.
STEP_SECONDS: Final = 10.0
WHOLE_SECONDS: Final = 30.0
MAX_ANSWER_BYTES: Final = 64 * 1024

_SIZE_LINE: Final = re.compile(rb"(0|[1-9][0-9]{0,18})\n")


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    content_type: str
    body: bytes


def ask(
    url: str,
    key: VerifierKey,
    *,
    note: str,
    old_size: int,
    prove: Callable[[int], Sequence[bytes]],
    step_seconds: float = STEP_SECONDS,
    whole_seconds: float = WHOLE_SECONDS,
) -> Signer:
    """Have a log's signed note cosigned by the witness at `url` (its submission prefix) and return its signature.

    `old_size` is what the witness is believed to know, 0 where nothing is known, and `prove` gives the proof that the
    note's tree continues the one of a size. A witness that knows another size says so and is asked once more from
    there. Redirects are not followed.

    Raises WitnessUnavailableError where it cannot be asked now or answers nonsense, WitnessRefusedError where it does
    not know the log or its key, WitnessAheadError where it has seen more than the note holds, and
    WitnessContradictsError where it has seen another history. No cosignature is returned that does not verify.
    """
    if not policy.is_witness_url(url):
        raise WitnessUnavailableError("a witness is asked over https; http is for this machine only")
    text = notes.unsafe_text(note)
    size = checkpoints.read(text).size
    if old_size > size:
        raise WitnessAheadError(f"the witness knows {old_size} entries of a log that has {size}", size=old_size)
    for is_last in (False, True):
        proof = prove(old_size) if 0 < old_size < size else ()
        body = witnessing.format_request(old_size=old_size, proof=proof, note=note)
        reply = _post(url, body, step_seconds=step_seconds, whole_seconds=whole_seconds)
        if reply.status != HTTPStatus.CONFLICT:
            return _judge(reply, text, key)
        known = _known_size(reply)
        if known is not None and known > size:
            raise WitnessAheadError(f"the witness knows {known} entries of a log that has {size}", size=known)
        # Asked to continue the very size that it has, a witness objects to the root alone.
        if old_size == size and known in {None, size}:
            raise WitnessContradictsError(f"the witness has seen another tree of {size} entries")
        if known is None:
            raise WitnessUnavailableError("the witness answered with 409 and no size")
        if is_last or known == old_size:
            break
        old_size = known
    raise WitnessUnavailableError("the witness does not keep to one size")


def _judge(reply: _Reply, text: str, key: VerifierKey) -> Signer:
    if reply.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        raise WitnessContradictsError("the witness has seen a tree that this one does not continue")
    if reply.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
        raise WitnessRefusedError(f"the witness refused the checkpoint with {reply.status}")
    if reply.status != HTTPStatus.OK:
        raise WitnessUnavailableError(f"the witness answered with {reply.status}")
    try:
        [signer] = notes.open_note(f"{text}\n{reply.body.decode()}", [key]).signers
    except (NoteInvalidError, UnicodeDecodeError):
        raise WitnessUnavailableError("the witness answered without its valid cosignature") from None
    return signer


def _known_size(reply: _Reply) -> int | None:
    match = _SIZE_LINE.fullmatch(reply.body)
    kind = reply.content_type.partition(";")[0].strip()
    return int(match[1]) if match is not None and kind == witnessing.SIZE else None


def _post(url: str, body: bytes, *, step_seconds: float, whole_seconds: float) -> _Reply:
    parts = urlsplit(url)
    path = f"{parts.path.rstrip('/')}/add-checkpoint"
    try:
        with _connected(parts, step_seconds=step_seconds, whole_seconds=whole_seconds) as connection:
            connection.request("POST", path, body=body, headers={"Content-Type": witnessing.TEXT})
            response = connection.getresponse()
            content = response.read(MAX_ANSWER_BYTES + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise WitnessUnavailableError(f"the witness cannot be asked: {type(error).__name__}") from None
    if len(content) > MAX_ANSWER_BYTES:
        raise WitnessUnavailableError("the witness's answer is too large")
    return _Reply(response.status, response.headers.get("Content-Type", ""), content)


@contextmanager
def _connected(
    parts: SplitResult, *, step_seconds: float, whole_seconds: float
) -> Iterator[http.client.HTTPConnection]:
    """Connect, and hang up on a witness that sends a byte now and then without end."""
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=step_seconds)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(connection.host, parts.port, timeout=step_seconds, context=context)
    connection.connect()
    # The connection forgets its socket before the answer is read, where the answer is the last one.
    timer = threading.Timer(whole_seconds, _hang_up, [connection.sock])
    timer.daemon = True
    timer.start()
    try:
        yield connection
    finally:
        timer.cancel()
        connection.close()


def _hang_up(connected: socket.socket) -> None:
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
