"""A PostgreSQL that a test may stop at once, start again, and put back to an earlier state."""

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from consent_service.crypto.keyring import Keyring
from consent_service.db import embedded
from consent_service.db.embedded import EmbeddedPostgres
from tests.conftest import Cluster


@dataclass
class OwnServer:
    """A cluster in a folder of its own; durable, so that what it acknowledged survives an immediate stop."""

    postgres: EmbeddedPostgres
    folder: Path
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def cluster(self) -> Cluster:
        """Return the database on it, as other tests know theirs."""
        return Cluster(self.postgres.superuser_url())

    def start(self) -> None:
        """Start it and wait until it answers; after an immediate stop it recovers first."""
        program = embedded.command(self.postgres)
        with (self.folder / "server.log").open("ab") as log:
            process = subprocess.Popen(
                program.leashed(),
                cwd=program.folder,
                env=program.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        embedded.wait_ready(self.postgres, still_runs=lambda: process.poll() is None)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it; SIGQUIT is what `pg_ctl stop -m immediate` sends: no buffer is written, nobody is waited for."""
        while self._processes:
            process = self._processes.pop()
            process.send_signal(how)
            process.wait()

    def back_up(self, name: str) -> Path:
        """Copy the files of the stopped cluster, and start it again."""
        target = self.folder / name
        self.stop()
        _copy(self.postgres.data_dir, target)
        self.start()
        return target

    def put_back(self, backup: Path) -> None:
        """Let the cluster be again what it was at a backup."""
        self.stop()
        shutil.rmtree(self.postgres.data_dir)
        _copy(backup, self.postgres.data_dir)
        self.start()


@contextlib.contextmanager
def running(folder: Path, keyring: Keyring) -> Iterator[OwnServer]:
    """Run a server with a migrated database while the block lasts."""
    folder.mkdir()
    server = OwnServer(embedded.prepare(folder / "postgres"), folder)
    server.start()
    try:
        server.cluster.prepare()
        server.cluster.record_keys(keyring)
        yield server
    finally:
        server.stop()
        embedded.remove_socket_dir(server.postgres)


def _copy(source: Path, target: Path) -> None:
    # The data belongs to the account that PostgreSQL runs as, and stays its own.
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)  # noqa: S607 - a tool of every system
