"""What a mail is called, and what it does not tell."""

import pytest

from consent_service.delivery import mail
from consent_service.delivery.mail import OutgoingMail

MESSAGE_ID = "obx_01JCXAMPLE0000000000000000"


class TestMessageIdFor:
    @pytest.mark.parametrize(
        ("public_url", "domain"),
        [
            ("https://samtykke.example", "samtykke.example"),
            ("http://127.0.0.1:8000", "127.0.0.1"),
            ("http://[::1]:8000", "[IPv6:::1]"),
            ("https://blåbær.example/samtykke", "xn--blbr-roah.example"),
        ],
    )
    def test_it_ends_in_the_host_of_the_service(self, public_url: str, domain: str) -> None:
        assert mail.message_id_for(MESSAGE_ID, public_url=public_url) == f"<{MESSAGE_ID.lower()}@{domain}>"

    def test_the_same_message_has_the_same_id_again(self) -> None:
        named = {mail.message_id_for(MESSAGE_ID, public_url="https://samtykke.example") for _ in range(2)}

        assert len(named) == 1


class TestOutgoingMail:
    def test_its_repr_may_end_in_a_traceback(self) -> None:
        secret = "kari@nordmann.example"

        shown = repr(
            OutgoingMail(to=secret, sender_name=secret, subject=secret, text=secret, html=secret, message_id="<1@x>")
        )

        assert secret not in shown
        assert "<1@x>" in shown
