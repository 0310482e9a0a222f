"""A process ends when it is asked to, and not because it was stopped for a while."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.services import PATIENCE, ROOT

WITHIN = 0.02
PROGRAM = f"""
from consent_service.cli import stopping
stopping.hold_back()
while not stopping.is_asked(within={WITHIN}):
    print("looked", flush=True)
print("asked", flush=True)
"""


class TestBeingAsked:
    def test_a_process_that_was_stopped_for_longer_than_it_waits_goes_on(self) -> None:
        words = [sys.executable, "-c", PROGRAM]
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(20):
                process.stdout.readline()
                process.send_signal(signal.SIGSTOP)
                wait_while_stopped(process.pid)
                process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
            said = process.stdout.read().split()
            code = process.wait(PATIENCE)

        assert (code, said[-1], said.count("asked")) == (0, "asked", 1)


def wait_while_stopped(pid: int) -> None:
    """Let the time go by that the process waits, while it is stopped."""
    give_up_at = time.monotonic() + PATIENCE
    while ") T " not in (state := Path(f"/proc/{pid}/stat").read_text(encoding="ascii")):
        assert ") Z " not in state, "it has ended"
        assert time.monotonic() < give_up_at
    enough = time.monotonic() + 2 * WITHIN
    while time.monotonic() < enough:
        pass
