"""Verifies a bundle of an audit log by itself: no network, no database, nothing but Python 3.11 or newer.

    python3 verify.py [FOLDER|ZIP] [--vkey VKEY]… [--checkpoint FILE]… [--witness VKEY]… [--quorum N] [--json]

It tells four things apart, for each epoch of the log (a database restored from a backup begins a new epoch, whose first
entry says for ever what was lost):

1. signatures: the log's key signed each checkpoint (size and root of a tree). The key inside a bundle was put there by
   whoever made the bundle, so give the one you know from elsewhere with --vkey.
2. append-only: the tree is hashed anew from the entries (RFC 6962 §2.1) and has the root of the newest checkpoint and
   of each kept one, those you kept yourself (--checkpoint) too. A bundle about one person holds proofs of that instead.
3. gaps: an opened entry names its stream, its number there and the commitment of the entry before it.
4. payloads: what is opened is what was committed to. Which others were erased, or not supplied, is the bundle's word.
   Where there are papers in evidence/, what they say was shown and answered is what the opened entries commit to.

Not proved: that what was logged was true; that everything was logged; and that nobody was shown another log, unless
witnesses whose keys you give (--witness) saw this one. Only log/, openings.jsonl and evidence/ are looked at: hold
index.html and receipts/ against evidence/. Whoever made the bundle put this program into it too: run a copy of yours.
Ends with 0 where all is well, 1 where nothing could be verified, 2 for wrong options, 3 where verification failed.
"""

import argparse
import contextlib
import json
import re
import sys
import time
import zipfile
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from consent_service.audit.standalone_verifier.bundles import Bundle
from consent_service.audit.standalone_verifier.entries import Epoch
from consent_service.audit.standalone_verifier.findings import ASPECTS
from consent_service.audit.standalone_verifier.signatures import (
    LOG,
    WITNESS,
    FindingError,
    Head,
    Key,
    read_head,
    read_key,
)
from consent_service.audit.standalone_verifier.verification import Audit

