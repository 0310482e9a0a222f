"""The quick road reads a check as the usual one does, or not at all."""

import json
from typing import Any

import marshmallow as ma
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent_service.api import quick_checks
from consent_service.api.checks import CheckSchema
from consent_service.consent.check import CheckRequest
from consent_service.errors import InvalidInputError
from consent_service.web import json_bodies
from consent_service.web.problems import ProblemError

PLAIN: dict[str, Any] = {"subject": {"email": "kari@kunde.example"}, "purpose": "newsletter", "channel": "email"}

TEXTS = st.sampled_from(["email", "sms", "ads", "newsletter", "kari@kunde.example", "Kari@kunde.example", "", " ", "é"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=3,
)
NAMES = st.sampled_from(["subject", "purpose", "channel", "as_of", "recipient", "porpoise"])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Change a plain body: another value, a key more, less or twice, a byte."""
    members = [[name, value] for name, value in PLAIN.items()]
    for _ in range(draw(st.integers(0, 2))):
        how = draw(st.sampled_from(["value", "add", "drop", "subject"]))
        place = draw(st.integers(0, max(len(members) - 1, 0)))
        if how == "add" or not members:
            members.append([draw(NAMES), draw(VALUES)])
        elif how == "drop":
            members.pop(place)
        elif how == "value":
            members[place][1] = draw(VALUES)
        else:
            members[place][1] = {draw(st.sampled_from(["email", "phone", "id"])): draw(VALUES)}
    text = ",".join(
        f"{json.dumps(name)}:{json.dumps(value, ensure_ascii=draw(st.booleans()))}" for name, value in members
    )
    body = bytearray(f"{{{text}}}".encode())
    if draw(st.booleans()):
        body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(body)


def read(body: bytes) -> CheckRequest | None:
    """Read a body the usual way."""
    try:
        sent = CheckSchema().load(json_bodies.parse(body))
    except (ma.ValidationError, InvalidInputError, ProblemError, ValueError):
        return None
    return CheckRequest(
        reference=sent.subject.resolve(system="till"),
        purpose=sent.purpose,
        channel=sent.channel,
        as_of=sent.as_of,
        known_at=sent.known_at,
        recipient=sent.recipient,
        min_evidence=sent.min_evidence,
    )


class TestPlainRequest:
    def test_the_plain_check_is_read(self) -> None:
        body = json.dumps(PLAIN).encode()

        assert quick_checks.plain_request(body) == read(body) is not None

    @settings(derandomize=True, max_examples=1_500, deadline=None)
    @given(bodies())
    def test_what_it_reads_is_read_alike_the_usual_way(self, body: bytes) -> None:
        plain = quick_checks.plain_request(body)

        assert plain is None or plain == read(body)

    @pytest.mark.parametrize("channel", [["email"], {"email": "sms"}, 7, None, True])
    def test_a_channel_that_is_no_word_is_left_to_the_usual_way(self, channel: object) -> None:
        body = json.dumps({**PLAIN, "channel": channel}).encode()

        assert quick_checks.plain_request(body) is None
