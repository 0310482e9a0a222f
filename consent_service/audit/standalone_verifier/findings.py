"""Keeps what was found wrong, by epoch and by the four things that are told apart."""

import collections
import contextlib
from collections.abc import Iterator
from typing import Any, Final

from consent_service.audit.standalone_verifier.signatures import FindingError

#: So many findings are shown, and the first of each name; all are counted.
SHOWN: Final = 21
#: What goes wrong where something is read that is written in another form.
DAMAGED: Final = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
ASPECTS: Final = ("signatures", "append_only", "gaps", "payloads")
ASPECT_OF: Final = {
    **dict.fromkeys(("bad_signature", "unknown_key", "witness_missing"), "signatures"),
    **dict.fromkeys(("stream_gap", "gap_hidden"), "gaps"),
    **dict.fromkeys(("commitment_mismatch", "payload_damaged"), "payloads"),
}


class Findings:
    """What was found wrong so far; `epoch` is the one at hand."""

    def __init__(self) -> None:
        self.epoch = 0
        self.shown: list[dict[str, Any]] = []
        self.names: collections.Counter[str] = collections.Counter()
        self.failed: collections.Counter[tuple[int, str]] = collections.Counter()

    def add(
        self, name: str, says: str, index: int | None = None, entry: str | None = None, epoch: int | None = None
    ) -> None:
        """Keep a finding, about the epoch at hand where no other is named."""
        epoch = self.epoch if epoch is None else epoch
        self.failed[epoch, ASPECT_OF.get(name, "append_only")] += 1
        if len(self.shown) < SHOWN or not self.names[name]:
            self.shown.append({"name": name, "epoch": epoch, "index": index, "entry": entry, "says": says})
        self.names[name] += 1

    @contextlib.contextmanager
    def noting(self, index: int | None = None, entry: str | None = None) -> Iterator[None]:
        """Keep the finding that ends the block, and go on behind it."""
        try:
            yield
        except FindingError as found:
            name, says = found.args
            self.add(name, says, index, entry)


@contextlib.contextmanager
def demanded(name: str, says: str) -> Iterator[None]:
    """Turn whatever goes wrong while something is read into a finding of that name."""
    try:
        yield
    except DAMAGED as error:
        raise FindingError(name, says) from error