OK: Final = 0
ERROR: Final = 1
FAILED: Final = 3
COUNTS: Final = ("signed", "agreed", "unproved", "lost", "proofs", "opened", "erased", "not_supplied")


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; ends the program with 2 where it is wrong."""
    parser = argparse.ArgumentParser(prog="verify.py", description="Verify a bundle of an audit log, offline.")
    add, here = parser.add_argument, Path(__file__).resolve().parent
    add("bundle", nargs="?", type=Path, default=here, help="folder or zip [where this program lies]")
    add("--vkey", type=_key, action="append", default=[], help="the log's key as you know it, or a file that holds it")
    add("--checkpoint", type=Path, action="append", default=[], help="a checkpoint that you kept")
    add("--witness", type=_key, action="append", default=[], help="a witness's key, or a file that holds it")
    add("--quorum", type=int, help="how many of the witnesses must have cosigned [all]")
    add("--json", action="store_true", help="write the result as JSON")
    chosen = parser.parse_args(arguments)
    chosen.quorum = len(chosen.witness) if chosen.quorum is None else chosen.quorum
    if any(key.kind != LOG for key in chosen.vkey) or any(key.kind != WITNESS for key in chosen.witness):
        parser.error("--vkey takes the key of a log, and --witness the key of a witness")
    if not min(1, len(chosen.witness)) <= chosen.quorum <= len(chosen.witness):
        parser.error("--quorum is at least 1 and at most the number of --witness")
    return chosen


def _key(text: str) -> Key:
    with contextlib.suppress(OSError):
        text = Path(text).read_text("utf-8").strip()
    try:
        return read_key(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("this is no verifier key, and no file that holds one") from error


def kept_checkpoint(path: Path) -> Head:
    """Read a checkpoint that was kept outside; raises OSError or FindingError."""
    return read_head(str(path), path.read_bytes())


def result(audit: Audit, *, is_pinned: bool) -> dict[str, Any]:
    """Return what was found, as it is written with --json."""
    return {
        "verified": not audit.findings.failed,
        "key_pinned": is_pinned,
        "epochs": [_epoch(audit, epoch) for epoch in audit.epochs],
        "gaps": audit.entries.gaps,
        "witnessed": audit.witnessed,
        "out_of_order": audit.entries.streams.out_of_order,
        "papers": {"proved": audit.entries.papers.proved, "unproved": audit.entries.papers.unproved},
        "findings": audit.findings.shown,
        "findings_by_name": dict(audit.findings.names),
    }


def _epoch(audit: Audit, epoch: Epoch) -> dict[str, Any]:
    root = b64encode(epoch.newest.root).decode()
    told = {"epoch": epoch.number, "origin": epoch.newest.origin, "size": epoch.newest.size, "root": root}
    counts = {name: epoch.counts[name] for name in COUNTS}
    parts = {part: not audit.findings.failed[epoch.number, part] for part in ASPECTS}
    return {**told, "keys": [str(key) for key in epoch.keys], **counts, **parts}


def say(told: dict[str, Any]) -> None:
    """Print a result for people."""
    if not told["key_pinned"]:
        _print("THE KEY WAS NOT PINNED. Whoever made this bundle chose the key in it, so its signatures only show that")
        _print("the bundle agrees with itself. Get the log's key from elsewhere and give it with --vkey.")
        print()
    for each in told["epochs"]:
        _say_epoch(each)
    for each in told["gaps"]:
        _say_gap(each["entry"], each["gap"])
    if told["witnessed"]:
        by = ", ".join(f"{name} at {_time(at)}" for name, at in told["witnessed"]["by"].items())
        _print(f"Witnessed up to {told['witnessed']['size']:,} leaves by {by}.")
    _say_papers(told["papers"])
    if told["out_of_order"]:
        _print(f"{told['out_of_order']:,} entries stand in the tree before the one that they follow in their stream.")
    findings = sorted(told["findings"], key=_by_row)
    for number, found in enumerate(findings):
        which = "Also" if number else "First bad row"
        place = "".join(f", {name} {found[name]}" for name in ("index", "entry") if found[name] is not None)
        _print(f"{which}: epoch {found['epoch']}{place}: {found['name']}: {found['says']}")
    if findings:
        _print("Found: " + ", ".join(f"{count:,} x {name}" for name, count in told["findings_by_name"].items()))
    if told["verified"] and not told["key_pinned"]:
        _print("It agrees with itself. WHO SIGNED IT WAS NOT VERIFIED.")
    else:
        _print("VERIFIED." if told["verified"] else "NOT VERIFIED.")


def _say_gap(entry: str, gap: dict[str, Any]) -> None:
    _print(f"GAP: {gap['log']} was signed with {gap['size']:,} leaves, and recovered with {gap['kept']:,}:")
    _print(f"  {max(0, gap['size'] - gap['kept']):,} are lost, from index {gap['kept']} on")
    _print(f"  {entry}: {json.dumps(gap)}")
    if gap.get("is_prefix") is False:
        _print("  Nothing proves of those that were kept that they had been signed.")
    for whole in gap.get("later", ()):
        _print(f"  {whole['log']}, signed with {whole['size']:,} leaves, is lost as a whole")


def _say_papers(papers: dict[str, int]) -> None:
    if any(papers.values()):
        _print(f"Papers: {papers['proved']:,} pieces of evidence say what the log commits to.")
    if papers["unproved"]:
        _print(f"{papers['unproved']:,} PIECES OF EVIDENCE ARE NOT PROVED: no opened entry commits to them.")


def _by_row(found: dict[str, Any]) -> tuple[bool, bool, int, int]:
    return found["entry"] is None, found["index"] is None, found["epoch"], found["index"] or 0


def _say_epoch(epoch: dict[str, Any]) -> None:
    good = {part: "ok    " if epoch[part] else "FAILED" for part in ASPECTS}
    grown = f"{epoch['agreed']} checkpoints agree, the newest with root {epoch['root']}"
    proofs = f", {epoch['proofs']:,} entries have a proof" if epoch["proofs"] else ""
    opened = ", ".join(f"{epoch[name]:,} {name.replace('_', ' ')}" for name in ("opened", "erased", "not_supplied"))
    _print(f"{epoch['origin']}: epoch {epoch['epoch']}, {epoch['size']:,} leaves")
    _print(f"  {good['signatures']} signatures   {epoch['signed']} checkpoints, signed by {', '.join(epoch['keys'])}")
    _print(f"  {good['append_only']} append-only  {grown}{proofs}")
    _print(f"  {good['gaps']} gaps         in the streams of the entries that are opened")
    _print(f"  {good['payloads']} payloads     {opened}")
    if epoch["lost"]:
        _print(f"         {epoch['lost']} checkpoints cannot be compared, for the leaves under them are lost")
    if epoch["unproved"]:
        _print(f"         the last {epoch['unproved']:,} leaves are under no checkpoint that is here and agrees")


def _time(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds)) if seconds < 1 << 37 else f"second {seconds}"


def _print(line: str) -> None:
    # What a bundle says may hold characters that would steer a terminal.
    print(re.sub(r"[^ -~]", "?", line))


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify a bundle, print what was found, and return the exit code."""
    chosen = options(arguments)
    try:
        chosen.checkpoint = [kept_checkpoint(path) for path in chosen.checkpoint]
        audit = Audit(Bundle(chosen.bundle), chosen)
        audit.run()
    except (zipfile.BadZipFile, NotImplementedError):
        problem = "it is no zip, or one that was cut off or changed"
    except FindingError as error:
        problem = error.args[1]
    except OSError as error:
        problem = error.strerror or str(error)
    except KeyboardInterrupt:
        problem = "it was stopped"
    else:
        told = result(audit, is_pinned=bool(chosen.vkey))
        if chosen.json:
            print(json.dumps(told, indent=2))
        else:
            say(told)
        return FAILED if audit.findings.failed else OK
    print(f"verify.py: cannot verify {chosen.bundle}: {problem}", file=sys.stderr)
    return ERROR


if __name__ == "__main__":
    sys.exit(main())
