"""The whole service, started by its command line as a person would, for tests that need every process of it."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PATIENCE = 150.0


@dataclass(frozen=True, slots=True)
class Service:
    """A start of the service by its command line."""

    process: subprocess.Popen[str]
    port: int
    data: Path
    said: Path

    def get(self, path: str, *, authorization: str = "") -> tuple[int, Any]:
        """Return status and body of a page, 0 while nothing listens."""
        return self._call("GET", path, None, authorization)

    def post(self, path: str, body: object, *, authorization: str) -> tuple[int, Any]:
        """Return status and body of an API call."""
        return self._call("POST", path, json.dumps(body), authorization)

    def wait_ready(self) -> None:
        """Return when the service answers that it is ready."""
        give_up_at = time.monotonic() + PATIENCE
        while self.get("/health/ready")[0] != http.client.OK:
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < give_up_at
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask the service to stop and return its exit code."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)

    def output(self) -> str:
        """Return what the service said on its terminal."""
        return self.said.read_text(encoding="utf-8")

    def processes(self) -> list[int]:
        """Return every process of this service, its own included; they all know its folder."""
        here = str(self.data).encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                texts = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
                if here in texts or (folder / "cwd").readlink().is_relative_to(self.data):
                    found.append(int(folder.name))
        return found

    def _call(self, method: str, path: str, body: str | None, authorization: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {authorization}"}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()
        is_json = "json" in answer.headers.get_content_type()
        return answer.status, json.loads(text) if is_json else text


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as attempt:
        attempt.bind(("127.0.0.1", 0))
        port: int = attempt.getsockname()[1]
    return port


def start(data: Path, *options: str, port: int | None = None, terminal: str = "terminal") -> Service:
    """Start `consent up` on a folder, without the settings of whoever runs the tests."""
    port, said = port or free_port(), data.with_name(terminal)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CONSENT_", "DATABASE_", "MAIL_", "PUBLIC_"))
    }
    words = [sys.executable, "-m", "consent_service.cli.main", "up", "--data", str(data), "--port", str(port), *options]
    with said.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(words, cwd=ROOT, env=kept, stdout=out, stderr=out, text=True)
    return Service(process=process, port=port, data=data, said=said)


@contextlib.contextmanager
def running_demo(data: Path) -> Iterator[Service]:
    """Run a demo while the block lasts, and leave no process behind."""
    service = start(data, "--demo")
    try:
        service.wait_ready()
        yield service
    finally:
        service.stop()
