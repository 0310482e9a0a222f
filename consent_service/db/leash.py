"""Runs a program so that it ends with its parent, as the account it should run as.

Started as a script, before anything is installed or imported: `python -I -S leash.py PARENT SIGNAL UID GID PROGRAM …`.
A script of its own, because code between fork and exec is unsafe in a process with threads. The order matters: the
kernel forgets the death signal when the account changes, so it is asked for last.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
KEEP_ACCOUNT = -1
PARENT_IS_GONE = 75  # EX_TEMPFAIL of sysexits.h.


def become(*, uid: int, gid: int) -> None:
    """Give up root for good, supplementary groups first."""
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def end_with_parent(*, parent: int, signal_number: int) -> None:
    """Ask the kernel to send the signal when the parent ends; leaves at once if it has ended already.

    Only Linux can; elsewhere the next start clears what a killed supervisor left.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(PARENT_IS_GONE)


def main(arguments: list[str]) -> None:
    """Become the program that is named; the process id stays."""
    parent, signal_number, uid, gid = (int(argument) for argument in arguments[:4])
    program = arguments[4:]
    os.umask(0o077)
    if uid != KEEP_ACCOUNT:
        become(uid=uid, gid=gid)
    end_with_parent(parent=parent, signal_number=signal_number)
    os.execvp(program[0], program)  # noqa: S606 - no shell is the point.


if __name__ == "__main__":
    main(sys.argv[1:])
