"""How long a proof takes in a large log, and how fast one comes about: `python -m bench.proving`.

The entries are written past the service, as skeletons that nobody can open; places, heads and proofs are its own.
"""

import http.client
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click
import psycopg

from bench import figures, installation, keeping, machine
from bench.installation import Service
from bench.processes import BenchmarkError
from consent_service import identifiers
from consent_service.audit import published
from consent_service.cli import prepare

PROOFS: Final = 500
CHUNK: Final = 50_000
_SOME: Final = "SELECT entry_id FROM audit.leaf WHERE controller_id = %s AND epoch = 1 AND index = ANY(%s)"


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured: seconds for the whole log; milliseconds for a proof, a call for one, and an empty call."""

    machine: dict[str, str]
    leaves: int
    placed_seconds: float
    signed_seconds: float
    proof_p50_ms: float
    proof_p99_ms: float
    call_p50_ms: float
    call_p99_ms: float
    empty_p50_ms: float
    empty_p99_ms: float
    proof_bytes: int


@click.command()
@click.option("--leaves", type=click.IntRange(1), default=1_000_000, show_default=True, help="How large the log is.")
def main(leaves: int) -> None:
    """Measure the proofs of a large log, each asked for over HTTP, and of the log's key beside."""
    try:
        with tempfile.TemporaryDirectory(prefix="consent-bench-") as name:
            folder = Path(name)
            # PostgreSQL runs as another account where this one is root, and must get to its folder.
            folder.chmod(0o711)
            installation.fill(folder / "data", total=keeping.PEOPLE, say=_say)
            with installation.running(folder / "data", log=folder / "service.log") as service:
                found = measure(service, leaves=leaves)
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from None
    print(json.dumps(asdict(found), indent=2))


def measure(service: Service, *, leaves: int) -> Figures:
    """Fill the log, let the keeper place and sign all of it, and ask for proofs of entries drawn at random."""
    with psycopg.connect(service.url, autocommit=True) as connection:
        keeping.rest(connection, service)
        for done in range(0, leaves, CHUNK):
            keeping.write_skeletons(connection, min(CHUNK, leaves - done))
            _say(f"{min(done + CHUNK, leaves):,} of {leaves:,} entries")
        begun = time.monotonic()
        keeping.wait_for(lambda: keeping.count_waiting(connection) == 0 or None)
        placed = time.monotonic() - begun
        keeping.rest(connection, service)
        signed = time.monotonic() - begun
        drawn = random.Random(1).sample(range(leaves), PROOFS)  # noqa: S311 - which leaves are asked for is no secret
        rows = connection.execute(_SOME, (keeping.company_uuid(connection), drawn)).fetchall()
        described = machine.describe(service.url)
    entries = [identifiers.from_uuid(row[0], "aud") for row in rows]
    proofs = _prove(service, entries)
    calls, size = _time(service, [f"/v1/audit/entries/{entry}/proof" for entry in entries])
    empty, _ = _time(service, ["/v1/audit/vkey"] * len(entries))
    return Figures(
        machine=described,
        leaves=leaves,
        placed_seconds=placed,
        signed_seconds=signed,
        proof_p50_ms=figures.percentile(proofs, 0.5),
        proof_p99_ms=figures.percentile(proofs, 0.99),
        call_p50_ms=figures.percentile(calls, 0.5),
        call_p99_ms=figures.percentile(calls, 0.99),
        empty_p50_ms=figures.percentile(empty, 0.5),
        empty_p99_ms=figures.percentile(empty, 0.99),
        proof_bytes=size,
    )


def _prove(service: Service, entries: list[str]) -> list[float]:
    """Make the proofs in this process, each in a transaction of its own; return milliseconds."""
    database = prepare.open_database(migrator_url=service.url, keys_dir=service.data / "keys")
    times = []
    for entry in [entries[0], *entries]:
        begun = time.perf_counter()
        with database.transaction(service.company.controller_id) as session:
            published.prove(session, entry_id=entry)
        times.append((time.perf_counter() - begun) * 1000)
    database.engine.dispose()
    return times[1:]


def _time(service: Service, paths: list[str]) -> tuple[list[float], int]:
    """Ask for one after the other over one connection; return milliseconds, and the bytes of the longest answer."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    times, longest = [], 0
    for path in [paths[0], *paths]:
        begun = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {service.company.api_key}"})
        answer = connection.getresponse()
        longest = max(longest, len(answer.read()))
        times.append((time.perf_counter() - begun) * 1000)
        if answer.status != http.client.OK:
            raise BenchmarkError(f"{path} was answered with {answer.status}")
    connection.close()
    # The first one also opened connections and read the registry.
    return times[1:], longest


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
