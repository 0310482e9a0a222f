"""Every route says who may call it."""

from flask import Flask

from consent_service.accounts import api_keys
from consent_service.web import access


class TestRoutes:
    def test_each_names_its_caller(self, app: Flask) -> None:
        silent = [f"{method} {rule}" for method, rule, who in access.list_callers(app) if who is None]

        assert silent == []

    def test_scopes_are_those_that_a_key_can_have(self, app: Flask) -> None:
        named = {who for _, _, who in access.list_callers(app) if who and who.startswith(access.SCOPE_PREFIX)}

        assert {scope.removeprefix(access.SCOPE_PREFIX) for scope in named} <= set(api_keys.SCOPES)

    def test_the_json_api_is_never_open(self, app: Flask) -> None:
        open_routes = [
            f"{method} {rule}"
            for method, rule, who in access.list_callers(app)
            if rule.startswith("/v1/") and not (who or "").startswith(access.SCOPE_PREFIX)
        ]

        assert open_routes == []
