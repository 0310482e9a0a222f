"""A statement says what was answered, and ends before the answer does."""

import base64
import dataclasses
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography.exceptions import InvalidSignature

from consent_service.consent import statements
from consent_service.consent.statements import Stated
from consent_service.crypto import statements as signatures
from tests.builders import NOON
from tests.unit.crypto.test_statements import verify

ROOT = Path(__file__).resolve().parents[3]
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


def documented_verifier() -> Callable[..., dict[str, Any]]:
    """Run the example of the document, as a reader of it would."""
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "decisions.md").read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own document
    found: Callable[..., dict[str, Any]] = names["verify"]
    return found


class TestDocumentedVerifier:
    SAID: ClassVar = {"issuer": "https://samtykke.example", "controller": "nordlys"}

    def test_it_takes_what_we_sign(self) -> None:
        statement = statements.sign(KEY, YES, issuer="https://samtykke.example", controller_key="nordlys")

        found = documented_verifier()(statement, {"keys": [KEY.public_jwk()]}, **self.SAID)

        assert found == claims(YES)

    @pytest.mark.parametrize("other", [{"issuer": "https://elsewhere.example"}, {"controller_key": "fjord"}])
    def test_it_refuses_somebody_elses(self, other: dict[str, str]) -> None:
        said = {"issuer": "https://samtykke.example", "controller_key": "nordlys", **other}
        statement = statements.sign(KEY, YES, **said)

        with pytest.raises(ValueError, match="somebody else"):
            documented_verifier()(statement, {"keys": [KEY.public_jwk()]}, **self.SAID)

    def test_it_refuses_what_was_altered(self) -> None:
        header, _, signature = statements.sign(
            KEY, YES, issuer="https://samtykke.example", controller_key="nordlys"
        ).split(".")
        forged = base64.urlsafe_b64encode(b'{"allowed":true}').rstrip(b"=").decode()

        with pytest.raises(InvalidSignature):
            documented_verifier()(f"{header}.{forged}.{signature}", {"keys": [KEY.public_jwk()]}, **self.SAID)


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
