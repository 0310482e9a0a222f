"""`consent up` as a person meets it: one command, a service that answers, and no process afterwards."""

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

import pytest

ROOT = Path(__file__).parents[3]
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


def _free_port() -> int:
    with socket.socket() as attempt:
        attempt.bind(("127.0.0.1", 0))
        port: int = attempt.getsockname()[1]
    return port


def _start(data: Path, *options: str, port: int | None = None, terminal: str = "terminal") -> Service:
    port, said = port or _free_port(), data.with_name(terminal)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CONSENT_", "DATABASE_", "MAIL_", "PUBLIC_"))
    }
    words = [sys.executable, "-m", "consent_service.cli.main", "up", "--data", str(data), "--port", str(port), *options]
    with said.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(words, cwd=ROOT, env=kept, stdout=out, stderr=out, text=True)
    return Service(process=process, port=port, data=data, said=said)


@pytest.fixture(name="data")
def _data(tmp_path: Path) -> Path:
    return tmp_path / "a data folder"


@pytest.fixture(name="service", scope="class")
def _service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run one demo for several tests; none of them changes what the others look at."""
    service = _start(tmp_path_factory.mktemp("up") / "a data folder", "--demo")
    try:
        service.wait_ready()
        yield service
    finally:
        service.stop()


class TestDemo:
    def test_one_command_gives_a_service_that_answers(self, service: Service) -> None:
        world = json.loads((service.data / "demo.json").read_text(encoding="utf-8"))
        nordlys = world["controllers"][0]
        question = {"subject": {"email": "kari@nord.example"}, "purpose": "newsletter", "channel": "email"}

        status, answer = service.post("/v1/checks", question, authorization=nordlys["check_only_api_key"])

        assert (status, answer["allowed"]) == (200, False)
        assert world["base_url"] == f"http://127.0.0.1:{service.port}"
        assert f"/f/{nordlys['forms']['kundeklubb']}" in service.output()

    def test_a_second_start_on_the_folder_is_refused_and_harms_nothing(self, service: Service) -> None:
        second = _start(service.data, "--demo", terminal="second")

        assert second.process.wait(PATIENCE) == 1
        assert f"is in use by process {service.process.pid}" in second.output()
        assert service.get("/health/ready")[0] == http.client.OK

    def test_no_program_knows_the_login_of_the_migrator(self, service: Service) -> None:
        password = (service.data / "postgres" / "superuser-password").read_bytes()

        texts = [Path(f"/proc/{pid}/environ").read_bytes() for pid in service.processes()]

        assert len(texts) > 1
        assert not any(password in text for text in texts)

    def test_a_web_server_that_is_killed_comes_back(self, service: Service) -> None:
        (leader,) = {os.getsid(pid) for pid in service.processes() if b"granian" in _command_of(pid)}

        os.kill(leader, signal.SIGKILL)

        give_up_at = time.monotonic() + PATIENCE
        while "web was ended by SIGKILL" not in service.output():
            assert time.monotonic() < give_up_at
            time.sleep(0.02)
        service.wait_ready()

    def test_after_a_kill_the_next_start_recovers_and_a_stop_leaves_no_process(self, tmp_path: Path) -> None:
        killed = _start(tmp_path / "data", "--demo", terminal="killed")
        killed.wait_ready()
        born = json.loads((killed.data / "demo.json").read_text(encoding="utf-8"))

        killed.process.kill()
        killed.process.wait()
        again = _start(killed.data, "--demo")
        again.wait_ready()

        assert again.stop() == 0
        assert again.processes() == []
        assert "Traceback" not in again.output()
        world = json.loads((again.data / "demo.json").read_text(encoding="utf-8"))
        assert world["controllers"] == born["controllers"]


class TestRefusals:
    def test_a_port_that_is_taken_is_named(self, data: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            service = _start(data, "--demo", port=port)

            assert service.process.wait(PATIENCE) == 1

        assert f"cannot listen on 127.0.0.1 port {port}" in service.output()
        assert service.processes() == []

    def test_a_demo_never_listens_beyond_this_machine(self, data: Path) -> None:
        service = _start(data, "--demo", "--host", "0.0.0.0")  # noqa: S104 - what must be refused.

        assert service.process.wait(PATIENCE) == 1
        assert "a demo listens on loopback only" in service.output()
        assert not data.exists()

    def test_a_service_without_a_sender_says_what_to_set(self, data: Path) -> None:
        service = _start(data)

        assert service.process.wait(PATIENCE) == 1
        assert "set MAIL_SENDER" in service.output()


def _command_of(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
