"""A stream answers for everybody asked about, in order and in small memory, whatever becomes of the connection."""

import os
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from clients.python.tests.conftest import KEY
from clients.python.tests.servers import Handler, Talk, a_line, a_problem, always, raw
from consent_client import ConsentClient, Email, InvalidRequestError, KeyRefusedError, StreamDecision, streaming

ClientOf = Callable[[Handler], ConsentClient]
PATIENCE = 10.0


def people(count: int) -> Iterator[Email]:
    """Yield that many addresses."""
    return (Email(f"kunde-{number}@nordlys.example") for number in range(count))


def answer_each(talk: Talk) -> None:
    """Answer every line at once, yes to every second one."""
    talk.begin()
    talk.begin_stream()
    for number, line in enumerate(talk.lines()):
        talk.part(a_line(line["correlation_id"], allowed=number % 2 == 0))
    talk.end()


def answer_in_parts(size: int) -> Handler:
    """Answer only when that many lines have come, or the last."""

    def handle(talk: Talk) -> None:
        talk.begin()
        talk.begin_stream()
        waiting: list[bytes] = []
        for line in talk.lines():
            waiting.append(a_line(line["correlation_id"]))
            if len(waiting) == size:
                talk.part(b"".join(waiting))
                waiting.clear()
        if waiting:
            talk.part(b"".join(waiting))
        talk.end()

    return handle


def answer_as_json(talk: Talk) -> None:
    """Answer with the lines that were wanted, and call them something else."""
    talk.begin()
    talk.begin_stream({"Content-Type": "application/json"})
    for line in talk.lines():
        talk.part(a_line(line["correlation_id"]))
    talk.end()


class AnswerSomeThen:
    """Answer ten with yes, and do something else once they have been taken."""

    def __init__(self, then: Handler) -> None:
        self.then = then
        self.are_taken = threading.Event()

    def __call__(self, talk: Talk) -> None:
        talk.begin()
        talk.begin_stream()
        for line in islice(talk.lines(), 10):
            talk.part(a_line(line["correlation_id"]))
        assert self.are_taken.wait(PATIENCE)
        self.then(talk)

    def ask(self, client: ConsentClient, count: int) -> list[StreamDecision]:
        """Ask about that many people and return every answer."""
        answers = []
        for answer in client.check_stream(people(count), "newsletter", "email"):
            answers.append(answer)
            if answer.index == 9:
                self.are_taken.set()
        return answers


def ask(client: ConsentClient, count: int) -> list[StreamDecision]:
    """Ask about that many people and return every answer."""
    return list(client.check_stream(people(count), "newsletter", "email"))


#: How a connection breaks after ten answers.
BREAKS: dict[str, Handler] = {
    "it is reset": Talk.reset,
    "it ends properly": Talk.end,
    "it ends": lambda talk: talk.socket.close(),
    "what comes is no chunk": lambda talk: talk.send(b"zz\r\n"),
    "a line is no JSON": lambda talk: talk.part(b"{\n"),
    "a line is half": lambda talk: talk.part(a_line("10")[:40]),
    "one is left out": lambda talk: talk.part(a_line("11")),
    "one comes again": lambda talk: talk.part(a_line("9")),
    "one has no correlation": lambda talk: talk.part(a_line(None)),
    "a line is no object": lambda talk: talk.part(b"[true]\n"),
    "a line never ends": lambda talk: talk.part(b"a" * 2**17),
}
THREE = a_line("0") + a_line("1") + a_line("2")
NDJSON, PROBLEM = "application/x-ndjson", "application/problem+json"
#: What a service says that lets no stream begin.
NO_STREAMS: dict[str, Handler] = {
    "nothing": raw(b""),
    "no HTTP": raw(b"no HTTP at all\r\n\r\n"),
    "500": always({"allowed": True}, status=500),
    "201": always(THREE, status=201, media_type=NDJSON),
    "another kind": answer_as_json,
    "no terms": always(THREE, media_type=NDJSON),
    "503": always(a_problem(503, "unavailable"), status=503, media_type=PROBLEM),
    "429": always(a_problem(429, "too_many"), status=429, media_type=PROBLEM),
    "elsewhere": always(b"", status=302, headers={"Location": "https://elsewhere.example/"}),
}


