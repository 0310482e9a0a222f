"""`consent up`: from an empty folder to a running service, and back to no process at all."""

import contextlib
import http.client
import os
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click
from environs import Env

from consent_service.cli import addresses, data_folder
from consent_service.cli import prepare as preparation
from consent_service.cli.data_folder import DataFolder
from consent_service.cli.supervisor import Supervisor
from consent_service.db import embedded
from consent_service.db.programs import Program
from consent_service.errors import ServiceStartError

CHECKOUT = Path(__file__).parents[2]
DATABASE = "consent"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - asked for by the operator, never a default.
MOST_WEB_WORKERS = 4
READY_WITHIN = 120.0
DEMO_SENDER = "samtykke@consent.example"
# Requests get the time to end; a worker that hangs does not hold up the stop for ever.
DRAIN_SECONDS = 25
# The migrator's login opens everything; web and worker have logins of their own.
KEPT_FROM_CHILDREN = frozenset({"DATABASE_URL"})
OTHERS_LOGINS = frozenset({preparation.WORKER_URL, preparation.RETENTION_URL})
# One process alone places and signs, and it can open nothing.
KEEPERS = frozenset({preparation.SEQUENCER_URL, preparation.LOG_KEYS})
OPENERS = OTHERS_LOGINS | {preparation.APP_URL, "CONSENT_KEYS"}
# It sends nothing either.
SENDERS = frozenset({"MAIL_USERNAME", "MAIL_PASSWORD", "SMS_GATEWAY_TOKEN"})


@dataclass(frozen=True, slots=True)
class Launch:
    """What `consent up` was asked for, by options and environment."""

    host: str
    port: int
    public_url: str
    keys_dir: Path
    database_url: str | None = field(repr=False)
    binaries: Path | None


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Port of the web server.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the web server.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var"),
    show_default=True,
    help="Folder of database, keys and logs.",
)
@click.option("--demo", is_flag=True, help="Run the demo world: invented shops, mails in a folder, loopback only.")
def command(port: int, host: str, data: Path, *, demo: bool) -> None:
    """Start the service and everything it needs; Ctrl-C stops all of it."""
    if demo and host not in LOOPBACK:
        raise ServiceStartError("a demo listens on loopback only: leave --host out")
    if not demo and not os.environ.get("MAIL_SENDER"):
        raise ServiceStartError("no sender for mails: set MAIL_SENDER to an address, or try the service with --demo")
    with data_folder.held(data, demo=demo) as folder:
        launch = _read_launch(folder, host=host, port=port)
        try:
            with (
                contextlib.ExitStack() as afterwards,
                Supervisor(log_dir=folder.log, run_dir=folder.run, say=_say) as supervisor,
            ):
                _start(supervisor, folder, launch, afterwards=afterwards)
                _say(addresses.describe(folder, public_url=launch.public_url))
                supervisor.keep_running()
                _say("Stopping …")
        except KeyboardInterrupt:
            _say("Stopped before the service was ready.")


def _read_launch(folder: DataFolder, *, host: str, port: int) -> Launch:
    env = Env()
    return Launch(
        host=host,
        port=port,
        public_url=env.str("PUBLIC_URL", default="") or f"http://127.0.0.1:{port}",
        keys_dir=env.path("CONSENT_KEYS", default=None) or folder.keys,
        database_url=env.str("DATABASE_URL", default="") or None,
        binaries=env.path("CONSENT_PG_BIN", default=None),
    )


