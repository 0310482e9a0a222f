"""The log is given out as far as it is signed, and whoever has a head and the key can verify all of it."""

import base64

import psycopg
import pytest
from sqlalchemy import select

from consent_service.audit import checkpoints, logs, merkle, tiles, trail
from consent_service.audit.models import AuditEntry
from consent_service.crypto import notes
from consent_service.crypto.notes import VerifierKey
from consent_service.db.session import Database
from tests.audit_logs import WITNESS, LogKeeper, read_note
from tests.builders import NOON
from tests.functional.api.conftest import System
from tests.log_house import vkey_of


@pytest.fixture
def keeper(sequencer_database: Database, controller: str) -> LogKeeper:
    """Keep the controller's log."""
    return LogKeeper(sequencer_database, controller)


@pytest.fixture
def long_log(system: System, database: Database, controller: str) -> None:
    """Let so much have happened that the log has a full tile."""
    del system
    act(database, controller, times=270)


def act(database: Database, controller: str, *, times: int = 1) -> list[str]:
    """Let things happen that are written down; return their audit entries."""
    with database.transaction(controller) as session:
        return [
            trail.record(
                session,
                type="controller.settings_changed",
                at=NOON,
                actor=trail.SYSTEM,
                stream="controller:nordlys",
                payload={"settings": ["phone"]},
            )
            for _ in range(times)
        ]


def consent(system: System, *, granted: bool = True) -> str:
    outcome = system.post("/v1/consents", system.report(granted=granted)).get_json()
    return str(outcome["consents"][0]["consent_id"])


def verified(answer: str, vkey: str) -> bytes:
    """Verify the file of a proof with nothing but the key of the log, and return the leaf that it proves."""
    proof = checkpoints.read_proof(answer)
    head = checkpoints.read(notes.open_note(proof.note, [VerifierKey.parse(vkey)]).text)
    assert proof.extra is not None
    merkle.verify_inclusion(leaf=proof.extra, index=proof.index, size=head.size, proof=proof.proof, root=head.root)
    return proof.extra


class TestKey:
    def test_it_is_that_of_the_log(self, system: System, keeper: LogKeeper) -> None:
        log = keeper.place()

        answer = system.get("/v1/audit/vkey")

        assert answer.content_type == "text/plain; charset=utf-8"
        assert answer.text == f"{vkey_of(log.origin)}\n"

    def test_a_log_without_a_leaf_has_none(self, system: System) -> None:
        assert system.get("/v1/audit/vkey").get_json()["code"] == "log_unknown"


class TestCheckpoint:
    @pytest.mark.rule("LOG-02")
    def test_the_newest_signed_head_is_given_out_with_its_witnesses(self, system: System, keeper: LogKeeper) -> None:
        keeper.publish()
        keeper.place()
        consent(system)
        log = keeper.place()
        keeper.sign(cosigned=True)

        answer = system.get("/v1/audit/checkpoint")

        opened = notes.open_note(answer.text, [VerifierKey.parse(log.vkey), WITNESS.key])
        assert answer.content_type == "text/plain; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        assert checkpoints.read(opened.text) == checkpoints.Checkpoint(log.origin, log.size, log.root)
        assert [signer.key for signer in opened.signers] == [VerifierKey.parse(log.vkey), WITNESS.key]

    def test_there_is_none_before_the_first(self, system: System, keeper: LogKeeper) -> None:
        keeper.place()

        answer = system.get("/v1/audit/checkpoint")

        assert (answer.status_code, answer.get_json()["code"]) == (404, "log_unknown")

    def test_no_epoch_but_those_there_are_is_known(self, system: System, keeper: LogKeeper) -> None:
        keeper.publish()

        assert system.get("/v1/audit/checkpoint?epoch=1").status_code == 200
        assert system.get("/v1/audit/checkpoint?epoch=2").status_code == 404
        assert system.get("/v1/audit/checkpoint?epoch=0").status_code == 422

    def test_each_controller_sees_its_own(
        self, system: System, other_system: System, keeper: LogKeeper, other_controller: str
    ) -> None:
        keeper.publish()

        assert other_system.get("/v1/audit/checkpoint").status_code == 404
        LogKeeper(keeper.database, other_controller).publish()
        assert f"/log/{other_controller}\n" in other_system.get("/v1/audit/checkpoint").text
        assert f"/log/{keeper.controller}\n" in system.get("/v1/audit/checkpoint").text


