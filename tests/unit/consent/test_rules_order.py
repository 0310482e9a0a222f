"""The fourteen steps of a check as one table: each answers alone, and of two that apply the earlier one answers."""

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import combinations
from typing import Any

import pytest

from consent_service.consent import rules
from consent_service.consent.jurisdiction import Law
from consent_service.consent.rules import Entry, Facts, Offer, Relation, Reservation, Stop, Verdict
from tests.builders import NOON

DAY = timedelta(days=1)
GIVEN = Entry("given", "con_1", NOON - DAY, NOON - DAY, NOON - DAY, None, "consent", "double_opt_in", 1, "nb")
OFFER = Offer("consent", double_opt_in=True, special_category=False, recipients=())
MEMBERSHIP = Relation(
    relation="membership",
    sold_at=NOON - DAY,
    product_category="shoes",
    received_at_sale=True,
    opt_out_offered=True,
    active_until=NOON + DAY,
    recorded_at=NOON - DAY,
)
#: Interest is enough for mail and post here, so that steps 9, 10 and 11 can meet.
LAW = Law(interest_channels=(("NO", date(2009, 6, 1), frozenset({"email", "post", "web"})),))


@dataclass(frozen=True)
class Step:
    """What makes one step answer: facts, and where they matter what is offered and the latest entry."""

    number: int
    answer: str
    facts: dict[str, Any] = field(default_factory=dict)
    offer: dict[str, Any] = field(default_factory=dict)
    entry: dict[str, Any] | None = None
    name: str = ""

    def __str__(self) -> str:
        return f"{self.number}-{self.answer}{self.name and '-'}{self.name}"


INTEREST: dict[str, Any] = {"legal_basis": "legitimate_interest", "is_balanced": True}
CUSTOMERS: dict[str, Any] = {"existing_customer": True, "product_categories": ("shoes",)}
REGISTER: dict[str, Any] = {"reservation_enabled": True, "is_balanced": True}
WASHED = Reservation(washed_at=NOON, reserved=False, is_certain=True)
STEPS = (
    Step(1, "purpose_unknown", facts={"purpose_known": False}),
    Step(1, "channel_not_offered", facts={"offer": None}),
    Step(1, "contact_point_required", facts={"point_required": True}),
    Step(1, "recipient_not_named", facts={"recipient": "somebody-else"}),
    Step(2, "restricted", facts={"restricted": True}),
    Step(2, "suppressed", facts={"suppressions": (Stop(NOON),)}),
    Step(3, "basis_contract", offer={"legal_basis": "contract"}),
    Step(4, "objected", facts={"objections": (Stop(NOON),)}),
    Step(5, "consent_withdrawn", entry={"kind": "withdrawn"}),
    Step(5, "consent_revoked", facts={"recalled": True}, entry={}),
    Step(6, "consent_expired", entry={"expires_at": NOON}),
    Step(6, "notice_superseded", facts={"superseded_by": 2}, entry={}),
    Step(6, "contact_point_not_confirmed", entry={"confirmed_at": None}),
    Step(6, "age_condition_not_met", offer={"age_condition": True}, entry={"age_at_least": 12}),
    Step(6, "explicit_consent_required", offer={"special_category": True}, entry={}),
    Step(6, "evidence_too_weak", entry={"evidence_grade": "claimed"}),
    Step(7, "consent_given", entry={}),
    Step(8, "contact_point_not_confirmed", facts={"other_point_given": True}),
    Step(9, "existing_customer", facts={"relations": (MEMBERSHIP,), "channel": "email"}, offer=CUSTOMERS),
    Step(10, "legitimate_interest", offer=INTEREST),
    Step(
        11,
        "not_reserved",
        facts={"channel": "post", "reservation": WASHED, "point_since": NOON - DAY},
        offer=REGISTER,
    ),
    Step(12, "not_natural_person", facts={"is_company_address": True, "company_addresses_allowed": True}),
    Step(13, "confirmation_pending", facts={"request_waits": True}),
    Step(14, "no_consent"),
)
#: The other answers that a step can give.
VARIANTS = (
    Step(3, "basis_legal_obligation", offer={"legal_basis": "legal_obligation"}),
    Step(5, "consent_refused", entry={"kind": "refused"}),
    Step(5, "consent_revoked", entry={"kind": "revoked"}, name="by_an_entry"),
    Step(6, "notice_superseded", facts={"supersedes_at": NOON}, entry={}, name="since_now"),
    Step(9, "existing_customer_conditions_not_met", facts={"channel": "email"}, offer=CUSTOMERS),
    Step(
        11,
        "reserved",
        facts={
            "channel": "post",
            "reservation": Reservation(washed_at=NOON, reserved=True, is_certain=True),
            "point_since": NOON - DAY,
        },
        offer=REGISTER,
    ),
    Step(11, "reservation_check_stale", facts={"channel": "post"}, offer=REGISTER),
)
YES = {
    "basis_contract": "contract",
    "basis_legal_obligation": "legal_obligation",
    "consent_given": "consent",
    "existing_customer": "existing_customer",
    "legitimate_interest": "legitimate_interest",
    "not_reserved": "legitimate_interest",
    "not_natural_person": None,
}


