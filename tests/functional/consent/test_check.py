"""The question that every other system asks first: unknown is no, and a yes says what it rests on."""

from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from consent_service.consent import rules
from consent_service.consent.models import LedgerEntry
from consent_service.errors import InvalidInputError
from consent_service.registry.models import Purpose
from tests import builders
from tests.builders import KARI, KARIS_PHONE, NOON, OLA

LATER = NOON + timedelta(hours=1)
#: The consent states of DPV 2.3.
DPV_STATES = {
    *("ConsentUnknown", "ConsentRequested", "ConsentRequestDeferred", "ConsentRefused", "ConsentGiven"),
    *("RenewedConsentGiven", "ConsentExpired", "ConsentInvalidated", "ConsentRevoked", "ConsentWithdrawn"),
}
ELECTRONIC = ("email", "sms", "voice_automated", "direct_message")


class TestUnknown:
    @pytest.mark.rule("ACC-01")
    def test_whatever_is_unknown_is_no(self, session: Session) -> None:
        builders.a_given_consent(session)

        answers = {
            "person": builders.a_check(session, email=OLA),
            "purpose": builders.a_check(session, purpose="something"),
            "channel": builders.a_check(session, channel="carrier_pigeon"),
            "channel of this purpose": builders.a_check(session, phone=KARIS_PHONE, channel="sms"),
        }

        assert {name: answer.reason for name, answer in answers.items()} == {
            "person": "no_consent",
            "purpose": "purpose_unknown",
            "channel": "channel_not_offered",
            "channel of this purpose": "channel_not_offered",
        }
        assert not any(answer.allowed for answer in answers.values())

    @pytest.mark.rule("NO-01")
    @pytest.mark.parametrize("channel", ELECTRONIC)
    def test_without_consent_nobody_is_marketed_to(self, session: Session, channel: str) -> None:
        builders.a_published_purpose(session, channels=ELECTRONIC)

        phone = None if channel == "email" else KARIS_PHONE
        answer = builders.a_check(session, phone=phone, channel=channel)

        assert (answer.allowed, answer.reason, answer.valid_until) == (False, "no_consent", None)

    @pytest.mark.rule("CAP-20")
    @pytest.mark.parametrize("address", ["post@firma.example", "ola.nordmann@firma.example", "salg@firma.example"])
    def test_an_address_at_work_is_a_person_like_any_other(self, session: Session, address: str) -> None:
        builders.a_published_purpose(session)

        assert builders.a_check(session, email=address).reason == "no_consent"


class TestYes:
    @pytest.mark.rule("NO-11")
    def test_it_names_what_the_sender_owes(self, session: Session) -> None:
        builders.a_given_consent(session)

        answer = builders.a_check(session, at=LATER)

        assert answer.allowed
        assert "sender_identity" in answer.obligations

    def test_it_is_good_for_a_few_hours_and_never_beyond_its_end(self, session: Session) -> None:
        builders.a_published_purpose(session, valid_for_months=1)
        builders.a_given_consent(session)
        end = NOON.replace(month=NOON.month + 1)

        early = builders.a_check(session, at=LATER)
        late = builders.a_check(session, at=end - timedelta(minutes=1))

        assert early.valid_until == LATER + timedelta(hours=4)
        assert late.valid_until == late.expires_at == end

    @pytest.mark.rule("CAP-04")
    def test_it_holds_for_its_channel_alone(self, session: Session) -> None:
        builders.a_published_purpose(session, channels=("email", "sms", "post"))
        builders.a_given_consent(session)

        answers = [
            builders.a_check(session, at=LATER),
            builders.a_check(session, phone=KARIS_PHONE, channel="sms", at=LATER),
        ]

        assert [answer.allowed for answer in answers] == [True, False]

    def test_it_holds_for_its_address_alone(self, session: Session) -> None:
        builders.a_given_consent(session, email=KARI)

        assert not builders.a_check(session, email="kari.nordmann@annen.example", at=LATER).allowed

    def test_it_ends_when_its_time_is_over(self, session: Session) -> None:
        builders.a_published_purpose(session, valid_for_months=1)
        builders.a_given_consent(session)

        answer = builders.a_check(session, at=NOON.replace(month=NOON.month + 1))

        assert (answer.allowed, answer.status, answer.reason) == (False, "expired", "consent_expired")


