"""A command finds the database, the keys and the login of a service that runs on a data folder."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import make_url

from consent_service.accounts import api_keys
from consent_service.cli import main, opening, prepare
from consent_service.clock import OFFSET_FILE_VARIABLE
from consent_service.crypto import api_secrets
from consent_service.db import embedded
from tests.builders import NOON

VARIABLES = ("DATABASE_URL", "DATABASE_URL_APP", "CONSENT_KEYS", OFFSET_FILE_VARIABLE)


@pytest.fixture
def demo_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run the database of a demo folder as `consent up --demo` leaves it."""
    for name in VARIABLES:
        # Set first, so that it is taken back whatever the service sets itself.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    (tmp_path / "demo").write_text("A demo.\n", encoding="utf-8")
    with embedded.running(tmp_path / "postgres", durable=False) as superuser_url:
        server = embedded.find_running(tmp_path / "postgres")
        assert server is not None
        embedded.create_database(server, opening.DATABASE)
        migrator_url = make_url(superuser_url).set(database=opening.DATABASE)
        prepare.prepare(
            migrator_url=migrator_url.render_as_string(hide_password=False),
            data_dir=tmp_path,
            keys_dir=tmp_path / "keys",
            demo=True,
            public_url="http://127.0.0.1:8000",
        )
        yield tmp_path


class TestOpening:
    def test_a_command_works_beside_the_service(self, demo_folder: Path) -> None:
        def run(*words: str) -> str:
            result = CliRunner().invoke(main.consent, [*words, "--data", str(demo_folder)])
            assert result.exit_code == 0, result.output
            return result.stdout

        assert run("controllers", "list", "--quiet").split() == ["fjord-bok", "nordlys-sport"]
        purposes = json.loads(run("purposes", "list", "--controller", "nordlys-sport", "--json"))
        assert [purpose["version"] for purpose in purposes] == [1, 1, 1, 1, 1]
        words = ("api-keys", "add", "Till", "--system", "till", "--scope", "check", "--controller", "fjord-bok")
        text = run(*words, "--quiet").strip()
        assert text.startswith("cs_demo_")
        parsed = api_secrets.parse_api_key(text)
        with (
            opening.database(demo_folder) as database,
            database.transaction(parsed.controller_id) as session,
        ):
            assert api_keys.authenticate(session, parsed, at=NOON).system == "till"
