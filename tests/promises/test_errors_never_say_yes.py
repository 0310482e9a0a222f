"""Promise: errors never say yes.

Somebody subscribes, so the true answer is yes on every road by which a system can ask. Then one part after another is
taken away, damaged or blocked: tables, keys, seals, clocks, the spool, the database itself. Whatever is answered
meanwhile, it never allows, and where nothing could be decided it says no in its body too (GDPR Art. 25(2); law.md
ACC-01). When the fault is gone, the answer is yes again.
"""

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from flask import Flask

from consent_service.api.quick_checks import QuickChecks
from consent_service.config import Settings
from consent_service.consent.checking_many import CHUNK
from tests.builders import KARI
from tests.promises import damage, faults, processes
from tests.promises.faults import Struck
from tests.promises.scene import LINES_OF_JSON, ROADS, STREAM, Answer, Scene, serve
from tests.promises.world import Company, World

GROUPS: Final = {
    "tables that cannot be read": tuple(faults.unreadable()),
    "tables that are locked": tuple(faults.locked()),
    "what a server says": tuple(faults.sayings()),
    "what happens to a server": tuple(faults.server()),
    "rows that are wrong": tuple(damage.rows()),
    "keys that are wrong": tuple(damage.keys()),
    "what happens to a process": tuple(processes.faults()),
}


@pytest.fixture
def superuser(superuser_url: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Return a connection that may damage what it likes; triggers and constraints are out of its way."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection


@pytest.fixture
def scene(
    world: World,
    company: Company,
    app: Flask,
    superuser: psycopg.Connection[tuple[Any, ...]],
    settings: Settings,
    tmp_path: Path,
) -> Iterator[Scene]:
    """Return somebody about whom the true answer is yes, and whoever answers, with parts of its own."""
    person = world.a_subscriber(company, KARI)
    scene = Scene(person, app, superuser, settings, tmp_path)
    shared, scene.asking = scene.asking, scene.another()
    try:
        scene.subject_id = str(world.check(company, KARI)["subject_id"])
        assert scene.is_settled() == {}
        yield scene
    finally:
        scene.discard(scene.asking)
        scene.asking = shared
        scene.loop.close()


def ask_until(scene: Scene, struck: Struck) -> Answer:
    """Send a whole chunk of a stream, then two lines more once something has happened."""
    line = b'{"email": "%s"}\n' % KARI.encode()
    with contextlib.ExitStack() as after:

        def pieces() -> Iterator[bytes]:
            yield line * CHUNK
            after.enter_context(struck)
            yield line * 2

        return serve(scene, STREAM, pieces(), media_type=LINES_OF_JSON)


@contextlib.contextmanager
def later(scene: Scene, duration: timedelta) -> Iterator[None]:
    """Let time pass."""
    scene.person.world.time_passes(duration)
    yield


class TestAFault:
    @pytest.mark.rule("ACC-01")
    @pytest.mark.parametrize("group", GROUPS)
    def test_makes_no_yes_on_any_road(self, scene: Scene, group: str) -> None:
        yeses: dict[tuple[str, str], bytes] = {}
        silences: dict[tuple[str, str], Answer] = {}
        remains = {}
        for fault in GROUPS[group]:
            with fault.strike(scene):
                answers = {(fault.name, road): ask(scene) for road, ask in ROADS.items()}

            yeses |= {place: answer.body for place, answer in answers.items() if answer.could_be_a_yes}
            silences |= {
                place: answer
                for place, answer in answers.items()
                if answer.hides_its_no or fault.is_outage != answer.is_outage
            }
            # What was prepared for other functions costs a connection one answer, and goes with it.
            left = scene.is_settled() and scene.is_settled()
            if left:
                remains[fault.name] = left

        assert yeses == {}
        assert silences == {}
        assert remains == {}

    @pytest.mark.rule("ACC-01")
    def test_in_the_middle_of_a_stream_makes_no_yes_from_then_on(self, scene: Scene) -> None:
        wrong = {}
        for fault in GROUPS["what happens to a server"]:
            answer = ask_until(scene, fault.strike(scene))

            early, late = answer.verdicts[:CHUNK], answer.verdicts[CHUNK:]
            if {each["allowed"] for each in early} != {True} or [each["reason"] for each in late] != [
                "unavailable"
            ] * 2:
                wrong[fault.name] = (answer.status, len(early), late)

        assert wrong == {}

    @pytest.mark.rule("ACC-01")
    def test_of_time_ends_what_a_key_may_ask_in_a_stream(self, scene: Scene) -> None:
        scene.superuser.execute("UPDATE api_key SET expires_at = created_at + interval '1 hour'")

        answer = ask_until(scene, later(scene, timedelta(hours=2)))

        assert [each["allowed"] for each in answer.verdicts] == [True] * CHUNK + [False] * 2

    def test_meets_the_short_road_too(self, scene: Scene) -> None:
        asked = b'{"subject":{"email":"%s"},"purpose":"newsletter","channel":"email"}' % KARI.encode()
        headers = {"content-type": "application/json", "authorization": f"Bearer {scene.person.company.api_key}"}

        assert QuickChecks(scene.app).answer(headers, "", asked) is not None

    def test_has_a_name_of_its_own(self) -> None:
        names = [fault.name for group in GROUPS.values() for fault in group]

        assert len(names) == len(set(names))
        assert len(names) >= 40

    @pytest.mark.parametrize("column", ["kind", "evidence_grade", "channel"])
    def test_can_put_no_word_into_the_ledger_that_nobody_knows(self, scene: Scene, column: str) -> None:
        statement = psycopg.sql.SQL("UPDATE ledger_entry SET {} = 'perhaps'").format(psycopg.sql.Identifier(column))

        with pytest.raises(psycopg.errors.CheckViolation):
            scene.superuser.execute(statement)
