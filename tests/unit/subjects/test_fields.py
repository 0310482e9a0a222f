"""What people type: the same address in any spelling is one, and no two addresses are taken for each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service.errors import ContactPointInvalidError
from consent_service.subjects import fields

DOMAINS = st.sampled_from(["kunde.example", "Kunde.Example", "blåbær.example", "xn--blbr-roah.example"])
LOCALS = st.text(st.sampled_from("abcxyzABCXYZ0189+_-"), min_size=1, max_size=20)


class TestEmail:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("kari@kunde.example", "Kari@KUNDE.example"),
            ("kari@kunde.example", "  kari@kunde.example\n"),
            ("kari@blåbær.example", "kari@xn--blbr-roah.example"),
            ("kari@BLÅBÆR.example", "kari@blåbær.example"),
            ("bjørnar@kunde.example", "BJØRNAR@kunde.example"),
            ("andré@kunde.example", "andre\u0301@kunde.example"),
            ("k\u212aari@kunde.example", "kkari@kunde.example"),
        ],
    )
    def test_spellings_of_one_address_compare_equal(self, one: str, other: str) -> None:
        assert fields.parse_email(one).normal == fields.parse_email(other).normal

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("kari.nordmann@kunde.example", "karinordmann@kunde.example"),
            ("kari@kunde.example", "kari+shop@kunde.example"),
            ("kari@kunde.example", "kari@post.kunde.example"),
            ("strasse@kunde.example", "straße@kunde.example"),
            ("kåre@kunde.example", "kare@kunde.example"),
        ],
    )
    def test_other_addresses_stay_other_people(self, one: str, other: str) -> None:
        assert fields.parse_email(one).normal != fields.parse_email(other).normal

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "kari",
            "kari@",
            "@kunde.example",
            "kari@kunde",
            "a@b@kunde.example",
            "k" * 400,
            "kari@kunde..example",
        ],
    )
    def test_what_is_no_address_is_refused_without_repeating_it(self, text: str) -> None:
        with pytest.raises(ContactPointInvalidError) as raised:
            fields.parse_email(text, pointer="/subject/email")

        (problem,) = raised.value.problems
        assert (problem.pointer, problem.code) == ("/subject/email", "email_invalid")
        assert "kunde" not in f"{raised.value} {problem} {raised.value.__cause__}"

    @given(local=LOCALS, domain=DOMAINS)
    def test_reading_what_was_read_changes_nothing(self, local: str, domain: str) -> None:
        read = fields.parse_email(f"{local}@{domain}")

        assert fields.parse_email(read.value) == read
        assert fields.parse_email(read.normal).normal == read.normal

    @given(local=LOCALS, domain=DOMAINS)
    def test_its_mask_shows_first_letters_and_the_top_domain_alone(self, local: str, domain: str) -> None:
        read = fields.parse_email(f"{local}@{domain}")

        shown = fields.mask(read)

        assert shown == f"{read.value[0]}•••@{read.value.partition('@')[2][0]}•••.example"


class TestPhone:
    @pytest.mark.parametrize("text", ["+4740000001", "+47 400 00 001", "+47-40000001"])
    def test_spellings_of_one_number_compare_equal(self, text: str) -> None:
        assert fields.parse_phone(text).normal == "+4740000001"

    @pytest.mark.parametrize("text", ["400 00 001", "40000001", "0047 40000001"])
    def test_it_is_read_as_it_is_dialled_at_home(self, text: str) -> None:
        assert fields.parse_phone(text, region="no").normal == "+4740000001"

    @pytest.mark.parametrize(
        ("text", "region", "code"),
        [
            ("40000001", None, "phone_region_required"),
            ("+47 1", None, "phone_invalid"),
            ("+999 40000001", None, "phone_invalid"),
            ("kari", "NO", "phone_invalid"),
            ("40000001 ext 7", "NO", "phone_invalid"),
            ("4" * 400, "NO", "phone_invalid"),
        ],
    )
    def test_what_is_no_number_is_refused(self, text: str, region: str | None, code: str) -> None:
        with pytest.raises(ContactPointInvalidError) as raised:
            fields.parse_phone(text, region=region)

        assert [problem.code for problem in raised.value.problems] == [code]

    def test_its_mask_shows_the_country_and_three_digits(self) -> None:
        assert fields.mask(fields.parse_phone("+4740000001")) == "+47 ••• •• 001"


class TestPost:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Storgata 1, 0155 Oslo", "STORGATA 1,0155  OSLO"),
            ("Storgata 1, 0155 Oslo", " Storgata 1\n0155 Oslo\n"),
            ("St. Olavs gate 2 B, 0155 Oslo", "st olavs gate 2 b 0155 oslo"),
            ("Blåbærveien 3, 9000 Tromsø", "Bla\u030abærveien 3, 9000 TROMSØ"),
        ],
    )
    def test_spellings_of_one_address_compare_equal(self, one: str, other: str) -> None:
        assert fields.parse_post(one).normal == fields.parse_post(other).normal

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Storgata 1, 0155 Oslo", "Storgata 11, 0155 Oslo"),
            ("Storgata 1-3, 0155 Oslo", "Storgata 13, 0155 Oslo"),
            ("Storgata 1 A, 0155 Oslo", "Storgata 1 B, 0155 Oslo"),
            ("Bådsgata 1, 0155 Oslo", "Badsgata 1, 0155 Oslo"),
        ],
    )
    def test_other_addresses_stay_other_addresses(self, one: str, other: str) -> None:
        assert fields.parse_post(one).normal != fields.parse_post(other).normal

    @pytest.mark.parametrize("text", ["", " ", ".,-", "Oslo", "Storgata\x07 1, Oslo", "S" * 321])
    def test_what_is_no_address_is_refused_without_repeating_it(self, text: str) -> None:
        with pytest.raises(ContactPointInvalidError) as raised:
            fields.parse_post(text, pointer="/contact_point/post")

        (problem,) = raised.value.problems
        assert (problem.pointer, problem.code) == ("/contact_point/post", "post_invalid")
        assert "Storgata" not in f"{raised.value} {problem}"

    @given(text=st.text(max_size=60))
    def test_reading_what_was_read_changes_nothing(self, text: str) -> None:
        try:
            read = fields.parse_post(text)
        except ContactPointInvalidError:
            return

        assert fields.parse_post(read.value) == read
        assert fields.parse_post(read.normal).normal == read.normal

    def test_its_lines_are_kept_apart_by_a_comma(self) -> None:
        assert fields.parse_post("Storgata 1\n\n 0155  Oslo").value == "Storgata 1, 0155 Oslo"

    def test_its_mask_shows_the_first_letter_alone(self) -> None:
        assert fields.mask(fields.parse_post("Storgata 1, 0155 Oslo")) == "S•••••"


class TestContactValue:
    def test_its_repr_says_neither_spelling(self) -> None:
        assert repr(fields.parse_email("kari@kunde.example")) == "ContactValue(kind='email')"


class TestChannels:
    @pytest.mark.parametrize(
        ("channel", "kind"),
        [
            ("email", "email"),
            ("ads", "email"),
            ("sms", "phone"),
            ("phone", "phone"),
            ("voice_automated", "phone"),
            ("direct_message", "phone"),
            ("post", "post"),
            ("web", None),
            ("push", None),
        ],
    )
    def test_each_reaches_one_kind_of_contact_point(self, channel: str, kind: str | None) -> None:
        assert fields.point_kind(channel) == kind
