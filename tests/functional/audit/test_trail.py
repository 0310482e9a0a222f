"""The log of acts: no act without its entry, no entry that anybody can tie to a person without that person's key."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import delete, func, select
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.audit.models import AuditEntry, AuditEntryAbout, AuditStreamHead
from consent_service.consent import signup_requests
from consent_service.crypto import canonical
from consent_service.db.session import Database, controller_of
from consent_service.registry.forms import FormVersion
from consent_service.subjects import restriction, revealing
from consent_service.subjects.models import Subject
from consent_service.vault import keys
from tests.acts import OLA, Stage, together
from tests.builders import NOON
from tests.conftest import ROLES

HOUR = timedelta(hours=1)
NEWS = ("newsletter", "email")


@dataclass(frozen=True, slots=True)
class Opened:
    """An entry with what its commitment binds."""

    entry: AuditEntry
    key: bytes
    plaintext: bytes

    @property
    def payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads(self.plaintext)
        return payload


def entries(session: Session) -> list[Opened]:
    """Open the whole log of a controller, in no order that means anything."""
    rows = session.execute(
        select(AuditEntry, AuditEntryAbout.subject_id).outerjoin(
            AuditEntryAbout,
            (AuditEntryAbout.controller_id == AuditEntry.controller_id) & (AuditEntryAbout.entry_id == AuditEntry.id),
        )
    )
    opened = []
    for entry, subject_id in rows:
        place = {"table": "audit.entry", "column": "sealed", "row_id": entry.id}
        if subject_id is not None:
            whole = keys.unseal_for_subject(session, entry.sealed, subject_id=subject_id, **place)
        else:
            whole = keys.unseal_for_controller(session, entry.sealed, **place)
        opened.append(Opened(entry, whole[:32], whole[32:]))
    return opened


@pytest.fixture
def busy(stage: Stage, form: FormVersion) -> Stage:
    """Let much happen to two people."""
    kari = stage.give(form, NEWS)
    stage.report(form, ("club", "email", True), at=NOON + HOUR)
    stage.withdraw(at=NOON + 2 * HOUR)
    stage.give(form, NEWS, at=NOON + 3 * HOUR)
    stage.object_to(at=NOON + 4 * HOUR)
    stage.give(form, NEWS, email=OLA, at=NOON + 5 * HOUR)
    stage.withdraw("nobody@kunde.example", at=NOON + 6 * HOUR)
    assert kari.subject_id is not None
    with stage.act() as session:
        revealing.reveal(
            session, subject_id=kari.subject_id, reason="she called", actor=trail.SYSTEM, at=NOON + 7 * HOUR
        )
    return stage


class TestEntries:
    def test_each_commitment_binds_what_is_sealed(self, busy: Stage) -> None:
        with busy.act() as session:
            opened = entries(session)

        assert len(opened) > 15
        assert all(canonical.commitment(each.key, each.plaintext) == each.entry.commit for each in opened)
        assert all(canonical.canonical_json(each.payload) == each.plaintext for each in opened)
        assert len({each.key for each in opened}) == len(opened)

    def test_each_stream_counts_without_gaps_and_names_the_entry_before(self, busy: Stage) -> None:
        with busy.act() as session:
            opened = entries(session)
            heads = {row.stream: (row.number, row.commit) for row in session.scalars(select(AuditStreamHead))}

        for stream, head in heads.items():
            own = sorted(
                (each for each in opened if each.payload["stream"] == stream), key=lambda each: each.payload["number"]
            )
            commits = [each.entry.commit for each in own]
            assert [each.payload["number"] for each in own] == list(range(1, len(own) + 1))
            assert [each.payload["previous"] for each in own] == [None, *(each.hex() for each in commits[:-1])]
            assert head == (len(own), commits[-1])

    def test_acts_that_meet_leave_no_gap(self, stage: Stage, form: FormVersion) -> None:
        stage.give(form, NEWS)

        together(*[lambda: stage.withdraw(at=NOON + HOUR)] * 4)

        with stage.act() as session:
            numbers = [each.payload["number"] for each in entries(session) if "subject:" in each.payload["stream"]]
        assert sorted(numbers) == list(range(1, len(numbers) + 1))

    @pytest.mark.rule("LOG-08")
    def test_nothing_outside_the_seal_ties_two_acts_of_a_person_together(self, busy: Stage) -> None:
        with busy.act() as session:
            opened = entries(session)
        of_kari = [each.entry for each in opened if "subject:" in each.payload["stream"]]
        acts: dict[object, list[tuple[object, ...]]] = {}
        for entry in of_kari:
            acts.setdefault(entry.occurred_at, []).append((entry.id, entry.commit, entry.sealed))

        assert {(entry.version, entry.sealed_for) for entry in of_kari} == {(1, "subject")}
        shown = [value for values in acts.values() for row in values for value in row]
        assert len(shown) == len(set(shown))

    def test_what_is_said_of_a_person_is_sealed_for_that_person(self, busy: Stage) -> None:
        with busy.act() as session:
            opened = entries(session)

        assert {each.entry.type for each in opened if each.entry.sealed_for == "controller"} == {
            "controller.created",
            "form.created",
            "form.version_created",
            "notice.drafted",
            "notice.published",
            "purpose.created",
            "signup.requested",
            "suppression.recorded",
        }
        assert all(
            each.entry.sealed_for == "subject" for each in opened if each.payload["stream"].startswith("subject:")
        )

    def test_no_payload_holds_an_address(self, busy: Stage) -> None:
        with busy.act() as session:
            whole = b"".join(each.plaintext for each in entries(session)).lower()

        assert not any(clear in whole for clear in (b"kari", b"ola.", b"nobody@", b"192.0.2", b"mozilla"))

    def test_a_payload_cannot_say_otherwise_what_every_entry_says(self, stage: Stage) -> None:
        with stage.act() as session, pytest.raises(ValueError, match="every entry has"):
            trail.record(
                session, type="form.created", at=NOON, actor=trail.SYSTEM, stream="form:x", payload={"number": 7}
            )


def restrict(stage: Stage) -> None:
    with stage.act() as session:
        person = session.scalars(select(Subject.id)).one()
        restriction.restrict(session, subject_id=person, reason="Art. 18", actor=trail.SYSTEM, at=NOON + HOUR)


def expire(stage: Stage) -> None:
    with stage.act() as session:
        signup_requests.expire(session, at=NOON + timedelta(days=8))


#: Every kind of change, on a stage where Kari's newsletter is given and Ola's request waits.
CHANGES: dict[str, Callable[[Stage, FormVersion, Any], object]] = {
    "sign up": lambda stage, form, _: stage.sign_up(form, NEWS, email="new@kunde.example"),
    "confirm": lambda stage, _, link: stage.confirm(link, at=NOON + HOUR),
    "reject": lambda stage, _, link: stage.reject(link, at=NOON + HOUR),
    "type a wrong code": lambda stage, _, link: stage.confirm(link, code=f"{(int(link.code) + 1) % 10**6:06}", at=NOON),
    "withdraw": lambda stage, _, __: stage.withdraw(at=NOON + HOUR),
    "withdraw for an unknown address": lambda stage, _, __: stage.withdraw("nobody@kunde.example"),
    "object": lambda stage, _, __: stage.object_to(at=NOON + HOUR),
    "report a yes": lambda stage, form, _: stage.report(form, ("club", "email", True), at=NOON + HOUR),
    "report a no": lambda stage, form, _: stage.report(form, ("club", "email", False), at=NOON + HOUR),
    "restrict": lambda stage, _, __: restrict(stage),
    "expire": lambda stage, _, __: expire(stage),
    "publish": lambda stage, _, __: stage.purpose("news", at=NOON + HOUR),
}


@pytest.mark.rule("ACC-08")
class TestFaultInjection:
    @pytest.fixture
    def no_log(self, superuser_url: str) -> Iterator[Callable[[], None]]:
        """Return what takes the service's right to add entries; the right comes back in the end."""
        role = sql.Identifier(ROLES.app)

        def change(words: str) -> None:
            with psycopg.connect(superuser_url) as connection:
                connection.execute(sql.SQL(words).format(role))

        yield lambda: change("REVOKE INSERT ON audit.entry FROM {}")
        change("GRANT INSERT ON audit.entry TO {}")

    @pytest.mark.parametrize("change", CHANGES)
    def test_what_cannot_be_logged_does_not_happen(
        self, stage: Stage, form: FormVersion, no_log: Callable[[], None], superuser_url: str, change: str
    ) -> None:
        stage.give(form, NEWS)
        link = stage.link(stage.sign_up(form, NEWS, email=OLA))
        before = content(superuser_url)
        no_log()

        with pytest.raises(ProgrammingError):
            CHANGES[change](stage, form, link)

        assert content(superuser_url) == before

    @pytest.mark.parametrize("change", CHANGES)
    def test_the_same_change_leaves_an_entry_where_it_can_be_logged(
        self, stage: Stage, form: FormVersion, superuser_url: str, change: str
    ) -> None:
        stage.give(form, NEWS)
        link = stage.link(stage.sign_up(form, NEWS, email=OLA))
        before = content(superuser_url)

        CHANGES[change](stage, form, link)

        after = content(superuser_url)
        assert after != before
        assert len(after["audit.entry"]) > len(before["audit.entry"])


