"""Looking for entries in the log: what a query finds, in which order, and what each entry says."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session

from consent_service import identifiers
from consent_service.audit import grammar, query, trail
from consent_service.audit.grammar import AddressTerm, Query
from consent_service.audit.models import AuditEntryAbout
from consent_service.audit.query import FoundEntry, Names
from consent_service.audit.query_values import Vocabulary
from consent_service.audit.trail import Actor
from consent_service.crypto import canonical
from consent_service.db import session as db_session
from consent_service.db.session import Database, controller_of
from consent_service.errors import AuditEntryUnknownError
from consent_service.registry.forms import FormVersion
from consent_service.subjects import identity
from tests.acts import OLA, Stage
from tests.builders import NOON

HOUR = timedelta(hours=1)
NEWS = ("newsletter", "email")
# They name tests, and all processes of a run must give a test the same name.
KEY = "key_01KJQ6PSG0EPWBQVG1BN23QV3T"
OTHER_KEY = "key_01KJQ6PSG0E61S70ZK1KD0NQ5Q"
NEWSLETTER = identifiers.new_id("pur", at=NOON)
CLUB = identifiers.new_id("pur", at=NOON)
PURPOSES = {"newsletter": NEWSLETTER, "club": CLUB}


def write(
    session: Session,
    name: str,
    *,
    type: str = "consent.given",  # noqa: A002 - the log's own word
    actor: Actor = trail.SYSTEM,
    subject: str | None = None,
    purpose: str | None = None,
    channel: str | None = None,
    at: datetime = NOON,
) -> str:
    """Append an entry that is called `name` in its payload."""
    about = {"purpose": PURPOSES[purpose]} if purpose else {}
    about |= {"channel": channel} if channel else {}
    return trail.record(
        session,
        type=type,
        at=at,
        actor=actor,
        stream=f"test:{name}",
        payload={"name": name, **about},
        subject_id=subject,
    )


def read(text: str) -> Query:
    words = Vocabulary(actions=trail.TYPES, channels=("email", "sms"), purposes=tuple(PURPOSES), zone=UTC)
    return grammar.parse(text, vocabulary=words)


Find = Callable[..., list[str]]


def names_of(found: tuple[FoundEntry, ...]) -> list[str]:
    return [each.payload["name"] if each.payload else each.type for each in found]


@pytest.fixture
def find(stage: Stage) -> Find:
    """Return what looks for entries and names them, sorted; the controller's own beginning is left out."""

    def look(text: str, *, merged: tuple[str, ...] = (), within: tuple[str, ...] | None = None) -> list[str]:
        asked = read(f"{text} -action:controller.created -action:subject.created")
        people = {each.text: (each.text, *merged) for each in asked.of(grammar.SubjectTerm)}
        with stage.act() as session:
            found = query.page(session, query=asked, names=Names(PURPOSES, people), within_purposes=within, limit=200)
        assert found.next_after is None
        return sorted(names_of(found.entries))

    return look


@pytest.fixture
def kari(stage: Stage) -> str:
    with stage.act() as session:
        return identity.create(session, at=NOON, actor=trail.SYSTEM)


@pytest.fixture
def ola(stage: Stage) -> str:
    with stage.act() as session:
        return identity.create(session, at=NOON, actor=trail.SYSTEM)


