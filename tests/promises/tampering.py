"""What somebody who may do anything in the database, or in the folder outside, can do to a log, class by class."""

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

from consent_service import identifiers
from consent_service.audit import logs, merkle
from consent_service.audit.checkpoints import Checkpoint
from consent_service.audit.outside_copy import CHECKPOINT, KEPT
from consent_service.crypto.notes import NoteSigner
from tests import log_backups
from tests.log_house import SEED, vkey_of
from tests.promises.log_scene import LogScene

Do = Callable[[LogScene, Random], None]
Change = Callable[[Path, LogScene, Random], object]

THIEF: Final = bytes(range(100, 132))


def by_sql(*statements: str) -> Do:
    """Tamper by statements that name places of the log, as in `%(near_id)s`."""

    def do(scene: LogScene, rng: Random) -> None:
        places = scene.places(rng)
        for statement in statements:
            scene.house.as_superuser(statement % places)

    return do


def in_copy(change: Change) -> Do:
    """Tamper with the folder outside."""

    def do(scene: LogScene, rng: Random) -> None:
        change(scene.copy, scene, rng)

    return do


def any_tile(copy: Path, rng: Random, kind: str = "*") -> Path:
    return rng.choice(sorted(path for path in copy.glob(f"tile/{kind}/**/*") if path.is_file()))


def flip(kind: str) -> Change:
    """Flip one bit of a tile of a level, or of a bundle of entries."""

    def do(copy: Path, _: LogScene, rng: Random) -> None:
        path = any_tile(copy, rng, kind)
        content = bytearray(path.read_bytes())
        content[rng.randrange(len(content))] ^= 1
        path.write_bytes(content)

    return do


def cut(kind: str) -> Change:
    """Cut off a tile of hashes, or a bundle of entries."""

    def do(copy: Path, _: LogScene, rng: Random) -> None:
        path = any_tile(copy, rng, kind)
        content = path.read_bytes()
        path.write_bytes(content[: rng.randrange(len(content))])

    return do


def swap_tiles(copy: Path, _: LogScene, rng: Random) -> None:
    kind = rng.choice(["0", "entries"])
    one, two = copy / f"tile/{kind}/000", copy / f"tile/{kind}/001"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def foreign_tiles(copy: Path, scene: LogScene, rng: Random) -> None:
    kind = rng.choice(["0", "entries"])
    shutil.copyfile(scene.other.copy.folder / f"tile/{kind}/000", copy / f"tile/{kind}/000")


def older_head(copy: Path, _: LogScene, __: Random) -> None:
    shutil.copyfile(next((copy / KEPT).glob("*.txt")), copy / CHECKPOINT)


def forged_head(copy: Path, scene: LogScene, rng: Random) -> None:
    """Sign another root for the size of the head, with the stolen key."""
    (copy / CHECKPOINT).write_text(_note(scene, scene.house.head().size, rng.randbytes(32)), "utf-8")


def forged_day(copy: Path, scene: LogScene, rng: Random) -> None:
    """Sign another root for the head that was kept of a day, with the stolen key."""
    day = next((copy / KEPT).glob("*.txt"))
    day.write_text(_note(scene, scene.first, rng.randbytes(32)), "utf-8")


def _note(scene: LogScene, size: int, root: bytes, *, seed: bytes = SEED) -> str:
    origin = scene.house.log().origin
    return NoteSigner(origin, seed).sign(Checkpoint(origin, size, root).text())


def edited_head(copy: Path, scene: LogScene, rng: Random) -> None:
    path = copy / CHECKPOINT
    size = str(scene.house.head().size)
    path.write_text(path.read_text("utf-8").replace(size, str(rng.randrange(1, int(size)))), "utf-8")


def foreign_copy(copy: Path, scene: LogScene, _: Random) -> None:
    shutil.rmtree(copy)
    shutil.copytree(scene.other.copy.folder, copy)


def put_back(scene: LogScene, _: Random) -> None:
    """Restore the backup of a time before the last heads."""
    log_backups.restore(scene.house, scene.early)


def put_back_and_go_on(scene: LogScene, rng: Random) -> None:
    """Restore a backup, let other things happen, and sign them with the stolen key."""
    log_backups.restore(scene.house, scene.early)
    scene.house.act(rng.randrange(530, 560))
    scene.house.place()
    _sign_in_database(scene)


def rewritten(scene: LogScene, rng: Random) -> None:
    """Change an entry, make the whole tree anew from the entries, and sign it again with the stolen key."""
    by_sql("UPDATE audit.entry SET occurred_at = occurred_at + interval '1 s' WHERE id = '%(near_id)s'")(scene, rng)
    _rebuild(scene)
    _sign_in_database(scene)


