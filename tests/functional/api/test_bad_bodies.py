"""What cannot be understood is refused in the form of this door, with nothing written and nothing repeated."""

import io

import pytest
from werkzeug.test import TestResponse

from tests.functional.api.conftest import KARI, System


def send(system: System, body: bytes, content_type: str = "application/json") -> TestResponse:
    return system.client.post(
        "/v1/checks", data=body, headers={"Authorization": f"Bearer {system.key}", "Content-Type": content_type}
    )


class TestBody:
    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"\xff\xfe", b'{"a": NaN}', b"[" * 5000, b'{"a": ' + b"1" * 5000 + b"}", b"\xef\xbb\xbf{}"],
    )
    def test_what_is_not_json_is_400(self, system: System, body: bytes) -> None:
        answer = send(system, body)

        assert answer.status_code == 400
        assert answer.json is not None
        assert answer.json["code"] == "json_invalid"

    @pytest.mark.parametrize("body", [b"[]", b'"a"', b"null", b"1"])
    def test_json_that_is_no_object_is_422(self, system: System, body: bytes) -> None:
        assert send(system, body).status_code == 422

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
    def test_another_content_type_is_415(self, system: System, content_type: str) -> None:
        assert send(system, b"{}", content_type).status_code == 415

    def test_a_body_beyond_256_kilobytes_is_413(self, system: System) -> None:
        assert send(system, b'{"a": "' + b"x" * 262_144 + b'"}').status_code == 413

    def test_one_that_comes_in_pieces_is_413_too(self, system: System) -> None:
        answer = system.client.post(
            "/v1/checks",
            input_stream=io.BytesIO(b"{" + b" " * 300_000 + b"}"),
            headers={"Authorization": f"Bearer {system.key}", "Content-Type": "application/json"},
            environ_base={"wsgi.input_terminated": True},
        )

        assert answer.status_code == 413

    def test_a_key_that_stands_twice_is_422(self, system: System) -> None:
        answer = send(system, b'{"purpose": "survey", "purpose": "newsletter"}')

        assert answer.status_code == 422
        assert answer.json is not None
        assert answer.json["errors"][0]["code"] == "duplicate_key"

    @pytest.mark.parametrize("text", ["a\\u0000b", "\\ud800"])
    def test_text_that_no_database_can_keep_is_422(self, system: System, text: str) -> None:
        answer = send(system, f'{{"subject": {{"external_id": "{text}"}}}}'.encode())

        assert answer.status_code == 422
        assert answer.json is not None
        assert answer.json["errors"][0]["pointer"] == "/subject/external_id"

    def test_deep_nesting_is_422(self, system: System) -> None:
        assert send(system, b'{"a":' * 100 + b"1" + b"}" * 100).status_code == 422

    @pytest.mark.rule("ACC-11")
    def test_neither_keys_nor_values_come_back(self, system: System) -> None:
        answer = system.post(
            "/v1/checks",
            {"kari@nordmann.example": 1, "subject": {"email": "kari nordmann"}, "purpose": 7, "channel": ["kari"]},
        )

        assert answer.status_code == 422
        assert "kari" not in answer.text


class TestPath:
    @pytest.mark.parametrize(
        "path", ["/v1/subjects/kari", "/v1/subjects/con_00000000000000000000000000", "/v1/subjects/%00", "/v1/%00"]
    )
    def test_what_is_no_id_is_404(self, system: System, path: str) -> None:
        assert system.get(path).status_code == 404

    def test_an_unknown_id_is_404(self, system: System) -> None:
        assert system.get("/v1/subjects/sub_00000000000000000000000000").status_code == 404

    def test_an_id_of_another_controller_is_404(self, system: System, other_system: System) -> None:
        report = other_system.post("/v1/consents", other_system.report(subject=KARI)).json
        assert report is not None

        assert system.get(f"/v1/subjects/{report['subject_id']}").status_code == 404
