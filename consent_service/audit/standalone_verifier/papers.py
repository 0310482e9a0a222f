"""Holds the papers of a bundle, what was shown and how it was answered, against what the entries commit to."""

import hashlib
import json
from typing import Any, Final

from consent_service.audit.standalone_verifier.bundles import Bundle, canonical
from consent_service.audit.standalone_verifier.findings import Findings, demanded
from consent_service.audit.standalone_verifier.signatures import FindingError

#: What of a piece of evidence is under its commitment; traces are not, for they are destroyed earlier.
STATEMENT: Final = ("acts", "checked_by_default", "salt", "shown", "shown_sha256")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of a name that stands twice, somebody who reads the file may believe the other one.
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError("a name stands twice")
    return found


class Papers:
    """The files in evidence/, and what the opened entries say of them."""

    def __init__(self, bundle: Bundle, findings: Findings) -> None:
        #: How many pieces are what an opened entry commits to, and how many no opened entry says anything of.
        self.proved = 0
        self.unproved = 0
        self._bundle, self._findings = bundle, findings
        self._hashes: dict[str, str] = {}

    def take(self, facts: dict[str, Any]) -> None:
        """Remember what an opened entry says of a piece of evidence."""
        name, hashed = facts.get("evidence"), facts.get("evidence_sha256")
        if self._bundle.papers and isinstance(name, str) and isinstance(hashed, str):
            self._hashes[name] = hashed

    def finish(self) -> None:
        """Compare every paper with that."""
        for name in self._bundle.papers:
            with self._findings.noting(), demanded("payload_damaged", f"{name} is not written as it must be"):
                paper = json.loads(self._bundle.read(name), object_pairs_hook=_once)
                for piece in paper["evidence"]:
                    with self._findings.noting():
                        self._compare(name, piece)

    def _compare(self, name: str, piece: dict[str, Any]) -> None:
        said = {each: piece.get(each) for each in STATEMENT}
        if not any(said.values()):
            # Its body was destroyed when its time was over.
            return
        hashed = self._hashes.get(piece["evidence_id"])
        if hashed is None:
            self.unproved += 1
        elif hashlib.sha256(canonical(said).encode()).hexdigest() == hashed:
            self.proved += 1
        else:
            raise FindingError("commitment_mismatch", f"{name} does not say what was committed to")
