"""Entries get their places: all of them, once, in one order, whoever places them and whenever it is cut off."""

from collections.abc import Callable
from datetime import timedelta
from threading import Barrier, Thread

import psycopg
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.audit import logs, merkle, sequencer, trail
from consent_service.audit.logs import Log, Place
from consent_service.audit.models import AuditEntry
from consent_service.audit.sequencer import Batch
from consent_service.crypto.notes import NoteSigner
from consent_service.db.session import Database
from tests.builders import NOON

SEED = bytes(range(32))
HOST = "consent.example"


def vkey_of(origin: str) -> str:
    return NoteSigner(origin, SEED).vkey


def act(session: Session, number: int = 0, *, stream: str = "controller:nordlys") -> str:
    """Let something happen that is written down."""
    return trail.record(
        session,
        type="controller.settings_changed",
        at=NOON + timedelta(seconds=number),
        actor=trail.SYSTEM,
        stream=stream,
        payload={"settings": ["phone"]},
    )


@pytest.fixture
def place(sequencer_database: Database, controller: str) -> Callable[..., Batch | None]:
    """Place what waits, as the sequencer does: one transaction."""

    def place(limit: int = sequencer.BATCH) -> Batch | None:
        with sequencer_database.transaction(controller) as session:
            return sequencer.place_batch(session, host=HOST, vkey_of=vkey_of, at=NOON, limit=limit)

    return place


def placed(session: Session) -> list[str]:
    """Return the ids of the entries in the order of the log."""
    return [each.entry_id for each in logs.list_after(session, after=None, limit=10_000)]


class TestPlacing:
    def test_the_first_batch_opens_the_log(
        self, database: Database, controller: str, place: Callable[..., Batch | None]
    ) -> None:
        batch = place()

        assert batch is not None
        assert batch.placed == 1
        assert batch.log.origin == f"consent.example/log/{controller}"
        with database.transaction(controller) as session:
            assert logs.get(session) == batch.log

    @pytest.mark.rule("LOG-01")
    def test_the_tree_is_that_of_all_leaves_in_order(
        self, database: Database, controller: str, place: Callable[..., Batch | None]
    ) -> None:
        for size in (1, 2, 253, 300, 5):
            with database.transaction(controller) as session:
                for number in range(size):
                    act(session, number)
            place()

        with database.transaction(controller) as session:
            log = logs.get(session)
            found = logs.list_leaves(session, log, first=0, limit=1_000)
            root = merkle.root_at(log.size, logs.reader(session, log))
        hashes = [merkle.leaf_hash(each.leaf) for each in found]
        assert [each.place for each in found] == [Place(1, index) for index in range(562)]
        assert log.size == 562
        assert log.root == root == merkle.root_of(hashes)

    def test_a_batch_takes_no_more_than_it_may(
        self, database: Database, controller: str, place: Callable[..., Batch | None]
    ) -> None:
        with database.transaction(controller) as session:
            for number in range(9):
                act(session, number)

        sizes = [batch.placed for batch in (place(4), place(4), place(4)) if batch]

        assert sizes == [4, 4, 2]

    def test_what_commits_late_is_placed_late_and_not_lost(
        self, database: Database, controller: str, place: Callable[..., Batch | None]
    ) -> None:
        """The trap of sequences: an entry with an earlier id becomes visible after one with a later id was placed."""
        with database.engine.connect() as connection, connection.begin() as late:
            session = Session(connection, info={"controller_id": controller, "keyring": database.keyring})
            session.connection().exec_driver_sql(
                f"SELECT set_config('app.controller', '{_uuid(database, controller)}', true)"
            )
            early = act(session, 0, stream="one")
            session.flush()
            with database.transaction(controller) as other:
                later = act(other, 60, stream="two")
            place()
            late.commit()

        place()

        with database.transaction(controller) as session:
            assert placed(session)[1:] == [later, early]

    def test_what_is_rolled_back_leaves_nothing(
        self, database: Database, controller: str, sequencer_database: Database, place: Callable[..., Batch | None]
    ) -> None:
        def cut_off() -> None:
            with sequencer_database.transaction(controller) as session:
                sequencer.place_batch(session, host=HOST, vkey_of=vkey_of, at=NOON)
                raise InterruptedError

        with pytest.raises(InterruptedError):
            cut_off()

        with database.transaction(controller) as session:
            assert logs.find(session) is None
        batch = place()
        assert batch is not None
        assert batch.placed == 1


class TestWaiting:
    def test_each_controller_that_waits_is_named_once(
        self, database: Database, sequencer_database: Database, controller: str, place: Callable[..., Batch | None]
    ) -> None:
        place()
        with sequencer_database.platform_transaction() as session:
            others = sequencer.list_waiting_controllers(session)
        with database.transaction(controller) as session:
            for number in range(3):
                act(session, number)

        with sequencer_database.platform_transaction() as session:
            waiting = sequencer.list_waiting_controllers(session)

        assert controller not in others
        assert sorted(waiting) == sorted({*others, controller})


