"""What holds of every decision, whatever the facts: unknown is no, a no that came last wins, stops only ever stop."""

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service.consent import rules
from consent_service.consent.rules import GRADES, Entry, Facts, Offer, Relation, Reservation, Stop
from tests.builders import NOON

HOUR = timedelta(hours=1)
OSLO = ZoneInfo("Europe/Oslo")
CHANNELS = ("email", "sms", "phone", "voice_automated", "post", "direct_message", "push", "ads", "web")
#: The public holidays between the first and the last of the moments below that fall on a working day.
HOLIDAYS = {"2026-04-02", "2026-04-03", "2026-04-06"}

moments = st.integers(-1000, 1000).map(lambda hours: NOON + hours * HOUR)
recipients = st.lists(st.sampled_from(["a", "b"]), unique=True).map(tuple)
entries = st.builds(
    Entry,
    kind=st.sampled_from(["given", "renewed", "refused", "withdrawn", "revoked"]),
    consent_id=st.just("con_1"),
    effective_at=moments,
    occurred_at=moments,
    confirmed_at=st.none() | moments,
    expires_at=st.none() | moments,
    legal_basis=st.sampled_from(["consent", "explicit_consent"]),
    evidence_grade=st.sampled_from(GRADES),
    notice_number=st.integers(1, 3),
    language=st.just("nb"),
    recipients=recipients,
    age_at_least=st.none() | st.sampled_from([12, 13, 18]),
    by_guardian=st.booleans(),
)
offers = st.builds(
    Offer,
    legal_basis=st.sampled_from(
        ["consent", "explicit_consent", "contract", "legal_obligation", "existing_customer", "legitimate_interest"]
    ),
    double_opt_in=st.booleans(),
    special_category=st.booleans(),
    recipients=recipients,
    age_condition=st.booleans(),
    existing_customer=st.booleans(),
    product_categories=st.sampled_from([(), ("shoes",)]),
    is_balanced=st.booleans(),
    reservation_enabled=st.booleans(),
)
relations = st.builds(
    Relation,
    relation=st.sampled_from(["subscription", "membership", "repeated_purchases", "single_purchase"]),
    sold_at=moments,
    product_category=st.sampled_from(["shoes", "skis"]),
    received_at_sale=st.booleans(),
    opt_out_offered=st.booleans(),
    active_until=st.none() | moments,
    recorded_at=moments,
)
washes = st.builds(Reservation, washed_at=moments, reserved=st.booleans(), is_certain=st.booleans())
stops = st.lists(st.builds(Stop, moments), max_size=2).map(tuple)
all_facts = st.builds(
    Facts,
    purpose_known=st.booleans(),
    offer=st.none() | offers,
    point_required=st.booleans(),
    recipient=st.none() | st.sampled_from(["a", "b"]),
    min_evidence=st.none() | st.sampled_from(GRADES),
    subject_id=st.none() | st.just("sub_1"),
    restricted=st.booleans(),
    suppressions=stops,
    objections=stops,
    latest=st.none() | entries,
    confirmed_act_at=st.none() | moments,
    superseded_by=st.none() | st.just(9),
    other_point_given=st.booleans(),
    request_waits=st.booleans(),
    decision_lifetime=st.sampled_from([HOUR, 4 * HOUR, 1000 * HOUR]),
    recalled=st.booleans(),
    supersedes_at=st.none() | moments,
    relations=st.lists(relations, max_size=3).map(tuple),
    reservation=st.none() | washes,
    point_since=st.none() | moments,
    is_company_address=st.booleans(),
    company_addresses_allowed=st.booleans(),
    country=st.sampled_from(["NO", "SE"]),
    channel=st.sampled_from(CHANNELS),
    objection_notice_given=st.booleans(),
    art14_notice_given=st.booleans(),
)
#: Facts that are near a yes, so that the properties speak of many of them.
near_yes = st.builds(
    replace,
    all_facts,
    purpose_known=st.just(value=True),
    offer=offers,
    point_required=st.just(value=False),
    recipient=st.none(),
    restricted=st.just(value=False),
    suppressions=st.just(()),
    latest=entries.filter(lambda entry: entry.kind in rules.GIVEN),
    superseded_by=st.none(),
    recalled=st.just(value=False),
)
#: People who said nothing, about whom much may be known that carries a yes without consent.
near_another_basis = st.builds(
    replace,
    all_facts,
    purpose_known=st.just(value=True),
    offer=offers.map(
        lambda offer: replace(
            offer,
            legal_basis="legitimate_interest",
            special_category=False,
            is_balanced=True,
            reservation_enabled=True,
            product_categories=("shoes",),
        )
    ),
    point_required=st.just(value=False),
    recipient=st.none(),
    subject_id=st.just("sub_1"),
    restricted=st.just(value=False),
    suppressions=st.just(()),
    objections=st.just(()),
    latest=st.none(),
    other_point_given=st.just(value=False),
    relations=st.lists(
        relations.map(lambda each: replace(each, received_at_sale=True, opt_out_offered=True)), min_size=1, max_size=3
    ).map(tuple),
    reservation=washes,
    point_since=moments.map(lambda moment: moment - 2000 * HOUR),
    country=st.just("NO"),
    channel=st.sampled_from(["email", "phone", "post", "web"]),
)
facts_of_any_kind = all_facts | near_yes | near_another_basis


