"""Where faults strike: somebody about whom the answer is yes, the process that answers, and the roads to ask it."""

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
from flask import Flask
from sqlalchemy import Engine, create_engine
from werkzeug.test import TestResponse

from consent_service import web
from consent_service.api import asking
from consent_service.api.asking import Asking
from consent_service.config import Settings
from consent_service.consent.spool import Spool
from consent_service.crypto.keyring import Keyring
from consent_service.db import session as db_session
from consent_service.db.direct import DirectConnections
from consent_service.db.session import Database
from consent_service.server import Server
from tests.promises import served
from tests.promises.world import Person

#: Nobody waits for a lock for longer than this in a test; in service it is two seconds, or ten.
HURRIED_MS: Final = 20

STREAM: Final = "/v1/checks/stream?purpose=newsletter&channel=email"
LINES_OF_JSON: Final = "application/x-ndjson"

_YES: Final = re.compile(rb'"allowed"\s*:\s*true')


@dataclass(slots=True)
class Scene:
    """A subscriber, the application that is asked about her, and a superuser who may damage what she likes."""

    person: Person
    app: Flask
    superuser: psycopg.Connection[tuple[Any, ...]]
    settings: Settings
    folder: Path
    subject_id: str = ""
    engines: list[Engine] = field(default_factory=list)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _server: Server | None = None

    @property
    def asking(self) -> Asking:
        """Return what the application keeps to answer checks."""
        found: Asking = self.app.extensions[asking.EXTENSION]
        return found

    @asking.setter
    def asking(self, other: Asking) -> None:
        self.app.extensions[asking.EXTENSION] = other
        self._server = None

    @property
    def server(self) -> Server:
        """Return what the web server of this process calls; it remembers which keys were proved."""
        if self._server is None:
            self._server = Server(self.app)
        return self._server

    @property
    def keyring(self) -> Keyring:
        """Return the keys that the application was started with."""
        service: web.Service = self.app.extensions[web.EXTENSION]
        return service.database.keyring

    def changes_the_registry(self) -> None:
        """Let every process read the registry anew, as any change to it does."""
        self.superuser.execute("UPDATE registry_version SET version = gen_random_uuid()")

    def another(
        self,
        *,
        url: str | None = None,
        keyring: Keyring | None = None,
        spool: Path | None = None,
        **options: Any,  # noqa: ANN401 - options of an engine
    ) -> Asking:
        """Make the parts of a process that has just started, otherwise than this one in what is named."""
        engine = create_engine(url or self.settings.database_url, **{**db_session.engine_options(), **options})
        self.engines.append(engine)
        return Asking(
            Database(engine, keyring or self.keyring),
            spool=Spool(spool or self.folder / "spool", rotate_seconds=3_600),
            issuer=self.settings.public_url,
        )

    def hurried(self) -> Asking:
        """Make the parts of a process that waits for nobody."""
        made = self.another(**db_session.engine_options(lock_timeout_ms=HURRIED_MS))
        made.direct = DirectConnections(self.engines[-1], statement_timeout_ms=HURRIED_MS)
        made.direct_many = DirectConnections(self.engines[-1], statement_timeout_ms=HURRIED_MS)
        return made

    @contextlib.contextmanager
    def instead(self, **parts: Any) -> Iterator[None]:  # noqa: ANN401 - parts of a process
        """Let a process that has just started answer, otherwise than this one in what is named."""
        usual, other = self.asking, self.another(**parts)
        self.asking = other
        try:
            yield
        finally:
            self.asking = usual
            self.discard(other)

    def discard(self, made: Asking) -> None:
        """Close what `another` made."""
        made.close()
        made.spool.close()
        self.engines.pop().dispose()

    def is_settled(self) -> dict[str, bytes]:
        """Ask on every road while nothing is wrong; return the answers that are no clear yes."""
        answers = {name: ask(self) for name, ask in ROADS.items()}
        return {name: answer.body for name, answer in answers.items() if not answer.is_clear_yes}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole or broken off, and what a caller could read in it."""

    status: int
    body: bytes
    expected: int = 1

    @classmethod
    def of(cls, response: TestResponse, *, expected: int = 1) -> "Answer":
        """Read an answer whose yes has as many verdicts as were asked for."""
        return cls(response.status_code, response.get_data(), expected)

    @property
    def verdicts(self) -> list[Any]:
        """Return what is said of each person who was asked about."""
        try:
            documents = [json.loads(line) for line in self.body.splitlines() if line.strip()]
        except ValueError:
            return []
        if len(documents) == 1 and isinstance(documents[0], dict) and "results" in documents[0]:
            return list(documents[0]["results"])
        return documents

    @property
    def is_clear_yes(self) -> bool:
        """Say whether everybody who was asked about may be contacted, and nothing else can be read in it."""
        verdicts = self.verdicts
        return (
            self.status == 200
            and len(verdicts) == self.expected
            and all(isinstance(each, dict) and each.get("allowed") is True for each in verdicts)
        )

    @property
    def could_be_a_yes(self) -> bool:
        """Say whether a caller could take this for a yes: by its status alone, or by anything in its body."""
        says_no = bool(self.verdicts) and all(
            isinstance(each, dict) and each.get("allowed") is False for each in self.verdicts
        )
        return _YES.search(self.body) is not None or (self.status < 400 and not says_no)

    @property
    def hides_its_no(self) -> bool:
        """Say whether the service could not decide and does not say no in its body."""
        return self.status >= 500 and not self.is_outage

    @property
    def is_outage(self) -> bool:
        """Say whether it says that nothing could be decided: as a whole, or line by line once a stream has begun."""
        whole = self.status == 503 and len(self.verdicts) == 1
        lines = self.status == 200 and len(self.verdicts) == self.expected
        return (whole or lines) and all(
            (each.get("allowed"), each.get("reason")) == (False, "unavailable") for each in self.verdicts
        )


Road = Callable[[Scene], Answer]


def post(scene: Scene, path: str, body: dict[str, Any], *, expected: int = 1) -> Answer:
    """Ask as the company's system."""
    return Answer.of(scene.person.world.call(scene.person.company, path, body), expected=expected)