class TestTwoAtOnce:
    def test_they_place_every_entry_once(
        self, database: Database, sequencer_database: Database, controller: str, superuser_url: str
    ) -> None:
        with database.transaction(controller) as session:
            for number in range(400):
                act(session, number)
        start = Barrier(3)

        def work() -> None:
            start.wait()
            done = False
            while not done:
                with sequencer_database.transaction(controller) as session:
                    batch = sequencer.place_batch(session, host=HOST, vkey_of=vkey_of, at=NOON, limit=7)
                    done = batch is not None and batch.placed == 0

        threads = [Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        with database.transaction(controller) as session:
            order = placed(session)
            written = set(session.scalars(select(AuditEntry.id)))
        assert len(order) == len(set(order)) == 401
        assert set(order) == written
        with psycopg.connect(superuser_url) as connection:
            own = "SELECT count(*) FROM audit.queue q JOIN audit.tree t USING (controller_id)"
            assert connection.execute(own).fetchone() == (0,)

    def test_one_that_holds_the_log_is_not_waited_for(
        self, sequencer_database: Database, controller: str, place: Callable[..., Batch | None], sequencer_url: str
    ) -> None:
        place()
        with psycopg.connect(sequencer_url) as holder:
            holder.execute(
                "SELECT set_config('app.controller', %s, true)", (str(_uuid(sequencer_database, controller)),)
            )
            holder.execute("SELECT 1 FROM audit.tree FOR UPDATE")

            assert place() is None

        assert place() is not None


class TestRefusedLog:
    def test_nothing_more_is_placed_and_entries_wait(
        self, database: Database, controller: str, superuser_url: str, place: Callable[..., Batch | None]
    ) -> None:
        place()
        refuse(superuser_url)
        with database.transaction(controller) as session:
            act(session)

        assert place() is None

        with database.transaction(controller) as session:
            assert logs.get(session).size == 1

    def test_a_recovery_that_names_what_is_left_opens_the_next_epoch(
        self, database: Database, controller: str, superuser_url: str, place: Callable[..., Batch | None]
    ) -> None:
        place()
        refuse(superuser_url)
        with database.transaction(controller) as session:
            waiting = act(session)
            old = logs.get(session)
            recovery = recover(session, old)

        batch = place()

        assert batch is not None
        assert (batch.log.epoch, batch.log.size) == (2, 2)
        assert batch.log.origin == f"consent.example/log/{controller}/e2"
        with database.transaction(controller) as session:
            found = logs.list_leaves(session, batch.log, first=0, limit=10)
            assert [each.entry_id for each in found] == [recovery, waiting]
            assert b'"gap":{"kept":1,' in found[0].leaf
            assert logs.get(session, epoch=1).root == old.root

    @pytest.mark.parametrize("wrong", [{"kept": 0}, {"log": "consent.example/log/other"}])
    def test_a_recovery_of_something_else_opens_nothing(
        self,
        database: Database,
        controller: str,
        superuser_url: str,
        place: Callable[..., Batch | None],
        wrong: dict[str, object],
    ) -> None:
        place()
        refuse(superuser_url)
        with database.transaction(controller) as session:
            recover(session, logs.get(session), **wrong)

        assert place() is None


def refuse(superuser_url: str) -> None:
    """Let the publisher have found something wrong."""
    with psycopg.connect(superuser_url) as connection:
        connection.execute("UPDATE audit.tree SET refused = 'not_append_only', refused_at = now()")


def recover(session: Session, of: Log, /, **wrong: object) -> str:
    """Say what was lost."""
    gap = {"log": of.origin, "size": 9, "root": of.root.hex(), "kept": of.size, **wrong}
    return trail.record(
        session, type="log.recovered", at=NOON, actor=trail.SYSTEM, stream="log", payload={"reason": "disk"}, gap=gap
    )


def _uuid(database: Database, controller: str) -> object:
    with database.transaction(controller) as session:
        return session.connection().exec_driver_sql("SELECT current_setting('app.controller')").scalar_one()


class TestQueue:
    def test_a_row_of_what_has_its_place_stops_nobody(
        self, database: Database, controller: str, superuser_url: str, place: Callable[..., Batch | None]
    ) -> None:
        place()
        with psycopg.connect(superuser_url) as connection:
            connection.execute(
                "INSERT INTO audit.queue (controller_id, entry_id) SELECT controller_id, entry_id FROM audit.leaf"
            )
        with database.transaction(controller) as session:
            later = act(session)

        place()

        with database.transaction(controller) as session:
            assert placed(session)[1:] == [later]
            assert logs.get(session).size == 2


class TestOrder:
    def test_entries_of_one_moment_stand_in_the_order_of_their_stream(
        self, database: Database, controller: str, place: Callable[..., Batch | None]
    ) -> None:
        """Ids of one millisecond are in no order, and one act often writes several entries."""
        with database.transaction(controller) as session:
            written = [act(session) for _ in range(20)]

        place()

        with database.transaction(controller) as session:
            assert placed(session)[1:] == written
