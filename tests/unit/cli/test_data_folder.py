"""The data folder: held by one service at a time, and a demo for ever or never."""

import stat
from pathlib import Path

import pytest

from consent_service.cli import data_folder
from consent_service.errors import ServiceStartError


class TestHeld:
    def test_a_folder_in_use_is_refused_with_the_holder(self, tmp_path: Path) -> None:
        with (
            data_folder.held(tmp_path, demo=False),
            pytest.raises(ServiceStartError, match=r"in use by process \d+: stop that one first"),
            data_folder.held(tmp_path, demo=False),
        ):
            pass

    def test_it_is_free_again_afterwards(self, tmp_path: Path) -> None:
        with data_folder.held(tmp_path, demo=False):
            pass

        with data_folder.held(tmp_path, demo=False) as folder:
            assert folder.path == tmp_path

    def test_a_new_folder_is_for_its_owner_alone(self, tmp_path: Path) -> None:
        with data_folder.held(tmp_path / "new", demo=False) as folder:
            assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700

    def test_a_file_in_its_place_is_an_error_that_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()

        with (
            pytest.raises(ServiceStartError, match="cannot be used as data folder"),
            data_folder.held(tmp_path / "file", demo=False),
        ):
            pass


class TestDemoMark:
    def test_a_demo_folder_never_runs_without_demo(self, tmp_path: Path) -> None:
        with data_folder.held(tmp_path, demo=True):
            pass

        with (
            pytest.raises(ServiceStartError, match="is a demo folder"),
            data_folder.held(tmp_path, demo=False),
        ):
            pass

    def test_a_real_folder_never_becomes_a_demo(self, tmp_path: Path) -> None:
        with data_folder.held(tmp_path, demo=False):
            pass

        with (
            pytest.raises(ServiceStartError, match="is not a demo folder"),
            data_folder.held(tmp_path, demo=True),
        ):
            pass

    def test_a_demo_can_be_started_again(self, tmp_path: Path) -> None:
        with data_folder.held(tmp_path, demo=True):
            pass

        with data_folder.held(tmp_path, demo=True) as folder:
            assert folder.is_demo
