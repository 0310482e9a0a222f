"""The log's tree is hashed as RFC 9162 says, grows from its edge alone, and proves itself from a few tiles."""

from functools import partial
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service.audit import merkle
from consent_service.audit.merkle import Appended, Tile
from consent_service.errors import ProofInvalidError, TileInvalidError
from tests.unit.audit.definitions import Tree

# The tree that implementations of Certificate Transparency have tested themselves with since 2013.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
LEAF_1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
LEAF_4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
LEAF_6 = "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f"
LEAVES_2_3 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
LEAVES_4_5 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
LEAVES_4_7 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
LEAVES_6_7 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"

ALL = 256
HASHES = [merkle.leaf_hash(b"%d" % number) for number in range(1100)]
DENSE = Tree(dict(enumerate(HASHES)))
FIRST_TILES = (DENSE.tile(0, 0), DENSE.root(0, ALL))

#: Sizes up to 2^40, with a liking for those where a tile, or a tree of tiles, has just become full.
SIZES = st.integers(1, 2**40) | st.builds(
    lambda power, add: max(1, 2**power + add), st.integers(0, 40), st.integers(-3, 3)
)


def _read_first_tiles(level: int, number: int) -> bytes:
    """Read from a tree of 256 leaves."""
    assert number == 0
    return FIRST_TILES[level]


