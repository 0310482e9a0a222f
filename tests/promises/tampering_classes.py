"""Every class of tampering that is tried, with what it must be called: by the verification, and by verify.py."""

from dataclasses import dataclass
from typing import Final

from consent_service.audit.outside_copy import CHECKPOINT, KEPT, VKEY
from tests.log_house import SEED
from tests.promises import tampering
from tests.promises.tampering import Change, Do, by_sql, in_copy

#: Nothing can be fetched any more, so nobody can be shown a wrong log.
REFUSED: Final = "refused"


@dataclass(frozen=True, slots=True)
class Tampering:
    """One way to tamper: what is done, what the verification in the database must name, and what verify.py must.

    `exported` is what verify.py names of what an auditor fetches from the tampered database, or of the tampered copy
    itself where `of_copy`; None where what is fetched does not show it.
    """

    name: str
    do: Do
    live: str
    exported: str | None = None
    of_copy: bool = False


def _flipped(column: str, byte: str) -> str:
    return f"{column} = set_byte({column}, {byte}, get_byte({column}, {byte}) # 1)"


def _entry(change: str) -> Do:
    return _set("entry", change, where="AND id = '%(near_id)s'")


def _set(table: str, change: str, *, where: str = "") -> Do:
    """Change the company's rows of a table of the log."""
    return by_sql(" ".join((f"UPDATE audit.{table} SET", change, "WHERE %(ours)s", where)))


def _leaf(name: str, change: str) -> Tampering:
    """Change what a leaf is made of."""
    return Tampering(name, _entry(change), "leaf_mismatch", "leaf_mismatch")


def _copy(name: str, change: Change, live: str, exported: str) -> Tampering:
    """Tamper with the folder outside."""
    return Tampering(name, in_copy(change), live, exported, of_copy=True)


_COPIED: Final = (
    "INSERT INTO audit.entry (controller_id, id, version, type, occurred_at, commit, sealed_for, sealed)"
    " SELECT controller_id, '00000000-0000-7000-8000-000000000001', version, type, occurred_at, commit, sealed_for,"
    " sealed FROM audit.entry WHERE id = '%(near_id)s'"
)

