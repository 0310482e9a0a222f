"""Runs what a system asks for: one key, one scope, one transaction.

`authorised` stands on every route of the API. It reads the body before it takes a connection, opens one transaction
for the controller that the key names, and inside it authenticates, counts, looks for a stored answer, lets the view
act, and remembers the answer. The answer leaves after the commit and not before.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson
from flask import Response, request
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from consent_service import clock, web
from consent_service.accounts import api_keys
from consent_service.accounts.api_keys import ApiKey
from consent_service.api import repeated_calls
from consent_service.api.blueprints import ApiBlueprint
from consent_service.audit.trail import Actor
from consent_service.config import Settings
from consent_service.crypto import api_secrets
from consent_service.crypto.api_secrets import ParsedApiKey
from consent_service.errors import ConsentServiceError
from consent_service.web import access, json_bodies, request_log, throttling
from consent_service.web.problems import ProblemError
from consent_service.web.throttling import Budget

View = Callable[..., Response]
Note = Callable[[Session], None]

_TRIES: Final = 3
# Serialization failure and deadlock: nothing happened, and doing the whole act again is safe.
_WORTH_ANOTHER_TRY: Final = frozenset({"40001", "40P01"})


@dataclass(slots=True)
class Act:
    """One call of a system: the open transaction, the key that authorised it, and the moment it happens."""

    session: Session
    api_key: ApiKey
    at: datetime
    settings: Settings
    stored_body: bytes | None = field(default=None, repr=False)
    notes: list[Note] = field(default_factory=list, repr=False)

    @property
    def actor(self) -> Actor:
        """Return who acts, for the audit log."""
        return Actor(kind="api_key", id=self.api_key.id)

    def may_use(self, purpose: str) -> bool:
        """Say whether the key is made for this purpose."""
        return self.api_key.purposes is None or purpose in self.api_key.purposes

    def demand_scope(self, scope: str) -> None:
        """Raise ProblemError unless the key has a scope that only some calls of a route need."""
        if scope not in self.api_key.scopes:
            raise ProblemError("scope_missing")

    def demand_purpose(self, purpose: str | None) -> None:
        """Raise ProblemError where the key is limited to other purposes; None, which means all, is one of these."""
        if self.api_key.purposes is not None and (purpose is None or not self.may_use(purpose)):
            raise ProblemError("purpose_not_allowed")

    def demand_form(self, form_id: str | None) -> None:
        """Raise ProblemError where the key is limited to other forms."""
        if self.api_key.forms is not None and form_id not in self.api_key.forms:
            raise ProblemError("form_not_allowed")

    def note_if_refused(self, note: Note) -> None:
        """Write this down even where the act is refused and nothing else of it stays, in a transaction of its own."""
        self.notes.append(note)

    def remember_only(self, ids: Mapping[str, Any]) -> None:
        """Keep nothing but these ids for a repeated call: its answer shows clear data or a secret."""
        self.stored_body = orjson.dumps(ids)


def authorised(
    scope: str,
    *,
    changes: bool = False,
    budget: Budget = throttling.OTHERS,
    largest_body_bytes: int | None = None,
) -> Callable[[View], View]:
    """Let a view be called by keys with this scope, with the Act as its first argument.

    `changes` marks a POST that changes something, which takes an Idempotency-Key; `largest_body_bytes` lets a batch be
    longer than other bodies.
    """

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def wrapper(**arguments: Any) -> Response:  # noqa: ANN401 - whatever stands in the URL
            parsed = bearer()
            if largest_body_bytes is not None:
                request.max_content_length = largest_body_bytes
            # Read it all now: a body that trickles in must not hold a connection of the pool.
            json_bodies.read_all(request)
            for _ in range(_TRIES - 1):
                try:
                    return _run(view, arguments, parsed, scope=scope, changes=changes, budget=budget)
                except OperationalError as error:
                    if getattr(error.orig, "sqlstate", None) not in _WORTH_ANOTHER_TRY:
                        raise
            return _run(view, arguments, parsed, scope=scope, changes=changes, budget=budget)

        described: dict[str, Any] = {"security": [{"apiKey": [scope]}]}
        if changes:
            described["parameters"] = [repeated_calls.DESCRIPTION]
        documented: View = ApiBlueprint.doc(**described)(wrapper)
        return access.caller(f"{access.SCOPE_PREFIX}{scope}")(documented)

    return decorate


def _run(
    view: View, arguments: Mapping[str, Any], parsed: ParsedApiKey, *, scope: str, changes: bool, budget: Budget
) -> Response:
    notes: list[Note] = []
    try:
        return _act(view, arguments, parsed, notes, scope=scope, changes=changes, budget=budget)
    except ConsentServiceError:
        if notes:
            with web.service().database.transaction(parsed.controller_id) as session:
                for note in notes:
                    note(session)
        raise


def _act(
    view: View,
    arguments: Mapping[str, Any],
    parsed: ParsedApiKey,
    notes: list[Note],
    *,
    scope: str,
    changes: bool,
    budget: Budget,
) -> Response:
    service = web.service()
    at = clock.now()
    with service.database.transaction(parsed.controller_id) as session:
        api_key = api_keys.authenticate(session, parsed, at=at)
        request_log.remember_caller(controller_id=parsed.controller_id, api_key_id=api_key.id)
        if scope not in api_key.scopes:
            raise ProblemError("scope_missing")
        spending = throttling.spend(budget, api_key_id=api_key.id)
        act = Act(session=session, api_key=api_key, at=at, settings=service.settings, notes=notes)

        def run() -> tuple[Response, bytes]:
            answer = view(act, **arguments)
            return answer, answer.get_data() if act.stored_body is None else act.stored_body

        if changes:
            answer = repeated_calls.once(session, request, api_key_id=api_key.id, at=at, act=run)
        else:
            answer = view(act, **arguments)
    answer.headers.update(spending.headers())
    return answer


def bearer() -> ParsedApiKey:
    """Read the API key of a call; raises ProblemError without one and ApiKeyInvalidError for what is none."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text:
        raise ProblemError("authentication_required")
    return api_secrets.parse_api_key(text.strip())
