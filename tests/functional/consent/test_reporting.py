"""What a controller's own system reports: taken as said, with evidence, and never against the person's own no."""

from dataclasses import replace
from datetime import timedelta

import pytest

from consent_service.audit import trail
from consent_service.consent import evidence
from consent_service.errors import (
    FormUnknownError,
    InvalidInputError,
    ObjectedError,
    RestrictedError,
    SuppressedError,
)
from consent_service.registry.forms import FormVersion
from consent_service.subjects import identity, restriction
from consent_service.subjects.identity import SubjectReference
from tests import builders
from tests.acts import KARI, OLA, PHONE, Stage, an_act, contact, external
from tests.builders import NOON
from tests.functional.consent.conftest import NEWS

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
YES = ("club", "email", True)
NO = ("club", "email", False)


@pytest.fixture
def club(stage: Stage) -> FormVersion:
    """Let the till ask for a purpose without double opt-in on three channels, and for the newsletter with it."""
    stage.purpose("club", double_opt_in=False, channels=("email", "sms", "web"), valid_for_months=24)
    return stage.form(("club", "email"), ("club", "sms"), ("club", "web"), NEWS, key="till")


def problems(raised: pytest.ExceptionInfo[InvalidInputError]) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.code) for problem in raised.value.problems]


class TestWhatIsWrong:
    def test_everything_is_named_with_its_place(self, stage: Stage, club: FormVersion) -> None:
        act = replace(an_act("nodded"), method="telepathy")

        with pytest.raises(InvalidInputError) as raised:
            stage.report(club, YES, YES, ("club", "sms", True), ("invoices", "email", True), act=act)

        assert problems(raised) == [
            ("/evidence/method", "not_a_choice"),
            ("/evidence/act", "not_a_choice"),
            ("/decisions/1", "not_offered"),
            ("/decisions/2", "contact_point_required"),
            ("/decisions/3", "not_offered"),
        ]

    @pytest.mark.rule("CAP-23")
    @pytest.mark.parametrize("method", ["phone", "paper", "in_person"])
    def test_away_from_the_screen_it_needs_who_and_where(self, stage: Stage, club: FormVersion, method: str) -> None:
        bare = replace(an_act("statement_spoken"), method=method)

        with pytest.raises(InvalidInputError) as raised:
            stage.report(club, YES, act=bare)

        assert problems(raised) == [("/evidence/operator", "missing"), ("/evidence/reference", "missing")]
        stage.report(club, YES, act=replace(bare, operator="opr 7", reference="scan 12"))
        assert stage.check("club").allowed

    @pytest.mark.rule("CAP-01")
    def test_an_empty_box_is_not_a_no(self, stage: Stage, club: FormVersion) -> None:
        with pytest.raises(InvalidInputError) as raised:
            stage.report(club, NO, act=an_act("checkbox_ticked"))

        assert problems(raised) == [("/decisions/0/granted", "empty_box")]

    def test_no_answer_at_all(self, stage: Stage, club: FormVersion) -> None:
        with pytest.raises(InvalidInputError) as raised:
            stage.report(club)

        assert problems(raised) == [("/decisions", "missing")]

    def test_an_act_that_has_not_happened(self, stage: Stage, club: FormVersion) -> None:
        with pytest.raises(InvalidInputError) as raised:
            stage.report(club, YES, act=an_act(at=NOON + 2 * MINUTE + timedelta(microseconds=1)))

        assert problems(raised) == [("/evidence/occurred_at", "in_the_future")]

    def test_a_clock_two_minutes_ahead_is_taken_for_now(self, stage: Stage, club: FormVersion) -> None:
        stage.report(club, YES, act=an_act(at=NOON + 2 * MINUTE))

        assert stage.check("club").given_at == NOON

    def test_a_language_in_which_nobody_was_told(self, stage: Stage, club: FormVersion) -> None:
        with pytest.raises(InvalidInputError) as raised:
            stage.report(club, YES, language="se")

        assert problems(raised) == [("/language", "language_unknown")]

    def test_a_form_that_did_not_exist_yet(self, stage: Stage, club: FormVersion) -> None:
        before = an_act(at=NOON - HOUR)

        with pytest.raises(FormUnknownError):
            stage.report(club, YES, act=before)
        with pytest.raises(InvalidInputError) as raised:
            stage.report(club, YES, act=before, form_version=1)

        assert problems(raised) == [("/form_version", "not_in_force")]

    def test_an_id_of_nobody(self, stage: Stage, club: FormVersion) -> None:
        nobody = SubjectReference(id="sub_" + "0" * 26, contact_point=contact(KARI))

        with pytest.raises(InvalidInputError) as raised:
            stage.report(club, YES, who=nobody)

        assert problems(raised) == [("/subject/id", "subject_unknown")]

    def test_nothing_of_it_is_kept(self, stage: Stage, club: FormVersion) -> None:
        with pytest.raises(InvalidInputError):
            stage.report(club, YES, ("invoices", "email", True), who=external("123", point=KARI))

        with stage.act() as session:
            assert identity.find_subject(session, external("123")) is None
        assert stage.check("club").status == "unknown"


