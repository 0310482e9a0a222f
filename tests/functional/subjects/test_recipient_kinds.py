"""An address is a person's, unless somebody said otherwise on record."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.audit.models import AuditEntry
from consent_service.consent import withdrawal
from consent_service.consent.withdrawal import Scope
from consent_service.db.session import controller_of
from consent_service.errors import InvalidInputError, SubjectUnknownError, SuppressedError
from consent_service.subjects import fields, identity, recipient_kinds
from consent_service.subjects.identity import SubjectReference
from consent_service.subjects.models import RecipientKindFact
from consent_service.subjects.recipient_kinds import Classification
from tests.builders import NOON

OFFICE = SubjectReference(contact=fields.parse_email("post@firma.example"))
DAY = timedelta(days=1)


def classify(
    session: Session,
    kind: str = "company",
    *,
    who: SubjectReference = OFFICE,
    reason: str = "their web site",
    at: datetime = NOON,
) -> Classification:
    return recipient_kinds.classify(
        session, reference=who, recipient_kind=kind, reason=reason, actor=trail.SYSTEM, at=at
    )


def facts(session: Session) -> list[tuple[str, datetime]]:
    rows = session.execute(
        select(RecipientKindFact.kind, RecipientKindFact.recorded_at)
        .where(RecipientKindFact.controller_id == controller_of(session))
        .order_by(RecipientKindFact.recorded_at)
    )
    return [(row.kind, row.recorded_at) for row in rows]


class TestClassify:
    def test_an_unknown_address_is_recorded_without_being_proved(self, session: Session) -> None:
        classified = classify(session)

        found = identity.find_subject(session, OFFICE)
        assert found is not None
        assert found.point is not None
        assert (found.subject_id, found.point.id) == (classified.subject_id, classified.contact_point_id)
        assert found.point.verified_at is None
        assert facts(session) == [("company", NOON)]

    def test_it_is_taken_back_by_another_fact(self, session: Session) -> None:
        first = classify(session)

        second = classify(session, "natural_person", at=NOON - DAY)

        assert first.contact_point_id == second.contact_point_id
        assert [kind for kind, _ in facts(session)] == ["company", "natural_person"]

    @pytest.mark.rule("CAP-20")
    def test_it_is_written_into_the_audit_log(self, session: Session) -> None:
        classify(session)

        types = session.scalars(select(AuditEntry.type).where(AuditEntry.controller_id == controller_of(session)))
        assert list(types).count("recipient_kind.recorded") == 1

    @pytest.mark.rule("CAP-20")
    @pytest.mark.parametrize(("kind", "reason"), [("company", " "), ("generic", "because"), ("", "because")])
    def test_nothing_less_than_a_kind_and_a_reason_will_do(self, session: Session, kind: str, reason: str) -> None:
        with pytest.raises(InvalidInputError):
            classify(session, kind, reason=reason)

        assert facts(session) == []

    def test_a_reference_without_an_address_is_refused(self, session: Session) -> None:
        subject_id = identity.create(session, at=NOON, actor=trail.SYSTEM)

        with pytest.raises(InvalidInputError):
            classify(session, who=SubjectReference(id=subject_id))

    def test_an_id_of_nobody_is_a_mistake(self, session: Session) -> None:
        nobody = SubjectReference(id="sub_00000000000000000000000000", contact_point=OFFICE.contact)

        with pytest.raises(SubjectUnknownError):
            classify(session, who=nobody)

    def test_an_address_that_was_suppressed_is_not_recorded_anew(self, session: Session) -> None:
        stop(session)

        with pytest.raises(SuppressedError):
            classify(session, at=NOON + DAY)


def stop(session: Session) -> None:
    withdrawal.withdraw(
        session,
        reference=OFFICE,
        scope=Scope(None, None),
        reason="unsubscribe_page",
        act=None,
        actor=trail.SUBJECT,
        at=NOON,
    )
