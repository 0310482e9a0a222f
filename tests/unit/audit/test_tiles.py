"""Tiles and bundles lie where tlog-tiles says, under one spelling, and a bundle gives back exactly its leaves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service.audit import merkle, tiles
from consent_service.audit.tiles import Place
from consent_service.errors import TileInvalidError

NUMBERS = st.integers(0, 2**55 - 1) | st.sampled_from([999, 1000, 999_999, 1_000_000])
PLACES = st.builds(Place, st.none() | st.integers(0, 63), NUMBERS, st.integers(1, 256))


class TestPaths:
    @pytest.mark.rule("LOG-04")
    @pytest.mark.parametrize(
        ("number", "path"),
        [
            (0, "000"),
            (67, "067"),
            (999, "999"),
            (1000, "x001/000"),
            (1_234_067, "x001/x234/067"),
            (1_000_000_000, "x001/x000/x000/000"),
        ],
    )
    def test_a_number_is_written_in_groups_of_three(self, number: int, path: str) -> None:
        assert tiles.number_path(number) == path
        assert tiles.read_path(f"tile/0/{path}").number == number

    @pytest.mark.rule("LOG-04")
    @pytest.mark.parametrize(
        ("place", "path"),
        [
            (Place(0, 0), "tile/0/000"),
            (Place(0, 273, 112), "tile/0/273.p/112"),
            (Place(63, 1_234_067), "tile/63/x001/x234/067"),
            (Place(None, 1000), "tile/entries/x001/000"),
            (Place(None, 1000, 1), "tile/entries/x001/000.p/1"),
        ],
    )
    def test_a_place_has_one_path(self, place: Place, path: str) -> None:
        assert place.path == path
        assert tiles.read_path(path) == place

    @given(PLACES)
    def test_every_path_is_read_as_it_was_written(self, place: Place) -> None:
        assert tiles.read_path(place.path) == place

    @given(st.text(alphabet="0123456789x/.ptileentries-+ \n²٣", max_size=24))
    def test_no_text_is_a_second_spelling(self, rest: str) -> None:
        for text in (rest, f"tile/{rest}", f"tile/0/{rest}", f"tile/entries/{rest}"):
            try:
                place = tiles.read_path(text)
            except TileInvalidError:
                continue

            assert place.path == text

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/0/1000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001",
            "tile/0/X001/000",
            "tile/00/000",
            "tile/01/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/data/000",
            "/tile/0/000",
            "tile/0/000/",
            "tile/0/000\n",
            "tile/0/\u0660\u0660\u0660",
            "tile/0/../000",
            "tile/0/000.p/0",
            "tile/0/000.p/01",
            "tile/0/000.p/256",
            "tile/0/000.p/999",
            "tile/0/000.p/",
            "tile/0/000.p/1/2",
            "tile/0/000.p1",
            "tile/0/x036/x028/x797/x018/x963/968",
            "tile/0/" + "x999/" * 5000 + "999",
        ],
    )
    def test_whatever_else_somebody_asks_for_is_no_tile(self, path: str) -> None:
        with pytest.raises(TileInvalidError):
            tiles.read_path(path)

    @pytest.mark.parametrize(
        ("level", "number", "width"), [(64, 0, 256), (-1, 0, 256), (0, -1, 256), (0, 2**55, 1), (0, 0, 0), (0, 0, 257)]
    )
    def test_what_no_log_has_cannot_be_named(self, level: int, number: int, width: int) -> None:
        with pytest.raises(TileInvalidError):
            Place(level, number, width)


class TestTilesOf:
    @pytest.mark.rule("LOG-04")
    def test_the_example_of_the_specification_has_the_tiles_it_names(self) -> None:
        found = list(tiles.tiles_of(70_000))

        assert found == [
            *(Place(0, number) for number in range(273)),
            Place(0, 273, 112),
            Place(1, 0),
            Place(1, 1, 17),
            Place(2, 0, 1),
        ]

    @pytest.mark.parametrize(
        ("size", "found"),
        [
            (0, []),
            (1, [Place(0, 0, 1)]),
            (256, [Place(0, 0), Place(1, 0, 1)]),
            (257, [Place(0, 0), Place(0, 1, 1), Place(1, 0, 1)]),
        ],
    )
    def test_a_small_tree_has_few(self, size: int, found: list[Place]) -> None:
        assert list(tiles.tiles_of(size)) == found

    @given(st.integers(0, 70_000), st.integers(0, 70_000))
    def test_what_is_new_is_what_the_smaller_tree_did_not_have(self, one: int, other: int) -> None:
        since, size = sorted((one, other))

        new = list(tiles.tiles_of(size, since=since))

        before = set(tiles.tiles_of(since))
        assert new == [place for place in tiles.tiles_of(size) if place not in before]

    @given(st.integers(0, 2000))
    def test_they_are_the_tiles_that_the_tree_fills_and_its_edge(self, size: int) -> None:
        appended = merkle.append((), 0, [b"\x01" * 32] * size)

        partial = {place.level: place.width for place in tiles.tiles_of(size) if place.width < 256}
        full = [(place.level, place.number) for place in tiles.tiles_of(size) if place.width == 256]
        assert full == [(tile.level, tile.number) for tile in appended.tiles]
        assert partial == {level: len(row) // 32 for level, row in enumerate(appended.edge) if row}


class TestBundles:
    @pytest.mark.rule("LOG-04")
    def test_each_entry_stands_behind_its_length(self) -> None:
        assert tiles.write_bundle([b"abc", b"", b"d" * 258]) == b"\x00\x03abc\x00\x00\x01\x02" + b"d" * 258

    @given(st.lists(st.binary(max_size=80), min_size=1, max_size=256))
    def test_it_gives_back_its_leaves(self, leaves: list[bytes]) -> None:
        assert tiles.read_bundle(tiles.write_bundle(leaves)) == tuple(leaves)

    @given(st.binary(max_size=60))
    def test_whatever_is_read_is_what_would_be_written(self, data: bytes) -> None:
        try:
            leaves = tiles.read_bundle(data)
        except TileInvalidError:
            return

        assert tiles.write_bundle(leaves) == data

    def test_the_longest_leaf_and_the_fullest_bundle_fit(self) -> None:
        leaves = (b"x" * tiles.LONGEST_LEAF, *([b"y"] * 255))

        assert tiles.read_bundle(tiles.write_bundle(leaves)) == leaves

    @pytest.mark.parametrize("leaves", [[], [b"x"] * 257, [b"x" * 65_536]])
    def test_what_does_not_fit_is_not_written(self, leaves: list[bytes]) -> None:
        with pytest.raises(TileInvalidError):
            tiles.write_bundle(leaves)

    @pytest.mark.parametrize(
        "data",
        [b"", b"\x00", b"\x00\x02a", b"\x00\x01a\x00", b"\x00\x01ab", b"\x00\x01a" * 257, b"\xff\xff" + b"a" * 9],
    )
    def test_a_damaged_bundle_is_refused(self, data: bytes) -> None:
        with pytest.raises(TileInvalidError):
            tiles.read_bundle(data)
