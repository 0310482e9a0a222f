"""The link of the mail: unforgeable, once, for seventy-two hours, and *this was not me* is heard."""

import secrets
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.admission import mail_caps
from consent_service.consent import confirmation
from consent_service.consent.confirmation import NewLink
from consent_service.consent.models import ConfirmationLink, SignupRequest
from consent_service.db.session import Database
from tests import builders
from tests.builders import KARI, NOON

LATER = NOON + timedelta(minutes=5)


@pytest.fixture
def request_id(session: Session) -> str:
    builders.a_published_purpose(session)
    request_id = builders.a_signup(session, builders.a_form(session))
    assert request_id is not None
    return request_id


@pytest.fixture
def link(session: Session, request_id: str) -> NewLink:
    return confirmation.create_link(session, request_id=request_id, at=NOON)


def _confirm(session: Session, secret: bytes, *, code: str | None = None, at: datetime = LATER) -> str:
    view = confirmation.confirm(session, secret=secret, code=code, confirmation=builders.an_act(), at=at)
    return view.state


class TestLooking:
    @pytest.mark.rule("DOI-03")
    def test_it_changes_nothing_however_often(self, session: Session, link: NewLink) -> None:
        views = [confirmation.look(session, secret=link.secret, at=LATER) for _ in range(10)]

        assert {view.state for view in views} == {"waiting"}
        assert not builders.a_check(session, at=LATER).allowed

    def test_it_repeats_each_statement_in_full_and_masks_the_address(self, session: Session, link: NewLink) -> None:
        view = confirmation.look(session, secret=link.secret, at=LATER)

        assert [box.statement for box in view.boxes] == ["Ja, jeg vil ha newsletter på email fra Nordlys AS."]
        assert KARI not in repr(view)


class TestLink:
    @pytest.mark.rule("DOI-05")
    def test_only_hashes_of_it_are_kept(self, session: Session, link: NewLink) -> None:
        row = session.execute(select(ConfirmationLink)).scalar_one()

        kept = b"".join(value for value in vars(row).values() if isinstance(value, bytes))
        assert link.secret not in kept
        assert link.code.encode() not in kept

    @pytest.mark.rule("DOI-05")
    def test_another_secret_confirms_nothing(self, session: Session, link: NewLink) -> None:
        flipped = bytes([link.secret[0] ^ 1]) + link.secret[1:]

        states = [_confirm(session, secret) for secret in (flipped, secrets.token_bytes(32), b"")]

        assert states == ["unknown"] * 3
        assert not builders.a_check(session, at=LATER).allowed

    @pytest.mark.rule("DOI-05")
    def test_it_ends_after_seventy_two_hours(self, session: Session, link: NewLink) -> None:
        state = _confirm(session, link.secret, at=NOON + timedelta(hours=72))

        assert state == "expired"
        assert not builders.a_check(session, at=NOON + timedelta(hours=73)).allowed

    @pytest.mark.rule("DOI-05")
    def test_it_opens_nothing_at_another_controller(
        self, database: Database, controller: str, other_controller: str
    ) -> None:
        with database.transaction(controller) as session:
            builders.a_published_purpose(session)
            request_id = builders.a_signup(session, builders.a_form(session))
            assert request_id is not None
            link = confirmation.create_link(session, request_id=request_id, at=NOON)
        with database.transaction(other_controller) as session:
            foreign = _confirm(session, link.secret)
        with database.transaction(controller) as session:
            own = _confirm(session, link.secret)

        assert (foreign, own) == ("unknown", "confirmed")


class TestCode:
    def test_the_right_one_confirms(self, session: Session, link: NewLink) -> None:
        assert _confirm(session, link.secret, code=link.code) == "confirmed"
        assert builders.a_check(session, at=LATER).allowed

    def test_five_wrong_ones_end_the_link(self, session: Session, link: NewLink) -> None:
        wrong = "000000" if link.code != "000000" else "111111"

        states = [_confirm(session, link.secret, code=wrong) for _ in range(5)]

        assert states == ["waiting"] * 4 + ["expired"]
        assert _confirm(session, link.secret, code=link.code) == "expired"
        assert not builders.a_check(session, at=LATER).allowed


class TestNotMe:
    @pytest.mark.rule("DOI-08")
    def test_it_destroys_the_request_and_keeps_the_address_unbothered(self, session: Session, link: NewLink) -> None:
        confirmation.reject(session, secret=link.secret, code=None, at=LATER)

        row = session.execute(select(SignupRequest)).scalar_one()
        assert row.sealed is None
        assert row.email_index is not None
        assert mail_caps.is_refused(session, contact_hash=row.email_index, at=NOON + timedelta(days=89))
        assert not mail_caps.is_refused(session, contact_hash=row.email_index, at=NOON + timedelta(days=91))

    @pytest.mark.rule("DOI-08")
    def test_the_link_confirms_nothing_afterwards(self, session: Session, link: NewLink) -> None:
        confirmation.reject(session, secret=link.secret, code=None, at=LATER)

        assert _confirm(session, link.secret) == "rejected"
        assert builders.a_check(session, at=LATER).reason == "no_consent"

    def test_the_person_can_take_it_back(self, session: Session, link: NewLink) -> None:
        confirmation.reject(session, secret=link.secret, code=None, at=LATER)

        confirmation.undo_reject(session, secret=link.secret, at=LATER)

        index = session.execute(select(SignupRequest.email_index)).scalar_one()
        assert index is not None
        assert not mail_caps.is_refused(session, contact_hash=index, at=LATER)
