"""Serves the two bare Flask routes by the service's own web server, as it serves any Flask application."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench import processes
from bench.installation import Service
from consent_service import identifiers
from consent_service.cli import up
from consent_service.cli.up import Launch


def words(port: int) -> tuple[str, ...]:
    """Return the service's own command line of its web server, with Flask in it: WSGI, one blocking thread a worker."""
    launch = Launch(host="127.0.0.1", port=port, public_url="", keys_dir=Path(), database_url=None, binaries=None)
    # The settings that are compared are these and no copy of them.
    own = list(up._web(launch, {}).arguments[:-1])  # noqa: SLF001
    for name, value in (("--interface", "wsgi"), ("--blocking-threads", "1")):
        if name in own:
            own[own.index(name) + 1] = value
        else:
            own += [name, value]
    return (*(word for word in own if word != "--factory"), "bench.flask_routes:app")


def workers() -> int:
    """Return how many worker processes the service has."""
    line = words(0)
    return int(line[line.index("--workers") + 1])


@contextlib.contextmanager
def running(service: Service, *, log: Path) -> Iterator[tuple[int, int]]:
    """Serve the routes while the block lasts and yield port and process id."""
    port = processes.free_port()
    company = service.company
    environment = {
        "PYTHONPATH": processes.CHECKOUT,
        "BENCH_DATABASE": service.url,
        "BENCH_CONTROLLER": str(identifiers.to_uuid(company.controller_id, "ctl")),
        "BENCH_PURPOSE": str(identifiers.to_uuid(company.purpose_ids["newsletter"], "pur")),
    }
    with processes.running(
        words(port),
        environment=processes.service_environment(environment),
        folder=processes.CHECKOUT,
        log=log,
        ready=(port, "/empty"),
    ) as pid:
        yield port, pid
