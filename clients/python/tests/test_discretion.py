"""Addresses and keys travel over https and stand in no text that a program may log."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from clients.python.tests.conftest import KEY
from clients.python.tests.servers import Handler, a_yes, always
from consent_client import ConsentClient, Email, Evidence, ExternalId, InsecureUrlError, Phone, SubjectId

ADDRESS = "kari@nordlys.example"


class TestReferences:
    @pytest.mark.parametrize(
        "reference",
        [
            Email(ADDRESS),
            Phone("+4790000000"),
            ExternalId("kari-nordmann", contact_point=Email(ADDRESS)),
            SubjectId("sub_1", contact_point=Email(ADDRESS)),
        ],
    )
    def test_show_nothing_of_whom_they_mean(self, reference: Email | Phone | ExternalId | SubjectId) -> None:
        shown = f"{reference!r} {reference}"

        assert ADDRESS not in shown
        assert "90000000" not in shown
        assert "nordmann" not in shown

    @pytest.mark.parametrize("kind", [Email, Phone, SubjectId, ExternalId])
    def test_are_made_of_text(self, kind: Callable[[object], object]) -> None:
        with pytest.raises(TypeError, match="must be a string"):
            kind(None)

    def test_are_values(self) -> None:
        assert Email(ADDRESS) == Email(ADDRESS)
        assert len({Email(ADDRESS), Email(ADDRESS), Phone("+4790000000")}) == 2


class TestEvidence:
    def test_shows_nothing_that_speaks_of_a_person(self) -> None:
        moment = datetime(2026, 11, 22, tzinfo=UTC)
        evidence = Evidence(
            method="paper", act="statement_signed", occurred_at=moment, reference=ADDRESS, ip="192.0.2.1"
        )

        assert ADDRESS not in repr(evidence)
        assert "192.0.2.1" not in repr(evidence)


class TestAClient:
    def test_shows_where_it_asks_and_not_with_which_key(self) -> None:
        client = ConsentClient("https://consent.example/base/", KEY)

        assert repr(client) == "ConsentClient('https://consent.example/base')"
        assert KEY not in "".join(repr(value) for value in vars(client).values())

    def test_writes_into_a_log_what_failed_and_for_nobody_in_particular(
        self, client_of: Callable[[Handler], ConsentClient], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        client = client_of(always(a_yes(), status=500))

        client.check(Email(ADDRESS), "newsletter", "email")
        client.check_batch([Email(ADDRESS)], "newsletter", "email")
        list(client.check_stream([Email(ADDRESS)], "newsletter", "email"))

        assert [record.getMessage() for record in caplog.records] == [
            "a check was not answered, which is a no: HTTP 500",
            "a batch of 1 was not answered, which is a no for all of them: HTTP 500",
            "a stream broke after 0 answers, and the rest is a no: HTTP 500",
        ]

    @pytest.mark.parametrize(
        "url",
        [
            "http://consent.example",
            "http://127.0.0.1.consent.example",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "consent.example",
            "https://",
            "https://kari@consent.example",
            "https://consent.example?key=1",
            "https://consent.example:port",
            "//127.0.0.1",
            "",
        ],
    )
    def test_is_not_made_for_an_address_that_protects_nothing(self, url: str) -> None:
        with pytest.raises(InsecureUrlError):
            ConsentClient(url, KEY)

    @pytest.mark.parametrize(
        "url", ["https://consent.example", "http://127.0.0.1:8000", "http://[::1]:8000", "http://localhost"]
    )
    def test_is_made_for_https_and_for_loopback(self, url: str) -> None:
        ConsentClient(url, KEY).close()

    @pytest.mark.parametrize("key", ["", "cs_live_secret\r\nX-Other: 1", "cs_live_sécret", "cs_live secret"])
    def test_is_not_made_with_what_is_no_key_and_does_not_repeat_it(self, key: str) -> None:
        with pytest.raises(ValueError, match="API key") as raised:
            ConsentClient("https://consent.example", key)

        assert not key or key not in str(raised.value)