class TestYes:
    @pytest.mark.parametrize(
        ("method", "act", "grade"),
        [
            ("web_form", "checkbox_ticked", "single_opt_in"),
            ("app", "button_pressed", "single_opt_in"),
            ("paper", "statement_signed", "signed_paper"),
            ("point_of_sale", "statement_signed", "signed_paper"),
            ("point_of_sale", "button_pressed", "witnessed"),
            ("phone", "statement_spoken", "witnessed"),
        ],
    )
    def test_counts_as_much_as_its_evidence(
        self, stage: Stage, club: FormVersion, method: str, act: str, grade: str
    ) -> None:
        how = replace(an_act(act), method=method, operator="opr 7", reference="scan 12")

        outcome = stage.report(club, YES, act=how)

        assert [(each.status, each.confirmation) for each in outcome.consents] == [("given", None)]
        assert stage.check("club", min_evidence=grade).allowed
        assert stage.check("club", min_evidence="double_opt_in").reason == "evidence_too_weak"

    @pytest.mark.rule("DOI-01")
    def test_waits_where_the_purpose_demands_confirmation(self, stage: Stage, club: FormVersion) -> None:
        outcome = stage.report(club, ("newsletter", "email", True), YES)

        assert [(each.purpose, each.status, each.confirmation) for each in outcome.consents] == [
            ("newsletter", "requested", "email"),
            ("club", "given", None),
        ]
        assert stage.check().reason == "confirmation_pending"

    def test_its_confirmation_proves_the_address_of_whom_it_was_reported(self, stage: Stage, club: FormVersion) -> None:
        till = external("123", point=KARI)
        reported = stage.report(club, ("newsletter", "email", True), who=till)
        (request_id,) = stage.requests()

        confirmed = stage.confirm(stage.link(request_id), at=NOON + HOUR)

        assert confirmed.subject_id == reported.subject_id
        assert confirmed.consent_ids == (reported.consents[0].consent_id,)
        assert stage.check(who=till, at=NOON + HOUR).allowed

    def test_it_keeps_what_was_shown_then(self, stage: Stage, club: FormVersion) -> None:
        with stage.act() as session:
            changed = builders.a_notice(purpose="club", channels=("email", "sms", "web"), edition=2)
            builders.a_published_notice(session, purpose="club", content=changed, at=NOON + HOUR)

        outcome = stage.report(club, YES, act=an_act(at=NOON), at=NOON + 2 * HOUR)

        assert stage.check("club", at=NOON + 2 * HOUR).reason == "notice_superseded"
        with stage.act() as session:
            (opened,) = evidence.reveal(
                session,
                consent_id=outcome.consents[0].consent_id,
                reason="test",
                actor=trail.SYSTEM,
                at=NOON + 2 * HOUR,
            )
        assert "edition 1" in opened.statement["shown"]["purpose_text"]

    def test_again_while_given_it_renews(self, stage: Stage, club: FormVersion) -> None:
        stage.report(club, YES)

        stage.report(club, YES, at=NOON + HOUR)

        assert stage.check("club", at=NOON + HOUR).status == "renewed"

    def test_reported_late_it_counts_from_when_it_happened(self, stage: Stage, club: FormVersion) -> None:
        stage.report(club, YES, act=an_act(at=NOON + HOUR), at=NOON + 3 * HOUR)

        later = NOON + 4 * HOUR
        assert not stage.check("club", as_of=NOON, at=later).allowed
        assert stage.check("club", as_of=NOON + 2 * HOUR, at=later).allowed
        assert not stage.check("club", as_of=NOON + 2 * HOUR, known_at=NOON + 2 * HOUR, at=later).allowed
        decision = stage.check("club", at=later)
        assert decision.expires_at == (NOON + HOUR).replace(year=2028)

    def test_reported_late_it_overrides_nothing_newer(self, stage: Stage, club: FormVersion) -> None:
        newer = stage.report(club, YES, at=NOON + 2 * HOUR).consents[0].consent_id

        stage.report(club, YES, act=an_act(at=NOON + HOUR), at=NOON + 3 * HOUR)

        assert stage.check("club", at=NOON + 3 * HOUR).consent_id == newer
        assert stage.check("club", as_of=NOON + HOUR, at=NOON + 3 * HOUR).status == "given"

    @pytest.mark.rule("WD-02")
    def test_reported_late_it_slips_in_between_no_two_withdrawals(self, stage: Stage, club: FormVersion) -> None:
        stage.report(club, YES)
        stage.withdraw(at=NOON + HOUR)
        stage.withdraw(at=NOON + 3 * HOUR)

        stage.report(club, YES, act=an_act(at=NOON + 2 * HOUR), at=NOON + 4 * HOUR)

        assert stage.check("club", at=NOON + 4 * HOUR).reason == "consent_withdrawn"

    def test_on_a_channel_without_an_address_it_holds_for_the_person(self, stage: Stage, club: FormVersion) -> None:
        stage.report(club, ("club", "web", True), who=external("123"))

        assert stage.check("club", "web", who=external("123")).allowed
        assert not stage.check("club", "web", who=external("123", system="crm")).allowed

    def test_each_channel_has_the_address_that_it_reaches(self, stage: Stage, club: FormVersion) -> None:
        stage.report(club, YES, ("club", "sms", True), additional=(contact(PHONE),))

        assert stage.check("club", "sms", who=PHONE).allowed
        assert stage.check("club", "sms").reason == "contact_point_required"
        assert not stage.check("club", "email", who=OLA).allowed


