"""Entries of a stream are found wherever a batch placed them, and what is missing is missed."""

import random
from collections.abc import Sequence

import pytest

from consent_service.audit.standalone_verifier.findings import Findings
from consent_service.audit.standalone_verifier.streams import Streams
from tests.bundles import Entry, Writer

ENTRIES = Writer().entries(12, streams=1)


def _found(
    opened: Sequence[Entry], *, closed: Sequence[Entry] = (), is_evidence: bool = False, unsupplied: int = 0
) -> list[str | None]:
    """Return the entries that are found to follow nothing; what is closed stands before the others."""
    findings = Findings()
    streams = Streams(findings, is_evidence=is_evidence)
    streams.unsupplied = unsupplied
    for entry in closed:
        streams.close(entry.commit.encode())
    for index, entry in enumerate(opened):
        number = ENTRIES.index(entry) + 1
        previous = ENTRIES[number - 2].commit if number > 1 else None
        streams.follow("subject:0", number, previous, entry.commit.encode(), place=(index, entry.id, 1))
    streams.finish()
    return [finding["entry"] for finding in findings.shown]


class TestStreams:
    def test_they_are_whole_in_any_order(self) -> None:
        chance = random.Random(12)  # noqa: S311 - tests must be the same tomorrow
        orders = [chance.sample(ENTRIES, len(ENTRIES)) for _ in range(200)]

        assert [_found(order) for order in (ENTRIES, ENTRIES[::-1], *orders)] == [[]] * 202

    def test_entries_between_may_be_closed_in_any_order(self) -> None:
        chance = random.Random(13)  # noqa: S311 - tests must be the same tomorrow
        for _ in range(200):
            order = chance.sample(ENTRIES, len(ENTRIES))
            count = chance.randrange(12)

            assert _found(order[count:], closed=order[:count]) == []

    @pytest.mark.parametrize("missing", range(11))
    @pytest.mark.rule("LOG-12")
    def test_the_one_behind_a_missing_one_is_named(self, missing: int) -> None:
        opened = [entry for at, entry in enumerate(ENTRIES) if at != missing]

        assert _found(opened) == _found(opened[::-1]) == [ENTRIES[missing + 1].id]

    def test_evidence_may_begin_anywhere(self) -> None:
        assert _found(ENTRIES[4:], is_evidence=True) == _found(ENTRIES[:3:-1], is_evidence=True) == []
        assert _found([*ENTRIES[4:6], *ENTRIES[7:]], is_evidence=True) == [ENTRIES[7].id]

    @pytest.mark.rule("LOG-12")
    def test_a_number_is_there_once(self) -> None:
        assert _found([*ENTRIES, ENTRIES[3]]) == [ENTRIES[3].id]
        assert _found([ENTRIES[5], ENTRIES[5], *ENTRIES[:5], *ENTRIES[6:]]) == [ENTRIES[5].id]

    def test_so_many_may_be_missing_as_a_recovery_says(self) -> None:
        assert _found([*ENTRIES[:4], *ENTRIES[6:]], unsupplied=2) == []
        assert _found([*ENTRIES[:4], *ENTRIES[7:]], unsupplied=2) == [ENTRIES[7].id]
