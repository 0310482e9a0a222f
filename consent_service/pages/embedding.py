"""What the embed element needs: its script, the form's definition, and a place to send the answer to.

Only the origins that a form names may read the answers (exact match of scheme, host and port). That keeps other sites
from showing the form as theirs; it does not keep anybody from sending one, so nothing here trusts an Origin.
"""

from functools import cache
from pathlib import Path
from typing import Final, cast

from flask import Blueprint, Response, current_app, g, jsonify, request

from consent_service import clock, web
from consent_service.consent import age, answers
from consent_service.db.session import keyring_of
from consent_service.errors import FieldProblem, InvalidInputError
from consent_service.language import rendering
from consent_service.pages import framing, signup, snapshots, submission, typed, whose
from consent_service.registry import forms
from consent_service.registry.forms import FormVersion, ShownForm
from consent_service.web import access, json_bodies, problem_types, problems
from consent_service.web.access import caller
from consent_service.web.problems import Problem, ProblemError

blueprint = Blueprint("embedding", __name__)

_ALLOWED: Final = "pages_allowed_origin"
_SCRIPT_SECONDS: Final = 300
_PREFLIGHT_SECONDS: Final = "600"


@blueprint.get("/embed.js")
@caller(access.PUBLIC)
def script() -> Response:
    """Send the script that defines <consent-signup>; it is the same for everybody."""
    answer = Response(_read_script(), mimetype="text/javascript")
    answer.headers["Cache-Control"] = f"public, max-age={_SCRIPT_SECONDS}"
    answer.headers["Access-Control-Allow-Origin"] = "*"
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return answer


@blueprint.get("/f/<form_key>/definition", provide_automatic_options=False)
@caller(access.PUBLIC)
def define(form_key: str) -> Response:
    """Say what the element draws, with the signed snapshot of it."""
    controller_id, form_id = whose.form(form_key)
    at = snapshots.moment(clock.now())
    with web.service().database.transaction(controller_id) as session:
        version = forms.current(session, form_id=form_id, at=at)
        _admit_origin(version)
        languages = signup.languages_of(version)
        named = request.args.get("lang")
        if named is not None and named not in languages:
            kind = problem_types.TYPES["language_unknown"]
            return problems.render(Problem(kind=kind, status=kind.status, members={"languages": list(languages)}))
        form = age.ask_in(
            forms.shown_online(session, form=version, language=framing.wished_language(languages), at=at), at=at
        )
        snapshot = snapshots.of_form(keyring_of(session), form, at=at)
    return _definition(form, snapshot)


@blueprint.post("/f/<form_key>/submissions", provide_automatic_options=False)
@caller(access.PUBLIC)
def receive(form_key: str) -> Response:
    """Take what the element sends; the answer is the same for every address and every choice."""
    controller_id, form_id = whose.form(form_key)
    at = clock.now()
    with web.service().database.transaction(controller_id) as session:
        _admit_origin(forms.current(session, form_id=form_id, at=at))
    # A page can send neither this header nor this media type to another origin without asking first.
    if request.headers.get("X-Consent-Form") != form_key:
        raise ProblemError("bad_request")
    sent = typed.from_json(json_bodies.read(request))
    origin = request.headers.get("Origin") or None
    page_url = submission.page_url(sent.page_url, origin=origin, form_id=form_id)
    outcome = submission.take(controller_id, form_id, sent, page_url=page_url, at=at)
    if outcome.faults:
        detail = "This has to be corrected."
        raise InvalidInputError(tuple(FieldProblem(f"/{name or ''}", code, detail) for name, code in outcome.faults))
    answer = jsonify(status="received")
    answer.status_code = 202
    return answer


@blueprint.route("/f/<form_key>/definition", methods=["OPTIONS"], provide_automatic_options=False)
@blueprint.route("/f/<form_key>/submissions", methods=["OPTIONS"], provide_automatic_options=False)
@caller(access.PUBLIC)
def allow(form_key: str) -> Response:
    """Tell a browser whether a page may send this form."""
    controller_id, form_id = whose.form(form_key)
    with web.service().database.transaction(controller_id) as session:
        _admit_origin(forms.current(session, form_id=form_id, at=clock.now()))
    answer = Response(status=204)
    answer.headers["Access-Control-Allow-Methods"] = "GET, POST"
    answer.headers["Access-Control-Allow-Headers"] = "Content-Type, X-Consent-Form"
    answer.headers["Access-Control-Max-Age"] = _PREFLIGHT_SECONDS
    return answer


@blueprint.after_request
def name_the_origin(answer: Response) -> Response:
    """Let the page of an allowed origin read the answer, errors included; no cookie ever goes with it."""
    if request.endpoint != f"{blueprint.name}.{script.__name__}":
        answer.vary.add("Origin")
        origin = g.get(_ALLOWED)
        if origin is not None:
            answer.headers["Access-Control-Allow-Origin"] = origin
            answer.headers["Access-Control-Expose-Headers"] = "Retry-After"
    return answer


@cache
def _read_script() -> bytes:
    return (Path(cast("str", current_app.static_folder)) / "embed.js").read_bytes()


def _admit_origin(version: FormVersion) -> None:
    origin = request.headers.get("Origin")
    if origin is None:
        return
    if origin not in version.definition.origins and origin != web.service().settings.public_url:
        raise ProblemError("forbidden")
    setattr(g, _ALLOWED, origin)


def _confirmation(channel: str) -> str | None:
    """Say what confirms a box; None where that hangs on whether an e-mail address is given."""
    ways = {answers.confirmation_of(channel, has_email=has_email) for has_email in (True, False)}
    return ways.pop() if len(ways) == 1 else None


def _definition(form: ShownForm, snapshot: str) -> Response:
    public_url = web.service().settings.public_url
    document = rendering.render(
        "pages/definition.json",
        language=form.language,
        timezone=form.controller.timezone,
        controller=form.controller,
        form=form,
        fields=signup.fields_of(form),
        snapshot=snapshot,
        choices_url=f"{public_url}{framing.choices_path(form.controller, form.language)}",
        code_url=f"{public_url}/f/{form.form_id}/code?lang={form.language}",
        confirmations={box.channel: _confirmation(box.channel) for box in form.boxes},
    )
    answer = Response(document, mimetype="application/json")
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Content-Language"] = form.language
    answer.vary.add("Accept-Language")
    return answer
