"""What the catalogues promise: every sentence in every offered language, and no other."""

import re
from collections.abc import Sequence

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir

from consent_service.language import catalogues, rendering

TRANSLATED = ("nb", "nn")
# Without "silent", the extractor passes over a template that it cannot read.
OPTIONS = {"encoding": "utf-8", "trimmed": "true", "silent": "false"}

Sentence = str | tuple[str, ...]


@pytest.fixture(scope="module")
def sentences() -> set[Sentence]:
    in_templates = extract_from_dir(rendering.TEMPLATES, [("**", "jinja2")], {"**": OPTIONS})
    in_code = extract_from_dir(rendering.TEMPLATES.parent / "consent_service" / "language", [("**.py", "python")])
    return {found[2] for found in (*in_templates, *in_code)}


def catalogue(language: str) -> Catalog:
    return catalogues.read(catalogues.TRANSLATIONS / language / "LC_MESSAGES" / "messages.po")


def forms(said: str | Sequence[str] | None) -> tuple[str, ...]:
    return (said or "",) if said is None or isinstance(said, str) else tuple(said)


class TestTranslations:
    @pytest.mark.parametrize("language", TRANSLATED)
    @pytest.mark.rule("CAP-07")
    def test_every_sentence_of_the_templates_is_translated(self, language: str, sentences: set[Sentence]) -> None:
        translated = {m.id for m in catalogue(language) if m.id and not m.fuzzy and all(forms(m.string))}

        assert len(sentences) > 100
        assert sentences - translated == set()

    @pytest.mark.parametrize("language", TRANSLATED)
    def test_no_sentence_is_kept_that_nobody_says(self, language: str, sentences: set[Sentence]) -> None:
        found = catalogue(language)

        assert {m.id for m in found if m.id} - sentences == set()
        assert not found.obsolete

    @pytest.mark.parametrize("language", TRANSLATED)
    def test_variables_and_markup_survive_the_translation(self, language: str) -> None:
        marks = re.compile(r"%\(\w+\)s|</?\w+>")

        for message in catalogue(language):
            for source, said in zip(forms(message.id), forms(message.string), strict=bool(message.id)):
                if source:
                    assert sorted(marks.findall(said)) == sorted(marks.findall(source)), source

    def test_nynorsk_is_not_bokmal_with_another_name(self) -> None:
        words = " ".join(" ".join(forms(m.string)).lower() for m in catalogue("nn") if m.id)

        assert not re.search(r"\b(ikke|jeg|hva|hvis|fra|hvem|hvorfor|noen|en|et|siden|ble|noe)\b", words)


class TestOffered:
    def test_it_names_the_languages_with_a_whole_catalogue(self) -> None:
        assert catalogues.offered() == ("nb", "nn", "en")

    def test_a_language_that_is_not_offered_is_refused(self) -> None:
        with pytest.raises(LookupError):
            catalogues.catalogue("sv")

    @pytest.mark.rule("CAP-07")
    def test_a_sentence_without_translation_is_not_said_in_english(self) -> None:
        with pytest.raises(catalogues.TranslationMissingError):
            catalogues.catalogue("nn").gettext("Nobody has translated this.")


class TestNegotiate:
    @pytest.mark.parametrize(
        ("header", "language"),
        [
            ("nn-NO,nn;q=0.9,en;q=0.8", "nn"),
            ("no", "nb"),
            ("nb-NO", "nb"),
            ("sv,da;q=0.9,en;q=0.5", "en"),
            ("en;q=0.1, nn;q=0.7", "nn"),
            ("nb;q=0, en", "en"),
            ("de", "nb"),
            ("*", "nb"),
            ("", "nb"),
            (None, "nb"),
            ("en;q=nonsense, nn", "nn"),
            (";;;,,,=", "nb"),
        ],
    )
    def test_it_finds_what_the_reader_wants(self, header: str | None, language: str) -> None:
        assert catalogues.negotiate(header, ("nb", "nn", "en")) == language

    def test_a_reader_of_nynorsk_gets_bokmal_before_english(self) -> None:
        assert catalogues.negotiate("nn, en;q=0.5", ("en", "nb")) == "nb"
