"""`consent up` as a person meets it: one command, a service that answers, and no process afterwards."""

import contextlib
import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import PATIENCE, Service, running_demo, start


@pytest.fixture(name="data")
def _data(tmp_path: Path) -> Path:
    return tmp_path / "a data folder"


@pytest.fixture(name="service", scope="class")
def _service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run one demo for several tests; none of them changes what the others look at."""
    with running_demo(tmp_path_factory.mktemp("up") / "a data folder") as service:
        yield service


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
        second = start(service.data, "--demo", terminal="second")

        assert second.process.wait(PATIENCE) == 1
        assert f"is in use by process {service.process.pid}" in second.output()
        assert service.get("/health/ready")[0] == http.client.OK

    def test_no_program_knows_the_login_of_the_migrator(self, service: Service) -> None:
        password = (service.data / "postgres" / "superuser-password").read_bytes()

        texts = [Path(f"/proc/{pid}/environ").read_bytes() for pid in service.processes()]

        assert len(texts) > 1
        assert not any(password in text for text in texts)

    def test_each_program_knows_no_login_but_its_own(self, service: Service) -> None:
        logins = json.loads((service.data / "keys" / "logins.json").read_text(encoding="utf-8"))
        allowed = {
            b"mail-sink": set(),
            b"granian": {"app"},
            b"worker": {"app", "worker", "retention"},
            b"log-keeper": {"sequencer"},
        }

        for program, parts in allowed.items():
            environment = Path(f"/proc/{_wait_for(service, program)}/environ").read_bytes()
            assert {part for part, password in logins.items() if password.encode() in environment} == parts, program

    def test_a_web_server_that_is_killed_comes_back(self, service: Service) -> None:
        (leader,) = {os.getsid(pid) for pid in service.processes() if b"granian" in _command_of(pid)}

        os.kill(leader, signal.SIGKILL)

        give_up_at = time.monotonic() + PATIENCE
        while "web was ended by SIGKILL" not in service.output():
            assert time.monotonic() < give_up_at
            time.sleep(0.02)
        service.wait_ready()

    def test_after_a_kill_the_next_start_recovers_and_a_stop_leaves_no_process(self, tmp_path: Path) -> None:
        killed = start(tmp_path / "data", "--demo", terminal="killed")
        killed.wait_ready()
        born = json.loads((killed.data / "demo.json").read_text(encoding="utf-8"))

        killed.process.kill()
        killed.process.wait()
        again = start(killed.data, "--demo")
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
            service = start(data, "--demo", port=port)

            assert service.process.wait(PATIENCE) == 1

        assert f"cannot listen on 127.0.0.1 port {port}" in service.output()
        assert service.processes() == []

    def test_a_demo_never_listens_beyond_this_machine(self, data: Path) -> None:
        service = start(data, "--demo", "--host", "0.0.0.0")  # noqa: S104 - what must be refused.

        assert service.process.wait(PATIENCE) == 1
        assert "a demo listens on loopback only" in service.output()
        assert not data.exists()

    def test_a_service_without_a_sender_says_what_to_set(self, data: Path) -> None:
        service = start(data)

        assert service.process.wait(PATIENCE) == 1
        assert "set MAIL_SENDER" in service.output()


def _wait_for(service: Service, program: bytes) -> int:
    """Return a process of this program; the keeper of the log starts when the web server answers."""
    give_up_at = time.monotonic() + PATIENCE
    while True:
        found = [pid for pid in service.processes() if program in _command_of(pid).split(b"\0")]
        if found:
            return found[0]
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def _command_of(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
