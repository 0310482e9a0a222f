"""Says in a bundle how to check it, in six steps, and what it does not prove."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from consent_service.audit.log_bundles import SignedLog
from consent_service.registry.controllers import Controller

_STEPS: Final = """\
HOW TO CHECK THIS BUNDLE, IN SIX STEPS
1. Get the public key of the log from somewhere else than this bundle: the
   controller's privacy notice, an earlier mail, a witness. Whoever made the
   bundle put the key into it, so the key in it proves nothing by itself.
2. Unpack the bundle. You need Python 3.11 or newer, no network, and nothing
   of the service that made it. verify.py is one file; read it if you like.
   Whoever made the bundle put it there as well: if much depends on it, run
   a copy that you got elsewhere, with the folder behind its name.
3. Run, in the folder:
       python3 verify.py --vkey 'KEY'
   It must end with VERIFIED. (exit code 0); 3 means that it is not.
4. If you kept a checkpoint from an earlier day (a mail, a printed one), give
   it with --checkpoint FILE. It proves that nothing before it was changed.
   Where the bundle cannot show that, verify.py says what to ask for.
   With --witness KEY others vouch that they were shown the same log.
5. Read the four lines for each epoch of the log:
   signatures    the key of the log signed every checkpoint that lies here
   append-only   every kept checkpoint grew into the newest one
   gaps          opened entries follow each other without a gap
   payloads      what is opened is what was committed to; how many were
                 erased, and how many are not supplied
{papers}6. Read {read}
   Compare them with openings.jsonl: each line holds an entry of the log as
   it was committed to, and the key that opens its commitment.

WHAT IT DOES NOT PROVE
- That what was recorded was true.
- That everything was recorded.
- That nobody else was shown another log, unless a witness whose key you
  know vouches for it.
- Anything after the newest checkpoint in it.
An entry that was erased is there, and nobody can open it: proof that
something was recorded at that time, and of nothing else. An epoch after the
first one means that a database was restored from a backup; the first entry
of the epoch says what was lost.
"""
_EVIDENCE: Final = """\
index.html and its versions in other languages, and the files in
   evidence/: the exact words that were shown, and how they were answered.
   verify.py looks at evidence/ alone; index.html and receipts/ must say the
   same."""
_PAPERS: Final = """\
   Papers: so many pieces in evidence/ are what the entries commit to. Of
   those that are NOT PROVED nothing in the log says what they said.
"""
_WHOLE: Final = """\
the entries: log/e1/tile/entries holds every leaf of the log in order."""


def of_evidence(controller: Controller, signed: Sequence[SignedLog], *, at: datetime) -> str:
    """Return README.txt of a bundle about one person or one declaration."""
    return _text(
        f"Evidence bundle of {controller.legal_name}", signed, _STEPS.format(read=_EVIDENCE, papers=_PAPERS), at
    )


def of_whole_log(name: str, signed: Sequence[SignedLog], *, at: datetime) -> str:
    """Return README.txt of a bundle of a whole log; `name` is whose log it is."""
    return _text(f"Audit log of {name}", signed, _STEPS.format(read=_WHOLE, papers=""), at)


def _text(title: str, signed: Sequence[SignedLog], steps: str, at: datetime) -> str:
    lines = [title, "=" * len(title), f"made {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC", ""]
    for each in signed:
        lines += [f"epoch {each.log.epoch}: {each.head.size} entries", f"  key {each.log.vkey}", ""]
    return "\n".join(lines) + "\n" + steps
