"""Describes the machine and the programs that a figure was measured with."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import psycopg


def describe(superuser_url: str) -> dict[str, str]:
    """Return what a reader needs to place the figures; nothing that names the machine itself."""
    with psycopg.connect(superuser_url) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return {
        "processor": _from_file("/proc/cpuinfo", "model name"),
        "cores": str(os.cpu_count()),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "PostgreSQL": str(row[0]).split(" ", maxsplit=1)[0] if row else "unknown",
        **{name: metadata.version(name) for name in ("granian", "flask", "psycopg")},
        "wrk": _first_line("wrk", "--version"),
        "node": _first_line("node", "--version"),
    }


def _memory() -> str:
    kibibytes = int(_from_file("/proc/meminfo", "MemTotal").split()[0])
    return f"{kibibytes / 1024 / 1024:.0f} GiB"


def _from_file(path: str, name: str) -> str:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0" if name == "MemTotal" else "unknown"


def _first_line(*command: str) -> str:
    try:
        # wrk prints its version and ends with an error.
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "not installed"
    lines = (done.stdout or done.stderr).splitlines()
    return " ".join(lines[0].split()[:2]).removesuffix(" [epoll]") if lines else "unknown"
