"""What a person was told is recorded once it was told, about people who are known."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from consent_service.consent import notice_deliveries
from consent_service.consent.models import NoticeDelivery
from consent_service.consent.notice_deliveries import RecordedDelivery
from consent_service.db.session import controller_of
from consent_service.errors import InvalidInputError, SubjectUnknownError
from consent_service.registry.forms import FormVersion
from tests.acts import KARI, OLA, TILL, Stage, refer
from tests.builders import NOON

MINUTE = timedelta(minutes=1)


def record(
    stage: Stage, who: str = KARI, *, notice: str = "objection", delivered_at: datetime = NOON, at: datetime = NOON
) -> RecordedDelivery:
    with stage.act() as session:
        return notice_deliveries.record(
            session, reference=refer(who), notice=notice, delivered_at=delivered_at, actor=TILL, at=at
        )


class TestRecord:
    @pytest.mark.parametrize("notice", ["objection", "article_14"])
    def test_what_was_told_is_kept(self, stage: Stage, form: FormVersion, notice: str) -> None:
        stage.give(form, ("newsletter", "email"))

        recorded = record(stage, notice=notice, delivered_at=NOON - MINUTE)

        with stage.act() as session:
            row = session.scalars(
                select(NoticeDelivery).where(NoticeDelivery.controller_id == controller_of(session))
            ).one()
        assert (row.id, row.subject_id) == (recorded.delivery_id, stage.check().subject_id)
        assert (row.notice, row.delivered_at, row.recorded_at) == (notice, NOON - MINUTE, NOON)

    def test_a_person_whom_nobody_knows_was_told_nothing(self, stage: Stage) -> None:
        with pytest.raises(SubjectUnknownError):
            record(stage, OLA)

    @pytest.mark.parametrize(
        ("said", "problem"),
        [
            ({"notice": "privacy"}, ("/notice", "not_a_choice")),
            ({"delivered_at": NOON + 3 * MINUTE}, ("/delivered_at", "in_the_future")),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, stage: Stage, form: FormVersion, said: dict[str, Any], problem: tuple[str, str]
    ) -> None:
        stage.give(form, ("newsletter", "email"))

        with pytest.raises(InvalidInputError) as caught:
            record(stage, **said)

        assert [(each.pointer, each.code) for each in caught.value.problems] == [problem]
