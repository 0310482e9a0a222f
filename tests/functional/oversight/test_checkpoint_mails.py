"""The DPO has each day's checkpoint in the mailbox, byte for byte, once, and loudly where the log is not signed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from sqlalchemy import func, select

from consent_service import app as composition
from consent_service import identifiers
from consent_service.accounts import operators
from consent_service.admission.models import AdmittedMail
from consent_service.audit import checkpoints, logs, trail
from consent_service.cli import worker as process
from consent_service.config import Settings
from consent_service.crypto import notes
from consent_service.crypto.notes import VerifierKey
from consent_service.db.session import Database
from consent_service.delivery import worker
from consent_service.delivery.models import OutboxMessage
from consent_service.oversight import checkpoint_mails
from tests.acts import together
from tests.builders import NOON
from tests.functional.delivery.world import Addresses
from tests.log_house import House, put_back
from tests.smtp_sink import SmtpSink, html_of, text_of

DAY = timedelta(days=1)
DPO = "dpo@nordlys.example"
CONTACT = "personvern@nordlys.example"

#: Has a log of its own, and a mail about it.
NOISE = "personvern@noise.example"

Mails = Callable[..., list[EmailMessage]]


@pytest.fixture
def house(
    database: Database, sequencer_database: Database, controller: str, tmp_path: Path, superuser_url: str
) -> House:
    """Keep the log of a controller, with four entries signed."""
    house = House.of(database, sequencer_database, controller, tmp_path, superuser_url)
    house.act(3)
    house.keep()
    return house


@pytest.fixture
def mails(worker_database: Database, settings: Settings, smtp_sink: SmtpSink) -> Mails:
    """Let the worker do its job and send, and return the mails that came of it."""
    transport = composition.mail_transport(replace(settings, mail_port=smtp_sink.port))

    def send(*, at: datetime = NOON, sent_at: datetime | None = None) -> list[EmailMessage]:
        before = len(smtp_sink.messages)
        queue(worker_database, at)
        handlers = composition.message_handlers(settings)
        worker.drain(worker_database, handlers=handlers, transport=transport, at=sent_at or at)
        return [each for each in smtp_sink.messages[before:] if each["To"] != NOISE]

    return send


def queue(worker_database: Database, at: datetime = NOON) -> None:
    (job,) = [each for each in process.JOBS if each.name == "mail_checkpoints"]
    job.function(worker_database, at)


def employ(house: House, email: str = DPO, role: str = "dpo") -> str:
    with house.database.transaction(house.controller_id) as session:
        return operators.create(
            session, email=email, password="a long password", role=role, actor=trail.SYSTEM, at=NOON
        ).id


def to_whom(found: list[EmailMessage]) -> list[str]:
    return sorted(str(each["To"]) for each in found)


def the_file(found: EmailMessage) -> EmailMessage:
    (file,) = found.iter_attachments()
    assert isinstance(file, EmailMessage)
    return file


class TestTheMail:
    def test_brings_the_checkpoint_as_a_file_byte_for_byte(self, house: House, mails: Mails) -> None:
        (found,) = mails()

        file = the_file(found)
        with house.database.transaction(house.controller_id) as session:
            log = logs.get(session)
            head = logs.find_checkpoint(session, log)
        assert head is not None
        sent = file.get_payload(decode=True)
        assert sent == head.text.encode()
        assert file.get_filename() == "checkpoint-2026-03-02.txt"
        opened = notes.open_note(head.text, [VerifierKey.parse(log.vkey)])
        assert checkpoints.read(opened.text).size == 4

    def test_says_what_it_is_and_what_to_do_with_it(self, house: House, mails: Mails) -> None:
        (found,) = mails()

        note = (house.copy.read_checkpoint() or "").splitlines()
        for text in (text_of(found), html_of(found)):
            assert "Nordlys AS" in text
            assert len(note) > 4
            assert all(line in text for line in note)
            assert "--checkpoint checkpoint-2026-03-02.txt" in text
        assert "Innførsler: 4" in text_of(found)
        assert found["Subject"] == "Kontrollpunkt for samtykkeloggen – Nordlys AS"

    def test_links_to_nobody_and_loads_nothing(self, house: House, mails: Mails) -> None:
        del house
        (found,) = mails()

        addresses = Addresses(html_of(found))
        assert (addresses.links, addresses.loaded) == ([], [])
        assert "://" not in text_of(found)

    def test_speaks_english_outside_norway(self, house: House, mails: Mails) -> None:
        house.as_superuser("UPDATE controller SET country = 'SE'")

        (found,) = mails()

        assert found["Subject"] == "Checkpoint of the consent log – Nordlys AS"

    def test_counts_against_no_cap(self, house: House, mails: Mails) -> None:
        mails()

        with house.database.transaction(house.controller_id) as session:
            assert session.scalar(select(func.count()).select_from(AdmittedMail)) == 0


class TestWhoIsTold:
    def test_every_dpo_at_work_and_no_other_operator(self, house: House, mails: Mails) -> None:
        employ(house)
        employ(house, "second@nordlys.example")
        employ(house, "admin@nordlys.example", role="admin")
        gone = employ(house, "gone@nordlys.example")
        house.as_superuser(f"UPDATE operator SET disabled_at = now() WHERE id = '{_uuid(gone)}'")  # noqa: S608 - an id of this test

        assert to_whom(mails()) == [DPO, "second@nordlys.example"]

    def test_the_contact_for_privacy_where_there_is_no_dpo(self, house: House, mails: Mails) -> None:
        employ(house, "admin@nordlys.example", role="admin")

        assert to_whom(mails()) == [CONTACT]

    def test_nobody_where_that_is_no_address(self, house: House, mails: Mails) -> None:
        house.as_superuser("UPDATE controller SET privacy_contact = 'Storgata 1'")

        assert mails() == []

    def test_not_who_left_before_it_was_sent(self, house: House, mails: Mails, worker_database: Database) -> None:
        employ(house)
        queue(worker_database)
        house.as_superuser("UPDATE operator SET disabled_at = now()")

        assert to_whom(mails()) == [CONTACT]
        assert states(house) == ["cancelled", "sent"]


class TestOnceADay:
    def test_another_round_or_a_restart_sends_no_second_one(self, house: House, mails: Mails) -> None:
        del house
        first = mails()

        later = [mails(at=NOON + timedelta(minutes=minutes)) for minutes in (0, 10, 300)]

        assert len(first) == 1
        assert later == [[], [], []]

    def test_two_workers_at_once_queue_one(self, house: House, mails: Mails, worker_database: Database) -> None:
        together(*[lambda: queue(worker_database)] * 4)

        assert len(states(house)) == 1
        assert len(mails()) == 1

    def test_the_next_day_has_its_own(self, house: House, mails: Mails) -> None:
        mails()
        house.act(5)
        house.keep()

        (found,) = mails(at=NOON + DAY)

        assert the_file(found).get_filename() == "checkpoint-2026-03-03.txt"
        assert "Innførsler: 9" in text_of(found)

    def test_it_leaves_in_the_morning_where_the_controller_is(self, house: House, mails: Mails) -> None:
        del house
        six_in_oslo = NOON.replace(hour=5)

        assert mails(at=six_in_oslo - timedelta(minutes=1)) == []
        assert len(mails(at=six_in_oslo)) == 1
        assert mails(at=NOON.replace(hour=23, minute=30)) == []

    def test_a_day_without_a_worker_is_not_made_up_for(self, house: House, mails: Mails) -> None:
        del house
        mails()

        assert len(mails(at=NOON + 3 * DAY)) == 1

    def test_a_mail_that_could_not_leave_until_its_day_was_over_is_not_sent(
        self, house: House, mails: Mails, worker_database: Database
    ) -> None:
        queue(worker_database)

        (found,) = mails(at=NOON + DAY)

        assert the_file(found).get_filename() == "checkpoint-2026-03-03.txt"
        assert states(house) == ["cancelled", "sent"]


class TestWithoutCheckpoint:
    def test_nothing_is_sent(
        self, database: Database, sequencer_database: Database, controller: str, mails: Mails
    ) -> None:
        del database, sequencer_database, controller

        assert mails() == []


class TestALogThatIsRefused:
    @pytest.fixture
    def refused(self, house: House) -> House:
        """Put the database back behind what was signed, and let a keeper see that."""
        house.act(5)
        house.keep()
        put_back(house, 4)
        house.begin_again()
        house.keep()
        assert house.log().refused == "not_append_only"
        return house

    def test_the_mail_says_so_loudly(self, refused: House, mails: Mails) -> None:
        del refused
        (found,) = mails()

        assert found["Subject"] == "ALARM: samtykkeloggen blir ikke lenger signert – Nordlys AS"
        for text in (text_of(found), html_of(found)):
            assert "ALARM" in text
            assert "not_append_only" in text

    def test_it_waits_for_no_morning_and_comes_again_the_next_day(self, refused: House, mails: Mails) -> None:
        del refused
        night = NOON.replace(hour=2)

        sent = [len(mails(at=at)) for at in (night, night + timedelta(minutes=10), NOON, night + DAY)]

        assert sent == [1, 0, 0, 1]

    def test_it_comes_beside_the_mail_of_the_day(self, house: House, mails: Mails) -> None:
        before = mails()
        house.as_superuser("UPDATE audit.tree SET refused = 'leaf_mismatch', refused_at = now()")

        after = mails(at=NOON + timedelta(hours=1))

        assert [each["Subject"].startswith("ALARM") for each in (*before, *after)] == [False, True]

    def test_it_brings_the_last_head_that_was_signed(self, house: House, mails: Mails) -> None:
        house.as_superuser("UPDATE audit.tree SET refused = 'leaf_mismatch', refused_at = now()")

        (found,) = mails()

        assert the_file(found).get_payload(decode=True) == (house.copy.read_checkpoint() or "").encode()

    def test_it_comes_without_one_too(self, refused: House, mails: Mails) -> None:
        refused.as_superuser("DELETE FROM audit.checkpoint")

        (found,) = mails()

        assert found["Subject"].startswith("ALARM")
        assert list(found.iter_attachments()) == []


class TestHandler:
    def test_it_is_known_to_the_worker(self, settings: Settings) -> None:
        assert checkpoint_mails.MESSAGE in composition.message_handlers(settings)


def states(house: House) -> list[str]:
    with house.database.transaction(house.controller_id) as session:
        return sorted(
            session.scalars(select(OutboxMessage.state).where(OutboxMessage.controller_id == house.controller_id))
        )


def _uuid(operator_id: str) -> str:
    return str(identifiers.to_uuid(operator_id, "opr"))