class TestHashing:
    @pytest.mark.rule("LOG-01")
    def test_the_empty_tree_has_the_hash_of_nothing(self) -> None:
        assert merkle.EMPTY_ROOT.hex() == ROOTS[0]
        assert merkle.root_of([]) == merkle.EMPTY_ROOT
        assert merkle.root_at(0, DENSE.tile) == merkle.EMPTY_ROOT
        assert merkle.append((), 0, []) == Appended((), 0, merkle.EMPTY_ROOT, ())

    @pytest.mark.rule("LOG-01")
    def test_leaves_and_nodes_are_told_apart(self) -> None:
        assert merkle.leaf_hash(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
        assert (
            merkle.node_hash(b"N123", b"N456").hex()
            == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
        )

    @pytest.mark.rule("LOG-01")
    @pytest.mark.parametrize("size", range(9))
    def test_the_known_tree_has_the_known_roots(self, size: int) -> None:
        hashes = [merkle.leaf_hash(leaf) for leaf in LEAVES]

        assert merkle.root_of(hashes[:size]).hex() == ROOTS[size]
        assert merkle.append((), 0, hashes[:size]).root.hex() == ROOTS[size]
        assert merkle.root_at(size, lambda _level, _number: b"".join(hashes)).hex() == ROOTS[size]

    @pytest.mark.rule("LOG-01")
    @pytest.mark.parametrize(
        ("index", "size", "proof"),
        [
            (0, 1, ()),
            (0, 8, (LEAF_1, LEAVES_2_3, LEAVES_4_7)),
            (5, 8, (LEAF_4, LEAVES_6_7, ROOTS[4])),
            (2, 3, (ROOTS[2],)),
            (1, 5, (ROOTS[1], LEAVES_2_3, LEAF_4)),
        ],
    )
    def test_the_known_tree_has_the_known_inclusion_proofs(self, index: int, size: int, proof: tuple[str, ...]) -> None:
        tile = b"".join(merkle.leaf_hash(leaf) for leaf in LEAVES)

        proved = merkle.prove_inclusion(index, size, lambda _level, _number: tile)

        assert tuple(one.hex() for one in proved) == proof
        merkle.verify_inclusion(
            leaf=LEAVES[index], index=index, size=size, proof=proved, root=bytes.fromhex(ROOTS[size])
        )

    @pytest.mark.rule("LOG-01")
    @pytest.mark.parametrize(
        ("old_size", "size", "proof"),
        [
            (1, 1, ()),
            (1, 8, (LEAF_1, LEAVES_2_3, LEAVES_4_7)),
            (6, 8, (LEAVES_4_5, LEAVES_6_7, ROOTS[4])),
            (2, 5, (LEAVES_2_3, LEAF_4)),
            (6, 7, (LEAVES_4_5, LEAF_6, ROOTS[4])),
        ],
    )
    def test_the_known_tree_has_the_known_consistency_proofs(
        self, old_size: int, size: int, proof: tuple[str, ...]
    ) -> None:
        tile = b"".join(merkle.leaf_hash(leaf) for leaf in LEAVES)

        proved = merkle.prove_consistency(old_size, size, lambda _level, _number: tile)

        assert tuple(one.hex() for one in proved) == proof
        merkle.verify_consistency(
            old_size=old_size,
            old_root=bytes.fromhex(ROOTS[old_size]),
            size=size,
            root=bytes.fromhex(ROOTS[size]),
            proof=proved,
        )


class TestEveryTreeUpTo256:
    @pytest.mark.rule("LOG-01")
    def test_each_leaf_proves_itself_as_the_definition_says(self) -> None:
        for size in range(1, ALL + 1):
            root = DENSE.root(0, size)
            for index in range(size):
                proof = merkle.prove_inclusion(index, size, _read_first_tiles)

                assert list(proof) == DENSE.path(index, 0, size)
                merkle.verify_inclusion(leaf=b"%d" % index, index=index, size=size, proof=proof, root=root)

    @pytest.mark.rule("LOG-01")
    def test_each_tree_continues_each_smaller_one_as_the_definition_says(self) -> None:
        for size in range(1, ALL + 1):
            root = DENSE.root(0, size)
            for old_size in range(1, size + 1):
                proof = merkle.prove_consistency(old_size, size, _read_first_tiles)

                assert list(proof) == DENSE.consistency(old_size, size)
                merkle.verify_consistency(
                    old_size=old_size, old_root=DENSE.root(0, old_size), size=size, root=root, proof=proof
                )


class TestTreesOfAnySize:
    @given(st.data(), SIZES, st.integers(0, 70_000))
    def test_a_leaf_proves_itself_as_the_definition_says(self, data: st.DataObject, size: int, later: int) -> None:
        index = data.draw(st.integers(0, size - 1))
        tree = Tree({index: merkle.leaf_hash(b"here"), size: b"\x07" * 32})

        proof = merkle.prove_inclusion(index, size, partial(tree.read_at, size + later))

        assert list(proof) == tree.path(index, 0, size)
        merkle.verify_inclusion(leaf=b"here", index=index, size=size, proof=proof, root=tree.root(0, size))

    @given(st.data(), SIZES, st.integers(0, 70_000))
    def test_a_tree_continues_a_smaller_one_as_the_definition_says(
        self, data: st.DataObject, size: int, later: int
    ) -> None:
        old_size = data.draw(st.integers(1, size))
        tree = Tree({old_size - 1: b"\x05" * 32, old_size: b"\x06" * 32, size: b"\x07" * 32})

        proof = merkle.prove_consistency(old_size, size, partial(tree.read_at, size + later))

        assert list(proof) == tree.consistency(old_size, size)
        merkle.verify_consistency(
            old_size=old_size, old_root=tree.root(0, old_size), size=size, root=tree.root(0, size), proof=proof
        )

    @given(SIZES, st.integers(0, 70_000))
    def test_an_earlier_root_is_read_from_the_tiles_of_the_whole_tree(self, size: int, later: int) -> None:
        tree = Tree({size // 3: b"\x05" * 32, size: b"\x07" * 32})

        assert merkle.root_at(size, partial(tree.read_at, size + later)) == tree.root(0, size)

    @given(st.data(), SIZES)
    def test_a_proof_reads_two_tiles_a_level_at_most(self, data: st.DataObject, size: int) -> None:
        index = data.draw(st.integers(0, size - 1))
        levels = -(-size.bit_length() // 8)
        tree = Tree({})
        reads: list[tuple[int, int]] = []

        def read(level: int, number: int) -> bytes:
            reads.append((level, number))
            return tree.read_at(size, level, number)

        merkle.prove_inclusion(index, size, read)
        merkle.prove_consistency(index, size, read)
        merkle.root_at(size, read)

        assert len(reads) <= 5 * levels

    def test_a_tile_that_holds_too_little_is_no_ground_for_a_proof(self) -> None:
        def read(level: int, number: int) -> bytes:
            return DENSE.read_at(300, level, number)[:-1]

        for attempt in (
            lambda: merkle.root_at(300, read),
            lambda: merkle.prove_inclusion(3, 300, read),
            lambda: merkle.prove_consistency(3, 300, read),
        ):
            with pytest.raises(TileInvalidError):
                attempt()

    @pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5), (6, 5), (0, -1)])
    def test_a_leaf_that_is_not_there_has_no_proof(self, index: int, size: int) -> None:
        with pytest.raises(ProofInvalidError):
            merkle.prove_inclusion(index, size, DENSE.tile)

    @pytest.mark.parametrize(("old_size", "size"), [(6, 5), (-1, 5), (1, 0)])
    def test_a_smaller_tree_never_continues_a_larger_one(self, old_size: int, size: int) -> None:
        with pytest.raises(ProofInvalidError):
            merkle.prove_consistency(old_size, size, DENSE.tile)

    @pytest.mark.parametrize(("old_size", "size"), [(0, 0), (0, 5), (5, 5)])
    def test_what_needs_no_proof_has_an_empty_one(self, old_size: int, size: int) -> None:
        assert merkle.prove_consistency(old_size, size, DENSE.tile) == ()


class TestAppend:
    @given(st.lists(st.integers(0, 300), max_size=8))
    def test_batches_of_any_size_grow_the_same_tree(self, batches: list[int]) -> None:
        ends = [min(len(HASHES), sum(batches[:count])) for count in range(len(batches) + 1)]
        tree, kept = merkle.append((), 0, []), {}

        for start, end in pairwise(ends):
            tree = merkle.append(tree.edge, tree.size, HASHES[start:end])
            kept.update({(tile.level, tile.number): tile.hashes for tile in tree.tiles})

        assert (tree.size, tree.root) == (ends[-1], merkle.root_of(HASHES[: ends[-1]]))
        assert tree.edge == DENSE.edge(tree.size)
        assert kept == {(0, number): DENSE.tile(0, number) for number in range(tree.size // 256)}

    @given(SIZES, st.integers(0, 700))
    def test_appending_needs_nothing_but_the_edge(self, size: int, count: int) -> None:
        new = {size + place: sha256(b"%d" % place).digest() for place in range(count)}
        tree, grown = Tree({size - 1: b"\x05" * 32, **new}), size + count

        appended = merkle.append(tree.edge(size), size, list(new.values()))

        assert appended == Appended(
            edge=tree.edge(grown),
            size=grown,
            root=tree.root(0, grown),
            tiles=tuple(
                Tile(level, number, tree.tile(level, number))
                for level in range(6)
                for number in range(size // 256 ** (level + 1), grown // 256 ** (level + 1))
            ),
        )

    def test_many_leaves_fill_tiles_on_every_level(self) -> None:
        appended = merkle.append((), 0, [HASHES[0]] * 70_000)

        # The example of tlog-tiles: a tree of 70,000 leaves.
        assert [len(row) // 32 for row in appended.edge] == [112, 17, 1]
        assert [(tile.level, tile.number) for tile in appended.tiles] == [
            *((0, number) for number in range(273)),
            (1, 0),
        ]
        assert {len(tile.hashes) for tile in appended.tiles} == {8192}

    @pytest.mark.parametrize(
        ("edge", "size", "new"),
        [
            ((), 1, []),
            ((HASHES[0],), 0, []),
            ((HASHES[0],), 2, []),
            ((HASHES[0], b""), 1, []),
            ((HASHES[0][:-1],), 1, []),
            ((HASHES[0],), 256, []),
            ((HASHES[0],), 1, [HASHES[1][:-1]]),
            ((HASHES[0],), 1, [HASHES[1] + b"\x00", HASHES[2][:-1]]),
        ],
    )
    def test_an_edge_of_another_tree_is_refused(self, edge: tuple[bytes, ...], size: int, new: list[bytes]) -> None:
        with pytest.raises(TileInvalidError):
            merkle.append(edge, size, new)
