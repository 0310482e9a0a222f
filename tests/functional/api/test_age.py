"""A purpose for which age matters: a child's own yes is none, a guardian's is kept as theirs."""

from typing import Any

import pytest
from sqlalchemy import select

from consent_service.consent import confirmation
from consent_service.consent.models import LedgerEntry, SignupRequest
from consent_service.db.session import Database
from tests import builders
from tests.functional.api.conftest import System


@pytest.fixture
def games(system: System, database: Database, controller: str) -> System:
    """Let the shop ask for two clubs for which age matters, one of them with double opt-in, and for one survey."""
    with database.transaction(controller) as session:
        builders.a_published_purpose(session, key="games", double_opt_in=False, age_condition=True)
        builders.a_published_purpose(session, key="league", age_condition=True)
        offers = [("games", "email"), ("league", "email"), ("survey", "email")]
        form = builders.a_form(session, key="games", offers=offers)
    return System(system.client, system.key, form.form_id)


def report(system: System, purpose: str = "games", *, granted: bool = True, **said: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    whole = system.report(purpose=purpose, granted=granted)
    whole["evidence"] |= said
    return whole


def confirm(database: Database, controller: str) -> None:
    """Confirm the only request that waits."""
    with database.transaction(controller) as session:
        request = session.scalars(select(SignupRequest)).one()
        link = confirmation.create_link(session, request_id=request.id, at=request.created_at)
        press = builders.an_act(at=request.created_at)
        confirmation.confirm(session, secret=link.secret, code=None, confirmation=press, at=request.created_at)


def entries(database: Database, controller: str) -> list[tuple[int | None, bool]]:
    with database.transaction(controller) as session:
        rows = session.execute(select(LedgerEntry.age_at_least, LedgerEntry.by_guardian).order_by(LedgerEntry.seq))
        return [(row.age_at_least, row.by_guardian) for row in rows]


@pytest.mark.rule("CAP-14")
class TestAChild:
    @pytest.mark.parametrize("purpose", ["games", "league"])
    @pytest.mark.parametrize("said", [{}, {"age_at_least": 12}, {"age_at_least": 12, "acting": "subject"}])
    def test_cannot_say_yes_alone(
        self, games: System, database: Database, controller: str, purpose: str, said: dict[str, Any]
    ) -> None:
        answer = games.post("/v1/consents", report(games, purpose, **said))

        assert (answer.status_code, answer.get_json()["code"]) == (422, "guardian_required")
        assert [(each["pointer"], each["code"]) for each in answer.get_json()["errors"]] == [
            ("/evidence/age_at_least", "guardian_required")
        ]
        assert entries(database, controller) == []

    def test_may_always_say_no(self, games: System) -> None:
        answer = games.post("/v1/consents", report(games, granted=False, age_at_least=10))

        assert answer.get_json()["consents"][0]["status"] == "refused"

    def test_is_old_enough_where_age_does_not_matter(self, games: System) -> None:
        assert games.post("/v1/consents", report(games, "survey")).status_code == 201


@pytest.mark.rule("CAP-14")
class TestWhoMaySayYes:
    def test_whoever_declares_to_be_old_enough(self, games: System, database: Database, controller: str) -> None:
        answer = games.post("/v1/consents", report(games, age_at_least=13))

        assert answer.get_json()["consents"][0]["status"] == "given"
        assert entries(database, controller) == [(13, False)]

    def test_a_guardian_who_is_kept_as_the_one_who_acted(
        self, games: System, database: Database, controller: str
    ) -> None:
        said: dict[str, Any] = {"acting": "guardian", "age_at_least": 9, "operator": "opr 7", "reference": "scan 12"}

        consent = games.post("/v1/consents", report(games, **said)).get_json()["consents"][0]

        assert entries(database, controller) == [(9, True)]
        (kept,) = games.get(f"/v1/consents/{consent['consent_id']}/evidence").get_json()["evidence"]
        act = kept["acts"]["report"]
        assert (act["acting"], act["age_at_least"], act["operator"]) == ("guardian", 9, "opr 7")

    def test_the_printed_evidence_says_who_it_was(self, games: System) -> None:
        said: dict[str, Any] = {"acting": "guardian", "age_at_least": 9}
        consent = games.post("/v1/consents", report(games, **said)).get_json()["consents"][0]

        page = games.get(f"/v1/consents/{consent['consent_id']}/evidence", Accept="text/html", Accept_Language="en")

        assert "guardian" in page.text

    def test_what_was_declared_waits_with_the_request(self, games: System, database: Database, controller: str) -> None:
        answer = games.post("/v1/consents", report(games, "league", age_at_least=15))
        assert answer.get_json()["consents"][0]["status"] == "requested"

        confirm(database, controller)

        assert entries(database, controller) == [(15, False)]


class TestWhatIsRead:
    @pytest.mark.parametrize("age", [-1, 121, "13", 13.0, True])
    def test_an_age_is_a_number_of_years(self, games: System, age: object) -> None:
        answer = games.post("/v1/consents", report(games, age_at_least=age))

        assert answer.status_code == 422
        assert answer.get_json()["errors"][0]["pointer"] == "/evidence/age_at_least"

    def test_a_date_of_birth_is_not_taken(self, games: System) -> None:
        answer = games.post("/v1/consents", report(games, age_at_least=20, birth_date="2001-01-01"))

        assert answer.status_code == 422

    def test_nobody_else_acts(self, games: System) -> None:
        answer = games.post("/v1/consents", report(games, age_at_least=20, acting="teacher"))

        assert answer.get_json()["errors"][0]["pointer"] == "/evidence/acting"
