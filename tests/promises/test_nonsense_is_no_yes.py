"""Promise: whatever a system sends, an answer that could not be read out of a sensible question is no yes.

The person who is asked about has said yes, so every yes here would be one that nobody asked for (law.md ACC-01).
"""

import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from werkzeug.test import TestResponse

from tests.builders import KARI
from tests.promises.scene import Answer
from tests.promises.world import Company, Person, World

JSON: Final = "application/json"
ASKED: Final[dict[str, Any]] = {"subject": {"email": KARI}, "purpose": "newsletter", "channel": "email"}
ASKED_OF_MANY: Final[dict[str, Any]] = {"subjects": [{"email": KARI}], "purpose": "newsletter", "channel": "email"}
STREAM: Final = "/v1/checks/stream?purpose=newsletter&channel=email"

#: What is wrong with every kind of question alike.
CHANGES: Final[tuple[dict[str, Any], ...]] = (
    {"purpose": ""},
    {"purpose": None},
    {"purpose": ["newsletter"]},
    {"purpose": "NEWSLETTER"},
    {"purpose": "newsletter "},
    {"purpose": "nobody_knows"},
    {"channel": ["email"]},
    {"channel": "EMAIL"},
    {"channel": "sms"},
    {"channel": "pigeon"},
    {"as_of": "2999-01-01T00:00:00Z"},
    {"as_of": "1969-07-20T20:17:00Z"},
    {"as_of": "0001-01-01T00:00:00+23:59"},
    {"as_of": "2026-03-02T12:00:00"},
    {"as_of": "yesterday"},
    {"as_of": 0},
    {"allowed": True},
    {"purposes": ["newsletter"]},
)
#: What is wrong with the question about one person.
CHANGES_OF_ONE: Final[tuple[dict[str, Any], ...]] = (
    {"subject": None},
    {"subject": []},
    {"subject": KARI},
    {"known_at": "2999-01-01T00:00:00Z"},
    {"known_at": "1969-07-20T20:17:00Z"},
    {"min_evidence": "notarised"},
    {"recipient": "nobody_named"},
)
#: What is wrong with who is meant, in one question or in an item of many.
REFERENCES: Final[tuple[Any, ...]] = (
    {},
    {"email": KARI, "phone": "+4740000001"},
    {"email": KARI, "id": "sub_00000000000000000000000000"},
    {"email": KARI, "email_address": KARI},
    {"email": KARI, "contact_point": {"email": KARI}},
    {"email": [KARI]},
    {"email": {"email": KARI}},
    {"email": ""},
    {"email": f"{KARI}, {KARI}"},
    {"email": f"{KARI}\u0000"},
    {"email": f"{KARI}\ud800"},
    {"email": None},
    {"email": True},
    {"phone": KARI},
    {"id": "sub_nonsense"},
    {"id": KARI},
    {"external_id": KARI},
    [],
    KARI,
    1,
    None,
    True,
)
#: Bodies that are no body, or would be read in two ways.
BODIES: Final[dict[str, tuple[bytes, str]]] = {
    "nothing": (b"", JSON),
    "a torn object": (json.dumps(ASKED).encode()[:-1], JSON),
    "two objects": (json.dumps(ASKED).encode() * 2, JSON),
    "a list": (json.dumps([ASKED]).encode(), JSON),
    "a word": (b"true", JSON),
    "no number": (json.dumps({**ASKED, "as_of": float("nan")}).encode(), JSON),
    "a key twice": (b'{"purpose": "nothing", ' + json.dumps(ASKED).encode()[1:], JSON),
    "a subject twice": (b'{"subject": {"email": "ola@kunde.example"}, ' + json.dumps(ASKED).encode()[1:], JSON),
    "another coding": (json.dumps(ASKED).encode("utf-16"), JSON),
    "a mark of byte order": (json.dumps(ASKED).encode("utf-8-sig"), JSON),
    "bytes that are no text": (b'{"subject": {"email": "\xff"}}', JSON),
    "a deep nest": (b'{"subject": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", JSON),
    "ten megabytes": (json.dumps({**ASKED, "purpose": "n" * 10_000_000}).encode(), JSON),
    "a form": (b"subject=" + KARI.encode(), "application/x-www-form-urlencoded"),
    "plain text": (json.dumps(ASKED).encode(), "text/plain"),
    "no media type": (json.dumps(ASKED).encode(), ""),
}
#: Lines of a stream that ask nothing; the stream goes on after each.
LINES: Final[dict[str, bytes]] = {
    "a torn line": b'{"email": "' + KARI.encode(),
    "two objects in a line": b'{"email": "' + KARI.encode() + b'"} {}',
    "a key twice": b'{"email": "ola@kunde.example", "email": "' + KARI.encode() + b'"}',
    "a key twice, escaped": b'{"email": "ola@kunde.example", "\\u0065mail": "' + KARI.encode() + b'"}',
    "ten megabytes": b'{"email": "' + KARI.encode() + b'", "correlation_id": "' + b"1" * 10_000_000 + b'"}',
    "a long correlation id": b'{"email": "' + KARI.encode() + b'", "correlation_id": "' + b"1" * 201 + b'"}',
    "a number for a correlation id": b'{"email": "' + KARI.encode() + b'", "correlation_id": 1}',
    "bytes that are no text": b'{"email": "\xff"}',
    "a deep nest": b"[" * 5_000 + b"]" * 5_000,
}
KEYS: Final[dict[str, Callable[[str], str]]] = {
    "none": lambda _: "",
    "no scheme": lambda key: key,
    "another scheme": lambda key: f"Basic {key}",
    "half a key": lambda key: f"Bearer {key[: len(key) // 2]}",
    "a key and more": lambda key: f"Bearer {key}0",
    "a key with another secret": lambda key: f"Bearer {key[:-4]}0000",
    "a key of a demo": lambda key: f"Bearer {key.replace('_live_', '_demo_')}",
}


@pytest.fixture
def kari(world: World, company: Company) -> Person:
    """Return somebody about whom the true answer is yes."""
    person = world.a_subscriber(company, KARI)
    assert person.is_on_the_list()
    return person


def send(kari: Person, path: str, body: bytes, media_type: str = JSON, authorization: str | None = None) -> Answer:
    """Send bytes, whatever becomes of them."""
    bearer = f"Bearer {kari.company.api_key}" if authorization is None else authorization
    answer: TestResponse = kari.world.client.post(
        path, data=body, content_type=media_type, headers={"Authorization": bearer}
    )
    return Answer.of(answer)


def clear_yeses(kari: Person) -> dict[str, bool]:
    """Ask properly on every road."""
    return {
        "one": send(kari, "/v1/checks", json.dumps(ASKED).encode()).is_clear_yes,
        "batch": send(kari, "/v1/checks/batch", json.dumps(ASKED_OF_MANY).encode()).is_clear_yes,
        "stream": send(kari, STREAM, json.dumps({"email": KARI}).encode(), "application/x-ndjson").is_clear_yes,
    }


def yeses(answers: dict[str, Answer]) -> dict[str, bytes]:
    """Return what could be taken for a yes, and what broke instead of being refused."""
    return {
        name: answer.body[:300] for name, answer in answers.items() if answer.could_be_a_yes or answer.status >= 500
    }


class TestAQuestionThatMakesNoSense:
    @pytest.mark.rule("ACC-01")
    def test_about_one_person_makes_no_yes(self, kari: Person) -> None:
        changes = [*CHANGES, *CHANGES_OF_ONE, *({"subject": each} for each in REFERENCES)]

        answers = {
            repr(change): send(kari, "/v1/checks", json.dumps({**ASKED, **change}).encode()) for change in changes
        }

        assert yeses(answers) == {}

    @pytest.mark.rule("ACC-01")
    def test_about_many_makes_no_yes(self, kari: Person) -> None:
        changes = [*CHANGES, {"subjects": []}, {"subjects": None}, {"subjects": {"email": KARI}}]
        changes += [{"subjects": [{"email": KARI}] * 10_001}, {"subjects": list(REFERENCES)}]

        answers = {
            repr(change)[:60]: send(kari, "/v1/checks/batch", json.dumps({**ASKED_OF_MANY, **change}).encode())
            for change in changes
        }

        assert yeses(answers) == {}

    @pytest.mark.rule("ACC-01")
    @pytest.mark.parametrize("path", ["/v1/checks", "/v1/checks/batch"])
    def test_in_a_body_that_is_none_makes_no_yes(self, kari: Person, path: str) -> None:
        answers = {name: send(kari, path, body, media_type) for name, (body, media_type) in BODIES.items()}

        assert yeses(answers) == {}

    @pytest.mark.rule("ACC-01")
    def test_in_a_stream_makes_no_yes_and_spoils_no_other_line(self, kari: Person) -> None:
        lines = [*LINES.values(), *(json.dumps(each).encode() for each in REFERENCES)]
        asked = b"\n".join([*lines, json.dumps({"email": KARI}).encode()])

        answer = send(kari, STREAM, asked, "application/x-ndjson")

        *nonsense, proper = answer.verdicts
        assert [each["allowed"] for each in nonsense] == [False] * len(lines)
        assert proper["allowed"] is True

    @pytest.mark.rule("ACC-01")
    @pytest.mark.parametrize(
        "query", ["", "?purpose=newsletter", "?purpose=newsletter&channel=email&as_of=2999-01-01T00:00:00Z"]
    )
    def test_about_a_whole_stream_makes_no_yes(self, kari: Person, query: str) -> None:
        asked = json.dumps({"email": KARI}).encode()

        answer = send(kari, f"/v1/checks/stream{query}", asked, "application/x-ndjson")

        assert not answer.could_be_a_yes

    @pytest.mark.rule("ACC-01")
    def test_by_somebody_without_a_key_makes_no_yes(self, kari: Person) -> None:
        roads = {
            "/v1/checks": (ASKED, JSON),
            "/v1/checks/batch": (ASKED_OF_MANY, JSON),
            STREAM: ({"email": KARI}, "application/x-ndjson"),
        }
        answers = {
            f"{name} at {path}": send(kari, path, json.dumps(body).encode(), media_type, spell(kari.company.api_key))
            for path, (body, media_type) in roads.items()
            for name, spell in KEYS.items()
        }

        assert yeses(answers) == {}
        assert {answer.status for answer in answers.values()} == {401}

    def test_is_not_why_there_is_no_yes(self, kari: Person) -> None:
        assert clear_yeses(kari) == {"one": True, "batch": True, "stream": True}