class TestNo:
    def test_is_a_fact_that_counts_from_now(self, stage: Stage, club: FormVersion) -> None:
        outcome = stage.report(club, NO, act=an_act("button_pressed", at=NOON), at=NOON + HOUR)

        assert [each.status for each in outcome.consents] == ["refused"]
        assert stage.check("club", at=NOON + HOUR).reason == "consent_refused"
        assert stage.check("club", as_of=NOON, at=NOON + HOUR).status == "unknown"

    def test_while_given_it_withdraws(self, stage: Stage, club: FormVersion) -> None:
        stage.report(club, YES)

        stage.report(club, NO, at=NOON + HOUR)

        decision = stage.check("club", at=NOON + HOUR)
        assert (decision.reason, decision.withdrawn_at) == ("consent_withdrawn", NOON + HOUR)

    def test_needs_no_confirmation(self, stage: Stage, club: FormVersion) -> None:
        outcome = stage.report(club, ("newsletter", "email", False))

        assert [each.status for each in outcome.consents] == ["refused"]
        assert stage.requests() == frozenset()

    def test_is_taken_of_somebody_who_objected(self, stage: Stage, club: FormVersion) -> None:
        stage.report(club, YES)
        stage.object_to(at=NOON + HOUR)

        outcome = stage.report(club, NO, at=NOON + 2 * HOUR)

        assert [each.status for each in outcome.consents] == ["refused"]


