"""A link is read by us, for its purpose, in its time, letter by letter, or not at all."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service.crypto import links
from consent_service.crypto.keyring import Key, Keyring
from consent_service.errors import LinkExpiredError, LinkInvalidError

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
PAYLOAD = b"c" * 16 + b"s" * 32
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
Rotate = Callable[[Keyring, str], Keyring]


def other_texts(token: str) -> list[str]:
    """List the token with one character changed, at every place, to all its neighbours."""
    return [
        token[:place] + letter + token[place + 1 :]
        for place in range(len(token))
        for letter in (ALPHABET if place > len(token) - 2 else "A_x.")
        if letter != token[place]
    ]


class TestSignLink:
    @given(payload=st.binary(max_size=200))
    def test_it_reads_back_to_its_payload(self, keyring: Keyring, payload: bytes) -> None:
        token = links.sign_link(keyring, purpose="unsubscribe", payload=payload)

        assert links.read_link(keyring, purpose="unsubscribe", token=token) == payload
        assert set(token) <= set(ALPHABET + ".")

    @pytest.mark.rule("DOI-05")
    def test_it_is_not_read_for_another_purpose(self, keyring: Keyring) -> None:
        token = links.sign_link(keyring, purpose="unsubscribe", payload=PAYLOAD)

        with pytest.raises(LinkInvalidError):
            links.read_link(keyring, purpose="preferences", token=token)

    @pytest.mark.rule("DOI-05")
    def test_every_changed_character_is_noticed(self, keyring: Keyring) -> None:
        token = links.sign_link(keyring, purpose="confirm", payload=PAYLOAD)

        for text in other_texts(token):
            with pytest.raises(LinkInvalidError):
                links.read_link(keyring, purpose="confirm", token=text)

    @pytest.mark.rule("DOI-05")
    @pytest.mark.parametrize("size", [16, 17, 18])
    def test_only_one_text_is_the_token(self, keyring: Keyring, size: int) -> None:
        token = links.sign_link(keyring, purpose="confirm", payload=PAYLOAD[:size])
        payload, signature = token.split(".")
        lookalikes = [
            f"{payload}=.{signature}",
            f"{token}=",
            f" {token}",
            f"{token}\n",
            f"{payload}\n.{signature}",
            f"{payload[:-1]}!{payload[-1]}.{signature}",
            f"{token}ø",
            f".{token}",
            f"{payload}.",
            f".{signature}",
            payload,
            "",
            ".",
            token * 100,
            token.replace("-", "+").replace("_", "/") + "\0",
        ]

        for text in lookalikes + other_texts(token):
            with pytest.raises(LinkInvalidError):
                links.read_link(keyring, purpose="confirm", token=text)

    @given(noise=st.text(max_size=120))
    def test_noise_is_refused_as_an_invalid_link(self, keyring: Keyring, noise: str) -> None:
        with pytest.raises(LinkInvalidError):
            links.read_link(keyring, purpose="confirm", token=noise)

    def test_the_error_holds_neither_token_nor_payload(self, keyring: Keyring) -> None:
        token = links.sign_link(keyring, purpose="confirm", payload=PAYLOAD)

        with pytest.raises(LinkInvalidError) as refused:
            links.read_link(keyring, purpose="confirm", token=token[:-1] + "!")
        with pytest.raises(LinkInvalidError) as other_purpose:
            links.read_link(keyring, purpose="other", token=token)

        assert str(refused.value) == str(other_purpose.value) == "this link is not one of ours"
        assert other_purpose.value.__cause__ is None
        assert other_purpose.value.__suppress_context__

    def test_a_link_of_an_older_key_is_read_until_that_key_is_gone(self, keyring: Keyring, rotated: Rotate) -> None:
        old = links.sign_link(keyring, purpose="unsubscribe", payload=PAYLOAD)
        both = rotated(keyring, "links")
        newest_only = Keyring({**both.keys, "links": (both.newest("links"),)})

        new = links.sign_link(both, purpose="unsubscribe", payload=PAYLOAD)

        assert links.read_link(both, purpose="unsubscribe", token=old) == PAYLOAD
        assert links.read_link(newest_only, purpose="unsubscribe", token=new) == PAYLOAD
        with pytest.raises(LinkInvalidError):
            links.read_link(newest_only, purpose="unsubscribe", token=old)


class TestSignTimed:
    def read(self, keyring: Keyring, token: str, *, at: datetime, purpose: str = "snapshot") -> links.TimedLink:
        return links.read_timed(keyring, purpose=purpose, token=token, at=at, max_age_seconds=3600)

    def sign(self, keyring: Keyring, *, at: datetime = NOON) -> str:
        return links.sign_timed(keyring, purpose="snapshot", payload=PAYLOAD, at=at)

    def test_it_tells_its_payload_and_when_it_was_signed(self, keyring: Keyring) -> None:
        at = NOON + timedelta(microseconds=123_456)

        read = self.read(keyring, self.sign(keyring, at=at), at=at)

        assert read.payload == PAYLOAD
        assert read.signed_at == NOON + timedelta(milliseconds=123)

    @pytest.mark.rule("DOI-05")
    def test_it_is_read_until_its_last_second_and_not_longer(self, keyring: Keyring) -> None:
        token = self.sign(keyring)

        assert self.read(keyring, token, at=NOON + timedelta(hours=1)).payload == PAYLOAD
        with pytest.raises(LinkExpiredError) as refused:
            self.read(keyring, token, at=NOON + timedelta(hours=1, milliseconds=1))
        assert refused.value.code == "link_expired"

    def test_a_clock_one_minute_behind_is_forgiven_and_more_is_not(self, keyring: Keyring) -> None:
        token = self.sign(keyring)

        assert self.read(keyring, token, at=NOON - timedelta(seconds=60)).payload == PAYLOAD
        with pytest.raises(LinkInvalidError):
            self.read(keyring, token, at=NOON - timedelta(seconds=60, milliseconds=1))

    @pytest.mark.rule("DOI-05")
    def test_every_changed_character_is_noticed(self, keyring: Keyring) -> None:
        for text in other_texts(self.sign(keyring)):
            with pytest.raises(LinkInvalidError):
                self.read(keyring, text, at=NOON)

    def test_it_is_not_read_for_another_purpose(self, keyring: Keyring) -> None:
        with pytest.raises(LinkInvalidError):
            self.read(keyring, self.sign(keyring), at=NOON, purpose="preferences")

    def test_a_link_without_a_time_is_not_read_as_one_with(self, keyring: Keyring) -> None:
        untimed = links.sign_link(keyring, purpose="snapshot", payload=b"\0" * 8 + PAYLOAD)

        with pytest.raises(LinkInvalidError):
            self.read(keyring, untimed, at=NOON)
        with pytest.raises(LinkInvalidError):
            links.read_link(keyring, purpose="snapshot", token=self.sign(keyring))

    def test_no_repr_tells_the_payload(self, keyring: Keyring) -> None:
        read = self.read(keyring, self.sign(keyring), at=NOON)

        assert "sss" not in repr(read)


class TestSecrets:
    @pytest.mark.rule("DOI-05")
    def test_a_secret_is_256_random_bits_and_its_hash_does_not_tell_it(self) -> None:
        secrets = {links.new_secret() for _ in range(20)}

        assert len(secrets) == 20
        assert {len(secret) for secret in secrets} == {32}
        assert not secrets & {links.secret_hash(secret) for secret in secrets}

    def test_the_hash_is_always_the_same(self) -> None:
        expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

        assert links.secret_hash(b"").hex() == expected


class TestCodes:
    def test_a_code_is_six_digits(self) -> None:
        codes = {links.new_code() for _ in range(50)}

        assert len(codes) > 40
        assert all(len(code) == 6 and code.isdigit() for code in codes)

    def test_it_matches_for_its_request_only(self, keyring: Keyring) -> None:
        stored = links.code_hash(keyring, bound_to=b"request 1", code="012345")

        assert links.codes_match(keyring, bound_to=b"request 1", code="012345", stored=stored)
        assert not links.codes_match(keyring, bound_to=b"request 2", code="012345", stored=stored)
        assert not links.codes_match(keyring, bound_to=b"request 1", code="012346", stored=stored)

    @pytest.mark.parametrize("typed", ["", "12345", " 012345", "012345\n", "٠١٢٣٤٥", "0123456", "\ud800"])
    def test_what_is_not_a_code_matches_nothing(self, keyring: Keyring, typed: str) -> None:
        stored = links.code_hash(keyring, bound_to=b"request", code="012345")

        assert not links.codes_match(keyring, bound_to=b"request", code=typed, stored=stored)
        with pytest.raises(ValueError, match="6 digits"):
            links.code_hash(keyring, bound_to=b"request", code=typed)

    def test_a_stolen_hash_cannot_be_tried_without_the_key(self, keyring: Keyring) -> None:
        stored = links.code_hash(keyring, bound_to=b"request", code="012345")
        stranger = Keyring({"links": (Key(version=1, secret=b"x" * 32),)})

        assert not links.codes_match(stranger, bound_to=b"request", code="012345", stored=stored)

    def test_a_code_from_before_a_rotation_still_matches(self, keyring: Keyring, rotated: Rotate) -> None:
        stored = links.code_hash(keyring, bound_to=b"request", code="012345")

        both = rotated(keyring, "links")

        assert links.codes_match(both, bound_to=b"request", code="012345", stored=stored)
        assert links.code_hash(both, bound_to=b"request", code="012345") != stored
