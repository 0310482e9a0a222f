"""The short way of reading an address is the long one, wherever it reads at all."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent_service.errors import ContactPointInvalidError
from consent_service.subjects import fields
from consent_service.subjects.fields import ContactValue

LABELS = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=8) | st.sampled_from(
    ["xn--blbr-roah", "example", "test", "localhost", "invalid", "local", "arpa", "com", "no", "a" * 63, "a" * 64]
)
DOMAINS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
LOCALS = st.text(string.ascii_letters + string.digits + ".+_-!'\"@ æß\u212a", min_size=0, max_size=70)
ADDRESSES = st.builds("{}@{}".format, LOCALS, DOMAINS) | st.text(max_size=40)


def read(text: str) -> tuple[str, str, str] | None:
    try:
        return parts(fields.parse_email(text))
    except ContactPointInvalidError:
        return None


def parts(contact: ContactValue) -> tuple[str, str, str]:
    return contact.kind, contact.value, contact.normal


class TestPlainEmail:
    @settings(derandomize=True, max_examples=2_000, deadline=None)
    @given(ADDRESSES)
    def test_what_it_reads_is_read_alike_the_long_way(self, text: str) -> None:
        plain = fields.plain_email(text)

        assert plain is None or parts(plain) == read(text)

    @pytest.mark.parametrize(
        "text",
        [
            *("kari@kunde.example\n", "kari@-kunde.example", "kari@kunde-.example", "kari@kunde", "kari@kunde.7"),
            *(".kari@kunde.example", "kari.@kunde.example", "ka..ri@kunde.example", "kari@kunde..example"),
            *("kari@xn--a.example", "kari@xn--0.no", "kari@ab--cd.example", "kari@1.2.3.4", "kari@localhost.local"),
            *(f"{'k' * 65}@kunde.example", f"kari@{'k' * 64}.example", "kari@kunde.test", "kari@kunde.invalid"),
            *("Kari@kunde.example", "kari@Kunde.example", "k\u212ari@kunde.example", "kari@home.arpa", "kari@a.onion"),
        ],
    )
    def test_a_trap_is_read_alike_or_left_to_the_long_way(self, text: str) -> None:
        plain = fields.plain_email(text)

        assert plain is None or parts(plain) == read(text)

    @pytest.mark.parametrize("text", ["kari@kunde.example", "kari.nordmann+ski@kunde.no", "k_4-2@post.kunde.example"])
    def test_the_usual_address_is_read(self, text: str) -> None:
        plain = fields.plain_email(text)

        assert plain is not None
        assert plain.normal == text
