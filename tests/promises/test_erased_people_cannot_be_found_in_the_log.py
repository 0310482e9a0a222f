"""After erasure the log stands as it did, and nothing says which of its entries were that person's, or what they say.

Whoever holds the whole database, without the keys, is left with times: entries of one act happened together, and the
rows that were written with them say when, too. The last test states that limit.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

import psycopg
import pytest
from psycopg import sql

from consent_service import identifiers
from consent_service.audit import logs, merkle, openings, sequencer
from consent_service.audit.logs import Log, PlacedLeaf
from consent_service.audit.openings import SealedEntry
from consent_service.cli import audit_verify
from consent_service.crypto.notes import NoteSigner
from consent_service.db.session import Database
from consent_service.errors import KeyDestroyedError
from consent_service.rights import unlinking
from consent_service.subjects import suppression
from consent_service.vault import keys
from tests import busy_person
from tests.acts import Stage, contact
from tests.builders import KARI, NOON, OLA
from tests.conftest import NORDLYS, Cluster

SIGNER_SEED: Final = bytes(range(32))
TABLES: Final = (
    "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
    " AND table_schema IN ('public', 'audit', 'vault')"
)
#: Shared by people who have nothing to do with each other.
COMMON: Final = {"controller_id"}
#: When something happened or began; what the threats say is left.
TIMES: Final = {
    "occurred_at",
    "recorded_at",
    "confirmed_at",
    "effective_at",
    "created_at",
    "merged_at",
    "delivered_at",
    "sold_at",
}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Erased:
    """A person who is gone, among others, with the log as it was before.

    `entries` are all that they brought about, `sealed` those of them that are sealed under their key.
    """

    controller_id: str
    subject_id: str
    entries: frozenset[str]
    sealed: Mapping[str, SealedEntry]
    before: Log


@pytest.fixture
def erased(
    cluster: Cluster,
    database: Database,
    known_controller: str,
    sequencer_database: Database,
    retention_database: Database,
    superuser_url: str,
) -> Erased:
    """Let two people do a good deal each, and erase the first; some of it is in the log before, some comes after."""

    def build() -> Erased:
        return _erase(database, known_controller, sequencer_database, retention_database, superuser_url)

    return cluster.world("a person was erased", build, on=NORDLYS)


def _erase(
    database: Database, controller: str, sequencer_database: Database, retention_database: Database, superuser_url: str
) -> Erased:
    form = busy_person.a_form(Stage(database, controller))
    others = _all_entries(superuser_url)
    kari = busy_person.live(database, controller, form, email=KARI)
    entries = _all_entries(superuser_url) - others
    busy_person.live(database, controller, form, email=OLA, at=NOON + timedelta(hours=5, microseconds=1_234_567))
    _place_all(sequencer_database, controller)
    with database.transaction(controller) as session:
        before = logs.get(session)
        hashes = [suppression.address_hash(session, contact(each)) for each in (KARI, f"other.{KARI}")]
    both = _records_of(superuser_url, kari)
    sealed = _entries_of(superuser_url, both)
    assert len(sealed) > 20
    assert sealed.keys() < entries
    for record in both:
        # No act of erasure calls this yet.
        with psycopg.connect(superuser_url) as connection:
            connection.execute("DELETE FROM vault.subject_key WHERE subject_id = %s", (_uuid(record),))
        with retention_database.transaction(controller) as session:
            assert unlinking.unlink(session, subject_id=record, address_hashes=hashes)["ledger_entry"]
    busy_person.live(database, controller, form, email="third@kunde.example", at=NOON + timedelta(hours=11))
    _place_all(sequencer_database, controller)
    return Erased(controller, kari, entries, sealed, before)


class TestTheLog:
    @pytest.mark.rule("LOG-09")
    def test_still_proves_every_entry(self, erased: Erased, database: Database) -> None:
        with database.transaction(erased.controller_id) as session:
            log = logs.get(session)
            read = logs.reader(session, log)
            leaves = logs.list_leaves(session, log, first=0, limit=10_000)

            for index, each in enumerate(leaves):
                proof = merkle.prove_inclusion(index, log.size, read)
                merkle.verify_inclusion(leaf=each.leaf, index=index, size=log.size, proof=proof, root=log.root)

        assert erased.entries < {each.entry_id for each in leaves}

    @pytest.mark.rule("LOG-09")
    def test_goes_on_from_what_it_was(self, erased: Erased, database: Database) -> None:
        before = erased.before
        with database.transaction(erased.controller_id) as session:
            log = logs.get(session)
            read = logs.reader(session, log)
            proof = merkle.prove_consistency(before.size, log.size, read)

            merkle.verify_consistency(
                old_size=before.size, old_root=before.root, size=log.size, root=log.root, proof=proof
            )
            assert merkle.root_at(before.size, read) == before.root

    @pytest.mark.rule("LOG-09")
    def test_opens_nothing_of_the_person(self, erased: Erased, database: Database) -> None:
        with database.transaction(erased.controller_id) as session:
            found = openings.open_entries(session, tuple(erased.sealed.values()))
            refused = [_is_refused(session, each) for each in erased.sealed.values()]

        assert {opening.status for opening in found.values()} == {"erased"}
        assert all(refused)

    @pytest.mark.rule("LOG-09")
    def test_is_found_sound(self, erased: Erased, database: Database) -> None:
        report = audit_verify.run(database, erased.controller_id, copies=None)

        assert report.findings == ()
        assert report.erased == len(erased.sealed)


class TestTheDatabase:
    @pytest.mark.rule("LOG-08")
    def test_says_nothing_twice_about_one_person(self, erased: Erased, superuser_url: str) -> None:
        """No value is in what the database says about two of their entries, unless strangers share it too."""
        entries, told = _all_that_is_told(superuser_url, erased.controller_id)
        theirs, others = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for entry_id in entries:
            values = {(column, value) for column, value in told[entry_id] if column not in TIMES}
            (theirs if entry_id in erased.entries else others).update(values)

        tying = {pair for pair, times in theirs.items() if times > 1 and pair not in others}

        assert erased.entries < entries
        assert tying == set()

    @pytest.mark.rule("LOG-08")
    def test_names_their_entries_nowhere_but_in_the_log(self, erased: Erased, superuser_url: str) -> None:
        """Neither the id nor the commitment of an entry is in a row that is not the log's own."""
        dump = _dump(superuser_url)
        secrets = {_uuid(entry_id) for entry_id in erased.entries}
        secrets |= {_as_text(row["commit"]) for row in dump["audit.entry"] if _aud(row) in erased.entries}

        naming = {
            (table, row.get("subject_id"))
            for table, rows in dump.items()
            for row in rows
            if secrets & {_as_text(value) for value in row.values()}
        }

        assert naming == {(table, None) for table in ("audit.entry", "audit.leaf", "audit.entry_about")}

    @pytest.mark.rule("LOG-08")
    def test_tells_others_what_it_told_before(self, erased: Erased, superuser_url: str) -> None:
        """The search does find what ties the entries of somebody who was not erased."""
        entries, told = _all_that_is_told(superuser_url, erased.controller_id)
        mine = Counter[tuple[str, str]]()
        for entry_id in entries - erased.entries:
            mine.update(pair for pair in told[entry_id] if pair[0] == "subject_id")

        assert len([pair for pair, times in mine.items() if times > 20]) == 2

    def test_still_says_when(self, erased: Erased, superuser_url: str) -> None:
        """The limit: by the time alone, acts in the ledger can be matched with entries, with the database at hand."""
        dump = _dump(superuser_url)
        ledger = {row["recorded_at"] for row in dump["public.ledger_entry"] if row["audit_entry_id"] is None}
        times = {row["occurred_at"] for row in dump["audit.entry"] if _aud(row) in erased.entries}

        assert ledger
        assert ledger <= times

    def test_is_untied_once(self, erased: Erased, retention_database: Database) -> None:
        with retention_database.transaction(erased.controller_id) as session:
            again = unlinking.unlink(session, subject_id=erased.subject_id)

        assert set(again.values()) == {0}


