"""A sealed value opens in its own place, under its own key, and never again once that key is destroyed."""

from typing import Any

import psycopg
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import trail
from consent_service.consent import evidence
from consent_service.db.session import Database, keyring_of
from consent_service.errors import KeyDestroyedError, SealBrokenError
from consent_service.subjects import identity, revealing
from consent_service.vault import keys
from consent_service.vault.keys import SealedOfSubject
from consent_service.vault.models import ControllerKey, SubjectKey
from tests.acts import KARI, OLA, Stage, contact
from tests.builders import NOON

PLACE = {"table": "contact_point", "column": "sealed", "row_id": "cpt_1"}


@pytest.fixture
def subject_id(session: Session) -> str:
    """Create a person."""
    return identity.create(session, at=NOON, actor=trail.SYSTEM)


@pytest.mark.rule("ACC-04")
class TestPlace:
    def test_a_value_opens_where_it_was_sealed(self, session: Session, subject_id: str) -> None:
        sealed = keys.seal_for_subject(session, b"kari", subject_id=subject_id, **PLACE)

        assert keys.unseal_for_subject(session, sealed, subject_id=subject_id, **PLACE) == b"kari"

    @pytest.mark.parametrize("other", [{"table": "external_id"}, {"column": "value"}, {"row_id": "cpt_2"}])
    def test_it_opens_nowhere_else(self, session: Session, subject_id: str, other: dict[str, str]) -> None:
        sealed = keys.seal_for_subject(session, b"kari", subject_id=subject_id, **PLACE)

        with pytest.raises(SealBrokenError):
            keys.unseal_for_subject(session, sealed, subject_id=subject_id, **{**PLACE, **other})

    def test_it_opens_for_nobody_else(self, session: Session, subject_id: str) -> None:
        other = identity.create(session, at=NOON, actor=trail.SYSTEM)
        sealed = keys.seal_for_subject(session, b"kari", subject_id=subject_id, **PLACE)

        with pytest.raises(SealBrokenError):
            keys.unseal_for_subject(session, sealed, subject_id=other, **PLACE)

    def test_it_opens_for_no_other_controller(self, database: Database, controller: str, other_controller: str) -> None:
        with database.transaction(controller) as session:
            sealed = keys.seal_for_controller(session, b"kari", **PLACE)

        with database.transaction(other_controller) as session, pytest.raises(SealBrokenError):
            keys.unseal_for_controller(session, sealed, **PLACE)

    def test_no_two_seals_of_one_value_are_alike(self, session: Session, subject_id: str) -> None:
        sealed = {keys.seal_for_subject(session, b"kari", subject_id=subject_id, **PLACE) for _ in range(8)}

        assert len(sealed) == 8

    def test_addresses_that_were_swapped_between_rows_open_for_neither(self, stage: Stage, superuser_url: str) -> None:
        with stage.act() as session:
            people = [identity.create(session, at=NOON, actor=trail.SYSTEM) for _ in range(2)]
            for subject_id, address in zip(people, (KARI, OLA), strict=True):
                identity.attach_point(
                    session, subject_id=subject_id, contact=contact(address), verified_at=NOON, at=NOON
                )

        with psycopg.connect(superuser_url) as connection:
            connection.execute(
                "UPDATE contact_point a SET sealed = b.sealed FROM contact_point b"
                " WHERE a.controller_id = b.controller_id AND a.controller_id = %s AND a.id <> b.id",
                (identifiers.to_uuid(stage.controller_id, "ctl"),),
            )

        for subject_id in people:
            with stage.act() as session, pytest.raises(SealBrokenError):
                identity.list_contact_points(session, subject_id=subject_id)


class TestMany:
    def test_values_of_many_people_open_at_once_each_in_its_own_place(self, session: Session, subject_id: str) -> None:
        other_id, nobody = identity.create(session, at=NOON, actor=trail.SYSTEM), identifiers.new_id("sub")
        place = {"table": "audit.entry", "column": "sealed"}
        kari = keys.seal_for_subject(session, b"kari", subject_id=subject_id, row_id="aud_1", **place)
        ola = keys.seal_for_subject(session, b"ola", subject_id=other_id, row_id="aud_2", **place)
        values = [
            SealedOfSubject("aud_1", subject_id, kari),
            SealedOfSubject("aud_2", other_id, ola),
            SealedOfSubject("aud_3", subject_id, kari),
            SealedOfSubject("aud_4", nobody, kari),
        ]

        opened = keys.unseal_many_for_subjects(session, values, **place)

        assert opened == {"aud_1": b"kari", "aud_2": b"ola", "aud_3": None}
        assert "kari" not in repr(values)


