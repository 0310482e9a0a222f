"""Customers, legitimate interest, the reservation register, companies, ages and calling hours, fact by fact."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from consent_service.consent import rules
from consent_service.consent.jurisdiction import IN_FORCE, Law
from consent_service.consent.rules import Entry, Facts, Offer, Relation, Reservation
from tests.builders import NOON

DAY, HOUR, MICROSECOND = timedelta(days=1), timedelta(hours=1), timedelta(microseconds=1)
YEAR = 365 * DAY

NOTHING_ELSE = Offer("consent", double_opt_in=True, special_category=False, recipients=())
TO_CUSTOMERS = replace(NOTHING_ELSE, existing_customer=True, product_categories=("shoes", "skis"))
TO_THE_UNRESERVED = replace(NOTHING_ELSE, reservation_enabled=True, is_balanced=True)
MEMBERSHIP = Relation(
    relation="membership",
    sold_at=NOON - YEAR,
    product_category="shoes",
    received_at_sale=True,
    opt_out_offered=True,
    active_until=NOON + YEAR,
    recorded_at=NOON - YEAR,
)
WASHED = Reservation(washed_at=NOON - HOUR, reserved=False, is_certain=True)
SOMEBODY = Facts(
    purpose_known=True, offer=NOTHING_ELSE, point_required=False, subject_id="sub_1", point_since=NOON - YEAR
)
CUSTOMER = replace(SOMEBODY, offer=TO_CUSTOMERS, channel="email", relations=(MEMBERSHIP,))
UNRESERVED = replace(SOMEBODY, offer=TO_THE_UNRESERVED, channel="phone", reservation=WASHED)
GIVEN = Entry("given", "con_1", NOON - DAY, NOON - DAY, NOON - DAY, None, "consent", "double_opt_in", 1, "nb")
CONSENTING = replace(SOMEBODY, latest=GIVEN, channel="phone")


def reason(facts: Facts, at: datetime = NOON, law: Law = IN_FORCE) -> str:
    return rules.decide(facts, at=at, law=law).reason


@pytest.mark.rule("NO-03")
class TestExistingCustomer:
    @pytest.mark.parametrize("channel", ["email", "sms"])
    def test_may_be_written_to_where_every_condition_is_on_record(self, channel: str) -> None:
        verdict = rules.decide(replace(CUSTOMER, channel=channel), at=NOON)

        assert (verdict.allowed, verdict.reason, verdict.status) == (True, "existing_customer", "unknown")
        assert verdict.legal_basis == "existing_customer"
        assert verdict.obligations == ("sender_identity", "objection_notice")

    @pytest.mark.parametrize(
        "missing",
        [
            {"relation": "single_purchase"},
            {"received_at_sale": False},
            {"opt_out_offered": False},
            {"product_category": "insurance"},
            {"active_until": None},
            {"active_until": NOON},
            {"sold_at": NOON + MICROSECOND},
        ],
    )
    def test_not_where_one_is_missing(self, missing: dict[str, Any]) -> None:
        verdict = rules.decide(replace(CUSTOMER, relations=(replace(MEMBERSHIP, **missing),)), at=NOON)

        assert (verdict.allowed, verdict.reason) == (False, "existing_customer_conditions_not_met")

    def test_conditions_of_two_relations_do_not_add_up(self) -> None:
        halves = (replace(MEMBERSHIP, opt_out_offered=False), replace(MEMBERSHIP, received_at_sale=False))

        assert reason(replace(CUSTOMER, relations=halves)) == "existing_customer_conditions_not_met"

    def test_is_nobody_without_a_record(self) -> None:
        assert reason(replace(CUSTOMER, relations=())) == "existing_customer_conditions_not_met"
        assert reason(replace(CUSTOMER, subject_id=None)) == "existing_customer_conditions_not_met"

    def test_is_off_until_the_controller_turns_it_on(self) -> None:
        assert reason(replace(CUSTOMER, offer=replace(TO_CUSTOMERS, existing_customer=False))) == "no_consent"
        assert Offer("consent", double_opt_in=True, special_category=False, recipients=()).existing_customer is False

    @pytest.mark.parametrize("channel", ["voice_automated", "push", "direct_message", "ads", "web", "phone", "post"])
    def test_is_no_basis_on_other_channels(self, channel: str) -> None:
        assert reason(replace(CUSTOMER, channel=channel)) == "no_consent"

    def test_the_way_out_is_owed_in_each_message_also_after_it_was_told(self) -> None:
        told = replace(CUSTOMER, objection_notice_given=True, art14_notice_given=True)

        assert rules.decide(told, at=NOON).obligations == ("sender_identity", "objection_notice")

    def test_the_yes_ends_with_the_relation(self) -> None:
        ending = replace(CUSTOMER, relations=(replace(MEMBERSHIP, active_until=NOON + HOUR),))

        assert rules.decide(ending, at=NOON).valid_until == NOON + HOUR
        assert not rules.decide(ending, at=NOON + HOUR).allowed

    def test_what_was_recorded_last_of_a_relation_holds(self) -> None:
        cancelled = replace(MEMBERSHIP, active_until=NOON - DAY, recorded_at=NOON - DAY)
        other_kind = replace(cancelled, relation="subscription")
        other_goods = replace(cancelled, product_category="skis")

        assert not rules.decide(replace(CUSTOMER, relations=(MEMBERSHIP, cancelled)), at=NOON).allowed
        assert not rules.decide(replace(CUSTOMER, relations=(cancelled, MEMBERSHIP)), at=NOON).allowed
        assert rules.decide(replace(CUSTOMER, relations=(MEMBERSHIP, other_kind, other_goods)), at=NOON).allowed

    def test_of_several_relations_the_longest_carries(self) -> None:
        short = replace(MEMBERSHIP, relation="subscription", active_until=NOON + HOUR)

        assert rules.decide(replace(CUSTOMER, relations=(short, MEMBERSHIP)), at=NOON).valid_until == NOON + 4 * HOUR


class TestSinglePurchase:
    @pytest.mark.rule("NO-04")
    def test_makes_no_relation_and_goes_unnoticed_beside_a_lasting_one(self) -> None:
        purchase = replace(MEMBERSHIP, relation="single_purchase")

        assert reason(replace(CUSTOMER, relations=(purchase,))) == "existing_customer_conditions_not_met"
        assert reason(replace(CUSTOMER, relations=(purchase, purchase))) == "existing_customer_conditions_not_met"
        assert reason(replace(CUSTOMER, relations=(MEMBERSHIP, purchase))) == "existing_customer"


class TestLegitimateInterest:
    @pytest.mark.rule("NO-01")
    @pytest.mark.parametrize("channel", ["email", "sms", "voice_automated", "push", "direct_message", "phone", "post"])
    def test_is_no_basis_for_reaching_a_person(self, channel: str) -> None:
        offer = replace(NOTHING_ELSE, legal_basis="legitimate_interest", is_balanced=True)

        assert reason(replace(SOMEBODY, offer=offer, channel=channel)) == "no_consent"

    def test_carries_the_site_where_the_balancing_is_on_record(self) -> None:
        offer = replace(NOTHING_ELSE, legal_basis="legitimate_interest", is_balanced=True)
        visitor = replace(SOMEBODY, offer=offer, channel="web")

        verdict = rules.decide(visitor, at=NOON)

        assert (verdict.allowed, verdict.legal_basis) == (True, "legitimate_interest")
        assert reason(replace(visitor, offer=replace(offer, is_balanced=False))) == "no_consent"
        assert reason(replace(visitor, offer=replace(offer, legal_basis="consent"))) == "no_consent"
        assert reason(replace(visitor, subject_id=None)) == "no_consent"
        assert reason(replace(visitor, country="SE")) == "no_consent"

    def test_notices_are_owed_until_they_were_given(self) -> None:
        offer = replace(NOTHING_ELSE, legal_basis="legitimate_interest", is_balanced=True)
        visitor = replace(SOMEBODY, offer=offer, channel="web")

        def owed(*, objection: bool = False, art14: bool = False) -> tuple[str, ...]:
            facts = replace(visitor, objection_notice_given=objection, art14_notice_given=art14)
            return rules.decide(facts, at=NOON).obligations

        assert owed() == ("sender_identity", "objection_notice", "art14_notice")
        assert owed(objection=True) == ("sender_identity", "art14_notice")
        assert owed(art14=True) == ("sender_identity", "objection_notice")
        assert owed(objection=True, art14=True) == ("sender_identity",)


class TestReservationRegime:
    @pytest.mark.rule("NO-02")
    def test_carries_live_calls_and_post_and_nothing_else(self) -> None:
        answers = {
            channel: reason(replace(UNRESERVED, channel=channel))
            for channel in ("phone", "post", "email", "sms", "voice_automated", "direct_message")
        }

        assert {channel for channel, answer in answers.items() if answer == "not_reserved"} == {"phone", "post"}
        assert set(answers.values()) == {"not_reserved", "no_consent"}

    def test_rests_on_the_recorded_balancing(self) -> None:
        verdict = rules.decide(UNRESERVED, at=NOON)

        assert verdict.legal_basis == "legitimate_interest"
        assert verdict.obligations == ("sender_identity", "visible_caller_id", "objection_notice", "art14_notice")
        for offer in (
            replace(TO_THE_UNRESERVED, is_balanced=False),
            replace(TO_THE_UNRESERVED, reservation_enabled=False),
        ):
            assert reason(replace(UNRESERVED, offer=offer)) == "no_consent"

    def test_is_replaced_by_opt_in_on_a_day(self) -> None:
        reform = Law(regimes=(*IN_FORCE.regimes, ("NO", date(2026, 3, 4), "opt_in")))
        midnight = datetime(2026, 3, 3, 23, tzinfo=UTC)
        to_write_to = replace(UNRESERVED, channel="post")

        assert reason(to_write_to, midnight - MICROSECOND, reform) == "not_reserved"
        assert reason(to_write_to, midnight, reform) == "no_consent"
        assert reason(to_write_to, midnight) == "not_reserved"
        assert reason(replace(to_write_to, country="SE")) == "no_consent"

    def test_no_yes_reaches_beyond_a_change_of_the_law(self) -> None:
        reform = Law(regimes=(*IN_FORCE.regimes, ("NO", date(2026, 3, 4), "opt_in")))
        midnight = datetime(2026, 3, 3, 23, tzinfo=UTC)

        verdict = rules.decide(replace(UNRESERVED, channel="post"), at=midnight - HOUR, law=reform)

        assert verdict.valid_until == midnight

    @pytest.mark.rule("NO-05")
    @pytest.mark.parametrize("channel", ["phone", "post"])
    @pytest.mark.parametrize(
        "facts",
        [
            {"reservation": None},
            # The last moment of February in Oslo, 23:00 UTC being midnight there.
            {"reservation": replace(WASHED, washed_at=datetime(2026, 2, 28, 22, 59, 59, tzinfo=UTC))},
            {"reservation": replace(WASHED, washed_at=NOON - YEAR)},
            {"reservation": replace(WASHED, washed_at=NOON + MICROSECOND)},
            {"point_since": NOON - HOUR + MICROSECOND},
            {"point_since": None},
            {"reservation": replace(WASHED, washed_at=NOON - YEAR, reserved=True)},
        ],
    )
    def test_needs_a_wash_of_this_month_that_knew_the_point(self, channel: str, facts: dict[str, Any]) -> None:
        assert reason(replace(UNRESERVED, channel=channel, **facts)) == "reservation_check_stale"

    @pytest.mark.rule("NO-05")
    def test_the_month_is_the_controllers(self) -> None:
        first_moment = datetime(2026, 2, 28, 23, tzinfo=UTC)
        facts = replace(UNRESERVED, reservation=replace(WASHED, washed_at=first_moment), point_since=first_moment)

        assert reason(facts) == "not_reserved"
        assert reason(replace(facts, timezone="UTC")) == "reservation_check_stale"

    @pytest.mark.rule("NO-05", "API-15")
    def test_the_yes_ends_with_the_month(self) -> None:
        end = datetime(2026, 3, 31, 22, tzinfo=UTC)
        to_write_to = replace(UNRESERVED, channel="post")

        assert rules.decide(to_write_to, at=end - HOUR).valid_until == end
        assert reason(to_write_to, end) == "reservation_check_stale"

    @pytest.mark.rule("NO-06")
    @pytest.mark.parametrize("channel", ["phone", "post"])
    @pytest.mark.parametrize(
        "found", [{"reserved": True}, {"is_certain": False}, {"reserved": True, "is_certain": False}]
    )
    def test_who_reserved_or_perhaps_did_is_left_alone(self, channel: str, found: dict[str, Any]) -> None:
        verdict = rules.decide(replace(UNRESERVED, channel=channel, reservation=replace(WASHED, **found)), at=NOON)

        assert (verdict.allowed, verdict.reason) == (False, "reserved")

    @pytest.mark.rule("NO-06")
    @pytest.mark.parametrize("channel", ["phone", "post"])
    def test_a_customer_may_be_reached_in_spite_of_it(self, channel: str) -> None:
        customer = replace(
            UNRESERVED,
            channel=channel,
            offer=replace(TO_THE_UNRESERVED, existing_customer=True, product_categories=("shoes",)),
            reservation=replace(WASHED, reserved=True),
            relations=(MEMBERSHIP,),
        )
        stranger = replace(customer, relations=(replace(MEMBERSHIP, relation="single_purchase"),))
        switched_off = replace(customer, offer=replace(TO_THE_UNRESERVED, product_categories=("shoes",)))

        verdict = rules.decide(customer, at=NOON)

        assert (verdict.allowed, verdict.reason, verdict.legal_basis) == (
            True,
            "existing_customer",
            "existing_customer",
        )
        assert "objection_notice" in verdict.obligations
        assert reason(stranger) == reason(switched_off) == "reserved"
        assert reason(replace(customer, reservation=None)) == "reservation_check_stale"

    @pytest.mark.rule("NO-06")
    def test_a_consent_to_calls_from_this_controller_goes_before(self) -> None:
        reserved = replace(CONSENTING, offer=TO_THE_UNRESERVED, reservation=replace(WASHED, reserved=True))

        assert reason(reserved) == "consent_given"

    def test_a_customers_yes_ends_with_the_month_of_the_wash_and_with_the_relation(self) -> None:
        end = datetime(2026, 3, 31, 22, tzinfo=UTC)
        customer = replace(
            UNRESERVED,
            channel="post",
            offer=replace(TO_THE_UNRESERVED, existing_customer=True, product_categories=("shoes",)),
            reservation=replace(WASHED, reserved=True),
            relations=(MEMBERSHIP,),
        )
        leaving = replace(customer, relations=(replace(MEMBERSHIP, active_until=end - HOUR),))

        assert rules.decide(customer, at=end - 2 * HOUR).valid_until == end
        assert rules.decide(leaving, at=end - 2 * HOUR).valid_until == end - HOUR


class TestCompanyAddress:
    def test_is_no_person_where_it_was_classified_and_the_controller_allows_it(self) -> None:
        company = replace(SOMEBODY, channel="email", is_company_address=True, company_addresses_allowed=True)

        verdict = rules.decide(company, at=NOON)

        assert (verdict.allowed, verdict.reason, verdict.legal_basis) == (True, "not_natural_person", None)
        assert verdict.obligations == ("sender_identity", "objection_notice")
        assert rules.decide(replace(company, objection_notice_given=True), at=NOON).obligations == ("sender_identity",)
        off: dict[str, Any]
        for off in ({"is_company_address": False}, {"company_addresses_allowed": False}, {"subject_id": None}):
            assert reason(replace(company, **off)) == "no_consent"


@pytest.mark.rule("CAP-14")
class TestAgeCondition:
    ASKING_FOR_AGE = replace(NOTHING_ELSE, age_condition=True)

    @pytest.mark.parametrize(
        ("declared", "by_guardian", "answer"),
        [
            (None, False, "age_condition_not_met"),
            (12, False, "age_condition_not_met"),
            (13, False, "consent_given"),
            (18, False, "consent_given"),
            (None, True, "consent_given"),
            (9, True, "consent_given"),
        ],
    )
    def test_takes_the_age_of_the_country_or_a_guardian(
        self, declared: int | None, answer: str, *, by_guardian: bool
    ) -> None:
        entry = replace(GIVEN, age_at_least=declared, by_guardian=by_guardian)

        assert reason(replace(CONSENTING, offer=self.ASKING_FOR_AGE, latest=entry)) == answer

    def test_is_the_strictest_in_a_country_without_a_row(self) -> None:
        child = replace(CONSENTING, offer=self.ASKING_FOR_AGE, latest=replace(GIVEN, age_at_least=15), country="DE")

        assert reason(child) == "age_condition_not_met"
        assert reason(replace(child, latest=replace(GIVEN, age_at_least=16))) == "consent_given"

    def test_a_limit_to_come_changes_answers_from_its_day_and_no_earlier(self) -> None:
        reform = Law(age_limits=(*IN_FORCE.age_limits, ("NO", date(2026, 3, 4), 15)))
        midnight = datetime(2026, 3, 3, 23, tzinfo=UTC)
        child = replace(CONSENTING, offer=self.ASKING_FOR_AGE, latest=replace(GIVEN, age_at_least=13), channel="email")
        older = replace(child, latest=replace(GIVEN, age_at_least=15))

        last = rules.decide(child, at=midnight - MICROSECOND, law=reform)

        assert (last.allowed, last.valid_until) == (True, midnight)
        assert reason(child, midnight, reform) == "age_condition_not_met"
        assert reason(older, midnight, reform) == "consent_given"
        assert reason(child, midnight) == "consent_given"
        assert reason(replace(child, offer=NOTHING_ELSE), midnight, reform) == "consent_given"

    def test_a_lower_limit_makes_no_consent_of_what_was_none(self) -> None:
        reform = Law(age_limits=(("NO", date(2018, 7, 20), 15), ("NO", date(2026, 3, 2), 13)))
        early = replace(GIVEN, age_at_least=13, occurred_at=NOON - DAY)
        late = replace(early, occurred_at=NOON)

        assert (
            reason(replace(CONSENTING, offer=self.ASKING_FOR_AGE, latest=early), law=reform) == "age_condition_not_met"
        )
        assert reason(replace(CONSENTING, offer=self.ASKING_FOR_AGE, latest=late), law=reform) == "consent_given"


@pytest.mark.rule("NO-08")
class TestCallingHours:
    #: A Friday evening; the next opening is on Monday.
    NIGHT = datetime(2026, 3, 6, 20, tzinfo=UTC)
    MONDAY = datetime(2026, 3, 9, 8, tzinfo=UTC)

    @pytest.mark.parametrize(
        "yes",
        [
            CONSENTING,
            UNRESERVED,
            replace(CONSENTING, offer=replace(NOTHING_ELSE, legal_basis="contract")),
            replace(SOMEBODY, channel="phone", is_company_address=True, company_addresses_allowed=True),
            replace(
                UNRESERVED,
                offer=replace(TO_THE_UNRESERVED, existing_customer=True, product_categories=("shoes",)),
                reservation=replace(WASHED, reserved=True),
                relations=(MEMBERSHIP,),
            ),
        ],
        ids=["consent", "register", "contract", "company", "customer"],
    )
    def test_bind_every_yes(self, yes: Facts) -> None:
        by_day, by_night = rules.decide(yes, at=NOON), rules.decide(yes, at=self.NIGHT)

        assert by_day.allowed
        assert "visible_caller_id" in by_day.obligations
        assert (by_night.allowed, by_night.reason) == (False, "outside_calling_hours")
        assert by_night.next_allowed_at == self.MONDAY
        assert (by_night.valid_until, by_night.legal_basis, by_night.obligations) == (None, None, ())
        assert by_night.status == by_day.status

    @pytest.mark.parametrize("channel", ["email", "sms", "post", "voice_automated", "web"])
    def test_bind_live_calls_only(self, channel: str) -> None:
        assert reason(replace(CONSENTING, channel=channel), self.NIGHT) == "consent_given"

    def test_a_no_keeps_its_own_reason(self) -> None:
        verdict = rules.decide(replace(CONSENTING, latest=replace(GIVEN, kind="withdrawn")), at=self.NIGHT)

        assert (verdict.reason, verdict.next_allowed_at) == ("consent_withdrawn", None)

    @pytest.mark.rule("API-15")
    def test_the_yes_ends_when_they_end(self) -> None:
        closing = datetime(2026, 3, 2, 20, tzinfo=UTC)

        assert rules.decide(CONSENTING, at=closing - HOUR).valid_until == closing
        assert rules.decide(CONSENTING, at=NOON).valid_until == NOON + 4 * HOUR
        assert not rules.decide(CONSENTING, at=closing).allowed