class TestTerms:
    @pytest.fixture(autouse=True)
    def entries(self, stage: Stage, kari: str, ola: str) -> None:
        """Write one entry of each sort."""
        with stage.act() as session:
            write(session, "given", subject=kari, purpose="newsletter", channel="email", actor=trail.SUBJECT)
            write(session, "withdrawn", type="consent.withdrawn", subject=ola, purpose="club", channel="sms")
            write(session, "by key", type="form.created", actor=Actor("api_key", KEY))
            write(session, "by other", type="form.created", actor=Actor("api_key", OTHER_KEY))
            write(session, "by desk", type="purpose.created", actor=Actor("system", "command_line"), purpose="club")

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("", ["by desk", "by key", "by other", "given", "withdrawn"]),
            ("action:consent.given", ["given"]),
            ("action:consent.*", ["given", "withdrawn"]),
            ("action:*.created", ["by desk", "by key", "by other"]),
            ("action:consent.given action:form.*", ["by key", "by other", "given"]),
            ("-action:consent.*", ["by desk", "by key", "by other"]),
            ("actor:subject", ["given"]),
            ("actor:system", ["by desk", "withdrawn"]),
            ("actor:system:command_line", ["by desk"]),
            ("actor:api_key", ["by key", "by other"]),
            (f"actor:{KEY}", ["by key"]),
            (f"actor:api_key:{KEY} actor:subject", ["by key", "given"]),
            ("-actor:system -actor:api_key", ["given"]),
            ("purpose:newsletter", ["given"]),
            ("purpose:newsletter purpose:club", ["by desk", "given", "withdrawn"]),
            ("-purpose:newsletter", ["by desk", "by key", "by other", "withdrawn"]),
            ("-purpose:newsletter -purpose:club", ["by key", "by other"]),
            ("channel:email", ["given"]),
            ("-channel:email", ["by desk", "by key", "by other", "withdrawn"]),
            ("purpose:club channel:sms", ["withdrawn"]),
            ("purpose:newsletter channel:sms", []),
            ("purpose:club -action:purpose.*", ["withdrawn"]),
        ],
    )
    def test_any_of_one_name_all_of_different_names_none_of_the_negated(
        self, find: Find, text: str, names: list[str]
    ) -> None:
        assert find(text) == names

    def test_a_person_is_found_by_id(self, find: Find, kari: str, ola: str) -> None:
        assert find(f"subject:{kari}") == ["given"]
        assert find(f"subject:{kari} subject:{ola}") == ["given", "withdrawn"]
        assert find(f"-subject:{kari}") == ["by desk", "by key", "by other", "withdrawn"]
        assert find(f"subject:{identifiers.new_id('sub')}") == []

    def test_a_person_of_two_records_is_found_by_either_id(self, find: Find, kari: str, ola: str) -> None:
        assert find(f"subject:{kari}", merged=(ola,)) == ["given", "withdrawn"]
        assert find(f"-subject:{kari}", merged=(ola,)) == ["by desk", "by key", "by other"]

    def test_a_view_of_some_purposes_shows_nothing_of_others_or_of_none(self, find: Find) -> None:
        assert find("", within=(NEWSLETTER,)) == ["given"]
        assert find("-purpose:newsletter", within=(NEWSLETTER,)) == []
        assert find("", within=()) == []

    def test_what_nothing_ties_to_anything_any_more_is_found_by_what_it_is_not(
        self, find: Find, kari: str, retention_database: Database, stage: Stage
    ) -> None:
        with retention_database.transaction(stage.controller_id) as session:
            session.execute(
                delete(AuditEntryAbout).where(
                    AuditEntryAbout.controller_id == controller_of(session), AuditEntryAbout.subject_id == kari
                )
            )

        assert find(f"subject:{kari}") == []
        assert find("action:consent.given -purpose:newsletter -channel:email -actor:subject") == ["consent.given"]

    def test_an_address_is_nothing_to_ask_for(self, stage: Stage) -> None:
        asked = Query((AddressTerm(text="kari@kunde.example", kind="email"),))

        with pytest.raises(ValueError, match="turned into an id"), stage.act() as session:
            query.page(session, query=asked, names=Names({}, {}), limit=10)


class TestRequests:
    @pytest.fixture
    def request_id(self) -> Iterator[str]:
        """Serve a request."""
        db_session.serve_request("f00d" * 8)
        yield "f00d" * 8
        db_session.serve_request(None)

    def test_all_that_one_request_did_is_found_by_its_id(self, stage: Stage, find: Find, request_id: str) -> None:
        with stage.act() as session:
            write(session, "one")
            write(session, "two")
        db_session.serve_request(None)
        with stage.act() as session:
            write(session, "later")

        assert find(f"request_id:{request_id}") == ["one", "two"]
        assert find(f"-request_id:{request_id}") == ["later"]


class TestCreated:
    @pytest.fixture(autouse=True)
    def entries(self, stage: Stage) -> None:
        """Write entries around the two ends of a day, to the microsecond."""
        day = datetime(2026, 5, 3, tzinfo=UTC)
        moments = {
            "before": day - timedelta(microseconds=1),
            "start": day,
            "end": day + timedelta(days=1, microseconds=-1),
            "after": day + timedelta(days=1),
            "much later": day + timedelta(days=9, microseconds=500),
        }
        with stage.act() as session:
            for name, at in moments.items():
                write(session, name, at=at)

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("created:2026-05-03", ["end", "start"]),
            ("created:>2026-05-03", ["after", "much later"]),
            ("created:>=2026-05-03", ["after", "end", "much later", "start"]),
            ("created:<2026-05-03", ["before"]),
            ("created:<=2026-05-03", ["before", "end", "start"]),
            ("created:2026-05-02..2026-05-03", ["before", "end", "start"]),
            ("created:>=2026-05-03 created:<2026-05-04", ["end", "start"]),
            ("created:2026-05-02 created:2026-05-04", ["after", "before"]),
            ("created:2026-05-02 created:2026-05-04 created:>2026-05-02", ["after"]),
            ("-created:2026-05-03", ["after", "before", "much later"]),
            ("-created:>=2026-05-03", ["before"]),
            ("created:2026-05-12T00:00:00Z", ["much later"]),
            ("created:2026-05-12T00:00:00.0005Z", ["much later"]),
            ("created:2026-05-12T00:00:00.0004Z", []),
            ("created:<2026-05-12T00:00:00.000500Z created:>2026-05-04", []),
            ("created:<=2026-05-12T00:00:00.000500Z created:>2026-05-04", ["much later"]),
            ("created:>=1800-01-01 created:<9000-01-01 created:>2026-05-04", ["much later"]),
        ],
    )
    def test_ends_belong_to_the_day_that_they_belong_to(self, find: Find, text: str, names: list[str]) -> None:
        assert [name for name in find(text) if name != "controller.created"] == names


