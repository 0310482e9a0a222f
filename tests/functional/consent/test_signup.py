"""A public form is answered: nothing is consent before its own address is confirmed."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from consent_service.consent import confirmation, signup_requests
from consent_service.consent.models import LedgerEntry, RequestedConsent, SignupRequest
from consent_service.db.base import Base
from consent_service.delivery.models import OutboxMessage
from consent_service.errors import InvalidInputError
from consent_service.registry.forms import FormVersion
from consent_service.subjects.models import Subject
from consent_service.vault.models import RequestKey
from tests import builders
from tests.builders import KARI, KARIS_PHONE, NOON

NEWSLETTER, SURVEY, SMS = ("newsletter", "email"), ("survey", "email"), ("offers", "sms")


def _club(session: Session) -> FormVersion:
    builders.a_published_purpose(session, key="newsletter")
    builders.a_published_purpose(session, key="survey")
    builders.a_published_purpose(session, key="offers", channels=("sms",))
    return builders.a_form(
        session,
        offers=(NEWSLETTER, SURVEY, SMS),
        fields=(builders.EMAIL_FIELD, builders.PHONE_FIELD, builders.NAME_FIELD),
    )


def _rows(session: Session, model: type[Base]) -> int:
    """Count the controller's rows, which are all that this transaction sees."""
    return session.scalar(select(func.count()).select_from(model)) or 0


class TestEmptyForm:
    @pytest.mark.rule("CAP-05")
    def test_it_stores_nothing_and_sends_nothing(self, session: Session) -> None:
        form = _club(session)

        builders.a_signup(session, form, ticked=())

        assert [_rows(session, model) for model in (SignupRequest, RequestedConsent, OutboxMessage, Subject)] == [0] * 4


class TestWaiting:
    @pytest.mark.rule("DOI-01")
    def test_every_check_says_no_until_the_address_is_confirmed(self, session: Session) -> None:
        builders.a_signup(session, _club(session), ticked=(NEWSLETTER,))

        answer = builders.a_check(session)

        assert (answer.allowed, answer.status, answer.reason) == (False, "requested", "confirmation_pending")

    def test_it_is_in_no_ledger_and_makes_nobody_known(self, session: Session) -> None:
        builders.a_signup(session, _club(session), ticked=(NEWSLETTER,))

        assert (_rows(session, LedgerEntry), _rows(session, Subject)) == (0, 0)

    def test_the_same_answer_again_is_the_same_request(self, session: Session) -> None:
        form = _club(session)

        first, second = (builders.a_signup(session, form, ticked=(NEWSLETTER,)) for _ in range(2))

        assert first == second
        assert _rows(session, SignupRequest) == 1

    def test_a_box_that_needs_a_number_is_refused_without_one(self, session: Session) -> None:
        form = _club(session)

        with pytest.raises(InvalidInputError) as refused:
            builders.a_signup(session, form, ticked=(SMS,))

        assert [(problem.pointer, problem.code) for problem in refused.value.problems] == [
            ("/phone", "contact_point_required")
        ]


class TestConfirmed:
    @pytest.mark.rule("CAP-03")
    def test_only_what_was_ticked_is_given(self, session: Session) -> None:
        request_id = builders.a_signup(session, _club(session), ticked=(NEWSLETTER,))
        assert request_id is not None
        link = confirmation.create_link(session, request_id=request_id, at=NOON)

        confirmation.confirm(session, secret=link.secret, code=None, confirmation=builders.an_act(), at=NOON)

        assert builders.a_check(session, purpose="newsletter").allowed
        assert builders.a_check(session, purpose="survey").reason == "no_consent"

    @pytest.mark.rule("DOI-02")
    def test_the_address_proves_nothing_about_the_number(self, session: Session) -> None:
        request_id = builders.a_signup(session, _club(session), phone=KARIS_PHONE, ticked=(NEWSLETTER, SMS))
        assert request_id is not None
        link = confirmation.create_link(session, request_id=request_id, at=NOON)

        confirmation.confirm(session, secret=link.secret, code=None, confirmation=builders.an_act(), at=NOON)

        by_sms = builders.a_check(session, phone=KARIS_PHONE, purpose="offers", channel="sms")
        assert builders.a_check(session).allowed
        assert (by_sms.allowed, by_sms.status, by_sms.reason) == (False, "requested", "confirmation_pending")

    @pytest.mark.rule("DOI-06")
    def test_a_second_press_changes_nothing(self, session: Session) -> None:
        request_id = builders.a_signup(session, _club(session), ticked=(NEWSLETTER,))
        assert request_id is not None
        link = confirmation.create_link(session, request_id=request_id, at=NOON)
        act = builders.an_act()

        presses = [
            confirmation.confirm(session, secret=link.secret, code=None, confirmation=act, at=NOON + timedelta(hours=n))
            for n in range(3)
        ]

        assert [press.state for press in presses] == ["confirmed"] * 3
        assert _rows(session, LedgerEntry) == 1


class TestExpiry:
    @pytest.mark.rule("DOI-07")
    def test_what_nobody_confirmed_is_deleted_after_seven_days(self, session: Session) -> None:
        builders.a_signup(session, _club(session), ticked=(NEWSLETTER,), personal_fields=(("name", "Kari"),))

        early = signup_requests.expire(session, at=NOON + timedelta(days=7) - timedelta(seconds=1))
        due = signup_requests.expire(session, at=NOON + timedelta(days=7))

        assert (early, due) == (0, 1)
        assert [_rows(session, model) for model in (SignupRequest, RequestedConsent, RequestKey)] == [0] * 3

    @pytest.mark.rule("DOI-07")
    def test_a_late_click_brings_nothing_back(self, session: Session) -> None:
        request_id = builders.a_signup(session, _club(session), ticked=(NEWSLETTER,))
        assert request_id is not None
        late = NOON + timedelta(days=8)
        link = confirmation.create_link(session, request_id=request_id, at=NOON)
        signup_requests.expire(session, at=late)

        view = confirmation.confirm(session, secret=link.secret, code=None, confirmation=builders.an_act(), at=late)

        assert view.state == "unknown"
        assert (_rows(session, LedgerEntry), _rows(session, Subject)) == (0, 0)
        assert builders.a_check(session, email=KARI, at=late).reason == "no_consent"
