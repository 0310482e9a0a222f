"""Equal values have one spelling, the one that RFC 8785 gives them."""

import hashlib
import hmac
import json
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service.crypto import canonical

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(min_value=-(2**53) + 1, max_value=2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


class Channel(StrEnum):
    EMAIL = "email"


class TestCanonicalJson:
    def test_keys_are_sorted_by_utf_16_code_units(self) -> None:
        # The example of RFC 8785 §3.2.3.
        value = {
            "\u20ac": "Euro Sign",
            "\r": "Carriage Return",
            "\ufb33": "Hebrew Letter Dalet With Dagesh",
            "1": "One",
            "\U0001f600": "Emoji: Grinning Face",
            "\u0080": "Control",
            "\u00f6": "Latin Small Letter O With Diaeresis",
        }

        written = json.loads(canonical.canonical_json(value))

        assert list(written.values()) == [
            "Carriage Return",
            "One",
            "Control",
            "Latin Small Letter O With Diaeresis",
            "Euro Sign",
            "Emoji: Grinning Face",
            "Hebrew Letter Dalet With Dagesh",
        ]

    def test_text_and_literals_are_written_as_the_rfc_writes_them(self) -> None:
        # The example of RFC 8785 §3.2.2, without its numbers that are no integers.
        value = {
            "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"\u002f",
            "literals": [None, True, False],
        }

        assert canonical.canonical_json(value) == (
            b'{"literals":[null,true,false],"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
        )

    def test_control_characters_are_escaped_in_the_shortest_way(self) -> None:
        written = canonical.canonical_json("\b\t\n\f\r\0\x1f\x7f\u2028")

        assert written == b'"\\b\\t\\n\\f\\r\\u0000\\u001f\x7f\xe2\x80\xa8"'

    @pytest.mark.parametrize(
        ("value", "written"),
        [
            (0, b"0"),
            (-1, b"-1"),
            (2**53 - 1, b"9007199254740991"),
            (True, b"true"),
            ([], b"[]"),
            ({}, b"{}"),
            ({"b": {"d": 1, "c": 2}, "a": [3, 2]}, b'{"a":[3,2],"b":{"c":2,"d":1}}'),
            (Channel.EMAIL, b'"email"'),
        ],
    )
    def test_there_is_no_space_and_one_order(self, value: object, written: bytes) -> None:
        assert canonical.canonical_json(value) == written

    @given(value=VALUES)
    def test_it_reads_back_to_the_same_value_and_is_its_own_canonical_form(self, value: object) -> None:
        written = canonical.canonical_json(value)

        assert json.loads(written) == value
        assert canonical.canonical_json(json.loads(written)) == written

    @pytest.mark.parametrize("value", [1.0, float("nan"), (1,), {1: "x"}, b"x", {"x": 1.5}, {1}])
    def test_other_types_are_refused(self, value: object) -> None:
        with pytest.raises(TypeError):
            canonical.canonical_json(value)

    @pytest.mark.parametrize("value", [2**53, -(2**53), "\ud800", {"\udfff": 1}])
    def test_values_without_one_spelling_are_refused(self, value: object) -> None:
        with pytest.raises(ValueError, match=r"2\^53|surrogates"):
            canonical.canonical_json(value)


class TestCommitment:
    def test_it_is_the_keyed_hash_that_the_design_names(self) -> None:
        key, payload = b"e" * 32, b'{"type":"consent_given"}'

        committed = canonical.commitment(key, payload)

        assert committed == hmac.new(key, payload, hashlib.sha256).digest()
        assert canonical.commitment(b"f" * 32, payload) != committed

    def test_a_short_key_could_be_guessed_and_is_refused(self) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            canonical.commitment(b"short", b"payload")
