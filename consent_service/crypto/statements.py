"""Answers for signed statements: compact JWS under Ed25519, and the public keys that verify them.

JSON Web Signature (RFC 7515) with EdDSA (RFC 8037), keys as JWK (RFC 7517) named by their thumbprint (RFC 7638).
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

#: Says what the statement is, so that a token made for something else is not taken for one (RFC 8725 §3.11).
TYPE: Final = "consent-decision+jwt"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key that signs statements; its secret is left out of the repr."""

    kid: str
    _private: Ed25519PrivateKey = field(repr=False)
    _header: bytes = field(repr=False)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Sign claims into a compact JWS (RFC 7515 §7.1). Anybody can read them: ids and words, no address."""
        signed = self._header + b"." + _encode(_compact(claims))
        return (signed + b"." + _encode(self._private.sign(signed))).decode()

    def public_jwk(self) -> dict[str, str]:
        """Return the public half as a JWK that says what it is for."""
        return {**_public_members(self._private), "kid": self.kid, "use": "sig", "alg": "EdDSA"}


def open_key(seed: bytes) -> SigningKey:
    """Make a key of its 32 random bytes (RFC 8032 §5.1.5); raises ValueError where there are not 32."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    # The members that the thumbprint is made of, in this order and without spaces (RFC 8037 §2, RFC 7638 §3).
    members = dict(sorted(_public_members(private).items()))
    kid = _encode(hashlib.sha256(_compact(members)).digest()).decode()
    return SigningKey(kid, private, _encode(_compact({"alg": "EdDSA", "kid": kid, "typ": TYPE})))


def _public_members(private: Ed25519PrivateKey) -> dict[str, str]:
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": _encode(raw).decode()}


def _compact(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _encode(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
