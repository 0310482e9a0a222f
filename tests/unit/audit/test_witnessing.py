"""A witness cosigns what continues all it has seen of a log, and nothing else."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service.audit import merkle, witness_state, witnessing
from consent_service.audit.checkpoints import Checkpoint
from consent_service.audit.witnessing import Answer, Witness
from consent_service.crypto import notes
from consent_service.crypto.notes import Cosigner, NoteSigner, VerifierKey
from consent_service.errors import VerifierKeyInvalidError, WitnessFolderError
from tests.small_log import ORIGIN, SmallLog

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)
LOG = SmallLog()
OTHER = SmallLog("log.example/log/ctl_other", b"\x02" * 32)
NAME = "witness.example/sister"

#: A line of a proof that is a hash, and what can be wrong with a request for 3 to 8.
HASH_LINE = b"A" * 43 + b"=\n"
SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "no text": lambda _: b"\xff\xfe",
    "no checkpoint": lambda _: b"old 0\n\n",
    "a leading zero": lambda request: request.replace(b"old 3", b"old 03"),
    "a negative size": lambda request: request.replace(b"old 3", b"old -3"),
    "two spaces": lambda request: request.replace(b"old 3", b"old  3"),
    "capitals": lambda request: request.replace(b"old 3", b"OLD 3"),
    "a digit of another script": lambda request: request.replace(b"old 3", "old ٣".encode()),
    "a size beyond all logs": lambda request: request.replace(b"old 3", b"old 99999999999999999999"),
    "a carriage return": lambda request: request.replace(b"old 3\n", b"old 3\r\n"),
    "a hash that is none": lambda request: request.replace(b"old 3\n", b"old 3\nnonsense\n"),
    "a short hash": lambda request: request.replace(b"old 3\n", b"old 3\nAAAA\n"),
    "too many hashes": lambda request: request.replace(b"old 3\n", b"old 3\n" + HASH_LINE * 64),
    "no empty line": lambda request: request.replace(b"=\n\nlog", b"=\nlog"),
    "no last newline": lambda request: request[:-1],
    "a zero before the size": lambda request: request.replace(b"\n8\n", b"\n08\n"),
    "a size in words": lambda request: request.replace(b"\n8\n", b"\nmany\n"),
    "too large": lambda request: request + b"\x00" * witnessing.MAX_REQUEST_BYTES,
}
DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda content: content[:-1],
    "cut short": lambda content: content[:10],
    "another size": lambda content: content.replace(b"\n3\n", b"\n2\n"),
    "a line more": lambda content: content + b"\n",
}


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return a_witness(tmp_path)


def a_witness(folder: Path) -> Witness:
    cosigner = witness_state.open_cosigner(folder, name=NAME)
    return Witness(cosigner, folder, witnessing.watch([LOG.vkey, OTHER.vkey]))


def post(witness: Witness, request: bytes) -> Answer:
    return witnessing.add_checkpoint(witness, request, now=lambda: NOON)


def post_at_once(witnesses: list[Witness], *, first: bytes, both: list[bytes]) -> list[HTTPStatus]:
    gate = Barrier(2)

    def wait_and_post(witness: Witness, request: bytes) -> HTTPStatus:
        gate.wait(timeout=10)
        return post(witness, request).status

    post(witnesses[0], first)
    with ThreadPoolExecutor(2) as pool:
        return sorted(pool.map(wait_and_post, witnesses, both))


def conflict(known: int) -> tuple[HTTPStatus, str, str]:
    return HTTPStatus.CONFLICT, "text/x.tlog.size", f"{known}\n"


def said(answer: Answer) -> tuple[HTTPStatus, str, str]:
    return answer.status, answer.content_type, answer.body


def evidence(witness: Witness) -> list[str]:
    return sorted(path.read_text() for path in (witness.folder / "evidence").rglob("*.note"))


@pytest.mark.rule("LOG-06")
class TestAddCheckpoint:
    def test_it_cosigns_the_first_checkpoint_it_sees(self, witness: Witness) -> None:
        answer = post(witness, LOG.request(0, 3))

        note = LOG.note(3) + answer.body
        opened = notes.open_note(note, [LOG.signer.key, witness.cosigner.key])
        assert answer.status == HTTPStatus.OK
        assert [signer.timestamp for signer in opened.signers] == [None, int(NOON.timestamp())]

    def test_it_cosigns_each_that_continues_the_last(self, witness: Witness) -> None:
        sizes = [0, 0, 1, 2, 3, 3, 8, 9, 64, 65, 254, 255]

        answers = [post(witness, LOG.request(old, size)) for old, size in pairwise(sizes)]

        assert [answer.status for answer in answers] == [HTTPStatus.OK] * 11

    def test_the_same_again_is_cosigned_again(self, witness: Witness) -> None:
        post(witness, LOG.request(0, 3))

        assert post(witness, LOG.request(3, 3)).status == HTTPStatus.OK

    def test_logs_are_kept_apart(self, witness: Witness) -> None:
        post(witness, LOG.request(0, 8))

        assert post(witness, OTHER.request(0, 3)).status == HTTPStatus.OK
        assert said(post(witness, LOG.request(0, 8))) == conflict(8)
        assert said(post(witness, OTHER.request(0, 3))) == conflict(3)

    def test_a_log_that_is_not_watched_is_not_found(self, witness: Witness) -> None:
        stranger = SmallLog("log.example/log/ctl_stranger")

        assert post(witness, stranger.request(0, 3)).status == HTTPStatus.NOT_FOUND

    def test_what_the_log_did_not_sign_is_forbidden(self, witness: Witness) -> None:
        impostor = SmallLog(seed=b"\x09" * 32)
        borrowed = LOG.request(0, 3).replace(b"\n3\n", b"\n4\n")

        assert post(witness, impostor.request(0, 3)).status == HTTPStatus.FORBIDDEN
        assert post(witness, borrowed).status == HTTPStatus.FORBIDDEN

    def test_another_log_s_key_signs_nothing_for_this_log(self, witness: Witness) -> None:
        text = Checkpoint(LOG.origin, 3, LOG.root(3)).text()
        request = witnessing.format_request(old_size=0, proof=(), note=OTHER.signer.sign(text))

        assert post(witness, request).status == HTTPStatus.FORBIDDEN

    def test_an_old_size_above_the_checkpoint_s_is_a_bad_request(self, witness: Witness) -> None:
        post(witness, LOG.request(0, 8))

        assert post(witness, LOG.request(8, 3)).status == HTTPStatus.BAD_REQUEST

    def test_an_old_size_that_is_not_the_last_is_told_the_last(self, witness: Witness) -> None:
        assert said(post(witness, LOG.request(3, 8))) == conflict(0)

        post(witness, LOG.request(0, 5))

        assert said(post(witness, LOG.request(0, 8))) == conflict(5)
        assert said(post(witness, LOG.request(3, 3))) == conflict(5)
        assert said(post(witness, LOG.request(6, 8))) == conflict(5)

    @pytest.mark.rule("LOG-12")
    def test_another_tree_of_the_same_size_is_a_conflict_and_is_kept(self, witness: Witness) -> None:
        fork = SmallLog(fork_at=2)
        post(witness, LOG.request(0, 3))

        answer = post(witness, fork.request(3, 3))

        assert said(answer) == conflict(3)
        assert answer.is_fork
        assert evidence(witness) == sorted([LOG.note(3), fork.note(3)])
        assert post(witness, LOG.request(3, 8)).status == HTTPStatus.OK

    @pytest.mark.rule("LOG-12")
    def test_a_larger_tree_of_another_history_is_not_cosigned(self, witness: Witness) -> None:
        fork = SmallLog(fork_at=2)
        post(witness, LOG.request(0, 3))

        answer = post(witness, fork.request(3, 8))

        assert answer.status == HTTPStatus.UNPROCESSABLE_ENTITY
        assert evidence(witness) == [fork.note(8)]
        assert said(post(witness, LOG.request(0, 8))) == conflict(3)

    def test_an_empty_log_is_a_log(self, witness: Witness) -> None:
        assert post(witness, LOG.request(0, 0)).status == HTTPStatus.OK
        assert post(witness, LOG.request(0, 3)).status == HTTPStatus.OK

    def test_a_proof_where_there_is_nothing_to_prove_is_refused(self, witness: Witness) -> None:
        needless = witnessing.format_request(old_size=0, proof=[b"\x00" * 32], note=LOG.note(3))
        assert post(witness, needless).status == HTTPStatus.UNPROCESSABLE_ENTITY
        post(witness, LOG.request(0, 3))

        again = witnessing.format_request(old_size=3, proof=[b"\x00" * 32], note=LOG.note(3))

        assert post(witness, again).status == HTTPStatus.UNPROCESSABLE_ENTITY

    def test_a_missing_or_cut_proof_is_refused(self, witness: Witness) -> None:
        post(witness, LOG.request(0, 3))
        proof = LOG.proof(3, 8)

        for part in ((), proof[:-1], proof[1:], (*proof, proof[0]), tuple(reversed(proof))):
            request = witnessing.format_request(old_size=3, proof=part, note=LOG.note(8))
            assert post(witness, request).status == HTTPStatus.UNPROCESSABLE_ENTITY

    @pytest.mark.parametrize("how", SPOILED)
    def test_what_has_another_form_is_a_bad_request(self, witness: Witness, how: str) -> None:
        post(witness, LOG.request(0, 3))

        answer = post(witness, SPOILED[how](LOG.request(3, 8)))

        assert answer.status == HTTPStatus.BAD_REQUEST
        assert said(post(witness, LOG.request(0, 8))) == conflict(3)

    def test_sixty_three_hashes_are_read(self, witness: Witness) -> None:
        request = witnessing.format_request(old_size=0, proof=[b"\x00" * 32] * 63, note=LOG.note(8))

        assert post(witness, request).status == HTTPStatus.UNPROCESSABLE_ENTITY

    def test_lines_of_others_on_the_note_mean_nothing_and_are_not_kept(self, witness: Witness) -> None:
        request = LOG.request(0, 3) + b"\xe2\x80\x94 somebody AAAAAAA=\n"

        assert post(witness, request).status == HTTPStatus.OK
        assert witness_state.find_latest(witness.folder, ORIGIN) == LOG.note(3)

    def test_further_lines_of_a_checkpoint_are_cosigned_with_it(self, witness: Witness) -> None:
        text = Checkpoint(ORIGIN, 3, LOG.root(3), ("more",)).text()
        note = LOG.signer.sign(text)

        answer = post(witness, witnessing.format_request(old_size=0, proof=(), note=note))

        assert notes.open_note(note + answer.body, [witness.cosigner.key]).text == text

    def test_a_log_may_have_a_new_key_beside_the_old(self, tmp_path: Path) -> None:
        successor = SmallLog(seed=b"\x07" * 32)
        cosigner = witness_state.open_cosigner(tmp_path, name=NAME)
        post(Witness(cosigner, tmp_path, witnessing.watch([LOG.vkey])), LOG.request(0, 3))
        witness = Witness(cosigner, tmp_path, witnessing.watch([LOG.vkey, successor.vkey, LOG.vkey]))

        assert post(witness, successor.request(3, 8)).status == HTTPStatus.OK
        assert post(witness, LOG.request(8, 9)).status == HTTPStatus.OK

    @given(st.integers(0, len(LOG.request(3, 8)) * 8 - 1))
    def test_no_bit_of_a_request_can_change(self, tmp_path_factory: pytest.TempPathFactory, bit: int) -> None:
        witness = a_witness(tmp_path_factory.mktemp("witness"))
        post(witness, LOG.request(0, 3))
        changed = bytearray(LOG.request(3, 8))
        changed[bit // 8] ^= 1 << bit % 8

        answer = post(witness, bytes(changed))

        assert answer.status != HTTPStatus.OK
        assert said(post(witness, LOG.request(0, 8))) == conflict(3)


class TestMemory:
    def test_it_outlives_the_process(self, tmp_path: Path) -> None:
        post(a_witness(tmp_path), LOG.request(0, 3))

        witness = a_witness(tmp_path)

        assert said(post(witness, LOG.request(0, 8))) == conflict(3)
        assert post(witness, LOG.request(3, 8)).status == HTTPStatus.OK

    def test_nothing_is_cosigned_that_cannot_be_kept(self, witness: Witness) -> None:
        post(witness, LOG.request(0, 3))
        [kept] = (witness.folder / "state").glob("*.checkpoint")
        kept.with_name(f".{kept.name}.new").mkdir()

        with pytest.raises(WitnessFolderError):
            post(witness, LOG.request(3, 8))

        assert witness_state.find_latest(witness.folder, ORIGIN) == LOG.note(3)

    @pytest.mark.parametrize("how", DAMAGED)
    def test_a_damaged_memory_stops_it(self, witness: Witness, how: str) -> None:
        post(witness, LOG.request(0, 3))
        [kept] = (witness.folder / "state").glob("*.checkpoint")
        kept.write_bytes(DAMAGED[how](kept.read_bytes()))

        with pytest.raises(WitnessFolderError):
            post(witness, LOG.request(0, 8))

    def test_another_log_s_memory_is_no_memory_of_this_one(self, witness: Witness) -> None:
        post(witness, OTHER.request(0, 3))
        [others] = (witness.folder / "state").glob("*.checkpoint")
        post(witness, LOG.request(0, 8))
        [ours] = set((witness.folder / "state").glob("*.checkpoint")) - {others}
        ours.write_bytes(others.read_bytes())

        with pytest.raises(WitnessFolderError):
            post(witness, LOG.request(0, 8))

    def test_a_fork_is_refused_even_where_no_evidence_can_be_kept(self, witness: Witness) -> None:
        post(witness, LOG.request(0, 3))
        (witness.folder / "evidence").write_text("in the way")

        assert said(post(witness, SmallLog(fork_at=2).request(3, 3))) == conflict(3)

    def test_evidence_without_proof_has_an_end_and_forks_have_none(self, witness: Witness) -> None:
        post(witness, LOG.request(0, 3))

        for number in range(witness_state.MOST_UNPROVED + 5):
            fork = SmallLog(fork_at=2, seed=LOG.seed)
            request = witnessing.format_request(old_size=3, proof=(), note=fork.note(4 + number))
            assert post(witness, request).status == HTTPStatus.UNPROCESSABLE_ENTITY
        post(witness, SmallLog(fork_at=2).request(3, 3))

        assert len(evidence(witness)) == witness_state.MOST_UNPROVED + 2

    @pytest.mark.rule("LOG-06")
    def test_of_two_histories_that_arrive_at_once_one_is_cosigned(self, tmp_path: Path) -> None:
        sizes = range(3, 23)

        # Two witnesses over one folder stand for two processes: the lock is the kernel's.
        outcomes = [
            post_at_once(
                [a_witness(tmp_path / str(size)) for _ in range(2)],
                first=LOG.request(0, size),
                both=[LOG.request(size, size + 2), SmallLog(fork_at=size).request(size, size + 2)],
            )
            for size in sizes
        ]

        assert outcomes == [[HTTPStatus.OK, HTTPStatus.CONFLICT]] * len(sizes)


class TestWatch:
    def test_a_witness_s_key_is_no_log_s(self) -> None:
        with pytest.raises(VerifierKeyInvalidError):
            witnessing.watch([Cosigner("log.example/log/acme", b"\x05" * 32).vkey])

    def test_keys_are_kept_by_origin(self) -> None:
        first, second = NoteSigner("a", b"\x01" * 32).key, NoteSigner("a", b"\x02" * 32).key
        third = NoteSigner("b", b"\x01" * 32).key

        found: dict[str, tuple[VerifierKey, ...]] = witnessing.watch([first.vkey, second.vkey, third.vkey, first.vkey])

        assert found == {"a": (first, second), "b": (third,)}


def test_the_empty_tree_is_where_every_log_begins() -> None:
    assert LOG.root(0) == merkle.EMPTY_ROOT
