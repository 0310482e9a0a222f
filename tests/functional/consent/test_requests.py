"""Requests that wait: the same one, a newer one, one that was cancelled or said not to be theirs, one that is over."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from consent_service.admission import mail_caps
from consent_service.consent import confirmation, signup_requests
from consent_service.consent.models import ConfirmationLink, RequestedConsent, SignupRequest
from consent_service.db.session import Database
from consent_service.delivery import outbox
from consent_service.delivery.messages import Cancelled
from consent_service.delivery.models import OutboxMessage
from consent_service.errors import KeyDestroyedError
from consent_service.registry.forms import FormVersion
from consent_service.vault import keys
from consent_service.vault.models import RequestKey
from tests.acts import KARI, OLA, PHONE, Stage, contact, external
from tests.builders import NOON
from tests.functional.consent.conftest import NEWS, OFFERS, TEXTS

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def count_mails(stage: Stage) -> int:
    with stage.act() as session:
        return (
            session.scalar(select(func.count()).select_from(OutboxMessage).where(OutboxMessage.state == "ready")) or 0
        )


class TestSameAnswer:
    def test_is_the_same_request_with_the_same_declarations(self, stage: Stage, form: FormVersion) -> None:
        first = stage.sign_up(form, NEWS, email="Kari.Nordmann@Kunde.example")

        again = stage.sign_up(form, NEWS, email=f" {KARI} ", at=NOON + MINUTE)

        assert again is None
        assert stage.requests() == {first}
        assert count_mails(stage) == 1

    def test_asks_for_its_mail_again_once_the_first_has_left(self, stage: Stage, form: FormVersion) -> None:
        request_id = stage.sign_up(form, NEWS)
        stage.accept_mail(request_id)

        stage.sign_up(form, NEWS, at=NOON + MINUTE)

        assert stage.requests() == {request_id}
        assert count_mails(stage) >= 1

    @pytest.mark.parametrize("outcome", [outbox.Dead("gave up"), Cancelled("address_refuses")])
    def test_asks_for_its_mail_again_where_that_was_given_up_on(
        self, stage: Stage, form: FormVersion, worker_database: Database, outcome: outbox.Outcome
    ) -> None:
        stage.sign_up(form, NEWS)
        with worker_database.platform_transaction() as session:
            (claimed,) = outbox.claim(session, at=NOON, limit=9, lease=HOUR)
        with worker_database.transaction(stage.controller_id) as session:
            outbox.settle(session, claimed=claimed, outcome=outcome, at=NOON)

        stage.sign_up(form, NEWS, at=NOON + HOUR)

        assert count_mails(stage) == 1

    @pytest.mark.parametrize("other", [{"language": "en"}, {"email": OLA}, {"phone": PHONE}])
    def test_another_answer_is_another_request(self, stage: Stage, form: FormVersion, other: dict[str, str]) -> None:
        first = stage.sign_up(form, NEWS)

        second = stage.sign_up(form, NEWS, at=NOON + MINUTE, **other)  # type: ignore[arg-type]

        assert second is not None
        assert stage.requests() == {first, second}

    def test_after_a_no_to_one_of_its_boxes_it_is_asked_anew(self, stage: Stage, form: FormVersion) -> None:
        stage.sign_up(form, NEWS, OFFERS)
        stage.withdraw(purpose="newsletter", at=NOON + MINUTE)

        again = stage.sign_up(form, NEWS, OFFERS, at=NOON + 2 * MINUTE)
        stage.confirm(stage.link(again, at=NOON + 3 * MINUTE), at=NOON + 3 * MINUTE)

        assert stage.check(at=NOON + HOUR).allowed
        assert stage.check("offers", at=NOON + HOUR).allowed

    def test_after_it_was_confirmed_it_is_asked_anew_and_renews(self, stage: Stage, form: FormVersion) -> None:
        first = stage.give(form, NEWS)

        again = stage.sign_up(form, NEWS, at=NOON + HOUR)

        assert stage.check(at=NOON + HOUR).status == "given"
        renewed = stage.confirm(stage.link(again, at=NOON + HOUR), at=NOON + HOUR)
        decision = stage.check(at=NOON + HOUR)
        assert decision.status == "renewed"
        assert renewed.subject_id == first.subject_id
        assert (decision.consent_id,) == renewed.consent_ids != first.consent_ids


class TestNewerRequest:
    @pytest.mark.rule("DOI-15")
    def test_takes_the_place_of_an_older_one_that_it_covers_once_its_mail_was_accepted(
        self, stage: Stage, form: FormVersion
    ) -> None:
        older = stage.link(stage.sign_up(form, NEWS))
        newer_id = stage.sign_up(form, NEWS, OFFERS, at=NOON + MINUTE)
        newer = stage.link(newer_id, at=NOON + MINUTE)
        assert stage.look(older, at=NOON + MINUTE).state == "waiting"

        stage.accept_mail(newer_id, at=NOON + 2 * MINUTE)

        assert stage.confirm(older, at=NOON + HOUR).state == "replaced"
        assert not stage.check(at=NOON + HOUR).allowed
        assert stage.confirm(newer, at=NOON + HOUR).state == "confirmed"
        assert stage.check(at=NOON + HOUR).allowed

    def test_leaves_an_older_one_that_asks_for_more(self, stage: Stage, form: FormVersion) -> None:
        older = stage.link(stage.sign_up(form, NEWS, OFFERS))
        newer_id = stage.sign_up(form, NEWS, at=NOON + MINUTE)

        stage.accept_mail(newer_id, at=NOON + 2 * MINUTE)

        assert stage.confirm(older, at=NOON + HOUR).state == "confirmed"
        assert stage.check("offers", at=NOON + HOUR).allowed

    def test_leaves_requests_of_other_addresses(self, stage: Stage, form: FormVersion) -> None:
        other = stage.link(stage.sign_up(form, NEWS, email=OLA))
        newer_id = stage.sign_up(form, NEWS, at=NOON + MINUTE)

        stage.accept_mail(newer_id, at=NOON + 2 * MINUTE)

        assert stage.look(other, at=NOON + HOUR).state == "waiting"

    def test_replaces_nothing_once_it_was_said_to_be_somebody_elses(self, stage: Stage, form: FormVersion) -> None:
        own = stage.link(stage.sign_up(form, NEWS))
        strangers_id = stage.sign_up(form, NEWS, OFFERS, at=NOON + MINUTE)
        stage.reject(stage.link(strangers_id, at=NOON + MINUTE), at=NOON + 2 * MINUTE)

        stage.accept_mail(strangers_id, at=NOON + 3 * MINUTE)

        assert stage.confirm(own, at=NOON + HOUR).state == "confirmed"

    def test_of_a_stranger_with_another_number_leaves_the_persons_own(self, stage: Stage, form: FormVersion) -> None:
        own_id = stage.sign_up(form, NEWS, TEXTS, phone=PHONE)
        own = stage.link(own_id)
        strangers_id = stage.sign_up(form, NEWS, TEXTS, phone="+4740000666", at=NOON + MINUTE)

        stage.accept_mail(strangers_id, at=NOON + 2 * MINUTE)

        with stage.act() as session:
            waiting = signup_requests.find_waiting(session, request_id=str(own_id), at=NOON + HOUR)
        assert waiting is not None
        assert {each.box.channel for each in waiting.boxes} == {"email", "sms"}
        assert stage.confirm(own, at=NOON + HOUR).state == "confirmed"

    def test_with_the_same_number_takes_the_place_of_the_older(self, stage: Stage, form: FormVersion) -> None:
        older_id = stage.sign_up(form, TEXTS, phone=PHONE)
        newer_id = stage.sign_up(form, NEWS, TEXTS, phone=PHONE, at=NOON + MINUTE)

        stage.accept_mail(newer_id, at=NOON + 2 * MINUTE)

        with stage.act() as session:
            assert signup_requests.find_waiting(session, request_id=str(older_id), at=NOON + HOUR) is None

    def test_without_a_number_leaves_what_waits_for_a_code(self, stage: Stage, form: FormVersion) -> None:
        texts_id = stage.sign_up(form, TEXTS, phone=PHONE)
        newer_id = stage.sign_up(form, NEWS, at=NOON + MINUTE)

        stage.accept_mail(newer_id, at=NOON + 2 * MINUTE)

        with stage.act() as session:
            assert signup_requests.find_waiting(session, request_id=str(texts_id), at=NOON + HOUR) is not None

    def test_leaves_what_was_confirmed_already(self, stage: Stage, form: FormVersion) -> None:
        older = stage.link(stage.sign_up(form, NEWS))
        newer_id = stage.sign_up(form, NEWS, OFFERS, at=NOON + MINUTE)
        stage.confirm(older, at=NOON + MINUTE)

        stage.accept_mail(newer_id, at=NOON + 2 * MINUTE)

        assert stage.look(older, at=NOON + HOUR).state == "confirmed"
        assert stage.check(at=NOON + HOUR).allowed


class TestCancelled:
    def test_its_link_confirms_nothing_and_its_content_is_gone(self, stage: Stage, form: FormVersion) -> None:
        request_id = stage.sign_up(form, NEWS)
        link = stage.link(request_id)

        stage.withdraw(at=NOON + MINUTE)

        assert stage.confirm(link, at=NOON + HOUR).state == "expired"
        assert stage.check(at=NOON + HOUR).reason == "suppressed"
        assert count_mails(stage) == 0
        with stage.act() as session:
            assert session.scalars(select(SignupRequest.sealed)).all() == [None]
            assert session.scalar(select(func.count()).select_from(RequestKey)) == 0

    def test_only_what_the_no_meant_is_cancelled(self, stage: Stage, form: FormVersion) -> None:
        link = stage.link(stage.sign_up(form, NEWS, OFFERS))

        stage.object_to(purpose="offers", at=NOON + MINUTE)

        assert [box.purpose for box in stage.look(link, at=NOON + HOUR).boxes] == ["newsletter"]
        stage.confirm(link, at=NOON + HOUR)
        assert stage.check(at=NOON + 2 * HOUR).allowed
        assert not stage.check("offers", at=NOON + 2 * HOUR).allowed

    def test_a_no_by_what_a_system_calls_them_reaches_what_it_reported(self, stage: Stage, form: FormVersion) -> None:
        stage.report(form, ("newsletter", "email", True), who=external("123", point=KARI))
        (request_id,) = stage.requests()
        link = stage.link(request_id)

        stage.withdraw(external("123"), at=NOON + MINUTE)

        assert stage.confirm(link, at=NOON + HOUR).state == "expired"

    def test_a_request_of_a_node_whose_clock_is_ahead_is_cancelled_too(self, stage: Stage, form: FormVersion) -> None:
        link = stage.link(stage.sign_up(form, NEWS, at=NOON + MINUTE))

        stage.withdraw(at=NOON)

        assert stage.confirm(link, at=NOON + HOUR).state == "expired"


class TestRejected:
    def test_a_wrong_code_rejects_nothing(self, stage: Stage, form: FormVersion) -> None:
        link = stage.link(stage.sign_up(form, NEWS))
        wrong = f"{(int(link.code) + 1) % 1_000_000:06}"

        view = stage.reject(link, code=wrong, at=NOON + MINUTE)

        assert (view.state, view.code_wrong, view.tries_left) == ("waiting", True, 4)
        assert stage.reject(link, code=link.code, at=NOON + MINUTE).state == "rejected"

    def test_ninety_days_later_the_address_may_ask_again(self, stage: Stage, form: FormVersion) -> None:
        link = stage.link(stage.sign_up(form, NEWS))
        stage.reject(link, at=NOON)

        with stage.act() as session:
            blind = keys.index(session, kind="email", value=contact(KARI).normal)
            day_89 = mail_caps.is_refused(session, contact_hash=blind, at=NOON + 89 * DAY)
            day_90 = mail_caps.is_refused(session, contact_hash=blind, at=NOON + 90 * DAY)

        assert (day_89, day_90) == (True, False)

    def test_a_consent_that_was_given_before_is_not_touched(self, stage: Stage, form: FormVersion) -> None:
        stage.give(form, NEWS)
        link = stage.link(stage.sign_up(form, NEWS, at=NOON + MINUTE))

        stage.reject(link, at=NOON + MINUTE)

        assert stage.check(at=NOON + HOUR).allowed


@pytest.mark.rule("DOI-07")
class TestOver:
    def test_nothing_is_left_but_a_count(self, stage: Stage, form: FormVersion) -> None:
        request_id = stage.sign_up(form, NEWS, TEXTS, phone=PHONE)
        link = stage.link(request_id)

        with stage.act() as session:
            before = signup_requests.expire(session, at=NOON + 7 * DAY - MINUTE)
            after = signup_requests.expire(session, at=NOON + 7 * DAY)

        assert (before, after) == (0, 1)
        assert stage.confirm(link, at=NOON + 7 * DAY).state == "unknown"
        with stage.act() as session:
            for table in (SignupRequest, RequestedConsent, ConfirmationLink, RequestKey):
                assert session.scalar(select(func.count()).select_from(table)) == 0
        assert count_mails(stage) == 0

    def test_a_late_click_before_the_sweep_finds_it_over_too(self, stage: Stage, form: FormVersion) -> None:
        request_id = stage.sign_up(form, NEWS)
        resent = stage.link(request_id, at=NOON + 6 * DAY)

        view = stage.confirm(resent, at=NOON + 7 * DAY)

        assert view.state == "expired"
        assert stage.check(at=NOON + 7 * DAY).reason == "no_consent"

    def test_what_hung_on_a_number_goes_with_a_request_whose_address_was_confirmed(
        self, stage: Stage, form: FormVersion
    ) -> None:
        request_id = stage.sign_up(form, NEWS, TEXTS, phone=PHONE)
        assert request_id is not None
        stage.confirm(stage.link(request_id), at=NOON + MINUTE)
        assert stage.check("newsletter", "sms", who=PHONE, at=NOON + HOUR).reason == "confirmation_pending"

        with stage.act() as session:
            signup_requests.expire(session, at=NOON + 7 * DAY)

        assert stage.check("newsletter", "sms", who=PHONE, at=NOON + 7 * DAY).reason == "no_consent"
        assert stage.check(at=NOON + 7 * DAY).allowed
        with pytest.raises(KeyDestroyedError), stage.act() as session:
            keys.unseal_for_request(session, b"", request_id=request_id, table="x", column="x", row_id="x")

    def test_each_resend_has_tries_of_its_own_and_the_old_link_keeps_its_end(
        self, stage: Stage, form: FormVersion
    ) -> None:
        request_id = stage.sign_up(form, NEWS)
        first, second = stage.link(request_id), stage.link(request_id, at=NOON + DAY)

        assert stage.look(first, at=NOON + confirmation.LINK_LIFETIME).state == "expired"
        assert stage.look(second, at=NOON + confirmation.LINK_LIFETIME).state == "waiting"
        assert stage.confirm(second, code=first.code, at=NOON + DAY).code_wrong is (first.code != second.code)
