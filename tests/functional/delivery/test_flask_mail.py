"""Mail over real SMTP: what arrives, and what each refusal of a mail server means."""

from dataclasses import replace
from email.message import EmailMessage

import pytest
from flask import Flask

from consent_service.app import FlaskMailTransport
from consent_service.config import Settings
from consent_service.delivery.mail import Attachment, OutgoingMail
from consent_service.errors import MailRefusedError, MailUnavailableError, RecipientRefusedError
from tests.smtp_sink import SmtpSink, html_of, text_of

MAIL = OutgoingMail(
    to="kari@nordmann.example",
    sender_name='Blåbær "Sport", Bø AS',
    subject="Bekreft valgene dine – Blåbær Sport",
    text="Åpne siden.\n" + "ø" * 1200 + "\n",
    html="<p>Åpne siden.</p>",
    message_id="<obx_1@127.0.0.1>",
)


@pytest.fixture
def transport(settings: Settings, smtp_sink: SmtpSink) -> FlaskMailTransport:
    return FlaskMailTransport(Flask("mail"), replace(settings, mail_port=smtp_sink.port))


def send_one(transport: FlaskMailTransport, sink: SmtpSink, mail: OutgoingMail = MAIL) -> EmailMessage:
    transport.send(mail)
    [message] = sink.messages
    return message


class TestSend:
    def test_text_and_html_arrive_as_they_were_written(
        self, transport: FlaskMailTransport, smtp_sink: SmtpSink
    ) -> None:
        message = send_one(transport, smtp_sink)

        assert text_of(message).replace("\r\n", "\n") == MAIL.text
        assert html_of(message).strip() == MAIL.html

    def test_the_sender_is_named_after_the_controller(self, transport: FlaskMailTransport, smtp_sink: SmtpSink) -> None:
        message = send_one(transport, smtp_sink)

        [sender] = message["From"].addresses
        assert (sender.display_name, sender.addr_spec) == (MAIL.sender_name, "post@nordlys.example")

    def test_a_file_arrives_byte_for_byte_beside_text_and_html(
        self, transport: FlaskMailTransport, smtp_sink: SmtpSink
    ) -> None:
        content = "one\ntwo\r\n\n— ø\n.\n".encode()

        message = send_one(transport, smtp_sink, replace(MAIL, attachments=(Attachment("head.txt", content),)))

        (file,) = message.iter_attachments()
        assert isinstance(file, EmailMessage)
        assert file.get_payload(decode=True) == content
        assert (file.get_filename(), file.get_content_type()) == ("head.txt", "text/plain")
        assert text_of(message).replace("\r\n", "\n") == MAIL.text
        assert html_of(message).strip() == MAIL.html

    @pytest.mark.rule("DOI-11")
    def test_it_says_that_it_is_automatic(self, transport: FlaskMailTransport, smtp_sink: SmtpSink) -> None:
        message = send_one(transport, smtp_sink)

        assert message["Auto-Submitted"] == "auto-generated"

    def test_it_carries_our_message_id_once_and_a_date(
        self, transport: FlaskMailTransport, smtp_sink: SmtpSink
    ) -> None:
        message = send_one(transport, smtp_sink)

        assert message.get_all("Message-ID") == [MAIL.message_id]
        assert message["Date"].datetime is not None

    def test_nothing_that_goes_over_the_wire_needs_eight_bits(
        self, transport: FlaskMailTransport, smtp_sink: SmtpSink
    ) -> None:
        message = send_one(transport, smtp_sink)

        wire = message.as_bytes()
        assert wire.isascii()
        assert max(len(line) for line in wire.splitlines()) <= 998

    def test_an_address_with_letters_beyond_ascii_is_reached(
        self, transport: FlaskMailTransport, smtp_sink: SmtpSink
    ) -> None:
        transport.send(replace(MAIL, to="kåre@xn--blbr-roah.example"))

        assert len(smtp_sink.messages_to("kåre@xn--blbr-roah.example")) == 1

    def test_a_line_break_in_a_header_is_never_sent(self, transport: FlaskMailTransport, smtp_sink: SmtpSink) -> None:
        with pytest.raises(ValueError, match=r"linefeed|newline"):
            transport.send(replace(MAIL, subject="Bekreft\r\nBcc: ola@nordmann.example"))

        assert smtp_sink.messages == []


class TestRefusals:
    def test_a_server_that_is_down_is_a_matter_of_time(
        self, transport: FlaskMailTransport, smtp_sink: SmtpSink
    ) -> None:
        smtp_sink.stop()

        with pytest.raises(MailUnavailableError):
            transport.send(MAIL)

    @pytest.mark.parametrize("answer", ["451 4.3.0 later", "421 4.3.2 closing"])
    def test_a_server_that_says_later_is_a_matter_of_time(
        self, transport: FlaskMailTransport, smtp_sink: SmtpSink, answer: str
    ) -> None:
        smtp_sink.answer = answer

        with pytest.raises(MailUnavailableError):
            transport.send(MAIL)

    def test_a_mail_that_is_refused_does_not_condemn_the_address(
        self, transport: FlaskMailTransport, smtp_sink: SmtpSink
    ) -> None:
        smtp_sink.answer = "554 5.7.1 content"

        with pytest.raises(MailRefusedError) as refusal:
            transport.send(MAIL)

        assert not isinstance(refusal.value, RecipientRefusedError)
        assert "kari" not in str(refusal.value)

    @pytest.mark.parametrize("answer", ["550 5.1.1 no such user", "550 no such user", "553 5.1.3 bad address"])
    def test_an_address_that_is_refused_is_told_from_everything_else(
        self, transport: FlaskMailTransport, smtp_sink: SmtpSink, answer: str
    ) -> None:
        smtp_sink.recipient_answer = answer

        with pytest.raises(RecipientRefusedError) as refusal:
            transport.send(MAIL)

        assert "kari" not in str(refusal.value)
        assert refusal.value.__cause__ is None

    def test_a_server_that_wants_no_mail_from_us_does_not_condemn_the_address(
        self, transport: FlaskMailTransport, smtp_sink: SmtpSink
    ) -> None:
        smtp_sink.recipient_answer = "550 5.7.1 relaying denied"

        with pytest.raises(MailRefusedError) as refusal:
            transport.send(MAIL)

        assert not isinstance(refusal.value, RecipientRefusedError)

    def test_a_mailbox_that_is_busy_is_a_matter_of_time(
        self, transport: FlaskMailTransport, smtp_sink: SmtpSink
    ) -> None:
        smtp_sink.recipient_answer = "450 4.2.1 greylisted"

        with pytest.raises(MailUnavailableError):
            transport.send(MAIL)
