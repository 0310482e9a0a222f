"""Answers errors as RFC 9457 problem details, for every door that speaks JSON.

No text of an exception and no value that was sent is ever repeated: a problem is made of the words in
`problem_types`, of field problems, and of the request id.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, TypeVar

import orjson
import psycopg
from flask import Response, current_app, request
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException

from consent_service import web
from consent_service.audit.query_values import QueryProblem
from consent_service.errors import ConsentServiceError, FieldProblem, InvalidInputError
from consent_service.web import problem_types, request_ids
from consent_service.web.problem_types import ProblemType

MEDIA_TYPE: Final = "application/problem+json"

_CHALLENGE: Final = 'Bearer realm="consent service"'
_RETRY_AFTER_SECONDS: Final = "5"
_WHEN_UNABLE: Final = "consent_service_when_unable"
# Headers of Werkzeug's own exceptions that carry meaning; the rest is ours to set.
_KEPT_HEADERS: Final = ("Allow", "WWW-Authenticate", "Retry-After", "Content-Range")

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem on its way out: its kind, the fields that are wrong, and headers that go with it."""

    kind: ProblemType
    status: int
    errors: tuple[FieldProblem, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict)


class ProblemError(Exception):
    """A door stops a request with this problem."""

    def __init__(
        self,
        code: str,
        *,
        errors: tuple[FieldProblem, ...] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        """Name the kind of problem by its code; `members` stand beside the usual ones."""
        super().__init__(code)
        kind = problem_types.TYPES[code]
        self.problem = Problem(
            kind=kind, status=kind.status, errors=errors, headers=headers or {}, members=members or {}
        )


def when_unable(**members: Any) -> Callable[[View], View]:  # noqa: ANN401 - members of a JSON object
    """Mark a view with members that stand beside the problem whenever the service cannot answer.

    A caller that looks at nothing but the body must still read a no: every server error of this view is a 503 with
    these members.
    """

    def mark(view: View) -> View:
        view.__dict__[_WHEN_UNABLE] = members
        return view

    return mark


def of_exception(error: Exception) -> Problem:
    """Turn whatever was raised into the problem that is shown."""
    problem = _translate(error)
    members = _members_when_unable()
    # A key that is gone is no fault of whoever asks.
    if members and (problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR or problem.status == HTTPStatus.GONE):
        return Problem(
            kind=problem_types.TYPES["unavailable"],
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            headers={"Retry-After": _RETRY_AFTER_SECONDS},
            members=members,
        )
    return problem


def render(problem: Problem) -> Response:
    """Write a problem as application/problem+json."""
    service = web.service()
    body: dict[str, Any] = {
        "type": f"{service.settings.public_url}/problems/{problem.kind.code}",
        "title": problem.kind.title,
        "status": problem.status,
        "detail": problem.kind.explanation,
        "instance": request_ids.current(),
        "code": problem.kind.code,
    }
    if problem.errors:
        body["errors"] = [
            {"pointer": each.pointer, "code": each.code, "detail": each.detail} for each in problem.errors
        ]
    body.update(problem.members)
    answer = Response(orjson.dumps(body), status=problem.status, mimetype=MEDIA_TYPE)
    answer.headers.update(problem.headers)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        answer.headers.setdefault("WWW-Authenticate", _CHALLENGE)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _translate(error: Exception) -> Problem:
    if isinstance(error, ProblemError):
        return error.problem
    if isinstance(error, InvalidInputError):
        kind = problem_types.of_error(error)
        return Problem(kind=kind, status=kind.status, errors=error.problems, members=_places(error))
    if isinstance(error, ConsentServiceError):
        return _of_kind(problem_types.of_error(error))
    if isinstance(error, HTTPException):
        return _of_http_exception(error)
    if _database_is_away(error):
        return _of_kind(problem_types.TYPES["unavailable"])
    return _of_kind(problem_types.TYPES["internal_error"])


def _places(error: InvalidInputError) -> Mapping[str, Any]:
    """Return where in a query what is wrong stands, for a form that points at it."""
    places = [
        {
            "column": each.column,
            "length": each.length,
            "code": each.code,
            "detail": each.detail,
            "suggestion": each.suggestion,
        }
        for each in error.problems
        if isinstance(each, QueryProblem)
    ]
    return {"places": places} if places else {}


def _of_kind(kind: ProblemType) -> Problem:
    unavailable = kind.status == HTTPStatus.SERVICE_UNAVAILABLE
    return Problem(kind=kind, status=kind.status, headers={"Retry-After": _RETRY_AFTER_SECONDS} if unavailable else {})


def _of_http_exception(error: HTTPException) -> Problem:
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    given = dict(error.get_headers())
    headers: dict[str, str] = {name: given[name] for name in _KEPT_HEADERS if name in given}
    return Problem(kind=problem_types.of_status(status), status=status, headers=headers)


def _database_is_away(error: Exception) -> bool:
    # psycopg files lost connections, timeouts, deadlocks, a full disk and a shutdown under OperationalError; a
    # primary that turned into a replica answers with an InternalError of its own (25006).
    if isinstance(error, (OperationalError, PoolTimeoutError, psycopg.OperationalError)):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or getattr(error.orig, "sqlstate", None) == "25006"
    return isinstance(error, OSError)


def _members_when_unable() -> Mapping[str, Any]:
    view = current_app.view_functions.get(request.endpoint or "")
    found: Mapping[str, Any] = getattr(view, _WHEN_UNABLE, {})
    return found
