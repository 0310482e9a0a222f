"""Keeps a few programs running: starts them in order, brings back the ones that crash, stops all in reverse.

Each program leads a session of its own, so that Ctrl-C reaches the supervisor alone and a whole family can be ended by
its group. A program also ends with the supervisor (db/leash.py); what survives that as well, the children of a child
that was killed with it, carries a token in its environment and is ended by the next start (`end_leftovers`).
"""

import contextlib
import os
import secrets
import select
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from consent_service.db.programs import Program
from consent_service.errors import ProgramFailedError, ServiceStartError

TOKEN_VARIABLE = "CONSENT_RUN"  # noqa: S105 - the name of a variable that marks our processes.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
STEADY_AFTER = 60.0
LEFTOVERS_GONE_WITHIN = 10.0
LOG_TURNS_OVER_AT = 10_000_000


@dataclass(slots=True)
class Child:
    """A program and the process that runs it now, if one does."""

    program: Program
    process: subprocess.Popen[bytes]
    started_at: float
    pause: float = FIRST_PAUSE
    again_at: float | None = None


class Supervisor:
    """The programs of one start. Use it as a context: whatever ends the block, everything has stopped after it.

    SIGINT and SIGTERM raise KeyboardInterrupt until `keep_running` is entered and end that one afterwards; a second
    one while programs are being stopped kills them.
    """

    def __init__(self, *, log_dir: Path, run_dir: Path, say: Callable[[str], None]) -> None:
        self._log_dir = log_dir
        self._token_file = run_dir / "token"
        self._say = say
        self._children: list[Child] = []
        self._token = secrets.token_hex(16)
        self._is_running = False
        self._stop_wanted = False
        self._hurry = False

    def __enter__(self) -> Self:
        """Clear what an earlier run left, take over the signals, and mark this run for a later one."""
        end_leftovers(self._token_file)
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_stop_signal)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        self._token_file.write_text(self._token, encoding="ascii")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what was started last first."""
        self._is_running = True
        while self._children:
            self._stop(self._children.pop())
        end_leftovers(self._token_file)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGTERM):
            # Nothing is left to stop, and a second Ctrl-C must not turn a clean end into a failed one.
            signal.signal(number, signal.SIG_IGN)
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def start(self, program: Program) -> None:
        """Start a program; its output goes to a log of its own."""
        if program.kill_signal == signal.SIGKILL:
            program = replace(program, environment={**program.environment, TOKEN_VARIABLE: self._token})
        _turn_over(self.log_of(program.name))
        self._children.append(Child(program=program, process=self._spawn(program), started_at=time.monotonic()))

    def log_of(self, name: str) -> Path:
        """Return the file that holds what a program says."""
        return self._log_dir / f"{name}.log"

    def runs(self, name: str) -> bool:
        """Say whether the program's process lives at this moment."""
        return any(child.program.name == name and child.process.poll() is None for child in self._children)

    def wait_until(self, is_ready: Callable[[], bool], *, seconds: float) -> None:
        """Return when the service is ready.

        Raises ProgramFailedError when a program ends before that, or the time is up.
        """
        give_up_at = time.monotonic() + seconds
        while not is_ready():
            for child in self._children:
                if child.process.poll() is not None:
                    raise ProgramFailedError(self._obituary(child))
            if time.monotonic() > give_up_at:
                raise ProgramFailedError(f"the service was not ready within {seconds:.0f} s; see {self._log_dir}")
            time.sleep(0.05)

    def keep_running(self) -> None:
        """Bring back what crashes until SIGINT or SIGTERM asks to stop."""
        self._is_running = True
        while not self._stop_wanted:
            now = time.monotonic()
            for child in self._children:
                self._tend(child, now)
            waits = [child.again_at - now for child in self._children if child.again_at is not None]
            select.select([self._wake_reader], [], [], max(0.0, min(waits)) if waits else None)
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_reader, 512)

    def _tend(self, child: Child, now: float) -> None:
        if child.again_at is not None:
            if child.again_at <= now:
                child.again_at = None
                child.process = self._spawn(child.program)
                child.started_at = now
            return
        if child.process.poll() is None:
            return
        # Its own children may have outlived it, and would hold the port or a lock.
        _signal_group(child.process.pid, signal.SIGKILL)
        if now - child.started_at > STEADY_AFTER:
            child.pause = FIRST_PAUSE
        child.again_at = now + child.pause
        self._say(f"{self._obituary(child)}; again in {child.pause:g} s")
        child.pause = min(child.pause * 2, LONGEST_PAUSE)

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        log = os.open(self.log_of(program.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return subprocess.Popen(
                program.leashed(),
                cwd=program.folder,
                env=dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.close(log)

    def _stop(self, child: Child) -> None:
        """Ask, wait, insist; then end what is left of its family."""
        process, program = child.process, child.program
        if process.poll() is None:
            process.send_signal(program.stop_signal)
        give_up_at = time.monotonic() + program.stop_seconds
        while process.poll() is None:
            if self._hurry or time.monotonic() > give_up_at:
                self._say(f"{program.name} does not stop and is killed")
                process.send_signal(program.kill_signal)
                process.wait()
            time.sleep(0.02)
        _signal_group(process.pid, signal.SIGKILL)

    def _obituary(self, child: Child) -> str:
        code = child.process.returncode
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"{child.program.name} {how} (see {self.log_of(child.program.name)})"

    def _on_stop_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._hurry = self._stop_wanted
        self._stop_wanted = True
        if not self._is_running:
            self._is_running = True
            raise KeyboardInterrupt


def end_leftovers(token_file: Path) -> int:
    """Kill processes of an earlier run that outlived it, found by the token in their environment; return how many.

    Process numbers are given out again, so a kept number could name a stranger; the token cannot. Linux only.
    Raises ServiceStartError when they do not end.
    """
    try:
        mark = f"{TOKEN_VARIABLE}={token_file.read_text(encoding='ascii')}".encode()
    except FileNotFoundError:
        return 0
    ended = set()
    give_up_at = time.monotonic() + LEFTOVERS_GONE_WITHIN
    while left := _marked_with(mark):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ended.update(left)
        if time.monotonic() > give_up_at:
            raise ServiceStartError(f"processes of an earlier start do not end: {sorted(left)}")
        # A killed process holds its port until the kernel has taken it down.
        time.sleep(0.02)
    token_file.unlink(missing_ok=True)
    return len(ended)


def _marked_with(mark: bytes) -> set[int]:
    found = set()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in environment.read_bytes().split(b"\0"):
                found.add(int(environment.parent.name))
    return found


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def _turn_over(log: Path) -> None:
    """Put a log that has grown large aside; one earlier log is kept."""
    if log.exists() and log.stat().st_size > LOG_TURNS_OVER_AT:
        log.replace(log.with_suffix(".log.1"))