_ENTRIES: Final = (
    _leaf("an entry's commitment", _flipped("commit", "%(byte)s")),
    _leaf("an entry's type", "type = 'operator.created'"),
    _leaf("an entry dated back", "occurred_at = occurred_at - interval '1 us'"),
    _leaf("an entry dated forward", "occurred_at = occurred_at + interval '1 year'"),
    _leaf("an entry's version", "version = version + 1"),
    _leaf("a gap put in", "type = 'log.recovered', gap = '{}'"),
    Tampering("a gap that is none", _entry("type = 'log.recovered', gap = '5'"), "leaf_mismatch"),
    Tampering("an entry at the end of time", _entry("occurred_at = 'infinity'"), "leaf_mismatch"),
    Tampering("an entry's payload", _entry(_flipped("sealed", "20 + %(byte)s")), "payload_damaged"),
    Tampering("an entry's payload and no more of it", _entry("sealed = ''"), "payload_damaged"),
    Tampering(
        "the payload of another entry",
        _entry("sealed = (SELECT sealed FROM audit.entry o WHERE o.id = '%(far_id)s')"),
        "payload_damaged",
    ),
    Tampering(
        "a payload under another key",
        _entry("sealed_for = CASE sealed_for WHEN 'subject' THEN 'controller' ELSE 'subject' END"),
        "stream_gap",
    ),
    Tampering(
        "what two entries commit to, exchanged",
        by_sql(
            "UPDATE audit.entry e SET commit = o.commit, sealed = o.sealed FROM audit.entry o WHERE"
            " (e.id, o.id) IN (('%(near_id)s', '%(far_id)s'), ('%(far_id)s', '%(near_id)s'))"
        ),
        "leaf_mismatch",
        "leaf_mismatch",
    ),
    Tampering(
        "an entry deleted", by_sql("DELETE FROM audit.entry WHERE id = '%(near_id)s'"), "entry_missing", "entry_missing"
    ),
    Tampering(
        "an entry deleted with its place",
        by_sql(
            "DELETE FROM audit.entry WHERE id = '%(near_id)s'",
            "DELETE FROM audit.leaf WHERE %(ours)s AND index = %(near)s",
        ),
        "entry_missing",
        "entry_missing",
    ),
    Tampering(
        "an entry deleted, and those after it moved up",
        by_sql(
            "DELETE FROM audit.entry WHERE id = '%(near_id)s'",
            "DELETE FROM audit.leaf WHERE %(ours)s AND index = %(near)s",
            "UPDATE audit.leaf SET index = -index WHERE %(ours)s AND index > %(near)s",
            "UPDATE audit.leaf SET index = -index - 1 WHERE %(ours)s AND index < 0",
            "UPDATE audit.tree SET size = size - 1 WHERE %(ours)s",
        ),
        "leaf_mismatch",
        "leaf_mismatch",
    ),
    Tampering("an entry put in without a place", by_sql(_COPIED), "unsequenced"),
    Tampering(
        "an entry put in behind the tree",
        by_sql(
            _COPIED,
            "INSERT INTO audit.leaf VALUES"
            " ('%(controller)s', 1, %(size)s + %(byte)s, '00000000-0000-7000-8000-000000000001')",
        ),
        "entry_extra",
    ),
    Tampering(
        "an entry put in the place of another",
        by_sql(
            _COPIED,
            "UPDATE audit.leaf SET entry_id = '00000000-0000-7000-8000-000000000001'"
            " WHERE %(ours)s AND index = %(near)s",
        ),
        "leaf_mismatch",
        "leaf_mismatch",
    ),
    Tampering(
        "an entry moved to another company",
        by_sql(
            "UPDATE audit.entry SET controller_id = '%(other)s' WHERE id = '%(near_id)s'",
            "UPDATE audit.entry_about SET controller_id = '%(other)s' WHERE entry_id = '%(near_id)s'",
        ),
        "entry_missing",
        "entry_missing",
    ),
)

_PLACES: Final = (
    Tampering(
        "two entries that exchanged their places",
        by_sql(
            "UPDATE audit.leaf SET index = -1 WHERE %(ours)s AND index = %(near)s",
            "UPDATE audit.leaf SET index = %(near)s WHERE %(ours)s AND index = %(far)s",
            "UPDATE audit.leaf SET index = %(far)s WHERE %(ours)s AND index = -1",
        ),
        "leaf_mismatch",
        "leaf_mismatch",
    ),
    Tampering(
        "a place taken away",
        by_sql("DELETE FROM audit.leaf WHERE %(ours)s AND index = %(near)s"),
        "unsequenced",
        "entry_missing",
    ),
    Tampering(
        "a place in an epoch that there is not",
        _set("leaf", "epoch = 7", where="AND index = %(near)s"),
        "entry_extra",
        "entry_missing",
    ),
    Tampering(
        "a place before the first",
        _set("leaf", "index = -3", where="AND index = %(near)s"),
        "entry_extra",
        "entry_missing",
    ),
    Tampering(
        "an entry that has a place and waits for another",
        by_sql("INSERT INTO audit.queue (controller_id, entry_id) VALUES ('%(controller)s', '%(near_id)s')"),
        "leaf_twice",
    ),
    Tampering(
        "an act that waits, taken from the queue",
        by_sql("DELETE FROM audit.queue WHERE entry_id = %(queued)s"),
        "unsequenced",
    ),
    Tampering(
        "an act that waits, gone without a trace in the queue",
        by_sql("DELETE FROM audit.entry WHERE id = %(queued)s", "DELETE FROM audit.queue WHERE entry_id = %(queued)s"),
        "stream_gap",
    ),
    Tampering(
        "an act that waits, gone but for the queue",
        by_sql("DELETE FROM audit.entry WHERE id = %(queued)s"),
        "entry_missing",
    ),
)

