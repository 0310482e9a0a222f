"""Reads a file of the reservation register, line by line, and repeats nothing of what stands in it."""

import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final, Literal, cast

from consent_service.errors import ContactPointInvalidError, FieldProblem, InvalidInputError
from consent_service.subjects import fields

WashKind = Literal["phone", "post"]

KINDS: Final[tuple[WashKind, ...]] = ("phone", "post")

_FLAGS: Final = ("reserved", "reserved_charity", "certain")
_COLUMNS: Final = (*KINDS, *_FLAGS)
_YES: Final = frozenset({"1", "yes", "y", "true", "ja", "j"})
_NO: Final = frozenset({"0", "no", "n", "false", "nei"})
#: Longer than any address with its flags. Without a limit a file without line breaks would be read into memory whole.
_LONGEST_LINE: Final = 4_096
_BOM: Final = b"\xef\xbb\xbf"
#: How nearly every Norwegian number is written. That it can be dialled is not asked: nobody holds one that cannot.
_PLAIN_NORWEGIAN: Final = re.compile(r"(?:\+47|0047)?([2-9]\d{7})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ReservationLine:
    """One line: the address as it is compared (None where it cannot be read), and what the register says of it.

    Where the address can be read and the rest cannot, the line says the strictest of everything and is broken all the
    same.
    """

    number: int
    normal: str | None = field(repr=False)
    reserved: bool = True
    reserved_charity: bool = True
    is_certain: bool = False
    is_broken: bool = True


@dataclass(slots=True)
class ReservationFile:
    """A file that is open at its first line after the header; it is read once, from front to back."""

    kind: WashKind
    _stream: BinaryIO
    _delimiter: str
    _columns: dict[str, int]
    _digest: "hashlib._Hash"
    bytes_read: int

    def sha256(self) -> str:
        """Return the hash of what was read so far, in hex: of the whole file once all lines were read."""
        return self._digest.hexdigest()

    def lines(self, *, region: str) -> Iterator[ReservationLine]:
        """Read the lines; a national phone number is read as it is dialled in `region`, and empty lines are left out.

        Raises InvalidInputError at a line that is too long to be one: where the next begins nobody knows.
        """
        number = 1
        while raw := self._stream.readline(_LONGEST_LINE):
            number += 1
            self._digest.update(raw)
            self.bytes_read += len(raw)
            if len(raw) == _LONGEST_LINE and not raw.endswith(b"\n"):
                raise _refusal(f"/lines/{number}", "line_too_long", "This is longer than a line can be.")
            if raw.strip():
                yield self._read(number, raw, region)

    def _read(self, number: int, raw: bytes, region: str) -> ReservationLine:
        try:
            cells = _split(raw.decode("utf-8").rstrip("\r\n"), self._delimiter)
            if len(cells) != len(self._columns):
                return ReservationLine(number, None)
            normal = _normal(self.kind, cells[self._columns[self.kind]].strip(), region)
        except (UnicodeDecodeError, csv.Error, ContactPointInvalidError):
            return ReservationLine(number, None)
        said = [self._flag(cells, name) for name in _FLAGS]
        if None in said:
            return ReservationLine(number, normal)
        reserved, reserved_charity, is_certain = cast("list[bool]", said)
        return ReservationLine(number, normal, reserved, reserved_charity, is_certain, is_broken=False)

    def _flag(self, cells: list[str], name: str) -> bool | None:
        """Read a flag. A column that is missing says yes: who stands in the file is reserved, and surely meant."""
        place = self._columns.get(name)
        if place is None:
            return True
        word = cells[place].strip().casefold()
        return None if word not in _YES | _NO else word in _YES


def open_file(stream: BinaryIO, *, kind: WashKind | None = None) -> ReservationFile:
    """Read the header of a file and say which addresses it speaks of: of `kind`, where it has columns for both.

    Raises InvalidInputError with what is wrong. A header is never repeated: where it was forgotten, it is a person.
    """
    raw = stream.readline(_LONGEST_LINE)
    try:
        text = raw.removeprefix(_BOM).decode("utf-8").rstrip("\r\n")
        delimiter = ";" if ";" in text else ","
        names = [name.strip().casefold() for name in _split(text, delimiter)]
    except (UnicodeDecodeError, csv.Error):
        raise _refusal("/header", "header_invalid", "The first line is no header in UTF-8.") from None
    unknown = [str(place) for place, name in enumerate(names, start=1) if name not in _COLUMNS]
    if unknown:
        detail = f"Column {', '.join(unknown)} is none of: {', '.join(_COLUMNS)}."
        raise _refusal("/header", "column_unknown", detail)
    if len(set(names)) != len(names):
        raise _refusal("/header", "column_repeated", "A column stands there twice.")
    held: list[WashKind] = [each for each in KINDS if each in names]
    if kind is None and len(held) != 1:
        detail = "Say which to compare: phone or post." if held else "There is neither a column phone nor one post."
        raise _refusal("/header", "kind_required", detail)
    wanted = kind or held[0]
    if wanted not in held:
        raise _refusal("/header", "column_missing", f"There is no column {wanted}.")
    places = {name: place for place, name in enumerate(names)}
    return ReservationFile(wanted, stream, delimiter, places, hashlib.sha256(raw), len(raw))


def _split(text: str, delimiter: str) -> list[str]:
    # A line is a record, also where a quote was forgotten: that spoils one line and not the rest of the file.
    return text.split(delimiter) if '"' not in text else next(csv.reader([text], delimiter=delimiter, strict=True))


def _normal(kind: WashKind, text: str, region: str) -> str:
    if kind == "post":
        return fields.parse_post(text).normal
    plain = _PLAIN_NORWEGIAN.fullmatch(text.replace(" ", ""))
    if plain is not None and (region == "NO" or text.startswith(("+", "00"))):
        return f"+47{plain[1]}"
    return fields.parse_phone(text, region=region).normal


def _refusal(pointer: str, code: str, detail: str) -> InvalidInputError:
    return InvalidInputError((FieldProblem(pointer, code, detail),))
