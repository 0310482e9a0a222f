"""Equal values match under one key and kind, and under nothing else."""

import hashlib
import hmac

import pytest

from consent_service.crypto import blind_index as hashes

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
ADDRESS = "anna@post.example"


class TestBlindIndex:
    @pytest.mark.rule("ACC-05")
    def test_equal_values_match_only_under_the_same_key_and_kind(self) -> None:
        found = hashes.blind_index(KEY, kind="email", value=ADDRESS)

        assert hashes.blind_index(KEY, kind="email", value=ADDRESS) == found
        assert hashes.blind_index(OTHER_KEY, kind="email", value=ADDRESS) != found
        assert hashes.blind_index(KEY, kind="phone", value=ADDRESS) != found
        assert hashes.blind_index(KEY, kind="email", value="ola@post.example") != found

    @pytest.mark.rule("ACC-05")
    def test_it_is_the_keyed_hash_that_the_design_names(self) -> None:
        message = b"email\0" + ADDRESS.encode()
        expected = hmac.new(KEY, message, hashlib.sha256).digest()[:16]

        assert hashes.blind_index(KEY, kind="email", value=ADDRESS) == expected

    @pytest.mark.rule("ACC-05")
    def test_it_is_never_unkeyed(self) -> None:
        with pytest.raises(ValueError, match="unkeyed"):
            hashes.blind_index(b"", kind="email", value=ADDRESS)

    def test_the_name_of_a_system_can_be_part_of_the_kind(self) -> None:
        crm = hashes.blind_index(KEY, kind="external_id:CRM øst", value="123")

        assert hashes.blind_index(KEY, kind="external_id:till", value="123") != crm

    @pytest.mark.parametrize("kind", ["", "email\0anna", "\0email"])
    def test_a_kind_that_could_run_into_the_value_is_refused(self, kind: str) -> None:
        with pytest.raises(ValueError, match="without a NUL"):
            hashes.blind_index(KEY, kind=kind, value=ADDRESS)


class TestOtherHashes:
    def test_one_key_used_for_all_of_them_still_gives_different_hashes(self) -> None:
        index = hashes.blind_index(KEY, kind="email", value=ADDRESS)
        suppression = hashes.suppression_hash(KEY, kind="email", value=ADDRESS)
        keyed = hashes.keyed_hash(KEY, purpose="email", value=ADDRESS.encode())

        assert len({index, suppression[:16], keyed[:16]}) == 3
        assert (len(index), len(suppression), len(keyed)) == (16, 32, 32)

    def test_a_suppression_is_found_again_by_key_kind_and_value(self) -> None:
        found = hashes.suppression_hash(KEY, kind="email", value=ADDRESS)

        assert hashes.suppression_hash(KEY, kind="email", value=ADDRESS) == found
        assert hashes.suppression_hash(OTHER_KEY, kind="email", value=ADDRESS) != found
        assert hashes.suppression_hash(KEY, kind="phone", value=ADDRESS) != found
        assert hashes.suppression_hash(KEY, kind="email", value="ola@post.example") != found

    def test_a_keyed_hash_depends_on_its_purpose(self) -> None:
        found = hashes.keyed_hash(KEY, purpose="mail-cap", value=b"x")

        assert hashes.keyed_hash(KEY, purpose="mail-cap", value=b"x") == found
        assert hashes.keyed_hash(KEY, purpose="ip-cap", value=b"x") != found
        assert hashes.keyed_hash(KEY, purpose="mail-cap", value=b"y") != found
        assert hashes.keyed_hash(OTHER_KEY, purpose="mail-cap", value=b"x") != found
