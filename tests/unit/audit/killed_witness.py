"""A witness that is killed at its n-th step towards the disk: `python -m … FOLDER N OLD SIZE`.

It opens its folder and is asked to cosign SIZE after OLD. What it answers is printed, so that whoever runs it sees
whether anything left the process before the kill. It ends with 0 where it took fewer than N steps.
"""

import itertools
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from consent_service.audit import witness_state, witnessing
from consent_service.audit.witnessing import Witness
from tests.small_log import SmallLog

NAME = "witness.example/sister"
STEPS = ("fsync", "mkdir", "rename", "replace")


def main() -> None:
    """Open the folder, answer one request, and die on the way where that was asked for."""
    folder, number, old_size, size = Path(sys.argv[1]), *map(int, sys.argv[2:])
    count = itertools.count(1)
    for step in STEPS:
        setattr(os, step, _killed_at(getattr(os, step), count, number))
    log = SmallLog()
    witness = Witness(witness_state.open_cosigner(folder, name=NAME), folder, witnessing.watch([log.vkey]))
    answer = witnessing.add_checkpoint(
        witness, log.request(old_size, size), now=lambda: datetime(2026, 5, 3, tzinfo=UTC)
    )
    sys.stdout.write(f"{int(answer.status)}\n{answer.body}")


def _killed_at(step: Callable[..., Any], count: "itertools.count[int]", number: int) -> Callable[..., Any]:
    def killed(*arguments: object, **named: object) -> object:
        if next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments, **named)

    return killed


if __name__ == "__main__":
    main()
