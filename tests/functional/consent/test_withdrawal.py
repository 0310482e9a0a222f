"""A no counts at once, for every basis, and only the person's own confirmed act brings a yes back."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.consent import confirmation, objection, reporting, withdrawal
from consent_service.consent.evidence import ActEvidence
from consent_service.consent.reporting import ReportedAct, ReportedDecision
from consent_service.consent.withdrawal import Scope, WithdrawalOutcome
from consent_service.errors import InvalidInputError, ObjectedError, PurposeUnknownError, SuppressedError
from consent_service.registry import forms
from consent_service.subjects import fields
from consent_service.subjects.identity import SubjectReference
from consent_service.subjects.models import Subject, Suppression
from tests import builders
from tests.acts import TILL
from tests.builders import KARI, NOON, OLA

ALL = Scope(purpose=None, channel=None)
DAY = timedelta(days=1)


def _reference(email: str) -> SubjectReference:
    return SubjectReference(contact=fields.parse_email(email))


def _withdraw(
    session: Session, email: str = KARI, *, scope: Scope = ALL, at: datetime = NOON + DAY
) -> WithdrawalOutcome:
    return withdrawal.withdraw(
        session, reference=_reference(email), scope=scope, reason="test", act=None, actor=trail.SUBJECT, at=at
    )


def _object(session: Session, email: str = KARI, *, scope: Scope = ALL, at: datetime = NOON + DAY) -> None:
    objection.object_to(session, reference=_reference(email), scope=scope, reason="test", actor=trail.SUBJECT, at=at)


def _report_yes(session: Session, email: str, *, at: datetime) -> str:
    """Let a till say that the person said yes; the purpose asks for no double opt-in."""
    builders.a_published_purpose(session, key="survey", double_opt_in=False, at=NOON)
    form = builders.a_form(session, key="till", offers=(("survey", "email"),), at=NOON)
    outcome = reporting.record_reported(
        session,
        report=ReportedAct(
            reference=_reference(email),
            additional=(),
            form_id=form.form_id,
            form_version=None,
            language="nb",
            decisions=(ReportedDecision("survey", "email", granted=True),),
            evidence=ActEvidence(method="point_of_sale", act="button_pressed", occurred_at=at),
        ),
        actor=TILL,
        at=at,
    )
    return outcome.consents[0].status


class TestWithdraw:
    @pytest.mark.rule("WD-02")
    def test_every_later_check_says_no_and_the_past_stays_as_it_was(self, session: Session) -> None:
        builders.a_given_consent(session)

        _withdraw(session)

        now = builders.a_check(session, at=NOON + DAY + timedelta(microseconds=1))
        before = builders.a_check(session, as_of=NOON + DAY / 2, at=NOON + 2 * DAY)
        assert (now.allowed, now.reason) == (False, "consent_withdrawn")
        assert (before.allowed, before.reason) == (True, "consent_given")

    def test_it_names_what_it_ended_and_what_was_ended_before(self, session: Session) -> None:
        builders.a_given_consent(session)

        first, second = _withdraw(session), _withdraw(session, at=NOON + 2 * DAY)

        assert [(ended.purpose, ended.channel) for ended in first.withdrawn] == [("newsletter", "email")]
        assert second.withdrawn == ()
        assert second.unchanged[0].withdrawn_at == first.withdrawn[0].withdrawn_at

    def test_it_ends_bases_that_were_never_a_consent(self, session: Session) -> None:
        """Whoever withdraws from mail that rested on something else is not mailed again either."""
        builders.a_given_consent(session)
        builders.a_published_purpose(session, key="survey")

        outcome = _withdraw(session)

        assert {ended.purpose for ended in outcome.withdrawn} == {"newsletter", "survey"}
        assert builders.a_check(session, purpose="survey", at=NOON + 2 * DAY).reason == "consent_withdrawn"

    def test_it_overtakes_a_request_that_waits(self, session: Session) -> None:
        builders.a_published_purpose(session)
        request_id = builders.a_signup(session, builders.a_form(session))
        assert request_id is not None
        link = confirmation.create_link(session, request_id=request_id, at=NOON)

        _withdraw(session)

        view = confirmation.confirm(
            session, secret=link.secret, code=None, confirmation=builders.an_act(), at=NOON + 2 * DAY
        )
        assert view.state == "expired"
        assert not builders.a_check(session, at=NOON + 3 * DAY).allowed

    def test_an_unknown_address_is_remembered_as_a_stop(self, session: Session) -> None:
        builders.a_published_purpose(session)

        outcome = _withdraw(session, OLA)

        assert (outcome.withdrawn, outcome.unchanged) == ((), ())
        assert builders.a_check(session, email=OLA, at=NOON + 2 * DAY).reason == "suppressed"

    def test_a_misspelt_purpose_never_means_all(self, session: Session) -> None:
        builders.a_given_consent(session)

        with pytest.raises(PurposeUnknownError):
            _withdraw(session, scope=Scope("newsleter", None))
        with pytest.raises(InvalidInputError):
            _withdraw(session, scope=Scope(None, "e-mail"))

        assert builders.a_check(session, at=NOON + 2 * DAY).allowed


class TestObjection:
    @pytest.mark.rule("WD-03")
    @pytest.mark.parametrize(
        "scope", [ALL, Scope(None, "email"), Scope("newsletter", None), Scope("newsletter", "email")]
    )
    def test_it_beats_a_consent_that_is_older(self, session: Session, scope: Scope) -> None:
        builders.a_given_consent(session)

        _object(session, scope=scope)

        answer = builders.a_check(session, at=NOON + 2 * DAY)
        assert (answer.allowed, answer.reason) == (False, "objected")

    @pytest.mark.rule("WD-03", "WD-04")
    def test_no_system_can_report_it_away(self, session: Session) -> None:
        builders.a_given_consent(session)
        _object(session)

        with pytest.raises(ObjectedError):
            _report_yes(session, KARI, at=NOON + 2 * DAY)

        assert builders.a_check(session, purpose="survey", at=NOON + 3 * DAY).reason == "objected"

    @pytest.mark.rule("WD-04")
    def test_only_what_the_person_confirms_later_is_lifted(self, session: Session) -> None:
        builders.a_given_consent(session)
        builders.a_given_consent(session, purpose="survey")
        _object(session)

        builders.a_given_consent(session, at=NOON + 2 * DAY)

        later = NOON + 3 * DAY
        assert builders.a_check(session, purpose="newsletter", at=later).allowed
        assert builders.a_check(session, purpose="survey", at=later).reason == "objected"


class TestSuppression:
    @pytest.mark.rule("WD-08")
    def test_it_holds_for_an_address_that_belongs_to_nobody(self, session: Session) -> None:
        builders.a_published_purpose(session)
        _object(session, OLA)

        row = session.execute(select(Suppression)).scalar_one()

        assert session.execute(select(Subject)).all() == []
        assert len(row.address_hash) == 32
        assert {name for name in vars(row) if not name.startswith("_")} == {
            *("controller_id", "id", "address_hash", "purpose_id", "channel", "kind", "recorded_at", "audit_entry_id")
        }

    @pytest.mark.rule("WD-08", "WD-09")
    def test_nobody_but_the_holder_records_a_consent_for_it(self, session: Session) -> None:
        builders.a_published_purpose(session)
        _object(session, OLA)

        with pytest.raises(SuppressedError):
            _report_yes(session, OLA, at=NOON + 2 * DAY)

        assert not builders.a_check(session, email=OLA, purpose="survey", at=NOON + 3 * DAY).allowed

    @pytest.mark.rule("WD-09")
    def test_the_same_report_counts_where_nothing_stops_it(self, session: Session) -> None:
        assert _report_yes(session, OLA, at=NOON + 2 * DAY) == "given"
        assert builders.a_check(session, email=OLA, purpose="survey", at=NOON + 3 * DAY).allowed

    def test_the_holder_lifts_it_by_confirming(self, session: Session) -> None:
        builders.a_published_purpose(session)
        _object(session, OLA)

        builders.a_given_consent(session, email=OLA, at=NOON + 2 * DAY)

        assert builders.a_check(session, email=OLA, at=NOON + 3 * DAY).allowed


class TestOtherPeople:
    def test_are_left_alone(self, session: Session) -> None:
        builders.a_given_consent(session, email=OLA)
        form_id = forms.find_id(session, key="newsletter_alone")
        assert form_id is not None
        builders.a_given_consent(session, email=KARI)

        _withdraw(session, KARI)

        assert builders.a_check(session, email=OLA, at=NOON + 2 * DAY).allowed
