"""What was answered ends in the decision log: once, whole, and whatever dies on the way."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from consent_service import identifiers
from consent_service.cli import decision_mover
from consent_service.consent import spool as spools
from consent_service.consent.spool import Spool
from consent_service.crypto.keyring import Keyring
from consent_service.db.session import Database, make_engine
from tests.builders import NOON
from tests.decisions import ENTRY, KARI, an_answer, answer_chunk, answer_single

ROOT = Path(__file__).resolve().parents[3]

MOVE_FOR_EVER = """
import os, sys
from pathlib import Path
from consent_service.cli import decision_mover
from consent_service.crypto import keyring
from consent_service.db.session import Database, make_engine
decision_mover.SLICE = 1
database = Database(make_engine(os.environ["URL"]), keyring.load_keyring(Path(sys.argv[2])))
print("ready", flush=True)
print(decision_mover.move(database, Path(sys.argv[1])), flush=True)
"""


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", rotate_seconds=3600)
    yield spool
    spool.close()


def _rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def decided(url: str) -> list[str]:
    return [identifiers.from_uuid(row[0], "dec") for row in _rows(url, "SELECT id FROM decision ORDER BY id")]


def counted(url: str) -> list[tuple[Any, ...]]:
    return _rows(url, "SELECT allowed, denied, invalid FROM decision")


class TestMove:
    def test_a_decision_is_shown_as_it_was_answered(
        self, worker_database: Database, controller: str, spool: Spool, superuser_url: str
    ) -> None:
        decision_id = answer_single(spool, controller)
        spool.rotate()

        assert decision_mover.move(worker_database, spool.folder) == 1

        [row] = _rows(
            superuser_url,
            "SELECT d.kind, d.purpose, d.min_evidence, d.allowed, d.denied, a.subject_id, a.status, a.ledger_entry_id,"
            " a.notice_version, a.obligations, a.valid_until FROM decision d JOIN decision_answer a"
            " ON (a.controller_id, a.decision_id) = (d.controller_id, d.id)",
        )
        assert decided(superuser_url) == [decision_id]
        assert row == (
            "single",
            "newsletter",
            "single_opt_in",
            1,
            0,
            identifiers.to_uuid(KARI, "sub"),
            "given",
            identifiers.to_uuid(ENTRY, "led"),
            3,
            ["sender_identity"],
            NOON + timedelta(hours=4),
        )
        assert list(spool.folder.iterdir()) == []

    def test_pieces_of_a_stream_add_up_in_any_order_and_twice(
        self, worker_database: Database, controller: str, spool: Spool, superuser_url: str
    ) -> None:
        stream = identifiers.new_id("dec", at=NOON)
        first = {"answers": [an_answer(0), an_answer(1)], "counts": (2, 1, 0)}
        last = {"answers": [an_answer(4)], "counts": (3, 1, 5)}
        for piece in (last, first, last):
            answer_chunk(spool, controller, stream, **piece)  # type: ignore[arg-type]
            spool.rotate()
            decision_mover.move(worker_database, spool.folder)

        assert counted(superuser_url) == [(3, 1, 5)]
        assert _rows(superuser_url, "SELECT item FROM decision_answer ORDER BY item") == [(0,), (1,), (4,)]

    def test_controllers_in_one_file_are_kept_apart(
        self, worker_database: Database, controller: str, other_controller: str, spool: Spool, superuser_url: str
    ) -> None:
        answer_single(spool, controller)
        answer_single(spool, other_controller)
        spool.rotate()

        decision_mover.move(worker_database, spool.folder)

        found = {
            identifiers.from_uuid(row[0], "ctl") for row in _rows(superuser_url, "SELECT controller_id FROM decision")
        }
        assert found == {controller, other_controller}

    def test_what_is_being_written_is_left_alone(
        self, worker_database: Database, controller: str, spool: Spool, superuser_url: str
    ) -> None:
        answer_single(spool, controller)

        assert decision_mover.move(worker_database, spool.folder) == 0

        assert decided(superuser_url) == []

    def test_while_the_database_is_away_everything_waits(self, keyring: Keyring, controller: str, spool: Spool) -> None:
        answer_single(spool, controller)
        spool.rotate()
        engine = make_engine("postgresql://nobody@127.0.0.1:9/nothing")

        assert decision_mover.move(Database(engine, keyring), spool.folder) == 0

        assert spools.measure(spool.folder).size > 0
        engine.dispose()


class TestBrokenLines:
    @pytest.mark.parametrize(
        "broken",
        [
            b"\xff\xfe\n",
            b"{}\n",
            b"[]\n",
            b"[[1]]\n",
            b'["s1"]\n',
            b"null\n",
            b'["s1",null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null]\n',
        ],
    )
    def test_one_is_set_aside_and_stops_nothing(
        self, worker_database: Database, controller: str, spool: Spool, superuser_url: str, broken: bytes
    ) -> None:
        before = answer_single(spool, controller)
        spool.append(broken)
        after = answer_single(spool, controller)
        spool.rotate()

        decision_mover.move(worker_database, spool.folder)

        assert decided(superuser_url) == sorted([before, after], key=lambda text: identifiers.to_uuid(text, "dec"))
        [aside] = (spool.folder / spools.BROKEN).iterdir()
        assert aside.read_bytes() == broken
        assert spools.measure(spool.folder).broken == len(broken)

    @pytest.mark.parametrize("word", ["nul \0", 3, {"a": 1}])
    def test_what_the_database_refuses_is_found_among_the_rest(
        self, worker_database: Database, controller: str, spool: Spool, superuser_url: str, word: object
    ) -> None:
        kept = [answer_single(spool, controller) for _ in range(3)]
        [path] = spool.folder.iterdir()
        line = json.loads(path.read_bytes().splitlines()[0])
        line[2], line[13], line[14] = str(identifiers.to_uuid(identifiers.new_id("dec", at=NOON), "dec")), word, None
        spool.append(json.dumps(line).encode() + b"\n")
        kept += [answer_single(spool, controller) for _ in range(3)]
        spool.rotate()

        decision_mover.move(worker_database, spool.folder)

        assert set(decided(superuser_url)) == set(kept)
        assert spools.measure(spool.folder).broken > 0

    def test_a_torn_last_line_is_dropped(
        self, worker_database: Database, controller: str, spool: Spool, superuser_url: str
    ) -> None:
        whole = answer_single(spool, controller)
        spool.append(b'["s1","torn')
        spool.rotate()

        decision_mover.move(worker_database, spool.folder)

        assert decided(superuser_url) == [whole]
        assert spools.measure(spool.folder) == spools.Waiting(size=0, oldest=None, broken=0)


class TestKill:
    def test_a_worker_that_dies_half_way_twice_stores_each_once(
        self,
        worker_database: Database,
        worker_url: str,
        keys_dir: Path,
        controller: str,
        spool: Spool,
        superuser_url: str,
    ) -> None:
        answered = [answer_single(spool, controller) for _ in range(400)]
        spool.rotate()
        for _ in range(2):
            mover = subprocess.Popen(
                [sys.executable, "-c", MOVE_FOR_EVER, str(spool.folder), str(keys_dir)],
                cwd=ROOT,
                env={**os.environ, "URL": worker_url},
                stdout=subprocess.PIPE,
                text=True,
            )
            assert mover.stdout is not None
            assert mover.stdout.readline() == "ready\n"
            begun = len(decided(superuser_url))
            while len(decided(superuser_url)) <= begun and mover.poll() is None:
                pass
            mover.send_signal(signal.SIGKILL)
            mover.communicate()
        half_way = len(decided(superuser_url))

        decision_mover.move(worker_database, spool.folder)

        assert 0 < half_way < len(answered)
        assert sorted(decided(superuser_url)) == sorted(answered)