@pytest.mark.usefixtures("long_log")
class TestTiles:
    @pytest.mark.rule("LOG-04")
    def test_the_tree_can_be_rebuilt_from_its_tiles_and_its_entries(self, system: System, keeper: LogKeeper) -> None:
        head = read_note(keeper.publish())
        level_0 = [place for place in tiles.tiles_of(head.size) if place.level == 0]

        hashes = b"".join(system.get(f"/v1/audit/{place.path}").data for place in level_0)
        bundles = [
            system.get(f"/v1/audit/{tiles.Place(None, place.number, place.width).path}").data for place in level_0
        ]

        rows = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
        leaves = [leaf for bundle in bundles for leaf in tiles.read_bundle(bundle)]
        assert len(rows) == head.size > 256
        assert merkle.root_of(rows) == head.root
        assert [merkle.leaf_hash(leaf) for leaf in leaves] == rows

    def test_the_tiles_above_are_those_of_the_tree(self, system: System, keeper: LogKeeper) -> None:
        keeper.publish()

        full, above = system.get("/v1/audit/tile/0/000"), system.get("/v1/audit/tile/1/000.p/1")

        assert full.content_type == "application/octet-stream"
        assert above.data == merkle.root_of([full.data])

    def test_nothing_is_given_out_that_is_not_signed(
        self, system: System, keeper: LogKeeper, database: Database, controller: str
    ) -> None:
        size = read_note(keeper.publish()).size
        act(database, controller, times=300)
        keeper.place()

        beyond = (f"0/001.p/{size - 255}", "0/001", f"entries/001.p/{size - 255}", "entries/001", "1/000.p/2")
        answers = [system.get(f"/v1/audit/tile/{path}") for path in beyond]

        assert [answer.status_code for answer in answers] == [404] * 5
        assert {answer.get_json()["code"] for answer in answers} == {"tile_unknown"}
        assert system.get(f"/v1/audit/tile/0/001.p/{size - 256}").status_code == 200

    def test_a_part_of_a_tile_stays_there_when_the_tile_is_full(self, system: System, keeper: LogKeeper) -> None:
        keeper.publish()

        part, whole = system.get("/v1/audit/tile/0/000.p/7").data, system.get("/v1/audit/tile/0/000").data

        assert part == whole[: 7 * 32]

    @pytest.mark.parametrize(
        "path",
        ["0/0", "0/1000", "0/x000/000", "00/000", "64/000", "0/000.p/0", "0/000.p/256", "-1/000", "0/000/", "a/b"],
    )
    def test_a_tile_has_one_address(self, system: System, keeper: LogKeeper, path: str) -> None:
        keeper.publish()

        assert system.get(f"/v1/audit/tile/{path}").status_code == 404

    def test_only_a_named_epoch_may_be_kept(self, system: System, keeper: LogKeeper) -> None:
        keeper.publish()

        named, unnamed = system.get("/v1/audit/tile/0/000?epoch=1"), system.get("/v1/audit/tile/0/000")

        assert named.headers["Cache-Control"] == "private, max-age=31536000, immutable"
        assert named.headers["Vary"] == "Authorization"
        assert unnamed.headers["Cache-Control"] == "no-store"


