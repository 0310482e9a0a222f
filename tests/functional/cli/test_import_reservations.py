"""A wash against the register of reservations: matches of ours stay, the file goes, and half a wash is none."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import time_machine
from click.testing import CliRunner, Result
from sqlalchemy import select
from sqlalchemy.orm import Session

from consent_service.audit import trail
from consent_service.audit.models import AuditEntry
from consent_service.cli import main
from consent_service.db.session import Database
from consent_service.subjects import fields, identity, reservations
from consent_service.subjects.models import ReservationMatch, ReservationWash
from tests.builders import NOON

Run = Callable[..., Result]

HERS = "+4740000001"
HIS = "+4740000002"
NOBODYS = "+4740000003"
HOME = "Storgata 1, 0155 Oslo"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def run(controller: str, app_url: str, keys_dir: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `consent import reservations` beside the service, at noon."""
    monkeypatch.setenv("DATABASE_URL_APP", app_url)
    monkeypatch.setenv("CONSENT_KEYS", str(keys_dir))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def run_one(file: Path, *words: str) -> Result:
        command = ("import", "reservations", str(file), "--controller", "nordlys", "--data", str(folder), *words)
        with time_machine.travel(NOON, tick=False):
            return CliRunner().invoke(main.consent, command)

    assert controller
    return run_one


def a_file(folder: Path, *lines: str, header: str = "phone;reserved;reserved_charity;certain") -> Path:
    file = folder / "register.csv"
    file.write_text("\n".join((header, *lines, "")), encoding="utf-8")
    return file


def a_person(database: Database, controller: str, *contacts: str) -> list[str]:
    """Record somebody with these numbers and postal addresses; return the ids of the contact points."""
    with database.transaction(controller) as session:
        subject_id = identity.create(session, at=NOON, actor=trail.SYSTEM)
        return [
            identity.attach_point(
                session,
                subject_id=subject_id,
                contact=fields.parse_phone(text) if text.startswith("+") else fields.parse_post(text),
                verified_at=None,
                at=NOON,
            ).id
            for text in contacts
        ]


def washes(session: Session) -> list[ReservationWash]:
    return list(session.scalars(select(ReservationWash).order_by(ReservationWash.id)))


def matches(session: Session) -> dict[str, tuple[bool, bool, bool]]:
    rows = session.scalars(select(ReservationMatch))
    return {row.contact_point_id: (row.reserved, row.reserved_charity, row.is_certain) for row in rows}


class TestWash:
    @pytest.mark.rule("NO-09")
    def test_only_what_we_hold_is_kept_and_the_file_is_gone(
        self, run: Run, database: Database, controller: str, folder: Path
    ) -> None:
        hers, _ = a_person(database, controller, HERS, HIS)
        file = a_file(folder, f"{HERS};1;0;1", f"{NOBODYS};1;1;1")

        result = run(file)

        assert result.exit_code == 0, result.output
        assert not file.exists()
        with database.transaction(controller) as session:
            (wash,) = washes(session)
            assert (wash.kind, wash.washed_at, wash.lines, wash.matches) == ("phone", NOON, 2, 1)
            assert matches(session) == {hers: (True, False, True)}

    @pytest.mark.rule("NO-09")
    def test_nothing_of_the_file_is_repeated(self, run: Run, database: Database, controller: str, folder: Path) -> None:
        a_person(database, controller, HERS)

        whole = run(a_file(folder, f"{HERS};1;0;1", f"{NOBODYS};1;1;1"))
        broken = run(a_file(folder, f"{HERS};1;0;1", f"{NOBODYS};1"))

        assert "400000" not in whole.output + broken.output

    @pytest.mark.rule("NO-09")
    def test_it_is_in_the_audit_log(self, run: Run, database: Database, controller: str, folder: Path) -> None:
        run(a_file(folder, f"{HERS};1;0;1"))

        with database.transaction(controller) as session:
            (wash,) = washes(session)
            entry = session.scalars(select(AuditEntry).where(AuditEntry.id == wash.audit_entry_id)).one()
            assert entry.type == "reservations.washed"

    def test_postal_addresses_are_compared_in_any_spelling(
        self, run: Run, database: Database, controller: str, folder: Path
    ) -> None:
        home, _ = a_person(database, controller, HOME, HERS)

        run(a_file(folder, "STORGATA 1 0155 OSLO", header="post"))

        with database.transaction(controller) as session:
            assert [wash.kind for wash in washes(session)] == ["post"]
            assert matches(session) == {home: (True, True, True)}

    def test_of_several_lines_the_strictest_counts(
        self, run: Run, database: Database, controller: str, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reservations, "_BATCH", 2)
        (hers,) = a_person(database, controller, HERS)

        run(a_file(folder, f"{HERS};0;0;0", f"{HIS};1;1;1", f"{NOBODYS};1;1;1", f"{HERS};1;0;1"))

        with database.transaction(controller) as session:
            assert matches(session) == {hers: (True, False, False)}

    def test_a_line_that_reserves_nothing_leaves_nothing(
        self, run: Run, database: Database, controller: str, folder: Path
    ) -> None:
        a_person(database, controller, HERS)

        run(a_file(folder, f"{HERS};0;0;1"))

        with database.transaction(controller) as session:
            assert matches(session) == {}

    def test_everybody_under_a_number_is_found(
        self, run: Run, database: Database, controller: str, folder: Path
    ) -> None:
        (one,), (other,) = (a_person(database, controller, HERS) for _ in range(2))

        run(a_file(folder, f"{HERS};1;0;1"))

        with database.transaction(controller) as session:
            assert matches(session).keys() == {one, other}

    def test_the_same_file_again_says_the_same_again(
        self, run: Run, database: Database, controller: str, folder: Path
    ) -> None:
        a_person(database, controller, HERS)

        for _ in range(2):
            assert run(a_file(folder, f"{HERS};1;0;1")).exit_code == 0

        with database.transaction(controller) as session:
            one, other = washes(session)
            assert one.file_hash == other.file_hash
            assert (one.lines, one.matches) == (other.lines, other.matches)

    def test_people_of_other_controllers_are_not_looked_at(
        self, run: Run, database: Database, controller: str, other_controller: str, folder: Path
    ) -> None:
        a_person(database, other_controller, HERS)

        run(a_file(folder, f"{HERS};1;0;1"))

        with database.transaction(other_controller) as session:
            assert washes(session) == []
        with database.transaction(controller) as session:
            assert matches(session) == {}

    def test_the_moment_may_be_named_and_not_lie_ahead(
        self, run: Run, database: Database, controller: str, folder: Path
    ) -> None:
        file = a_file(folder, f"{HERS};1;0;1")

        ahead = run(file, "--washed-at", "2026-03-02T13:00:01+0100")
        before = run(file, "--washed-at", "2026-03-01T09:00:00+0100")

        assert (ahead.exit_code, before.exit_code) == (1, 0)
        assert "in_the_future" in ahead.stderr
        with database.transaction(controller) as session:
            assert [wash.washed_at.isoformat() for wash in washes(session)] == ["2026-03-01T08:00:00+00:00"]


