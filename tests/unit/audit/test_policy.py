"""A policy file says whose word is enough, and a mistake in it is named with its line."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service.audit import policy
from consent_service.crypto.notes import Cosigner, NoteSigner, VerifierKey
from consent_service.errors import PolicyInvalidError

LOGS = [NoteSigner(f"log.example/log/{number}", bytes([number]) * 32).vkey for number in range(1, 3)]
COSIGNERS = [Cosigner(f"witness.example/{number}", bytes([number + 100]) * 32) for number in range(6)]
W = [cosigner.vkey for cosigner in COSIGNERS]

#: The example of C2SP tlog-policy.
EXAMPLE = f"""
log {LOGS[0]}

witness X1 {W[0]}
witness X2 {W[1]}
witness X3 {W[2]}
group X-witnesses 2 X1 X2 X3

witness Y1 {W[3]}
witness Y2 {W[4]}
witness Y3 {W[5]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def keys(*numbers: int) -> frozenset[VerifierKey]:
    return frozenset(COSIGNERS[number].key for number in numbers)


def error_of(text: str) -> str:
    with pytest.raises(PolicyInvalidError) as caught:
        policy.read(text.encode("utf-8", "surrogateescape"))
    return str(caught.value)


@pytest.mark.rule("LOG-06")
class TestQuorum:
    def test_two_of_one_house_and_one_of_the_other_are_enough(self) -> None:
        found = policy.read(EXAMPLE.encode())

        for size in range(7):
            for numbers in combinations(range(6), size):
                is_enough = len({0, 1, 2} & set(numbers)) >= 2 and len({3, 4, 5} & set(numbers)) >= 1
                assert policy.is_satisfied(found, keys(*numbers)) == is_enough

    def test_one_witness_can_be_the_quorum(self) -> None:
        found = policy.read(f"witness a {W[0]}\nwitness b {W[1]}\nquorum a\n".encode())

        assert policy.is_satisfied(found, keys(0))
        assert not policy.is_satisfied(found, keys(1))

    def test_none_asks_for_nobody(self) -> None:
        found = policy.read(b"quorum none\n")

        assert policy.is_satisfied(found, keys())

    def test_a_witness_under_another_name_is_another_witness(self) -> None:
        found = policy.read(f"witness a {W[0]}\nquorum a\n".encode())
        impostor = Cosigner("witness.example/other", bytes([100]) * 32).key

        assert impostor.public_key == COSIGNERS[0].key.public_key
        assert not policy.is_satisfied(found, {impostor})

    @given(st.integers(1, 6), st.sets(st.integers(0, 5)))
    def test_a_number_asks_for_so_many(self, threshold: int, numbers: set[int]) -> None:
        witnesses = "".join(f"witness w{number} {vkey}\n" for number, vkey in enumerate(W))
        found = policy.read(f"{witnesses}group g {threshold} w0 w1 w2 w3 w4 w5\nquorum g\n".encode())

        assert policy.is_satisfied(found, keys(*numbers)) == (len(numbers) >= threshold)


class TestRead:
    def test_it_keeps_what_the_file_says_in_its_order(self) -> None:
        found = policy.read(EXAMPLE.encode())

        assert [log.key.vkey for log in found.logs] == [LOGS[0]]
        assert [(witness.name, witness.key.vkey) for witness in found.witnesses] == list(
            zip(["X1", "X2", "X3", "Y1", "Y2", "Y3"], W, strict=True)
        )
        assert [(group.name, group.threshold, len(group.members)) for group in found.groups] == [
            ("X-witnesses", 2, 3),
            ("Y-witnesses", 1, 3),
            ("X-and-Y", 2, 2),
        ]
        assert found.quorum == "X-and-Y"
        assert [key.vkey for key in found.keys] == [LOGS[0], *W]

    def test_spaces_tabs_comments_and_urls_are_read(self) -> None:
        text = (
            f"\t # søster \n  log\t{LOGS[0]}  https://log.example/ \nwitness søster {W[0]} https://witness.example/w\n"
            f"witness own {W[1]} http://127.0.0.1:8701\n \t\ngroup g any  søster\town\nquorum g \n"
        )

        found = policy.read(text.encode())

        assert found.logs[0].url == "https://log.example/"
        assert [witness.url for witness in found.witnesses] == ["https://witness.example/w", "http://127.0.0.1:8701"]

    def test_names_are_octets(self) -> None:
        text = f"witness K {W[0]}\nwitness \u212a {W[1]}\n".encode() + b"witness \xff " + f"{W[2]}\n".encode()

        found = policy.read(text + b"quorum \xff\n")

        assert policy.is_satisfied(found, keys(2))
        assert not policy.is_satisfied(found, keys(0, 1))

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", "line 1: the file ends without a quorum"),
            (f"log {LOGS[0]}\n", "line 1: the file ends without a quorum"),
            ("quorum none", "line 1: the last line has no newline"),
            ("quorum none\r\n", "line 1: there is a control"),
            ("quorum none\nquorum none\n", "line 2: there is a quorum line already"),
            ("quorum a\n", "line 1: the quorum is not defined"),
            (f"quorum a\nwitness a {W[0]}\n", "line 1: the quorum is not defined"),
            ("quorum\n", "line 1: expected"),
            ("quorum none none\n", "line 1: expected"),
            ("Quorum none\n", "line 1: expected"),
            ("nonsense\n", "line 1: expected"),
            ("log\n", "line 1: expected"),
            (f"log {LOGS[0]} https://a.example b\n", "line 1: expected"),
            ("log nonsense\n", "line 1: this is not a verifier key"),
            (f"log {W[0]}\n", "line 1: the key is not of a log"),
            (f"log {LOGS[0]}\nlog {LOGS[0]}\n", "line 2: the key is listed already"),
            (f"witness a {LOGS[0]}\n", "line 1: the key is not of a witness"),
            (f"witness a {W[0]}\nwitness b {W[0]}\n", "line 2: the key is listed already"),
            (f"witness a {W[0]}\nwitness a {W[1]}\n", "line 2: the name is defined already"),
            (f"witness none {W[0]}\n", "line 1: the name none is taken"),
            (f"witness a {W[0]} http://witness.example\n", "line 1: a witness is asked over https"),
            (f"witness a {W[0]} https://u:p@witness.example\n", "line 1: a witness is asked over https"),
            (f"witness a {W[0]} https://[\n", "line 1: a witness is asked over https"),
            (f"witness a {W[0]}\ngroup a any a\n", "line 2: the name is defined already"),
            (f"witness a {W[0]}\ngroup none any a\n", "line 2: the name none is taken"),
            (f"witness a {W[0]}\ngroup g any none\n", "line 2: a member of the group is not defined"),
            (f"witness a {W[0]}\ngroup g any g\n", "line 2: a member of the group is not defined"),
            (f"witness a {W[0]}\ngroup g any\n", "line 2: expected"),
            (f"witness a {W[0]}\ngroup g 0 a\n", "line 2: a group of 1 asks"),
            (f"witness a {W[0]}\ngroup g 2 a\n", "line 2: a group of 1 asks"),
            (f"witness a {W[0]}\ngroup g 01 a\n", "line 2: a group of 1 asks"),
            (f"witness a {W[0]}\ngroup g ¹ a\n", "line 2: a group of 1 asks"),
            (f"witness a {W[0]}\ngroup g any a a\n", "line 2: a member of the group is a member already"),
            (f"witness a {W[0]}\ngroup g any a\ngroup h any a\n", "line 3: a member of the group is a member already"),
            ("# \x00\nquorum none\n", "line 1: there is a control"),
            ("quorum none\n\x7f\n", "line 2: there is a control"),
            ("#" * policy.MAX_POLICY_BYTES + "\n", "the policy is larger"),
        ],
    )
    def test_a_mistake_is_named_with_its_line(self, text: str, says: str) -> None:
        assert error_of(text).startswith(says)

    @given(st.binary(max_size=200))
    def test_nonsense_is_refused_and_nothing_else_happens(self, content: bytes) -> None:
        with pytest.raises(PolicyInvalidError):
            policy.read(content)
