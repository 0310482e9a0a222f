"""Heads are shown to witnesses; what they say is kept, and what they have seen otherwise stops the log."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from consent_service import clock
from consent_service.audit import cosigning, logs, policy
from consent_service.audit.logs import Log, SignedHead
from consent_service.cli.log_witnesses import Witnesses
from consent_service.cli.witness_server import WitnessServer
from consent_service.crypto.notes import VerifierKey
from consent_service.db.session import Database, controller_of
from tests.log_house import House, put_back, settings_of
from tests.witnesses import a_witness

pytestmark = pytest.mark.rule("LOG-06")


@pytest.fixture
def house(
    database: Database, sequencer_database: Database, controller: str, tmp_path: Path, superuser_url: str
) -> House:
    house = House.of(database, sequencer_database, controller, tmp_path / "copy", superuser_url)
    house.keep()
    return house


@pytest.fixture
def witness(house: House, tmp_path: Path) -> Iterator[WitnessServer]:
    with a_witness(tmp_path / "witness", house.log().vkey) as server:
        yield server


def rules_of(*servers: WitnessServer, quorum: str = "enough") -> policy.Policy:
    names = [f"w{number}" for number, _ in enumerate(servers)]
    lines = [
        f"witness {name} {server.witness.cosigner.vkey} http://127.0.0.1:{server.server_port}"
        for name, server in zip(names, servers, strict=True)
    ]
    return policy.read("\n".join([*lines, f"group enough all {' '.join(names)}", f"quorum {quorum}", ""]).encode())


def witnesses(house: House, *servers: WitnessServer) -> Witnesses:
    return Witnesses(house.sequencer, rules_of(*servers), house.keeper.contradict)


def cosigned(house: House, *servers: WitnessServer) -> list[int]:
    """Return the sizes of the heads that all of these cosigned."""
    with house.database.transaction(house.controller_id) as session:
        log = logs.get(session)
        keys = (VerifierKey.parse(log.vkey), *(VerifierKey.parse(server.witness.cosigner.vkey) for server in servers))
        heads = list(logs.list_checkpoints(session, log))
    return [head.size for head in heads if set(keys[1:]) <= set(cosigning.cosigners(head, keys))]


class TestShowing:
    def test_a_head_is_cosigned_and_served_with_it(self, house: House, witness: WitnessServer) -> None:
        witnesses(house, witness).show_all()

        assert cosigned(house, witness) == [1]

    def test_the_next_head_continues_the_last(self, house: House, witness: WitnessServer) -> None:
        asked = witnesses(house, witness)
        for times in (3, 400):
            asked.show_all()
            house.act(times)
            house.keep()

        asked.show_all()

        assert cosigned(house, witness)[-1] == 404

    def test_two_witnesses_cosign_the_same_head(self, house: House, witness: WitnessServer, tmp_path: Path) -> None:
        with a_witness(tmp_path / "other", house.log().vkey) as other:
            witnesses(house, witness, other).show_all()

            assert cosigned(house, witness, other) == [1]

    def test_a_keeper_that_forgot_what_a_witness_knows_hears_it(self, house: House, witness: WitnessServer) -> None:
        witnesses(house, witness).show_all()
        house.as_superuser("DELETE FROM audit.cosignature")
        house.act(5)
        house.keep()

        witnesses(house, witness).show_all()

        assert cosigned(house, witness) == [6]

    def test_a_witness_that_is_away_holds_up_nobody(self, house: House, witness: WitnessServer, tmp_path: Path) -> None:
        with ExitStack() as stack:
            away = stack.enter_context(a_witness(tmp_path / "away", house.log().vkey))
            rules = rules_of(away, witness)
        Witnesses(house.sequencer, rules, house.keeper.contradict).show_all()

        assert cosigned(house, witness) == [1]
        assert house.log().refused is None

    def test_a_log_that_cannot_be_proved_holds_up_no_other(self, house: House, witness: WitnessServer) -> None:
        witnesses(house, witness).show_all()
        house.act(300)
        house.keep()
        house.as_superuser("DELETE FROM audit.tile")

        witnesses(house, witness).show_all()

        assert cosigned(house, witness) == [1]

    def test_what_all_have_seen_is_not_looked_at_again(
        self, house: House, witness: WitnessServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks: list[str] = []
        find_head = cosigning.find_head

        def look(session: Session) -> tuple[Log, SignedHead] | None:
            looks.append(controller_of(session))
            return find_head(session)

        monkeypatch.setattr(cosigning, "find_head", look)
        asked = witnesses(house, witness)

        asked.show_all()
        asked.show_all()
        looked_before = looks.count(house.controller_id)
        house.act()
        house.keep()
        asked.show_all()

        assert looked_before == 1
        assert cosigned(house, witness)[-1] == 2


class TestTwoKeepers:
    @pytest.mark.rule("LOG-03")
    def test_a_head_that_another_keeper_was_faster_to_show_stops_nothing(
        self, house: House, witness: WitnessServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with house.sequencer.transaction(house.controller_id) as session:
            held = cosigning.find_head(session)
        house.act(5)
        house.keep()
        witnesses(house, witness).show_all()

        with monkeypatch.context() as slow:
            slow.setattr(cosigning, "find_head", lambda _: held)
            witnesses(house, witness).show_all()
        house.act()
        house.keep()

        assert house.log().refused is None
        assert house.log().size == 7


class TestContradiction:
    @pytest.mark.rule("LOG-03")
    def test_a_restore_of_database_and_folder_together_is_found_out(self, house: House, witness: WitnessServer) -> None:
        house.act(5)
        house.keep()
        before = house.copy.read_checkpoint()
        house.act(4)
        house.keep()
        witnesses(house, witness).show_all()
        put_back(house, 6)
        house.as_superuser("DELETE FROM audit.cosignature")
        (house.copy.folder / "checkpoint").write_text(str(before), encoding="utf-8")
        house.keeper = House.of(
            house.database, house.sequencer, house.controller_id, house.folder, house.superuser_url
        ).keeper
        house.keep()
        assert house.log().refused is None

        witnesses(house, witness).show_all()
        house.act()
        house.keep()

        assert house.log().refused == "witness_contradicts"
        assert house.copy.read_checkpoint() == before

    def test_no_restart_forgets_it(self, house: House) -> None:
        house.keeper.contradict(house.controller_id, 1)
        house.keeper = House.of(
            house.database, house.sequencer, house.controller_id, house.folder, house.superuser_url
        ).keeper

        house.act()
        house.keep()

        assert house.log().refused == "witness_contradicts"
        assert house.head().size == 1


class TestAlarm:
    @pytest.mark.parametrize(("hours", "alarm"), [(1, False), (25, True)])
    def test_a_day_without_the_quorum_is_one(
        self, house: House, witness: WitnessServer, monkeypatch: pytest.MonkeyPatch, hours: int, *, alarm: bool
    ) -> None:
        later = clock.now() + timedelta(hours=hours)
        monkeypatch.setattr("consent_service.clock.now", lambda: later)
        asked = witnesses(house, witness)

        assert asked.is_unwitnessed(house.controller_id) is alarm

        asked.show_all()
        assert asked.is_unwitnessed(house.controller_id) is False


def test_settings_without_a_policy_ask_nobody(tmp_path: Path) -> None:
    assert settings_of(tmp_path).policy_file is None
