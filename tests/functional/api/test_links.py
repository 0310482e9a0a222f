"""Links for a sender's own mails can only withdraw, and tell nobody who reads them whom they are for."""

import base64

from tests.functional.api.conftest import KARI, System


class TestLinks:
    def test_a_mail_gets_both_links_and_the_headers_for_one_click(self, system: System) -> None:
        system.post("/v1/consents", system.report())

        answer = system.post("/v1/links", {"subject": KARI, "purpose": "survey", "channel": "email"})

        assert answer.status_code == 200
        assert answer.json is not None
        assert answer.json["preferences_url"].startswith("http://127.0.0.1:8000/p/")
        assert answer.json["unsubscribe_url"].startswith("http://127.0.0.1:8000/u/")
        assert answer.json["headers"]["List-Unsubscribe"] == f"<{answer.json['unsubscribe_url']}>"
        assert answer.json["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"

    def test_the_address_stands_in_no_link(self, system: System) -> None:
        answer = system.post("/v1/links", {"subject": KARI})

        assert "nordmann" not in answer.text
        assert base64.urlsafe_b64encode(b"nordmann")[:10].decode() not in answer.text

    def test_many_are_answered_in_their_order_and_each_for_itself(self, system: System) -> None:
        subjects = [
            {**KARI, "correlation_id": "1"},
            {"email": "not an address", "correlation_id": "2"},
            {"id": "sub_00000000000000000000000000", "correlation_id": "3"},
        ]

        answer = system.post("/v1/links/batch", {"subjects": subjects, "purpose": "survey", "channel": "email"})

        assert answer.json is not None
        reasons = [(each["correlation_id"], each["reason"]) for each in answer.json["results"]]
        assert reasons == [("1", None), ("2", "invalid_reference"), ("3", "subject_unknown")]
        assert answer.json["results"][0]["links"]["unsubscribe_url"].startswith("http://127.0.0.1:8000/u/")

    def test_a_batch_may_be_longer_than_other_bodies(self, system: System) -> None:
        subjects = [{"email": "x" * 900, "correlation_id": "1"}] * 400

        assert system.post("/v1/links/batch", {"subjects": subjects}).status_code == 200
