"""The caps of one address, under floods and retries."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from consent_service import identifiers
from consent_service.admission import mail_caps
from consent_service.admission.mail_caps import MailAdmission, MailKind
from consent_service.db.session import Database
from tests.builders import NOON

NORDLYS, FJORD, BRE, DAL = (identifiers.new_id("ctl", at=NOON) for _ in range(4))
KARI, OLA = b"k" * 32, b"o" * 32


def admit(
    database: Database,
    *,
    controller: str = NORDLYS,
    kind: MailKind = "confirmation",
    address: bytes = KARI,
    message_id: str | None = None,
    at: datetime = NOON,
) -> MailAdmission:
    with database.transaction(controller) as session:
        return mail_caps.admit(
            session,
            kind=kind,
            contact_hash=address,
            platform_hash=kind.encode() + address,
            message_id=message_id or identifiers.new_id("obx", at=at),
            at=at,
        )


def count_admitted(admissions: Iterable[MailAdmission]) -> int:
    return sum(admission.admitted for admission in admissions)


@pytest.mark.rule("DOI-09")
class TestAdmit:
    def test_an_address_gets_one_mail_and_one_resend_in_24_hours(self, worker_database: Database) -> None:
        first = admit(worker_database)
        resend = admit(worker_database, at=NOON + timedelta(hours=1))

        third = admit(worker_database, at=NOON + timedelta(hours=2))

        assert (first.admitted, resend.admitted) == (True, True)
        assert third == MailAdmission(admitted=False, retry_at=NOON + timedelta(hours=24))

    def test_the_window_opens_when_it_said_it_would(self, worker_database: Database) -> None:
        admit(worker_database)
        admit(worker_database, at=NOON + timedelta(hours=1))
        retry_at = admit(worker_database, at=NOON + timedelta(hours=2)).retry_at

        assert retry_at is not None
        assert not admit(worker_database, at=retry_at - timedelta(microseconds=1)).admitted
        assert admit(worker_database, at=retry_at).admitted

    def test_other_addresses_are_not_touched(self, worker_database: Database) -> None:
        for _ in range(3):
            admit(worker_database, address=KARI)

        assert admit(worker_database, address=OLA).admitted

    def test_all_controllers_together_send_three_in_24_hours(self, worker_database: Database) -> None:
        admissions = [admit(worker_database, controller=controller) for controller in (NORDLYS, FJORD, BRE, DAL)]

        assert [admission.admitted for admission in admissions] == [True, True, True, False]
        assert admissions[3].retry_at == NOON + timedelta(hours=24)

    def test_all_controllers_together_send_ten_in_30_days(self, worker_database: Database) -> None:
        days = [NOON + timedelta(days=day) for day in range(11)]

        admissions = [admit(worker_database, at=day) for day in days]

        assert count_admitted(admissions) == 10
        assert admissions[10].retry_at == NOON + timedelta(days=30)
        assert admit(worker_database, at=NOON + timedelta(days=30)).admitted

    def test_links_to_the_preferences_are_counted_apart(self, worker_database: Database) -> None:
        for controller in (NORDLYS, NORDLYS, FJORD, FJORD):
            admit(worker_database, controller=controller, kind="confirmation")

        assert admit(worker_database, kind="preference").admitted

    def test_a_message_that_is_tried_again_takes_no_second_place(self, worker_database: Database) -> None:
        message_id = identifiers.new_id("obx", at=NOON)
        for minutes in range(5):
            assert admit(worker_database, message_id=message_id, at=NOON + timedelta(minutes=minutes)).admitted

        assert admit(worker_database, at=NOON + timedelta(minutes=6)).admitted

    def test_a_mail_that_was_held_up_is_counted_when_it_goes(self, worker_database: Database) -> None:
        held_up = identifiers.new_id("obx", at=NOON)
        admit(worker_database, message_id=held_up)
        admit(worker_database, message_id=held_up, at=NOON + timedelta(hours=23))
        admit(worker_database, at=NOON + timedelta(hours=24))

        assert not admit(worker_database, at=NOON + timedelta(hours=25)).admitted

    def test_fifty_at_once_get_no_more_than_one_by_one(self, worker_database: Database) -> None:
        with ThreadPoolExecutor(max_workers=5) as pool:
            admissions = list(pool.map(lambda _: admit(worker_database), range(50)))

        assert count_admitted(admissions) == 2

    def test_fifty_controllers_at_once_get_no_more_than_three(self, worker_database: Database) -> None:
        controllers = [identifiers.new_id("ctl", at=NOON) for _ in range(50)]

        with ThreadPoolExecutor(max_workers=5) as pool:
            admissions = list(pool.map(lambda controller: admit(worker_database, controller=controller), controllers))

        assert count_admitted(admissions) == 3

    def test_an_act_that_fails_takes_no_place(self, worker_database: Database) -> None:
        def act_that_fails() -> None:
            with worker_database.transaction(NORDLYS) as session:
                mail_caps.admit(
                    session,
                    kind="confirmation",
                    contact_hash=KARI,
                    platform_hash=KARI,
                    message_id=identifiers.new_id("obx", at=NOON),
                    at=NOON,
                )
                raise LookupError

        for _ in range(3):
            with pytest.raises(LookupError):
                act_that_fails()

        assert admit(worker_database).admitted

    def test_nobody_can_look_at_who_was_mailed_across_controllers(self, worker_database: Database) -> None:
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            worker_database.platform_transaction() as session,
        ):
            session.execute(text("SELECT * FROM platform_mail"))


@pytest.mark.rule("DOI-08")
class TestRefuse:
    def test_not_me_holds_for_90_days_and_for_that_controller(self, database: Database) -> None:
        with database.transaction(NORDLYS) as session:
            mail_caps.refuse(session, contact_hash=KARI, kind="not_me", at=NOON)

            assert mail_caps.is_refused(session, contact_hash=KARI, at=NOON + timedelta(days=89))
            assert not mail_caps.is_refused(session, contact_hash=KARI, at=NOON + timedelta(days=90))
            assert not mail_caps.is_refused(session, contact_hash=OLA, at=NOON)
        with database.transaction(FJORD) as session:
            assert not mail_caps.is_refused(session, contact_hash=KARI, at=NOON)

    def test_a_second_refusal_begins_anew(self, database: Database) -> None:
        with database.transaction(NORDLYS) as session:
            mail_caps.refuse(session, contact_hash=KARI, kind="not_me", at=NOON)
            mail_caps.refuse(session, contact_hash=KARI, kind="not_me", at=NOON + timedelta(days=60))

            assert mail_caps.is_refused(session, contact_hash=KARI, at=NOON + timedelta(days=149))

    def test_the_person_can_take_it_back(self, database: Database) -> None:
        with database.transaction(NORDLYS) as session:
            mail_caps.refuse(session, contact_hash=KARI, kind="not_me", at=NOON)

            mail_caps.lift_refusal(session, contact_hash=KARI, kind="not_me")

            assert not mail_caps.is_refused(session, contact_hash=KARI, at=NOON)

    def test_taking_it_back_does_not_mend_a_mailbox(self, database: Database) -> None:
        with database.transaction(NORDLYS) as session:
            mail_caps.refuse(session, contact_hash=KARI, kind="hard_bounce", at=NOON)

            mail_caps.lift_refusal(session, contact_hash=KARI, kind="not_me")

            assert mail_caps.is_refused(session, contact_hash=KARI, at=NOON)


class TestPurge:
    def test_what_no_cap_looks_at_is_forgotten_in_small_batches(self, worker_database: Database) -> None:
        for hours in (0, 1, 48):
            admit(worker_database, at=NOON + timedelta(hours=hours))
        at = NOON + timedelta(days=30, hours=2)

        with worker_database.transaction(NORDLYS) as session:
            batches = [mail_caps.purge(session, at=at, limit=1) for _ in range(3)]
        with worker_database.platform_transaction() as session:
            platform = mail_caps.purge_platform(session, at=at, limit=10)

        assert batches == [1, 1, 0]
        assert platform == 2

    def test_a_refusal_is_forgotten_when_it_ended(self, worker_database: Database) -> None:
        with worker_database.transaction(NORDLYS) as session:
            mail_caps.refuse(session, contact_hash=KARI, kind="not_me", at=NOON)

            assert mail_caps.purge(session, at=NOON + timedelta(days=89), limit=10) == 0
            assert mail_caps.purge(session, at=NOON + timedelta(days=90), limit=10) == 1