def _start(supervisor: Supervisor, folder: DataFolder, launch: Launch, *, afterwards: contextlib.ExitStack) -> None:
    """Start everything in the order in which it is needed, and return when the web server answers."""
    _refuse_taken_port(launch)
    migrator_url = launch.database_url or _start_database(supervisor, folder, launch, afterwards=afterwards)
    prepared = preparation.prepare(
        migrator_url=migrator_url,
        data_dir=folder.path,
        keys_dir=launch.keys_dir,
        demo=folder.is_demo,
        public_url=launch.public_url,
    )
    environment = _environment(folder) | dict(prepared.environment)
    if folder.is_demo:
        mail_port = _free_port()
        supervisor.start(_mail_sink(folder, _without(environment, OPENERS | KEEPERS), port=mail_port))
        environment |= {"MAIL_SERVER": "127.0.0.1", "MAIL_PORT": str(mail_port)}
    supervisor.start(_program("worker", ("consent_service.cli.main", "worker"), _without(environment, KEEPERS)))
    # Whoever breaks into the web server finds no login there that could send, sweep, delete or sign.
    supervisor.start(_web(launch, _without(environment, OTHERS_LOGINS | KEEPERS)))
    supervisor.wait_until(lambda: _is_ready(launch), seconds=READY_WITHIN)
    # Consents and withdrawals do not wait for the log: where its key is wrong they go on, and their entries wait.
    keeper = _without(environment, OPENERS | SENDERS)
    supervisor.start(_program("log-keeper", ("consent_service.cli.main", "log-keeper"), keeper))


def _start_database(
    supervisor: Supervisor, folder: DataFolder, launch: Launch, *, afterwards: contextlib.ExitStack
) -> str:
    """Start the embedded PostgreSQL and return the URL of the service's database on it."""
    server = embedded.prepare(folder.postgres, binaries=launch.binaries)
    embedded.end_leftover(server)
    afterwards.callback(embedded.remove_socket_dir, server)
    program = embedded.command(server)
    supervisor.start(program)
    embedded.wait_ready(server, still_runs=lambda: supervisor.runs(program.name))
    embedded.create_database(server, DATABASE)
    return server.superuser_url(DATABASE)


def _environment(folder: DataFolder) -> dict[str, str]:
    """Return what web and worker inherit from this process and from this start."""
    metrics = folder.run / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir(mode=0o700)
    inherited = {name: value for name, value in os.environ.items() if name not in KEPT_FROM_CHILDREN}
    environment = inherited | {"PYTHONPATH": str(CHECKOUT), "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    if not folder.is_demo:
        return environment
    # Whatever mail server and gateway the shell names, a demo's mails and SMS stay in its folder.
    alone = {name: value for name, value in environment.items() if not name.startswith(("MAIL_", "SMS_"))}
    return alone | {"MAIL_SENDER": DEMO_SENDER}


def _without(environment: Mapping[str, str], names: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in names}


def _program(name: str, words: tuple[str, ...], environment: Mapping[str, str]) -> Program:
    return Program(
        name=name, arguments=(sys.executable, "-m", *words), environment=environment, folder=CHECKOUT, stop_seconds=30.0
    )


def _mail_sink(folder: DataFolder, environment: Mapping[str, str], *, port: int) -> Program:
    words = ("consent_service.cli.main", "mail-sink", "--port", str(port), "--folder", str(folder.mail))
    return _program("mail-sink", words, environment)


def _web(launch: Launch, environment: Mapping[str, str]) -> Program:
    workers = max(1, min(MOST_WEB_WORKERS, os.cpu_count() or 1))
    options = {
        "--interface": "rsgi",
        "--workers": str(workers),
        "--workers-kill-timeout": str(DRAIN_SECONDS),
        "--host": launch.host,
        "--port": str(launch.port),
    }
    words = (word for option in options.items() for word in option)
    return _program(
        "web",
        ("granian", *words, "--no-ws", "--respawn-failed-workers", "--factory", "consent_service.server:create"),
        environment,
    )


def _refuse_taken_port(launch: Launch) -> None:
    """Raise ServiceStartError when something listens already: two servers can share a port without either noticing."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(launch.host, launch.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind(place)
            attempt.listen(1)
    except OSError as error:
        raise ServiceStartError(
            f"the web server cannot listen on {launch.host} port {launch.port}: {error.strerror}; "
            "name another port with --port"
        ) from None


def _free_port() -> int:
    with socket.socket() as attempt:
        attempt.bind(("127.0.0.1", 0))
        port: int = attempt.getsockname()[1]
    return port


def _is_ready(launch: Launch) -> bool:
    host = "127.0.0.1" if launch.host in ANY_ADDRESS else launch.host
    connection = http.client.HTTPConnection(host, launch.port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _say(line: str) -> None:
    click.echo(line)
