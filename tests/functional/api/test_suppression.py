"""A stopped address outlives whoever held it: rows and keys may go, and no system brings a yes back."""

import psycopg
import pytest
from psycopg import sql

from tests.functional.api.conftest import KARI, System

#: All that could tell whose address it was.
OF_THE_PERSON = ("contact_point", "external_id", "personal_field", "ledger_entry", "evidence_part", "evidence")


@pytest.fixture
def forgotten(system: System, superuser_url: str) -> System:
    """Let Kari say no by a mail's link before anybody knew her, consent, say no again, and be forgotten altogether."""
    links = system.post("/v1/links", {"subject": KARI}).get_json()
    path = links["unsubscribe_url"].partition("/u/")[2]
    system.post("/v1/consents", system.report())
    assert system.client.post(f"/u/{path}", data={"List-Unsubscribe": "One-Click"}).status_code == 200
    with psycopg.connect(superuser_url) as connection:
        # Erasing people is not for the service's own roles; what frozen tables forbid is passed by here.
        connection.execute("SET session_replication_role = replica")
        for table in OF_THE_PERSON:
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
        connection.execute("DELETE FROM vault.subject_key")
        connection.execute("DELETE FROM subject")
    return system


class TestASuppressedAddress:
    @pytest.mark.rule("WD-08")
    def test_is_still_stopped_when_nothing_else_is_left(self, forgotten: System) -> None:
        assert forgotten.post("/v1/subjects/lookup", KARI).status_code == 404
        assert forgotten.check()["reason"] == "suppressed"

    @pytest.mark.rule("WD-08", "WD-09")
    @pytest.mark.parametrize(
        "who",
        [
            {"subject": KARI},
            {"subject": {"external_id": "7931"}, "additional_contact_points": [KARI]},
            {"subject": {"external_id": "7931", "contact_point": KARI}},
        ],
    )
    def test_is_not_brought_back_by_any_system(self, forgotten: System, who: dict[str, object]) -> None:
        answer = forgotten.post("/v1/consents", {**forgotten.report(), **who})

        assert answer.status_code == 409
        assert answer.get_json()["code"] == "suppressed"
        assert forgotten.post("/v1/subjects/lookup", KARI).status_code == 404
