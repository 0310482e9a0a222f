"""A sealed value opens in its place, under its key, unchanged, and nowhere else."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consent_service.crypto import sealing
from consent_service.crypto.keyring import Key
from consent_service.crypto.sealing import Context
from consent_service.errors import SealBrokenError

KEY = bytes(range(32))
PLACE = Context(controller_id="ctl_A", table="contact_point", column="value", row_id="cpt_1")
ADDRESS = b"anna@post.example"
OTHER_PLACES = [
    replace(PLACE, controller_id="ctl_B"),
    replace(PLACE, table="subject"),
    replace(PLACE, column="previous"),
    replace(PLACE, row_id="cpt_2"),
    # The same letters in other columns of the context.
    replace(PLACE, table="contact_point.value", column="v"),
    replace(PLACE, controller_id="ctl_Acontact", table="_point"),
    replace(PLACE, column="valuecpt", row_id="_1"),
]


class TestSeal:
    @given(plaintext=st.binary(max_size=3000))
    @example(plaintext=b"")
    def test_it_opens_to_what_was_sealed(self, plaintext: bytes) -> None:
        sealed = sealing.seal(KEY, plaintext, context=PLACE)

        assert sealing.unseal(KEY, sealed, context=PLACE) == plaintext

    def test_the_value_is_not_readable_in_it(self) -> None:
        sealed = sealing.seal(KEY, ADDRESS, context=PLACE)

        assert ADDRESS not in sealed
        assert b"example" not in sealed

    def test_the_same_value_never_looks_the_same_twice(self) -> None:
        assert len({sealing.seal(KEY, ADDRESS, context=PLACE) for _ in range(50)}) == 50

    def test_it_tells_which_key_version_sealed_it(self) -> None:
        sealed = sealing.seal(KEY, ADDRESS, context=PLACE, key_version=77)

        assert sealing.key_version_of(sealed) == 77
        assert sealed[:6] == bytes([1, 1, 0, 0, 0, 77])

    @pytest.mark.parametrize(
        ("length", "stored"),
        [
            (0, 64),
            (60, 64),
            (61, 128),
            (124, 128),
            (125, 256),
            (253, 512),
            (1020, 1024),
            (1021, 2048),
            (2044, 2048),
            (2045, 3072),
        ],
    )
    def test_its_size_tells_only_a_length_class(self, length: int, stored: int) -> None:
        sealed = sealing.seal(KEY, b"x" * length, context=PLACE)

        assert len(sealed) == stored + 34

    @pytest.mark.parametrize("version", [0, -1, 1 << 32])
    def test_a_key_version_that_does_not_fit_is_refused(self, version: int) -> None:
        with pytest.raises(ValueError, match="key version"):
            sealing.seal(KEY, ADDRESS, context=PLACE, key_version=version)

    @pytest.mark.parametrize("length", [0, 16, 31, 33])
    def test_a_key_of_another_length_is_refused(self, length: int) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            sealing.seal(b"k" * length, ADDRESS, context=PLACE)


class TestUnseal:
    @pytest.mark.rule("ACC-04")
    @pytest.mark.parametrize("elsewhere", OTHER_PLACES)
    def test_a_value_moved_to_another_place_does_not_open(self, elsewhere: Context) -> None:
        sealed = sealing.seal(KEY, ADDRESS, context=PLACE)

        with pytest.raises(SealBrokenError):
            sealing.unseal(KEY, sealed, context=elsewhere)

    def test_it_does_not_open_under_another_key(self) -> None:
        sealed = sealing.seal(KEY, ADDRESS, context=PLACE)

        with pytest.raises(SealBrokenError):
            sealing.unseal(sealing.random_key(), sealed, context=PLACE)

    def test_another_key_version_written_in_front_is_noticed(self) -> None:
        sealed = sealing.seal(KEY, ADDRESS, context=PLACE, key_version=1)
        relabelled = sealed[:5] + b"\x02" + sealed[6:]

        assert sealing.key_version_of(relabelled) == 2
        with pytest.raises(SealBrokenError):
            sealing.unseal(KEY, relabelled, context=PLACE)

    def test_every_single_bit_counts(self) -> None:
        sealed = sealing.seal(KEY, ADDRESS, context=PLACE)

        for bit in range(len(sealed) * 8):
            changed = bytearray(sealed)
            changed[bit // 8] ^= 1 << bit % 8
            with pytest.raises(SealBrokenError):
                sealing.unseal(KEY, bytes(changed), context=PLACE)

    def test_a_part_of_it_or_more_than_it_does_not_open(self) -> None:
        sealed = sealing.seal(KEY, ADDRESS, context=PLACE)

        for part in [sealed[:length] for length in range(len(sealed))] + [sealed + b"\0"]:
            with pytest.raises(SealBrokenError):
                sealing.unseal(KEY, part, context=PLACE)

    @given(noise=st.binary(max_size=200))
    def test_noise_is_refused_as_a_broken_seal(self, noise: bytes) -> None:
        with pytest.raises(SealBrokenError):
            sealing.unseal(KEY, noise, context=PLACE)

    def test_the_error_tells_neither_value_nor_row(self) -> None:
        sealed = sealing.seal(KEY, ADDRESS, context=PLACE)

        with pytest.raises(SealBrokenError) as refused:
            sealing.unseal(KEY, sealed, context=replace(PLACE, row_id="cpt_2"))

        assert str(refused.value) == "a sealed value of contact_point.value does not open here"
        assert refused.value.code == "seal_broken"


class TestContext:
    @pytest.mark.parametrize("part", ["controller_id", "table", "column", "row_id"])
    def test_no_part_may_be_empty(self, part: str) -> None:
        with pytest.raises(ValueError, match="names controller"):
            replace(PLACE, **{part: ""})


class TestDeriveKey:
    def test_each_use_has_its_own_key(self) -> None:
        assert sealing.derive_key(KEY, info="a") != sealing.derive_key(KEY, info="b")
        assert sealing.derive_key(KEY, info="a") == sealing.derive_key(KEY, info="a")
        assert len(sealing.derive_key(KEY, info="a")) == 32

    def test_random_keys_differ(self) -> None:
        assert len({sealing.random_key() for _ in range(20)}) == 20


class TestWrapKey:
    KEK = Key(version=3, secret=bytes(reversed(range(32))))

    def test_it_opens_to_the_key_and_is_no_longer_than_it_must_be(self) -> None:
        wrapped = sealing.wrap_key(self.KEK, KEY, context=PLACE)

        assert sealing.unwrap_key(self.KEK, wrapped, context=PLACE) == KEY
        assert len(wrapped) == 32 + 34
        assert sealing.key_version_of(wrapped) == 3

    @pytest.mark.parametrize("elsewhere", OTHER_PLACES)
    def test_a_key_moved_to_another_place_does_not_open(self, elsewhere: Context) -> None:
        wrapped = sealing.wrap_key(self.KEK, KEY, context=PLACE)

        with pytest.raises(SealBrokenError):
            sealing.unwrap_key(self.KEK, wrapped, context=elsewhere)

    def test_another_version_of_the_wrapping_key_is_refused(self) -> None:
        wrapped = sealing.wrap_key(self.KEK, KEY, context=PLACE)

        with pytest.raises(SealBrokenError, match="another version"):
            sealing.unwrap_key(replace(self.KEK, version=4), wrapped, context=PLACE)

    def test_the_secret_and_not_only_its_version_must_fit(self) -> None:
        wrapped = sealing.wrap_key(self.KEK, KEY, context=PLACE)

        with pytest.raises(SealBrokenError):
            sealing.unwrap_key(replace(self.KEK, secret=KEY), wrapped, context=PLACE)

    def test_a_wrapped_key_never_opens_as_a_value_nor_a_value_as_a_key(self) -> None:
        wrapped = sealing.wrap_key(self.KEK, KEY, context=PLACE)
        sealed = sealing.seal(self.KEK.secret, KEY, context=PLACE, key_version=3)

        with pytest.raises(SealBrokenError):
            sealing.unseal(self.KEK.secret, wrapped, context=PLACE)
        with pytest.raises(SealBrokenError):
            sealing.unwrap_key(self.KEK, sealed, context=PLACE)

    def test_only_a_whole_key_can_be_wrapped(self) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            sealing.wrap_key(self.KEK, b"short", context=PLACE)
