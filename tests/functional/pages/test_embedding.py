"""What the embed element gets and sends: from the form's own origins, without a cookie, the same answer for all."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.functional.pages.conftest import KARI, ORIGIN, FormUnderTest, Stored


def definition(form: FormUnderTest, query: str = "", **headers: str) -> TestResponse:
    return form.client.get(f"{form.path}/definition{query}", headers={"Origin": ORIGIN, **headers})


def said(form: FormUnderTest, query: str = "") -> dict[str, Any]:
    return cast("dict[str, Any]", definition(form, query).get_json())


def submit(
    form: FormUnderTest, changed: Mapping[str, object] = MappingProxyType({}), *, origin: str = ORIGIN
) -> TestResponse:
    sent: dict[str, object] = {
        "email": KARI,
        "phone": "",
        "consent": ["newsletter:email"],
        "lang": "nb",
        "snapshot": said(form)["snapshot"],
        "website": "",
        "page": f"{ORIGIN}/kundeklubb",
    }
    return form.client.post(
        f"{form.path}/submissions",
        json={**sent, **changed},
        headers={"Origin": origin, "X-Consent-Form": form.form_id},
    )


class TestScript:
    @pytest.mark.rule("NO-13")
    def test_it_is_small_and_keeps_nothing_on_the_device(self, client: FlaskClient) -> None:
        answer = client.get("/embed.js")

        assert answer.mimetype == "text/javascript"
        assert len(answer.data) < 13_000
        for word in ("innerHTML", "localStorage", "sessionStorage", "indexedDB", "document.cookie", "insertAdjacent"):
            assert word not in answer.text


class TestDefinition:
    def test_it_says_what_the_hosted_form_says(self, form: FormUnderTest) -> None:
        document = said(form, "?lang=nn")

        hosted = form.open("?lang=nn")
        in_words = hosted.html.replace("<strong>", "").replace("</strong>", "")
        assert document["language"] == "nn"
        assert [box["value"] for box in document["boxes"]] == hosted.form.boxes
        assert all(box["statement"] in in_words for box in document["boxes"])

    @pytest.mark.rule("CAP-01")
    def test_it_has_no_word_for_a_ticked_box(self, form: FormUnderTest) -> None:
        document = said(form)

        assert all(set(box) == {"value", "confirmation", "statement", "facts", "terms"} for box in document["boxes"])

    def test_only_the_forms_origins_may_read_it(self, form: FormUnderTest) -> None:
        assert definition(form).headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "Origin" in definition(form).headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in definition(form).headers

    @pytest.mark.parametrize(
        "origin",
        [
            "https://evil.example",
            "https://nordlys.example.evil.example",
            "https://sub.nordlys.example",
            "http://nordlys.example",
            "https://nordlys.example:8443",
            "null",
        ],
    )
    def test_another_origin_is_refused(self, form: FormUnderTest, origin: str) -> None:
        answer = definition(form, Origin=origin)

        assert answer.status_code == 403
        assert "Access-Control-Allow-Origin" not in answer.headers

    def test_a_language_that_it_lacks_is_answered_with_those_it_has(self, form: FormUnderTest) -> None:
        answer = definition(form, "?lang=fr")

        assert answer.status_code == 404
        assert answer.json is not None
        assert answer.json["languages"] == ["nb", "nn", "en"]
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


class TestSubmissions:
    def test_what_was_ticked_waits(self, form: FormUnderTest, stored: Stored) -> None:
        answer = submit(form)

        assert (answer.status_code, answer.json) == (202, {"status": "received"})
        assert (stored.requests(), stored.messages()) == (1, 1)

    def test_the_answer_is_the_same_with_nothing_ticked(self, form: FormUnderTest, stored: Stored) -> None:
        assert submit(form, {"consent": []}).data == submit(form).data
        assert stored.requests() == 1

    @pytest.mark.rule("NO-13")
    def test_it_sets_no_cookie(self, form: FormUnderTest) -> None:
        assert "Set-Cookie" not in submit(form).headers

    def test_a_fault_names_field_and_code_and_may_be_read(self, form: FormUnderTest, stored: Stored) -> None:
        answer = submit(form, {"email": "kari@"})

        assert answer.status_code == 422
        assert answer.json is not None
        assert [(each["pointer"], each["code"]) for each in answer.json["errors"]] == [("/email", "email_invalid")]
        assert "kari@" not in answer.text
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert stored.requests() == 0

    @pytest.mark.parametrize(
        "changed",
        [{"emial": "x"}, {"consent": "newsletter:email"}, {"consent": [1]}, {"email": 1}, {"consent": ["news:email"]}],
    )
    def test_what_the_element_never_sends_is_not_taken(
        self, form: FormUnderTest, stored: Stored, changed: dict[str, object]
    ) -> None:
        assert submit(form, changed).status_code == 422
        assert stored.requests() == 0

    def test_another_origin_is_refused(self, form: FormUnderTest, stored: Stored) -> None:
        assert submit(form, origin="https://evil.example").status_code == 403
        assert stored.requests() == 0

    def test_a_page_cannot_send_it_without_asking_first(self, form: FormUnderTest, stored: Stored) -> None:
        simple = form.client.post(f"{form.path}/submissions", data="{}", content_type="text/plain")
        without_media_type = form.client.post(
            f"{form.path}/submissions", data="{}", content_type="text/plain", headers={"X-Consent-Form": form.form_id}
        )

        assert simple.status_code == 400
        assert without_media_type.status_code == 415
        assert stored.requests() == 0

    def test_the_browser_is_told_what_it_may_send(self, form: FormUnderTest) -> None:
        answer = form.client.options(f"{form.path}/submissions", headers={"Origin": ORIGIN})

        assert answer.status_code == 204
        assert answer.headers["Access-Control-Allow-Headers"] == "Content-Type, X-Consent-Form"
        assert form.client.options(f"{form.path}/submissions", headers={"Origin": "null"}).status_code == 403
