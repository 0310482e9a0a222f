"""The demo world is whole, is made once, and is told to programs in demo.json."""

import json
import stat
from pathlib import Path
from typing import Any

import psycopg
import pytest

from consent_service.accounts import api_keys
from consent_service.cli import demo_world
from consent_service.cli.demo_world import DemoWorld
from consent_service.crypto import api_secrets
from consent_service.db.session import Database
from consent_service.errors import ServiceStartError
from consent_service.registry import forms, purposes
from tests.builders import NOON

URL = "http://127.0.0.1:8123"


def seed(database: Database, folder: Path, *, public_url: str = URL) -> DemoWorld:
    return demo_world.seed(database, data_dir=folder, public_url=public_url, at=NOON)


def written(folder: Path) -> Any:  # noqa: ANN401 - JSON as a program reads it
    return json.loads((folder / "demo.json").read_text(encoding="utf-8"))


class TestSeed:
    def test_the_file_tells_programs_everything(self, database: Database, tmp_path: Path) -> None:
        seed(database, tmp_path)

        document = written(tmp_path)
        assert list(document) == ["base_url", "mail_dir", "sms_dir", "controllers"]
        assert document["base_url"] == URL
        assert document["mail_dir"] == str(tmp_path / "mail")
        assert [controller["key"] for controller in document["controllers"]] == ["nordlys-sport", "fjord-bok"]
        nordlys, fjord = document["controllers"]
        assert list(nordlys) == ["key", "api_key", "check_only_api_key", "forms", "operators"]
        assert set(nordlys["forms"]) == {"kundeklubb", "nyhetsbrev"}
        assert set(fjord["forms"]) == {"nyhetsbrev"}
        assert {operator["role"] for operator in nordlys["operators"]} == {"dpo", "admin"}
        assert nordlys["operators"][0]["email"] == "dpo@nordlys.example"

    def test_the_file_is_for_its_owner_alone(self, database: Database, tmp_path: Path) -> None:
        world = seed(database, tmp_path)

        assert stat.S_IMODE((tmp_path / "demo.json").stat().st_mode) == 0o600
        assert world.controllers[0].api_key not in repr(world)
        assert world.controllers[0].operators[0].password not in repr(world)

    def test_the_keys_open_their_own_controller(self, database: Database, tmp_path: Path) -> None:
        for controller in seed(database, tmp_path).controllers:
            everything = api_secrets.parse_api_key(controller.api_key)
            checks = api_secrets.parse_api_key(controller.check_only_api_key)

            with database.transaction(everything.controller_id) as session:
                assert api_keys.authenticate(session, everything, at=NOON).scopes == api_keys.SCOPES
                assert api_keys.authenticate(session, checks, at=NOON).scopes == ("check",)
            assert controller.api_key.startswith("cs_demo_")

    @pytest.mark.parametrize("language", ["nb", "nn", "en"])
    @pytest.mark.rule("CAP-04")
    def test_the_customer_club_offers_all_purposes_in_every_language(
        self, database: Database, tmp_path: Path, language: str
    ) -> None:
        nordlys = seed(database, tmp_path).controllers[0]
        controller_id = api_secrets.parse_api_key(nordlys.api_key).controller_id

        with database.transaction(controller_id) as session:
            form = forms.current(session, form_id=nordlys.forms["kundeklubb"], at=NOON)
            shown = forms.shown(session, form=form, language=language, at=NOON)

        assert [(box.purpose, box.channel) for box in shown.boxes] == [
            ("newsletter", "email"),
            ("sms_offers", "sms"),
            ("profiling", "web"),
            ("ad_audiences", "ads"),
            ("customer_survey", "email"),
            ("customer_survey", "sms"),
        ]
        assert all("Nordlys Sport AS" in box.statement for box in shown.boxes)
        assert shown.boxes[3].recipients == ("Google Ireland Limited", "Meta Platforms Ireland Limited")
        assert [(field.name, field.required) for field in shown.fields] == [
            ("email", True),
            ("phone", False),
            ("name", False),
        ]

    def test_double_opt_in_is_as_documented(self, database: Database, tmp_path: Path) -> None:
        nordlys = seed(database, tmp_path).controllers[0]

        with database.transaction(api_secrets.parse_api_key(nordlys.api_key).controller_id) as session:
            asked = {purpose.key: purpose.double_opt_in for purpose in purposes.list_all(session)}

        assert asked == {
            "newsletter": True,
            "sms_offers": True,
            "profiling": False,
            "ad_audiences": True,
            "customer_survey": False,
        }

    def test_every_act_of_the_registry_is_in_the_audit_log(
        self, database: Database, tmp_path: Path, superuser_url: str
    ) -> None:
        seed(database, tmp_path)

        with psycopg.connect(superuser_url) as connection:
            counted: dict[str, int] = dict(
                connection.execute(
                    "SELECT type, count(*) FROM audit.entry JOIN controller_directory USING (controller_id)"
                    " WHERE key IN ('nordlys-sport', 'fjord-bok') GROUP BY type"
                ).fetchall()
            )
        assert counted == {
            "api_key.created": 4,
            "controller.created": 2,
            "form.created": 3,
            "form.version_created": 3,
            "notice.drafted": 6,
            "notice.published": 6,
            "operator.created": 4,
            "purpose.created": 6,
            "recipient.created": 4,
        }

    def test_a_form_may_be_embedded_from_the_demo_origins(self, database: Database, tmp_path: Path) -> None:
        nordlys = seed(database, tmp_path).controllers[0]

        with database.transaction(api_secrets.parse_api_key(nordlys.api_key).controller_id) as session:
            form = forms.current(session, form_id=nordlys.forms["nyhetsbrev"], at=NOON)

        assert form.definition.origins == (URL, "http://localhost:8001", "http://127.0.0.1:8001")

    def test_a_second_start_makes_nothing_new(self, database: Database, tmp_path: Path) -> None:
        first = seed(database, tmp_path)

        second = seed(database, tmp_path, public_url="http://127.0.0.1:9000")

        assert second.controllers == first.controllers
        assert written(tmp_path)["base_url"] == "http://127.0.0.1:9000"

    def test_a_file_without_its_database_is_replaced(self, database: Database, tmp_path: Path) -> None:
        (tmp_path / "demo.json").write_text('{"controllers": []}', encoding="utf-8")

        seed(database, tmp_path)

        assert len(written(tmp_path)["controllers"]) == 2

    @pytest.mark.parametrize("text", [None, "{", "[]", '{"controllers": [{}]}'])
    def test_a_database_without_its_file_is_refused(self, database: Database, tmp_path: Path, text: str | None) -> None:
        seed(database, tmp_path)
        (tmp_path / "demo.json").unlink()
        if text is not None:
            (tmp_path / "demo.json").write_text(text, encoding="utf-8")

        with pytest.raises(ServiceStartError):
            seed(database, tmp_path)
