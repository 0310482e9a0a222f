"""A log asks its witnesses, and believes nothing that their keys did not sign."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from consent_service.audit import witness_client
from consent_service.cli.witness_server import WitnessServer
from consent_service.crypto import notes
from consent_service.crypto.notes import Cosigner, Signer, VerifierKey
from consent_service.errors import (
    WitnessAheadError,
    WitnessContradictsError,
    WitnessRefusedError,
    WitnessUnavailableError,
)
from tests.small_log import SmallLog
from tests.witnesses import a_witness, an_answer, post

LOG = SmallLog()
WITNESS = Cosigner("witness.example/sister", b"\x03" * 32)


def ask(
    url: str, key: VerifierKey, size: int, *, old_size: int, log: SmallLog = LOG, whole_seconds: float = 30
) -> Signer:
    return witness_client.ask(
        url,
        key,
        note=log.note(size),
        old_size=old_size,
        prove=lambda known: log.proof(known, size),
        step_seconds=5,
        whole_seconds=whole_seconds,
    )


def ask_server(server: WitnessServer, size: int, *, old_size: int, log: SmallLog = LOG) -> Signer:
    return ask(server.url, server.witness.cosigner.key, size, old_size=old_size, log=log)


@pytest.mark.rule("LOG-06")
class TestAsk:
    def test_a_checkpoint_comes_back_cosigned(self, tmp_path: Path) -> None:
        with a_witness(tmp_path, LOG.vkey) as server:
            signer = ask_server(server, 3, old_size=0)

            note = LOG.note(3) + signer.line
            assert signer.key == server.witness.cosigner.key
            assert signer.timestamp is not None
            assert len(notes.open_note(note, [LOG.signer.key, signer.key]).signers) == 2

    def test_each_size_continues_the_one_before(self, tmp_path: Path) -> None:
        with a_witness(tmp_path, LOG.vkey) as server:
            signers = [ask_server(server, size, old_size=old) for old, size in ((0, 0), (0, 3), (3, 8), (8, 8))]

            assert len(signers) == 4

    @pytest.mark.parametrize("believed", [0, 2, 8])
    def test_a_witness_that_knows_another_size_is_asked_from_there(self, tmp_path: Path, believed: int) -> None:
        with a_witness(tmp_path, LOG.vkey) as server:
            post(server.url, LOG.request(0, 3))

            assert ask_server(server, 8, old_size=believed).key == server.witness.cosigner.key

    def test_one_that_has_lost_its_memory_begins_anew(self, tmp_path: Path) -> None:
        with a_witness(tmp_path, LOG.vkey) as server:
            assert ask_server(server, 8, old_size=3).key == server.witness.cosigner.key

    def test_the_prefix_of_a_witness_may_be_a_path(self, tmp_path: Path) -> None:
        with a_witness(tmp_path, LOG.vkey) as server, pytest.raises(WitnessRefusedError, match="404"):
            ask(f"{server.url}/nowhere/", server.witness.cosigner.key, 3, old_size=0)

    def test_a_rewritten_history_finds_no_witness(self, tmp_path: Path) -> None:
        fork = SmallLog(fork_at=2)
        with a_witness(tmp_path, LOG.vkey) as server:
            post(server.url, LOG.request(0, 3))

            for size, old_size in ((3, 3), (3, 0), (8, 3), (8, 0)):
                with pytest.raises(WitnessContradictsError):
                    ask_server(server, size, old_size=old_size, log=fork)

    @pytest.mark.parametrize("believed", [0, 3, 8])
    def test_a_log_that_lost_entries_hears_how_many_there_were(self, tmp_path: Path, believed: int) -> None:
        with a_witness(tmp_path, LOG.vkey) as server:
            post(server.url, LOG.request(0, 8))

            with pytest.raises(WitnessAheadError) as caught:
                ask_server(server, 3, old_size=believed)

            assert caught.value.size == 8

    def test_a_witness_that_does_not_watch_the_log_refuses(self, tmp_path: Path) -> None:
        with a_witness(tmp_path, LOG.vkey) as server:
            with pytest.raises(WitnessRefusedError, match="404"):
                ask_server(server, 3, old_size=0, log=SmallLog("log.example/log/ctl_stranger"))
            with pytest.raises(WitnessRefusedError, match="403"):
                ask_server(server, 3, old_size=0, log=SmallLog(seed=b"\x09" * 32))

    def test_another_key_s_cosignature_is_none(self, tmp_path: Path) -> None:
        with a_witness(tmp_path, LOG.vkey) as server, pytest.raises(WitnessUnavailableError, match="without its valid"):
            ask(server.url, WITNESS.key, 3, old_size=0)


GOOD = WITNESS.cosign(LOG.note(3).partition("\n\n")[0] + "\n", timestamp=1).encode()
OTHER = WITNESS.cosign(LOG.note(8).partition("\n\n")[0] + "\n", timestamp=1).encode()


class TestAnswersThatAreNone:
    def test_the_right_one_would_be_taken(self) -> None:
        with an_answer(200, "— somebody AAAAAAA=\n".encode() + GOOD) as url:
            assert ask(url, WITNESS.key, 3, old_size=0).line == GOOD.decode()

    @pytest.mark.parametrize(
        ("status", "body", "content_type", "expected"),
        [
            (200, b"", "text/plain", WitnessUnavailableError),
            (200, OTHER, "text/plain", WitnessUnavailableError),
            (200, GOOD[:-1], "text/plain", WitnessUnavailableError),
            (200, GOOD + b"nonsense\n", "text/plain", WitnessUnavailableError),
            (200, GOOD + OTHER, "text/plain", WitnessUnavailableError),
            (200, b"\xff", "text/plain", WitnessUnavailableError),
            (200, b"A" * (witness_client.MAX_ANSWER_BYTES + 1), "text/plain", WitnessUnavailableError),
            (302, GOOD, "text/plain", WitnessUnavailableError),
            (429, b"", "text/plain", WitnessUnavailableError),
            (500, GOOD, "text/plain", WitnessUnavailableError),
            (400, b"", "text/plain", WitnessRefusedError),
            (422, b"", "text/plain", WitnessContradictsError),
            (409, b"", "text/x.tlog.size", WitnessUnavailableError),
            (409, b"2\n", "text/plain", WitnessUnavailableError),
            (409, b"02\n", "text/x.tlog.size", WitnessUnavailableError),
            (409, b"-1\n", "text/x.tlog.size", WitnessUnavailableError),
            (409, b"0\n", "text/x.tlog.size", WitnessUnavailableError),
            (409, b"2\n", "text/x.tlog.size; charset=utf-8", WitnessUnavailableError),
            (409, b"4\n", "text/x.tlog.size", WitnessAheadError),
            (409, b"3\n", "text/x.tlog.size", WitnessContradictsError),
        ],
    )
    def test_each_is_an_error(self, status: int, body: bytes, content_type: str, expected: type[Exception]) -> None:
        with an_answer(status, body, content_type) as url, pytest.raises(expected):
            ask(url, WITNESS.key, 3, old_size=0)

    def test_an_objection_to_the_same_size_is_one_to_the_root_even_without_a_size(self) -> None:
        with an_answer(409, b"conflict\n") as url, pytest.raises(WitnessContradictsError):
            ask(url, WITNESS.key, 3, old_size=3)

    def test_one_that_never_ends_is_not_waited_for(self) -> None:
        stop = threading.Event()
        with an_answer(200, b"A" * 60_000, delay=stop) as url:
            try:
                with pytest.raises(WitnessUnavailableError):
                    ask(url, WITNESS.key, 3, old_size=0, whole_seconds=0.3)
            finally:
                stop.set()

    def test_nobody_who_listens_is_unavailable(self) -> None:
        with pytest.raises(WitnessUnavailableError, match="ConnectionRefusedError"):
            ask("http://127.0.0.1:9", WITNESS.key, 3, old_size=0)

    def test_what_does_not_speak_tls_is_unavailable(self) -> None:
        with an_answer(200, GOOD) as url, pytest.raises(WitnessUnavailableError, match="SSLError"):
            ask(url.replace("http:", "https:"), WITNESS.key, 3, old_size=0)

    @pytest.mark.parametrize(
        "url", ["http://witness.example", "ftp://witness.example", "https://u:p@witness.example", ""]
    )
    def test_nobody_is_asked_in_the_open(self, url: str) -> None:
        with pytest.raises(WitnessUnavailableError, match="over https"):
            ask(url, WITNESS.key, 3, old_size=0)

    def test_a_proof_is_asked_for_only_where_there_is_something_to_prove(self) -> None:
        asked: list[int] = []

        def prove(known: int) -> Sequence[bytes]:
            asked.append(known)
            return LOG.proof(known, 3)

        remember: Callable[[int], Sequence[bytes]] = prove
        with an_answer(409, b"2\n", "text/x.tlog.size") as url, pytest.raises(WitnessUnavailableError):
            witness_client.ask(url, WITNESS.key, note=LOG.note(3), old_size=0, prove=remember)

        assert asked == [2]
