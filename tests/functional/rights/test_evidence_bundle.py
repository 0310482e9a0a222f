"""A bundle proves what a person said to whoever has no reason to trust us, and stops saying it when they are erased."""

import hashlib
import html
import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from consent_service import identifiers
from consent_service.audit import query, trail
from consent_service.audit.grammar import Query, SubjectTerm
from consent_service.audit.query import Names
from consent_service.consent import records
from consent_service.crypto import canonical
from consent_service.db.session import Database
from consent_service.errors import ConsentUnknownError, LogUnknownError
from consent_service.registry.forms import FormVersion
from consent_service.rights import evidence_bundle, unlinking
from consent_service.rights.bundle_facts import About
from tests.acts import KARI, OLA, Stage
from tests.audit_logs import LogKeeper
from tests.builders import NOON
from tests.log_house import vkey_of

DAY = timedelta(days=1)
NEWS, CLUB = ("newsletter", "email"), ("club", "email")


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A bundle in a folder."""

    folder: Path
    names: Collection[str]

    def read(self, name: str) -> str:
        return (self.folder / name).read_text("utf-8")

    def json(self, name: str) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.read(name))

    @property
    def openings(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.read("openings.jsonl").splitlines()]

    def verify(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Run its own verify.py, with nothing of the service within reach."""
        command = [sys.executable, "-I", str(self.folder / "verify.py"), "--json", *words]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, json.loads(done.stdout) if done.stdout else {}


@pytest.fixture
def form(stage: Stage) -> FormVersion:
    stage.purpose("newsletter")
    stage.purpose("club", double_opt_in=False)
    return stage.form(NEWS, CLUB)


@pytest.fixture
def person(stage: Stage, form: FormVersion) -> str:
    """Let somebody subscribe, join the club, and unsubscribe; somebody else subscribes too."""
    given = stage.give(form, NEWS)
    stage.report(form, ("club", "email", True), at=NOON + DAY)
    stage.give(form, NEWS, email=OLA, at=NOON + DAY)
    stage.withdraw(KARI, "newsletter", at=NOON + 2 * DAY)
    assert given.subject_id is not None
    return given.subject_id


def bundle(stage: Stage, tmp_path: Path, about: About, *, at: timedelta = 3 * DAY) -> Unpacked:
    with stage.act() as session:
        made = evidence_bundle.build(
            session,
            about=about,
            reason="a supervisory authority asks",
            actor=trail.SYSTEM,
            at=NOON + at,
            public_url="https://samtykke.example",
        )
    folder = tmp_path / "bundle"
    with zipfile.ZipFile(io.BytesIO(made.content)) as packed:
        assert packed.testzip() is None
        packed.extractall(folder)
        return Unpacked(folder, packed.namelist())


def erase_key(url: str, subject_id: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "DELETE FROM vault.subject_key WHERE subject_id = %s", (identifiers.to_uuid(subject_id, "sub"),)
        )


def consents(stage: Stage, subject_id: str) -> dict[str, str]:
    """Return the declarations of a person by purpose."""
    with stage.act() as session:
        return {
            each.purpose: each.consent_id for each in records.current(session, subject_id=subject_id, at=NOON + DAY)
        }


