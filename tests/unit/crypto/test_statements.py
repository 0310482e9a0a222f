"""Statements are JWS that anybody with the published key can verify, and nobody else can make."""

import base64
import json
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from consent_service.crypto import statements

#: The key of RFC 8037, Appendix A.
SEED = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
PUBLIC = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verify(statement: str, jwk: dict[str, str]) -> dict[str, Any]:
    header, claims, signature = statement.split(".")
    Ed25519PublicKey.from_public_bytes(decode(jwk["x"])).verify(decode(signature), f"{header}.{claims}".encode())
    assert json.loads(decode(header)) == {"alg": "EdDSA", "kid": jwk["kid"], "typ": "consent-decision+jwt"}
    found: dict[str, Any] = json.loads(decode(claims))
    return found


class TestKey:
    def test_it_is_published_as_the_standard_says(self) -> None:
        key = statements.open_key(decode(SEED))

        assert key.public_jwk() == {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": PUBLIC,
            "kid": THUMBPRINT,
            "use": "sig",
            "alg": "EdDSA",
        }

    def test_its_repr_says_nothing_secret(self) -> None:
        key = statements.open_key(decode(SEED))

        assert repr(key) == f"SigningKey(kid='{THUMBPRINT}')"


class TestSign:
    def test_the_published_key_verifies_what_was_claimed(self) -> None:
        key = statements.open_key(decode(SEED))

        statement = key.sign({"allowed": True, "purpose": "nyhetsbrev på e-post"})

        assert verify(statement, key.public_jwk()) == {"allowed": True, "purpose": "nyhetsbrev på e-post"}
        assert "=" not in statement

    def test_a_changed_claim_does_not_verify(self) -> None:
        key = statements.open_key(decode(SEED))
        header, _, signature = key.sign({"allowed": False}).split(".")
        forged = base64.urlsafe_b64encode(b'{"allowed":true}').rstrip(b"=").decode()

        with pytest.raises(InvalidSignature):
            verify(f"{header}.{forged}.{signature}", key.public_jwk())

    def test_another_key_does_not_verify(self) -> None:
        key, other = statements.open_key(decode(SEED)), statements.open_key(b"0" * 32)

        with pytest.raises(InvalidSignature):
            verify(key.sign({"allowed": True}), other.public_jwk())
