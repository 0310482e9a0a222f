"""The command line of the benchmark."""

import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from bench import closed_loop, comparison, peer
from bench import report as reports
from bench.comparison import Plan
from bench.processes import BenchmarkError
from bench.report import Report
from consent_service.errors import ConsentServiceError

QUICK = "1000,100000"
FULL = "1000,100000,1000000"
FULL_LINES = 1_000_000
QUICK_LINES = 100_000


@click.command()
@click.option("--subjects", default=QUICK, show_default=True, help="How many people, one size after the other.")
@click.option("--full", is_flag=True, help=f"All sizes ({FULL}), longer runs and a stream of a million lines.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="How often each is measured.")
@click.option("--seconds", type=click.IntRange(1), help="How long each run lasts. [5, full: 10]")
@click.option("--lines", type=click.IntRange(1000), help=f"Lines of the stream. [{QUICK_LINES}, full: {FULL_LINES}]")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep databases and the peer's packages here for a later run; else a temporary folder is used and removed.",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures here too."
)
@click.option("--without-peer", is_flag=True, help="Leave the peer out: no Node.js, no npm.")
@click.option("--without-bulk", is_flag=True, help="Leave batches and streams out.")
def main(
    subjects: str,
    rounds: int,
    seconds: int | None,
    lines: int | None,
    folder: Path | None,
    json_file: Path | None,
    *,
    full: bool,
    without_peer: bool,
    without_bulk: bool,
) -> None:
    """Compare the service with an empty route, a bare look-up and a peer on this machine.

    The tables go to standard output, what happens meanwhile to standard error.
    """
    signal.signal(signal.SIGTERM, _end)
    sizes = _sizes(FULL if full else subjects)
    plan = Plan(
        rounds=rounds,
        seconds=seconds or (10 if full else 5),
        lines=lines or (FULL_LINES if full else QUICK_LINES),
        with_peer=not without_peer,
        bulk_at=None if without_bulk else max(sizes),
    )
    report = Report(machine={}, peer={}, rounds=plan.rounds, seconds=plan.seconds)
    if json_file is not None:
        # Better now than after half an hour.
        json_file.touch()
    try:
        closed_loop.demand_wrk(_say)
        with _work_folder(folder) as place:
            _run(place, sizes=sizes, plan=plan, report=report)
    except (BenchmarkError, ConsentServiceError) as error:
        raise click.ClickException(str(error)) from None
    finally:
        # What was measured before something failed, or somebody had waited long enough, is measured all the same.
        print(reports.as_markdown(report), end="")
        if json_file is not None:
            json_file.write_text(reports.as_json(report), encoding="utf-8")


def _run(folder: Path, *, sizes: list[int], plan: Plan, report: Report) -> None:
    if plan.with_peer:
        report.peer = peer.install(folder / "peer")
    for total in sizes:
        comparison.measure(folder, total=total, plan=plan, report=report, say=_say)


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        raise click.UsageError("--subjects takes numbers with commas between them, such as 1000,100000") from None
    if min(sizes) < 1:
        raise click.UsageError("--subjects takes numbers above 0")
    return sizes


@contextlib.contextmanager
def _work_folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen.resolve()
        return
    place = Path(tempfile.mkdtemp(prefix="consent-bench-"))
    try:
        # PostgreSQL runs as another account where this one is root, and must get to its folder.
        place.chmod(0o711)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