class TestPages:
    def test_pages_show_each_entry_once_newest_first(self, stage: Stage) -> None:
        with stage.act() as session:
            for number in range(9):
                write(session, f"{number}", type="form.created", at=NOON + number * HOUR)

        seen: list[str] = []
        after: str | None = None
        for _ in range(4):
            with stage.act() as session:
                found = query.page(
                    session, query=read("action:form.created"), names=Names({}, {}), after=after, limit=2
                )
                # What is written meanwhile is newer than anything that is still to come.
                write(session, "meanwhile", type="form.created", at=NOON + 100 * HOUR)
            seen += names_of(found.entries)
            after = found.next_after

        with stage.act() as session:
            last = query.page(session, query=read("action:form.created"), names=Names({}, {}), after=after, limit=2)
        assert seen == ["8", "7", "6", "5", "4", "3", "2", "1"]
        assert (names_of(last.entries), last.next_after) == (["0"], None)


class TestOpenings:
    def test_an_entry_shows_what_it_commits_to(self, stage: Stage, form: FormVersion) -> None:
        stage.give(form, NEWS)

        with stage.act() as session:
            (found,) = query.page(session, query=read("action:consent.given"), names=Names({}, {}), limit=9).entries
            again = query.get(session, entry_id=found.entry_id)

        assert again == found
        assert found.payload is not None
        assert (found.payload_status, found.actor, found.channel) == ("opened", "subject", "email")
        assert found.payload["stream"] == f"subject:{found.subject_id}"
        assert found.opening.entry_key is not None
        assert found.opening.plaintext is not None
        assert canonical.commitment(found.opening.entry_key, found.opening.plaintext) == found.commit
        assert (found.epoch, found.leaf_index) == (None, None)

    def test_one_of_an_erased_person_is_still_there_and_says_nothing(
        self, stage: Stage, form: FormVersion, superuser_url: str
    ) -> None:
        gone = stage.give(form, NEWS).subject_id
        stage.give(form, NEWS, email=OLA)
        with psycopg.connect(superuser_url) as connection:
            uuid = identifiers.to_uuid(gone or "", "sub")
            connection.execute("DELETE FROM vault.subject_key WHERE subject_id = %s", (uuid,))

        with stage.act() as session:
            found = query.page(session, query=read("action:consent.given"), names=Names({}, {}), limit=9).entries

        assert {each.subject_id == gone: each.payload_status for each in found} == {True: "erased", False: "opened"}
        assert all((each.payload is None) == (each.subject_id == gone) for each in found)

    @pytest.mark.parametrize("column", ["sealed", "commit"])
    @pytest.mark.parametrize("type_", ["consent.given", "purpose.created"])
    def test_one_that_was_altered_says_so_and_hides_no_other(
        self, stage: Stage, form: FormVersion, superuser_url: str, column: str, type_: str
    ) -> None:
        stage.give(form, NEWS)
        with psycopg.connect(superuser_url) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute(
                f"UPDATE audit.entry SET {column} = set_byte({column}, 30, 255 - get_byte({column}, 30))"  # noqa: S608 - a word of this test
                " WHERE id = (SELECT id FROM audit.entry WHERE type = %s AND controller_id = %s ORDER BY id LIMIT 1)",
                (type_, identifiers.to_uuid(stage.controller_id, "ctl")),
            )

        with stage.act() as session:
            found = query.page(session, query=read(""), names=Names({}, {}), limit=200).entries

        damaged = [each for each in found if each.payload_status == "damaged"]
        assert [each.type for each in damaged] == [type_]
        assert damaged[0].payload is None
        assert {each.payload_status for each in found} == {"damaged", "opened"}

    def test_no_repr_shows_what_it_says(self, stage: Stage) -> None:
        with stage.act() as session:
            entry_id = write(session, "canary")
            found = query.get(session, entry_id=entry_id)

        assert "canary" not in repr(found)

    def test_another_controllers_is_not_there(self, stage: Stage, database: Database, other_controller: str) -> None:
        with stage.act() as session:
            entry_id = write(session, "ours")

        with database.transaction(other_controller) as session:
            everything = query.page(session, query=read(""), names=Names({}, {}), limit=200).entries
            with pytest.raises(AuditEntryUnknownError):
                query.get(session, entry_id=entry_id)
        assert {each.type for each in everything} == {"controller.created"}
