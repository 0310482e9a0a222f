"""What can happen to a process that answers checks: to its database, pool, keys, clock, spool and files."""

import contextlib
import os
import resource
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import make_url

from consent_service import clock
from consent_service.crypto import keyring
from tests.promises.faults import Fault, Struck
from tests.promises.scene import Scene

#: More than anything else in a test writes into one file.
_LARGEST_FILE: Final = 8 * 1024 * 1024
_MOVE_PURPOSE: Final = "UPDATE purpose SET created_at = created_at + %s::interval"
_MOVE_NOTICE: Final = """
UPDATE notice_publication SET published_at = published_at + by.days, effective_at = effective_at + by.days
  FROM (SELECT %s::interval AS days) by"""
_CLOCKS: Final = {
    "the clock's file is torn": "",
    "the clock's file says no number": "yesterday",
    "the clock says nothing that is a number": "nan",
    "the clock stands at the end of time": "inf",
    "the clock stands beyond the calendar": "1e15",
    "the clock stands before the calendar": "-1e15",
}


def faults() -> Iterator[Fault]:
    """Yield them all."""
    yield Fault("the database refuses connections", _asks_at("postgresql://nobody@127.0.0.1:9/nothing"))
    yield Fault("the database has no socket", _asks_at("postgresql://nobody@/nothing?host=/nowhere"))
    yield Fault("the database is another one", _asks_database("postgres"))
    yield Fault("the database is gone", _asks_database("nothing"))
    yield Fault("the password is another one", _with_another_password)
    yield Fault("the database hangs up at once", _asks_server(b""))
    yield Fault("the database is no database", _asks_server(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    yield Fault("the pool is empty", _pool_is_empty)
    yield Fault("the key folder is another one", _keys_are_others)
    for name, text in _CLOCKS.items():
        yield Fault(name, _clock_says(text))
    yield Fault("the clock's file is a folder", _clock_is_a_folder)
    yield Fault("the clock steps back before everything", _clock_says(str(-400 * 86_400)), is_outage=False)
    yield Fault("the clock steps back before the act", _clock_steps_back_before_the_act)
    yield Fault("the spool is a file", _spool_is_a_file)
    yield Fault("the spool is in a device", _spool_at(Path("/dev/null/spool")))
    yield Fault("the spool is where nobody may write", _spool_at(Path("/proc/spool")))
    yield Fault("the disk of the spool is full", _room_in_the_spool(0))
    yield Fault("the disk of the spool is full in the middle of a line", _room_in_the_spool(10))
    yield Fault("no file can be opened", _no_file_can_be_opened)


def _asks_at(url: str) -> Callable[[Scene], Struck]:
    return lambda scene: scene.instead(url=url)


def _asks_database(name: str) -> Callable[[Scene], Struck]:
    def strike(scene: Scene) -> Struck:
        url = make_url(scene.settings.database_url).set(database=name)
        return scene.instead(url=url.render_as_string(hide_password=False))

    return strike


def _with_another_password(scene: Scene) -> Struck:
    url = make_url(scene.settings.database_url).set(password="another")
    return scene.instead(url=url.render_as_string(hide_password=False))


def _asks_server(words: bytes) -> Callable[[Scene], Struck]:
    """Return what lets something else listen where the database should."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.request.recv(1024)
                self.request.sendall(words)
                self.request.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def strike(scene: Scene) -> Iterator[None]:
        with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                with scene.instead(url=f"postgresql://nobody@127.0.0.1:{server.server_address[1]}/nothing"):
                    yield
            finally:
                server.shutdown()
                thread.join()

    return strike


@contextlib.contextmanager
def _pool_is_empty(scene: Scene) -> Iterator[None]:
    with scene.instead(pool_size=1, max_overflow=0, pool_timeout=0), scene.engines[-1].connect():
        yield


def _keys_are_others(scene: Scene) -> Struck:
    folder = scene.folder / "other_keys"
    if not folder.exists():
        keyring.create_keyring(folder)
    return scene.instead(keyring=keyring.load_keyring(folder))


def _clock_says(text: str) -> Callable[[Scene], Struck]:
    @contextlib.contextmanager
    def strike(scene: Scene) -> Iterator[None]:
        path = scene.folder / "clock"
        path.write_text(text, encoding="ascii")
        os.environ[clock.OFFSET_FILE_VARIABLE] = str(path)
        try:
            yield
        finally:
            del os.environ[clock.OFFSET_FILE_VARIABLE]

    return strike


@contextlib.contextmanager
def _clock_is_a_folder(scene: Scene) -> Iterator[None]:
    os.environ[clock.OFFSET_FILE_VARIABLE] = str(scene.folder)
    try:
        yield
    finally:
        del os.environ[clock.OFFSET_FILE_VARIABLE]


@contextlib.contextmanager
def _clock_steps_back_before_the_act(scene: Scene) -> Iterator[None]:
    """Let the clock stand after the purpose was published and a day before she said yes."""
    for statement in (_MOVE_PURPOSE, _MOVE_NOTICE):
        scene.superuser.execute(statement, ("-30 days",))
    try:
        with _clock_says(str(-86_400))(scene):
            yield
    finally:
        for statement in (_MOVE_PURPOSE, _MOVE_NOTICE):
            scene.superuser.execute(statement, ("30 days",))


def _spool_at(path: Path) -> Callable[[Scene], Struck]:
    return lambda scene: scene.instead(spool=path)


def _spool_is_a_file(scene: Scene) -> Struck:
    path = scene.folder / "file"
    path.touch()
    return scene.instead(spool=path)


def _room_in_the_spool(room: int) -> Callable[[Scene], Struck]:
    """Return what leaves so many bytes of room to the spool, as a full disk does."""

    @contextlib.contextmanager
    def strike(scene: Scene) -> Iterator[None]:
        with scene.instead(spool=scene.folder / "full"):
            scene.asking.spool.append(b"\n" * (_LARGEST_FILE - room))
            with _limited(resource.RLIMIT_FSIZE, _LARGEST_FILE):
                yield

    return strike


@contextlib.contextmanager
def _no_file_can_be_opened(scene: Scene) -> Iterator[None]:
    with scene.instead(), _limited(resource.RLIMIT_NOFILE, 3):
        yield


@contextlib.contextmanager
def _limited(what: int, most: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))