class TestProof:
    @pytest.mark.rule("LOG-05")
    def test_a_consent_is_proved_with_the_key_of_the_log_alone(
        self, system: System, keeper: LogKeeper, database: Database, controller: str
    ) -> None:
        consent_id = consent(system)
        keeper.publish()
        vkey = system.get("/v1/audit/vkey").text.strip()

        answer = system.get(f"/v1/consents/{consent_id}/proof")

        leaf = verified(answer.text, vkey)
        assert answer.content_type == "text/plain; charset=utf-8"
        with database.transaction(controller) as session:
            entry = session.scalars(select(AuditEntry).where(AuditEntry.type == "consent.given")).one()
        assert entry.id.encode() in leaf
        assert entry.commit.hex().encode() in leaf

    def test_it_goes_on_proving_the_yes_after_a_withdrawal(self, system: System, keeper: LogKeeper) -> None:
        consent_id = consent(system)
        system.post("/v1/withdrawals", {"subject": {"email": "kari@nordmann.example"}})
        log = keeper.place()
        keeper.sign()

        answer = system.get(f"/v1/consents/{consent_id}/proof")

        assert b'"t":"consent.given"' in verified(answer.text, log.vkey)

    def test_a_no_is_proved_too(self, system: System, keeper: LogKeeper) -> None:
        consent_id = consent(system, granted=False)
        log = keeper.place()
        keeper.sign()

        answer = system.get(f"/v1/consents/{consent_id}/proof")

        assert b'"t":"consent.refused"' in verified(answer.text, log.vkey)

    def test_what_was_never_confirmed_has_none(self, system: System, keeper: LogKeeper) -> None:
        outcome = system.post("/v1/consents", system.report(purpose="newsletter")).get_json()
        keeper.publish()

        answer = system.get(f"/v1/consents/{outcome['consents'][0]['consent_id']}/proof")

        assert (answer.status_code, answer.get_json()["code"]) == (404, "audit_entry_unknown")

    @pytest.mark.usefixtures("long_log")
    def test_every_entry_has_one(self, system: System, keeper: LogKeeper, database: Database, controller: str) -> None:
        log = keeper.place()
        keeper.sign()
        with database.transaction(controller) as session:
            placed = logs.list_leaves(session, log, first=0, limit=10_000)

        for each in (placed[0], placed[255], placed[256], placed[-1]):
            answer = system.get(f"/v1/audit/entries/{each.entry_id}/proof")
            assert verified(answer.text, log.vkey) == each.leaf

    def test_an_entry_waits_for_its_place_and_then_for_a_head(
        self, system: System, keeper: LogKeeper, database: Database, controller: str
    ) -> None:
        keeper.publish()
        (entry,) = act(database, controller)

        answers = [system.get(f"/v1/audit/entries/{entry}/proof")]
        keeper.place()
        answers.append(system.get(f"/v1/audit/entries/{entry}/proof"))
        keeper.sign()

        assert [answer.status_code for answer in answers] == [409, 409]
        assert {answer.get_json()["code"] for answer in answers} == {"audit_entry_waits"}
        assert {answer.headers["Retry-After"] for answer in answers} == {"2"}
        assert system.get(f"/v1/audit/entries/{entry}/proof").status_code == 200

    def test_what_is_not_in_the_log_is_not_found(
        self, system: System, other_system: System, keeper: LogKeeper, database: Database, controller: str
    ) -> None:
        (entry,) = act(database, controller)
        keeper.publish()

        answers = [
            system.get("/v1/audit/entries/aud_00000000000000000000000000/proof"),
            other_system.get(f"/v1/audit/entries/{entry}/proof"),
        ]

        assert [answer.get_json()["code"] for answer in answers] == ["audit_entry_unknown"] * 2