def decide(*steps: Step) -> Verdict:
    """Decide where all these steps apply; where they need contradictory facts, those of the first are taken."""
    facts: dict[str, Any] = {"purpose_known": True, "point_required": False, "subject_id": "sub_1", "channel": "email"}
    offer, entry = OFFER, None
    for step in reversed(steps):
        offer = replace(offer, **step.offer)
        entry = entry if step.entry is None else replace(entry or GIVEN, **step.entry)
        facts |= step.facts
    return rules.decide(Facts(**({"offer": offer, "latest": entry} | facts)), at=NOON, law=LAW)


class TestEachStep:
    @pytest.mark.parametrize("step", [*STEPS, *VARIANTS], ids=str)
    def test_answers_alone(self, step: Step) -> None:
        verdict = decide(step)

        assert verdict.reason == step.answer
        assert verdict.allowed is (step.answer in YES)

    @pytest.mark.parametrize("step", [*STEPS, *VARIANTS], ids=str)
    def test_a_yes_names_its_basis_and_its_end_and_a_no_has_neither(self, step: Step) -> None:
        verdict = decide(step)

        assert verdict.legal_basis == YES.get(step.answer)
        assert (verdict.valid_until is not None) is verdict.allowed
        assert ("sender_identity" in verdict.obligations) is verdict.allowed


class TestOrder:
    @pytest.mark.parametrize(("earlier", "later"), list(combinations(STEPS, 2)), ids=str)
    def test_of_two_the_earlier_answers(self, earlier: Step, later: Step) -> None:
        assert decide(earlier, later).reason == earlier.answer

    @pytest.mark.parametrize("variant", VARIANTS, ids=str)
    def test_every_answer_of_a_step_is_earlier_than_the_next_steps(self, variant: Step) -> None:
        following = [step for step in STEPS if step.number > variant.number]

        assert {decide(variant, step).reason for step in following} == {variant.answer}

    @pytest.mark.parametrize("variant", VARIANTS, ids=str)
    def test_every_answer_of_a_step_is_later_than_the_steps_before(self, variant: Step) -> None:
        before = [step for step in STEPS if step.number < variant.number]

        assert [decide(step, variant).reason for step in before] == [step.answer for step in before]

    @pytest.mark.parametrize("first", range(len(STEPS)))
    def test_of_all_that_are_left_the_first_answers(self, first: int) -> None:
        assert decide(*STEPS[first:]).reason == STEPS[first].answer


@pytest.mark.rule("WD-03")
class TestObjection:
    @pytest.mark.parametrize("step", [step for step in STEPS if step.number > 4], ids=str)
    def test_beats_every_basis_of_marketing(self, step: Step) -> None:
        objection = Step(4, "objected", facts={"objections": (Stop(NOON - DAY),), "confirmed_act_at": None})

        verdict = decide(objection, step)

        assert (verdict.allowed, verdict.reason) == (False, "objected")


@pytest.mark.rule("NO-07")
class TestReservationWithTheTraderItself:
    @pytest.mark.parametrize("channel", ["phone", "post"])
    def test_stops_calls_and_post_to_customers_and_to_whoever_is_in_no_register(self, channel: str) -> None:
        facts = Facts(
            purpose_known=True,
            offer=replace(OFFER, **(CUSTOMERS | REGISTER)),
            point_required=False,
            subject_id="sub_1",
            channel=channel,
            relations=(MEMBERSHIP,),
            reservation=WASHED,
            point_since=NOON - DAY,
        )

        before = rules.decide(facts, at=NOON)
        objecting = replace(facts, objections=(Stop(NOON),))

        assert before.allowed
        assert rules.decide(objecting, at=NOON).reason == "objected"
        assert not rules.decide(replace(objecting, confirmed_act_at=NOON - DAY), at=NOON).allowed
        assert rules.decide(replace(objecting, confirmed_act_at=NOON + DAY), at=NOON + DAY / 24).allowed


class TestRecall:
    def test_makes_the_status_revoked_before_anything_else_ends_it(self) -> None:
        recalled = Step(5, "consent_revoked", facts={"recalled": True, "superseded_by": 2}, entry={"expires_at": NOON})

        assert decide(recalled).status == "revoked"

    def test_says_nothing_of_what_the_person_ended(self) -> None:
        verdict = decide(Step(5, "consent_withdrawn", facts={"recalled": True}, entry={"kind": "withdrawn"}))

        assert (verdict.reason, verdict.status) == ("consent_withdrawn", "withdrawn")


@pytest.mark.rule("CAP-08")
class TestMaterialNotice:
    def test_that_was_published_for_later_ends_consents_from_its_moment(self) -> None:
        notice_comes = Step(7, "consent_given", facts={"supersedes_at": NOON + DAY / 24}, entry={})
        has_come = Step(6, "notice_superseded", facts={"supersedes_at": NOON}, entry={})

        assert decide(notice_comes).valid_until == NOON + DAY / 24
        assert (decide(has_come).reason, decide(has_come).status) == ("notice_superseded", "invalidated")


class TestSpecialCategory:
    @pytest.mark.rule("CAP-13")
    @pytest.mark.parametrize("step", [step for step in STEPS if 9 <= step.number <= 12], ids=str)
    def test_rests_on_no_basis_without_consent(self, step: Step) -> None:
        health = Step(0, "no_consent", offer={"special_category": True})

        assert decide(health, step).reason == "no_consent"