def _ask_by_address(scene: Scene) -> Answer:
    subject = {"email": scene.person.email}
    return post(scene, "/v1/checks", {"subject": subject, "purpose": "newsletter", "channel": "email"})


def _ask_by_id(scene: Scene) -> Answer:
    subject = {"id": scene.subject_id, "contact_point": {"email": scene.person.email}}
    return post(scene, "/v1/checks", {"subject": subject, "purpose": "newsletter", "channel": "email"})


def _everybody(scene: Scene) -> list[dict[str, Any]]:
    """Return the references of a batch: by address, which is plain, and by id, which is not."""
    by_id = {"id": scene.subject_id, "contact_point": {"email": scene.person.email}}
    return [{"email": scene.person.email, "correlation_id": "1"}, by_id, {"email": scene.person.email.upper()}]


def _ask_about_many(scene: Scene) -> Answer:
    everybody = _everybody(scene)
    body = {"subjects": everybody, "purpose": "newsletter", "channel": "email"}
    return post(scene, "/v1/checks/batch", body, expected=len(everybody))


def _ask_in_a_stream(scene: Scene) -> Answer:
    everybody = _everybody(scene)
    response = scene.person.world.client.post(
        STREAM,
        data=b"".join(json.dumps(each).encode() + b"\n" for each in everybody),
        content_type=LINES_OF_JSON,
        headers={"Authorization": f"Bearer {scene.person.company.api_key}"},
    )
    return Answer.of(response, expected=len(everybody))


def serve(scene: Scene, url: str, pieces: Iterable[bytes], *, media_type: str, expected: int = 1) -> Answer:
    """Ask the server itself, piece by piece."""
    api_key = scene.person.company.api_key
    got = served.post(scene.loop, scene.server, url, pieces, media_type=media_type, api_key=api_key)
    return Answer(got.status, got.body, expected)


def _ask_the_server(scene: Scene) -> Answer:
    body = {"subject": {"email": scene.person.email}, "purpose": "newsletter", "channel": "email"}
    return serve(scene, "/v1/checks", [json.dumps(body).encode()], media_type="application/json")


def _ask_the_server_in_a_stream(scene: Scene) -> Answer:
    lines = [json.dumps(each).encode() + b"\n" for each in _everybody(scene)]
    return serve(scene, STREAM, lines, media_type=LINES_OF_JSON, expected=len(lines))


#: Every way to ask; a fault strikes them all.
ROADS: Final[dict[str, Road]] = {
    "one person by address": _ask_by_address,
    "one person by id": _ask_by_id,
    "a batch": _ask_about_many,
    "a stream": _ask_in_a_stream,
    "the server": _ask_the_server,
    "the server, in a stream": _ask_the_server_in_a_stream,
}
