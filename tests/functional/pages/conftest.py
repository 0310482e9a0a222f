"""What the tests of the pages share: a controller's form, and a person in front of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import psycopg
import pytest
import time_machine
from flask.testing import FlaskClient
from psycopg import sql
from werkzeug.test import TestResponse

from consent_service import identifiers
from consent_service.db.session import Database
from tests import builders
from tests.conftest import NORDLYS, Cluster
from tests.functional.pages.reading import Page

ORIGIN = "https://nordlys.example"
KARI = "kari@kunde.example"


@dataclass(frozen=True, slots=True)
class Stored:
    """Counts the rows of one controller past every wall, as a superuser sees them."""

    url: str
    controller_id: str

    def requests(self) -> int:
        """Count sign-up requests."""
        return self._count("signup_request")

    def messages(self) -> int:
        """Count what waits to leave the house."""
        return self._count("outbox_message")

    def entries(self) -> int:
        """Count acts in the ledger."""
        return self._count("ledger_entry")

    def _count(self, table: str) -> int:
        with psycopg.connect(self.url) as connection:
            row = connection.execute(
                sql.SQL("SELECT count(*) FROM {} WHERE controller_id = %s").format(sql.Identifier(table)),
                [identifiers.to_uuid(self.controller_id, "ctl")],
            ).fetchone()
        assert row is not None
        return int(row[0])


@dataclass(frozen=True, slots=True)
class FormUnderTest:
    """A published form, and a way to fill it in."""

    controller_id: str
    form_id: str
    client: FlaskClient
    clock: time_machine.Traveller

    @property
    def path(self) -> str:
        """Return the form's address."""
        return f"/f/{self.form_id}"

    def open(self, query: str = "", **headers: str) -> Page:
        """Open the form."""
        answer = self.client.get(f"{self.path}{query}", headers=headers)
        assert answer.status_code == 200
        return Page(answer.text)

    def send(self, page: Page, *, ticked: Iterable[str] = (), **typed: str) -> TestResponse:
        """Fill in an open form, as slowly as people do, and send it."""
        self.clock.shift(timedelta(seconds=20))
        data: dict[str, str | list[str]] = {**page.form.fields, **typed, "consent": list(ticked)}
        return self.client.post(page.form.action, data=data)

    def sign_up(self, email: str = KARI, *, ticked: Iterable[str] = ("newsletter:email",)) -> TestResponse:
        """Open the form, fill it in and send it."""
        return self.send(self.open(), ticked=ticked, email=email)


@pytest.fixture
def controller(known_controller: str) -> str:
    """Return the controller in whose world most of these tests begin."""
    return known_controller


@pytest.fixture
def form(
    client: FlaskClient, cluster: Cluster, database: Database, controller: str, clock: time_machine.Traveller
) -> FormUnderTest:
    """Return the form of a customer club: e-mail required, phone and name optional, four boxes."""

    def build() -> str:
        with database.transaction(controller) as session:
            builders.a_published_purpose(session, key="newsletter", channels=("email",))
            builders.a_published_purpose(session, key="offers", channels=("sms",))
            builders.a_published_purpose(session, key="ads", channels=("ads",))
            builders.a_published_purpose(session, key="profiling", channels=("web",))
            version = builders.a_form(
                session,
                offers=(("newsletter", "email"), ("offers", "sms"), ("ads", "ads"), ("profiling", "web")),
                fields=(builders.EMAIL_FIELD, builders.PHONE_FIELD, builders.NAME_FIELD),
                origins=(ORIGIN,),
            )
        return version.form_id

    return FormUnderTest(controller, cluster.world("pages: a form", build, on=NORDLYS), client, clock)


@pytest.fixture
def stored(superuser_url: str, controller: str) -> Stored:
    """Return what counts the controller's rows."""
    return Stored(superuser_url, controller)
