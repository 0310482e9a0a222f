"""Heads and proofs are written as C2SP writes them, and nothing that is written otherwise is taken for one."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service.audit import checkpoints, merkle
from consent_service.audit.checkpoints import Checkpoint, ProofFile
from consent_service.crypto import notes
from consent_service.errors import CheckpointInvalidError, ProofInvalidError
from tests.unit.audit.definitions import Tree

# The examples of tlog-checkpoint and tlog-proof.
SOFA = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
SOFA_NOTE = (
    f"{SOFA}\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
FANCY = """\
c2sp.org/tlog-proof@v1
extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=
RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=
AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=

"""
HASH = b64encode(b"\x05" * 32).decode()

LINES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
HASHES = st.binary(min_size=32, max_size=32)


class TestCheckpoint:
    @pytest.mark.rule("LOG-02")
    def test_the_example_of_the_specification_is_read_and_written(self) -> None:
        found = checkpoints.read(SOFA)

        assert (found.origin, found.size) == ("example.com/behind-the-sofa", 20_852_163)
        assert found.root.hex() == "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"
        assert found.text() == SOFA

    @pytest.mark.rule("LOG-02")
    def test_an_empty_log_has_a_head(self) -> None:
        head = Checkpoint("log.example/log/ctl_1", 0, merkle.EMPTY_ROOT)

        assert head.text() == "log.example/log/ctl_1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
        assert checkpoints.read(head.text()) == head

    @given(st.builds(Checkpoint, LINES, st.integers(1, 2**63 - 1), HASHES, st.lists(LINES, max_size=3).map(tuple)))
    def test_every_head_is_read_as_it_was_written(self, head: Checkpoint) -> None:
        assert checkpoints.read(head.text()) == head

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "\n",
            "log.example\n7\n",
            f"log.example\n7\n{HASH}",
            f"log.example\n7\n{HASH}\n\n",
            f"log.example\n7\n{HASH}\nextension",
            f"log.example\n7\n{HASH}\n\nextension\n",
            f"\n7\n{HASH}\n",
            f"log.example\r\n7\n{HASH}\n",
            f"log.example\n7\r\n{HASH}\n",
            f"log.example\n07\n{HASH}\n",
            f"log.example\n+7\n{HASH}\n",
            f"log.example\n-7\n{HASH}\n",
            f"log.example\n 7\n{HASH}\n",
            f"log.example\n7_0\n{HASH}\n",
            f"log.example\n\u0667\n{HASH}\n",
            f"log.example\n\n{HASH}\n",
            f"log.example\n{2**63}\n{HASH}\n",
            f"log.example\n{'9' * 5000}\n{HASH}\n",
            f"log.example\n0\n{HASH}\n",
            "log.example\n7\n\n",
            f"log.example\n7\n{HASH[:-1]}\n",
            f"log.example\n7\n{HASH[:-2]}V=\n",
            f"log.example\n7\n {HASH}\n",
            f"log.example\n7\n{HASH[:4]}\n",
            f"log.example\n7\n{HASH.replace('B', '-')}\n",
            f"log.example\n7\n{HASH[:40]}\u00e6{HASH[41:]}\n",
        ],
    )
    def test_whatever_is_written_otherwise_is_no_head(self, text: str) -> None:
        with pytest.raises(CheckpointInvalidError):
            checkpoints.read(text)

    @given(st.text(alphabet="0123456789\nAQBz=+/ l\r\x0b\u2028\u0667", max_size=70))
    def test_no_text_is_a_second_spelling(self, rest: str) -> None:
        for text in (rest, f"log.example\n{rest}", f"log.example\n7\n{rest}", f"log.example\n7\n{HASH}\n{rest}"):
            try:
                found = checkpoints.read(text)
            except CheckpointInvalidError:
                continue

            assert found.text() == text

    @pytest.mark.parametrize(
        ("origin", "size", "root"),
        [("", 1, b"\x05" * 32), ("a\nb", 1, b"\x05" * 32), ("a", -1, b"\x05" * 32), ("a", 1, b"\x05" * 31)],
    )
    def test_what_no_head_can_say_is_not_made(self, origin: str, size: int, root: bytes) -> None:
        with pytest.raises(CheckpointInvalidError):
            Checkpoint(origin, size, root)


class TestProofFile:
    @pytest.mark.rule("LOG-05")
    def test_the_example_of_the_specification_is_read_and_written(self) -> None:
        found = checkpoints.read_proof(FANCY + SOFA_NOTE)

        assert (found.index, len(found.proof), found.extra) == (73_894, 5, b"age-v1.2.1-darwin-arm64.tar.gz")
        assert found.proof[0].hex() == "8122b25e861952067a8ddb9662b9033804629ce30626f7978e032405371d3e54"
        assert found.note == SOFA_NOTE
        assert checkpoints.write_proof(found.index, found.proof, found.note, found.extra) == FANCY + SOFA_NOTE

    @pytest.mark.rule("LOG-05")
    def test_a_stranger_verifies_an_entry_from_the_file_and_the_key_alone(self) -> None:
        signer = notes.NoteSigner("log.example/log/ctl_1", b"\x01" * 32)
        tree = Tree({place: merkle.leaf_hash(b"entry %d" % place) for place in range(700)})
        head = Checkpoint("log.example/log/ctl_1", 700, tree.root(0, 700))
        proof = merkle.prove_inclusion(300, 700, lambda level, number: tree.read_at(700, level, number))
        file = checkpoints.write_proof(300, proof, signer.sign(head.text()))

        found = checkpoints.read_proof(file)
        opened = notes.open_note(found.note, [notes.VerifierKey.parse(signer.vkey)])
        seen = checkpoints.read(opened.text)

        assert seen == head
        merkle.verify_inclusion(leaf=b"entry 300", index=found.index, size=seen.size, proof=found.proof, root=seen.root)

    @given(
        st.integers(0, 2**63 - 1),
        st.lists(HASHES, max_size=64).map(tuple),
        st.text(min_size=1, max_size=40),
        st.none() | st.binary(min_size=1, max_size=40),
    )
    def test_every_file_is_read_as_it_was_written(
        self, index: int, proof: tuple[bytes, ...], note: str, extra: bytes | None
    ) -> None:
        written = checkpoints.write_proof(index, proof, note, extra)

        assert checkpoints.read_proof(written) == ProofFile(index, proof, note, extra)

    def test_no_extra_data_has_no_line(self) -> None:
        assert checkpoints.write_proof(0, (), "note\n", b"") == "c2sp.org/tlog-proof@v1\nindex 0\n\nnote\n"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "c2sp.org/tlog-proof@v1\n",
            "c2sp.org/tlog-proof@v1\nindex 0\n",
            "c2sp.org/tlog-proof@v1\nindex 0\n\n",
            "c2sp.org/tlog-proof@v1\nindex 0\nnote\n",
            "c2sp.org/tlog-proof@v2\nindex 0\n\nnote\n",
            "c2sp.org/tlog-proof@v1\r\nindex 0\r\n\r\nnote\r\n",
            "\nc2sp.org/tlog-proof@v1\nindex 0\n\nnote\n",
            "c2sp.org/tlog-proof@v1\n\nindex 0\n\nnote\n",
            "c2sp.org/tlog-proof@v1\nindex\n\nnote\n",
            "c2sp.org/tlog-proof@v1\nindex \n\nnote\n",
            "c2sp.org/tlog-proof@v1\n0\n\nnote\n",
            "c2sp.org/tlog-proof@v1\nindex 00\n\nnote\n",
            "c2sp.org/tlog-proof@v1\nindex -5\n\nnote\n",
            "c2sp.org/tlog-proof@v1\nindex 0 \n\nnote\n",
            f"c2sp.org/tlog-proof@v1\nindex {2**63}\n\nnote\n",
            f"c2sp.org/tlog-proof@v1\nindex {'1' * 5000}\n\nnote\n",
            "c2sp.org/tlog-proof@v1\nextra \nindex 0\n\nnote\n",
            "c2sp.org/tlog-proof@v1\nextra !\nindex 0\n\nnote\n",
            "c2sp.org/tlog-proof@v1\nextra QQ\nindex 0\n\nnote\n",
            "c2sp.org/tlog-proof@v1\nextra QQ==\nextra QQ==\nindex 0\n\nnote\n",
            "c2sp.org/tlog-proof@v1\nindex 0\nextra QQ==\n\nnote\n",
            "c2sp.org/tlog-proof@v1\nextra QQ==\n\nnote\n",
            f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH}{HASH}\n\nnote\n",
            f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH[:-4]}\n\nnote\n",
            f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH} \n\nnote\n",
            f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH.replace('B', '-')}\n\nnote\n",
            "c2sp.org/tlog-proof@v1\nindex 0\n" + f"{HASH}\n" * 65 + "\nnote\n",
        ],
    )
    def test_whatever_is_written_otherwise_is_no_proof(self, text: str) -> None:
        with pytest.raises(ProofInvalidError):
            checkpoints.read_proof(text)


class TestHashes:
    @given(st.lists(HASHES, max_size=64).map(tuple))
    def test_they_are_read_as_they_were_written(self, hashes: tuple[bytes, ...]) -> None:
        assert checkpoints.read_hashes(checkpoints.write_hashes(hashes)) == hashes

    @pytest.mark.parametrize("text", ["\n", HASH, f"{HASH}\n\n", f"{HASH}\n{HASH}", f"\n{HASH}\n", f"{HASH}\n" * 65])
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ProofInvalidError):
            checkpoints.read_hashes(text)