_TREES: Final = (
    Tampering(
        "a tile",
        _set("tile", _flipped("hashes", "%(tile_byte)s"), where="AND level = 0 AND number = %(tile)s"),
        "tile_mismatch",
        "leaf_mismatch",
    ),
    Tampering(
        "a tile deleted",
        by_sql("DELETE FROM audit.tile WHERE %(ours)s AND number = %(tile)s"),
        "tile_mismatch",
        REFUSED,
    ),
    Tampering(
        "two tiles exchanged",
        by_sql(
            "UPDATE audit.tile SET number = -number WHERE %(ours)s",
            "UPDATE audit.tile SET number = 1 + number WHERE %(ours)s",
        ),
        "tile_mismatch",
        "leaf_mismatch",
    ),
    Tampering(
        "a tile of another log",
        _set(
            "tile",
            "hashes = (SELECT hashes FROM audit.tile WHERE controller_id = '%(other)s' AND number = 0)",
            where="AND level = 0 AND number = %(tile)s",
        ),
        "tile_mismatch",
        "leaf_mismatch",
    ),
    Tampering(
        "a tile too many",
        by_sql(
            "INSERT INTO audit.tile SELECT controller_id, 1, %(byte)s %% 3, 2, hashes FROM audit.tile"
            " WHERE %(ours)s LIMIT 1"
        ),
        "tile_mismatch",
    ),
    Tampering(
        "the edge of the tree",
        _set("tree", _flipped("edge[1]", "%(edge_byte)s")),
        "tree_mismatch",
        "leaf_mismatch",
    ),
    Tampering(
        "the upper edge of the tree",
        _set("tree", _flipped("edge[2]", "%(byte)s")),
        "tree_mismatch",
        "tile_mismatch",
    ),
    Tampering("the edge cut off", _set("tree", "edge[1] = substr(edge[1], 1, %(edge_byte)s)"), "tree_mismatch"),
    Tampering("no edge at all", _set("tree", "edge = '{}'"), "tree_mismatch", REFUSED),
    Tampering("the root", _set("tree", _flipped("root", "%(head_byte)s")), "tree_mismatch"),
    Tampering("a tree that says it is smaller", _set("tree", "size = size - 1 - %(byte)s"), "truncated"),
    Tampering("a tree that says it is larger", _set("tree", "size = size + 1 + %(byte)s"), "entry_missing"),
    Tampering("a tree that says it is endless", _set("tree", "size = 9000000000000000000 + %(byte)s"), "entry_missing"),
    Tampering("no tree", by_sql("DELETE FROM audit.tree WHERE %(ours)s"), "truncated", REFUSED),
    Tampering("a tree with the name of another", _set("tree", "origin = origin || '0'"), "other_log"),
    Tampering(
        "a tree with another key",
        _set("tree", "vkey = (SELECT vkey FROM audit.tree WHERE controller_id = '%(other)s')"),
        "unknown_key",
        "other_log",
    ),
    Tampering("an epoch that says nothing of a loss", tampering.unnamed_epoch, "gap_hidden"),
    Tampering("an epoch that names another loss", tampering.hidden_gap, "gap_hidden"),
)

_HEADS: Final = (
    Tampering(
        "a head that a thief's key signed",
        tampering.forged_in_database(tampering.THIEF),
        "bad_signature",
        "unknown_key",
    ),
    Tampering(
        "a head that the stolen key signed",
        tampering.forged_in_database(SEED),
        "checkpoint_conflict",
        "checkpoint_conflict",
    ),
    Tampering("a head's root beside the note", _set("checkpoint", _flipped("root", "%(head_byte)s")), "root_mismatch"),
    Tampering("a head's size beside the note", _set("checkpoint", "size = size - 1 - %(byte)s"), "root_mismatch"),
    Tampering(
        "a head of another log",
        _set("checkpoint", "note = (SELECT note FROM audit.checkpoint WHERE controller_id = '%(other)s' LIMIT 1)"),
        "other_log",
        "other_log",
    ),
    Tampering("a head that is no note", _set("checkpoint", "note = 'x%(byte)s'"), "bad_signature"),
    Tampering("a backup brought back", tampering.put_back, "truncated", "not_append_only"),
    Tampering(
        "a backup brought back, grown and signed again",
        tampering.put_back_and_go_on,
        "not_append_only",
        "not_append_only",
    ),
    Tampering(
        "an entry changed, all made anew and signed again",
        tampering.rewritten,
        "checkpoint_conflict",
        "checkpoint_conflict",
    ),
    Tampering(
        "an entry left out, all made anew and signed again",
        tampering.rewritten_beginning,
        "not_append_only",
        "not_append_only",
    ),
)

