"""Promise: when two records turn out to be one person, the strictest of what either said holds.

A person who is known twice has said no once for both. From the merge on an objection, a withdrawal or a restriction of
one record stops what the other allowed; only a later act of the person's own brings a yes back, and for no more than it
covers. What was answered about the time before the merge stays as it was (GDPR Art. 7(3), 18, 21(2)-(3)).
"""

from datetime import timedelta
from typing import Any

import pytest

from consent_service import clock as service_clock
from tests.builders import KARI
from tests.promises.world import Company, Person, World

WORK = "kari@jobb.example"
SECOND = timedelta(seconds=1)


def id_of(world: World, company: Company, email: str) -> str:
    found = world.call(company, "/v1/subjects/lookup", {"email": email}).get_json()
    return str(found["subject_id"])


def merge(world: World, company: Company, survivor: str, duplicate: str) -> None:
    world.time_passes(SECOND)
    answer = world.call(
        company, f"/v1/subjects/{survivor}/merges", {"duplicate": duplicate, "reason": "The same card."}
    )
    assert answer.status_code == 201, answer.json


def ask(world: World, company: Company, email: str = WORK, **asked: object) -> dict[str, Any]:
    world.time_passes(SECOND)
    body = {"subject": {"email": email}, "purpose": "newsletter", "channel": "email", **asked}
    answer = world.call(company, "/v1/checks", body)
    assert answer.status_code == 200, answer.json
    decision: dict[str, Any] = answer.get_json()
    return decision


def told(world: World, company: Company, path: str, body: dict[str, Any]) -> None:
    world.time_passes(SECOND)
    answer = world.call(company, path, body)
    assert answer.status_code in {200, 201}, answer.json


@pytest.fixture
def pair(world: World, company: Company) -> tuple[str, str]:
    """Let Kari get the newsletter at home and at work, as two records that nobody has put together yet."""
    world.a_subscriber(company, KARI)
    world.a_subscriber(company, WORK)
    return id_of(world, company, KARI), id_of(world, company, WORK)


@pytest.fixture(params=["the objector goes on", "the objector is the duplicate"])
def ordered(request: pytest.FixtureRequest, pair: tuple[str, str]) -> tuple[str, str]:
    """Return survivor and duplicate, either way round: which record goes on makes no difference."""
    return pair if request.param == "the objector goes on" else (pair[1], pair[0])


class TestANoOfOneRecord:
    @pytest.mark.rule("WD-03", "WD-12")
    def test_an_objection_stops_what_the_other_allowed(
        self, world: World, company: Company, ordered: tuple[str, str]
    ) -> None:
        told(world, company, "/v1/objections", {"subject": {"email": KARI}})
        assert ask(world, company)["allowed"] is True

        merge(world, company, *ordered)

        decision = ask(world, company)
        assert (decision["allowed"], decision["reason"]) == (False, "objected")
        assert decision["subject_id"] == ordered[0]

    @pytest.mark.rule("WD-12")
    def test_a_restriction_stops_both_until_it_is_lifted(
        self, world: World, company: Company, ordered: tuple[str, str], pair: tuple[str, str]
    ) -> None:
        told(world, company, f"/v1/subjects/{pair[0]}/restriction", {"restricted": True, "reason": "Disputed."})

        merge(world, company, *ordered)

        assert ask(world, company)["reason"] == "restricted"
        told(world, company, f"/v1/subjects/{ordered[0]}/restriction", {"restricted": False, "reason": "Settled."})
        assert ask(world, company)["allowed"] is True

    @pytest.mark.rule("WD-04", "WD-12")
    def test_only_a_later_confirmed_act_lifts_it_and_only_for_what_it_covers(
        self, world: World, company: Company, ordered: tuple[str, str]
    ) -> None:
        told(world, company, "/v1/objections", {"subject": {"email": KARI}})
        merge(world, company, *ordered)

        world.time_passes()
        Person(world, company, WORK).signs_up()
        world.mail_goes_out()
        Person(world, company, WORK).confirms()

        assert ask(world, company)["allowed"] is True
        assert ask(world, company, KARI)["reason"] == "objected"
        assert ask(world, company, purpose="survey")["reason"] == "objected"

    @pytest.mark.rule("WD-12")
    def test_the_time_before_the_merge_is_answered_as_it_was(
        self, world: World, company: Company, ordered: tuple[str, str], pair: tuple[str, str]
    ) -> None:
        told(world, company, "/v1/objections", {"subject": {"email": KARI}})
        before = ask(world, company)
        moment = service_clock.now().isoformat()

        merge(world, company, *ordered)

        then = ask(world, company, as_of=moment)
        assert (then["allowed"], then["reason"], then["subject_id"]) == (True, before["reason"], pair[1])

    @pytest.mark.rule("WD-12")
    def test_a_withdrawal_by_any_name_reaches_every_address(
        self, world: World, company: Company, ordered: tuple[str, str]
    ) -> None:
        merge(world, company, *ordered)

        told(world, company, "/v1/withdrawals", {"subject": {"email": KARI}})

        assert ask(world, company, KARI)["reason"] == "consent_withdrawn"
        assert ask(world, company, WORK)["reason"] == "consent_withdrawn"

    @pytest.mark.rule("WD-12")
    def test_her_choices_show_both_addresses_behind_either_link(
        self, world: World, company: Company, ordered: tuple[str, str]
    ) -> None:
        merge(world, company, *ordered)

        page = Person(world, company, WORK).asks_for_her_choices()

        assert len(page.form.ticked) == 2