class TestALeaf:
    @pytest.mark.rule("LOG-08")
    def test_shares_nothing_with_another_of_the_person_but_the_act(self, erased: Erased, database: Database) -> None:
        """Whoever has the log alone sees types and times: what happened at different times has nothing in common."""
        with database.transaction(erased.controller_id) as session:
            leaves = logs.list_leaves(session, logs.get(session), first=0, limit=10_000)
        theirs = [each for each in leaves if each.entry_id in erased.entries]
        strangers = {part for each in leaves if each.entry_id not in erased.entries for part in _parts(each)}

        acts: dict[str, set[str]] = defaultdict(set)
        for each in theirs:
            version, entry_id, type_, at, commit = _parts(each)
            acts[at] |= {version, entry_id, type_, commit} - strangers

        assert len(acts) > 20
        assert all(not (one & other) for one, other in pairwise(acts.values()))
        assert sum(map(len, acts.values())) == len(set().union(*acts.values()))


def _place_all(sequencer_database: Database, controller_id: str) -> None:
    with sequencer_database.transaction(controller_id) as session:
        sequencer.place_batch(
            session, host="consent.example", vkey_of=lambda origin: NoteSigner(origin, SIGNER_SEED).vkey, at=NOON
        )


def _records_of(url: str, subject_id: str) -> tuple[str, ...]:
    """Return the records that are one person, this one last."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT duplicate_id FROM subject_merge WHERE survivor_id = %s", (_uuid(subject_id),)
        ).fetchall()
    return (*(identifiers.from_uuid(row, "sub") for (row,) in rows), subject_id)


def _all_entries(url: str) -> frozenset[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT id FROM audit.entry").fetchall()
    return frozenset(identifiers.from_uuid(entry_id, "aud") for (entry_id,) in rows)


def _entries_of(url: str, records: Iterable[str]) -> dict[str, SealedEntry]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT e.id, e.sealed_for, a.subject_id, e.commit, e.sealed FROM audit.entry e"
            " JOIN audit.entry_about a ON a.entry_id = e.id WHERE a.subject_id = ANY(%s::uuid[])",
            ([_uuid(each) for each in records],),
        ).fetchall()
    found = [
        SealedEntry(identifiers.from_uuid(entry, "aud"), sealed_for, identifiers.from_uuid(subject, "sub"), *rest)
        for entry, sealed_for, subject, *rest in rows
    ]
    return {each.entry_id: each for each in found}


def _is_refused(session: Any, entry: SealedEntry) -> bool:  # noqa: ANN401 - a session of the service
    assert entry.subject_id is not None
    try:
        keys.unseal_for_subject(
            session,
            entry.sealed,
            subject_id=entry.subject_id,
            table="audit.entry",
            column="sealed",
            row_id=entry.entry_id,
        )
    except KeyDestroyedError:
        return True
    return False


def _dump(url: str) -> dict[str, list[Row]]:
    """Take everything out of the database."""
    found: dict[str, list[Row]] = {}
    with psycopg.connect(url, row_factory=psycopg.rows.dict_row) as connection:
        for table in connection.execute(TABLES).fetchall():
            name = sql.Identifier(table["table_schema"], table["table_name"])
            rows = connection.execute(sql.SQL("SELECT * FROM {}").format(name)).fetchall()
            found[f"{table['table_schema']}.{table['table_name']}"] = list(rows)
    return found


def _all_that_is_told(url: str, controller_id: str) -> tuple[set[str], dict[str, set[tuple[str, str]]]]:
    """Return the entries of a controller, and for each every value of every row that names it, however it does that."""
    dump = _dump(url)
    own = _uuid(controller_id)
    entries = {_aud(row): row for row in dump["audit.entry"] if str(row["controller_id"]) == own}
    names = {_uuid(entry_id): entry_id for entry_id in entries}
    names |= {_as_text(row["commit"]): entry_id for entry_id, row in entries.items()}
    told: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for rows in dump.values():
        for row in rows:
            values = {(column, _as_text(value)) for column, value in row.items() if value is not None}
            for entry_id in {names[text] for _, text in values if text in names}:
                told[entry_id] |= {pair for pair in values if pair[0] not in COMMON}
    return set(entries), told


def _parts(leaf: PlacedLeaf) -> tuple[str, str, str, str, str]:
    """Take a leaf apart into its version, id, type, time and commitment."""
    found = json.loads(leaf.leaf)
    assert found.keys() == {"v", "id", "t", "ts", "commit"}
    return str(found["v"]), found["id"], found["t"], found["ts"], found["commit"]


def _aud(row: Row) -> str:
    return identifiers.from_uuid(row["id"], "aud")


def _uuid(identifier: str) -> str:
    return str(identifiers.to_uuid(identifier, identifier.partition("_")[0]))


def _as_text(value: object) -> str:
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else str(value)
