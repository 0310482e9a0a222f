"""The keeper of the log signs what goes on from what it signed before, and nothing else."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from consent_service.audit import logs, merkle, sequencer, tiles
from consent_service.audit.checkpoints import Checkpoint
from consent_service.cli import log_keeper
from consent_service.crypto.notes import NoteSigner
from consent_service.db.session import Database
from consent_service.errors import LogCopyError
from consent_service.vault import keys
from tests.builders import NOON
from tests.log_house import SEED, House, put_back


@pytest.fixture
def house(
    database: Database, sequencer_database: Database, controller: str, tmp_path: Path, superuser_url: str
) -> House:
    return House.of(database, sequencer_database, controller, tmp_path, superuser_url)


class TestSigning:
    @pytest.mark.rule("LOG-02")
    def test_the_head_lies_outside_signed_and_the_database_knows_it(self, house: House) -> None:
        house.act(4)

        house.keep()

        log = house.log()
        assert house.head() == Checkpoint(f"consent.example/log/{house.controller_id}", 5, log.root)
        assert house.signed() == [5]
        assert log.refused is None

    @pytest.mark.rule("LOG-04")
    def test_outside_lie_all_tiles_and_entries_of_the_head(self, house: House) -> None:
        for times in (3, 300, 1):
            house.act(times)
            house.keep()

        files = {str(path.relative_to(house.copy.folder)) for path in house.copy.folder.rglob("*") if path.is_file()}
        bundles = [(house.copy.folder / f"tile/entries/{name}").read_bytes() for name in ("000", "001.p/49")]
        leaves = [leaf for bundle in bundles for leaf in tiles.read_bundle(bundle)]
        assert {file for file in files if file.startswith("tile")} == {
            "tile/0/000",
            "tile/0/001.p/49",
            "tile/1/000.p/1",
            "tile/entries/000",
            "tile/entries/001.p/49",
        }
        assert merkle.root_of([merkle.leaf_hash(leaf) for leaf in leaves]) == house.head().root

    def test_an_old_log_is_copied_in_steps(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("consent_service.audit.publisher.STEP", 256)
        house.act(600)
        while house.keeper.place():
            pass

        for _ in range(4):
            house.keeper.publish_all()

        assert house.head().size == 601

    def test_nothing_is_signed_twice(self, house: House) -> None:
        house.keep()
        first = house.copy.read_checkpoint()

        house.begin_again()
        house.keep()

        assert house.copy.read_checkpoint() == first

    def test_a_kill_between_outside_and_database_is_made_good(self, house: House) -> None:
        house.act()
        house.keep()
        house.as_superuser("DELETE FROM audit.checkpoint")

        house.begin_again()
        house.keep()

        assert house.signed() == [2]

    def test_the_platform_has_a_log_of_its_own(self, house: House) -> None:
        house.controller_id = logs.PLATFORM
        with house.database.transaction(logs.PLATFORM) as session:
            keys.create_for_controller(session, at=NOON)
        house.act(2)

        house.keep()

        assert house.head().origin == f"consent.example/log/{logs.PLATFORM}"


def put_back_and_go_on(house: House) -> None:
    """Let a restored database grow past the size that was signed before anybody looks."""
    put_back(house, 2)
    house.act(9)
    with house.sequencer.transaction(house.controller_id) as session:
        sequencer.place_batch(
            session, host="consent.example", vkey_of=lambda origin: NoteSigner(origin, SEED).vkey, at=NOON
        )


def forge(house: House, origin: str, seed: bytes) -> None:
    head = house.head()
    note = NoteSigner(origin, seed).sign(Checkpoint(origin, head.size, head.root).text())
    (house.copy.folder / "checkpoint").write_text(note, encoding="utf-8")


#: What somebody with all rights on the database, or on the folder, can do, and how it is named.
Deed = Callable[[House], None]
DEEDS: dict[str, tuple[Deed, str]] = {
    "the database is put back": (lambda house: put_back(house, 2), "not_append_only"),
    "the database is put back and goes on": (put_back_and_go_on, "not_append_only"),
    "the root is changed": (
        lambda house: house.as_superuser("UPDATE audit.tree SET root = sha256('')"),
        "tree_mismatch",
    ),
    "the edge is changed": (
        lambda house: house.as_superuser(
            "UPDATE audit.tree SET edge[1] = set_byte(edge[1], 7, 255 - get_byte(edge[1], 7))"
        ),
        "tree_mismatch",
    ),
    "a head of another log lies outside": (
        lambda house: forge(house, "consent.example/log/other", SEED),
        "bad_signature",
    ),
    "a head of another key lies outside": (lambda house: forge(house, house.log().origin, bytes(32)), "bad_signature"),
    "the copy is gone": (lambda house: shutil.rmtree(house.folder / house.controller_id), "copy_missing"),
}


class TestRefusing:
    @pytest.mark.rule("LOG-03")
    @pytest.mark.parametrize("deed", DEEDS)
    def test_what_does_not_go_on_from_outside_is_not_signed(self, house: House, deed: str) -> None:
        house.act(5)
        house.keep()
        before = house.copy.read_checkpoint()
        do, finding = DEEDS[deed]
        do(house)
        outside = house.copy.read_checkpoint()

        house.begin_again()
        house.act()
        house.keep()

        assert house.log().refused == finding
        assert house.copy.read_checkpoint() == outside
        assert before is not None

    def test_entries_wait_meanwhile_and_acts_go_on(self, house: House) -> None:
        house.act(5)
        house.keep()
        put_back(house, 2)
        house.begin_again()

        house.act(3)
        house.keep()

        assert house.log().size == 2
        with house.database.transaction(house.controller_id) as session:
            waiting = session.connection().exec_driver_sql("SELECT count(*) FROM audit.queue").scalar_one()
        assert waiting == 3

    def test_a_copy_that_comes_back_is_gone_on_with(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(log_keeper, "REFUSED_SECONDS", -1.0)
        house.keep()
        away = house.folder.with_name("away")
        (house.folder / house.controller_id).rename(away)
        house.begin_again()
        house.act()
        house.keep()
        assert house.log().refused == "copy_missing"

        away.rename(house.folder / house.controller_id)
        house.keep()
        house.keep()

        assert house.log().refused is None
        assert house.head().size == 2

    def test_a_changed_entry_is_not_copied(self, house: House) -> None:
        house.act(3)
        while house.keeper.place():
            pass
        house.as_superuser("UPDATE audit.entry SET commit = sha256('forged') WHERE type = 'log.exported'")

        house.keeper.publish_all()

        assert house.log().refused == "leaf_mismatch"

    def test_a_tile_that_lies_there_with_another_content_is_left(self, house: House) -> None:
        tile = house.copy.folder / "tile/0/000.p/3"
        tile.parent.mkdir(parents=True)
        tile.write_bytes(b"another")
        house.act(2)

        house.keep()

        assert house.log().refused == "copy_differs"
        assert tile.read_bytes() == b"another"

    def test_another_key_signs_nothing(self, house: House) -> None:
        house.keep()
        house.begin_again(seed=bytes(32))
        house.act()

        house.keep()

        assert house.log().refused == "unknown_key"

    def test_a_full_disk_is_no_refusal(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        house.keep()
        house.act()

        def full(*_: object, fresh: Path) -> None:
            raise OSError(28, "No space left on device", str(fresh))

        monkeypatch.setattr(log_keeper, "_AWAY_SECONDS", -1.0)

        with monkeypatch.context() as patch:
            patch.setattr("consent_service.audit.outside_copy._write", full)
            house.keep()
        assert house.log().refused is None
        assert house.head().size == 1
        house.keep()

        assert house.head().size == 2


class TestTwoKeepers:
    def test_the_slower_one_gives_way(self, house: House) -> None:
        house.act()
        house.keep()
        known = house.copy.read_checkpoint()
        house.act()
        house.keep()

        with pytest.raises(LogCopyError):
            house.copy.swap_checkpoint(old=known, new="another\n")

        assert house.head().size == 3
