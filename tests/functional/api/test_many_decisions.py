"""What a batch or stream leaves in the decision log, person by person."""

import json

import psycopg
import pytest

from consent_service.consent.checking_many import CHUNK
from tests.functional.api.conftest import KARI, System
from tests.functional.api.test_many_checks import OLA, batch, lines, send


class TestWhatIsWrittenDown:
    @pytest.mark.parametrize("by_stream", [False, True])
    def test_each_persons_answer_is_found_at_once(self, system: System, *, by_stream: bool) -> None:
        told = system.post("/v1/consents", system.report()).get_json()
        items = [OLA, {}, KARI]
        if by_stream:
            decision_id = send(system, lines(items)).headers["Decision-Id"]
        else:
            decision_id = batch(system, *items)["decision_id"]

        shown = system.get(f"/v1/decisions/{decision_id}?subject_id={told['subject_id']}").get_json()

        assert (shown["kind"], shown["item"]) == ("stream" if by_stream else "batch", 2)
        assert (shown["allowed"], shown["reason"]) == (True, "consent_given")
        assert (shown["consent_id"], shown["notice_version"]) == (told["consents"][0]["consent_id"], 1)
        assert shown["counts"] == {"allowed": 1, "denied": 1, "invalid": 1}

    def test_whoever_could_not_be_decided_is_counted_in_place(self, system: System, superuser_url: str) -> None:
        told = system.post("/v1/consents", system.report()).get_json()
        nobody = [{"email": f"nobody{number}@nordmann.example"} for number in range(3 * CHUNK)]
        answer = send(system, lines([*nobody, KARI]))
        decision = f"/v1/decisions/{answer.headers['Decision-Id']}?subject_id={told['subject_id']}"
        pieces = answer.iter_encoded()

        heard = [next(pieces)]
        with psycopg.connect(superuser_url, autocommit=True) as connection:
            connection.execute("REVOKE SELECT ON ledger_entry FROM consent_app")
            heard.append(next(pieces))
            connection.execute("GRANT SELECT ON ledger_entry TO consent_app")
        heard += pieces
        shown = system.get(decision).get_json()

        assert {json.loads(line)["reason"] for line in heard[1].splitlines()} == {"unavailable"}
        assert shown["item"] == 3 * CHUNK
        assert shown["counts"] == {"allowed": 1, "denied": 3 * CHUNK, "invalid": 0}
