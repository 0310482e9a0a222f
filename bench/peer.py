"""Runs the peer: the npm package @c15t/backend on the same PostgreSQL, set up as its documentation says.

Its packages are installed into a folder of the benchmark's and never into this repository. A few consents are written
through its own API; the rest are copies of those rows with other ids and times, made inside the database.
"""

import contextlib
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from bench import processes
from bench.processes import BenchmarkError
from consent_service.db import embedded
from consent_service.db.embedded import EmbeddedPostgres

SOURCE: Final = Path(__file__).parent / "node"
AS_SHIPPED: Final = "peer_as_shipped"
WITH_INDEXES: Final = "peer_with_indexes"
#: What a check asks about, and two more of the types that the package knows.
TYPE: Final = "marketing_communications"
TYPES: Final = (TYPE, "age_verification", "other")
INDEXES: Final = (
    'CREATE INDEX added_by_hand_1 ON subject ("externalId")',
    'CREATE INDEX added_by_hand_2 ON consent ("subjectId")',
)
#: Its ids are words in base58, which has neither 0 nor l.
_TEMPLATE: Final = "sub_TEMPLATE"
_COPY_SUBJECTS: Final = """
    INSERT INTO subject (id, "externalId", "identityProvider", "createdAt", "updatedAt", "tenantId")
    SELECT 'sub_' || translate(md5('subject' || number), '0', 'z'), 'customer' || number, "identityProvider",
        "createdAt" - number * interval '30 seconds', "updatedAt" - number * interval '30 seconds', "tenantId"
    FROM subject, generate_series(0, %s) AS number WHERE id = %s
"""
_COPY_CONSENTS: Final = """
    INSERT INTO consent (id, "subjectId", "givenAt", {columns})
    SELECT 'cns_' || substr(md5(id || number), 1, 26), 'sub_' || translate(md5('subject' || number), '0', 'z'),
        "givenAt" - number * interval '30 seconds', {columns}
    FROM generate_series(0, %s) AS number, consent WHERE "subjectId" = %s ORDER BY number
"""
_UNFINISHED: Final = "peer_unfinished"


@dataclass(frozen=True, slots=True)
class Peer:
    """A running peer."""

    port: int
    pid: int

    def write(self, subject: str, *, external_id: str, granted: bool, at: float, kind: str = TYPE) -> int:
        """Write a choice through its API and return the status."""
        body = {
            "type": kind,
            "subjectId": subject,
            "externalSubjectId": external_id,
            "identityProvider": "crm",
            "domain": "nordlys.example",
            "preferences": {"marketing": granted},
            "givenAt": int(at * 1000),
        }
        return call(self.port, "/subjects", body)[0]

    def check(self, external_id: str) -> tuple[int, Any]:
        """Ask for the consents of a person."""
        return call(self.port, f"/consents/check?externalId={external_id}&type={TYPE}")


def call(port: int, path: str, body: object = None) -> tuple[int, Any]:
    """Call the peer and return status and answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/c15t{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - loopback.
        return answer.status, json.loads(answer.read())


def install(folder: Path) -> dict[str, str]:
    """Install the packages into the folder unless they are there, and return their versions."""
    if shutil.which("npm") is None:
        raise BenchmarkError("the peer needs Node.js with npm; install them, or leave it out with --without-peer")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (SOURCE / "package.json").read_bytes()
    is_there = (folder / "package.json").exists() and (folder / "package.json").read_bytes() == wanted
    shutil.copy(SOURCE / "server.mjs", folder)
    if not is_there or not (folder / "node_modules" / "pg").exists():
        shutil.copy(SOURCE / "package.json", folder)
        words = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchmarkError(f"npm could not install the peer:\n{done.stderr[-2000:]}")
    names: list[str] = list(json.loads(wanted)["dependencies"])
    return {name: _version(folder, name) for name in names}


def prepare(server: EmbeddedPostgres, folder: Path, *, people: int) -> float:
    """Make both databases of the peer where they are missing, with everybody in them; return the seconds it took."""
    begun = time.monotonic()
    if _exists(server, WITH_INDEXES):
        return 0.0
    for name in (_UNFINISHED, AS_SHIPPED):
        _drop(server, name)
    embedded.create_database(server, AS_SHIPPED)
    environment = _environment(server, AS_SHIPPED)
    words = ["node", "server.mjs", "migrate"]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"the peer's migration failed:\n{done.stderr[-2000:]}")
    with running(server, folder, database=AS_SHIPPED, workers=1, log=folder / "prepare.log") as peer:
        for kind in TYPES:
            peer.write(_TEMPLATE, external_id="template", granted=True, at=time.time() - 86_400, kind=kind)
    _multiply(server.superuser_url(AS_SHIPPED), people)
    with psycopg.connect(server.superuser_url(), autocommit=True) as connection:
        made = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        connection.execute(made.format(sql.Identifier(_UNFINISHED), sql.Identifier(AS_SHIPPED)))
    with psycopg.connect(server.superuser_url(_UNFINISHED), autocommit=True) as connection:
        for statement in INDEXES:
            connection.execute(statement.encode())
        connection.execute("VACUUM (ANALYZE)")
    with psycopg.connect(server.superuser_url(), autocommit=True) as connection:
        renamed = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        connection.execute(renamed.format(sql.Identifier(_UNFINISHED), sql.Identifier(WITH_INDEXES)))
    return time.monotonic() - begun


@contextlib.contextmanager
def running(server: EmbeddedPostgres, folder: Path, *, database: str, workers: int, log: Path) -> Iterator[Peer]:
    """Serve one of the peer's databases on loopback with as many Node processes as the service has workers.

    They share one port through Node's cluster module, so every connection belongs to one process.
    """
    port = processes.free_port()
    words = ["node", "server.mjs", "serve", str(port), str(workers)]
    with processes.running(
        words,
        environment=_environment(server, database) | {"NODE_ENV": "production"},
        folder=folder,
        log=log,
        ready=(port, "/api/c15t/status"),
    ) as pid:
        yield Peer(port, pid)


def _multiply(url: str, people: int) -> None:
    """Copy the rows that the peer wrote itself, three consents for each person."""
    with psycopg.connect(url) as connection:
        connection.execute(_COPY_SUBJECTS.encode(), [people - 1, _TEMPLATE])
        names = [
            row[0]
            for row in connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public'"
                " AND table_name = 'consent' AND column_name NOT IN ('id', 'subjectId', 'givenAt')"
                " ORDER BY ordinal_position"
            )
        ]
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        copied = sql.SQL(_COPY_CONSENTS)
        connection.execute(copied.format(columns=columns), [people - 1, _TEMPLATE])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")


def _environment(server: EmbeddedPostgres, database: str) -> dict[str, str]:
    return processes.service_environment(
        {
            "PGHOST": str(server.socket_dir),
            "PGDATABASE": database,
            "PGUSER": "postgres",
            "PGPASSWORD": server.password,
        }
    )


def _exists(server: EmbeddedPostgres, database: str) -> bool:
    with psycopg.connect(server.superuser_url()) as connection:
        return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone() is not None


def _drop(server: EmbeddedPostgres, database: str) -> None:
    with psycopg.connect(server.superuser_url(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(database)))


def _version(folder: Path, name: str) -> str:
    document = json.loads((folder / "node_modules" / name / "package.json").read_text(encoding="utf-8"))
    return str(document["version"])
