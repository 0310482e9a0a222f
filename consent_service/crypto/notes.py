"""Answers for signed notes: text under Ed25519 keys with names, and witnesses' cosignatures (C2SP signed-note).

A note is text, an empty line, and a line `— <name> base64(key id ‖ signature)` for each signature. The key id binds
name, kind of signature and public key together, so that a verifier knows which lines it has to judge.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from consent_service.errors import NoteInvalidError, VerifierKeyInvalidError

#: The kinds of signature that are made and verified here (C2SP signed-note; tlog-cosignature).
ED25519: Final = 0x01
COSIGNATURE_V1: Final = 0x04

#: A note beyond these is refused before anything is computed. Sixteen post-quantum signatures would still fit.
MAX_NOTE_BYTES: Final = 256 * 1024
MAX_SIGNATURES: Final = 100

_DASH: Final = "— "
_KEY_ID_BYTES: Final = 4
_PUBLIC_KEY_BYTES: Final = 32
_TIMESTAMP_BYTES: Final = 8
_LATEST_TIMESTAMP: Final = 2**63 - 1
_VKEY_PARTS: Final = 3


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under its name, for one kind of signature."""

    name: str
    kind: int
    public_key: bytes

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Read `<name>+<key id in hex>+<base64 of kind and key>`; raises VerifierKeyInvalidError."""
        parts = vkey.split("+", _VKEY_PARTS - 1)
        material = _decode(parts[-1])
        if len(parts) != _VKEY_PARTS or not is_key_name(parts[0]) or not material:
            raise VerifierKeyInvalidError("this is not a verifier key (<name>+<8 hex digits>+<base64>)")
        key = cls(parts[0], material[0], material[1:])
        if key.kind not in {ED25519, COSIGNATURE_V1} or len(key.public_key) != _PUBLIC_KEY_BYTES:
            raise VerifierKeyInvalidError("the verifier key is of a kind that is not known here")
        if key.key_id.hex() != parts[1]:
            raise VerifierKeyInvalidError("the verifier key does not match its own key id")
        return key

    @property
    def key_id(self) -> bytes:
        """The four bytes that name the key in a signature line."""
        named = self.name.encode() + b"\n" + bytes([self.kind]) + self.public_key
        return hashlib.sha256(named).digest()[:_KEY_ID_BYTES]

    @property
    def vkey(self) -> str:
        """The key as text, as `parse` reads it."""
        return f"{self.name}+{self.key_id.hex()}+{_encode(bytes([self.kind]) + self.public_key)}"


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed a note: the key, its whole line with the newline, and for a cosignature when (Unix seconds)."""

    key: VerifierKey
    line: str
    timestamp: int | None