class TestAPersonsBundle:
    @pytest.mark.rule("LOG-11")
    def test_is_verified_with_nothing_but_python(
        self, stage: Stage, keeper: LogKeeper, person: str, tmp_path: Path
    ) -> None:
        log = keeper.place()
        keeper.sign()
        unpacked = bundle(stage, tmp_path, About(subject_id=person))

        code, told = unpacked.verify("--vkey", vkey_of(log.origin))

        assert (code, told["verified"], told["key_pinned"]) == (0, True, True)
        [epoch] = told["epochs"]
        assert epoch["opened"] == len(unpacked.openings) == 5
        assert epoch["erased"] == 0

    def test_holds_the_words_that_were_shown_and_their_hash(
        self, stage: Stage, keeper: LogKeeper, person: str, tmp_path: Path
    ) -> None:
        keeper.publish()
        unpacked = bundle(stage, tmp_path, About(subject_id=person))

        papers = [unpacked.json(f"evidence/{each}.json") for each in consents(stage, person).values()]

        for paper in papers:
            [piece] = paper["evidence"]
            shown = hashlib.sha256(canonical.canonical_json(piece["shown"])).hexdigest()
            assert shown == piece["shown_sha256"]
            assert piece["shown"]["statement"] in html.unescape(unpacked.read("index.html"))
            assert shown in unpacked.read("index.html")

    @pytest.mark.rule("LOG-11", "LOG-12")
    def test_shows_when_the_words_were_exchanged(
        self, stage: Stage, keeper: LogKeeper, person: str, tmp_path: Path
    ) -> None:
        log = keeper.place()
        keeper.publish()
        unpacked = bundle(stage, tmp_path, About(subject_id=person))
        whole = unpacked.verify("--vkey", vkey_of(log.origin))
        file = unpacked.folder / f"evidence/{consents(stage, person)['newsletter']}.json"
        paper = json.loads(file.read_text("utf-8"))
        shown = paper["evidence"][0]["shown"]
        shown["statement"] += " And everything else."
        paper["evidence"][0]["shown_sha256"] = hashlib.sha256(canonical.canonical_json(shown)).hexdigest()
        file.write_text(json.dumps(paper), "utf-8")

        code, told = unpacked.verify("--vkey", vkey_of(log.origin))

        assert (whole[0], whole[1]["papers"]["unproved"]) == (0, 0)
        assert whole[1]["papers"]["proved"] > 1
        assert (code, told["findings_by_name"]) == (3, {"commitment_mismatch": 1})
        assert told["papers"]["proved"] == whole[1]["papers"]["proved"] - 1

    def test_tells_all_of_it_in_plain_words_in_each_language(
        self, stage: Stage, keeper: LogKeeper, person: str, tmp_path: Path
    ) -> None:
        keeper.publish()
        unpacked = bundle(stage, tmp_path, About(subject_id=person))

        covers = {name: unpacked.read(name) for name in ("index.html", "index.nn.html", "index.en.html")}

        assert "Trukket tilbake" in covers["index.html"]
        assert "Consent was withdrawn" in covers["index.en.html"]
        # Noon in UTC is one o'clock in Oslo in March.
        assert "13:00" in covers["index.en.html"]
        for cover in covers.values():
            assert KARI in cover
            assert OLA not in cover
            assert not re.search(r'(src|href)="(?!index)', cover)

    def test_is_proved_against_heads_that_others_kept(
        self, stage: Stage, keeper: LogKeeper, person: str, tmp_path: Path
    ) -> None:
        kept = tmp_path / "kept-by-the-dpo.txt"
        kept.write_text(keeper.publish(at=NOON), "utf-8")
        stage.withdraw(KARI, at=NOON + 2 * DAY)
        keeper.publish(at=NOON + 2 * DAY)
        unpacked = bundle(stage, tmp_path, About(subject_id=person))

        code, told = unpacked.verify("--checkpoint", str(kept))

        assert "log/e1/checkpoints/2026-03-02.txt" in unpacked.names
        assert (code, told["epochs"][0]["append_only"]) == (0, True)

    def test_holds_the_last_head_of_each_day_before(
        self, stage: Stage, form: FormVersion, keeper: LogKeeper, person: str, tmp_path: Path
    ) -> None:
        keeper.publish(at=NOON)
        last = {}
        for day in (0, 1, 2):
            stage.give(form, NEWS, email=f"{day}@kunde.example", at=NOON)
            last[f"2026-03-0{2 + day}"] = keeper.publish(at=NOON + day * DAY + timedelta(hours=11, minutes=59))
        unpacked = bundle(stage, tmp_path, About(subject_id=person))

        kept = {name for name in unpacked.names if name.startswith("log/e1/checkpoints/")}

        assert kept == {"log/e1/checkpoints/2026-03-02.txt", "log/e1/checkpoints/2026-03-03.txt"}
        assert unpacked.read("log/e1/checkpoints/2026-03-02.txt") == last["2026-03-02"]
        assert unpacked.read("log/e1/checkpoint") == last["2026-03-04"]

    def test_whoever_looks_is_written_down(self, stage: Stage, keeper: LogKeeper, person: str, tmp_path: Path) -> None:
        keeper.publish()
        bundle(stage, tmp_path, About(subject_id=person))

        with stage.act() as session:
            about = Query((SubjectTerm(text=person),))
            found = query.page(session, query=about, names=Names({}, {person: [person]}), limit=10).entries

        looks = [each for each in found if each.type in {"evidence.revealed", "subject.revealed"}]
        assert len(looks) == 3
        assert {(each.payload or {})["reason"] for each in looks} == {"a supervisory authority asks"}

    def test_what_no_signed_head_covers_is_said_to_wait(
        self, stage: Stage, keeper: LogKeeper, person: str, tmp_path: Path
    ) -> None:
        keeper.publish()
        stage.withdraw(KARI, "club", at=NOON + 2 * DAY)
        unpacked = bundle(stage, tmp_path, About(subject_id=person))

        assert "waits for a signed head" in unpacked.read("index.en.html")
        assert unpacked.verify()[0] == 0

    def test_cannot_be_made_while_nothing_is_signed(self, stage: Stage, person: str, tmp_path: Path) -> None:
        with pytest.raises(LogUnknownError):
            bundle(stage, tmp_path, About(subject_id=person))

    def test_limited_to_purposes_tells_of_no_other(
        self, stage: Stage, keeper: LogKeeper, person: str, tmp_path: Path
    ) -> None:
        keeper.publish()
        own = consents(stage, person)
        unpacked = bundle(stage, tmp_path, About(subject_id=person, within=["club"]))

        code, told = unpacked.verify()

        opened = [json.loads(each["payload"]) for each in unpacked.openings]
        assert (code, told["epochs"][0]["opened"]) == (0, 1)
        assert {each["consent"] for each in opened} == {own["club"]}
        assert own["newsletter"] not in unpacked.read("index.html")
        assert f"evidence/{own['newsletter']}.json" not in unpacked.names


