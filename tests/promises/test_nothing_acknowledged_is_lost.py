"""Promise: nothing that was acknowledged is lost.

The whole service runs as an operator starts it, and systems report, withdraw and check without a pause. Meanwhile web
server, worker, PostgreSQL and at last everything together are killed with kill -9. Afterwards each act that was
answered with success is there, no check that began after an acknowledged withdrawal said yes, and each confirmation
mail that was promised has left the house.
"""

import contextlib
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.services import PATIENCE, Service, start

CLIENTS = 3
#: Enough acts that every kill hits some of them under way.
ACTS_BETWEEN_KILLS = 12


@dataclass
class Notes:
    """What the systems were told; a call without an answer may have happened or not."""

    last_acknowledged: dict[str, str] = field(default_factory=dict)
    in_doubt: set[str] = field(default_factory=set)
    promised_mails: set[str] = field(default_factory=set)
    false_yes: list[str] = field(default_factory=list)
    acknowledged: int = 0
    refused: list[tuple[int, Any]] = field(default_factory=list)


@dataclass
class Systems:
    """The systems of a company that call without a pause, each about people of its own."""

    service: Service
    api_key: str
    form_id: str
    notes: Notes = field(default_factory=Notes)
    stop: threading.Event = field(default_factory=threading.Event)

    def work(self, number: int) -> None:
        """Report a yes, ask for a confirmation, withdraw, check; over and over until told to stop."""
        for turn in itertools.count():
            if self.stop.is_set():
                return
            person = f"person{turn % 5}.{number}@kunde.example"
            self._act(person, "given", "/v1/consents", self._report(person, "customer_survey"))
            newcomer = f"new{turn}.{number}@kunde.example"
            if self._call("/v1/consents", self._report(newcomer, "newsletter")):
                self.notes.promised_mails.add(newcomer)
            # A withdrawal by somebody of whom no yes ever arrived stops the address, and the next report with it.
            is_known = person in self.notes.last_acknowledged
            withdrawal = {"subject": {"email": person}}
            if turn % 2 and is_known and self._act(person, "withdrawn", "/v1/withdrawals", withdrawal):
                self._demand_no(person)

    def decision(self, person: str) -> dict[str, Any]:
        """Check until there is an answer."""
        question = {"subject": {"email": person}, "purpose": "customer_survey", "channel": "email"}
        give_up_at = time.monotonic() + PATIENCE
        while True:
            status, answer = self.service.post("/v1/checks", question, authorization=self.api_key)
            if status == 200:
                assert isinstance(answer, dict)
                return answer
            assert time.monotonic() < give_up_at, (status, answer)

    def _demand_no(self, person: str) -> None:
        if self.decision(person)["allowed"]:
            self.notes.false_yes.append(person)

    def _act(self, person: str, kind: str, path: str, body: dict[str, Any]) -> bool:
        """Act for a person whom nobody else acts for, and note what is known about it."""
        self.notes.in_doubt.add(person)
        done = self._call(path, body)
        if done:
            self.notes.in_doubt.discard(person)
            self.notes.last_acknowledged[person] = kind
        return done

    def _call(self, path: str, body: dict[str, Any]) -> bool:
        status, answer = self.service.post(path, body, authorization=self.api_key)
        if status in {200, 201}:
            self.notes.acknowledged += 1
            return True
        if status not in {0, 503}:
            self.notes.refused.append((status, answer))
        return False

    def _report(self, person: str, purpose: str) -> dict[str, Any]:
        return {
            "subject": {"email": person},
            "form": self.form_id,
            "language": "nb",
            "decisions": [{"purpose": purpose, "channel": "email", "granted": True}],
            "evidence": {
                "method": "app",
                "act": "button_pressed",
                "occurred_at": datetime.now(UTC).isoformat(),
            },
        }


@dataclass(frozen=True, slots=True)
class Nemesis:
    """Kills parts of the running service, and waits until it answers again."""

    systems: Systems

    def kill(self, *words: bytes) -> None:
        """Kill -9 every process of the service whose command holds one of the words, under way."""
        self._let_them_work()
        for pid in self.systems.service.processes():
            if any(word in _command_of(pid) for word in words):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.systems.service.wait_ready()

    def _let_them_work(self) -> None:
        notes, give_up_at = self.systems.notes, time.monotonic() + PATIENCE
        enough = notes.acknowledged + ACTS_BETWEEN_KILLS
        while notes.acknowledged < enough:
            assert time.monotonic() < give_up_at
            time.sleep(0.01)


@contextlib.contextmanager
def working(service: Service) -> Iterator[Systems]:
    """Let the systems of the demo's shop work while the block lasts."""
    world = json.loads((service.data / "demo.json").read_text(encoding="utf-8"))
    shop = world["controllers"][0]
    systems = Systems(service, shop["api_key"], shop["forms"]["kundeklubb"])
    threads = [threading.Thread(target=systems.work, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield systems
    finally:
        systems.stop.set()
        for thread in threads:
            thread.join(PATIENCE)


def survive(data: Path, *, rounds: int) -> None:
    """Kill each part `rounds` times and then everything, and demand that all that was acknowledged is there."""
    service = start(data, "--demo")
    try:
        service.wait_ready()
        with working(service) as systems:
            nemesis = Nemesis(systems)
            for _ in range(rounds):
                nemesis.kill(b"granian")
                nemesis.kill(b"consent_service.cli.main\0worker")
                nemesis.kill(b"postgres\0-D")
        for pid in service.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        service.process.wait(PATIENCE)
        service = start(data, "--demo", port=service.port, terminal="again")
        service.wait_ready()
        demand_everything(Systems(service, systems.api_key, systems.form_id, systems.notes))
    finally:
        service.stop()
    assert service.processes() == []


def demand_everything(systems: Systems) -> None:
    """Compare what the service says now with what it had acknowledged."""
    notes = systems.notes
    assert notes.refused == []
    assert notes.false_yes == []
    lost = {
        person: kind
        for person, kind in notes.last_acknowledged.items()
        if person not in notes.in_doubt and systems.decision(person)["allowed"] != (kind == "given")
    }
    assert notes.last_acknowledged
    assert lost == {}
    # A worker that was killed over a mail holds it for two minutes more; the demo's clock need not be waited for.
    status, _ = systems.service.post("/dev/clock", {"advance": "PT10M"}, authorization=systems.api_key)
    assert status == 200
    mail = systems.service.data / "mail"
    wait_until(lambda: {person for person in notes.promised_mails if not list(mail.glob(f"*-{person}.eml"))} == set())


def wait_until(holds: Callable[[], bool]) -> None:
    """Return when something holds; the worker needs a moment."""
    give_up_at = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def _command_of(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


class TestKill9:
    @pytest.mark.rule("WD-02")
    def test_loses_nothing_that_was_acknowledged(self, tmp_path: Path) -> None:
        survive(tmp_path / "data", rounds=1)

    @pytest.mark.long
    def test_loses_nothing_in_a_long_run(self, tmp_path: Path) -> None:
        survive(tmp_path / "data", rounds=100)