@dataclass(frozen=True, slots=True)
class OpenedNote:
    """The text of a note, newline at its end, and those known keys that signed it, each once."""

    text: str
    signers: tuple[Signer, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    key_id: bytes
    signature: bytes
    text: str


class NoteSigner:
    """A private key that signs notes under its name; it shows its public half only."""

    __slots__ = ("_private", "key")

    def __init__(self, name: str, seed: bytes) -> None:
        self._private, self.key = _open_private(name, ED25519, seed)

    def __repr__(self) -> str:
        return f"NoteSigner({self.vkey!r})"

    @property
    def vkey(self) -> str:
        """The public key as text."""
        return self.key.vkey

    def sign(self, text: str) -> str:
        """Return the note of this text with this one signature; raises NoteInvalidError for what no note can hold."""
        _demand_text(text)
        return f"{text}\n{_format_line(self.key, self._private.sign(text.encode()))}"


class Cosigner:
    """A witness's private key: it says that at a time a checkpoint was consistent with all it had seen before."""

    __slots__ = ("_private", "key")

    def __init__(self, name: str, seed: bytes) -> None:
        self._private, self.key = _open_private(name, COSIGNATURE_V1, seed)

    def __repr__(self) -> str:
        return f"Cosigner({self.vkey!r})"

    @property
    def vkey(self) -> str:
        """The public key as text."""
        return self.key.vkey

    def cosign(self, text: str, *, timestamp: int) -> str:
        """Return the signature line for a note's text at a time in Unix seconds (C2SP tlog-cosignature).

        Raises NoteInvalidError for what no note can hold, and ValueError for a time before 1970.
        """
        _demand_text(text)
        if not 0 <= timestamp <= _LATEST_TIMESTAMP:
            raise ValueError("no such time")
        signature = self._private.sign(_cosigned(text, timestamp))
        return _format_line(self.key, timestamp.to_bytes(_TIMESTAMP_BYTES, "big") + signature)


def open_note(note: str, keys: Iterable[VerifierKey]) -> OpenedNote:
    """Verify a note and return its text and who of `keys` signed it; signatures of other keys mean nothing.

    Raises NoteInvalidError where the form is wrong, where a known key's signature does not verify, and where no known
    key signed: the text of such a note is nobody's word (C2SP signed-note).
    """
    known = {(key.name, key.key_id): key for key in keys}
    text, lines = _split(note)
    signers: dict[VerifierKey, Signer] = {}
    for line in lines:
        key = known.get((line.name, line.key_id))
        if key is not None:
            signers.setdefault(key, _verify(text, line, key))
    if not signers:
        raise NoteInvalidError("no known key signed the note")
    return OpenedNote(text, tuple(signers.values()))


def unsafe_text(note: str) -> str:
    """Return the text of a well-formed note without verifying anybody's signature.

    For finding out which keys to verify with. Raises NoteInvalidError where the form is wrong.
    """
    return _split(note)[0]


def is_key_name(name: str) -> bool:
    """Tell whether a key can have this name: some text without spaces, control characters and `+`."""
    return bool(name) and not any(char.isspace() or char < " " or char == "+" for char in name) and _is_unicode(name)


def _verify(text: str, line: _Line, key: VerifierKey) -> Signer:
    timestamp: int | None = None
    message, signature = text.encode(), line.signature
    if key.kind == COSIGNATURE_V1:
        timestamp = int.from_bytes(signature[:_TIMESTAMP_BYTES], "big")
        message, signature = _cosigned(text, timestamp), signature[_TIMESTAMP_BYTES:]
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise NoteInvalidError(f"the signature of {key.name} does not verify") from None
    if timestamp is not None and timestamp > _LATEST_TIMESTAMP:
        raise NoteInvalidError(f"the cosignature of {key.name} has no possible time")
    return Signer(key, line.text, timestamp)


def _split(note: str) -> tuple[str, list[_Line]]:
    if len(note) > MAX_NOTE_BYTES or not _is_unicode(note) or len(note.encode()) > MAX_NOTE_BYTES:
        raise NoteInvalidError("the note is too large or no Unicode")
    if any(char < " " and char != "\n" for char in note):
        raise NoteInvalidError("the note holds control characters")
    # The text may hold empty lines of its own: the last one in the note ends it.
    text, separator, signatures = note.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise NoteInvalidError("the note has no signatures after an empty line")
    lines = signatures[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteInvalidError("the note has too many signatures")
    return f"{text}\n", [_parse_line(line) for line in lines]


def _parse_line(line: str) -> _Line:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    content = _decode(encoded)
    if not line.startswith(_DASH) or not space or not is_key_name(name) or len(content) <= _KEY_ID_BYTES:
        raise NoteInvalidError("the note has a malformed signature line")
    return _Line(name, content[:_KEY_ID_BYTES], content[_KEY_ID_BYTES:], f"{line}\n")


def _format_line(key: VerifierKey, signature: bytes) -> str:
    return f"{_DASH}{key.name} {_encode(key.key_id + signature)}\n"


def _demand_text(text: str) -> None:
    if not text.endswith("\n"):
        raise NoteInvalidError("the text of a note ends in a newline")
    if any(char < " " and char != "\n" for char in text):
        raise NoteInvalidError("the text of a note holds no control characters")
    # One signature line is far shorter than a kilobyte.
    if not _is_unicode(text) or len(text.encode()) > MAX_NOTE_BYTES - 1024:
        raise NoteInvalidError("the text is too long for a note or no Unicode")


def _open_private(name: str, kind: int, seed: bytes) -> tuple[Ed25519PrivateKey, VerifierKey]:
    if not is_key_name(name):
        raise VerifierKeyInvalidError("a key's name is not empty and has neither spaces nor +")
    private = Ed25519PrivateKey.from_private_bytes(seed)
    return private, VerifierKey(name, kind, private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def _cosigned(text: str, timestamp: int) -> bytes:
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()


def _is_unicode(text: str) -> bool:
    # Half of a surrogate pair is a character to Python and no text to anybody else.
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _decode(text: str) -> bytes:
    """Return what standard base64 says, or nothing: a second spelling of the same bytes is malformed too."""
    try:
        content = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""
    return content if _encode(content) == text else b""
