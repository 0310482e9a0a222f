"""The text of an API key tells where it belongs; its secret is stored as a keyed hash."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service import identifiers
from consent_service.crypto import api_secrets
from consent_service.crypto.keyring import Keyring
from consent_service.errors import ApiKeyInvalidError, IdentifierInvalidError

NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
CONTROLLER = identifiers.new_id("ctl", at=NOON)
KEY = identifiers.new_id("key", at=NOON)
Rotate = Callable[[Keyring, str], Keyring]


def a_key(keyring: Keyring) -> api_secrets.NewApiKey:
    """Make a demo key."""
    return api_secrets.new_api_key(keyring, environment="demo", controller_id=CONTROLLER, key_id=KEY)


class TestNewApiKey:
    def test_it_reads_back_to_what_it_was_made_for(self, keyring: Keyring) -> None:
        made = a_key(keyring)

        parsed = api_secrets.parse_api_key(made.text)

        assert (parsed.environment, parsed.controller_id, parsed.key_id) == (
            "demo",
            CONTROLLER,
            KEY,
        )
        assert api_secrets.api_secret_hash(keyring, parsed.secret) == made.secret_hash

    def test_a_secret_scanner_can_recognise_it(self, keyring: Keyring) -> None:
        live = api_secrets.new_api_key(keyring, environment="live", controller_id=CONTROLLER, key_id=KEY)

        assert re.fullmatch(r"cs_live_[0-9A-Z]{52}[0-9A-Za-z]{49}", live.text)
        assert re.fullmatch(r"cs_demo_[0-9A-Z]{52}[0-9A-Za-z]{49}", a_key(keyring).text)

    def test_ids_copied_by_hand_give_the_same_canonical_key(self, keyring: Keyring) -> None:
        made = api_secrets.new_api_key(
            keyring,
            environment="demo",
            controller_id=f"ctl_{CONTROLLER[4:].lower()}",
            key_id=KEY,
        )

        assert api_secrets.parse_api_key(made.text).controller_id == CONTROLLER

    def test_the_ids_must_be_of_the_right_kind(self, keyring: Keyring) -> None:
        with pytest.raises(IdentifierInvalidError):
            api_secrets.new_api_key(keyring, environment="demo", controller_id=KEY, key_id=CONTROLLER)

    def test_two_keys_differ_in_their_secret(self, keyring: Keyring) -> None:
        assert a_key(keyring).text != a_key(keyring).text

    def test_no_repr_tells_the_secret(self, keyring: Keyring) -> None:
        made = a_key(keyring)
        parsed = api_secrets.parse_api_key(made.text)

        assert parsed.secret not in f"{made!r} {parsed!r}"


class TestParseApiKey:
    def test_every_changed_character_is_noticed(self, keyring: Keyring) -> None:
        text = a_key(keyring).text

        for place in range(len(text)):
            for letter in "0Zé_":
                if letter == text[place]:
                    continue
                with pytest.raises(ApiKeyInvalidError):
                    api_secrets.parse_api_key(text[:place] + letter + text[place + 1 :])

    @given(noise=st.text(max_size=150))
    def test_noise_is_refused(self, noise: str) -> None:
        with pytest.raises(ApiKeyInvalidError):
            api_secrets.parse_api_key(noise)

    def test_more_or_less_than_a_key_is_refused_without_being_repeated(self, keyring: Keyring) -> None:
        text = a_key(keyring).text

        for wrong in (text[:-1], f"{text}0", f" {text}", f"{text}\n", text.lower(), text * 2):
            with pytest.raises(ApiKeyInvalidError) as refused:
                api_secrets.parse_api_key(wrong)
            assert str(refused.value) == "this is not an API key of this service"
            assert refused.value.code == "api_key_invalid"

    @pytest.mark.parametrize("first", ["8", "Z", "I", "O", "U"])
    def test_an_id_in_another_spelling_is_refused_even_with_a_right_checksum(self, first: str) -> None:
        checked = f"cs_demo_{first}{CONTROLLER[5:]}{KEY[4:]}{'s' * 43}"

        with pytest.raises(ApiKeyInvalidError):
            api_secrets.parse_api_key(checked + api_secrets._checksum(checked))  # noqa: SLF001


class TestApiSecretMatches:
    def test_only_the_right_secret_matches(self, keyring: Keyring) -> None:
        stored = api_secrets.api_secret_hash(keyring, "s" * 43)

        assert api_secrets.api_secret_matches(keyring, secret="s" * 43, stored=stored)
        assert not api_secrets.api_secret_matches(keyring, secret="t" * 43, stored=stored)
        assert not api_secrets.api_secret_matches(keyring, secret="s" * 43, stored=b"")

    def test_it_matches_until_the_key_it_was_hashed_under_is_gone(self, keyring: Keyring, rotated: Rotate) -> None:
        stored = api_secrets.api_secret_hash(keyring, "s" * 43)
        both = rotated(keyring, "api_keys")
        newest_only = Keyring({**both.keys, "api_keys": (both.newest("api_keys"),)})

        assert api_secrets.api_secret_matches(both, secret="s" * 43, stored=stored)
        assert not api_secrets.api_secret_matches(newest_only, secret="s" * 43, stored=stored)
        assert api_secrets.api_secret_hash(both, "s" * 43) != stored
