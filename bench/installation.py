"""One service installation with its people: made once in a folder, found again by later runs."""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import dataset, people, processes, world
from bench.dataset import Job
from bench.processes import BenchmarkError
from bench.world import World
from consent_service.cli import prepare, up
from consent_service.crypto import keyring
from consent_service.db import embedded
from consent_service.db.embedded import EmbeddedPostgres
from consent_service.db.session import Database, make_engine

FILLED: Final = "filled.json"
SENDER: Final = "samtykke@consent.example"


@dataclass(frozen=True, slots=True)
class Service:
    """The running service and the PostgreSQL that all contenders share."""

    data: Path
    port: int
    pid: int
    company: World
    postgres: EmbeddedPostgres = field(repr=False)

    @property
    def url(self) -> str:
        """Return the superuser's URL of the service's database."""
        return self.postgres.superuser_url(up.DATABASE)

    def web_processes(self) -> set[int]:
        """Return the processes of the web server: the one that runs granian, and all that descend from it."""
        return self._family("granian")

    def database_processes(self) -> set[int]:
        """Return PostgreSQL's processes, which serve all contenders."""
        return self._family("postgres -D")

    def _family(self, word: str) -> set[int]:
        roots = {pid for pid, line in processes.descendants(self.pid).items() if word in line}
        return roots.union(*(processes.descendants(pid) for pid in roots))

    def settle(self) -> float:
        """Wait until everything that was asked for is worked off; return the seconds that took."""
        return processes.settle(self.url, spool=self.data / "spool")


def fill(data: Path, *, total: int, say: Callable[[str], None]) -> float:
    """Make the installation with so many people unless it is there; return the seconds that took.

    PostgreSQL runs without fsync while rows are copied, and never while anything is measured.
    """
    if total > people.MOST:
        raise BenchmarkError(
            f"at most {people.MOST:,} people: beyond that the load generator's arithmetic is not exact"
        )
    if (data / FILLED).exists():
        _demand_same_migrations(data)
        return 0.0
    if data.exists() and any(data.iterdir()):
        raise BenchmarkError(f"{data} holds a load that did not end; remove it and start again")
    data.mkdir(parents=True, mode=0o700)
    begun = time.monotonic()
    with embedded.running(data / "postgres", durable=False) as url:
        server = embedded.find_running(data / "postgres")
        assert server is not None  # noqa: S101 - it runs in this very block.
        embedded.create_database(server, up.DATABASE)
        prepared = prepare.prepare(
            migrator_url=server.superuser_url(up.DATABASE),
            data_dir=data,
            keys_dir=data / "keys",
            demo=False,
            public_url="http://127.0.0.1:8000",
        )
        app_url = prepared.environment[prepare.APP_URL]
        engine = make_engine(app_url)
        company = world.make(Database(engine, keyring.load_keyring(data / "keys")), folder=data)
        engine.dispose()
        job = Job(
            superuser_url=server.superuser_url(up.DATABASE),
            app_url=app_url,
            keys_dir=data / "keys",
            company=company,
            total=total,
            first=0,
            beyond=total,
        )
        dataset.fill(job, say=say)
        del url
    seconds = time.monotonic() - begun
    (data / FILLED).write_text(json.dumps({"people": total, "migrations": _migrations()}), encoding="utf-8")
    return seconds


def _demand_same_migrations(data: Path) -> None:
    """Raise BenchmarkError where a migration that made this database says something else by now; new ones may come."""
    loaded: dict[str, str] = json.loads((data / FILLED).read_text(encoding="utf-8")).get("migrations", {})
    now = _migrations()
    changed = sorted(name for name, digest in loaded.items() if now.get(name) != digest)
    if changed or not loaded:
        names = ", ".join(changed) or "the migrations"
        raise BenchmarkError(f"{data} was made before {names} changed; remove it and start again")


def _migrations() -> dict[str, str]:
    """Return the numbered migrations of this checkout with a digest of each."""
    folder = Path(processes.CHECKOUT) / "migrations" / "versions"
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("[0-9]*.py"))}


@contextlib.contextmanager
def running(data: Path, *, log: Path) -> Iterator[Service]:
    """Run the service by its own command while the block lasts."""
    company = world.find(data)
    if company is None:
        raise BenchmarkError(f"{data} holds no installation of the benchmark")
    port = processes.free_port()
    with processes.running(
        processes.service_words(data, port=port),
        environment=processes.service_environment({"MAIL_SENDER": SENDER}),
        folder=processes.CHECKOUT,
        log=log,
        ready=(port, "/health/ready"),
    ) as pid:
        postgres = embedded.find_running(data / "postgres")
        if postgres is None:
            raise BenchmarkError("the service runs and its PostgreSQL does not answer")
        yield Service(data=data, port=port, pid=pid, company=company, postgres=postgres)
