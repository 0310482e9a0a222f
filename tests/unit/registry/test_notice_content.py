"""A notice's content has one spelling, and nothing unknown gets in."""

import pytest

from consent_service.errors import InvalidInputError
from consent_service.registry import notice_content
from tests.unit.registry.samples import a_notice_document


def refusals_of(document: object) -> list[tuple[str, str]]:
    with pytest.raises(InvalidInputError) as caught:
        notice_content.parse(document)
    return [(problem.pointer, problem.code) for problem in caught.value.problems]


class TestParse:
    def test_what_is_written_is_read_back(self) -> None:
        content = notice_content.parse(a_notice_document())

        assert notice_content.serialise(content) == a_notice_document()
        assert notice_content.parse(notice_content.serialise(content)) == content

    def test_a_draft_may_lack_anything(self) -> None:
        assert notice_content.parse({}).languages == {}

    @pytest.mark.parametrize(
        ("path", "pointer"),
        [
            ((), "/extra"),
            (("languages", "nb"), "/languages/nb/extra"),
            (("languages", "nb", "channels"), "/languages/nb/channels/extra"),
            (("languages", "nb", "channels", "email"), "/languages/nb/channels/email/extra"),
        ],
    )
    def test_an_unknown_member_is_refused(self, path: tuple[str, ...], pointer: str) -> None:
        document = a_notice_document()
        place = document
        for step in path:
            place = place[step]
        place["extra"] = {}

        assert refusals_of(document) == [(pointer, "unknown_field")]

    @pytest.mark.parametrize("text", ["a\x00b", "a\x1bb", "a\ud800b"])
    def test_a_character_that_cannot_be_shown_is_refused(self, text: str) -> None:
        document = a_notice_document()
        document["languages"]["nb"]["title"] = text

        assert refusals_of(document) == [("/languages/nb/title", "control_character")]

    def test_an_endless_text_is_refused(self) -> None:
        document = a_notice_document()
        document["languages"]["nb"]["title"] = "x" * 4001

        assert refusals_of(document) == [("/languages/nb/title", "too_long")]

    @pytest.mark.parametrize(
        ("language", "pointer"),
        [("NB", "/languages/NB"), ("norsk bokmål", "/languages"), ("", "/languages"), ("nb/no", "/languages")],
    )
    def test_a_language_is_a_tag(self, language: str, pointer: str) -> None:
        document = a_notice_document()
        document["languages"] = {language: {}}

        assert refusals_of(document) == [(pointer, "invalid")]

    def test_a_name_that_may_be_an_address_is_not_repeated(self) -> None:
        document = a_notice_document() | {"kari@nordmann.example": True}

        assert refusals_of(document) == [("", "unknown_field")]

    def test_an_unknown_or_repeated_channel_is_refused(self) -> None:
        document = a_notice_document() | {"channels": ["email", "pigeon", "email"]}

        assert refusals_of(document) == [("/channels/1", "not_a_choice"), ("/channels/2", "repeated")]

    @pytest.mark.parametrize("value", [7, True, ["x"], {"a": 1}])
    def test_a_text_is_a_text(self, value: object) -> None:
        document = a_notice_document()
        document["languages"]["nb"]["title"] = value

        assert refusals_of(document) == [("/languages/nb/title", "not_a_text")]


class TestSha256:
    def test_it_does_not_depend_on_the_order_of_members(self) -> None:
        document = a_notice_document()
        turned = dict(reversed(document.items()))

        assert notice_content.sha256(notice_content.parse(document)) == notice_content.sha256(
            notice_content.parse(turned)
        )

    def test_it_changes_with_a_single_letter(self) -> None:
        document = a_notice_document()
        before = notice_content.sha256(notice_content.parse(document))

        document["languages"]["nb"]["withdrawal_text"] += "."

        assert notice_content.sha256(notice_content.parse(document)) != before
