"""Promise: whoever changes the log is found out, also with all rights in the database, and by name.

Each class of tampering is tried at several places of a log that was signed and copied outside. The verification in the
database names it, and verify.py names it in what an auditor fetches, with nothing known but the key of the log and one
head. Two things cannot be found out by anybody; they are tried too, so that nobody claims more (docs/threats.md).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from consent_service.audit.standalone_verifier import command
from consent_service.crypto.keyring import Keyring
from consent_service.db.session import Database, make_engine
from consent_service.errors import ConsentServiceError
from tests import builders, log_backups
from tests.conftest import ROLES, Cluster
from tests.log_house import House
from tests.promises.log_scene import LogScene, chance
from tests.promises.tampering_classes import CLASSES, REFUSED, Tampering

TRIES: Final = 2
TRIES_FOR_LONG: Final = 50


@pytest.fixture(scope="module")
def built(cluster: Cluster, keyring: Keyring, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogScene]:
    """Let two companies' logs be kept, once for all tries."""
    cluster.restore()
    engines = [make_engine(cluster.url(login=login)) for login in (ROLES.app, ROLES.sequencer)]
    database, sequencer = Database(engines[0], keyring), Database(engines[1], Keyring({}))
    folder = tmp_path_factory.mktemp("outside")
    houses = [
        House.of(database, sequencer, builders.a_controller(database, key=key), folder / "log", cluster.database_url)
        for key in ("nordlys", "fjord")
    ]
    yield LogScene.build(*houses, kept=folder / "kept")
    for engine in engines:
        engine.dispose()


@pytest.fixture
def scene(built: LogScene) -> LogScene:
    """Put everything back to how it was."""
    built.put_back()
    return built


def tries(config: pytest.Config) -> int:
    return TRIES_FOR_LONG if config.getoption("--long") else TRIES


def ids(each: Tampering) -> str:
    return each.name


def found_offline(folder: Path, scene: LogScene, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Return what verify.py names; nothing where it finds all well."""
    capsys.readouterr()
    code = command.main([str(folder), "--json", *scene.auditor()])
    if code == command.ERROR:
        return {"truncated"}
    names = {finding["name"] for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert code == (command.FAILED if names else command.OK)
    return names


class TestAnUntouchedLog:
    @pytest.mark.rule("LOG-11")
    def test_is_sound_in_the_database_and_for_an_auditor(
        self, scene: LogScene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert scene.verify().findings == ()
        assert scene.verify(scene.other).findings == ()
        assert found_offline(scene.export(tmp_path / "fetched"), scene, capsys) == set()
        assert found_offline(scene.export_copy(tmp_path / "outside"), scene, capsys) == set()


class TestTampering:
    def test_there_are_many_ways(self) -> None:
        assert len(CLASSES) == len({each.name for each in CLASSES}) >= 60

    @pytest.mark.rule("LOG-11", "LOG-12")
    @pytest.mark.parametrize("tampering", CLASSES, ids=ids)
    def test_it_is_named_in_the_database_and_for_an_auditor(
        self,
        built: LogScene,
        tampering: Tampering,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        pytestconfig: pytest.Config,
    ) -> None:
        for place in range(tries(pytestconfig)):
            built.put_back()
            tampering.do(built, chance(f"{tampering.name} {place}"))

            live = built.verify().counts
            offline = fetched(built, tampering, tmp_path / str(place), capsys) if tampering.exported else None

            assert tampering.live in live, (place, live)
            assert offline is None or tampering.exported in offline, (place, offline)

    @pytest.mark.rule("LOG-12")
    def test_an_entry_that_was_moved_shows_where_it_went_too(self, scene: LogScene) -> None:
        moved = next(each for each in CLASSES if each.name == "an entry moved to another company")
        moved.do(scene, chance("moved"))

        assert "unsequenced" in scene.verify(scene.other).counts


class TestLimits:
    """What nobody can find out, tried so that nobody claims more."""

    def test_what_no_head_outside_covers_yet_can_be_taken_back(self, scene: LogScene) -> None:
        scene.house.act(5)
        placed = scene.house.place()
        log_backups.restore(scene.house, scene.whole)

        report = scene.verify()

        assert report.findings == ()
        assert report.entries < placed

    def test_once_a_head_outside_covers_it_it_cannot(self, scene: LogScene) -> None:
        scene.house.act(5)
        scene.house.begin_again()
        scene.house.keep()
        log_backups.restore(scene.house, scene.whole)

        assert "truncated" in scene.verify().counts

    def test_an_act_whose_entry_was_never_written_leaves_no_trace(self, scene: LogScene) -> None:
        scene.house.as_superuser("UPDATE controller SET legal_name = 'Somebody Else AS'")

        assert scene.verify().findings == ()


def fetched(scene: LogScene, tampering: Tampering, folder: Path, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Return what verify.py names in what can be fetched, or that nothing can."""
    try:
        bundle = scene.export_copy(folder) if tampering.of_copy else scene.export(folder)
    except ConsentServiceError:
        return {REFUSED}
    return found_offline(bundle, scene, capsys)
