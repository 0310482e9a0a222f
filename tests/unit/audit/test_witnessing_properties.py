"""Whatever a witness is sent, in whatever order, all that it cosigns of a log is one history."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service.audit import witness_state, witnessing
from consent_service.audit.witnessing import Witness
from consent_service.crypto import notes
from tests.small_log import SmallLog

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)
LARGEST = 12
#: The honest log, and the same log with another history from here or there.
HISTORIES = [SmallLog(), *(SmallLog(fork_at=at) for at in (0, 1, 4, 7))]
SIZES = st.integers(0, LARGEST)
#: A history, the size that a witness is told to continue, the new size, and whether the proof is the right one.
POSTS = st.lists(st.tuples(st.sampled_from(HISTORIES), SIZES | st.none(), SIZES, st.booleans()), max_size=12)


@pytest.mark.rule("LOG-06")
class TestAnyRequests:
    @given(POSTS)
    def test_what_was_cosigned_is_one_history(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        posts: Sequence[tuple[SmallLog, int | None, int, bool]],
    ) -> None:
        folder = tmp_path_factory.mktemp("witness")
        cosigner = witness_state.open_cosigner(folder, name="witness.example/sister")
        witness = Witness(cosigner, folder, witnessing.watch([HISTORIES[0].vkey]))
        ticks = count()
        cosigned: list[tuple[int, SmallLog, int]] = []
        for log, old_size, size, has_proof in posts:
            known = cosigned[-1][0] if cosigned else 0
            old = known if old_size is None else old_size
            request = witnessing.format_request(
                old_size=old, proof=log.proof(old, size) if has_proof else (), note=log.note(size)
            )
            answer = witnessing.add_checkpoint(witness, request, now=lambda: NOON + timedelta(seconds=next(ticks)))
            if answer.status == HTTPStatus.OK:
                [signer] = notes.open_note(log.note(size) + answer.body, [cosigner.key]).signers
                cosigned.append((size, log, signer.timestamp or 0))

        for (size, log, earlier), (later_size, later_log, later) in pairwise(cosigned):
            assert size <= later_size
            assert log.root(size) == later_log.root(size)
            assert earlier < later

    @given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
    def test_nonsense_is_a_bad_request(self, tmp_path_factory: pytest.TempPathFactory, request_body: bytes) -> None:
        folder = tmp_path_factory.mktemp("witness")
        cosigner = witness_state.open_cosigner(folder, name="witness.example/sister")
        witness = Witness(cosigner, folder, witnessing.watch([HISTORIES[0].vkey]))

        answer = witnessing.add_checkpoint(witness, request_body, now=lambda: NOON)

        assert answer.status == HTTPStatus.BAD_REQUEST
