"""A phone number is proved by a code that was sent to it, and by nothing else."""

from datetime import datetime, timedelta

import pytest

from consent_service.consent import sms_codes
from consent_service.consent.sms_codes import CodeOutcome
from consent_service.registry.forms import FormVersion
from consent_service.subjects import fields
from tests import builders
from tests.acts import KARI, OLA, Stage, an_act, together
from tests.builders import NOON
from tests.functional.consent.conftest import NEWS, TEXTS

PHONE = "+4790000000"
SECOND = timedelta(seconds=1)


def send_code(stage: Stage, request_id: str | None, *, at: datetime = NOON) -> str:
    """Make the code that stands in the SMS of a request."""
    assert request_id is not None
    with stage.act() as session:
        return sms_codes.create_code(session, request_id=request_id, phone=fields.parse_phone(PHONE), at=at)


def type_code(stage: Stage, code: str, *, phone: str = PHONE, at: datetime = NOON) -> CodeOutcome:
    """Type number and code."""
    with stage.act() as session:
        return sms_codes.confirm(
            session, phone=fields.parse_phone(phone), code=code, confirmation=an_act("button_pressed", at=at), at=at
        )


def may_text(stage: Stage, *, at: datetime = NOON + SECOND) -> bool:
    with stage.act() as session:
        return builders.a_check(session, phone=PHONE, purpose="newsletter", channel="sms", at=at).allowed


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


class TestConfirm:
    @pytest.mark.rule("DOI-02")
    def test_the_code_gives_what_hangs_on_the_number_and_nothing_else(self, stage: Stage, form: FormVersion) -> None:
        code = send_code(stage, stage.sign_up(form, NEWS, TEXTS, phone=PHONE))

        outcome = type_code(stage, code)

        assert (outcome.state, outcome.masked) == ("confirmed", "+47 ••• •• 000")
        assert [box.channel for box in outcome.boxes] == ["sms"]
        assert may_text(stage)
        assert stage.check(at=NOON + SECOND).reason == "confirmation_pending"

    def test_one_sign_up_makes_one_person_when_the_mail_comes_first(self, stage: Stage, form: FormVersion) -> None:
        request_id = stage.sign_up(form, NEWS, TEXTS, phone=PHONE)
        code, link = send_code(stage, request_id), stage.link(request_id)

        by_mail = stage.confirm(link)
        by_sms = type_code(stage, code)

        assert by_mail.subject_id == by_sms.subject_id is not None
        assert may_text(stage)

    def test_one_sign_up_makes_one_person_when_the_code_comes_first(self, stage: Stage, form: FormVersion) -> None:
        request_id = stage.sign_up(form, NEWS, TEXTS, phone=PHONE)
        code, link = send_code(stage, request_id), stage.link(request_id)

        by_sms = type_code(stage, code)
        by_mail = stage.confirm(link)

        assert by_mail.state == "confirmed"
        assert by_mail.subject_id == by_sms.subject_id is not None
        assert stage.check(at=NOON + SECOND).allowed

    def test_one_sign_up_makes_one_person_when_both_come_at_once(self, stage: Stage, form: FormVersion) -> None:
        request_id = stage.sign_up(form, NEWS, TEXTS, phone=PHONE)
        code, link = send_code(stage, request_id), stage.link(request_id)

        subject_ids = together(lambda: stage.confirm(link).subject_id, lambda: type_code(stage, code).subject_id)

        assert len(set(subject_ids) - {None}) == 1
        assert None not in subject_ids

    def test_a_number_that_somebody_proved_before_stays_with_them(self, stage: Stage, form: FormVersion) -> None:
        first = type_code(stage, send_code(stage, stage.sign_up(form, TEXTS, phone=PHONE)))
        request_id = stage.sign_up(form, NEWS, TEXTS, email=OLA, phone=PHONE)

        second = type_code(stage, send_code(stage, request_id))

        assert second.subject_id == first.subject_id

    @pytest.mark.rule("DOI-06")
    def test_a_second_press_changes_nothing(self, stage: Stage, form: FormVersion) -> None:
        code = send_code(stage, stage.sign_up(form, TEXTS, phone=PHONE))
        type_code(stage, code)

        again = type_code(stage, code)

        assert (again.state, again.boxes, again.consent_ids) == ("repeated", (), ())

    def test_a_withdrawal_in_between_is_heard(self, stage: Stage, form: FormVersion) -> None:
        request_id = stage.sign_up(form, NEWS, TEXTS, phone=PHONE)
        code = send_code(stage, request_id)
        stage.confirm(stage.link(request_id))

        stage.withdraw(KARI)

        assert type_code(stage, code).state == "wrong"
        assert not may_text(stage)


class TestWrongCodes:
    @pytest.mark.rule("DOI-14")
    def test_five_of_them_are_the_end_of_the_code(self, stage: Stage, form: FormVersion) -> None:
        code = send_code(stage, stage.sign_up(form, TEXTS, phone=PHONE))

        answers = {type_code(stage, wrong(code)).state for _ in range(5)}

        assert answers == {"wrong"}
        assert type_code(stage, code).state == "wrong"
        assert not may_text(stage)

    def test_the_fourth_of_them_is_not_yet_the_end(self, stage: Stage, form: FormVersion) -> None:
        code = send_code(stage, stage.sign_up(form, TEXTS, phone=PHONE))

        for _ in range(4):
            type_code(stage, wrong(code))

        assert type_code(stage, code).state == "confirmed"

    def test_a_new_code_can_be_tried_anew_and_ends_the_old_one(self, stage: Stage, form: FormVersion) -> None:
        request_id = stage.sign_up(form, TEXTS, phone=PHONE)
        old = send_code(stage, request_id)
        for _ in range(5):
            type_code(stage, wrong(old))

        new = send_code(stage, request_id)

        assert old == new or type_code(stage, old).state == "wrong"
        assert type_code(stage, new).state == "confirmed"

    @pytest.mark.rule("DOI-05")
    def test_ten_minutes_are_the_end_of_the_code(self, stage: Stage, form: FormVersion) -> None:
        request_id = stage.sign_up(form, TEXTS, phone=PHONE)
        code = send_code(stage, request_id)

        late = type_code(stage, code, at=NOON + timedelta(minutes=10))

        assert late.state == "wrong"
        assert type_code(stage, code, at=NOON + timedelta(minutes=10) - SECOND).state == "confirmed"

    @pytest.mark.rule("DOI-05")
    def test_a_code_is_bound_to_its_number(self, stage: Stage, form: FormVersion) -> None:
        code = send_code(stage, stage.sign_up(form, TEXTS, phone=PHONE))
        stage.sign_up(form, TEXTS, email=OLA, phone="+4790000001")

        assert type_code(stage, code, phone="+4790000001").state == "wrong"

    def test_an_unknown_number_is_answered_alike(self, stage: Stage, form: FormVersion) -> None:
        code = send_code(stage, stage.sign_up(form, TEXTS, phone=PHONE))

        assert type_code(stage, code, phone="+4790000009") == type_code(stage, wrong(code)) == CodeOutcome("wrong")
