"""The order in which a check decides, rule by rule: the first that applies answers."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from consent_service.consent import rules
from consent_service.consent.rules import DPV_STATUS, Entry, Facts, Offer, Stop
from tests.builders import NOON

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)

OFFER = Offer(legal_basis="consent", double_opt_in=True, special_category=False, recipients=("nordlys-post",))
GIVEN = Entry(
    kind="given",
    consent_id="con_1",
    effective_at=NOON - DAY,
    occurred_at=NOON - DAY,
    confirmed_at=NOON - DAY,
    expires_at=None,
    legal_basis="consent",
    evidence_grade="double_opt_in",
    notice_number=1,
    language="nb",
    recipients=("nordlys-post",),
)
#: A person whose consent stands, about whom nothing else is known.
YES = Facts(
    purpose_known=True, offer=OFFER, point_required=False, subject_id="sub_1", latest=GIVEN, confirmed_act_at=NOON - DAY
)

#: One fact each, in the order of the rules, that alone turns the yes of YES into this answer.
STOPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("purpose_unknown", {"purpose_known": False}),
    ("channel_not_offered", {"offer": None}),
    ("contact_point_required", {"point_required": True}),
    ("recipient_not_named", {"recipient": "somebody-else"}),
    ("restricted", {"restricted": True}),
    ("suppressed", {"suppressions": (Stop(NOON),)}),
    ("objected", {"objections": (Stop(NOON),)}),
)
#: Faults of a consent that stands, in the order of the rules.
FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("unavailable", {"effective_at": NOON + DAY}),
    ("evidence_too_weak", {"notice_number": None}),
    ("consent_expired", {"expires_at": NOON}),
    ("contact_point_not_confirmed", {"confirmed_at": None}),
    ("evidence_too_weak", {"evidence_grade": "claimed"}),
)


def reason(facts: Facts) -> str:
    return rules.decide(facts, at=NOON).reason


class TestOrder:
    def test_a_consent_that_stands_is_yes(self) -> None:
        verdict = rules.decide(YES, at=NOON)

        assert (verdict.allowed, verdict.reason, verdict.status) == (True, "consent_given", "given")
        assert verdict.legal_basis == "consent"
        assert verdict.obligations == ("sender_identity",)

    @pytest.mark.parametrize(("answer", "fact"), STOPS)
    def test_each_stop_alone_says_no(self, answer: str, fact: dict[str, Any]) -> None:
        verdict = rules.decide(replace(YES, **fact), at=NOON)

        assert (verdict.allowed, verdict.reason) == (False, answer)
        assert verdict.valid_until is None
        assert verdict.legal_basis is None
        assert verdict.obligations == ()

    @pytest.mark.parametrize("first", range(len(STOPS)))
    def test_the_first_stop_answers_whatever_follows(self, first: int) -> None:
        facts = YES
        for _, fact in STOPS[first:]:
            facts = replace(facts, **fact)

        assert reason(facts) == STOPS[first][0]

    @pytest.mark.parametrize(("answer", "fault"), FAULTS)
    def test_each_fault_of_a_consent_says_no(self, answer: str, fault: dict[str, Any]) -> None:
        assert reason(replace(YES, latest=replace(GIVEN, **fault))) == answer

    @pytest.mark.parametrize("first", range(len(FAULTS)))
    def test_the_first_fault_answers_whatever_follows(self, first: int) -> None:
        entry = GIVEN
        for _, fault in FAULTS[first:]:
            entry = replace(entry, **fault)

        assert reason(replace(YES, latest=entry)) == FAULTS[first][0]

    def test_expiry_goes_before_a_new_notice_and_that_before_the_rest(self) -> None:
        weak = replace(GIVEN, confirmed_at=None, evidence_grade="claimed")

        assert reason(replace(YES, latest=replace(weak, expires_at=NOON), superseded_by=2)) == "consent_expired"
        assert reason(replace(YES, latest=weak, superseded_by=2)) == "notice_superseded"

    @pytest.mark.parametrize(
        ("kind", "answer"),
        [("withdrawn", "consent_withdrawn"), ("refused", "consent_refused"), ("revoked", "consent_revoked")],
    )
    def test_a_no_that_came_last_answers_before_any_fault(self, kind: str, answer: str) -> None:
        entry = replace(GIVEN, kind=kind, expires_at=NOON - DAY, confirmed_at=None)

        assert reason(replace(YES, latest=entry, superseded_by=2, other_point_given=True, request_waits=True)) == answer

    def test_an_objection_answers_before_a_no_in_the_ledger(self) -> None:
        entry = replace(GIVEN, kind="withdrawn")

        assert reason(replace(YES, latest=entry, objections=(Stop(NOON),))) == "objected"

    def test_without_an_act_another_address_goes_before_a_request(self) -> None:
        nothing = replace(YES, latest=None, confirmed_act_at=None)

        assert reason(replace(nothing, other_point_given=True, request_waits=True)) == "contact_point_not_confirmed"
        assert reason(replace(nothing, request_waits=True)) == "confirmation_pending"
        assert reason(nothing) == "no_consent"


@pytest.mark.rule("ACC-01")
class TestUnknown:
    @pytest.mark.parametrize(
        "facts",
        [
            Facts(purpose_known=False, offer=None, point_required=False),
            Facts(purpose_known=True, offer=None, point_required=False),
            Facts(purpose_known=True, offer=OFFER, point_required=False),
            Facts(purpose_known=True, offer=OFFER, point_required=False, subject_id="sub_1"),
            Facts(purpose_known=True, offer=replace(OFFER, legal_basis="contract"), point_required=False),
            Facts(purpose_known=True, offer=replace(OFFER, legal_basis="existing_customer"), point_required=False),
            Facts(purpose_known=True, offer=replace(OFFER, legal_basis="legitimate_interest"), point_required=False),
        ],
    )
    def test_what_nothing_allows_is_not_allowed(self, facts: Facts) -> None:
        assert not rules.decide(facts, at=NOON).allowed


class TestOtherBasis:
    @pytest.mark.parametrize("basis", ["contract", "legal_obligation"])
    def test_an_invoice_is_not_stopped_by_what_was_said_of_marketing(self, basis: str) -> None:
        facts = replace(
            YES,
            offer=replace(OFFER, legal_basis=basis),
            latest=replace(GIVEN, kind="withdrawn"),
            objections=(Stop(NOON),),
        )

        verdict = rules.decide(facts, at=NOON)

        assert (verdict.allowed, verdict.reason, verdict.legal_basis) == (True, f"basis_{basis}", basis)

    @pytest.mark.parametrize("fact", [{"restricted": True}, {"suppressions": (Stop(NOON),)}])
    def test_a_restriction_or_suppression_stops_it_too(self, fact: dict[str, Any]) -> None:
        facts = replace(YES, offer=replace(OFFER, legal_basis="contract"), **fact)

        assert not rules.decide(facts, at=NOON).allowed

    def test_its_yes_does_not_end_with_a_consent_that_it_does_not_rest_on(self) -> None:
        facts = replace(YES, offer=replace(OFFER, legal_basis="contract"), latest=replace(GIVEN, expires_at=NOON - DAY))

        assert rules.decide(facts, at=NOON).valid_until == NOON + facts.decision_lifetime


class TestLifting:
    @pytest.mark.parametrize("kind", ["objections", "suppressions"])
    @pytest.mark.parametrize(
        ("confirmed_at", "allowed"), [(NOON - MICROSECOND, False), (NOON, False), (NOON + MICROSECOND, True)]
    )
    @pytest.mark.rule("WD-04")
    def test_only_a_later_confirmed_act_lifts_a_stop(self, kind: str, confirmed_at: datetime, *, allowed: bool) -> None:
        stop: dict[str, Any] = {kind: (Stop(NOON),)}

        facts = replace(YES, confirmed_act_at=confirmed_at, **stop)

        assert rules.decide(facts, at=NOON + DAY).allowed is allowed

    def test_of_several_stops_the_latest_counts(self) -> None:
        facts = replace(YES, confirmed_act_at=NOON, objections=(Stop(NOON - DAY), Stop(NOON + DAY)))

        assert reason(facts) == "objected"

    def test_a_restriction_is_lifted_by_no_act_of_the_person(self) -> None:
        assert reason(replace(YES, restricted=True, confirmed_act_at=NOON + DAY)) == "restricted"

    @pytest.mark.parametrize(
        ("fact", "answer"),
        [
            ({"restricted": True, "suppressions": (Stop(NOON),), "objections": (Stop(NOON),)}, "restricted"),
            ({"suppressions": (Stop(NOON),), "objections": (Stop(NOON),)}, "suppressed"),
            ({"objections": (Stop(NOON),)}, "objected"),
            ({"objections": (Stop(NOON - DAY - MICROSECOND),)}, None),
            ({}, None),
        ],
    )
    def test_a_report_is_told_the_same_stop(self, fact: dict[str, Any], answer: str | None) -> None:
        assert rules.stop_of(replace(YES, **fact)) == answer


class TestEvidenceGrade:
    @pytest.mark.parametrize(
        ("grade", "demanded", "enough"),
        [
            ("double_opt_in", "double_opt_in", True),
            ("single_opt_in", "double_opt_in", False),
            ("single_opt_in", "signed_paper", True),
            ("signed_paper", "single_opt_in", False),
            ("witnessed", "witnessed", True),
            ("witnessed", None, True),
            ("claimed", None, False),
            ("claimed", "witnessed", False),
            ("claimed", "claimed", False),
        ],
    )
    def test_a_check_may_ask_for_more_and_never_for_less(self, grade: str, demanded: str, *, enough: bool) -> None:
        offer = replace(OFFER, double_opt_in=False)
        facts = replace(YES, offer=offer, latest=replace(GIVEN, evidence_grade=grade), min_evidence=demanded)

        assert rules.decide(facts, at=NOON).allowed is enough

    def test_double_opt_in_is_demanded_only_where_the_purpose_does(self) -> None:
        unconfirmed = replace(GIVEN, confirmed_at=None, evidence_grade="single_opt_in")

        strict = replace(YES, latest=unconfirmed)
        lenient = replace(YES, latest=unconfirmed, offer=replace(OFFER, double_opt_in=False))

        assert reason(strict) == "contact_point_not_confirmed"
        assert reason(lenient) == "consent_given"


@pytest.mark.rule("CAP-13")
class TestSpecialCategory:
    def test_needs_explicit_consent(self) -> None:
        offer = replace(OFFER, legal_basis="explicit_consent", special_category=True)

        generic = rules.decide(replace(YES, offer=offer), at=NOON)
        explicit = rules.decide(
            replace(YES, offer=offer, latest=replace(GIVEN, legal_basis="explicit_consent")), at=NOON
        )

        assert (generic.allowed, generic.reason) == (False, "explicit_consent_required")
        assert (explicit.allowed, explicit.legal_basis) == (True, "explicit_consent")


class TestRecipient:
    def test_a_recipient_must_be_named_when_consent_was_given_and_now(self) -> None:
        both = replace(YES, recipient="nordlys-post")
        then_only = replace(both, offer=replace(OFFER, recipients=()))
        now_only = replace(both, latest=replace(GIVEN, recipients=()))

        assert reason(both) == "consent_given"
        assert reason(then_only) == "recipient_not_named"
        assert reason(now_only) == "recipient_not_named"

    def test_after_a_no_the_no_answers(self) -> None:
        facts = replace(YES, recipient="nordlys-post", latest=replace(GIVEN, kind="withdrawn", recipients=()))

        assert reason(facts) == "consent_withdrawn"


class TestStatus:
    @pytest.mark.parametrize(
        ("facts", "status"),
        [
            (replace(YES, latest=None), "unknown"),
            (replace(YES, latest=None, request_waits=True), "requested"),
            (YES, "given"),
            (replace(YES, latest=replace(GIVEN, kind="renewed")), "renewed"),
            (replace(YES, latest=replace(GIVEN, kind="refused")), "refused"),
            (replace(YES, latest=replace(GIVEN, kind="withdrawn"), request_waits=True), "withdrawn"),
            (replace(YES, latest=replace(GIVEN, kind="revoked"), superseded_by=2), "revoked"),
            (replace(YES, latest=replace(GIVEN, expires_at=NOON), superseded_by=2), "expired"),
            (replace(YES, latest=replace(GIVEN, expires_at=NOON + MICROSECOND)), "given"),
            (replace(YES, superseded_by=2), "invalidated"),
        ],
    )
    def test_is_derived_from_the_latest_entry_and_the_clock(self, facts: Facts, status: str) -> None:
        assert rules.status_of(facts, at=NOON) == status
        assert rules.decide(facts, at=NOON).status == status

    def test_every_status_has_its_term_in_the_vocabulary(self) -> None:
        permitting = {term for status, term in DPV_STATUS.items() if status in rules.GIVEN}

        assert permitting == {"ConsentGiven", "RenewedConsentGiven"}
        assert set(DPV_STATUS) == {
            "unknown",
            "requested",
            "given",
            "renewed",
            "refused",
            "withdrawn",
            "revoked",
            "expired",
            "invalidated",
        }
        assert len(set(DPV_STATUS.values())) == len(DPV_STATUS)


class TestValidUntil:
    def test_is_the_controllers_lifetime_of_a_decision(self) -> None:
        facts = replace(YES, decision_lifetime=timedelta(minutes=5))

        assert rules.decide(facts, at=NOON).valid_until == NOON + timedelta(minutes=5)

    def test_ends_no_later_than_the_consent(self) -> None:
        facts = replace(YES, latest=replace(GIVEN, expires_at=NOON + timedelta(minutes=1)))

        assert rules.decide(facts, at=NOON).valid_until == NOON + timedelta(minutes=1)
