"""What the load generators are made of."""

import math
import uuid

import pytest

from bench import closed_loop, open_loop, people
from bench.open_loop import Answers
from bench.people import Story
from consent_service import identifiers
from consent_service.subjects import fields


class TestPeople:
    def test_nobody_shares_an_id(self) -> None:
        assert len({people.subject_hex(number) for number in range(10_000)}) == 10_000

    def test_an_id_reads_as_one_of_ours(self) -> None:
        text = identifiers.from_uuid(uuid.UUID(people.subject_hex(people.MOST)), "sub")

        assert identifiers.to_uuid(text, "sub").hex == people.subject_hex(people.MOST)

    def test_products_stay_exact_where_lua_counts_in_floating_point(self) -> None:
        assert people.MOST * max(people.MULTIPLIERS) < 2**53

    def test_an_address_is_written_as_it_is_compared(self) -> None:
        assert fields.parse_email(people.email(7)).normal == people.email(7)

    def test_one_in_a_hundred_has_each_story(self) -> None:
        told = [people.story(number) for number in range(1000)]

        assert {told.count(story) for story in Story if story is not Story.STAYED} == {10}

    def test_nobody_is_merged_with_somebody_who_is_merged_too(self) -> None:
        merged = [number for number in range(1000) if people.story(number) is Story.MERGED]

        assert {people.story(number + 1) for number in merged} == {Story.STAYED}


class TestWrkCounts:
    def test_they_become_a_rate_and_milliseconds(self) -> None:
        counted = {
            "requests": 500,
            "microseconds": 250_000,
            "p50_us": 1500,
            "p99_us": 20_000,
            "refused": 1,
            "broken": 2,
        }

        run = closed_loop.read(counted)

        assert (run.rate, run.p50, run.p99, run.refused, run.broken) == (2000.0, 1.5, 20.0, 1, 2)


class TestAnswers:
    def test_what_was_never_answered_counts_as_slowest(self) -> None:
        answers = Answers(times=(1.0,) * 98, refused=0, missing=2)

        assert answers.percentile(0.5) == 1.0
        assert answers.percentile(0.99) == math.inf


class TestWholeAnswers:
    @pytest.mark.parametrize(
        ("received", "expected"),
        [
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n", False),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{", False),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", True),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", False),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", True),
        ],
    )
    def test_an_answer_is_whole_when_its_last_byte_is_there(self, received: bytes, *, expected: bool) -> None:
        assert open_loop.is_whole(received) is expected
