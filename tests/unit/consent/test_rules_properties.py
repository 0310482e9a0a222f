"""What holds of every decision, whatever the facts: unknown is no, a no that came last wins, stops only ever stop."""

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from consent_service.consent import rules
from consent_service.consent.rules import GRADES, Entry, Facts, Offer, Stop
from tests.builders import NOON

HOUR = timedelta(hours=1)

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
)
offers = st.builds(
    Offer,
    legal_basis=st.sampled_from(
        ["consent", "explicit_consent", "contract", "legal_obligation", "existing_customer", "legitimate_interest"]
    ),
    double_opt_in=st.booleans(),
    special_category=st.booleans(),
    recipients=recipients,
)
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
    decision_lifetime=st.sampled_from([HOUR, 4 * HOUR]),
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
    latest=entries.filter(lambda entry: entry.kind in rules.GIVEN),
    superseded_by=st.none(),
)
facts_of_any_kind = all_facts | near_yes


def rests_on_consent(facts: Facts) -> bool:
    return facts.offer is None or facts.offer.legal_basis not in {"contract", "legal_obligation"}


@given(facts=facts_of_any_kind, at=moments)
def test_a_yes_rests_on_a_consent_that_stands_or_on_a_basis_without_consent(facts: Facts, at: datetime) -> None:
    verdict = rules.decide(facts, at=at)

    if verdict.allowed and rests_on_consent(facts):
        assert facts.latest is not None
        assert facts.latest.kind in {"given", "renewed"}
        assert facts.latest.evidence_grade != "claimed"
        assert verdict.status in {"given", "renewed"}
        assert verdict.reason == "consent_given"


@given(facts=facts_of_any_kind, at=moments)
def test_without_a_subject_it_is_no(facts: Facts, at: datetime) -> None:
    stranger = replace(facts, subject_id=None, latest=None, confirmed_act_at=None)

    assert not rules.decide(stranger, at=at).allowed


@given(facts=facts_of_any_kind, at=moments, kind=st.sampled_from(["withdrawn", "refused", "revoked"]))
def test_a_no_that_came_last_is_no(facts: Facts, at: datetime, kind: str) -> None:
    ended = replace(facts, latest=None if facts.latest is None else replace(facts.latest, kind=kind))

    if rests_on_consent(facts):
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
    )

    before = rules.decide(facts, at=at).allowed

    assert all(before or not rules.decide(each, at=at).allowed for each in more)


@given(facts=facts_of_any_kind, at=moments, later=moments)
def test_time_alone_ends_a_yes_and_never_makes_one(facts: Facts, at: datetime, later: datetime) -> None:
    earlier, later = sorted((at, later))

    if rules.decide(facts, at=later).allowed:
        assert rules.decide(facts, at=earlier).allowed


@given(facts=facts_of_any_kind, at=moments)
def test_a_yes_is_good_for_some_time_and_not_beyond_the_consent(facts: Facts, at: datetime) -> None:
    verdict = rules.decide(facts, at=at)

    if verdict.allowed:
        assert verdict.valid_until is not None
        assert at < verdict.valid_until <= at + facts.decision_lifetime
        if verdict.reason == "consent_given" and facts.latest is not None and facts.latest.expires_at is not None:
            assert verdict.valid_until <= facts.latest.expires_at
    else:
        assert verdict.valid_until is None


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
