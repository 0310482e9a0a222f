"""Promise: whatever happens to a log keeper, no entry is lost, none has two places, and no second history is signed.

A keeper is killed, or stopped and resumed, at each of its steps in turn; another one goes on after it.
"""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consent_service.db.session import Database
from tests.log_house import House
from tests.promises import keepers
from tests.promises.keepers import Forge, Watch

#: One round fills a tile on the way, whatever the size of the log is before it.
ROUNDS = (253, 4)
#: In a normal run so many steps of each kind are tried, from all over the run.
OF_A_KIND = 3


@pytest.fixture
def watch(
    database: Database, sequencer_database: Database, controller: str, tmp_path: Path, superuser_url: str
) -> Watch:
    return Watch(House.of(database, sequencer_database, controller, tmp_path / "outside", superuser_url))


@pytest.fixture
def order(watch: Watch, sequencer_url: str) -> dict[str, Any]:
    return keepers.order_of(watch, sequencer_url, rounds=ROUNDS)


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    with keepers.forge(tmp_path / "forge") as forge:
        yield forge


def steps_of(forge: Forge, order: dict[str, Any]) -> list[str]:
    """Let a keeper run to its end, and return its steps by name."""
    path = forge.folder / "steps"
    assert forge.start(**order, steps=str(path))["code"] == 0, forge.said.read_text(encoding="utf-8")
    names: list[str] = json.loads(path.read_text(encoding="utf-8"))
    return names


def chosen(names: list[str], *, of_a_kind: int) -> list[int]:
    """Choose some steps of each kind by their numbers, from the first to the last."""
    numbers = {kind: [number for number, name in enumerate(names, 1) if name == kind] for kind in names}
    return sorted(each[len(each) * place // of_a_kind] for each in numbers.values() for place in range(of_a_kind))


def kill_at(forge: Forge, watch: Watch, order: dict[str, Any], number: int) -> None:
    """Kill a keeper at a step, and demand that the next one finds everything and finishes it."""
    ended = forge.start(**order, at=number)
    assert (ended["signal"], ended["code"]) in {(signal.SIGKILL, None), (None, 0)}, ended
    watch.see(forge.signed())
    watch.finish()
    watch.demand_whole()


def stop_at(forge: Forge, watch: Watch, order: dict[str, Any], number: int) -> None:
    """Stop a keeper at a step, let another one work meanwhile, and resume it."""
    stopped = forge.start(**order, at=number, signal="SIGSTOP")
    watch.write(3)
    watch.house.begin_again()
    watch.house.keep()
    if stopped["stopped"]:
        assert forge.resume(stopped["pid"])["code"] == 0, forge.said.read_text(encoding="utf-8")
    watch.see(forge.signed())
    watch.finish()
    watch.demand_whole()


class TestKilledAtANamedPoint:
    @pytest.mark.rule("LOG-03")
    def test_nothing_is_lost_and_no_fork_is_signed(self, forge: Forge, watch: Watch, order: dict[str, Any]) -> None:
        names = [steps_of(forge, order) for _ in range(2)][1]

        for number in chosen(names, of_a_kind=OF_A_KIND):
            kill_at(forge, watch, order, number)

        watch.demand_one_history()

    @pytest.mark.long
    def test_at_every_single_one(self, forge: Forge, watch: Watch, order: dict[str, Any]) -> None:
        names = [steps_of(forge, order) for _ in range(2)][1]

        for number in range(1, len(names) + 1):
            kill_at(forge, watch, order, number)

        watch.demand_one_history()


class TestStoppedAndResumed:
    @pytest.mark.rule("LOG-03")
    def test_whatever_another_one_did_meanwhile(self, forge: Forge, watch: Watch, order: dict[str, Any]) -> None:
        names = [steps_of(forge, order) for _ in range(2)][1]

        for number in chosen(names, of_a_kind=1):
            stop_at(forge, watch, order, number)

        watch.demand_one_history()

    @pytest.mark.long
    def test_at_every_single_step(self, forge: Forge, watch: Watch, order: dict[str, Any]) -> None:
        names = [steps_of(forge, order) for _ in range(2)][1]

        for number in range(1, len(names) + 1):
            stop_at(forge, watch, order, number)

        watch.demand_one_history()

    def test_one_that_holds_the_tree_loses_it(self, forge: Forge, watch: Watch, order: dict[str, Any]) -> None:
        names = [steps_of(forge, order) for _ in range(2)][1]
        watch.finish()
        locked = names.index("after lock") + 1
        stopped = forge.start(**order, at=locked, signal="SIGSTOP", idle=200)
        assert stopped["stopped"]

        watch.finish()
        taken_over = watch.house.head().size
        resumed = forge.resume(stopped["pid"])

        assert resumed["code"] == 0, forge.said.read_text(encoding="utf-8")
        watch.see(forge.signed())
        watch.finish()
        watch.demand_whole()
        watch.demand_one_history()
        assert taken_over >= sum(ROUNDS)

    def test_one_between_reading_and_replacing_the_head_gives_way(
        self, forge: Forge, watch: Watch, order: dict[str, Any]
    ) -> None:
        names = [steps_of(forge, order) for _ in range(2)][1]
        watch.finish()
        before = watch.house.head().size
        reading = names.index("before fcntl.flock") + 1
        stopped = forge.start(**order, at=reading, signal="SIGSTOP")
        assert stopped["stopped"]

        watch.write(5)
        watch.finish()
        taken_over = watch.house.head()
        forge.resume(stopped["pid"])

        assert taken_over.size > before
        watch.see(forge.signed())
        watch.finish()
        watch.demand_whole()
        watch.demand_one_history()
