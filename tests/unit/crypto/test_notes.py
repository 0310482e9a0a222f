"""Signed notes are read as C2SP writes them, and nothing that nobody known signed is anybody's word."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service.crypto import notes
from consent_service.crypto.notes import Cosigner, NoteSigner, VerifierKey
from consent_service.errors import NoteInvalidError, VerifierKeyInvalidError

#: The example of C2SP signed-note.
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n"
    "\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
#: The example of golang.org/x/mod/sumdb/note, which the format comes from.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
#: A head of a public log of certificates (May 2026) with a signature of a kind that is not read here, the log's own,
#: and those of two of its witnesses.
PUBLIC_TEXT = "arche2025h1.staging.ct.transparency.dev\n1432088532\nU7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n"
PUBLIC_NOTE = (
    f"{PUBLIC_TEXT}\n"
    "— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIg"
    "IpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=\n"
    "— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei5"
    "9RA23oHP7Ry1k3ZFWwQ=\n"
    "— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0D"
    "rAWfBw==\n"
    "— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUi"
    "OvKFYe/TmN9DAg==\n"
)
PUBLIC_LOG_KEY = "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
PUBLIC_WITNESS_KEY = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"

TEXT = "log.example/log/acme\n3\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
LOG = NoteSigner("log.example/log/acme", b"\x01" * 32)
OTHER_LOG = NoteSigner("log.example/log/acme", b"\x02" * 32)
WITNESS = Cosigner("witness.example/w1", b"\x03" * 32)
TIME = 1_679_315_147


def line_of(note: str) -> str:
    return note.rpartition("\n\n")[2]


def with_broken_signature(line: str) -> str:
    head, _, encoded = line.rstrip("\n").rpartition(" ")
    content = bytearray(base64.b64decode(encoded))
    content[-1] ^= 1
    return f"{head} {base64.b64encode(content).decode()}\n"


class TestExamples:
    @pytest.mark.rule("LOG-02")
    def test_the_note_of_the_specification_verifies(self) -> None:
        opened = notes.open_note(EXAMPLE_NOTE, [VerifierKey.parse(EXAMPLE_KEY)])

        assert opened.text == "This is an example message.\n"
        assert [signer.key.name for signer in opened.signers] == ["example.com/foo"]

    def test_another_maker_s_note_is_made_byte_by_byte(self) -> None:
        signer = NoteSigner("PeterNeumann", GO_SEED)

        note = signer.sign(GO_TEXT)

        assert signer.vkey == GO_KEY
        assert note == f"{GO_TEXT}\n{GO_LINE}"

    @pytest.mark.rule("LOG-06")
    def test_a_public_log_s_head_verifies_with_its_witness_s_word(self) -> None:
        keys = [VerifierKey.parse(PUBLIC_LOG_KEY), VerifierKey.parse(PUBLIC_WITNESS_KEY)]

        opened = notes.open_note(PUBLIC_NOTE, keys)

        assert opened.text == PUBLIC_TEXT
        assert [(signer.key, signer.timestamp) for signer in opened.signers] == [
            (keys[0], None),
            (keys[1], 1_779_573_024),
        ]

    def test_the_text_may_hold_empty_lines(self) -> None:
        text = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n"

        opened = notes.open_note(LOG.sign(text), [LOG.key])

        assert opened.text == text


class TestVerifierKey:
    @pytest.mark.parametrize("vkey", [EXAMPLE_KEY, GO_KEY, WITNESS.vkey])
    def test_it_is_written_as_it_was_read(self, vkey: str) -> None:
        assert VerifierKey.parse(vkey).vkey == vkey

    @pytest.mark.parametrize(
        "vkey",
        [
            "",
            "example.com/foo",
            "example.com/foo+530d903a",
            "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/ foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/bar+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2",
            "example.com/foo+530d903a+not base64",
            "example.com/foo+530d903a+æ",
            "example.com/foo+530d903a+",
        ],
    )
    def test_anything_else_is_refused(self, vkey: str) -> None:
        with pytest.raises(VerifierKeyInvalidError):
            VerifierKey.parse(vkey)

    @pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\tb", "a\nb", "a\x1bb", "a\ud800b"])
    def test_a_key_has_no_such_name(self, name: str) -> None:
        with pytest.raises(VerifierKeyInvalidError):
            NoteSigner(name, b"\x01" * 32)


class TestSigner:
    def test_its_repr_shows_its_public_half_alone(self) -> None:
        assert repr(LOG) == f"NoteSigner('{LOG.vkey}')"
        assert repr(WITNESS) == f"Cosigner('{WITNESS.vkey}')"

    @pytest.mark.parametrize("text", ["", "no newline", "a\tb\n", "a\r\n", "a\x00\n", "\ud800\n", "a" * 300_000 + "\n"])
    def test_it_signs_no_text_that_no_note_can_hold(self, text: str) -> None:
        with pytest.raises(NoteInvalidError):
            LOG.sign(text)
        with pytest.raises(NoteInvalidError):
            WITNESS.cosign(text, timestamp=TIME)

    @given(st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=200))
    def test_whatever_it_signs_opens_again(self, text: str) -> None:
        note = LOG.sign(f"{text}\n")

        assert notes.open_note(note, [LOG.key]).text == f"{text}\n"


class TestOpenNote:
    def test_keys_that_nobody_knows_are_passed_over(self) -> None:
        note = with_broken_signature(OTHER_LOG.sign(TEXT)) + line_of(LOG.sign(TEXT))

        opened = notes.open_note(note, [LOG.key])

        assert [signer.key for signer in opened.signers] == [LOG.key]

    def test_a_known_key_s_broken_signature_spoils_the_note(self) -> None:
        note = LOG.sign(TEXT) + with_broken_signature(line_of(OTHER_LOG.sign(TEXT)))

        with pytest.raises(NoteInvalidError):
            notes.open_note(note, [LOG.key, OTHER_LOG.key])

    def test_a_second_broken_line_of_the_same_key_spoils_it_too(self) -> None:
        note = LOG.sign(TEXT) + with_broken_signature(line_of(LOG.sign(TEXT)))

        with pytest.raises(NoteInvalidError):
            notes.open_note(note, [LOG.key])

    def test_a_key_that_signed_twice_signed_once(self) -> None:
        note = LOG.sign(TEXT) + line_of(LOG.sign(TEXT))

        assert len(notes.open_note(note, [LOG.key]).signers) == 1

    def test_a_note_that_no_known_key_signed_is_refused(self) -> None:
        with pytest.raises(NoteInvalidError):
            notes.open_note(LOG.sign(TEXT), [OTHER_LOG.key])
        with pytest.raises(NoteInvalidError):
            notes.open_note(LOG.sign(TEXT), [])

    @pytest.mark.rule("LOG-12")
    @given(st.integers(0, len(LOG.sign(TEXT).encode()) * 8 - 1))
    def test_no_bit_of_it_can_change(self, bit: int) -> None:
        changed = bytearray(LOG.sign(TEXT).encode())
        changed[bit // 8] ^= 1 << bit % 8

        with pytest.raises(NoteInvalidError):
            notes.open_note(changed.decode("utf-8", "surrogateescape"), [LOG.key])

    @pytest.mark.parametrize(
        "note",
        [
            "",
            "\n",
            "\n\n",
            TEXT,
            f"{TEXT}\n",
            LOG.sign(TEXT)[:-1],
            LOG.sign(TEXT).replace("—", "-"),
            LOG.sign(TEXT).replace("— ", "—"),
            LOG.sign(TEXT).replace("\n\n", "\n"),
            LOG.sign(TEXT).replace("\n", "\r\n"),
            LOG.sign(TEXT).replace("acme ", "acme\t"),
            LOG.sign(TEXT) + "\n",
            LOG.sign(TEXT) + "— \n",
            LOG.sign(TEXT) + "— name\n",
            LOG.sign(TEXT) + "— name \n",
            LOG.sign(TEXT) + "— name AAAA\n",
            LOG.sign(TEXT) + "— name AAAAAA==\n",
            LOG.sign(TEXT) + "— name AAAAAAF=\n",
            LOG.sign(TEXT) + "— name AAAAAAA\n",
            LOG.sign(TEXT) + "— name AAAA_AA=\n",
            LOG.sign(TEXT) + "— name AAAAAAA=AAAA\n",
            LOG.sign(TEXT) + "— name AAAAAAA= \n",
            LOG.sign(TEXT) + "— na+me AAAAAAA=\n",
            LOG.sign(TEXT) + "—  AAAAAAA=\n",
            LOG.sign(TEXT) + "— name AAAAAAA=\n" * 100,
            LOG.sign(TEXT) + "\x7f" * notes.MAX_NOTE_BYTES,
            "æ" * notes.MAX_NOTE_BYTES,
            LOG.sign(TEXT) + "\ud800",
        ],
    )
    def test_what_has_another_form_is_refused(self, note: str) -> None:
        with pytest.raises(NoteInvalidError):
            notes.open_note(note, [LOG.key])
        with pytest.raises(NoteInvalidError):
            notes.unsafe_text(note)

    def test_as_many_signatures_as_anybody_needs_are_read(self) -> None:
        note = LOG.sign(TEXT) + "— name AAAAAAA=\n" * 99

        assert notes.open_note(note, [LOG.key]).text == TEXT


class TestCosignature:
    @pytest.mark.rule("LOG-06")
    def test_it_says_who_saw_the_checkpoint_and_when(self) -> None:
        note = LOG.sign(TEXT) + WITNESS.cosign(TEXT, timestamp=TIME)

        opened = notes.open_note(note, [LOG.key, WITNESS.key])

        assert [(signer.key.name, signer.timestamp) for signer in opened.signers] == [
            ("log.example/log/acme", None),
            ("witness.example/w1", TIME),
        ]
        assert opened.signers[1].line == WITNESS.cosign(TEXT, timestamp=TIME)

    def test_it_is_laid_out_as_the_specification_says(self) -> None:
        encoded = WITNESS.cosign(TEXT, timestamp=TIME).split(" ")[2]

        content = base64.b64decode(encoded)
        assert content[:4] == WITNESS.key.key_id
        assert content[4:12] == TIME.to_bytes(8, "big")
        assert len(content) == 4 + 8 + 64

    @pytest.mark.rule("LOG-06")
    def test_another_time_does_not_verify(self) -> None:
        head, _, encoded = WITNESS.cosign(TEXT, timestamp=TIME).rstrip("\n").rpartition(" ")
        content = bytearray(base64.b64decode(encoded))
        content[11] ^= 1
        forged = f"{TEXT}\n{head} {base64.b64encode(content).decode()}\n"

        with pytest.raises(NoteInvalidError):
            notes.open_note(forged, [WITNESS.key])

    def test_it_is_no_signature_of_a_log(self) -> None:
        seed = b"\x04" * 32
        cosigner, log = Cosigner("same.example", seed), NoteSigner("same.example", seed)

        assert cosigner.key.key_id != log.key.key_id
        with pytest.raises(NoteInvalidError):
            notes.open_note(f"{TEXT}\n{cosigner.cosign(TEXT, timestamp=TIME)}", [log.key])

    def test_one_that_is_too_short_spoils_the_note(self) -> None:
        short = base64.b64encode(WITNESS.key.key_id + b"\x00" * 7).decode()

        with pytest.raises(NoteInvalidError):
            notes.open_note(f"{LOG.sign(TEXT)}— witness.example/w1 {short}\n", [LOG.key, WITNESS.key])

    @pytest.mark.parametrize("timestamp", [-1, 2**63])
    def test_there_is_no_such_time(self, timestamp: int) -> None:
        with pytest.raises(ValueError, match="no such time"):
            WITNESS.cosign(TEXT, timestamp=timestamp)
