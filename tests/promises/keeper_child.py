"""Runs log keepers in processes of their own that end, or stop, at their n-th step; it forks each of them.

Orders come as JSON, a line each, and are answered so. The steps are what a process can be interrupted at so that
somebody could notice: statements and commits, and what happens to files. Each head that is signed, and each entry that
was written, stands in a journal before anything can happen after it.
"""

import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from consent_service.audit import outside_copy
from consent_service.cli import log_keeper
from consent_service.cli.log_keeper import Keeper
from consent_service.crypto.keyring import Keyring
from consent_service.crypto.notes import NoteSigner
from consent_service.db.session import Database, make_engine
from tests.log_house import SEED, settings_of

#: Entries as the service writes them, as far as a keeper of the log can see.
WRITE = """
INSERT INTO audit.entry (controller_id, id, version, type, occurred_at, "commit", sealed_for, sealed)
SELECT %s, gen_random_uuid(), 1, 'log.exported', now(), sha256(gen_random_uuid()::text::bytea), 'controller', '\\x00'
  FROM generate_series(1, %s)"""
FILE_EVENTS = ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "fcntl.flock")


@dataclass
class Steps:
    """Counts steps, and sends this process a signal at one of them; `names` says what each was."""

    at: int
    signal: signal.Signals
    folder: str
    names: list[str]

    def step(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) == self.at:
            os.kill(os.getpid(), self.signal)

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that takes a step before it and one after it."""

        def stepping(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the function takes
            self.step(f"before {name}")
            result = function(*arguments, **named)
            self.step(f"after {name}")
            return result

        return stepping

    def watch(self, database: Database) -> None:
        """Take a step at whatever this process does from now on."""
        events: dict[str, Callable[..., None]] = {
            "before_cursor_execute": lambda _c, _k, statement, *_: self.step(f"before {_kind(statement)}"),
            "after_cursor_execute": lambda _c, _k, statement, *_: self.step(f"after {_kind(statement)}"),
            "commit": lambda _: self.step("before commit"),
        }
        for name, listener in events.items():
            event.listen(database.engine, name, listener)
        event.listen(Session, "after_commit", lambda _: self.step("after commit"))
        os.fsync = self.around("fsync", os.fsync)
        os.replace = self.around("replace", os.replace)
        sys.addaudithook(self._on_audit_event)

    def _on_audit_event(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "fcntl.flock" or (name in FILE_EVENTS and self.folder in os.fsdecode(_path_of(arguments))):
            self.step(f"before {name}")


def write(connection: psycopg.Connection[Any], controller: str, times: int) -> None:
    """Write entries; `controller` is a UUID."""
    connection.execute("SELECT set_config('app.controller', %s, false)", (controller,))
    connection.execute(WRITE, (controller, times))


def main() -> None:
    """Carry out one order after another until standard input ends."""
    started: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "start":
            pid = _fork(order)
            started.add(pid)
            answer = _wait(pid) if order["wait"] else {"pid": pid}
        elif order["do"] == "resume":
            os.kill(order["pid"], signal.SIGCONT)
            answer = _wait(order["pid"])
        else:
            answer = _wait(order["pid"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _fork(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        said = os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for source, target in ((null, 0), (said, 1), (said, 2)):
            os.dup2(source, target)
        _note_signatures(Path(order["journal"]))
        code = _command(order) if "environment" in order else _rounds(order)
    except BaseException:  # noqa: BLE001 - said, and nothing more
        traceback.print_exc()
    finally:
        # Nothing of the process that was forked, its buffers and exit handlers, may run here.
        os._exit(code)


def _wait(pid: int) -> dict[str, Any]:
    """Wait until a keeper has ended or stopped."""
    _, status = os.waitpid(pid, os.WUNTRACED)
    return {
        "pid": pid,
        "stopped": os.WIFSTOPPED(status),
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
    }


def _command(order: dict[str, Any]) -> int:
    """Keep the logs as `consent log-keeper` does, until it is told to end or is killed."""
    os.environ.update(order["environment"])
    try:
        log_keeper.command.main([], prog_name="log-keeper")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1


def _rounds(order: dict[str, Any]) -> int:
    """Write entries, place and sign them, a few times over, and be interrupted on the way."""
    folder = Path(order["folder"])
    database = Database(make_engine(order["url"], pool_size=3), Keyring({}))
    if "idle" in order:
        event.listen(database.engine, "connect", lambda raw, _: _limit_idling(raw, order["idle"]))
    steps = Steps(order.get("at", 0), signal.Signals[order.get("signal", "SIGKILL")], str(folder), [])
    keeper = Keeper(database, settings_of(folder), SEED)
    if "room" in order:
        _limit_files(order["room"])
    with psycopg.connect(order["writer"], autocommit=True) as writer:
        steps.watch(database)
        for times in order["rounds"]:
            write(writer, order["controller"], times)
            for work in (keeper.place, keeper.publish_all):
                try:
                    work()
                except DBAPIError:
                    continue
    if "steps" in order:
        Path(order["steps"]).write_text(json.dumps(steps.names), encoding="utf-8")
    return 0


def _limit_idling(raw: Any, milliseconds: int) -> None:  # noqa: ANN401 - the driver's connection
    raw.execute(f"SET idle_in_transaction_session_timeout = {milliseconds}")
    raw.commit()


def _limit_files(room: int) -> None:
    """Let the kernel refuse whatever a file of the copy holds beyond so many bytes, as a full disk does."""
    write = outside_copy._write  # noqa: SLF001 - the one place at which the copy reaches the disk

    def writing(path: Path, content: bytes, *, fresh: Path) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        try:
            write(path, content, fresh=fresh)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    outside_copy._write = writing  # noqa: SLF001 - as above


def _note_signatures(journal: Path) -> None:
    """Keep every note from the moment it is signed, whatever becomes of it."""
    sign = NoteSigner.sign
    descriptor = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def noting(self: NoteSigner, text: str) -> str:
        note = sign(self, text)
        os.write(descriptor, json.dumps(note).encode() + b"\n")
        return note

    NoteSigner.sign = noting  # type: ignore[method-assign]


def _kind(statement: str) -> str:
    return "lock" if "FOR UPDATE" in statement else "statement"


def _path_of(arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401 - whatever was opened
    return arguments[0] if arguments and isinstance(arguments[0], str | bytes | os.PathLike) else ""


if __name__ == "__main__":
    main()
