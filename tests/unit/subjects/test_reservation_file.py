"""A file of the register: read in every common spelling, and nothing of it is ever repeated."""

import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service.errors import InvalidInputError
from consent_service.subjects import fields, reservation_file
from consent_service.subjects.reservation_file import ReservationLine, WashKind

HERS = "+4740000001"


def read(text: str | bytes, *, kind: WashKind | None = None, region: str = "NO") -> list[ReservationLine]:
    stream = io.BytesIO(text.encode() if isinstance(text, str) else text)
    return list(reservation_file.open_file(stream, kind=kind).lines(region=region))


def refused(text: str | bytes, *, kind: WashKind | None = None) -> str:
    with pytest.raises(InvalidInputError) as raised:
        read(text, kind=kind)
    (problem,) = raised.value.problems
    assert "40000001" not in f"{problem} {raised.value}"
    return problem.code


class TestSpellings:
    @pytest.mark.parametrize(
        "text",
        [
            "phone,reserved,reserved_charity,certain\n+4740000001,1,0,1\n",
            "phone;reserved;reserved_charity;certain\n+4740000001;ja;nei;ja\n",
            "\ufeffPhone;Reserved;Reserved_charity;Certain\r\n400 00 001;Ja;NEI;true\r\n",
            'certain,phone,reserved_charity,reserved\nyes,"0047 40000001",no,yes',
            "phone,reserved,reserved_charity,certain\n\n+47 40 00 00 01,y,n,y\n  \n",
        ],
    )
    def test_each_says_the_same(self, text: str) -> None:
        (line,) = read(text)

        assert line.normal == HERS
        assert (line.reserved, line.reserved_charity, line.is_certain, line.is_broken) == (True, False, True, False)

    def test_a_foreign_number_is_read_too(self) -> None:
        assert [line.normal for line in read("phone\n+46 70 174 06 05\n")] == ["+46701740605"]

    def test_a_number_is_read_as_it_is_dialled_in_the_country(self) -> None:
        assert [line.normal for line in read("phone\n070-174 06 05\n", region="SE")] == ["+46701740605"]

    def test_an_address_with_commas_stands_in_quotes(self) -> None:
        (line,) = read('post,reserved\n"Storgata 1, 0155 Oslo",1\n')

        assert line.normal == fields.parse_post("Storgata 1, 0155 Oslo").normal

    @pytest.mark.rule("NO-10")
    def test_what_the_file_does_not_say_is_the_strictest(self) -> None:
        (line,) = read("phone\n+4740000001\n")

        assert (line.reserved, line.reserved_charity, line.is_certain) == (True, True, True)

    def test_of_two_kinds_the_wanted_one_is_read(self) -> None:
        text = "phone;post\n+4740000001;Storgata 1, 0155 Oslo\n"

        assert [line.normal for line in read(text, kind="phone")] == [HERS]
        assert [line.normal for line in read(text, kind="post")] == ["storgata 1 0155 oslo"]
        assert refused(text) == "kind_required"

    @given(number=st.integers(min_value=20_000_000, max_value=99_999_999), prefix=st.sampled_from(["", "+47", "0047"]))
    def test_the_short_way_reads_as_the_long_one(self, number: int, prefix: str) -> None:
        (line,) = read(f"phone\n{prefix}{number}\n")

        assert line.normal == f"+47{number}"


class TestBrokenLines:
    @pytest.mark.parametrize(
        "line",
        [
            "+4740000001",
            "+4740000001,1,0",
            "nobody,1",
            ",1",
            '"+4740000001,1',
            '"+4740000001"x,1',
        ],
    )
    def test_are_numbered_and_the_next_is_read(self, line: str) -> None:
        broken, whole = read(f"phone,reserved\n{line}\n+4740000002,1\n")

        assert (broken.number, broken.is_broken, broken.normal) == (2, True, None)
        assert (whole.number, whole.is_broken, whole.normal) == (3, False, "+4740000002")

    def test_bytes_that_are_no_utf_8(self) -> None:
        (line,) = read(b"post\nBl\xe5b\xe6rveien 3, 9000\n")

        assert (line.is_broken, line.normal) == (True, None)

    @pytest.mark.parametrize("flag", ["", "maybe", "2", "null"])
    def test_a_flag_that_says_nothing_is_the_strictest(self, flag: str) -> None:
        (line,) = read(f"phone,reserved,certain\n+4740000001,{flag},1\n")

        assert (line.is_broken, line.normal, line.reserved, line.is_certain) == (True, HERS, True, False)

    def test_its_repr_says_no_address(self) -> None:
        (line,) = read("phone\n+4740000001\n")

        assert "40000001" not in repr(line)


class TestFilesThatAreNone:
    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("", "column_unknown"),
            ("+4740000001;1\n+4740000002;1\n", "column_unknown"),
            ("phone;name\n", "column_unknown"),
            ("phone;reservd\n", "column_unknown"),
            ("phone;phone\n", "column_repeated"),
            ("reserved;certain\n", "kind_required"),
            ('"phone\n', "header_invalid"),
            ("phone\n".encode("utf-16"), "header_invalid"),
            ("phone\n" + "4" * 5_000, "line_too_long"),
        ],
    )
    def test_are_refused_by_name(self, text: str | bytes, code: str) -> None:
        assert refused(text) == code

    def test_a_kind_that_the_file_lacks(self) -> None:
        assert refused("phone\n+4740000001\n", kind="post") == "column_missing"


class TestHash:
    def test_it_is_that_of_the_whole_file(self) -> None:
        text = b"\xef\xbb\xbfphone\r\n+4740000001\r\n"
        opened = reservation_file.open_file(io.BytesIO(text))

        list(opened.lines(region="NO"))

        assert opened.sha256() == hashlib.sha256(text).hexdigest()
        assert opened.bytes_read == len(text)
