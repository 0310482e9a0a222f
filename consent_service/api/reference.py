"""Serves the reference of the API: /openapi.json, /docs, and the pages that explain each kind of problem."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from flask import Blueprint, Response, abort, current_app
from markupsafe import Markup, escape

from consent_service.api.blueprints import Api
from consent_service.web import access, problem_types
from consent_service.web.access import caller

EXTENSION: Final = "consent_service_openapi"

blueprint = Blueprint("reference", __name__)

_KEPT_SECONDS: Final = 3600
_PAGE: Final = Markup(
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    '<title>{title}</title><link rel="stylesheet" href="/static/page.css"></head>'
    "<body><main>{body}</main></body></html>"
)


def document(api: Api) -> bytes:
    """Write the OpenAPI document of an API whose routes are all registered."""
    return orjson.dumps(api.spec.to_dict(), option=orjson.OPT_INDENT_2)


@blueprint.get("/openapi.json")
@caller(access.PUBLIC)
def openapi() -> Response:
    """Serve the OpenAPI 3.1 document."""
    return _kept(Response(current_app.extensions[EXTENSION], mimetype="application/json"))


@blueprint.get("/docs")
@caller(access.PUBLIC)
def docs() -> Response:
    """Serve the reference as one page without script: every operation, its scope and what it is for."""
    parts = [Markup("<h1>{} {}</h1><p><a href='/openapi.json'>OpenAPI 3.1</a></p>").format("Consent service", "API")]
    paths = orjson.loads(current_app.extensions[EXTENSION])["paths"]
    for path, operations in paths.items():
        for method, operation in operations.items():
            if method == "parameters":
                continue
            parts.append(
                Markup(
                    "<section><h2><code>{} {}</code></h2><p>{}</p><p>{}</p><p>Scope: <code>{}</code></p></section>"
                ).format(
                    method.upper(),
                    path,
                    operation.get("summary", ""),
                    operation.get("description", ""),
                    _scope(operation),
                )
            )
    return _page("API", Markup("").join(parts))


def _scope(operation: Mapping[str, Any]) -> str:
    """Return the scope that an operation needs; those that publish something need none."""
    demands = operation["security"]
    return str(demands[0]["apiKey"][0]) if demands else "none"


@blueprint.get("/problems/")
@caller(access.PUBLIC)
def list_problem_types() -> Response:
    """List the kinds of problem."""
    items = Markup("").join(
        Markup('<li><a href="/problems/{}">{}</a> ({})</li>').format(each.code, each.title, each.status)
        for each in problem_types.TYPES.values()
    )
    return _page("Problems", Markup("<h1>Problems</h1><ul>{}</ul>").format(items))


@blueprint.get("/problems/<code>")
@caller(access.PUBLIC)
def explain_problem_type(code: str) -> Response:
    """Explain one kind of problem: the page that a problem's `type` names."""
    kind = problem_types.TYPES.get(code)
    if kind is None:
        abort(HTTPStatus.NOT_FOUND)
    body = Markup(
        "<h1>{}</h1><p>{}</p><dl><dt>code</dt><dd><code>{}</code></dd><dt>status</dt><dd>{}</dd></dl>"
    ).format(kind.title, kind.explanation, kind.code, kind.status)
    return _page(kind.title, body)


def _page(title: str, body: Markup) -> Response:
    return _kept(Response(_PAGE.format(title=escape(title), body=body), mimetype="text/html"))


def _kept(answer: Response) -> Response:
    # It speaks of nobody and changes with a release only.
    answer.headers["Cache-Control"] = f"public, max-age={_KEPT_SECONDS}"
    return answer
