"""What people type: the same address in any spelling is one, and no two addresses are taken for each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service.errors import ContactPointInvalidError
from consent_service.subjects import fields
from consent_service.subjects.fields import ContactValue

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


class TestContactValue:
    def test_its_repr_says_neither_spelling(self) -> None:
        assert repr(fields.parse_email("kari@kunde.example")) == "ContactValue(kind='email')"

    def test_a_postal_address_shows_nothing(self) -> None:
        assert fields.mask(ContactValue("post", "Storgata 1", "storgata 1")) == "•••••"


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