class TestDestroyedKey:
    @pytest.fixture
    def erased(self, stage: Stage, superuser_url: str) -> tuple[str, str]:
        """Let somebody give consent and then be forgotten; return the person and the declaration."""
        stage.purpose("club", double_opt_in=False)
        outcome = stage.report(stage.form(("club", "email")), ("club", "email", True))
        assert outcome.subject_id is not None
        with psycopg.connect(superuser_url) as connection:
            connection.execute(
                "DELETE FROM vault.subject_key WHERE subject_id = %s", (identifiers.to_uuid(outcome.subject_id, "sub"),)
            )
        return outcome.subject_id, outcome.consents[0].consent_id

    def test_nothing_that_it_sealed_opens(self, stage: Stage, erased: tuple[str, str]) -> None:
        subject_id, consent_id = erased
        looks: dict[str, Any] = {"reason": "test", "actor": trail.SYSTEM, "at": NOON}

        with pytest.raises(KeyDestroyedError), stage.act() as session:
            identity.list_contact_points(session, subject_id=subject_id)
        with pytest.raises(KeyDestroyedError), stage.act() as session:
            revealing.reveal(session, subject_id=subject_id, **looks)
        with pytest.raises(KeyDestroyedError), stage.act() as session:
            evidence.reveal(session, consent_id=consent_id, **looks)

    def test_its_error_names_an_id_and_no_value(self, stage: Stage, erased: tuple[str, str]) -> None:
        subject_id, _ = erased

        with pytest.raises(KeyDestroyedError) as raised, stage.act() as session:
            keys.unseal_for_subject(session, b"", subject_id=subject_id, **PLACE)

        assert str(raised.value) == f"{subject_id} has no key"

    def test_of_a_request_it_is_gone_at_once(self, session: Session) -> None:
        request_id = identifiers.new_id("req")
        keys.create_for_request(session, request_id=request_id, at=NOON)
        sealed = keys.seal_for_request(session, b"kari", request_id=request_id, **PLACE)

        keys.destroy_for_request(session, request_id=request_id)

        with pytest.raises(KeyDestroyedError):
            keys.unseal_for_request(session, sealed, request_id=request_id, **PLACE)


class TestWrapped:
    def test_only_wrapped_keys_are_stored(self, session: Session, subject_id: str) -> None:
        wrapped = [
            *session.scalars(select(ControllerKey.wrapped)),
            *session.scalars(select(SubjectKey.wrapped).where(SubjectKey.subject_id == subject_id)),
        ]
        roots = [keyring_of(session).newest(name).secret for name in ("root", "links", "caps", "idempotency")]

        assert len(wrapped) == 4
        assert not any(secret in each for each in wrapped for secret in roots)

    def test_a_controllers_key_serves_no_other_use(self, stage: Stage, superuser_url: str) -> None:
        with psycopg.connect(superuser_url) as connection:
            connection.execute(
                "UPDATE vault.controller_key i SET wrapped = k.wrapped FROM vault.controller_key k"
                " WHERE i.controller_id = %s AND k.controller_id = i.controller_id"
                " AND (i.kind, k.kind) = ('index', 'kek')",
                (identifiers.to_uuid(stage.controller_id, "ctl"),),
            )

        with stage.act() as session, pytest.raises(SealBrokenError):
            keys.index(session, kind="email", value=KARI)


class TestHashes:
    def test_a_suppressed_address_is_not_found_by_its_index(self, session: Session) -> None:
        index = keys.index(session, kind="email", value=KARI)
        hashed = keys.suppression_hash(session, kind="email", value=KARI)

        assert (len(index), len(hashed)) == (16, 32)
        assert not hashed.startswith(index)

    def test_caps_recognise_an_address_across_controllers_and_nothing_else_does(
        self, database: Database, controller: str, other_controller: str
    ) -> None:
        seen = []
        for each in (controller, other_controller):
            with database.transaction(each) as session:
                seen.append(
                    (
                        keys.platform_hash(session, purpose="mail", value=KARI.encode()),
                        keys.suppression_hash(session, kind="email", value=KARI),
                    )
                )

        assert seen[0][0] == seen[1][0]
        assert seen[0][1] != seen[1][1]