def content(superuser_url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables."""
    with psycopg.connect(superuser_url) as connection:
        tables = connection.execute(
            "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('public', 'vault', 'audit')"
        ).fetchall()
        return {
            table: connection.execute(sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.SQL(table))).fetchall()
            for (table,) in tables
        }


class TestTieToThePerson:
    def test_it_is_deleted_by_retention_alone_and_the_entry_stays(
        self, stage: Stage, form: FormVersion, retention_database: Database
    ) -> None:
        stage.give(form, NEWS)

        with pytest.raises(ProgrammingError), stage.act() as session:
            session.execute(delete(AuditEntryAbout))
        with retention_database.transaction(stage.controller_id) as session:
            session.execute(delete(AuditEntryAbout).where(AuditEntryAbout.controller_id == controller_of(session)))

        with stage.act() as session:
            assert session.scalar(select(func.count()).select_from(AuditEntryAbout)) == 0
            assert session.scalar(select(func.count()).where(AuditEntry.type == "consent.given")) == 1

    def test_each_entry_about_a_person_has_it(self, busy: Stage) -> None:
        with busy.act() as session:
            tied = set(session.scalars(select(AuditEntryAbout.entry_id).where(AuditEntryAbout.subject_id.is_not(None))))
            about_people = set(session.scalars(select(AuditEntry.id).where(AuditEntry.sealed_for == "subject")))

        assert tied == about_people


class TestQueue:
    def test_the_database_fills_it_with_every_entry_once(self, busy: Stage, superuser_url: str) -> None:
        del busy
        with psycopg.connect(superuser_url) as connection:
            queued = connection.execute("SELECT controller_id, entry_id FROM audit.queue ORDER BY 1, 2").fetchall()
            written = connection.execute("SELECT controller_id, id FROM audit.entry ORDER BY 1, 2").fetchall()

        assert queued == written


class TestControllers:
    def test_none_sees_anothers_log(self, busy: Stage, database: Database, other_controller: str) -> None:
        del busy
        with database.transaction(other_controller) as session:
            types = set(session.scalars(select(AuditEntry.type)))

        assert types == {"controller.created"}


class TestReasons:
    def test_a_restriction_is_written_down_with_its_reason(self, stage: Stage, form: FormVersion) -> None:
        stage.give(form, NEWS)
        restrict(stage)

        with stage.act() as session:
            (entry,) = [each for each in entries(session) if each.entry.type == "subject.restricted"]

        assert entry.payload["reason"] == "Art. 18"
        assert entry.payload["actor"] == "system"
