"""Measures verify.py as a stranger runs it: on a bundle of many entries, in a process of its own."""

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from bench.processes import BenchmarkError
from consent_service.audit import standalone_verifier
from tests import bundles
from tests.bundles import ORIGIN, Signer, Writer

ENTRIES = 1_000_000
#: How many entries one person has.
ENTRIES_A_PERSON = 4
MEBIBYTE = 1024
#: How much may go wrong before the figure is worth nothing.
MOST_SECONDS = 60.0
MOST_MEBIBYTES = 200.0


@dataclass(frozen=True, slots=True)
class Used:
    """What a run took: seconds, seconds of a processor, and its largest resident memory in MiB."""

    seconds: float
    processor: float
    mebibytes: float


@click.command()
@click.option("--entries", type=click.IntRange(1), default=ENTRIES, show_default=True, help="How many the log has.")
@click.option("--a-person", type=click.IntRange(1), default=ENTRIES_A_PERSON, show_default=True, help="In one stream.")
@click.option("--rounds", type=click.IntRange(1), default=1, show_default=True, help="How often it is measured.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the bundle here for a later run; else a temporary folder is used and removed.",
)
@click.option("--zip", "is_zip", is_flag=True, help="Verify it as a zip.")
def main(entries: int, a_person: int, rounds: int, folder: Path | None, *, is_zip: bool) -> None:
    """Make a bundle with openings of all its entries, verify it, and print time and memory.

    Ends with 1 where it takes longer than a minute or more than 200 MiB.
    """
    with tempfile.TemporaryDirectory(prefix="consent-bench-") as scratch:
        place = folder or Path(scratch)
        bundle = place / f"bundle-{entries}-{a_person}"
        if not bundle.exists():
            # In a process of its own: what starts another passes its own largest memory on to it.
            maker = multiprocessing.get_context("spawn").Process(
                target=make_bundle, args=(bundle,), kwargs={"entries": entries, "streams": -(-entries // a_person)}
            )
            maker.start()
            maker.join()
        packed = place / f"{bundle.name}.zip"
        if is_zip and not packed.exists():
            bundles.as_zip(bundle, packed)
        kind = "zip" if is_zip else "folder"
        print(f"| verify.py, {entries:,} entries, {kind} | seconds | of a processor | MiB |\n|---|---|---|---|")
        measured = [measure(bundle / "verify.py", packed if is_zip else bundle) for _ in range(rounds)]
    for number, used in enumerate(measured, 1):
        print(f"| round {number} | {used.seconds:.1f} | {used.processor:.1f} | {used.mebibytes:.0f} |")
    if any(used.seconds > MOST_SECONDS or used.mebibytes > MOST_MEBIBYTES for used in measured):
        raise click.ClickException(f"more than {MOST_SECONDS:.0f} s or {MOST_MEBIBYTES:.0f} MiB")


def make_bundle(folder: Path, *, entries: int, streams: int) -> None:
    """Write a bundle with all tiles and all openings, in a place of its own until it is whole."""
    begun = folder.with_suffix(".part")
    place = begun / "log/e1"
    (place / "checkpoints").mkdir(parents=True)
    signer = Signer(ORIGIN)
    with (begun / "openings.jsonl").open("w", encoding="utf-8") as file:

        def leaves() -> Iterator[bytes]:
            writer = Writer()
            for number in range(entries):
                # People come back at different times: no two entries of one stand side by side.
                person = number * 7919 % streams
                entry = writer.entry(
                    f"subject:{bundles.entry_id(person).replace('aud_', 'sub_')}",
                    consent=bundles.entry_id(number).replace("aud_", "con_"),
                    subject=bundles.entry_id(person).replace("aud_", "sub_"),
                    purpose="newsletter",
                    channel="email",
                    notice=bundles.entry_id(number % 50).replace("aud_", "ntc_"),
                    evidence_grade="confirmed",
                )
                file.write(f"{entry.opening}\n")
                yield entry.leaf

        hashes = bundles.write_tiles(place / "tile", leaves())
    (place / "vkey.txt").write_text(f"{signer.vkey}\n", "utf-8")
    (place / "checkpoint").write_text(bundles.checkpoint(ORIGIN, hashes, signer), "utf-8")
    for tenth in range(1, 10):
        kept = bundles.checkpoint(ORIGIN, hashes[: len(hashes) * tenth // 10], signer)
        (place / "checkpoints" / f"2026-05-{tenth:02}.txt").write_text(kept, "utf-8")
    (begun / "verify.py").write_text(standalone_verifier.program(), "utf-8")
    begun.rename(folder)


def measure(program: Path, bundle: Path) -> Used:
    """Verify a bundle and return what that took; raises BenchmarkError where it does not verify."""
    begun = time.perf_counter()
    # Only who waits for a process is told what it used; Popen would wait itself.
    arguments = [sys.executable, "-I", "-S", str(program), str(bundle), "--vkey", Signer(ORIGIN).vkey]
    process = os.posix_spawn(sys.executable, arguments, dict(os.environ))
    _, status, used = os.wait4(process, 0)
    seconds = time.perf_counter() - begun
    if os.waitstatus_to_exitcode(status) != 0:
        raise BenchmarkError(f"verify.py ended with {os.waitstatus_to_exitcode(status)}")
    return Used(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / MEBIBYTE)


if __name__ == "__main__":
    main()
