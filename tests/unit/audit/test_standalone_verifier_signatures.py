"""The verifier's own Ed25519 says what the standard and another implementation say."""

import hashlib
import random

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from consent_service.audit.standalone_verifier import signatures
from consent_service.audit.standalone_verifier.signatures import FindingError, Key
from tests.bundles import LOG_TYPE, WITNESS_TYPE, Signer

#: Secret key, public key, message and signature (RFC 8032 §7.1: TEST 1, 2, 3 and SHA(abc)).
VECTORS = (
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        (
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        ),
        (
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
            "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"
        ),
    ),
)
#: The eight points of small order and some other spellings of them, as far as they are 32 bytes below 2^255 and above.
SMALL_ORDER = (
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)


def _other_says(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


class TestIsSigned:
    @pytest.mark.parametrize(("secret", "public", "message", "signature"), VECTORS)
    def test_it_takes_the_examples_of_the_standard(
        self, secret: str, public: str, message: str, signature: str
    ) -> None:
        own = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)).public_key().public_bytes_raw()

        assert own.hex() == public
        assert signatures.is_signed(own, bytes.fromhex(message), bytes.fromhex(signature))

    def test_it_says_what_another_implementation_says(self) -> None:
        chance = random.Random(8032)  # noqa: S311 - tests must be the same tomorrow
        taken = refused = 0
        for _ in range(150):
            key = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
            message = chance.randbytes(chance.randrange(200))
            parts = [key.public_key().public_bytes_raw(), message, key.sign(message)]
            for broken in (None, 0, 1, 2):
                tried = list(parts)
                if broken is not None and tried[broken]:
                    at, data = chance.randrange(len(tried[broken])), bytearray(tried[broken])
                    data[at] ^= 1 << chance.randrange(8)
                    tried[broken] = bytes(data)

                said = signatures.is_signed(tried[0], tried[1], tried[2])

                assert said == _other_says(tried[0], tried[1], tried[2])
                taken, refused = taken + said, refused + (not said)
        assert taken >= 150
        assert refused >= 400

    def test_it_refuses_a_second_spelling_of_a_signature(self) -> None:
        key = Ed25519PrivateKey.from_private_bytes(b"\x05" * 32)
        good = key.sign(b"text")
        number = int.from_bytes(good[32:], "little") + signatures.ORDER

        assert not signatures.is_signed(
            key.public_key().public_bytes_raw(), b"text", good[:32] + number.to_bytes(32, "little")
        )

    @pytest.mark.parametrize("length", [0, 1, 32, 63, 65, 128])
    def test_it_refuses_another_length(self, length: int) -> None:
        key = Ed25519PrivateKey.from_private_bytes(b"\x05" * 32)
        signature = (key.sign(b"text") + bytes(64))[:length]

        assert not signatures.is_signed(key.public_key().public_bytes_raw(), b"text", signature)

    @pytest.mark.parametrize("public", SMALL_ORDER)
    def test_it_refuses_a_key_that_would_sign_anything(self, public: str) -> None:
        key = bytes.fromhex(public)
        # With such a key, and this commitment and no number, a signature would be good for one message in eight.
        tried = [
            signatures.is_signed(key, b"%d" % number, commitment + bytes(32))
            for number in range(8)
            for commitment in (bytes.fromhex(SMALL_ORDER[0]), key)
        ]

        assert not any(tried)

    def test_a_point_has_one_spelling(self) -> None:
        spelled = []
        for y in range(2, 19):
            try:
                signatures.read_point(y.to_bytes(32, "little"))
            except ValueError:
                continue
            spelled.append(y)
            with pytest.raises(ValueError, match="no point"):
                signatures.read_point((y + signatures.P).to_bytes(32, "little"))

        assert len(spelled) > 4

    def test_it_refuses_what_is_no_point_of_the_curve(self) -> None:
        key = Ed25519PrivateKey.from_private_bytes(b"\x05" * 32)
        refused = 0
        for number in range(2, 40):
            try:
                signatures.read_point(number.to_bytes(32, "little"))
            except ValueError:
                refused += 1
                assert not signatures.is_signed(number.to_bytes(32, "little"), b"text", key.sign(b"text"))

        assert 10 < refused < 30


class TestKeys:
    def test_the_example_of_the_standard_is_signed(self) -> None:
        vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
        text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
        encoded = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
        key = signatures.read_key(vkey)

        assert signatures.is_signed(key.public, text.encode(), signatures.read_base64(encoded)[4:])
        assert signatures.read_base64(encoded)[:4] == key.id

    @pytest.mark.parametrize("kind", [LOG_TYPE, WITNESS_TYPE])
    def test_a_verifier_key_is_read(self, kind: int) -> None:
        signer = Signer("witness.example/w1", kind)

        assert signatures.read_key(signer.vkey) == Key(signer.name, kind, signer.public)

    def test_no_changed_character_of_a_verifier_key_is_read_as_another(self) -> None:
        vkey = Signer("witness.example/w1").vkey
        for at in range(len(vkey)):
            for other in "aAbB0+/ =\n\r\x85é":
                changed = vkey[:at] + other + vkey[at + 1 :]
                if changed != vkey:
                    with pytest.raises(ValueError, match=r".*"):
                        signatures.read_key(changed)

    def test_a_key_of_another_kind_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no verifier key"):
            signatures.read_key(Signer("witness.example/w1", 6).vkey)


class TestCheckpoints:
    def test_a_checkpoint_is_read(self) -> None:
        signer = Signer("log.example/1")
        text = f"log.example/1\n0\n{'47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='}\n"

        head = signatures.read_head("checkpoint", f"{text}\n{signer.line(text)}".encode())

        assert (head.origin, head.size, head.root) == ("log.example/1", 0, hashlib.sha256().digest())
        assert Key(signer.name, LOG_TYPE, signer.public).signed_at(head) == 0

    @pytest.mark.parametrize(
        "note",
        [
            "",
            "log.example/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
            "log.example/1\n00\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— log.example/1 AAAAAAAA\n",
            "log.example/1\n-1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— log.example/1 AAAAAAAA\n",
            "log.example/1\n٣\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— log.example/1 AAAAAAAA\n",
            "log.example/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\n\n— log.example/1 AAAAAAAA\n",
            "log.example/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— log.example/1 AAAAAAAA",
            "log.example/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n- log.example/1 AAAAAAAA\n",
            "log.example/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— log.example/1 AAAAAAA\n",
            "log.example/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— log.example/1  AAAAAAAA\n",
            "log.example/1\r\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— log.example/1 AAAAAAAA\n",
            "\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— log.example/1 AAAAAAAA\n",
        ],
    )
    def test_what_is_written_otherwise_is_none(self, note: str) -> None:
        with pytest.raises(FindingError, match="bad_signature"):
            signatures.read_head("checkpoint", note.encode())