_STREAMS: Final = (
    Tampering(
        "the head of a stream",
        _set("stream_head", "number = number + 1 + %(byte)s", where="AND stream = 'log'"),
        "stream_gap",
    ),
    Tampering(
        "what the head of a stream commits to",
        _set("stream_head", _flipped("commit", "%(byte)s"), where="AND stream = 'log'"),
        "stream_gap",
    ),
    Tampering(
        "the head of a stream deleted",
        by_sql("DELETE FROM audit.stream_head WHERE %(ours)s AND stream = 'log'"),
        "stream_gap",
    ),
    Tampering(
        "the head of a living person's stream deleted",
        by_sql("DELETE FROM audit.stream_head WHERE %(ours)s AND stream LIKE 'subject:%%'"),
        "stream_gap",
    ),
    Tampering(
        "what an entry is about",
        by_sql("UPDATE audit.entry_about SET subject_id = '%(person)s' WHERE %(ours)s AND subject_id <> '%(person)s'"),
        "payload_damaged",
    ),
    Tampering(
        "what a person's entries are about, forgotten",
        by_sql("DELETE FROM audit.entry_about WHERE %(ours)s AND subject_id = '%(person)s'"),
        "stream_gap",
    ),
    Tampering(
        "a person's key",
        by_sql(" ".join(("UPDATE vault.subject_key SET", _flipped("wrapped", "20 + %(byte)s"), "WHERE %(ours)s"))),
        "payload_damaged",
    ),
)

_COPIES: Final = (
    _copy("a tile outside", tampering.flip("0"), "copy_differs", "leaf_mismatch"),
    _copy("an upper tile outside", tampering.flip("1"), "copy_differs", "tile_mismatch"),
    _copy("entries outside", tampering.flip("entries"), "copy_differs", "leaf_mismatch"),
    _copy("a tile outside cut off", tampering.cut("[0-9]"), "copy_differs", "tile_mismatch"),
    _copy("entries outside cut off", tampering.cut("entries"), "copy_differs", "truncated"),
    _copy(
        "a file outside deleted",
        lambda copy, _, rng: tampering.any_tile(copy, rng).unlink(),
        "copy_missing",
        "truncated",
    ),
    _copy("two files outside exchanged", tampering.swap_tiles, "copy_differs", "leaf_mismatch"),
    _copy("a file outside of another log", tampering.foreign_tiles, "copy_differs", "leaf_mismatch"),
    _copy("the head outside deleted", lambda copy, *_: (copy / CHECKPOINT).unlink(), "copy_missing", "truncated"),
    _copy("the head outside replaced by an older one", tampering.older_head, "truncated", "not_append_only"),
    _copy("the head outside edited", tampering.edited_head, "bad_signature", "bad_signature"),
    _copy("the head outside, by the stolen key", tampering.forged_head, "checkpoint_conflict", "checkpoint_conflict"),
    _copy("the head of a day, by the stolen key", tampering.forged_day, "not_append_only", "not_append_only"),
    _copy(
        "the heads of days exchanged for nonsense",
        lambda copy, _, rng: next((copy / KEPT).glob("*.txt")).write_bytes(rng.randbytes(200)),
        "bad_signature",
        "bad_signature",
    ),
    _copy(
        "the key outside",
        lambda copy, scene, _: (copy / VKEY).write_bytes((scene.other.copy.folder / VKEY).read_bytes()),
        "unknown_key",
        "other_log",
    ),
    _copy("the whole folder of another log", tampering.foreign_copy, "other_log", "other_log"),
)

CLASSES: Final = (*_ENTRIES, *_PLACES, *_TREES, *_HEADS, *_STREAMS, *_COPIES)
