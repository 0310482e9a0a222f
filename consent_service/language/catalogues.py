"""Which languages are offered, and the words of each; English is the source."""

from collections.abc import Sequence
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

SOURCE_LANGUAGE = "en"
TRANSLATIONS = Path(__file__).resolve().parents[2] / "translations"

_NAMES = {"nb": "Bokmål", "nn": "Nynorsk", "en": "English", "sv": "Svenska", "da": "Dansk"}
# CLDR's plain "en" writes the dates of the United States.
_LOCALES = {"en": "en_GB"}
# What a reader of the first tag is glad to get before anything foreign.
_CLOSE = {"no": ("nb", "nn"), "nb": ("nn",), "nn": ("nb",)}


class TranslationMissingError(LookupError):
    """A sentence has no translation in the language that was asked for."""


class _NoFallback(NullTranslations):
    """Refuses to answer, so that a page is never half in another language (GDPR Art. 12(1))."""

    def gettext(self, message: str) -> str:
        raise TranslationMissingError(message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        raise TranslationMissingError(msgid1, msgid2, n)


def name_of(language: str) -> str:
    """Return the language's name for itself."""
    return _NAMES[language]


def locale_of(language: str) -> str:
    """Return the CLDR locale whose dates and numbers go with the language."""
    return _LOCALES.get(language, language)


@cache
def offered() -> tuple[str, ...]:
    """Return the languages in which every sentence can be said, Norwegian first."""
    complete = {
        path.parent.parent.name for path in TRANSLATIONS.glob("*/LC_MESSAGES/messages.po") if _is_complete(read(path))
    }
    return tuple(code for code in _NAMES if code == SOURCE_LANGUAGE or code in complete)


@cache
def catalogue(language: str) -> NullTranslations:
    """Return the translations of an offered language.

    A sentence that it lacks raises TranslationMissingError when it is asked for; a language that
    is not offered raises LookupError.
    """
    if language not in offered():
        message = f"language not offered: {language}"
        raise LookupError(message)
    if language == SOURCE_LANGUAGE:
        return NullTranslations()
    compiled = BytesIO()
    write_mo(compiled, read(TRANSLATIONS / language / "LC_MESSAGES" / "messages.po"))
    compiled.seek(0)
    translations = GNUTranslations(compiled)
    translations.add_fallback(_NoFallback())
    return translations


def read(path: Path) -> Catalog:
    """Return the catalogue that a .po file holds; raises PoFileError where it is malformed."""
    with path.open("rb") as file:
        return read_po(file, abort_invalid=True)


def negotiate(accept_language: str | None, offered: Sequence[str]) -> str:
    """Return the offered language that suits an Accept-Language header best (RFC 9110 §12.5.4).

    The first offered language answers when nothing suits or the header says nothing.
    """
    for tag in _by_preference(accept_language or ""):
        for candidate in (tag, *_CLOSE.get(tag, ())):
            if candidate in offered:
                return candidate
    return offered[0]


def _by_preference(header: str) -> list[str]:
    weighted = []
    for position, part in enumerate(header.split(",")):
        tag, _, weight = part.strip().partition(";")
        quality = _quality(weight)
        if tag and quality > 0:
            weighted.append((-quality, position, tag.split("-")[0].strip().lower()))
    return [tag for _, _, tag in sorted(weighted)]


def _quality(weight: str) -> float:
    name, _, value = weight.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def _is_complete(found: Catalog) -> bool:
    return all(not message.fuzzy and all(_forms(message.string)) for message in found if message.id)


def _forms(said: str | Sequence[str] | None) -> Sequence[str]:
    return (said or "",) if said is None or isinstance(said, str) else said
