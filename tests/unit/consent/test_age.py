"""Who may consent alone: a limit by country and day, and what was said about age."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from consent_service.consent import age
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.jurisdiction import Law
from consent_service.errors import GuardianRequiredError
from consent_service.registry.controllers import Controller

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ACT = ActEvidence(method="web_form", act="checkbox_ticked", occurred_at=NOON)
SHOP = Controller(
    controller_id="ctl_1",
    key="nordlys",
    legal_name="Nordlys AS",
    display_name="Nordlys",
    organisation_number="999 999 999",
    postal_address="Storgata 1, 0001 Oslo",
    privacy_contact="personvern@nordlys.example",
    phone=None,
    country="NO",
    timezone="Europe/Oslo",
    decision_lifetime=timedelta(hours=4),
    keeps_traces=True,
)
RAISED = Law(age_limits=(("NO", date(2018, 7, 20), 13), ("NO", date(2026, 7, 1), 15)))


@pytest.mark.rule("CAP-14")
class TestLimit:
    def test_it_is_that_of_the_country(self) -> None:
        assert age.limit(SHOP, at=NOON) == 13
        assert age.limit(replace(SHOP, country="DE"), at=NOON) == 16

    def test_a_new_limit_holds_from_its_day_where_the_controller_is(self) -> None:
        midnight = datetime(2026, 6, 30, 22, 0, tzinfo=UTC)

        assert age.limit(SHOP, at=midnight - timedelta(seconds=1), law=RAISED) == 13
        assert age.limit(SHOP, at=midnight, law=RAISED) == 15


@pytest.mark.rule("CAP-14")
class TestDemand:
    @pytest.mark.parametrize("declared", [13, 14, 120])
    def test_who_is_old_enough_acts_alone(self, declared: int) -> None:
        age.demand_enough(replace(ACT, age_at_least=declared), limit=13, pointer="/age_at_least")

    @pytest.mark.parametrize("declared", [None, 0, 12])
    def test_who_is_not_or_did_not_say_needs_a_guardian(self, declared: int | None) -> None:
        with pytest.raises(GuardianRequiredError) as raised:
            age.demand_enough(replace(ACT, age_at_least=declared), limit=13, pointer="/age_at_least")

        (problem,) = raised.value.problems
        assert (problem.pointer, problem.code) == ("/age_at_least", "guardian_required")

    @pytest.mark.parametrize("declared", [None, 12])
    def test_a_guardian_acts_for_a_child(self, declared: int | None) -> None:
        act = replace(ACT, acting="guardian", age_at_least=declared)

        age.demand_enough(act, limit=13, pointer="/age_at_least")
