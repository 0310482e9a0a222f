"""A statement says what was answered, and ends before the answer does."""

import dataclasses
from datetime import timedelta
from typing import Any

from consent_service.consent import statements
from consent_service.consent.statements import Stated
from consent_service.crypto import statements as signatures
from tests.builders import NOON
from tests.unit.crypto.test_statements import verify

KEY = signatures.open_key(b"k" * 32)
YES = Stated(
    decision_id="dec_1",
    evaluated_at=NOON,
    allowed=True,
    status="given",
    reason="consent_given",
    purpose="newsletter",
    channel="email",
    legal_basis="consent",
    subject_id="sub_1",
    consent_id="con_1",
    notice_version=3,
    valid_until=NOON + timedelta(hours=4),
    as_of=None,
)


def claims(stated: Stated) -> dict[str, Any]:
    statement = statements.sign(KEY, stated, issuer="https://samtykke.example", controller_key="nordlys")
    return verify(statement, KEY.public_jwk())


class TestSign:
    def test_it_says_who_was_answered_what_and_no_address(self) -> None:
        assert claims(YES) == {
            "iss": "https://samtykke.example",
            "jti": "dec_1",
            "iat": int(NOON.timestamp()),
            "exp": int(NOON.timestamp()) + 300,
            "controller": "nordlys",
            "allowed": True,
            "status": "given",
            "reason": "consent_given",
            "purpose": "newsletter",
            "channel": "email",
            "legal_basis": "consent",
            "subject_id": "sub_1",
            "consent_id": "con_1",
            "notice_version": 3,
        }

    def test_it_ends_with_the_decision_where_that_is_sooner(self) -> None:
        soon = dataclasses.replace(YES, valid_until=NOON + timedelta(minutes=1))

        assert claims(soon)["exp"] == int(NOON.timestamp()) + 60

    def test_a_no_lasts_five_minutes(self) -> None:
        no = dataclasses.replace(YES, allowed=False, valid_until=None)

        assert claims(no)["exp"] == int(NOON.timestamp()) + 300

    def test_an_answer_about_the_past_says_so(self) -> None:
        past = dataclasses.replace(YES, as_of=NOON - timedelta(days=30), valid_until=None)

        assert claims(past)["as_of"] == (NOON - timedelta(days=30)).isoformat().replace("+00:00", "Z")