def rests_on_consent(facts: Facts) -> bool:
    return facts.offer is None or facts.offer.legal_basis not in {"contract", "legal_obligation"}


def may_be_called(at: datetime) -> bool:
    """Say the same as the calling hours do, from nothing but the calendar of these weeks."""
    there = at.astimezone(OSLO)
    return there.weekday() < 5 and there.date().isoformat() not in HOLIDAYS and 9 <= there.hour < 21


def month(at: datetime) -> str:
    return at.astimezone(OSLO).strftime("%Y-%m")


def is_customer(facts: Facts, at: datetime) -> bool:
    return any(
        each.relation != "single_purchase"
        and each.received_at_sale
        and each.opt_out_offered
        and facts.offer is not None
        and facts.offer.existing_customer
        and each.product_category in facts.offer.product_categories
        and each.active_until is not None
        and each.sold_at <= at < each.active_until
        for each in facts.relations
    )


def was_washed(facts: Facts, at: datetime) -> bool:
    wash, since = facts.reservation, facts.point_since
    known = wash is not None and since is not None and since <= wash.washed_at <= at
    return known and wash is not None and month(wash.washed_at) == month(at)


def grounds(facts: Facts, at: datetime) -> dict[str, bool]:
    """Return for every reason of a yes whether these facts can carry it at all, whatever stands against it."""
    offer, wash = facts.offer, facts.reservation
    assert offer is not None
    in_regime = facts.channel in {"phone", "post"} and facts.country == "NO" and offer.is_balanced
    washed = in_regime and offer.reservation_enabled and was_washed(facts, at)
    return {
        "basis_contract": offer.legal_basis == "contract",
        "basis_legal_obligation": offer.legal_basis == "legal_obligation",
        "consent_given": facts.latest is not None and facts.latest.kind in rules.GIVEN,
        "existing_customer": is_customer(facts, at) and (facts.channel in {"email", "sms"} or washed),
        "legitimate_interest": offer.legal_basis == "legitimate_interest"
        and offer.is_balanced
        and facts.channel == "web",
        "not_reserved": washed and wash is not None and not wash.reserved and wash.is_certain,
        "not_natural_person": facts.is_company_address and facts.company_addresses_allowed,
    }


@given(facts=facts_of_any_kind, at=moments)
def test_a_yes_has_the_grounds_that_its_reason_claims(facts: Facts, at: datetime) -> None:
    verdict = rules.decide(facts, at=at)

    if verdict.allowed:
        assert grounds(facts, at)[verdict.reason]
        assert facts.offer is not None
        assert not facts.restricted
        assert facts.point_required is False


@given(facts=facts_of_any_kind, at=moments)
def test_a_yes_by_consent_rests_on_one_that_stands(facts: Facts, at: datetime) -> None:
    verdict = rules.decide(facts, at=at)

    if verdict.reason == "consent_given":
        assert facts.latest is not None
        assert facts.latest.kind in {"given", "renewed"}
        assert facts.latest.evidence_grade != "claimed"
        assert verdict.status in {"given", "renewed"}
        assert not facts.recalled


@given(facts=facts_of_any_kind, at=moments)
def test_whoever_said_anything_is_reached_by_consent_or_not_at_all(facts: Facts, at: datetime) -> None:
    verdict = rules.decide(facts, at=at)

    if verdict.allowed and facts.latest is not None and rests_on_consent(facts):
        assert verdict.reason == "consent_given"


@pytest.mark.rule("NO-11")
@given(facts=facts_of_any_kind, at=moments)
def test_every_yes_names_the_sender_and_every_call_shows_its_number(facts: Facts, at: datetime) -> None:
    verdict = rules.decide(facts, at=at)

    assert ("sender_identity" in verdict.obligations) is verdict.allowed
    assert ("visible_caller_id" in verdict.obligations) is (verdict.allowed and facts.channel == "phone")
    assert verdict.allowed or verdict.obligations == ()


@pytest.mark.rule("NO-08")
@given(facts=facts_of_any_kind, at=moments)
def test_a_yes_to_a_call_begins_and_ends_inside_calling_hours(facts: Facts, at: datetime) -> None:
    verdict = rules.decide(replace(facts, channel="phone", country="NO"), at=at)

    if verdict.allowed:
        assert may_be_called(at)
        assert verdict.valid_until is not None
        closing = at.astimezone(OSLO).replace(hour=21, minute=0, second=0, microsecond=0)
        assert verdict.valid_until.astimezone(OSLO).replace(tzinfo=None) <= closing.replace(tzinfo=None)


