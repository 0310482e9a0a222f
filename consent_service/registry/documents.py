"""Answers for reading a JSON document strictly: every problem with its JSON pointer, nothing unknown let through."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from consent_service.errors import FieldProblem

Document = Mapping[str, object]
T = TypeVar("T")

LONGEST_TEXT: Final = 4000
_LONGEST_LIST: Final = 100
_ALLOWED_CONTROLS: Final = frozenset("\n\t")
_UNSTORABLE: Final = frozenset({"Cc", "Cs"})

_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}|[0-9]{1,9}", re.ASCII)

#: A language tag of BCP 47 in the spelling that we compare: `nb`, `en`, `zh-Hant`.
LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?", re.ASCII)


@dataclass(slots=True)
class Reading:
    """One pass over a document; it gathers what is wrong, so that the sender is told everything at once."""

    problems: list[FieldProblem] = field(default_factory=list)

    def refuse(self, at: str, code: str, detail: str) -> None:
        """Note one problem at a JSON pointer."""
        self.problems.append(FieldProblem(at, code, detail))

    def mapping(self, value: object, at: str, *, known: Iterable[str] | None = None) -> Document:
        """Read an object; with `known`, every other member is a problem (a misspelt name must not mean nothing)."""
        if not isinstance(value, Mapping):
            self.refuse(at, "not_an_object", "An object is expected here.")
            return {}
        wanted = None if known is None else frozenset(known)
        for name in value:
            if wanted is not None and name not in wanted:
                self.refuse(below(at, str(name)), "unknown_field", "There is no such field.")
        return value

    def text(self, value: object, at: str, *, default: str = "") -> str:
        """Read a text: trimmed, in Unicode form C; what is left out is empty, for a draft may lack anything."""
        if value is None:
            return default
        if not isinstance(value, str):
            self.refuse(at, "not_a_text", "A text is expected here.")
            return default
        if len(value) > LONGEST_TEXT:
            self.refuse(at, "too_long", f"The text is longer than {LONGEST_TEXT} characters.")
            return default
        if any(unicodedata.category(letter) in _UNSTORABLE and letter not in _ALLOWED_CONTROLS for letter in value):
            self.refuse(at, "control_character", "The text has a character that cannot be shown.")
            return default
        return unicodedata.normalize("NFC", value.strip())

    def matching(self, value: object, at: str, *, pattern: re.Pattern[str], detail: str) -> str:
        """Read a text that must match a pattern as a whole."""
        before = len(self.problems)
        text = self.text(value, at)
        if len(self.problems) == before and pattern.fullmatch(text) is None:
            self.refuse(at, "invalid", detail)
        return text

    def choice(self, value: object, at: str, *, among: Iterable[str]) -> str:
        """Read one of a few words."""
        words = tuple(among)
        if not isinstance(value, str) or value not in words:
            self.refuse(at, "not_a_choice", f"Expected one of: {', '.join(words)}.")
            return ""
        return value

    def flag(self, value: object, at: str, *, default: bool) -> bool:
        """Read true or false; nothing else counts as either."""
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(at, "not_a_boolean", "True or false is expected here.")
            return default
        return value

    def items(self, value: object, at: str, *, read: Callable[[object, str], T]) -> tuple[T, ...]:
        """Read a list, each item by `read(item, pointer)`; what is left out is an empty list."""
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            self.refuse(at, "not_a_list", "A list is expected here.")
            return ()
        if len(value) > _LONGEST_LIST:
            self.refuse(at, "too_long", f"The list has more than {_LONGEST_LIST} items.")
            return ()
        return tuple(read(item, below(at, str(place))) for place, item in enumerate(value))

    def distinct(self, values: Iterable[object], at: str) -> None:
        """Note every value of a list that stood there before."""
        seen: set[object] = set()
        for place, value in enumerate(values):
            if value in seen:
                self.refuse(below(at, str(place)), "repeated", "This is in the list already.")
            seen.add(value)

    def per_language(self, value: object, at: str) -> dict[str, str]:
        """Read one text per language."""
        texts = {}
        for language, text in self.mapping(value if value is not None else {}, at).items():
            pointer = below(at, language)
            self.language(language, pointer)
            texts[language] = self.text(text, pointer)
        return texts

    def language(self, value: object, at: str) -> str:
        """Read a language tag (BCP 47)."""
        return self.matching(value, at, pattern=LANGUAGE, detail="A language tag such as nb is expected here.")


def below(pointer: str, name: str) -> str:
    """Extend a JSON pointer by one step (RFC 6901 §3).

    A name that is not a plain word may be anything, somebody's address included, and ends in answers and logs: it is
    not repeated, and the pointer stays at the object.
    """
    return pointer if _PLAIN_NAME.fullmatch(name) is None else f"{pointer}/{name}"
