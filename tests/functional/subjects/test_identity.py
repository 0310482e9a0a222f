"""Who is meant, who holds an address, and who may read it in clear."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.audit.models import AuditEntry
from consent_service.db.session import Database
from consent_service.errors import InvalidInputError, SubjectUnknownError
from consent_service.registry.forms import FormVersion
from consent_service.subjects import identity, personal_fields, revealing
from consent_service.subjects.identity import ExternalReference, FoundPoint, SubjectReference
from consent_service.vault import keys
from tests.acts import KARI, OLA, PHONE, Stage, contact, external
from tests.builders import NOON

HOUR = timedelta(hours=1)


def a_person(session: Session, address: str = KARI, *, is_verified: bool = True) -> FoundPoint:
    subject_id = identity.create(session, at=NOON, actor=trail.SYSTEM)
    verified_at = NOON if is_verified else None
    return identity.attach_point(
        session, subject_id=subject_id, contact=contact(address), verified_at=verified_at, at=NOON
    )


def holder(session: Session, address: str = KARI) -> FoundPoint | None:
    return identity.find_point(session, contact(address))


@pytest.mark.rule("ACC-05")
class TestBlindIndex:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("andré@kunde.example", "ANDRE\u0301@Kunde.example"),
            ("kari@blåbær.example", "kari@xn--blbr-roah.example"),
            ("+47 400 00 001", "+4740000001"),
        ],
    )
    def test_every_spelling_finds_the_person(self, session: Session, one: str, other: str) -> None:
        known = a_person(session, one)

        assert holder(session, other) == known

    def test_it_is_another_one_for_every_controller_and_kind(
        self, database: Database, controller: str, other_controller: str
    ) -> None:
        indexes = set()
        for each in (controller, other_controller):
            with database.transaction(each) as session:
                indexes |= {keys.index(session, kind=kind, value=KARI) for kind in ("email", "external_id:till")}

        assert len(indexes) == 4

    def test_another_controller_knows_nobody(self, database: Database, controller: str, other_controller: str) -> None:
        with database.transaction(controller) as session:
            known = a_person(session)

        with database.transaction(other_controller) as session:
            assert holder(session) is None
            assert identity.find_subject(session, SubjectReference(id=known.subject_id)) is None


class TestHolder:
    def test_who_verified_goes_before_who_was_reported_later(self, session: Session) -> None:
        verified = a_person(session)
        subject_id = identity.create(session, at=NOON, actor=trail.SYSTEM)
        identity.attach_point(session, subject_id=subject_id, contact=contact(KARI), verified_at=None, at=NOON + HOUR)

        assert holder(session) == verified

    def test_of_those_who_were_reported_the_last_one_is_meant(self, session: Session) -> None:
        a_person(session, is_verified=False)
        subject_id = identity.create(session, at=NOON, actor=trail.SYSTEM)
        last = identity.attach_point(
            session, subject_id=subject_id, contact=contact(KARI), verified_at=None, at=NOON + HOUR
        )

        assert holder(session) == last

    def test_whoever_was_reported_yields_to_who_verifies(self, session: Session) -> None:
        reported = a_person(session, is_verified=False)

        verified = a_person(session)

        assert holder(session) == verified
        assert identity.list_points(session, subject_id=reported.subject_id) == ()

    def test_verifying_what_was_reported_of_oneself_keeps_the_point(self, session: Session) -> None:
        reported = a_person(session, is_verified=False)

        verified = identity.attach_point(
            session, subject_id=reported.subject_id, contact=contact(KARI), verified_at=NOON, at=NOON
        )

        assert (verified.id, verified.verified_at) == (reported.id, NOON)

    def test_the_database_has_one_verified_holder_of_an_address(self, database: Database, controller: str) -> None:
        with database.transaction(controller) as session:
            a_person(session)

        with pytest.raises(IntegrityError), database.transaction(controller) as session:
            a_person(session)


class TestExternalId:
    def test_one_number_in_two_systems_is_two_people(self, session: Session) -> None:
        people = [identity.create(session, at=NOON, actor=trail.SYSTEM) for _ in range(2)]
        for subject_id, system in zip(people, ("till", "crm"), strict=True):
            identity.attach_external_id(
                session, subject_id=subject_id, external=ExternalReference(system, "123"), at=NOON
            )

        found = [identity.find_subject(session, external("123", system=system)) for system in ("till", "crm")]

        assert [each.subject_id for each in found if each] == people

    def test_it_stays_with_whom_it_was_given_to(self, session: Session) -> None:
        first, second = (identity.create(session, at=NOON, actor=trail.SYSTEM) for _ in range(2))
        for subject_id in (first, second):
            identity.attach_external_id(
                session, subject_id=subject_id, external=ExternalReference("till", "123"), at=NOON
            )

        found = identity.find_subject(session, external("123"))

        assert found is not None
        assert found.subject_id == first

    def test_it_names_an_address_only_where_that_is_theirs(self, session: Session) -> None:
        person = a_person(session)
        a_person(session, OLA)
        identity.attach_external_id(
            session, subject_id=person.subject_id, external=ExternalReference("till", "123"), at=NOON
        )

        own = identity.find_subject(session, external("123", point=KARI))
        other = identity.find_subject(session, external("123", point=OLA))

        assert own is not None
        assert own.point == person
        assert other is not None
        assert other.point is None


class TestMasked:
    def test_it_lists_contact_points_without_their_text(self, session: Session) -> None:
        person = a_person(session)
        identity.attach_point(
            session, subject_id=person.subject_id, contact=contact(PHONE), verified_at=None, at=NOON + HOUR
        )

        listed = identity.list_contact_points(session, subject_id=person.subject_id)

        assert [(each.kind, each.masked, each.verified_at) for each in listed] == [
            ("email", "k•••@k•••.example", NOON),
            ("phone", "+47 ••• •• 001", None),
        ]

    def test_nobody_is_unknown(self, session: Session) -> None:
        with pytest.raises(SubjectUnknownError):
            identity.list_contact_points(session, subject_id="sub_" + "0" * 26)


@pytest.mark.rule("ACC-09")
class TestReveal:
    def test_it_shows_everything_and_writes_down_who_looked(self, stage: Stage, club: FormVersion) -> None:
        subject_id = stage.report(
            club,
            ("club", "email", True),
            ("club", "sms", True),
            who=external("123", point=KARI),
            additional=(contact(PHONE),),
            personal_fields=(("name", "Kari Nordmann"),),
        ).subject_id
        assert subject_id is not None

        with stage.act() as session:
            revealed = revealing.reveal(
                session, subject_id=subject_id, reason="she called", actor=trail.Actor("operator", "opr_1"), at=NOON
            )
            looks = session.scalars(select(AuditEntry.type).where(AuditEntry.type == "subject.revealed")).all()

        assert set(revealed.contact_points) == {("email", KARI), ("phone", PHONE)}
        assert revealed.external_ids == (("till", "123"),)
        assert revealed.personal_fields == (("name", "Kari Nordmann"),)
        assert len(looks) == 1
        assert "kari" not in repr(revealed).lower()

    @pytest.mark.parametrize("reason", ["", "  \n"])
    def test_it_needs_a_reason(self, session: Session, reason: str) -> None:
        person = a_person(session)

        with pytest.raises(InvalidInputError) as raised:
            revealing.reveal(
                session, subject_id=person.subject_id, reason=reason, actor=trail.Actor("operator", "opr_1"), at=NOON
            )

        assert [problem.pointer for problem in raised.value.problems] == ["/reason"]

    def test_a_look_that_cannot_be_written_down_shows_nothing(self, session: Session) -> None:
        with pytest.raises(SubjectUnknownError):
            revealing.reveal(session, subject_id="sub_" + "0" * 26, reason="curious", actor=trail.SYSTEM, at=NOON)


class TestPersonalFields:
    def test_a_later_value_replaces_an_earlier_one(self, session: Session) -> None:
        subject_id = a_person(session).subject_id
        for name in ("Kari Nordmann", "Kari Hansen"):
            personal_fields.record(session, subject_id=subject_id, values=(("name", name),), at=NOON)

        assert personal_fields.open_all(session, subject_id=subject_id) == (("name", "Kari Hansen"),)


@pytest.mark.rule("ACC-04")
class TestWhatIsStored:
    def test_no_row_of_any_table_holds_what_was_typed(self, stage: Stage, club: FormVersion) -> None:
        stage.report(
            club,
            ("club", "email", True),
            ("club", "sms", True),
            who=external("kunde-4711", point=KARI),
            additional=(contact(PHONE),),
            personal_fields=(("name", "Nordmann"),),
        )
        stage.withdraw(OLA)

        with stage.act() as session:
            dump = "\n".join(
                str(row)
                for (table,) in session.execute(
                    text(
                        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN"
                        " ('public', 'vault', 'audit') AND tablename NOT IN ('queue', 'platform_mail')"
                    )
                ).all()
                for row in session.execute(text(f"SELECT t::text FROM {table} t"))  # noqa: S608 - names of our tables
            ).lower()

        clear = [KARI, "nordmann", "ola.", "4740000001", "kunde-4711", "192.0.2.7", "mozilla"]
        written = [*clear, *(value.encode().hex() for value in clear)]
        assert [value for value in written if value in dump] == []
        assert "club" in dump