class TestRefusal:
    @pytest.mark.rule("NO-05")
    def test_one_broken_line_refuses_all_of_it_and_keeps_the_file(
        self, run: Run, database: Database, controller: str, folder: Path
    ) -> None:
        a_person(database, controller, HERS)
        file = a_file(folder, f"{HERS};1;0;1", "broken;1;0;1", f"{HIS};1")

        result = run(file)

        assert result.exit_code == 1
        assert "2 of 3 lines cannot be read: line 3, 4" in result.stderr
        assert file.exists()
        with database.transaction(controller) as session:
            assert (washes(session), matches(session)) == ([], {})

    def test_only_the_first_twenty_are_named(self, run: Run, folder: Path) -> None:
        result = run(a_file(folder, *["broken;1;0;1"] * 25))

        assert "line 2, 3," in result.stderr
        assert "21 and 5 more" in result.stderr

    def test_who_knows_why_may_skip_them(self, run: Run, database: Database, controller: str, folder: Path) -> None:
        (hers,) = a_person(database, controller, HERS)

        result = run(a_file(folder, f"{HERS};what;0;1", "broken;1;0;1"), "--skip-broken", "--json")

        assert result.exit_code == 0
        assert '"broken": 2' in result.stdout
        with database.transaction(controller) as session:
            assert matches(session) == {hers: (True, True, False)}

    @pytest.mark.rule("NO-05")
    def test_a_file_without_a_line_washes_nothing(self, run: Run, folder: Path) -> None:
        result = run(a_file(folder))

        assert result.exit_code == 1
        assert "no_lines" in result.stderr

    def test_a_file_that_was_cut_off_is_found_by_its_number_of_lines(self, run: Run, folder: Path) -> None:
        file = a_file(folder, f"{HERS};1;0;1")

        assert "lines_missing" in run(file, "--lines", "2").stderr
        assert run(file, "--lines", "1").exit_code == 0

    def test_a_forgotten_header_is_not_repeated(self, run: Run, folder: Path) -> None:
        result = run(a_file(folder, f"{HIS};1;0;1", header=f"{HERS};1;0;1"))

        assert result.exit_code == 1
        assert "column_unknown" in result.stderr
        assert "400000" not in result.output

    def test_wrong_usage_is_exit_code_2(self, run: Run, folder: Path) -> None:
        assert run(folder / "missing.csv").exit_code == 2
        assert run(a_file(folder, f"{HERS};1;0;1"), "--kind", "email").exit_code == 2


class TestDryRun:
    def test_it_says_what_it_found_records_nothing_and_keeps_the_file(
        self, run: Run, database: Database, controller: str, folder: Path
    ) -> None:
        a_person(database, controller, HERS)
        file = a_file(folder, f"{HERS};1;0;1")

        result = run(file, "--dry-run")

        assert result.exit_code == 0
        assert "still there" in result.stdout
        assert "matches: 1" in result.stdout
        assert file.exists()
        with database.transaction(controller) as session:
            assert washes(session) == []


class TestDeletion:
    @pytest.mark.rule("NO-09")
    def test_of_a_link_the_file_behind_it_goes(self, run: Run, folder: Path) -> None:
        file = a_file(folder, f"{HERS};1;0;1")
        link = folder / "link.csv"
        link.symlink_to(file)

        run(link)

        assert not file.exists()

    def test_a_file_that_stays_is_said_loudly(
        self, run: Run, database: Database, controller: str, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(path: Path) -> None:
            raise PermissionError(1, os.strerror(1), str(path))

        monkeypatch.setattr(Path, "unlink", refuse)

        result = run(a_file(folder, f"{HERS};1;0;1"))

        assert result.exit_code == 1
        assert "delete it yourself" in result.stderr
        with database.transaction(controller) as session:
            assert len(washes(session)) == 1
