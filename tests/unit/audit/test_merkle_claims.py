"""True claims about the log are accepted and no others, as other implementations judge too."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from sigstore._internal.merkle import verify_merkle_inclusion
from sigstore.errors import VerificationError

from consent_service.audit import merkle
from consent_service.errors import ProofInvalidError
from tests.unit.audit.claims import (
    SIZES,
    TREE,
    Consistency,
    Inclusion,
    consistency,
    damaged_consistencies,
    damaged_inclusions,
    inclusion,
)
from tests.unit.audit.definitions import root_by_path, roots_by_proof

DAMAGED_INCLUSIONS = [
    each
    for size in SIZES
    for index in sorted({0, size // 3, size // 2, size - 1})
    for each in damaged_inclusions(index, size)
]
DAMAGED_CONSISTENCIES = [
    each
    for size in SIZES
    for old_size in sorted(
        {*(1 << power for power in range(size.bit_length() - 1)), -(-size // 3), size - 1 or 1, size}
    )
    for each in damaged_consistencies(old_size, size)
]


def _is_accepted_by_sigstore(claim: Inclusion) -> bool:
    entry: Any = SimpleNamespace(
        _inner=SimpleNamespace(
            canonicalized_body=claim.leaf,
            inclusion_proof=SimpleNamespace(
                log_index=claim.index, tree_size=claim.size, hashes=list(claim.proof), root_hash=claim.root
            ),
        )
    )
    try:
        verify_merkle_inclusion(entry)
    except VerificationError:
        return False
    return True


class TestDamagedProofs:
    @pytest.mark.rule("LOG-05")
    @pytest.mark.parametrize("damaged", [DAMAGED_INCLUSIONS, DAMAGED_CONSISTENCIES], ids=["inclusion", "consistency"])
    def test_none_of_thousands_is_accepted(self, damaged: list[tuple[str, Inclusion | Consistency]]) -> None:
        accepted = [(kind, claim) for kind, claim in damaged if claim.is_accepted()]

        assert accepted == []
        assert len(damaged) > 9_000
        assert min(Counter(kind for kind, _ in damaged).values()) > 20

    def test_a_hash_of_another_length_is_named(self) -> None:
        true = inclusion(3, 7)

        with pytest.raises(ProofInvalidError, match="32 bytes"):
            merkle.verify_inclusion(
                leaf=true.leaf, index=3, size=7, proof=(true.proof[0][:-1], *true.proof[1:]), root=true.root
            )

    @pytest.mark.parametrize("size", [0, 1, 5])
    def test_nothing_is_proved_about_an_empty_tree(self, size: int) -> None:
        assert not Consistency(0, merkle.EMPTY_ROOT, size, TREE.root(0, size), ()).is_accepted()

    def test_the_same_head_needs_no_proof_and_has_none(self) -> None:
        claim = Consistency(5, TREE.root(0, 5), 5, TREE.root(0, 5), ())

        assert claim.is_accepted()
        assert not replace(claim, proof=(claim.root,)).is_accepted()
        assert not replace(claim, root=TREE.root(1, 6)).is_accepted()


class TestOtherImplementations:
    # A proof is a path: where another index or size leads along the same one, only the signed head tells them apart.
    # So the question is not which claims are true, but which ones the standard's recursion accepts.
    @pytest.mark.rule("LOG-01")
    def test_every_inclusion_in_a_small_tree_is_judged_as_the_definition_judges(self) -> None:
        places = [(index, size) for size in range(1, 18) for index in range(size)]

        for true in (inclusion(index, size) for index, size in places):
            hashed = merkle.leaf_hash(true.leaf)
            for index, size in places:
                claim = replace(true, index=index, size=size)

                assert claim.is_accepted() == (root_by_path(index, size, hashed, true.proof) == true.root)

    @pytest.mark.rule("LOG-01")
    def test_every_consistency_of_small_trees_is_judged_as_the_definition_judges(self) -> None:
        pairs = [(old_size, size) for size in range(1, 15) for old_size in range(1, size + 1)]

        for true in (consistency(old_size, size) for old_size, size in pairs):
            for old_size, size in pairs:
                claim = replace(true, old_size=old_size, size=size)
                roots = roots_by_proof(old_size, size, true.old_root, true.proof)

                assert claim.is_accepted() == (roots == (true.old_root, true.root))
                assert not replace(claim, old_size=size + 1, size=old_size).is_accepted()

    @pytest.mark.rule("LOG-01")
    def test_every_inclusion_is_judged_as_sigstore_judges(self) -> None:
        true = [inclusion(index, size) for size in (*range(1, 40), 255, 256, 257, 600) for index in range(size)]
        # Sigstore's verifier leaves the range of the index to its caller.
        damaged = [claim for _, claim in DAMAGED_INCLUSIONS if 0 <= claim.index < claim.size]

        assert all(claim.is_accepted() and _is_accepted_by_sigstore(claim) for claim in true)
        assert [claim for claim in damaged if _is_accepted_by_sigstore(claim)] == []
        assert len(damaged) > 9_000