def resident_bytes() -> int:
    """Return how much memory this process holds."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


class TestAStream:
    def test_answers_for_everybody_in_order(self, client_of: ClientOf) -> None:
        answers = ask(client_of(answer_each), 1_000)

        assert [answer.index for answer in answers] == list(range(1_000))
        assert [answer.subject for answer in answers] == list(people(1_000))
        assert [bool(answer) for answer in answers] == [True, False] * 500
        assert answers[0].reason == "consent_given"
        assert answers[0].decision.decision_id == "dec_00000000000000000000000003"
        answers[0].demand_current()

    def test_asks_for_purpose_and_channel_and_names_no_address_in_the_url(self, client_of: ClientOf) -> None:
        asked = []

        def listen(talk: Talk) -> None:
            request = talk.begin()
            asked.append((request.method, request.target, talk.header("Content-Type"), talk.header("Authorization")))
            talk.begin_stream()
            for line in talk.lines():
                assert line == {"email": "kunde-0@nordlys.example", "correlation_id": "0"}
                talk.part(a_line("0"))
            talk.end()

        assert len(ask(client_of(listen), 1)) == 1
        target = b"/v1/checks/stream?purpose=newsletter&channel=email"
        assert asked == [(b"POST", target, "application/x-ndjson", f"Bearer {KEY}")]

    def test_of_nobody_asks_nothing(self, client_of: ClientOf) -> None:
        connections: list[Talk] = []

        assert ask(client_of(connections.append), 0) == []
        assert connections == []

    @pytest.mark.parametrize("size", [2_500, 20_000])
    def test_reaches_a_service_that_waits_for_many(self, client_of: ClientOf, size: int) -> None:
        answers = ask(client_of(answer_in_parts(size)), 45_000)

        assert len(answers) == 45_000
        assert all(answers)

    def test_cut_anywhere_is_the_same(self, client_of: ClientOf) -> None:
        def dribble(talk: Talk) -> None:
            talk.begin()
            talk.begin_stream()
            for line in talk.lines():
                whole = a_line(line["correlation_id"])
                for cut in range(0, len(whole), 7):
                    talk.part(whole[cut : cut + 7])
            talk.end()

        assert all(ask(client_of(dribble), 50))

    def test_never_asks_far_ahead_of_the_answers(self, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(streaming, "MOST_UNANSWERED", 1_000)
        given = 0

        def source() -> Iterator[Email]:
            nonlocal given
            for person in people(20_000):
                given += 1
                yield person

        answers = client_of(answer_in_parts(500)).check_stream(source(), "newsletter", "email")

        assert max(given - answer.index for answer in answers) <= 1_000
        assert given == 20_000

    @pytest.mark.long
    def test_of_a_million_takes_no_more_memory_than_a_short_one(self, client_of: ClientOf) -> None:
        client = client_of(answer_in_parts(2_500))
        most_at_first = most = 0

        for answer in client.check_stream(people(1_000_000), "newsletter", "email"):
            if answer.index % 1_000 == 0:
                most = max(most, resident_bytes())
            if answer.index == 100_000:
                most_at_first = most

        assert most_at_first > 0
        assert most < most_at_first + 16 * 2**20

    def test_is_over_when_all_are_answered_whatever_comes_then(self, client_of: ClientOf) -> None:
        for then in (Talk.reset, lambda talk: talk.part(b"}\n"), lambda talk: talk.socket.recv(1)):
            service = AnswerSomeThen(then)

            answers = service.ask(client_of(service), 10)

            assert [bool(answer) for answer in answers] == [True] * 10

    def test_can_be_left_early(self, client_of: ClientOf) -> None:
        answers = client_of(answer_each).check_stream(people(1_000_000), "newsletter", "email")

        assert [answer.index for answer in islice(answers, 10)] == list(range(10))
        del answers

    def test_passes_on_what_the_source_raises(self, client_of: ClientOf) -> None:
        def broken() -> Iterator[Email]:
            yield from people(3)
            raise LookupError("the source")

        with pytest.raises(LookupError, match="the source"):
            list(client_of(answer_each).check_stream(broken(), "newsletter", "email"))


class TestAConnectionThatBreaks:
    @pytest.mark.parametrize("then", BREAKS.values(), ids=BREAKS)
    def test_is_a_no_for_all_who_are_not_answered(self, client_of: ClientOf, then: Handler) -> None:
        service = AnswerSomeThen(then)

        answers = service.ask(client_of(service), 20_000)

        assert [answer.index for answer in answers] == list(range(20_000))
        assert [answer.subject for answer in answers] == list(people(20_000))
        assert [bool(answer) for answer in answers] == [True] * 10 + [False] * 19_990
        assert {answer.reason for answer in answers[10:]} == {"unavailable"}

    def test_by_resting_too_long_is_a_no_in_time(self, serve: Callable[[Handler], str]) -> None:
        def rest(talk: Talk) -> None:
            while talk.socket.recv(2**16):
                pass

        service = AnswerSomeThen(rest)
        with ConsentClient(serve(service), KEY, stream_timeout=0.3) as client:
            answers = service.ask(client, 60_000)

        assert [bool(answer) for answer in answers] == [True] * 10 + [False] * 59_990
        assert answers[-1].decision.failure == "Timeout"

    def test_by_reading_nothing_is_a_no_in_time(self, serve: Callable[[Handler], str]) -> None:
        def read_nothing(talk: Talk) -> None:
            assert is_over.wait(PATIENCE)
            talk.reset()

        is_over, service = threading.Event(), AnswerSomeThen(read_nothing)
        with ConsentClient(serve(service), KEY, stream_timeout=0.3) as client:
            answers = service.ask(client, 60_000)
        is_over.set()

        assert [bool(answer) for answer in answers] == [True] * 10 + [False] * 59_990
        assert answers[-1].decision.failure == "Timeout"

    def test_by_not_listening_is_a_no_for_all(self) -> None:
        with ConsentClient("http://127.0.0.1:9", KEY) as client:
            answers = ask(client, 3)

        assert [(answer.allowed, answer.reason) for answer in answers] == [(False, "unavailable")] * 3

    @pytest.mark.parametrize("handler", NO_STREAMS.values(), ids=NO_STREAMS)
    def test_before_it_begins_is_a_no_for_all(self, client_of: ClientOf, handler: Handler) -> None:
        answers = ask(client_of(handler), 3)

        assert [(answer.allowed, answer.reason) for answer in answers] == [(False, "unavailable")] * 3


class TestOneAnswer:
    @pytest.mark.parametrize(
        "changes",
        [
            {"allowed": 1},
            {"allowed": None},
            {"reason": ""},
            {"valid_until": "2020-01-01T00:00:00Z"},
            {"subject_id": "kari@nordlys.example"},
        ],
    )
    def test_that_is_wrong_is_a_no_in_its_place(self, client_of: ClientOf, changes: dict[str, object]) -> None:
        def handle(talk: Talk) -> None:
            talk.begin()
            talk.begin_stream()
            for line in talk.lines():
                more = changes if line["correlation_id"] == "1" else {}
                talk.part(a_line(line["correlation_id"], **more))
            talk.end()

        assert [bool(answer) for answer in ask(client_of(handle), 3)] == [True, False, True]

    def test_that_has_lost_its_name_is_a_no_and_the_next_one_counts(self, client_of: ClientOf) -> None:
        def handle(talk: Talk) -> None:
            talk.begin()
            talk.begin_stream()
            for line in talk.lines():
                named = "email" in line
                talk.part(a_line(line["correlation_id"] if named else None, allowed=named, reason="invalid_reference"))
            talk.end()

        people = [Email("a@nordlys.example"), Email("\ud800"), Email("b@nordlys.example")]

        answers = list(client_of(handle).check_stream(people, "newsletter", "email"))

        assert [bool(answer) for answer in answers] == [True, False, True]
        assert answers[1].reason == "invalid_reference"

    def test_about_a_broken_reference_is_the_services_no(self, client_of: ClientOf) -> None:
        def handle(talk: Talk) -> None:
            talk.begin()
            talk.begin_stream()
            for line in talk.lines():
                talk.part(a_line(line["correlation_id"], allowed=False, reason="invalid_reference", subject_id=None))
            talk.end()

        assert [answer.reason for answer in ask(client_of(handle), 2)] == ["invalid_reference"] * 2

    @pytest.mark.parametrize("header", ["Decision-Id", "Evaluated-At"])
    def test_is_no_yes_without_what_holds_for_all(self, client_of: ClientOf, header: str) -> None:
        def handle(talk: Talk) -> None:
            talk.begin()
            talk.begin_stream({header: ""})
            for line in talk.lines():
                talk.part(a_line(line["correlation_id"]))
            talk.end()

        assert [bool(answer) for answer in ask(client_of(handle), 2)] == [False, False]

    def test_ends_no_later_than_the_stream_says(self, client_of: ClientOf) -> None:
        def handle(talk: Talk) -> None:
            talk.begin()
            talk.begin_stream({"Valid-Until": "2020-01-01T00:00:00Z"})
            for line in talk.lines():
                talk.part(a_line(line["correlation_id"]))
            talk.end()

        assert [bool(answer) for answer in ask(client_of(handle), 2)] == [False, False]


class TestAMistakeOfTheCaller:
    @pytest.mark.parametrize(("status", "kind"), [(401, KeyRefusedError), (422, InvalidRequestError)])
    def test_is_raised_before_the_first_answer(self, client_of: ClientOf, status: int, kind: type[Exception]) -> None:
        def refuse(talk: Talk) -> None:
            talk.begin()
            talk.answer(a_problem(status, "refused"), status=status, media_type=PROBLEM)
            for _ in talk.parts():
                pass

        with pytest.raises(kind):
            ask(client_of(refuse), 10_000)

    def test_is_raised_also_where_the_service_hangs_up_on_what_still_comes(self, client_of: ClientOf) -> None:
        answers = client_of(always(a_problem(401, "key_unknown"), status=401, media_type=PROBLEM))

        with pytest.raises(KeyRefusedError):
            next(answers.check_stream(people(1), "newsletter", "email"))
