"""Asks both services the same four questions over HTTP and writes down what each answers.

The acts are made through each service's own API, so that nobody's rows are put in anybody's mouth.
"""

import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from bench import peer, people
from bench.installation import Service
from bench.peer import Peer
from bench.people import Story
from bench.processes import BenchmarkError

#: Single opt-in, so that a reported yes holds at once: the peer knows no other.
_PURPOSE: Final = {"purpose": "customer_survey", "channel": "email"}
_NEWSLETTER: Final = {"purpose": "newsletter", "channel": "email"}
_YES: Final = (True, "consent_given")
_NO: Final = {
    Story.WITHDREW: (False, "consent_withdrawn"),
    Story.OBJECTED: (False, "objected"),
    Story.RESTRICTED: (False, "restricted"),
    Story.SUPPRESSED: (False, "suppressed"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered to a question, and whether that is so."""

    text: str
    is_right: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """A question and the answers; no answer where the peer was left out."""

    question: str
    service: Answer
    peer: Answer | None


def compare(service: Service, other: Peer | None) -> tuple[Comparison, ...]:
    """Ask refusal, grant then withdrawal, the past, and history."""
    ours = _ask_service(service)
    theirs = _ask_peer(other) if other is not None else None
    return tuple(
        Comparison(question, ours[question], None if theirs is None else theirs[question]) for question in ours
    )


def demand_real_rows(service: Service, *, total: int, say: Callable[[str], None]) -> None:
    """Check people of every story by address.

    Raises BenchmarkError where somebody without a story is not a yes, somebody with a no is anything else, or a
    stranger is a yes: then nothing else is worth measuring. Any other no is said and does no harm to a measurement.
    """
    asked = range(min(total // 2, 200))
    for number in asked:
        answer, story = _check(service, people.email(number), _NEWSLETTER), people.story(number)
        if (answer["allowed"], answer["reason"]) == _NO.get(story, _YES):
            continue
        text = f"person {number} ({story.value}) is answered with {answer['reason']}"
        if story in _NO or story is Story.STAYED:
            raise BenchmarkError(text)
        say(f"  {text}")
    if _check(service, "nobody@kunde.example", _NEWSLETTER)["allowed"]:
        raise BenchmarkError("somebody whom nobody knows may be contacted")
    say(f"  {len(asked)} people of every story were asked about")


def call(port: int, path: str, body: object = None, *, credential: str) -> tuple[int, Any]:
    """Call the service and return status and answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {credential}", "Content-Type": "application/json"}
    try:
        connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def _ask_service(service: Service) -> dict[str, Answer]:
    mark = f"{time.time_ns():x}"
    refused, ended = f"refused{mark}@kunde.example", f"ended{mark}@kunde.example"
    _report(service, refused, granted=False)
    _report(service, ended, granted=True)
    between = datetime.now(UTC).isoformat()
    granted = _check(service, ended, _PURPOSE)
    status, _ = _call(service, "/v1/withdrawals", {"subject": {"email": ended}})
    if status != http.client.OK:
        raise BenchmarkError(f"a withdrawal was answered with {status}")
    after_refusal, after_withdrawal = _check(service, refused, _PURPOSE), _check(service, ended, _PURPOSE)
    past = _check(service, ended, {**_PURPOSE, "as_of": between})
    _, history = _call(service, f"/v1/subjects/{granted['subject_id']}/history")
    acts = [entry["kind"] for entry in history["data"] if entry["purpose"] == _PURPOSE["purpose"]]
    return {
        "a refusal": _verdict(after_refusal, allowed=False),
        "a grant": _verdict(granted, allowed=True),
        "a grant, then a withdrawal": _verdict(after_withdrawal, allowed=False),
        "the same, asked for the moment between the two": _verdict(past, allowed=True),
        "the history of the two": Answer(", then ".join(reversed(acts)), sorted(acts) == ["given", "withdrawn"]),
    }


def _ask_peer(other: Peer) -> dict[str, Answer]:
    # Its ids are base58, which has no 0.
    mark = f"{time.time_ns():x}".replace("0", "z")
    now = time.time()
    other.write(f"sub_{mark}r", external_id=f"refused{mark}", granted=False, at=now - 50)
    other.write(f"sub_{mark}e", external_id=f"ended{mark}", granted=True, at=now - 40)
    granted = _has_consent(other, f"ended{mark}")
    # Its API has no call that withdraws: taking back is another choice, with the category switched off.
    other.write(f"sub_{mark}e", external_id=f"ended{mark}", granted=False, at=now - 30)
    _, subject = peer.call(other.port, f"/subjects/sub_{mark}e")
    shown = [json.dumps(each.get("preferences")) for each in subject["consents"]]
    return {
        "a refusal": _claim(has=_has_consent(other, f"refused{mark}"), should=False),
        "a grant": _claim(has=granted, should=True),
        "a grant, then a withdrawal": _claim(has=_has_consent(other, f"ended{mark}"), should=False),
        "the same, asked for the moment between the two": Answer("cannot be asked", is_right=False),
        "the history of the two": Answer(
            f"{len(shown)} records, `preferences` {' and '.join(shown)}", '{"marketing": false}' in shown
        ),
    }


def _verdict(answer: dict[str, Any], *, allowed: bool) -> Answer:
    return Answer(f"`allowed: {json.dumps(answer['allowed'])}`, {answer['reason']}", answer["allowed"] is allowed)


def _claim(*, has: bool, should: bool) -> Answer:
    return Answer(f"`hasConsent: {json.dumps(has)}`", has is should)


def _has_consent(other: Peer, external_id: str) -> bool:
    _, answer = other.check(external_id)
    return bool(answer["results"][peer.TYPE]["hasConsent"])


def _check(service: Service, email: str, question: dict[str, str]) -> dict[str, Any]:
    status, answer = _call(service, "/v1/checks", {"subject": {"email": email}, **question})
    if status != http.client.OK:
        raise BenchmarkError(f"a check was answered with {status}: {answer}")
    found: dict[str, Any] = answer
    return found


def _report(service: Service, email: str, *, granted: bool) -> None:
    body = {
        "subject": {"email": email},
        "form": service.company.form_id,
        "language": "nb",
        "decisions": [{**_PURPOSE, "granted": granted}],
        "evidence": {
            "method": "web_form",
            "act": "button_pressed",
            "page_url": "https://www.nordlys.example/club",
            "occurred_at": datetime.now(UTC).isoformat(),
        },
    }
    status, answer = _call(service, "/v1/consents", body)
    if status != http.client.CREATED:
        raise BenchmarkError(f"a report was answered with {status}: {answer}")


def _call(service: Service, path: str, body: object = None) -> tuple[int, Any]:
    return call(service.port, path, body, credential=service.company.api_key)
