"""Answers the plain check past the usual machinery: the same reading, deciding and writing, without a framework.

Most checks are one object with an address, a purpose and a channel, by a key that was used a moment ago. For these the
routing, contexts and schemas of a framework cost more than the answer. Whatever is not plain, and whatever goes wrong,
is left to the usual road (`checks.decide`), which also says what is wrong: nothing here answers anything but 200.
"""

import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from flask import Flask

from consent_service import clock, web
from consent_service.accounts.api_keys import ApiKey
from consent_service.api import asking, checks, health
from consent_service.api.asking import Asking
from consent_service.consent import check, gathering
from consent_service.consent.check import CheckRequest, Decision
from consent_service.consent.standing import Standing
from consent_service.crypto import api_secrets
from consent_service.subjects import fields
from consent_service.subjects.identity import SubjectReference
from consent_service.web import headers, key_guard, logs, request_ids, throttling
from consent_service.web.metrics import Metrics

PATH: Final = "/v1/checks"

_KEYS: Final = frozenset({"subject", "purpose", "channel"})
_JSON: Final = "application/json"
_BEARER: Final = "Bearer "
_LONGEST_BYTES: Final = 1024
_QUOTES: Final = 14
#: Keys that were proved a moment ago, by a hash of their text.
_MOST_PROVED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Quick:
    """An answer to send as it is."""

    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Proved:
    copy: Standing
    api_key: ApiKey


class QuickChecks:
    """The short road of one process."""

    def __init__(self, app: Flask) -> None:
        service: web.Service = app.extensions[web.EXTENSION]
        self._asking: Asking = app.extensions[asking.EXTENSION]
        self._metrics: Metrics = app.extensions[health.METRICS_EXTENSION]
        self._buckets = throttling.buckets(app)
        self._guard = key_guard.of(app)
        self._proved: dict[bytes, _Proved] = {}
        self._headers = [("content-type", _JSON), *headers.of_every_answer(service.settings)]

    def answer(self, sent: Mapping[str, str], query: str, body: bytes) -> Quick | None:
        """Answer a plain check that is allowed to be asked, or return None for the usual road."""
        started = time.perf_counter()
        try:
            plain = None if query else self._read(sent, body)
            if plain is None or not self._guard.is_verified:
                return None
            proved, request, at = plain
            spending = self._buckets.spend(throttling.CHECKS, api_key_id=proved.api_key.id)
            decision = self._decide(proved, request, at)
            if decision is None:
                return None
            statement = asking.sign(proved.copy, decision, as_of=None, issuer=self._asking.issuer)
            written = checks.write(decision, statement)
        except Exception:  # noqa: BLE001 - the usual road meets the same, logs it, and says so in the words of the API
            return None
        return Quick(self._finish(proved, spending.headers(), started), written)

    def _read(self, sent: Mapping[str, str], body: bytes) -> tuple[_Proved, CheckRequest, datetime] | None:
        authorization = sent.get("authorization")
        if (
            len(body) > _LONGEST_BYTES
            or sent.get("content-type") != _JSON
            or sent.get("content-encoding") is not None
            or authorization is None
            or not authorization.startswith(_BEARER)
        ):
            return None
        request = plain_request(body)
        if request is None:
            return None
        at = clock.now()
        proved = self._prove(authorization.removeprefix(_BEARER).strip(), at)
        return None if proved is None else (proved, request, at)

    def _prove(self, text: str, at: datetime) -> _Proved | None:
        """Return whose key this is, and remember that it was proved for as long as the registry stands."""
        digest = hashlib.sha256(text.encode()).digest()
        found = self._proved.get(digest)
        if found is None:
            parsed = api_secrets.parse_api_key(text)
            copy, api_key = self._asking.authenticate(parsed, at)
            if asking.SCOPE not in api_key.scopes or api_key.purposes is not None:
                return None
            if len(self._proved) >= _MOST_PROVED:
                self._proved.clear()
            found = self._proved[digest] = _Proved(copy, api_key)
        if not found.api_key.is_active(at):
            return None
        return found

    def _decide(self, proved: _Proved, request: CheckRequest, at: datetime) -> Decision | None:
        asked = check.ask(proved.copy, request, at=at)
        person = gathering.person_of(asked, request.reference)
        row = self._asking.read(asked, person)
        if row is None:
            # What was proved by an old copy is not proved any more.
            self._proved.clear()
            self._asking.forget(proved.copy)
            return None
        decision = check.answer(asked, None if person is None else row, at=at)
        asking.record(self._asking.spool, proved.copy, proved.api_key, request, decision)
        return decision

    def _finish(self, proved: _Proved, limits: Mapping[str, str], started: float) -> list[tuple[str, str]]:
        request_id = secrets.token_hex(16)
        seconds = time.perf_counter() - started
        logs.write_request(
            request_id=request_id,
            method="POST",
            route=PATH,
            status=200,
            duration_ms=round(seconds * 1000, 2),
            controller_id=proved.copy.controller.controller_id,
            api_key_id=proved.api_key.id,
        )
        self._metrics.count(method="POST", route=PATH, status=200, seconds=seconds)
        return [
            *self._headers,
            (request_ids.HEADER.lower(), request_id),
            *((name.lower(), value) for name, value in limits.items()),
        ]


def plain_request(body: bytes) -> CheckRequest | None:
    """Read a body of exactly a subject with an e-mail address, a purpose and a channel, each named once."""
    if b"\\" in body or body.count(b'"') != _QUOTES:
        return None
    try:
        sent: Any = orjson.loads(body)
    except ValueError:
        return None
    if not isinstance(sent, dict) or sent.keys() != _KEYS:
        return None
    subject, purpose, channel = sent["subject"], sent["purpose"], sent["channel"]
    if not (isinstance(subject, dict) and isinstance(purpose, str) and isinstance(channel, str)):
        return None
    email = subject.get("email")
    contact = fields.plain_email(email) if isinstance(email, str) and len(subject) == 1 else None
    if contact is None or not checks.is_purpose_key(purpose) or channel not in fields.POINT_OF_CHANNEL:
        return None
    return CheckRequest(reference=SubjectReference(contact=contact), purpose=purpose, channel=channel)