def rewritten_beginning(scene: LogScene, rng: Random) -> None:
    """Leave out an entry before the head that was kept, close up, make the tree anew, and sign it again."""
    place = rng.randrange(scene.first)
    ours = f"controller_id = '{controller_of(scene)}'"
    scene.house.as_superuser(f"DELETE FROM audit.leaf WHERE {ours} AND index = {place}")  # noqa: S608 - a number
    scene.house.as_superuser(f"UPDATE audit.leaf SET index = -index WHERE {ours} AND index > {place}")  # noqa: S608 - as above
    scene.house.as_superuser(f"UPDATE audit.leaf SET index = -index - 1 WHERE {ours} AND index < 0")  # noqa: S608 - as above
    scene.house.as_superuser(
        f"DELETE FROM audit.entry e WHERE {ours} AND NOT EXISTS (SELECT FROM audit.leaf l WHERE l.entry_id = e.id)"  # noqa: S608 - as above
        " AND NOT EXISTS (SELECT FROM audit.queue q WHERE q.entry_id = e.id)"
    )
    _rebuild(scene)
    _sign_in_database(scene)


def _rebuild(scene: LogScene) -> None:
    """Make tree and tiles of the log from its entries, as the sequencer would have."""
    with scene.house.database.transaction(scene.house.controller_id) as session:
        log = logs.get(session)
        placed = logs.list_leaves(session, log, first=0, limit=10_000)
    grown = merkle.append((), 0, [merkle.leaf_hash(each.leaf) for each in placed])
    edge = ", ".join(f"'\\x{row.hex()}'::bytea" for row in grown.edge)
    ours = f"controller_id = '{controller_of(scene)}'"
    scene.house.as_superuser(
        f"UPDATE audit.tree SET size = {grown.size}, root = '\\x{grown.root.hex()}', edge = ARRAY[{edge}] WHERE {ours}"  # noqa: S608 - hex
    )
    for tile in grown.tiles:
        scene.house.as_superuser(
            f"UPDATE audit.tile SET hashes = '\\x{tile.hashes.hex()}'"  # noqa: S608 - hex
            f" WHERE {ours} AND level = {tile.level} AND number = {tile.number}"
        )


def _sign_in_database(scene: LogScene) -> None:
    """Replace the signed heads in the database by one of the tree as it is."""
    log = scene.house.log()
    note = _note(scene, log.size, log.root)
    scene.house.as_superuser(
        f"DELETE FROM audit.checkpoint WHERE controller_id = '{controller_of(scene)}';"  # noqa: S608 - hex
        f" INSERT INTO audit.checkpoint VALUES"
        f" ('{controller_of(scene)}', 1, {log.size}, '\\x{log.root.hex()}', '{note}', now())"
    )


def controller_of(scene: LogScene) -> str:
    """Return the company as statements name it."""
    return str(identifiers.to_uuid(scene.house.controller_id, "ctl"))


def forged_in_database(seed: bytes) -> Do:
    """Put a head into the database that says something else about the size of the newest."""

    def do(scene: LogScene, rng: Random) -> None:
        root = rng.randbytes(32)
        note = _note(scene, scene.house.head().size, root, seed=seed)
        scene.house.as_superuser(
            f"UPDATE audit.checkpoint SET note = '{note}', root = '\\x{root.hex()}'"  # noqa: S608 - hex
            f" WHERE controller_id = '{controller_of(scene)}'"
        )

    return do


def hidden_gap(scene: LogScene, rng: Random) -> None:
    """Open an epoch that names a smaller loss than there was, and sign it with the stolen key."""
    log_backups.restore(scene.house, scene.early)
    scene.house.as_superuser("UPDATE audit.tree SET refused = 'not_append_only', refused_at = now()")
    log_backups.recover(scene.house, size=scene.first + rng.randrange(500))
    scene.house.place()


def unnamed_epoch(scene: LogScene, _: Random) -> None:
    """Open an epoch that says nothing of the one before it."""
    log_backups.restore(scene.house, scene.early)
    ours = controller_of(scene)
    origin = f"{scene.house.log().origin}/e2"
    scene.house.as_superuser(
        "INSERT INTO audit.tree (controller_id, epoch, origin, vkey, opened_at, size, root, edge)"  # noqa: S608 - names
        f" VALUES ('{ours}', 2, '{origin}', '{vkey_of(origin)}', now(), 0, '\\x{merkle.EMPTY_ROOT.hex()}', '{{}}')"
    )
    scene.house.act(3)
    scene.house.place()
