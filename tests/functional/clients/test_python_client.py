"""The Python client and the running service understand each other, and the client's README does what it says."""

import contextlib
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from consent_client import (
    Choice,
    ConsentClient,
    DecisionDeniedError,
    Email,
    Evidence,
    ExternalId,
    InvalidRequestError,
    KeyRefusedError,
    Phone,
    RequestRefusedError,
    SubjectId,
)
from tests.services import Service, running_demo

README = Path(__file__).parents[3] / "clients" / "python" / "README.md"
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OLA = Email("ola@nordlys.example")
SURVEY = ("customer_survey", "email")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run a demo for the tests of this module; each is about people of its own."""
    with running_demo(tmp_path_factory.mktemp("client") / "demo") as demo:
        yield demo


@pytest.fixture(scope="module")
def shop(demo: Service) -> dict[str, object]:
    """Return what a program must know of the first shop."""
    shop: dict[str, object] = json.loads((demo.data / "demo.json").read_text("utf-8"))["controllers"][0]
    return shop


@pytest.fixture
def client(demo: Service, shop: dict[str, object]) -> Iterator[ConsentClient]:
    """Return a client with the shop's key."""
    with ConsentClient(f"http://127.0.0.1:{demo.port}", str(shop["api_key"])) as client:
        yield client


@pytest.fixture
def form(shop: dict[str, object]) -> str:
    """Return the form of the customer club."""
    forms = shop["forms"]
    assert isinstance(forms, dict)
    return str(forms["kundeklubb"])


def say(client: ConsentClient, who: Email | Phone, form: str, *, granted: bool, purpose: str, channel: str) -> str:
    """Report an act at the till, and return what became of it."""
    evidence = Evidence(method="point_of_sale", act="button_pressed", occurred_at=datetime.now(UTC))
    outcome = client.capture(
        who, form=form, language="nb", choices=[Choice(purpose, channel, granted=granted)], evidence=evidence
    )
    return outcome.consents[0].status


class TestTheReadme:
    def test_its_five_minutes_end_as_they_say(
        self, demo: Service, shop: dict[str, object], form: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CONSENT_URL", f"http://127.0.0.1:{demo.port}")
        monkeypatch.setenv("CONSENT_API_KEY", str(shop["api_key"]))
        monkeypatch.setenv("CONSENT_FORM", form)
        code = "\n".join(EXAMPLE.findall(README.read_text("utf-8").partition("## Many at once")[0]))
        promised = [line.partition("#")[2].strip() for line in code.splitlines() if "print(" in line]

        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(compile(code, str(README), "exec"), {})  # noqa: S102 - the example itself is what is tried

        heard = [re.sub(r"dec_\w+", "dec_…", line) for line in said.getvalue().splitlines()]
        assert heard == [line for line in promised if line != "not reached"]
        assert len(heard) == 5


class TestAPerson:
    def test_says_yes_and_no_and_is_heard(self, client: ConsentClient, form: str) -> None:
        before = client.check(OLA, *SURVEY)
        status = say(client, OLA, form, granted=True, purpose=SURVEY[0], channel=SURVEY[1])
        agreed = client.check(OLA, *SURVEY)
        withdrawal = client.withdraw(OLA, purpose=SURVEY[0])
        after = client.check(OLA, *SURVEY)

        assert (before.allowed, before.reason, before.failure) == (False, "no_consent", None)
        assert status == "given"
        assert (agreed.allowed, agreed.reason) == (True, "consent_given")
        assert "sender_identity" in (agreed.obligations or ())
        agreed.demand_current()
        assert [each.consent_id for each in withdrawal.withdrawn] == [agreed.consent_id]
        assert (after.allowed, after.reason) == (False, "consent_withdrawn")

    def test_is_the_same_by_every_reference(self, client: ConsentClient, form: str) -> None:
        person = Email("liv@nordlys.example")
        say(client, person, form, granted=True, purpose=SURVEY[0], channel=SURVEY[1])
        subject_id = client.check(person, *SURVEY).subject_id
        assert subject_id is not None

        asked_by_id = client.check(SubjectId(subject_id, contact_point=person), *SURVEY)
        without_point = client.check(SubjectId(subject_id), *SURVEY)
        stranger = client.check(ExternalId("4711", contact_point=person), *SURVEY)

        assert asked_by_id.allowed
        assert without_point.reason == "contact_point_required"
        assert not stranger

    def test_had_agreed_then_and_nothing_is_sent_on_that(self, client: ConsentClient, form: str) -> None:
        person = Email("per@nordlys.example")
        say(client, person, form, granted=True, purpose=SURVEY[0], channel=SURVEY[1])
        then = datetime.now(UTC)
        client.withdraw(person)

        decision = client.check(person, *SURVEY, as_of=then)

        assert decision.allowed
        with pytest.raises(DecisionDeniedError):
            client.check(person, *SURVEY).demand_current()

    def test_objects_by_phone(self, client: ConsentClient, form: str) -> None:
        person = Phone("90000007", region="NO")
        say(client, person, form, granted=True, purpose="customer_survey", channel="sms")

        outcome = client.object_to(person, channel="sms")

        assert outcome.objection_id
        assert client.check(person, "customer_survey", "sms").reason == "objected"

    def test_is_withdrawn_once_with_one_key(self, client: ConsentClient, form: str) -> None:
        person = Email("siri@nordlys.example")
        say(client, person, form, granted=True, purpose=SURVEY[0], channel=SURVEY[1])

        first = client.withdraw(person)
        again = client.withdraw(person, idempotency_key=first.idempotency_key)

        assert first == again
        assert first.withdrawn


class TestAMistake:
    def test_in_the_key_is_raised(self, demo: Service) -> None:
        with ConsentClient(f"http://127.0.0.1:{demo.port}", "cs_demo_nobody") as client, pytest.raises(KeyRefusedError):
            client.check(OLA, *SURVEY)

    def test_in_what_the_key_may_do_is_raised(self, demo: Service, shop: dict[str, object]) -> None:
        key = str(shop["check_only_api_key"])
        with ConsentClient(f"http://127.0.0.1:{demo.port}", key) as client, pytest.raises(KeyRefusedError):
            client.withdraw(OLA)

    def test_in_an_address_is_raised_with_its_place_and_without_its_value(self, client: ConsentClient) -> None:
        with pytest.raises(InvalidRequestError) as raised:
            client.check(Email("ola at nordlys.example"), *SURVEY)

        assert [problem.pointer for problem in raised.value.problems] == ["/subject/email"]
        assert raised.value.request_id
        assert "nordlys" not in str(raised.value)

    def test_in_a_form_is_raised(self, client: ConsentClient) -> None:
        with pytest.raises(RequestRefusedError):
            say(client, OLA, "frm_nobody", granted=True, purpose=SURVEY[0], channel=SURVEY[1])
