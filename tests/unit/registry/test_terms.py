"""What a notice must tell before people are asked, and what a form may ask."""

from datetime import date, timedelta
from typing import Any

import pytest

from consent_service.registry import form_definition, notice_content, terms
from consent_service.registry.terms import OfferedPurpose, PurposeTerms
from tests.unit.registry.samples import a_form_document, a_notice_document

TODAY = date(2026, 3, 2)
DAY = timedelta(days=1)
NEWSLETTER = {"newsletter": OfferedPurpose(is_retired=False, channels=("email", "sms"))}


def gaps_of(
    document: object,
    *,
    controller_name: str = "Nordlys Sport AS",
    controller_contact: str = "personvern@nordlys.example",
    known_recipients: tuple[str, ...] = (),
) -> list[tuple[str, str]]:
    problems = terms.notice_gaps(
        notice_content.parse(document),
        controller_name=controller_name,
        controller_contact=controller_contact,
        known_recipients=known_recipients,
    )
    return [(problem.pointer, problem.code) for problem in problems]


def problems_of(document: object, purposes: dict[str, OfferedPurpose] = NEWSLETTER) -> list[tuple[str, str]]:
    problems = terms.form_problems(form_definition.parse(document), purposes=purposes)
    return [(problem.pointer, problem.code) for problem in problems]


def purpose_problems(**said: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - passed on to PurposeTerms
    """Say what is wrong with the terms of a purpose; what is left out is plain consent."""
    whole: dict[str, Any] = {"legal_basis": "consent", "double_opt_in": True, **said}
    problems = terms.purpose_problems(PurposeTerms(**whole), today=TODAY)
    return [(problem.pointer, problem.code) for problem in problems]


@pytest.mark.rule("CAP-06")
class TestNoticeGaps:
    def test_a_whole_notice_has_none(self) -> None:
        assert gaps_of(a_notice_document()) == []

    @pytest.mark.parametrize(
        "name",
        [
            "title",
            "purpose_text",
            "data_categories",
            "product_types_text",
            "recipients_text",
            "withdrawal_text",
            "privacy_notice_url",
        ],
    )
    @pytest.mark.parametrize("language", ["nb", "en"])
    def test_every_text_is_asked_for_in_every_language(self, language: str, name: str) -> None:
        document = a_notice_document()
        del document["languages"][language][name]

        assert gaps_of(document) == [(f"/languages/{language}/{name}", "missing")]

    @pytest.mark.parametrize("name", ["statement", "frequency_text", "short_text"])
    @pytest.mark.parametrize("channel", ["email", "sms"])
    def test_statement_and_frequency_stand_per_channel(self, channel: str, name: str) -> None:
        document = a_notice_document()
        document["languages"]["nb"]["channels"][channel][name] = "  "

        assert gaps_of(document) == [(f"/languages/nb/channels/{channel}/{name}", "missing")]

    def test_a_channel_without_words_lacks_all_of_them(self) -> None:
        document = a_notice_document()
        del document["languages"]["en"]["channels"]["sms"]

        assert gaps_of(document) == [
            ("/languages/en/channels/sms/statement", "missing"),
            ("/languages/en/channels/sms/frequency_text", "missing"),
            ("/languages/en/channels/sms/short_text", "missing"),
        ]

    def test_words_for_a_channel_that_is_not_listed_are_refused(self) -> None:
        document = a_notice_document()
        document["channels"] = ["email"]

        assert ("/languages/nb/channels/sms", "channel_not_listed") in gaps_of(document)

    def test_it_lists_everything_at_once(self) -> None:
        assert gaps_of({}, controller_name="", controller_contact="") == [
            ("/controller/legal_name", "missing"),
            ("/controller/privacy_contact", "missing"),
            ("/channels", "missing"),
            ("/data_categories", "missing"),
            ("/languages", "missing"),
        ]

    def test_a_recipient_must_exist(self) -> None:
        document = a_notice_document() | {"recipients": ["mail_supplier", "nobody"]}

        assert gaps_of(document, known_recipients=("mail_supplier",)) == [("/recipients/1", "recipient_unknown")]

    def test_each_data_category_needs_its_words(self) -> None:
        document = a_notice_document()
        document["languages"]["nb"]["data_categories"].pop()

        assert gaps_of(document) == [("/languages/nb/data_categories", "missing")]

    @pytest.mark.parametrize("address", ["nordlys.example/privacy", "ftp://nordlys.example", "https://", "http://[x"])
    def test_the_privacy_notice_must_be_an_address(self, address: str) -> None:
        document = a_notice_document()
        document["languages"]["nb"]["privacy_notice_url"] = address

        assert gaps_of(document) == [("/languages/nb/privacy_notice_url", "not_an_address")]


class TestPublicationProblems:
    @pytest.mark.rule("CAP-08")
    def test_an_immaterial_change_needs_a_reason(self) -> None:
        assert [problem.pointer for problem in terms.publication_problems(material=False, reason=" ")] == ["/reason"]

    def test_a_material_change_needs_none(self) -> None:
        assert terms.publication_problems(material=True, reason="") == ()


class TestPurposeProblems:
    @pytest.mark.rule("CAP-13")
    def test_special_categories_need_explicit_and_confirmed_consent(self) -> None:
        problems = purpose_problems(double_opt_in=False, special_category=True)

        assert problems == [
            ("/legal_basis", "explicit_consent_required"),
            ("/double_opt_in", "double_opt_in_required"),
        ]

    @pytest.mark.rule("CAP-13")
    def test_nothing_stands_in_for_consent_to_special_categories(self) -> None:
        problems = purpose_problems(
            legal_basis="explicit_consent",
            special_category=True,
            age_condition=True,
            existing_customer=True,
            product_categories=("crutches",),
            reservation_enabled=True,
            balancing="LIA-7",
            balanced_on=TODAY,
        )

        assert [pointer for pointer, _ in problems] == [
            "/existing_customer",
            "/product_categories",
            "/reservation_enabled",
            "/balancing",
            "/balanced_on",
        ]
        assert {code for _, code in problems} == {"explicit_consent_required"}

    def test_it_rests_on_nothing_but_consent_unless_somebody_says_so(self) -> None:
        plain = PurposeTerms(legal_basis="consent", double_opt_in=True)

        assert (plain.existing_customer, plain.reservation_enabled, plain.age_condition) == (False, False, False)
        assert (plain.product_categories, plain.balancing, plain.balanced_on) == ((), None, None)

    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            ({"legal_basis": "legitimate_interest"}, [("/balancing", "missing")]),
            ({"reservation_enabled": True}, [("/balancing", "missing")]),
            ({"balanced_on": TODAY}, [("/balancing", "missing")]),
            ({"balancing": "LIA-7"}, [("/balanced_on", "missing")]),
            ({"balancing": "LIA-7", "balanced_on": TODAY + DAY}, [("/balanced_on", "in_the_future")]),
            ({"existing_customer": True}, [("/product_categories", "missing")]),
            ({"product_categories": ("skis", "skis")}, [("/product_categories/1", "repeated")]),
            (
                {"legal_basis": "legitimate_interest", "existing_customer": True},
                [("/product_categories", "missing"), ("/balancing", "missing")],
            ),
        ],
    )
    def test_what_another_basis_lacks_is_listed(self, said: dict[str, object], expected: list[tuple[str, str]]) -> None:
        assert purpose_problems(**said) == expected

    @pytest.mark.parametrize(
        "said",
        [
            {"legal_basis": "legitimate_interest", "balancing": "LIA-7", "balanced_on": TODAY},
            {"reservation_enabled": True, "balancing": "LIA-7", "balanced_on": TODAY - DAY},
            {"existing_customer": True, "product_categories": ("skis",)},
            {"product_categories": ("skis",), "age_condition": True},
        ],
    )
    def test_a_whole_basis_has_no_problem(self, said: dict[str, object]) -> None:
        assert purpose_problems(**said) == []

    def test_an_unknown_basis_is_refused(self) -> None:
        assert purpose_problems(legal_basis="because") == [("/legal_basis", "not_a_choice")]

    @pytest.mark.parametrize("months", [0, -1, 121])
    def test_an_endless_or_empty_validity_is_refused(self, months: int) -> None:
        assert purpose_problems(valid_for_months=months) == [("/valid_for_months", "out_of_range")]


