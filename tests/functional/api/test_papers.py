"""The proof of a declaration, for the controller's records and for the person."""

import base64
import hashlib

import pytest
from sqlalchemy import select

from consent_service.audit.models import AuditEntry
from consent_service.db.session import Database
from tests.functional.api.conftest import System


def consent(system: System) -> str:
    outcome = system.post("/v1/consents", system.report()).get_json()
    return str(outcome["consents"][0]["consent_id"])


class TestEvidence:
    def test_it_says_what_was_shown_to_the_letter(self, system: System) -> None:
        answer = system.get(f"/v1/consents/{consent(system)}/evidence")

        assert answer.mimetype == "application/json"
        piece = answer.get_json()["evidence"][0]
        assert piece["shown"]["statement"] == "Ja, jeg vil ha survey på email fra Nordlys AS."

    def test_every_look_leaves_an_entry(self, system: System, database: Database, controller: str) -> None:
        system.get(f"/v1/consents/{consent(system)}/evidence")

        with database.transaction(controller) as session:
            types = session.scalars(select(AuditEntry.type)).all()
        assert types.count("evidence.revealed") == 1

    def test_whoever_reads_html_gets_a_page_to_print(self, system: System) -> None:
        answer = system.get(f"/v1/consents/{consent(system)}/evidence", Accept="text/html")

        assert answer.mimetype == "text/html"
        assert "Ja, jeg vil ha survey" in answer.text

    def test_its_style_is_the_only_thing_that_the_page_may_use(self, system: System) -> None:
        answer = system.get(f"/v1/consents/{consent(system)}/evidence", Accept="text/html")

        style = answer.text.partition("<style>")[2].partition("</style>")[0]
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}'" in answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]

    def test_another_controller_cannot_look(self, system: System, other_system: System) -> None:
        assert system.get(f"/v1/consents/{consent(other_system)}/evidence").status_code == 404


class TestReceipt:
    @pytest.mark.parametrize("accept", ["*/*", "application/ld+json"])
    def test_it_is_json_ld_unless_asked_otherwise(self, system: System, accept: str) -> None:
        answer = system.get(f"/v1/consents/{consent(system)}/receipt", Accept=accept)

        assert answer.mimetype == "application/ld+json"
        assert answer.get_json(force=True)["@type"] == "dpv:ConsentReceipt"

    def test_it_can_be_read_and_printed(self, system: System) -> None:
        answer = system.get(f"/v1/consents/{consent(system)}/receipt", Accept="text/html", **{"Accept-Language": "nn"})

        assert answer.mimetype == "text/html"
        assert 'lang="nn"' in answer.text

    def test_it_names_no_address(self, system: System) -> None:
        path = f"/v1/consents/{consent(system)}/receipt"

        assert "nordmann" not in system.get(path).text
        assert "nordmann" not in system.get(path, Accept="text/html").text

    def test_what_is_not_offered_is_406(self, system: System) -> None:
        answer = system.get(f"/v1/consents/{consent(system)}/receipt", Accept="application/pdf")

        assert answer.status_code == 406
