"""The facts of a sale are kept as they were said, and say nothing against a person's no."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from consent_service.consent import merging, relations
from consent_service.consent.models import CustomerRelation, LedgerEntry
from consent_service.consent.relations import RecordedRelation, Sale
from consent_service.db.session import controller_of
from consent_service.errors import (
    InvalidInputError,
    ObjectedError,
    RestrictedError,
    SubjectUnknownError,
    SuppressedError,
)
from consent_service.registry.forms import FormVersion
from consent_service.subjects import identity, restriction
from consent_service.subjects.identity import SubjectReference
from consent_service.vault import keys
from tests.acts import KARI, OLA, PHONE, TILL, Stage, external, refer
from tests.builders import NOON

DAY = timedelta(days=1)
NOBODY = "sub_00000000000000000000000000"


def record(
    stage: Stage,
    who: SubjectReference | str = KARI,
    *,
    at: datetime = NOON,
    **said: Any,  # noqa: ANN401 - passed on to Sale
) -> RecordedRelation:
    whole: dict[str, Any] = {
        "relation": "membership",
        "sold_at": NOON - DAY,
        "product_category": "skis",
        "received_at_sale": True,
        "opt_out_offered": True,
        **said,
    }
    with stage.act() as session:
        return relations.record(session, reference=refer(who), sale=Sale(**whole), actor=TILL, at=at)


def rows(stage: Stage) -> list[CustomerRelation]:
    with stage.act() as session:
        return list(
            session.scalars(
                select(CustomerRelation)
                .where(CustomerRelation.controller_id == controller_of(session))
                .order_by(CustomerRelation.recorded_at)
            )
        )


def codes(caught: pytest.ExceptionInfo[InvalidInputError]) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.code) for problem in caught.value.problems]


class TestRecord:
    def test_what_was_said_is_kept(self, stage: Stage) -> None:
        ends = NOON + 30 * DAY

        recorded = record(stage, active_until=ends, opt_out_offered=False)

        row = rows(stage)[0]
        assert (row.id, row.subject_id) == (recorded.relation_id, recorded.subject_id)
        assert (row.relation, row.product_category, row.sold_at) == ("membership", "skis", NOON - DAY)
        assert (row.received_at_sale, row.opt_out_offered, row.active_until) == (True, False, ends)

    def test_an_unknown_address_is_recorded_without_being_proved(self, stage: Stage) -> None:
        recorded = record(stage)

        with stage.act() as session:
            points = identity.list_points(session, subject_id=recorded.subject_id)
        assert [(point.kind, point.verified_at) for point in points] == [("email", None)]

    def test_it_is_no_consent(self, stage: Stage) -> None:
        record(stage)

        with stage.act() as session:
            entries = session.scalars(select(LedgerEntry).where(LedgerEntry.controller_id == controller_of(session)))
            assert list(entries) == []
        assert not stage.check().allowed

    def test_a_known_person_keeps_her_address(self, stage: Stage, form: FormVersion) -> None:
        stage.give(form, ("newsletter", "email"))

        first = record(stage)
        second = record(stage, product_category="boots", at=NOON + DAY)

        assert first.subject_id == second.subject_id == stage.check().subject_id
        assert len({row.contact_point_id for row in rows(stage)}) == 1

    def test_a_system_may_name_its_customer_and_her_address(self, stage: Stage) -> None:
        recorded = record(stage, external("4711", point=KARI))

        with stage.act() as session:
            found = identity.find_subject(session, external("4711", point=KARI))
        assert found is not None
        assert found.subject_id == recorded.subject_id
        assert found.point is not None

    def test_the_reference_of_the_sale_is_sealed_under_the_persons_key(self, stage: Stage) -> None:
        recorded = record(stage, sale_reference="order 4711 of Kari")

        sealed = rows(stage)[0].sale_reference
        assert sealed is not None
        assert b"4711" not in sealed
        with stage.act() as session:
            opened = keys.unseal_for_subject(
                session,
                sealed,
                subject_id=recorded.subject_id,
                table="customer_relation",
                column="sale_reference",
                row_id=recorded.relation_id,
            )
        assert opened.decode() == "order 4711 of Kari"

    def test_what_is_recorded_last_is_also_latest_when_clocks_differ(self, stage: Stage) -> None:
        record(stage, at=NOON + DAY)
        record(stage, active_until=NOON, at=NOON)

        assert [row.active_until for row in rows(stage)] == [None, NOON]

    def test_a_clock_that_is_a_little_ahead_is_forgiven(self, stage: Stage) -> None:
        record(stage, sold_at=NOON + timedelta(minutes=2))

        assert rows(stage)[0].sold_at == NOON


class TestWhatCannotBe:
    @pytest.mark.parametrize(
        ("said", "problem"),
        [
            ({"relation": "friendship"}, ("/relation", "not_a_choice")),
            ({"sold_at": NOON + timedelta(minutes=3)}, ("/sold_at", "in_the_future")),
            ({"active_until": NOON - 2 * DAY}, ("/active_until", "before_the_sale")),
            ({"product_category": "Kari's skis"}, ("/product_category", "invalid")),
        ],
    )
    def test_is_refused_with_its_place(self, stage: Stage, said: dict[str, Any], problem: tuple[str, str]) -> None:
        with pytest.raises(InvalidInputError) as caught:
            record(stage, **said)

        assert codes(caught) == [problem]
        assert rows(stage) == []

    def test_everything_that_is_wrong_is_listed(self, stage: Stage) -> None:
        with pytest.raises(InvalidInputError) as caught:
            record(stage, relation="", product_category="", sold_at=NOON + DAY)

        assert [pointer for pointer, _ in codes(caught)] == ["/relation", "/product_category", "/sold_at"]

    def test_a_reference_without_an_address_is_refused(self, stage: Stage) -> None:
        with pytest.raises(InvalidInputError) as caught:
            record(stage, external("4711"))

        assert codes(caught) == [("/subject/contact_point", "contact_point_required")]

    def test_an_id_of_nobody_is_a_mistake(self, stage: Stage) -> None:
        with pytest.raises(SubjectUnknownError):
            record(stage, SubjectReference(id=NOBODY, contact_point=refer(KARI).contact))


class TestAPersonsNo:
    @pytest.mark.parametrize("channel", [None, "email"])
    def test_an_objection_is_not_lifted_by_a_sale(self, stage: Stage, channel: str | None) -> None:
        record(stage)
        stage.object_to(KARI, channel=channel, at=NOON + DAY)

        with pytest.raises(ObjectedError):
            record(stage, at=NOON + 2 * DAY)

    @pytest.mark.parametrize("channel", [None, "email"])
    def test_an_address_that_was_suppressed_is_not_recorded_again(self, stage: Stage, channel: str | None) -> None:
        stage.withdraw(KARI, channel=channel)

        with pytest.raises(SuppressedError):
            record(stage, at=NOON + DAY)

    def test_whoever_is_restricted_is_left_alone(self, stage: Stage) -> None:
        recorded = record(stage)
        with stage.act() as session:
            restriction.restrict(session, subject_id=recorded.subject_id, reason="asked", actor=TILL, at=NOON)

        with pytest.raises(RestrictedError):
            record(stage, at=NOON + DAY)

    def test_anybodys_no_under_an_address_binds_it(self, stage: Stage) -> None:
        record(stage, external("4711", point=KARI))
        stage.object_to(external("4711", point=KARI), at=NOON + DAY)

        with pytest.raises(ObjectedError):
            record(stage, external("4712", point=KARI), at=NOON + 2 * DAY)

    def test_a_no_to_one_purpose_or_to_another_channel_stops_no_fact(self, stage: Stage) -> None:
        record(stage)
        stage.object_to(KARI, purpose="newsletter", at=NOON + DAY)
        stage.object_to(KARI, channel="phone", at=NOON + DAY)

        assert record(stage, at=NOON + 2 * DAY).relation_id
        assert record(stage, OLA, at=NOON + 2 * DAY).relation_id

    def test_a_number_is_stopped_once_nothing_may_reach_it(self, stage: Stage) -> None:
        record(stage, PHONE)
        stage.object_to(PHONE, channel="sms", at=NOON + DAY)
        record(stage, PHONE, at=NOON + 2 * DAY)
        stage.object_to(PHONE, channel="phone", at=NOON + 3 * DAY)

        with pytest.raises(ObjectedError):
            record(stage, PHONE, at=NOON + 4 * DAY)

    @pytest.mark.rule("WD-12")
    def test_what_a_duplicate_objected_to_binds_the_person(self, stage: Stage) -> None:
        kept, duplicate = record(stage, KARI), record(stage, OLA)
        stage.object_to(OLA, at=NOON + DAY)
        with stage.act() as session:
            merging.merge(
                session,
                survivor_id=kept.subject_id,
                duplicate_id=duplicate.subject_id,
                source="api",
                reason="same person",
                actor=TILL,
                at=NOON + DAY,
            )

        with pytest.raises(ObjectedError):
            record(stage, KARI, at=NOON + 2 * DAY)
