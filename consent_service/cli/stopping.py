"""Waits for the signal that asks a process to end, beside the threads that do its work."""

import signal
from typing import Final

SIGNALS: Final = {signal.SIGTERM, signal.SIGINT}


def hold_back() -> None:
    """Keep the signals for `is_asked`, before any thread is started.

    A handler could interrupt the thread that it has to wake, so signals are waited for instead.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def is_asked(*, within: float) -> bool:
    """Wait so many seconds at most for a signal to end; False where none came."""
    told = signal.sigtimedwait(SIGNALS, within)
    # A process that was stopped (SIGSTOP) until the time was over is told of a signal that nobody sent.
    return told is not None and told.si_signo in SIGNALS
