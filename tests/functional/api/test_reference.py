"""The API is described, and the description is the one that was agreed on."""

import json
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from consent_service.web import access
from consent_service.web.problem_types import TYPES

SNAPSHOT = Path(__file__).parents[3] / "docs" / "openapi.json"


class TestReference:
    @pytest.mark.rule("API-06")
    def test_it_is_openapi(self, client: FlaskClient) -> None:
        document = client.get("/openapi.json").json

        assert document is not None
        assert document["openapi"].startswith("3.1")
        OpenAPIV31SpecValidator(document).validate()

    @pytest.mark.rule("API-06")
    def test_every_route_of_the_api_is_in_it(self, client: FlaskClient, app: Flask) -> None:
        document = client.get("/openapi.json").json

        assert document is not None
        described = {
            (method.upper()) for path in document["paths"].values() for method in path if method != "parameters"
        }
        count = sum(1 for path in document["paths"].values() for method in path if method != "parameters")
        of_the_api = [
            rule
            for _, rule, who in access.list_callers(app)
            if (who or "").startswith(access.SCOPE_PREFIX) or rule.startswith("/.well-known/")
        ]
        assert count == len(of_the_api)
        assert described <= {"GET", "POST"}

    @pytest.mark.rule("API-06")
    def test_a_change_of_the_contract_is_seen(self, client: FlaskClient) -> None:
        document = client.get("/openapi.json").json

        assert document == json.loads(SNAPSHOT.read_text(encoding="utf-8"))

    @pytest.mark.rule("API-01")
    def test_each_kind_of_problem_has_its_page(self, client: FlaskClient) -> None:
        for code, kind in TYPES.items():
            page = client.get(f"/problems/{code}")

            assert page.status_code == 200
            assert code in page.text
            assert str(kind.status) in page.text

    def test_the_page_runs_no_script(self, client: FlaskClient) -> None:
        page = client.get("/docs")

        assert "/v1/checks" in page.text
        assert "<script" not in page.text
