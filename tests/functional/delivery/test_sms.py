"""The SMS with a code: what it says, and when it is sent."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from consent_service.consent import messages, sms_codes
from consent_service.delivery import worker
from consent_service.delivery.sms import OutgoingSms
from consent_service.errors import SmsRefusedError
from consent_service.subjects import fields
from tests.builders import NOON
from tests.functional.delivery.world import PUBLIC_URL, World

PHONE = "+4790000000"


@dataclass
class Phone:
    """Takes every SMS, unless it is told to answer otherwise."""

    received: list[OutgoingSms] = field(default_factory=list)
    answer: Exception | None = None

    def send(self, sms: OutgoingSms) -> None:
        if self.answer is not None:
            raise self.answer
        self.received.append(sms)


def deliver(world: World, phone: Phone | None, *, at: datetime = NOON) -> list[OutgoingSms]:
    """Let the worker do what is due, and return the SMS that came of it."""
    before = len(phone.received) if phone else 0
    handlers = messages.handlers(public_url=PUBLIC_URL)
    worker.drain(world.worker_database, handlers=handlers, transport=world.postbox, sms_transport=phone, at=at)
    return phone.received[before:] if phone else []


def ask_again(world: World, *, at: datetime) -> None:
    with world.database.transaction(world.controller) as session:
        sms_codes.ask_again(session, phone=fields.parse_phone(PHONE), at=at)


class TestMessage:
    def test_it_names_who_asks_and_the_code_and_nothing_else(self, world: World) -> None:
        world.sign_up(ticked=("alerts",), name="Win $$$ http://evil.example")

        [sms] = deliver(world, Phone())

        assert sms.to == PHONE
        assert re.fullmatch(
            r"Koden din fra Nordlys er \d{6}\. Den kan brukes i 10 minutter\."
            r" Har du ikke bedt om den, trenger du ikke gjøre noe\.",
            sms.text,
        )
        assert repr(sms) == f"OutgoingSms(message_id='{sms.message_id}')"

    def test_it_speaks_the_language_of_the_form(self, world: World) -> None:
        world.sign_up(ticked=("alerts",), language="nn")

        [sms] = deliver(world, Phone())

        assert sms.text.startswith("Koden din frå Nordlys er ")

    def test_mail_and_sms_each_ask_for_their_own(self, world: World) -> None:
        world.sign_up(ticked=("newsletter", "alerts"))

        received = deliver(world, Phone())

        assert (len(world.postbox.mails), len(received)) == (1, 1)

    def test_nobody_gets_one_who_ticked_nothing_for_the_phone(self, world: World) -> None:
        world.sign_up(ticked=("newsletter",))

        assert deliver(world, Phone()) == []


class TestCaps:
    @pytest.mark.rule("DOI-09")
    def test_a_number_gets_two_codes_a_day(self, world: World) -> None:
        phone = Phone()
        world.sign_up(ticked=("alerts",))
        deliver(world, phone)
        for minute in range(1, 5):
            at = NOON + timedelta(minutes=minute)
            ask_again(world, at=at)
            deliver(world, phone, at=at)

        assert len(phone.received) == 2
        assert world.states() == ["sent", "sent", "cancelled", "cancelled", "cancelled"]

    def test_two_that_wait_are_one(self, world: World) -> None:
        world.sign_up(ticked=("alerts",))

        ask_again(world, at=NOON)

        assert len(deliver(world, Phone())) == 1

    def test_asking_for_a_number_that_nobody_knows_sends_nothing(self, world: World) -> None:
        ask_again(world, at=NOON)

        assert world.states() == []

    def test_without_a_gateway_it_waits_for_one(self, world: World) -> None:
        world.sign_up(ticked=("alerts",))
        deliver(world, None)

        late = deliver(world, Phone(), at=NOON + timedelta(minutes=2))

        assert len(late) == 1

    def test_what_the_gateway_refuses_is_not_tried_again(self, world: World) -> None:
        world.sign_up(ticked=("alerts",))

        deliver(world, Phone(answer=SmsRefusedError()))

        assert world.states() == ["dead"]