class TestADeclarationsBundle:
    def test_opens_what_is_about_it_and_proves_that_the_rest_is_there(
        self, stage: Stage, keeper: LogKeeper, person: str, tmp_path: Path
    ) -> None:
        keeper.publish()
        club = consents(stage, person)["club"]
        unpacked = bundle(stage, tmp_path, About(consent_id=club))

        code, told = unpacked.verify()

        [epoch] = told["epochs"]
        assert code == 0
        assert [json.loads(each["payload"])["consent"] for each in unpacked.openings] == [club]
        assert (epoch["opened"], epoch["not_supplied"]) == (1, 5)

    def test_of_nobody_is_none(self, stage: Stage, keeper: LogKeeper, person: str, tmp_path: Path) -> None:
        del person
        keeper.publish()

        with pytest.raises(ConsentUnknownError):
            bundle(stage, tmp_path, About(consent_id="con_" + "0" * 26))


class TestAfterErasure:
    @pytest.mark.rule("LOG-09")
    @pytest.mark.parametrize("by", ["person", "declaration"])
    def test_it_proves_existence_and_opens_nothing(
        self, stage: Stage, keeper: LogKeeper, person: str, tmp_path: Path, superuser_url: str, by: str
    ) -> None:
        keeper.publish()
        news = consents(stage, person)["newsletter"]
        erase_key(superuser_url, person)
        unpacked = bundle(stage, tmp_path, About(subject_id=person) if by == "person" else About(consent_id=news))

        code, told = unpacked.verify()

        [epoch] = told["epochs"]
        assert (code, epoch["opened"]) == (0, 0)
        assert epoch["erased"] == (5 if by == "person" else 2)
        assert all(each == {"id": each["id"], "erased": True} for each in unpacked.openings)
        assert "erased: proof of existence only" in unpacked.read("index.en.html")
        assert KARI not in "".join(unpacked.read(name) for name in unpacked.names)
        assert not [name for name in unpacked.names if name.startswith("evidence/")]

    def test_once_untied_the_log_says_nothing_of_them(
        self,
        stage: Stage,
        keeper: LogKeeper,
        person: str,
        tmp_path: Path,
        superuser_url: str,
        retention_database: Database,
    ) -> None:
        keeper.publish()
        news = consents(stage, person)["newsletter"]
        erase_key(superuser_url, person)
        with retention_database.transaction(stage.controller_id) as session:
            unlinking.unlink(session, subject_id=person)
        unpacked = bundle(stage, tmp_path, About(consent_id=news))

        code, told = unpacked.verify()

        assert (code, told["epochs"][0]["opened"], unpacked.openings) == (0, 0, [])
        assert "Nothing in the log can be tied to this any more." in unpacked.read("index.en.html")
        assert "Withdrawn" in unpacked.read("index.en.html")


class TestDamage:
    @pytest.mark.rule("LOG-12")
    def test_no_byte_of_what_is_verified_changes_unnoticed(
        self, stage: Stage, keeper: LogKeeper, person: str, tmp_path: Path
    ) -> None:
        keeper.publish(at=NOON - DAY)
        stage.withdraw(KARI, at=NOON + 2 * DAY)
        keeper.publish()
        unpacked = bundle(stage, tmp_path, About(subject_id=person))
        verified = [name for name in unpacked.names if name.startswith("log/") or name == "openings.jsonl"]

        accepted = [name for name in verified if verify_damaged(unpacked, name) == 0]

        assert unpacked.verify()[0] == 0
        assert len(verified) > 15
        assert accepted == []


def verify_damaged(unpacked: Unpacked, name: str) -> int:
    """Verify a bundle in which one bit of one file is another, and mend it again."""
    path = unpacked.folder / name
    whole = path.read_bytes()
    at = len(whole) // 2
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    try:
        return unpacked.verify()[0]
    finally:
        path.write_bytes(whole)
