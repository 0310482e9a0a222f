"""A notice version is a draft until published, and never changes after."""

from datetime import timedelta

import psycopg
import pytest
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.errors import (
    AlreadyPublishedError,
    InvalidInputError,
    NewerNoticePublishedError,
    NoticeIncompleteError,
    NoticeUnknownError,
    PurposeUnknownError,
)
from consent_service.registry import notice_content, notices
from consent_service.registry.notices import NoticeVersion
from tests.builders import NOON
from tests.unit.registry.samples import a_notice_document

DAY = timedelta(days=1)


def draft(session: Session, document: object = None) -> NoticeVersion:
    content = notice_content.parse(a_notice_document() if document is None else document)
    return notices.draft(session, purpose_key="newsletter", content=content, actor=trail.SYSTEM, at=NOON)


def publish(session: Session, number: int, *, material: bool = True, after: timedelta | None = None) -> NoticeVersion:
    return notices.publish(
        session,
        purpose_key="newsletter",
        number=number,
        material=material,
        effective_at=None if after is None else NOON + after,
        actor=trail.SYSTEM,
        at=NOON,
    )


class TestDraft:
    def test_it_takes_the_next_number_and_is_not_in_force(self, session: Session, newsletter: NoticeVersion) -> None:
        version = draft(session)

        assert version.number == newsletter.number + 1
        assert notices.current(session, purpose_key="newsletter", at=NOON) == newsletter

    def test_what_was_drafted_is_what_is_found(self, session: Session, newsletter: NoticeVersion) -> None:
        del newsletter
        version = draft(session)

        assert notices.get(session, notice_id=version.id) == version
        assert notices.get_number(session, purpose_key="newsletter", number=version.number) == version

    def test_it_may_lack_texts(self, session: Session, newsletter: NoticeVersion) -> None:
        del newsletter

        assert draft(session, {}).publication is None

    def test_an_unknown_purpose_has_no_notice(self, session: Session) -> None:
        with pytest.raises(PurposeUnknownError):
            draft(session)


class TestPublish:
    def test_it_is_in_force_at_once(self, session: Session, newsletter: NoticeVersion) -> None:
        assert notices.current(session, purpose_key="newsletter", at=NOON) == newsletter
        assert notices.current(session, purpose_key="newsletter", at=NOON - DAY) is None

    @pytest.mark.rule("CAP-08")
    def test_it_may_take_effect_later(self, session: Session, newsletter: NoticeVersion) -> None:
        draft(session)

        later = publish(session, 2, after=DAY)

        assert notices.current(session, purpose_key="newsletter", at=NOON + DAY / 2) == newsletter
        assert notices.current(session, purpose_key="newsletter", at=NOON + DAY) == later
        assert notices.publications(session, purpose_key="newsletter") == (newsletter, later)

    @pytest.mark.rule("CAP-06")
    def test_it_refuses_with_everything_that_is_missing(self, session: Session, newsletter: NoticeVersion) -> None:
        document = a_notice_document()
        del document["languages"]["nb"]["withdrawal_text"]
        document["languages"]["en"]["channels"]["sms"]["frequency_text"] = ""
        version = draft(session, document | {"recipients": ["nobody"]})

        with pytest.raises(NoticeIncompleteError) as caught:
            publish(session, version.number)

        assert {problem.pointer for problem in caught.value.problems} == {
            "/recipients/0",
            "/languages/nb/withdrawal_text",
            "/languages/en/channels/sms/frequency_text",
        }
        assert notices.current(session, purpose_key="newsletter", at=NOON) == newsletter

    def test_it_happens_once(self, session: Session, newsletter: NoticeVersion) -> None:
        with pytest.raises(AlreadyPublishedError):
            publish(session, newsletter.number)

    def test_an_older_number_never_comes_back(self, session: Session, newsletter: NoticeVersion) -> None:
        del newsletter
        draft(session)
        draft(session)
        publish(session, 3)

        with pytest.raises(NewerNoticePublishedError):
            publish(session, 2)

    def test_it_never_reaches_into_the_past(self, session: Session, newsletter: NoticeVersion) -> None:
        del newsletter
        draft(session)

        with pytest.raises(InvalidInputError) as caught:
            publish(session, 2, after=-DAY)

        assert "in_the_past" in [problem.code for problem in caught.value.problems]

    def test_an_earlier_version_cannot_come_into_force_afterwards(
        self, session: Session, newsletter: NoticeVersion
    ) -> None:
        del newsletter
        draft(session)
        draft(session)
        publish(session, 2, after=DAY)

        with pytest.raises(InvalidInputError) as caught:
            publish(session, 3)

        assert [problem.code for problem in caught.value.problems] == ["before_earlier_version"]

    @pytest.mark.rule("CAP-08")
    def test_an_immaterial_change_needs_a_reason(self, session: Session, newsletter: NoticeVersion) -> None:
        del newsletter
        draft(session)

        with pytest.raises(InvalidInputError) as caught:
            publish(session, 2, material=False)

        assert [problem.pointer for problem in caught.value.problems] == ["/reason"]

    def test_a_draft_that_does_not_exist_is_unknown(self, session: Session, newsletter: NoticeVersion) -> None:
        with pytest.raises(NoticeUnknownError):
            publish(session, newsletter.number + 1)


class TestRows:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE notice_version SET content = '{}'",
            "DELETE FROM notice_publication",
            "UPDATE notice_publication SET material = false",
        ],
    )
    def test_the_database_refuses_to_change_them(self, owner_url: str, statement: str) -> None:
        with (
            psycopg.connect(owner_url.replace("postgresql+psycopg", "postgresql")) as connection,
            pytest.raises(psycopg.Error),
        ):
            connection.execute(statement)