class TestNotice:
    @pytest.mark.rule("CAP-08")
    def test_a_material_change_ends_what_was_given_before(self, session: Session) -> None:
        builders.a_given_consent(session)

        builders.a_published_notice(session, content=builders.a_notice(edition=2), material=True, at=LATER)

        answer = builders.a_check(session, at=LATER + timedelta(seconds=1))
        assert (answer.allowed, answer.status, answer.reason) == (False, "invalidated", "notice_superseded")

    @pytest.mark.rule("CAP-08")
    def test_a_change_of_spelling_does_not(self, session: Session) -> None:
        builders.a_given_consent(session)

        content = builders.a_notice(edition=2)
        builders.a_published_notice(session, content=content, material=False, reason="spelling", at=LATER)

        assert builders.a_check(session, at=LATER + timedelta(seconds=1)).allowed

    @pytest.mark.rule("CAP-08")
    def test_consenting_anew_brings_it_back(self, session: Session) -> None:
        builders.a_given_consent(session)
        builders.a_published_notice(session, content=builders.a_notice(edition=2), material=True, at=LATER)

        builders.a_given_consent(session, at=LATER + timedelta(hours=1))

        answer = builders.a_check(session, at=LATER + timedelta(hours=2))
        assert (answer.allowed, answer.notice_version) == (True, 2)


class TestSpecialCategory:
    @pytest.mark.rule("CAP-13")
    def test_it_needs_explicit_consent_that_is_confirmed(self, session: Session) -> None:
        for basis, double_opt_in in (("consent", True), ("explicit_consent", False)):
            with pytest.raises(InvalidInputError):
                builders.a_published_purpose(
                    session, key="health", legal_basis=basis, double_opt_in=double_opt_in, special_category=True
                )

    @pytest.mark.rule("CAP-13")
    def test_what_is_given_is_recorded_as_explicit(self, session: Session) -> None:
        builders.a_published_purpose(session, key="health", legal_basis="explicit_consent", special_category=True)
        builders.a_given_consent(session, purpose="health")

        answer = builders.a_check(session, purpose="health", at=LATER)

        assert (answer.allowed, answer.legal_basis) == (True, "explicit_consent")

    @pytest.mark.rule("CAP-13")
    def test_a_plain_consent_never_stands_in_for_it(self) -> None:
        entry = rules.Entry("given", "con_1", NOON, NOON, NOON, None, "consent", "double_opt_in", 1, "nb")
        offer = rules.Offer("explicit_consent", double_opt_in=True, special_category=True, recipients=())
        facts = rules.Facts(purpose_known=True, offer=offer, point_required=False, latest=entry)

        verdict = rules.decide(facts, at=LATER)

        assert (verdict.allowed, verdict.reason) == (False, "explicit_consent_required")


class TestBasis:
    @pytest.mark.rule("CAP-12")
    def test_it_cannot_be_exchanged_once_it_stands(self, session: Session) -> None:
        builders.a_given_consent(session)

        for table in (LedgerEntry, Purpose):
            with pytest.raises(ProgrammingError, match="permission denied"), session.begin_nested():
                session.execute(update(table).values(legal_basis="legitimate_interest"))

        assert builders.a_check(session, at=LATER).legal_basis == "consent"


class TestStatus:
    @pytest.mark.rule("REC-03")
    def test_each_is_a_state_of_the_vocabulary(self) -> None:
        assert set(rules.DPV_STATUS.values()) <= DPV_STATES
        assert len(set(rules.DPV_STATUS.values())) == len(rules.DPV_STATUS)

    @pytest.mark.rule("REC-03")
    @pytest.mark.parametrize("kind", ["given", "renewed", "refused", "withdrawn", "revoked"])
    @pytest.mark.parametrize("is_expired", [False, True])
    @pytest.mark.parametrize("superseded_by", [None, 2])
    def test_only_given_and_renewed_ever_allow(self, kind: str, superseded_by: int | None, *, is_expired: bool) -> None:
        expires_at = NOON if is_expired else None
        entry = rules.Entry(kind, "con_1", NOON, NOON, NOON, expires_at, "consent", "double_opt_in", 1, "nb")
        offer = rules.Offer("consent", double_opt_in=True, special_category=False, recipients=())
        facts = rules.Facts(
            purpose_known=True, offer=offer, point_required=False, latest=entry, superseded_by=superseded_by
        )

        verdict = rules.decide(facts, at=LATER)

        term = rules.DPV_STATUS[verdict.status]
        assert verdict.allowed == (term in {"ConsentGiven", "RenewedConsentGiven"})

    @pytest.mark.rule("REC-03")
    def test_giving_again_renews(self, session: Session) -> None:
        builders.a_given_consent(session)
        builders.a_given_consent(session, at=LATER)

        answer = builders.a_check(session, at=LATER + timedelta(hours=1))

        assert (answer.allowed, answer.status) == (True, "renewed")


class TestAsOf:
    def test_the_future_is_not_asked_about(self, session: Session) -> None:
        with pytest.raises(InvalidInputError):
            builders.a_check(session, as_of=LATER, at=NOON)

    def test_what_held_then_says_nothing_about_sending_now(self, session: Session) -> None:
        builders.a_given_consent(session)

        answer = builders.a_check(session, as_of=NOON + timedelta(minutes=1), at=LATER)

        assert answer.allowed
        assert answer.valid_until is None