class TestStopped:
    @pytest.mark.rule("WD-09")
    def test_a_suppressed_address_is_not_reported(self, stage: Stage, club: FormVersion) -> None:
        stage.withdraw(at=NOON)

        with pytest.raises(SuppressedError):
            stage.report(club, YES, at=NOON + HOUR)
        with pytest.raises(SuppressedError):
            stage.report(club, YES, who=external("123", point=KARI), at=NOON + HOUR)

        assert stage.check("club", at=NOON + HOUR).reason == "suppressed"

    @pytest.mark.parametrize("scope", [(None, None), ("club", None), (None, "email"), ("club", "email")])
    @pytest.mark.rule("WD-03")
    def test_an_objection_is_not_reported_away(
        self, stage: Stage, club: FormVersion, scope: tuple[str | None, str | None]
    ) -> None:
        stage.report(club, YES)
        stage.object_to(KARI, *scope, at=NOON + HOUR)

        with pytest.raises(ObjectedError):
            stage.report(club, YES, at=NOON + 2 * HOUR)

        assert stage.check("club", at=NOON + 2 * HOUR).reason == "objected"

    def test_an_objection_to_something_else_stops_nothing(self, stage: Stage, club: FormVersion) -> None:
        stage.report(club, YES)
        stage.object_to(KARI, "newsletter", at=NOON + HOUR)

        stage.report(club, YES, at=NOON + 2 * HOUR)

        assert stage.check("club", at=NOON + 2 * HOUR).allowed

    def test_nothing_is_reported_of_somebody_whose_data_are_restricted(self, stage: Stage, club: FormVersion) -> None:
        subject_id = stage.report(club, YES).subject_id
        assert subject_id is not None
        with stage.act() as session:
            restriction.restrict(session, subject_id=subject_id, reason="Art. 18", actor=trail.SYSTEM, at=NOON)

        with pytest.raises(RestrictedError):
            stage.report(club, YES, at=NOON + HOUR)

    @pytest.mark.rule("WD-04")
    def test_the_confirmed_act_that_lifts_a_stop_lifts_it_for_that_alone(
        self, stage: Stage, form: FormVersion, club: FormVersion
    ) -> None:
        stage.withdraw(at=NOON)

        stage.give(form, NEWS, at=NOON + HOUR)

        assert stage.check(at=NOON + HOUR).allowed
        assert stage.check("club", at=NOON + HOUR).reason == "suppressed"
        with pytest.raises(SuppressedError):
            stage.report(club, YES, at=NOON + 2 * HOUR)


class TestWhoIsMeant:
    def test_what_a_system_calls_them_makes_a_person_and_finds_them_again(
        self, stage: Stage, club: FormVersion
    ) -> None:
        first = stage.report(club, YES, who=external("123", point=KARI))

        again = stage.report(club, YES, who=external("123", point=KARI), at=NOON + HOUR)
        other_system = stage.report(club, YES, who=external("123", system="crm", point=OLA), at=NOON + HOUR)

        assert again.subject_id == first.subject_id
        assert other_system.subject_id != first.subject_id

    def test_a_known_person_is_reported_by_their_address(
        self, stage: Stage, form: FormVersion, club: FormVersion
    ) -> None:
        known = stage.give(form, NEWS).subject_id

        assert stage.report(club, YES, at=NOON + HOUR).subject_id == known

    def test_the_address_on_record_serves_where_none_is_named(
        self, stage: Stage, form: FormVersion, club: FormVersion
    ) -> None:
        known = stage.give(form, NEWS).subject_id

        stage.report(club, YES, who=SubjectReference(id=known), at=NOON + HOUR)

        assert stage.check("club", at=NOON + HOUR).allowed

    def test_a_number_on_paper_is_no_proved_number(self, stage: Stage, club: FormVersion) -> None:
        first = stage.report(club, ("club", "sms", True), who=PHONE).subject_id
        assert first is not None

        with stage.act() as session:
            (point,) = identity.list_contact_points(session, subject_id=first)

        assert (point.kind, point.verified_at) == ("phone", None)
