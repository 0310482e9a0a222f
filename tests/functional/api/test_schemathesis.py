"""Whatever the description of the API allows or forbids is sent: nothing breaks; every answer is a described one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import CHECKS, CheckContext, CheckFunction, load_all_checks
from schemathesis.core.transport import Response
from schemathesis.generation.meta import TestPhase

from consent_service.crypto.keyring import Keyring
from consent_service.db.session import Database, make_engine
from tests import builders
from tests.conftest import ROLES, Cluster
from tests.functional.api import contract

load_all_checks()

#: What a valid body may still be refused for, because JSON Schema has no words for it.
REFUSALS: Final = frozenset(
    {
        # Which addresses, numbers, texts and origins there can be takes more than a pattern to say.
        *(
            "email_invalid",
            "phone_invalid",
            "phone_region_required",
            "region_invalid",
            "post_invalid",
            "url_invalid",
            "ip_invalid",
        ),
        *("text_invalid", "control_character", "origin_invalid", "return_url_invalid", "too_deep", "length"),
        # One field or the clock decides what another may be.
        *("before_from", "before_the_sale", "in_the_future", "not_before_the_end", "same_subject", "source_missing"),
        *("missing", "not_together", "double_opt_in_required", "explicit_consent_required", "form_missing"),
        *("repeated", "contact_point_required", "one_of", "only_of_a_bundle", "not_of_a_bundle"),
        # Drafts of notices and forms are read by the registry's own rules, which name each language and channel.
        *("invalid", "unknown_field"),
        # A query has a grammar of its own.
        *("qualifier_missing", "qualifier_unknown", "value_missing", "quote_open", "quote_misplaced", "too_many_terms"),
        *("action_unknown", "actor_unknown", "channel_unknown", "purpose_unknown", "subject_invalid"),
        # 1.0 is an integer of JSON Schema and none of ours.
        "not_an_integer",
        # The tool sends `0` where it finds no example of a body with `oneOf`.
        "not_an_object",
        # Cursors are ours, a key is used once, and half a character is none.
        *("cursor_invalid", "idempotency_mismatch", "media_type_unsupported", "bad_request"),
    }
)


@schemathesis.check
def it_takes_what_is_valid(_: CheckContext, answer: Response, case: Case[Any]) -> None:
    """Refuse a valid request only for what its description cannot say, or because it names what is not there.

    It replaces the tool's own check, which knows no reasons and allows a 422 for all of them or none.
    """
    if case.meta is None or not case.meta.generation.mode.is_positive or answer.status_code not in {400, 415, 422}:
        return
    problem = answer.json()
    codes = {each["code"] for each in problem.get("errors", [problem])}
    assert codes <= REFUSALS, f"{codes - REFUSALS} of a valid request"


CHECKED: Final = [
    it_takes_what_is_valid,
    *(
        cast("CheckFunction", each)
        for each in CHECKS.get_all()
        if each.__name__ not in {"positive_data_acceptance", "it_takes_what_is_valid"}
    ),
]


class Door:
    """Stands in for the application, which is there only once a test runs."""

    app: Flask | None = None

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - WSGI
        """Answer a request."""
        assert self.app is not None
        return self.app(environ, start_response)


DOOR: Final = Door()


def description() -> schemathesis.BaseSchema:
    # A stream's body is lines and no document: each is answered for itself (test_many_checks.py).
    read = schemathesis.openapi.from_dict(contract.DOCUMENT).exclude(path="/v1/checks/stream")
    read.app = DOOR
    return read


ROUTES: Final = description()
ALL_ROUTES: Final = description()
# Boundaries of each field by itself are many, so they are for the long run.
ROUTES.config.phases.coverage.enabled = False


@dataclass(frozen=True, slots=True)
class World:
    """The key of a system that may do everything, and what there is, by the name of the field that means it."""

    key: str
    known: Mapping[str, str]


@pytest.fixture(scope="module")
def world(app: Flask, cluster: Cluster, keyring: Keyring) -> World:
    """Let a controller have what can be named. What one operation leaves behind, the next may meet."""
    DOOR.app = app
    cluster.restore()
    engine = make_engine(cluster.url(login=ROLES.app))
    database = Database(engine, keyring)
    with database.transaction(builders.a_controller(database)) as session:
        builders.a_published_purpose(session, key="survey", double_opt_in=False)
        form = builders.a_form(session, offers=[("survey", "email")])
        given = builders.a_given_consent(session)
        key = builders.an_api_key(session)
    engine.dispose()
    known = {
        "purpose": "survey",
        "channel": "email",
        "email": builders.KARI,
        "phone": builders.KARIS_PHONE,
        "form": form.form_id,
        "form_id": form.form_id,
        "subject_id": given.subject_id or "",
        "consent_id": given.consent_ids[0],
        "language": "nb",
        "q": f"action:consent.* subject:{builders.KARI}",
    }
    return World(key, known)


def of_what_there_is(sent: Any, known: Mapping[str, str]) -> Any:  # noqa: ANN401 - any JSON value
    """Return what is sent, about people, purposes and forms that there are."""
    if isinstance(sent, dict):
        return {
            name: known[name] if name in known and isinstance(each, str) else of_what_there_is(each, known)
            for name, each in sent.items()
        }
    return [of_what_there_is(each, known) for each in sent] if isinstance(sent, list) else sent


def send(case: Case[Any], world: World) -> None:
    case.headers["Authorization"] = f"Bearer {world.key}"
    case.call_and_validate(checks=CHECKED)
    if case.meta is None or not case.meta.generation.mode.is_positive or case.meta.phase.name != TestPhase.FUZZING:
        return
    case.path_parameters = of_what_there_is(case.path_parameters, world.known)
    case.body = of_what_there_is(case.body, world.known)
    case.call_and_validate(checks=CHECKED)


@ROUTES.parametrize()
@settings(max_examples=8, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_its_answers_are_as_described(case: Case[Any], world: World) -> None:
    send(case, world)


@pytest.mark.long
@ALL_ROUTES.parametrize()
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_its_answers_are_as_described_for_long(case: Case[Any], world: World) -> None:
    send(case, world)
