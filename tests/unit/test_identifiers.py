"""Ids keep their bits, tell their kind, and are ordered by time where that is wanted."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service import identifiers
from consent_service.errors import IdentifierInvalidError

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)


class TestNewId:
    @pytest.mark.parametrize("prefix", sorted(identifiers.PREFIXES))
    def test_every_kind_reads_back_to_the_same_text(self, prefix: str) -> None:
        text = identifiers.new_id(prefix, at=NOON)

        value = identifiers.to_uuid(text, prefix)

        assert identifiers.from_uuid(value, prefix) == text
        assert len(text) == len(prefix) + 27
        assert text[len(prefix) + 1] in "01234567"

    @pytest.mark.parametrize("prefix", ["sub", "frm", "req"])
    def test_ids_of_people_forms_and_requests_do_not_tell_the_time(self, prefix: str) -> None:
        first_bits = {identifiers.to_uuid(identifiers.new_id(prefix), prefix).int >> 80 for _ in range(20)}

        assert len(first_bits) == 20

    def test_other_ids_are_uuid_version_7_of_the_given_millisecond(self) -> None:
        value = identifiers.to_uuid(identifiers.new_id("con", at=NOON), "con")

        assert value.version == 7
        assert value.variant == uuid.RFC_4122
        assert value.int >> 80 == int(NOON.timestamp()) * 1000

    def test_a_later_id_sorts_after_an_earlier_one(self) -> None:
        moments = [NOON + timedelta(milliseconds=step) for step in range(50)]

        texts = [identifiers.new_id("led", at=at) for at in moments]

        assert texts == sorted(texts)

    def test_ids_of_one_millisecond_differ(self) -> None:
        texts = {identifiers.new_id("aud", at=NOON) for _ in range(100)}

        assert len(texts) == 100

    def test_a_time_ordered_id_without_a_time_is_refused(self) -> None:
        with pytest.raises(ValueError, match="need `at`"):
            identifiers.new_id("con")

    def test_a_time_without_a_zone_is_refused(self) -> None:
        with pytest.raises(ValueError, match="time zone"):
            identifiers.new_id("con", at=NOON.replace(tzinfo=None))

    def test_a_time_before_1970_is_refused(self) -> None:
        with pytest.raises(ValueError, match="outside"):
            identifiers.new_id("con", at=datetime(1969, 12, 31, tzinfo=UTC))

    def test_an_unknown_kind_is_refused(self) -> None:
        with pytest.raises(ValueError, match="names no kind"):
            identifiers.new_id("usr", at=NOON)


class TestToUuid:
    @given(number=st.integers(min_value=0, max_value=(1 << 128) - 1))
    def test_every_uuid_survives_the_round_trip(self, number: int) -> None:
        value = uuid.UUID(int=number)

        text = identifiers.from_uuid(value, "sub")

        assert identifiers.to_uuid(text, "sub") == value
        assert identifiers.to_uuid(f"sub_{text[4:].lower()}", "sub") == value

    def test_letters_that_look_like_digits_are_read_as_digits(self) -> None:
        plain = identifiers.to_uuid("sub_01010101010101010101010101", "sub")

        for zero, one in [("O", "I"), ("o", "i"), ("0", "L"), ("O", "l")]:
            assert identifiers.to_uuid(f"sub_{(zero + one) * 13}", "sub") == plain

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "sub_",
            "sub",
            "con_01010101010101010101010101",
            "SUB_01010101010101010101010101",
            "sub-01010101010101010101010101",
            "sub_0101010101010101010101010",
            "sub_010101010101010101010101011",
            "sub_0101010101010101010101010U",
            "sub_0101010101010101010101010-",
            "sub_0101010101010101010101010٣",
            "sub_0101010101010101010101010\0",
            "sub_0101010101010101010101010\ud800",
            "sub_80000000000000000000000000",
            " sub_0101010101010101010101010",
            "sub_sub_0101010101010101010101",
        ],
    )
    def test_anything_else_is_refused_without_being_repeated(self, text: str) -> None:
        with pytest.raises(IdentifierInvalidError) as refused:
            identifiers.to_uuid(text, "sub")

        assert refused.value.code == "identifier_invalid"
        assert len(text) < 5 or text not in str(refused.value)

    def test_it_is_a_value_error(self) -> None:
        with pytest.raises(ValueError, match="begins with sub_"):
            identifiers.to_uuid("anna@post.example", "sub")


class TestLowestId:
    def test_it_parts_what_was_made_before_a_millisecond_from_what_came_then_or_later(self) -> None:
        moment = datetime(2026, 3, 2, 12, 0, 0, 1000, tzinfo=UTC)

        lowest = identifiers.lowest_id("aud", at=moment)

        assert identifiers.new_id("aud", at=moment - timedelta(microseconds=1)) < lowest
        assert lowest <= identifiers.new_id("aud", at=moment)
        assert lowest == identifiers.lowest_id("aud", at=moment + timedelta(microseconds=999))

    def test_times_that_no_id_can_tell_stand_at_either_end(self) -> None:
        now = identifiers.new_id("aud", at=datetime(2026, 3, 2, tzinfo=UTC))

        assert identifiers.lowest_id("aud", at=datetime(1, 1, 1, tzinfo=UTC)) == "aud_" + "0" * 26
        assert identifiers.lowest_id("aud", at=datetime(9999, 12, 31, tzinfo=UTC)) > now


class TestFormId:
    @given(tag=st.integers(min_value=0, max_value=(1 << 32) - 1))
    def test_it_carries_the_tag_of_its_controller(self, tag: int) -> None:
        form_id = identifiers.new_form_id(tag)

        assert identifiers.form_controller_tag(form_id) == tag

    def test_two_forms_of_one_controller_differ(self) -> None:
        assert identifiers.new_form_id(7) != identifiers.new_form_id(7)

    @pytest.mark.parametrize("tag", [-1, 1 << 32])
    def test_a_tag_of_more_than_32_bits_is_refused(self, tag: int) -> None:
        with pytest.raises(ValueError, match="32 bits"):
            identifiers.new_form_id(tag)

    def test_a_tag_is_not_read_from_an_id_of_another_kind(self) -> None:
        with pytest.raises(IdentifierInvalidError):
            identifiers.form_controller_tag(identifiers.new_id("sub"))
