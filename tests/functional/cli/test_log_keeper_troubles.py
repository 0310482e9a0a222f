"""What goes wrong with one log, one keeper or one copy stops nothing else, and is never signed over."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from consent_service import identifiers
from consent_service.audit.checkpoints import Checkpoint
from consent_service.audit.outside_copy import LogCopy
from consent_service.audit.tiles import Place
from consent_service.cli import log_keeper
from consent_service.crypto.notes import NoteSigner
from consent_service.db.session import Database
from tests.log_house import SEED, House, put_back


@pytest.fixture
def house(
    database: Database, sequencer_database: Database, controller: str, tmp_path: Path, superuser_url: str
) -> House:
    return House.of(database, sequencer_database, controller, tmp_path, superuser_url)


@pytest.fixture
def plain_logs() -> Iterator[None]:
    """Let structlog forget what another test configured."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


class TestOneLogOfMany:
    def test_an_entry_that_cannot_be_read_holds_up_its_own_log_alone(self, house: House, other_controller: str) -> None:
        house.keep()
        house.act(2)
        house.as_superuser("UPDATE audit.entry SET occurred_at = 'infinity' WHERE type = 'log.exported'")
        other = House(house.database, house.sequencer, other_controller, house.folder, "", house.keeper)
        other.act(3)

        house.keep()

        assert house.log().size == 1
        assert other.head().size == 4

    def test_it_goes_on_when_the_entry_is_mended(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(log_keeper, "REFUSED_SECONDS", -1.0)
        house.keep()
        house.act(2)
        house.as_superuser("UPDATE audit.entry SET occurred_at = 'infinity' WHERE type = 'log.exported'")
        house.keep()

        house.as_superuser("UPDATE audit.entry SET occurred_at = now() WHERE type = 'log.exported'")
        house.keep()

        assert house.head().size == 3

    def test_a_place_in_the_queue_without_an_entry_stops_nothing(self, house: House) -> None:
        house.act(2)
        ours = identifiers.to_uuid(house.controller_id, "ctl")
        house.as_superuser(f"DELETE FROM audit.entry WHERE type = 'log.exported' AND controller_id = '{ours}'")  # noqa: S608 - an id of this test

        house.keep()

        assert house.head().size == 1

    def test_a_damaged_edge_is_found_before_the_log_grows_on_it(self, house: House) -> None:
        house.act(2)
        house.keep()
        house.as_superuser("UPDATE audit.tree SET edge[1] = substr(edge[1], 2)")
        house.act()

        house.keep()
        house.begin_again()
        house.keep()

        assert house.log().refused == "tree_mismatch"
        assert house.head().size == 3

    def test_a_refused_log_is_said_to_be_once_in_a_while(self, house: House, plain_logs: None) -> None:
        del plain_logs
        house.act(5)
        house.keep()
        put_back(house, 2)
        house.begin_again()
        house.act()

        with capture_logs() as lines:
            for _ in range(5):
                house.keep()

        ours = [line["event"] for line in lines if line["controller_id"] == house.controller_id]
        assert ours == ["log_refused"]


class TestTwoKeepers:
    def test_the_slower_one_leaves_what_the_head_of_the_faster_one_needs(self, tmp_path: Path) -> None:
        copy = LogCopy(tmp_path)
        for width in (9, 10, 12):
            copy.write_tile(Place(0, 0, width), bytes(32 * width))

        copy.drop_partial(Place(0, 0, 10))

        assert sorted(path.name for path in (tmp_path / "tile/0/000.p").iterdir()) == ["10", "12"]

    def test_what_a_killed_one_left_half_written_is_cleared_away(self, tmp_path: Path) -> None:
        copy = LogCopy(tmp_path)
        copy.swap_checkpoint(old=None, new="first\n")
        (tmp_path / ".new" / "half").write_bytes(b"ha")

        copy.swap_checkpoint(old="first\n", new="second\n")

        assert list((tmp_path / ".new").iterdir()) == []


class TestRefusing:
    @pytest.mark.rule("LOG-03")
    def test_what_the_database_knows_to_be_signed_binds_where_the_copy_was_put_back_too(self, house: House) -> None:
        house.act()
        house.keep()
        early = house.copy.read_checkpoint()
        house.act(4)
        house.keep()
        put_back(house, 4)
        house.as_superuser(
            "INSERT INTO audit.checkpoint SELECT controller_id, epoch, 6, root, 'signed', now() FROM audit.tree"
        )
        (house.copy.folder / "checkpoint").write_text(early or "", encoding="utf-8")

        house.begin_again()
        house.keep()

        assert house.log().refused == "not_append_only"

    @pytest.mark.rule("LOG-03")
    def test_a_log_whose_next_epoch_lies_outside_has_ended(self, house: House) -> None:
        house.keep()
        later = house.folder / house.controller_id / "e2"
        later.mkdir()
        (later / "checkpoint").write_text(house.copy.read_checkpoint() or "", encoding="utf-8")

        house.begin_again()
        house.act()
        house.keep()

        assert house.log().refused == "not_append_only"
        assert house.head().size == 1

    @pytest.mark.rule("LOG-03")
    def test_a_log_that_begins_where_another_was_signed_places_nothing(self, house: House) -> None:
        origin = f"consent.example/log/{house.controller_id}"
        note = NoteSigner(origin, SEED).sign(Checkpoint(origin, 3, bytes(32)).text())
        house.copy.swap_checkpoint(old=None, new=note)

        house.keep()

        assert house.log().refused == "not_append_only"
        assert house.log().size == 0