class TestConsistency:
    def test_every_kept_head_is_a_beginning_of_the_newest(
        self, system: System, keeper: LogKeeper, database: Database, controller: str
    ) -> None:
        heads = [read_note(keeper.publish())]
        for times in (1, 6, 300):
            act(database, controller, times=times)
            heads.append(read_note(keeper.publish()))

        for old in heads:
            answer = system.get(f"/v1/audit/consistency?from={old.size}").get_json()
            assert (answer["epoch"], answer["old_size"], answer["size"]) == (1, old.size, heads[-1].size)
            merkle.verify_consistency(
                old_size=old.size,
                old_root=old.root,
                size=heads[-1].size,
                root=heads[-1].root,
                proof=[base64.b64decode(each) for each in answer["hashes"]],
            )

    def test_two_older_heads_can_be_compared(
        self, system: System, keeper: LogKeeper, database: Database, controller: str
    ) -> None:
        first = read_note(keeper.publish())
        act(database, controller, times=9)
        second = read_note(keeper.publish())
        act(database, controller, times=9)
        keeper.publish()

        answer = system.get(f"/v1/audit/consistency?from={first.size}&to={second.size}").get_json()

        proof = [base64.b64decode(each) for each in answer["hashes"]]
        merkle.verify_consistency(
            old_size=first.size, old_root=first.root, size=second.size, root=second.root, proof=proof
        )

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ("", "/from"),
            ("from=0", "/from"),
            ("from=-1", "/from"),
            ("from=x", "/from"),
            ("from=1.5", "/from"),
            ("from=9&to=8", "/from"),
            ("from=99999", "/from"),
            ("from=1&to=99999", "/to"),
            ("from=1&to=13", "/to"),
            ("from=1&to=99999999999999999999", "/to"),
            ("from=1&too=2", "/too"),
        ],
    )
    def test_nonsense_is_refused(self, system: System, keeper: LogKeeper, query: str, pointer: str) -> None:
        keeper.publish()
        consent(system)
        keeper.place()

        answer = system.get(f"/v1/audit/consistency?{query}")

        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.get_json()["errors"]] == [pointer]


class TestLogs:
    def test_a_log_says_how_far_it_is_and_how_far_it_is_signed(
        self, system: System, keeper: LogKeeper, database: Database, controller: str
    ) -> None:
        signed = read_note(keeper.publish())
        act(database, controller)
        log = keeper.place()

        (shown,) = system.get("/v1/audit/logs").get_json()["data"]

        assert (shown["epoch"], shown["origin"], shown["vkey"]) == (1, log.origin, log.vkey)
        assert (shown["size"], shown["signed"]["size"]) == (signed.size + 1, signed.size)
        assert base64.b64decode(shown["signed"]["root"]) == signed.root
        assert (shown["refused"], shown["gap"], shown["signed"]["witnesses"]) == (None, None, 0)

    def test_what_a_restored_database_lost_is_shown_for_ever(
        self, system: System, keeper: LogKeeper, database: Database, superuser_url: str
    ) -> None:
        old = keeper.place()
        keeper.sign()
        recover(keeper, database, superuser_url)
        keeper.publish()

        first, second = system.get("/v1/audit/logs").get_json()["data"]

        assert (first["refused"], first["gap"]) == ("truncated", None)
        assert second["gap"] == {"log": old.origin, "size": old.size + 9, "kept": old.size}
        assert system.get("/v1/audit/checkpoint").text.startswith(f"{old.origin}/e2\n1\n")
        assert system.get("/v1/audit/checkpoint?epoch=1").text.startswith(f"{old.origin}\n{old.size}\n")
        assert system.get("/v1/audit/tile/0/000.p/2?epoch=1").status_code == 200
        assert system.get("/v1/audit/tile/0/000.p/2").status_code == 404
        assert system.get("/v1/audit/consistency?from=1&epoch=1").get_json()["size"] == old.size

    def test_there_is_nothing_to_show_before_the_first_leaf(self, system: System) -> None:
        assert system.get("/v1/audit/logs").get_json() == {"data": [], "next_cursor": None}


def recover(keeper: LogKeeper, database: Database, superuser_url: str) -> None:
    """Let a backup have been brought back, and let the operator say so."""
    with psycopg.connect(superuser_url) as connection:
        connection.execute("UPDATE audit.tree SET refused = 'truncated', refused_at = now()")
    with database.transaction(keeper.controller) as session:
        log = logs.get(session)
        trail.record(
            session,
            type="log.recovered",
            at=NOON,
            actor=trail.SYSTEM,
            stream="log",
            payload={"reason": "The disk broke."},
            gap={"log": log.origin, "size": log.size + 9, "kept": log.size},
        )
