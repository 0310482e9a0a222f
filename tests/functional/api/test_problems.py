"""Every error is a problem document that repeats nothing of what was sent."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask, Response, request
from flask.testing import FlaskClient

from consent_service.config import Settings
from consent_service.errors import (
    ConsentServiceError,
    DatabaseStartError,
    DecisionLineBrokenError,
    RegistryUnsettledError,
    ServiceStartError,
    log,
)
from consent_service.web import access, errors, evidence
from consent_service.web.problem_types import TYPES
from consent_service.web.problems import Problem

Start = Callable[[Settings], Flask]


class TestProblems:
    @pytest.mark.rule("API-01")
    def test_an_unknown_address_is_a_problem(self, client: FlaskClient) -> None:
        answer = client.get("/v1/kari@nordmann.example")

        assert answer.status_code == 404
        assert answer.mimetype == "application/problem+json"
        assert answer.json == {
            "type": "http://127.0.0.1:8000/problems/not_found",
            "title": "Not found",
            "status": 404,
            "detail": "There is nothing here, or it belongs to another controller.",
            "instance": answer.headers["Request-Id"],
            "code": "not_found",
        }

    @pytest.mark.rule("API-01")
    def test_a_wrong_method_is_a_problem_that_names_the_right_ones(self, client: FlaskClient) -> None:
        answer = client.post("/health/live")

        assert answer.status_code == 405
        assert answer.mimetype == "application/problem+json"
        assert "GET" in answer.headers["Allow"]

    @pytest.mark.rule("API-01")
    def test_a_failure_tells_nothing_of_itself(self, start: Start, settings: Settings) -> None:
        app = start(settings)

        @app.get("/broken")
        def broken() -> str:
            raise ValueError("kari@nordmann.example")

        answer = app.test_client().get("/broken")

        assert answer.status_code == 500
        assert answer.json is not None
        assert answer.json["code"] == "internal_error"
        assert "kari" not in answer.text

    def test_a_stopped_database_is_not_a_failure_of_the_caller(
        self, start: Start, settings: Settings, tmp_path: Path
    ) -> None:
        away = dataclasses.replace(settings, database_url=f"postgresql://nobody@/none?host={tmp_path}")

        answer = start(away).test_client().get("/v1/purposes")

        assert answer.status_code == 503
        assert answer.headers["Retry-After"]

    def test_each_error_of_the_tree_has_words_of_its_own_or_of_its_parent(self) -> None:
        # What stops a start is said on the terminal, a broken line of the spool in the log of whoever moves it, and a
        # registry that does not settle by each check's own no; none of them by a problem of its own. A damaged log is
        # a finding of whoever verifies it.
        elsewhere = {DatabaseStartError, ServiceStartError, DecisionLineBrokenError, RegistryUnsettledError}
        elsewhere |= {kind for kind in ConsentServiceError.__subclasses__() if kind.__module__ == log.__name__}
        pending, unspoken = [*set(ConsentServiceError.__subclasses__()) - elsewhere], []
        while pending:
            kind = pending.pop()
            pending += kind.__subclasses__()
            known = {each.code for each in kind.__mro__ if issubclass(each, ConsentServiceError)} & set(TYPES)
            unspoken += [] if known - {ConsentServiceError.code} else [kind]

        assert unspoken == []


class TestPages:
    def test_a_person_with_a_browser_gets_a_page(self, client: FlaskClient) -> None:
        answer = client.get("/nowhere", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})

        assert answer.status_code == 404
        assert answer.mimetype == "text/html"

    def test_a_page_that_breaks_leaves_the_problem(self, start: Start, settings: Settings) -> None:
        app = start(settings)

        def break_down(problem: Problem) -> Response:
            raise ValueError(f"kari@nordmann.example met {problem.kind.code}")

        errors.register(app, render_page=break_down)

        answer = app.test_client().get("/nowhere", headers={"Accept": "text/html"})

        assert answer.status_code == 404
        assert answer.mimetype == "application/problem+json"
        assert "kari" not in answer.text

    @pytest.mark.parametrize("host", ["", "a b", "evil.example/x", "[::1", "x" * 3000])
    def test_a_host_that_makes_no_sense_is_an_error_like_others(self, client: FlaskClient, host: str) -> None:
        answer = client.get("/nowhere", headers={"Host": host})

        assert answer.status_code in {400, 404}
        assert answer.mimetype == "application/problem+json"


class TestTrustedProxies:
    def test_the_address_counts_the_proxies_that_are_trusted_and_no_more(
        self, start: Start, settings: Settings
    ) -> None:
        app = start(dataclasses.replace(settings, trusted_proxies=1))

        @app.get("/who")
        def who() -> str:
            return evidence.from_request(request).ip or ""

        answer = app.test_client().get("/who", headers={"X-Forwarded-For": "192.0.2.66, 198.51.100.7"})

        assert answer.text == "198.51.100.7"

    def test_without_one_the_header_is_anybody_s_word(self, start: Start, settings: Settings) -> None:
        app = start(settings)

        @app.get("/who")
        def who() -> str:
            return evidence.from_request(request).ip or ""

        answer = app.test_client().get("/who", headers={"X-Forwarded-For": "192.0.2.66"})

        assert answer.text == "127.0.0.1"


class TestHeaders:
    def test_every_answer_is_protected(self, client: FlaskClient) -> None:
        answer = client.get("/health/live")

        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "Strict-Transport-Security" not in answer.headers

    def test_https_is_remembered_by_browsers(self, start: Start, settings: Settings) -> None:
        app = start(dataclasses.replace(settings, public_url="https://consent.example"))

        answer = app.test_client().get("/health/live")

        assert "max-age=" in answer.headers["Strict-Transport-Security"]


class TestLog:
    @pytest.mark.rule("ACC-11")
    def test_it_names_the_route_and_nothing_that_was_sent(
        self, client: FlaskClient, capfd: pytest.CaptureFixture[str]
    ) -> None:
        client.get("/v1/kari@nordmann.example?email=kari@nordmann.example")

        written = capfd.readouterr().err
        assert '"event":"request"' in written.replace(" ", "")
        assert "kari" not in written


class TestAccess:
    def test_every_route_names_its_caller(self, app: Flask) -> None:
        assert [rule for _, rule, who in access.list_callers(app) if who is None] == []

    def test_a_service_with_an_unmarked_door_does_not_start(self, start: Start, settings: Settings) -> None:
        app = start(settings)
        app.add_url_rule("/unmarked", view_func=lambda: "")

        with pytest.raises(access.CallerMissingError):
            access.demand_callers(app)
