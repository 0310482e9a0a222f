"""The Python client and the running service understand each other, and the client's README does what it says."""

import contextlib
import http.client
import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from consent_client import (
    Choice,
    ConsentClient,
    Decision,
    DecisionDeniedError,
    Email,
    Evidence,
    ExternalId,
    InvalidRequestError,
    KeyRefusedError,
    Phone,
    RequestRefusedError,
    SubjectId,
    SubjectReference,
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

    def test_its_lists_are_asked_about_as_it_says(self, client: ConsentClient, form: str) -> None:
        yes, no = Email("inga@nordlys.example"), Email("jens@nordlys.example")
        say(client, yes, form, granted=True, purpose="customer_survey", channel="email")
        [code] = EXAMPLE.findall(README.read_text("utf-8").partition("## Many at once")[2])
        wanted: set[Email] = set()
        names: dict[str, Any] = {"client": client, "subjects": [yes, no], "wanted": wanted}

        exec(compile(code.replace('"newsletter"', '"customer_survey"'), str(README), "exec"), names)  # noqa: S102 - as above

        assert [bool(decision) for decision in names["decisions"]] == [True, False]
        assert wanted == {yes}


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


class TestMany:
    def test_are_answered_alike_one_by_one_in_a_batch_and_in_a_stream(self, client: ConsentClient, form: str) -> None:
        agreed, refused, withdrew = (Email(f"{name}@nordlys.example") for name in ("anne", "bo", "cecilie"))
        for person in (agreed, withdrew):
            say(client, person, form, granted=True, purpose=SURVEY[0], channel=SURVEY[1])
        say(client, refused, form, granted=False, purpose=SURVEY[0], channel=SURVEY[1])
        client.withdraw(withdrew, purpose=SURVEY[0])
        subject_id = client.check(agreed, *SURVEY).subject_id
        assert subject_id is not None
        people: list[SubjectReference] = [
            agreed,
            refused,
            withdrew,
            Email("nobody@nordlys.example"),
            Phone("+4790000099"),
            SubjectId(subject_id, contact_point=agreed),
            SubjectId(subject_id),
            ExternalId("4712", contact_point=agreed),
        ]

        single = [client.check(person, *SURVEY) for person in people]
        batch = client.check_batch(people, *SURVEY)
        stream = list(client.check_stream(people, *SURVEY))

        def said(decisions: Iterable[Decision]) -> list[tuple[bool, str, str | None]]:
            return [(each.allowed, each.reason, each.failure) for each in decisions]

        assert said(single)[:3] == [
            (True, "consent_given", None),
            (False, "consent_refused", None),
            (False, "consent_withdrawn", None),
        ]
        assert said(batch) == said(single)
        assert said(answer.decision for answer in stream) == said(single)
        assert [answer.subject for answer in stream] == people
        for answer in (batch[0], stream[0]):
            answer.demand_current()

    def test_with_a_broken_one_among_them_are_answered_all_the_same(self, client: ConsentClient) -> None:
        people = [Email("dag@nordlys.example"), Email("not an address"), Email("eva@nordlys.example")]

        batch = client.check_batch(people, *SURVEY)
        stream = list(client.check_stream(people, *SURVEY))

        for reasons in ([each.reason for each in batch], [each.reason for each in stream]):
            assert reasons == ["no_consent", "invalid_reference", "no_consent"]

    def test_are_more_than_any_buffer_holds(self, client: ConsentClient, form: str) -> None:
        last = Email("last@nordlys.example")
        say(client, last, form, granted=True, purpose=SURVEY[0], channel=SURVEY[1])
        strangers = (Email(f"kunde-{number}@nordlys.example") for number in range(60_000))

        answers = list(client.check_stream(itertools.chain(strangers, [last]), *SURVEY))

        assert {(each.allowed, each.reason) for each in answers[:-1]} == {(False, "no_consent")}
        assert len(answers) == 60_001
        assert answers[-1].allowed

    def test_of_a_batch_are_found_later_by_its_decision(self, client: ConsentClient) -> None:
        decisions = client.check_batch([Email("finn@nordlys.example"), Email("gro@nordlys.example")], *SURVEY)

        assert len({decision.decision_id for decision in decisions}) == 1
        assert decisions[0].decision_id

    @pytest.mark.parametrize("count", [0, 1])
    def test_may_be_few(self, client: ConsentClient, count: int) -> None:
        people = [Email("hans@nordlys.example")] * count

        assert len(client.check_batch(people, *SURVEY)) == count
        assert len(list(client.check_stream(people, *SURVEY))) == count

    def test_about_what_is_not_offered_are_all_a_no(self, client: ConsentClient) -> None:
        people = [Email("ivar@nordlys.example")] * 3

        assert {each.reason for each in client.check_batch(people, "nothing", "email")} == {"purpose_unknown"}
        assert {each.reason for each in client.check_stream(people, "nothing", "email")} == {"purpose_unknown"}

    def test_are_refused_to_a_key_that_nobody_has(self, demo: Service) -> None:
        with ConsentClient(f"http://127.0.0.1:{demo.port}", "cs_demo_nobody") as client:
            with pytest.raises(KeyRefusedError):
                client.check_batch([OLA], *SURVEY)
            with pytest.raises(KeyRefusedError):
                list(client.check_stream([OLA] * 10_000, *SURVEY))


class TestTheServer:
    @pytest.mark.parametrize("lines", [1, 2])
    def test_ends_a_stream_whose_last_line_it_could_not_read(
        self, demo: Service, shop: dict[str, object], lines: int
    ) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", demo.port, timeout=10)
        headers = {"Authorization": f"Bearer {shop['api_key']}", "Content-Type": "application/x-ndjson"}
        path = "/v1/checks/stream?purpose=customer_survey&channel=email"

        connection.request("POST", path, b'{"email": "not an address"}\n' * lines, headers)
        answers = [json.loads(line) for line in connection.getresponse().read().splitlines()]
        connection.close()

        assert [answer["reason"] for answer in answers] == ["invalid_reference"] * lines


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
