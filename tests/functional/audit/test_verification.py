"""A log that nobody touched is found sound: while the service goes on, with erased people, and after a restore."""

from dataclasses import replace
from pathlib import Path

import pytest

from consent_service.audit.findings import LogReport
from consent_service.audit.verification import Verification
from consent_service.cli import audit_verify
from consent_service.db.session import Database
from tests import log_backups
from tests.builders import NOON
from tests.log_house import House


@pytest.fixture
def house(
    database: Database, sequencer_database: Database, controller: str, tmp_path: Path, superuser_url: str
) -> House:
    """Keep the log of a controller, with its copy outside."""
    return House.of(database, sequencer_database, controller, tmp_path, superuser_url)


def verify(house: House) -> LogReport:
    """Verify the log as the command does."""
    return audit_verify.run(house.database, house.controller_id, copies=house.folder)


class TestASoundLog:
    @pytest.mark.rule("LOG-11")
    def test_nothing_is_found_and_everything_is_counted(self, house: House) -> None:
        log_backups.a_person(house)
        house.keep()
        house.act(600)
        house.keep()
        house.act(7)

        report = verify(house)

        assert report.findings == ()
        assert (report.entries, report.waiting) == (house.log().size, 7)
        assert report.opened == house.log().size + 7
        assert report.erased == 0
        assert [(each.epoch, each.size, each.copied) for each in report.epochs] == [
            (1, house.log().size, house.log().size)
        ]
        assert report.streams == 3
        assert report.tiles == 3

    @pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 513])
    def test_at_every_edge_of_the_tiles(self, house: House, size: int) -> None:
        house.act(size - 1)
        house.keep()

        report = verify(house)

        assert report.findings == ()
        assert report.entries == size

    def test_a_log_of_which_nothing_is_placed_yet(self, house: House) -> None:
        report = verify(house)

        assert report.findings == ()
        assert (report.entries, report.waiting, report.epochs) == (0, 1, ())

    def test_what_happens_meanwhile_is_verified_too(self, house: House) -> None:
        house.act(300)
        house.keep()
        verification = Verification(copies=house.folder, at=NOON)
        with house.database.transaction(house.controller_id) as session:
            verification.begin(session)
        goes_on = True
        while goes_on:
            with house.database.transaction(house.controller_id) as session:
                goes_on = verification.advance(session)
            house.act(40)
            house.keep()
        house.act(3)

        one_moment = house.database.engine.execution_options(isolation_level="REPEATABLE READ")
        with replace(house.database, engine=one_moment).transaction(house.controller_id) as session:
            report = verification.finish(session)

        assert report.findings == ()
        assert report.waiting == 3
        assert report.opened == house.log().size + 3

    def test_without_the_copy_less_is_shown_and_nothing_found(self, house: House) -> None:
        house.act(5)
        house.keep()

        report = audit_verify.run(house.database, house.controller_id, copies=None)

        assert report.findings == ()
        assert report.epochs[0].copied is None


class TestErasure:
    @pytest.mark.rule("LOG-09")
    def test_what_was_erased_is_proved_to_exist_and_opens_no_more(
        self, house: House, retention_database: Database
    ) -> None:
        kari = log_backups.a_person(house)
        log_backups.a_person(house)
        house.act(300)
        house.keep()

        log_backups.erase(house, kari, retention_database)

        report = verify(house)
        assert report.findings == ()
        assert report.entries == house.log().size
        assert report.erased > 0
        assert report.opened == house.log().size - report.erased


class TestRestore:
    @pytest.mark.rule("LOG-03")
    def test_a_recovered_log_is_sound_and_names_its_loss(self, house: House) -> None:
        house.act(300)
        house.keep()
        backup = log_backups.back_up(house)
        house.act(30)
        house.keep()
        log_backups.restore(house, backup)
        house.begin_again()
        house.keep()
        assert "not_append_only" in verify(house).counts
        log_backups.recover(house)
        house.act(3)
        for _ in range(2):
            house.begin_again()
            house.keep()

        report = verify(house)

        assert report.findings == ()
        assert [(each.epoch, each.size, each.copied) for each in report.epochs] == [(1, 301, 301), (2, 4, 4)]