class TestFormProblems:
    def test_a_whole_form_has_none(self) -> None:
        assert problems_of(a_form_document()) == []

    @pytest.mark.parametrize(
        ("purposes", "problem"),
        [
            ({}, ("/offers/0/purpose", "purpose_unknown")),
            (
                {"newsletter": OfferedPurpose(is_retired=True, channels=("email",))},
                ("/offers/0/purpose", "purpose_retired"),
            ),
            (
                {"newsletter": OfferedPurpose(is_retired=False, channels=None)},
                ("/offers/0/purpose", "notice_missing"),
            ),
            (
                {"newsletter": OfferedPurpose(is_retired=False, channels=("sms",))},
                ("/offers/0/channel", "channel_not_offered"),
            ),
        ],
    )
    @pytest.mark.rule("CAP-04")
    def test_it_offers_only_what_a_notice_tells(
        self, purposes: dict[str, OfferedPurpose], problem: tuple[str, str]
    ) -> None:
        assert problems_of(a_form_document(), purposes) == [problem]

    def test_it_asks_where_a_channel_reaches_the_person(self) -> None:
        document = a_form_document()
        document["offers"].append({"purpose": "newsletter", "channel": "sms"})

        assert problems_of(document) == [("/offers/1/channel", "contact_field_missing")]

    def test_the_same_box_stands_once(self) -> None:
        document = a_form_document()
        document["offers"] *= 2

        assert problems_of(document) == [("/offers/1", "repeated")]

    @pytest.mark.rule("CAP-07")
    @pytest.mark.parametrize("name", ["titles", "intros", "submit_labels"])
    def test_every_text_stands_in_every_language(self, name: str) -> None:
        document = a_form_document()
        del document[name]["en"]

        assert problems_of(document) == [(f"/{name}/en", "missing")]

    def test_it_says_why_each_field_is_asked(self) -> None:
        document = a_form_document()
        document["fields"][0]["why"] = {"nb": "Derfor"}

        assert problems_of(document) == [("/fields/0/why/en", "missing")]

    def test_a_text_in_a_language_it_does_not_have_is_refused(self) -> None:
        document = a_form_document()
        document["titles"]["nn"] = "Tittel"

        assert problems_of(document) == [("/titles/nn", "language_not_listed")]

    @pytest.mark.parametrize(("name", "kind"), [("email", "text"), ("mail", "email"), ("phone", "email")])
    def test_contact_fields_have_their_own_names(self, name: str, kind: str) -> None:
        document = a_form_document()
        document["fields"].append(document["fields"][0] | {"name": name, "kind": kind})

        assert ("/fields/1/name", "name_and_kind_differ") in problems_of(document)

    def test_a_form_that_offers_nothing_is_refused(self) -> None:
        document = a_form_document() | {"offers": []}

        assert problems_of(document) == [("/offers", "missing")]
