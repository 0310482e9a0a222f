"""Answers questions about people for systems: one statement for each, and a line in the spool before the answer.

What the registry says is kept for each controller and compared with its version in the very statement that looks for
the person, so that an answer costs one round trip and rests on nothing old. This is the one road without a
transaction (docs/architecture.md).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from flask import Response, current_app, request

from consent_service import clock
from consent_service.accounts import api_keys
from consent_service.accounts.api_keys import ApiKey
from consent_service.api.acts import bearer
from consent_service.api.blueprints import ApiBlueprint
from consent_service.consent import check, decisions, gathering, standing, statements
from consent_service.consent.check import CheckRequest, Decision
from consent_service.consent.gathering import Asked, Person
from consent_service.consent.spool import Spool
from consent_service.consent.standing import Standing
from consent_service.consent.statements import Stated
from consent_service.crypto.api_secrets import ParsedApiKey
from consent_service.db.direct import MANY_TIMEOUT_MS, DirectConnections
from consent_service.db.session import Database
from consent_service.errors import ApiKeyInvalidError, ControllerUnknownError, RegistryUnsettledError
from consent_service.web import access, json_bodies, request_log, throttling
from consent_service.web.problems import ProblemError

EXTENSION: Final = "consent_service_asking"
SCOPE: Final = "check"

_TRIES: Final = 3
#: Copies of this many controllers are kept; whoever comes beyond begins anew.
_MOST_COPIES: Final = 1_000

View = Callable[..., Response]


class Asking:
    """What a process keeps to answer checks: copies of registries, a connection for each thread, and its spool."""

    def __init__(self, database: Database, *, spool: Spool, issuer: str) -> None:
        self._database = database
        self._copies: dict[str, Standing] = {}
        self.direct = DirectConnections(database.engine)
        self.direct_many = DirectConnections(database.engine, statement_timeout_ms=MANY_TIMEOUT_MS)
        self.spool = spool
        self.issuer = issuer

    def close(self) -> None:
        """Close what is open, when nothing is asked any more."""
        self.direct.close_all()
        self.direct_many.close_all()

    def copy(self, controller_id: str) -> Standing:
        """Return what the registry of a controller says, as this process last read it.

        Raises ApiKeyInvalidError for a controller that does not exist: only the text of a key names one.
        """
        found = self._copies.get(controller_id)
        if found is None:
            try:
                with self._database.transaction(controller_id) as session:
                    found = standing.load(session)
            except ControllerUnknownError:
                raise ApiKeyInvalidError("this key names no controller") from None
            if len(self._copies) >= _MOST_COPIES:
                self._copies.clear()
            self._copies[controller_id] = found
        return found

    def forget(self, copy: Standing) -> None:
        """Read a controller's registry anew at the next question."""
        if self._copies.get(copy.controller.controller_id) is copy:
            # Another thread may have forgotten it meanwhile.
            self._copies.pop(copy.controller.controller_id, None)

    def verify(self, copy: Standing, parsed: ParsedApiKey, at: datetime) -> ApiKey:
        """Return the key whose text this is, by the copy; raises ApiKeyInvalidError."""
        known = copy.api_keys.get(parsed.key_id)
        if known is None:
            raise ApiKeyInvalidError(parsed.key_id)
        return api_keys.verify(known, parsed, keyring=self._database.keyring, at=at)

    def authenticate(self, parsed: ParsedApiKey, at: datetime) -> tuple[Standing, ApiKey]:
        """Return the copy and the key; one that the copy does not know is looked for in a fresh copy once."""
        copy = self.copy(parsed.controller_id)
        try:
            return copy, self.verify(copy, parsed, at)
        except ApiKeyInvalidError:
            # Guesses must not make us read everything again and again: only another version is a reason to.
            nothing = gathering.Question(purpose="", channel="", at=at)
            if self.read(gathering.ask(copy, nothing), None) is not None:
                raise
            self.forget(copy)
            fresh = self.copy(parsed.controller_id)
            return fresh, self.verify(fresh, parsed, at)

    def read(self, asked: Asked, person: Person | None) -> list[Any] | None:
        """Run the statement for one person, or for the version alone; None where the copy does not stand any more.

        Raises psycopg.Error.
        """
        parameters = gathering.binary_parameters(asked, person)
        return gathering.read_row(self.direct.row(gathering.STATEMENT_DIRECT, gathering.TYPES, parameters))


