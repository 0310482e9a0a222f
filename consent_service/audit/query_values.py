"""Reads the values of a query's qualifiers against the words that are known, and says what was probably meant.

Nothing that was sent is repeated: a suggestion is always one of our own words.
"""

import difflib
import fnmatch
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final, Literal

from consent_service import identifiers
from consent_service.errors import FieldProblem, IdentifierInvalidError

ACTOR_KINDS: Final = ("subject", "api_key", "operator", "system")

_KIND_OF_PREFIX: Final = {"key": "api_key", "opr": "operator"}
_PREFIX_OF_KIND: Final = {kind: prefix for prefix, kind in _KIND_OF_PREFIX.items()}
_SYSTEM_PART: Final = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_ACTION: Final = re.compile(r"[a-z0-9_.*]{1,64}", re.ASCII)
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)
_LOOKS_LIKE_A_DAY: Final = re.compile(r"\d{4}-\d\d", re.ASCII)
# Comparing takes time that grows with the square of the length, and no word of ours is as long as this.
_LONGEST_COMPARED: Final = 64


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words that a query may use, and the zone in which its days begin and end."""

    actions: Collection[str]
    channels: Collection[str]
    purposes: Collection[str]
    zone: tzinfo


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryProblem(FieldProblem):
    """One thing that is wrong in a query: at which column (they count from 1), and what would be right.

    Neither the sentence nor the suggestion repeats what was sent: it may be somebody's address.
    """

    pointer: str = "/q"
    column: int
    length: int
    suggestion: str | None = None


class ValueRefusedError(ValueError):
    """The value cannot be used; `detail` says what is expected, `suggestion` what was probably meant."""

    def __init__(self, code: str, detail: str, suggestion: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.suggestion = suggestion


def nearest(word: str, known: Collection[str]) -> str | None:
    """Return the known word that was probably meant, or None."""
    if len(word) > _LONGEST_COMPARED:
        return None
    return next(iter(difflib.get_close_matches(word.lower(), sorted(known), n=1)), None)


def read_actor(value: str) -> tuple[str, str | None]:
    """Read `api_key:key_…`, a bare `key_…` or `opr_…`, or a kind; return kind and id."""
    prefix = value[:3].lower()
    if value[3:4] == "_" and prefix in _KIND_OF_PREFIX:
        return _KIND_OF_PREFIX[prefix], _read_id(value, prefix, code="actor_invalid")
    head, colon, rest = value.partition(":")
    kind = head.lower()
    if kind.startswith("sub_") or (kind == "subject" and colon):
        raise ValueRefusedError(
            "actor_invalid", "A person acts as actor:subject; who it is about is asked by subject:sub_…", "subject"
        )
    if kind not in ACTOR_KINDS:
        expected = f"Expected is one of {', '.join(ACTOR_KINDS)}, or an id that begins with key_ or opr_."
        raise ValueRefusedError("actor_unknown", expected, nearest(kind, ACTOR_KINDS))
    if not colon:
        return kind, None
    if kind in _PREFIX_OF_KIND:
        return kind, _read_id(rest, _PREFIX_OF_KIND[kind], code="actor_invalid")
    if _SYSTEM_PART.fullmatch(rest.lower()) is None:
        raise ValueRefusedError("actor_invalid", "A part of the service is expected, as in system:command_line.")
    return kind, rest.lower()


def read_action(value: str, actions: Collection[str]) -> tuple[str, ...]:
    """Read a type of entries, or a pattern in which `*` stands for anything; return the types that it means."""
    pattern = value.lower()
    found: list[str] = []
    if _ACTION.fullmatch(pattern):
        found = sorted(each for each in actions if fnmatch.fnmatchcase(each, pattern))
    if not found:
        families = {f"{each.partition('.')[0]}.*" for each in actions}
        expected = "There is no such type of entries. docs/audit-events.md lists them; * stands for anything."
        raise ValueRefusedError("action_unknown", expected, nearest(pattern, {*actions, *families}))
    return tuple(found)


def read_person(value: str) -> tuple[Literal["id", "email", "phone"], str]:
    """Read whom it is about: the id of a subject, or an address, whose form is looked at by whoever resolves it.

    A postal address says where somebody is reached, and never who it is.
    """
    cleaned = value.strip()
    if cleaned.lower().startswith("sub_"):
        return "id", _read_id(cleaned, "sub", code="subject_invalid")
    if "@" in cleaned:
        return "email", cleaned
    if cleaned.startswith("+"):
        return "phone", cleaned
    raise ValueRefusedError(
        "subject_invalid", "Expected is an id that begins with sub_, an e-mail address, or a number that begins with +."
    )


def read_known(value: str, known: Collection[str], *, kind: str) -> str:
    """Read one of the known purposes or channels."""
    word = value.lower()
    if word not in known:
        raise ValueRefusedError(f"{kind}_unknown", f"There is no such {kind}.", nearest(word, known))
    return word


def read_request_id(value: str) -> str:
    """Read the id of a request, as the header Request-Id gave it."""
    if _REQUEST_ID.fullmatch(value) is None:
        raise ValueRefusedError("request_id_invalid", "The value of the header Request-Id is expected.")
    return value


def qualified(word: str, vocabulary: Vocabulary) -> str | None:
    """Return the term that a word without a qualifier was probably meant for; … stands for what was sent."""
    lower = word.lower()
    for name, known in (("purpose", vocabulary.purposes), ("channel", vocabulary.channels), ("actor", ACTOR_KINDS)):
        if lower in known:
            return f"{name}:{lower}"
    if lower.startswith(("sub_", "+")) or "@" in lower:
        return "subject:…"
    if lower.startswith(("key_", "opr_")):
        return "actor:…"
    if _LOOKS_LIKE_A_DAY.match(lower):
        return "created:…"
    action = nearest(lower, {*vocabulary.actions, *(f"{each.partition('.')[0]}.*" for each in vocabulary.actions)})
    return None if action is None else f"action:{action}"


def _read_id(text: str, prefix: str, *, code: str) -> str:
    try:
        return identifiers.from_uuid(identifiers.to_uuid(text.lower(), prefix), prefix)
    except IdentifierInvalidError:
        raise ValueRefusedError(code, f"An id is {prefix}_ and 26 letters and digits.") from None