@pytest.mark.rule("NO-08")
@given(facts=facts_of_any_kind, at=moments)
def test_the_next_time_for_a_call_is_the_first_at_which_one_may_be_made(facts: Facts, at: datetime) -> None:
    verdict = rules.decide(replace(facts, channel="phone", country="NO"), at=at)

    assert (verdict.next_allowed_at is not None) is (verdict.reason == "outside_calling_hours")
    if verdict.next_allowed_at is not None:
        hours = int((verdict.next_allowed_at - at) / HOUR)
        assert at + hours * HOUR == verdict.next_allowed_at
        assert may_be_called(verdict.next_allowed_at)
        assert not any(may_be_called(at + hour * HOUR) for hour in range(hours))


@given(facts=facts_of_any_kind, at=moments)
def test_without_a_subject_it_is_no(facts: Facts, at: datetime) -> None:
    stranger = replace(facts, subject_id=None, latest=None, confirmed_act_at=None)

    assert not rules.decide(stranger, at=at).allowed


@given(facts=facts_of_any_kind, at=moments, kind=st.sampled_from(["withdrawn", "refused", "revoked"]))
def test_a_no_that_came_last_is_no(facts: Facts, at: datetime, kind: str) -> None:
    if facts.latest is not None and rests_on_consent(facts):
        ended = replace(facts, latest=replace(facts.latest, kind=kind))

        assert not rules.decide(ended, at=at).allowed


@given(facts=facts_of_any_kind, at=moments, recorded_at=moments)
def test_another_stop_never_turns_a_no_into_a_yes(facts: Facts, at: datetime, recorded_at: datetime) -> None:
    stop = Stop(recorded_at)
    more = (
        replace(facts, restricted=True),
        replace(facts, suppressions=(*facts.suppressions, stop)),
        replace(facts, objections=(*facts.objections, stop)),
        replace(facts, superseded_by=9),
        replace(facts, confirmed_act_at=None),
        replace(facts, recalled=True),
        replace(facts, supersedes_at=at),
        replace(facts, relations=()),
        replace(facts, reservation=None),
        replace(facts, reservation=Reservation(at, reserved=True, is_certain=True)),
        replace(facts, point_since=None),
        replace(facts, is_company_address=False),
        replace(facts, other_point_given=True),
    )

    before = rules.decide(facts, at=at).allowed

    assert all(before or not rules.decide(each, at=at).allowed for each in more)


@given(facts=facts_of_any_kind, at=moments, later=moments)
def test_time_alone_ends_a_yes_and_never_makes_one(facts: Facts, at: datetime, later: datetime) -> None:
    earlier, later = sorted((at, later))

    # A call waits for its hours, a customer for the sale, a register for its wash; consent only ever runs out.
    by_mail = replace(facts, channel="email", relations=())
    # Nobody can be asked before they acted: a yes of the future is doubted.
    if by_mail.latest is not None:
        earlier = max(earlier, by_mail.latest.effective_at, by_mail.latest.occurred_at)
    if earlier <= later and rules.decide(by_mail, at=later).allowed:
        assert rules.decide(by_mail, at=earlier).allowed


@pytest.mark.rule("API-15")
@given(facts=facts_of_any_kind, at=moments)
def test_a_yes_is_good_for_some_time_and_not_beyond_what_it_rests_on(facts: Facts, at: datetime) -> None:
    verdict = rules.decide(facts, at=at)

    assert (verdict.valid_until is not None) is verdict.allowed
    if verdict.valid_until is None:
        return
    assert at < verdict.valid_until <= at + facts.decision_lifetime
    if verdict.reason == "consent_given" and facts.latest is not None:
        ends = [end for end in (facts.latest.expires_at, facts.supersedes_at) if end is not None]
        assert all(verdict.valid_until <= end for end in ends)
    if verdict.reason == "not_reserved":
        assert month(verdict.valid_until - timedelta(microseconds=1)) == month(at)
    if verdict.reason == "existing_customer":
        ends = [each.active_until for each in facts.relations if each.active_until is not None]
        assert verdict.valid_until <= max(ends)


@pytest.mark.rule("API-15")
@given(facts=facts_of_any_kind, at=moments, share=st.integers(0, 99))
def test_a_yes_holds_at_every_moment_until_its_end(facts: Facts, at: datetime, share: int) -> None:
    verdict = rules.decide(facts, at=at)

    if verdict.valid_until is not None:
        within = at + (verdict.valid_until - at) * share / 100
        assert rules.decide(facts, at=within).reason == verdict.reason


@given(facts=facts_of_any_kind, at=moments, more=st.sampled_from(GRADES))
def test_asking_for_stronger_evidence_never_helps(facts: Facts, at: datetime, more: str) -> None:
    asked = replace(facts, min_evidence=more)

    if rules.decide(asked, at=at).allowed:
        assert rules.decide(replace(facts, min_evidence=None), at=at).allowed


@given(facts=facts_of_any_kind, at=moments)
def test_a_named_recipient_never_helps(facts: Facts, at: datetime) -> None:
    if rules.decide(replace(facts, recipient="a"), at=at).allowed:
        assert rules.decide(replace(facts, recipient=None), at=at).allowed


@given(facts=facts_of_any_kind, at=moments)
def test_every_answer_has_a_status_of_the_vocabulary(facts: Facts, at: datetime) -> None:
    assert rules.decide(facts, at=at).status in rules.DPV_STATUS
