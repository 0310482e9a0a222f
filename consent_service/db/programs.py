"""How a program is started on a leash: what to run, where, as whom, and what ends it."""

import os
import pwd
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from consent_service.db import leash
from consent_service.errors import DatabaseStartError

UNPRIVILEGED_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the operating system."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run in the foreground; `account` is None where it stays the caller's."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 30.0
    kill_signal: signal.Signals = signal.SIGKILL

    def leashed(self) -> list[str]:
        """Return the words that start it so that it gets its stop signal when the calling process ends."""
        uid, gid = (self.account.uid, self.account.gid) if self.account else (leash.KEEP_ACCOUNT, leash.KEEP_ACCOUNT)
        words = [os.getpid(), int(self.stop_signal), uid, gid]
        return [sys.executable, "-I", "-S", leash.__file__, *map(str, words), *self.arguments]


def account_for(data_dir: Path) -> Account | None:
    """Return the account that PostgreSQL runs as: None for an ordinary user, an unprivileged one for root.

    PostgreSQL refuses to run as root. Data that exists stays with the account that owns it.
    Raises DatabaseStartError when the data belongs to somebody else, or root finds nobody to become.
    """
    owner = data_dir.stat() if data_dir.exists() else None
    if os.geteuid() != 0:
        if owner and owner.st_uid != os.geteuid():
            raise DatabaseStartError(
                f"{data_dir} belongs to another account; start the service as the one that made it"
            )
        return None
    if owner and owner.st_uid != 0:
        return Account(uid=owner.st_uid, gid=owner.st_gid)
    for name in UNPRIVILEGED_ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(uid=entry.pw_uid, gid=entry.pw_gid)
    raise DatabaseStartError(
        f"PostgreSQL does not run as root, and none of the accounts {', '.join(UNPRIVILEGED_ACCOUNTS)} exists"
    )
