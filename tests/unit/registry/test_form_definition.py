"""A form has no way to tick, require or bundle a consent."""

from typing import Any

import pytest

from consent_service.errors import FormDefinitionError
from consent_service.registry import form_definition
from tests.unit.registry.samples import a_form_document


def refusals_of(document: object) -> list[tuple[str, str]]:
    with pytest.raises(FormDefinitionError) as caught:
        form_definition.parse(document)
    return [(problem.pointer, problem.code) for problem in caught.value.problems]


def an_offer_with(**members: object) -> dict[str, Any]:
    document = a_form_document()
    document["offers"][0] |= members
    return document


class TestParse:
    def test_what_is_written_is_read_back(self) -> None:
        definition = form_definition.parse(a_form_document())

        assert form_definition.parse(form_definition.serialise(definition)) == definition

    @pytest.mark.rule("CAP-01")
    @pytest.mark.parametrize("name", ["checked", "default", "selected", "value"])
    @pytest.mark.parametrize("value", [True, "on", 1, None])
    def test_a_box_cannot_be_ticked_beforehand(self, name: str, value: object) -> None:
        assert refusals_of(an_offer_with(**{name: value})) == [(f"/offers/0/{name}", "pre_ticked")]

    @pytest.mark.rule("CAP-05")
    @pytest.mark.parametrize("name", ["required", "mandatory"])
    def test_a_box_cannot_be_required(self, name: str) -> None:
        assert refusals_of(an_offer_with(**{name: True})) == [(f"/offers/0/{name}", "consent_required")]

    @pytest.mark.rule("CAP-02")
    @pytest.mark.parametrize("name", ["terms", "accepts_terms", "purposes", "channels", "bundled_with"])
    def test_a_box_cannot_carry_anything_else(self, name: str) -> None:
        assert refusals_of(an_offer_with(**{name: ["terms"]})) == [(f"/offers/0/{name}", "bundled_consent")]

    @pytest.mark.rule("CAP-03")
    @pytest.mark.parametrize("name", ["purpose", "channel"])
    def test_a_box_asks_for_one_purpose_on_one_channel(self, name: str) -> None:
        assert refusals_of(an_offer_with(**{name: ["email", "sms"]})) == [(f"/offers/0/{name}", "bundled_consent")]

    @pytest.mark.rule("CAP-02")
    def test_a_field_cannot_carry_a_consent(self) -> None:
        document = a_form_document()
        document["fields"][0]["purpose"] = "newsletter"

        assert refusals_of(document) == [("/fields/0/purpose", "bundled_consent")]

    def test_saying_that_a_box_is_not_ticked_is_harmless(self) -> None:
        definition = form_definition.parse(an_offer_with(checked=False, required=False))

        assert definition == form_definition.parse(a_form_document())

    @pytest.mark.rule("CAP-03")
    def test_tick_all_begins_unticked(self) -> None:
        assert form_definition.parse(a_form_document() | {"select_all": True}).select_all
        assert refusals_of(a_form_document() | {"select_all": {"checked": True}}) == [
            ("/select_all/checked", "select_all_pre_ticked")
        ]

    def test_a_misspelt_member_is_refused(self) -> None:
        assert refusals_of(a_form_document() | {"ofers": []}) == [("/ofers", "unknown_field")]

    @pytest.mark.parametrize(
        "origin",
        [
            "*",
            "null",
            "https://*.shop.example",
            "https://shop.example/",
            "https://shop.example:443",
            "http://shop.example:80",
            "https://SHOP.example",
            "HTTPS://shop.example",
            "https://kari@shop.example",
            "https://shop.example:port",
            "https://bokhåndel.example",
            "ftp://shop.example",
            "https://shop.example?x",
            "https://shop.example#x",
            "https://shop.example:",
            "shop.example",
            "",
        ],
    )
    def test_an_origin_is_one_that_a_browser_sends(self, origin: str) -> None:
        assert refusals_of(a_form_document() | {"origins": [origin]}) == [("/origins/0", "origin_invalid")]

    @pytest.mark.parametrize("origin", ["https://shop.example", "http://localhost:8001", "https://shop.example:8443"])
    def test_a_plain_origin_is_taken(self, origin: str) -> None:
        assert form_definition.parse(a_form_document() | {"origins": [origin]}).origins == (origin,)

    @pytest.mark.parametrize(
        "address", ["/thanks", "javascript:alert(1)", "https://kari@shop.example/", "https://shop.example/#x", "//x/y"]
    )
    def test_a_return_address_is_whole(self, address: str) -> None:
        assert refusals_of(a_form_document() | {"return_urls": [address]}) == [("/return_urls/0", "return_url_invalid")]

    @pytest.mark.parametrize("document", [None, [], "form", 7])
    def test_anything_but_an_object_is_refused(self, document: object) -> None:
        assert refusals_of(document) == [("", "not_an_object")]
