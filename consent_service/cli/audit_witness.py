"""`consent audit witness`: watches logs for somebody else than who keeps them, and cosigns what it saw."""

import signal
import threading
from pathlib import Path

import click
import structlog

from consent_service.audit import witness_state, witnessing
from consent_service.audit.witnessing import Witness
from consent_service.cli.witness_server import WitnessServer
from consent_service.errors import ServiceStartError
from consent_service.web import logs

_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}

_log = structlog.get_logger(__name__)


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Its key and its memory; made at the first start.",
)
@click.option("--name", required=True, metavar="NAME", help="Its name, such as witness.example.no/sister.")
@click.option("--log", "vkeys", required=True, multiple=True, metavar="VKEY", help="A log to watch; may be repeated.")
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="Where it listens; 0 is any free port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="On which address it listens.")
def witness(*, folder: Path, name: str, vkeys: tuple[str, ...], port: int, host: str) -> None:
    """Cosign the checkpoints of logs as long as each continues what was seen before, until SIGTERM.

    Needs no database and none of the service's settings. Prints the witness's own key: whoever is to believe the
    witness puts it into a policy (docs/witness.md).
    """
    logs.configure()
    # A handler could interrupt the thread that it has to wake, so signals are waited for instead.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    watched = witnessing.watch(vkeys)
    cosigner = witness_state.open_cosigner(folder, name=name)
    try:
        server = WitnessServer((host, port), Witness(cosigner, folder, watched))
    except OSError as error:
        raise ServiceStartError(f"the witness cannot listen on {host}:{port}: {error.strerror}") from None
    thread = threading.Thread(target=server.serve_forever, name="witness")
    thread.start()
    click.echo(f"vkey {cosigner.vkey}")
    for origin in watched:
        click.echo(f"watches {origin}")
    click.echo(f"listens on {server.url}")
    signal.sigwait(_STOP_SIGNALS)
    server.shutdown()
    thread.join()
    server.server_close()
    _log.info("witness_stopped")