@dataclass(frozen=True, slots=True)
class Caller:
    """A system that asks: its key, and the copy of the registry that proved it."""

    asking: Asking
    parsed: ParsedApiKey
    copy: Standing
    api_key: ApiKey
    at: datetime

    def demand_purpose(self, purpose: str) -> None:
        """Raise ProblemError where the key is limited to other purposes."""
        if self.api_key.purposes is not None and purpose not in self.api_key.purposes:
            raise ProblemError("purpose_not_allowed")

    def renewed(self) -> "Caller":
        """Return the caller by a fresh copy of the registry; raises as authenticating does."""
        self.asking.forget(self.copy)
        copy, api_key = self.asking.authenticate(self.parsed, self.at)
        _demand_scope(api_key)
        return replace(self, copy=copy, api_key=api_key)


def decide(caller: Caller, request: CheckRequest) -> tuple[Decision, Standing]:
    """Decide one question and write the answer down; returns it with the copy of the registry that it rests on.

    Raises InvalidInputError for a moment in the future, psycopg.Error, SpoolUnavailableError, and
    RegistryUnsettledError where the registry changed at every try.
    """
    for _ in range(_TRIES):
        caller.demand_purpose(request.purpose)
        asked = check.ask(caller.copy, request, at=caller.at)
        person: Person | None = gathering.person_of(asked, request.reference)
        row = caller.asking.read(asked, person)
        if row is not None:
            decision = check.answer(asked, None if person is None else row, at=caller.at)
            record(caller.asking.spool, caller.copy, caller.api_key, request, decision)
            return decision, caller.copy
        caller = caller.renewed()
    raise RegistryUnsettledError


def record(spool: Spool, copy: Standing, api_key: ApiKey, asked: CheckRequest, decision: Decision) -> None:
    """Write a decision down before it is answered; raises SpoolUnavailableError."""
    decisions.record_single(
        spool,
        controller_id=copy.controller.controller_id,
        decision_id=decision.decision_id,
        api_key_id=api_key.id,
        purpose=decision.purpose,
        channel=decision.channel,
        evaluated_at=decision.evaluated_at,
        as_of=asked.as_of,
        known_at=asked.known_at,
        recipient=asked.recipient,
        min_evidence=asked.min_evidence,
        subject_id=decision.subject_id,
        allowed=decision.allowed,
        status=decision.status,
        reason=decision.reason,
        legal_basis=decision.legal_basis,
        consent_id=decision.consent_id,
        ledger_entry_id=decision.ledger_entry_id,
        notice_version=decision.notice_version,
        obligations=decision.obligations,
        valid_until=decision.valid_until,
        next_allowed_at=decision.next_allowed_at,
    )


def sign(copy: Standing, decision: Decision, *, as_of: datetime | None, issuer: str) -> str | None:
    """Sign the answer where the controller has turned that on."""
    if copy.signing_key is None:
        return None
    return statements.sign(
        copy.signing_key,
        Stated(
            decision_id=decision.decision_id,
            evaluated_at=decision.evaluated_at,
            allowed=decision.allowed,
            status=decision.status,
            reason=decision.reason,
            purpose=decision.purpose,
            channel=decision.channel,
            legal_basis=decision.legal_basis,
            subject_id=decision.subject_id,
            consent_id=decision.consent_id,
            notice_version=decision.notice_version,
            valid_until=decision.valid_until,
            as_of=as_of,
        ),
        issuer=issuer,
        controller_key=copy.controller.key,
    )


def asks(*, largest_body_bytes: int | None = None, reads_body: bool = True) -> Callable[[View], View]:
    """Let a view be called by keys with the scope `check`, with the Caller as its first argument.

    No transaction is open. `reads_body` is off for a stream, which reads for itself.
    """

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def wrapper(**arguments: Any) -> Response:  # noqa: ANN401 - whatever stands in the URL
            parsed = bearer()
            if largest_body_bytes is not None:
                request.max_content_length = largest_body_bytes
            if reads_body:
                json_bodies.read_all(request)
            return answer_caller(view, parsed, arguments)

        documented: View = ApiBlueprint.doc(security=[{"apiKey": [SCOPE]}])(wrapper)
        return access.caller(f"{access.SCOPE_PREFIX}{SCOPE}")(documented)

    return decorate


def answer_caller(view: View, parsed: ParsedApiKey, arguments: dict[str, Any]) -> Response:
    """Authenticate, count and answer one call."""
    asking: Asking = current_app.extensions[EXTENSION]
    at = clock.now()
    copy, api_key = asking.authenticate(parsed, at)
    request_log.remember_caller(controller_id=parsed.controller_id, api_key_id=api_key.id)
    _demand_scope(api_key)
    spending = throttling.spend(throttling.CHECKS, api_key_id=api_key.id)
    answer = view(Caller(asking, parsed, copy, api_key, at), **arguments)
    answer.headers.update(spending.headers())
    return answer


def _demand_scope(api_key: ApiKey) -> None:
    if SCOPE not in api_key.scopes:
        raise ProblemError("scope_missing")
