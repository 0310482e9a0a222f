"""Whatever happens in whatever order, the service answers as a plain second opinion does: now, and about the past."""

from datetime import datetime, timedelta
from itertools import count
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from consent_service.consent import check, signup_requests
from consent_service.consent.check import CheckRequest
from consent_service.consent.confirmation import LINK_LIFETIME, NewLink
from consent_service.db.session import Database
from consent_service.errors import ObjectedError, SuppressedError
from tests import builders
from tests.acts import KARI, Stage, an_act, refer
from tests.builders import NOON
from tests.functional.consent.model import Model, Request

SECOND: Final = timedelta(seconds=1)
PURPOSES: Final = ("newsletter", "club")
JUMPS: Final = tuple(timedelta(hours=hours) for hours in (1, 30, 60, 100, 24 * 90, 24 * 200))

some_purposes = st.sets(st.sampled_from(PURPOSES), min_size=1).map(lambda names: tuple(sorted(names)))
one_or_all = st.none() | st.sampled_from(PURPOSES)

#: A request that the service knows, the link in its first mail, and what the model knows of it.
Sent = tuple[str, NewLink, Request]

_keys = count()


class OneAddress(RuleBasedStateMachine):
    """Everybody acts on Kari's address: Kari, her till, the DPO who publishes notices, and time."""

    sent: Bundle[Sent] = Bundle("sent")

    def __init__(self, database: Database) -> None:
        """Let `newsletter` demand double opt-in and `club` not; a consent is good for a year."""
        super().__init__()
        controller_id = builders.a_controller(database, key=f"nordlys-{next(_keys)}")
        self.stage = Stage(database, controller_id)
        for purpose in PURPOSES:
            self.stage.purpose(purpose, double_opt_in=purpose == "newsletter", valid_for_months=12)
        self.form = self.stage.form(*((purpose, "email") for purpose in PURPOSES))
        self.now = NOON
        self.model = Model(changes={purpose: [NOON] for purpose in PURPOSES})
        self.moments = [NOON]
        self.steps = 0

    def tick(self) -> datetime:
        self.now += SECOND
        self.moments.append(self.now)
        return self.now

    @rule(jump=st.sampled_from(JUMPS))
    def let_time_pass(self, jump: timedelta) -> None:
        self.now += jump

    @rule(target=sent, purposes=some_purposes)
    def send_the_form(self, purposes: tuple[str, ...]) -> Sent | MultipleResults[Sent]:
        at = self.tick()
        told = {purpose: self.model.notice(purpose, at) for purpose in purposes}
        same = [each for each in self.model.requests if each.told == told]
        is_known = bool(same) and same[-1].open(at) == set(purposes)

        request_id = self.stage.sign_up(self.form, *((purpose, "email") for purpose in purposes), at=at)

        assert (request_id is None) == is_known
        if request_id is None:
            return multiple()
        request = Request(told, at, set(purposes))
        self.model.requests.append(request)
        return request_id, self.stage.link(request_id, at=at), request

    @rule(sent=sent)
    def let_its_mail_be_accepted(self, sent: Sent) -> None:
        request_id, _, request = sent
        at = self.tick()
        if not request.open(at):
            return

        self.stage.accept_mail(request_id, at=at)

        for older in self.model.requests[: self.model.requests.index(request)]:
            if older.waits_for <= request.waits_for:
                older.waits_for = set()

    @rule(sent=sent, is_resent=st.booleans())
    def press_the_button(self, sent: Sent, *, is_resent: bool) -> None:
        request_id, link, request = sent
        at = self.tick()
        is_fresh = is_resent and bool(request.open(at))

        view = self.stage.confirm(self.stage.link(request_id, at=at) if is_fresh else link, at=at)

        confirmed = request.open(at) if is_fresh or at < request.since + LINK_LIFETIME else set()
        assert bool(view.consent_ids) == bool(confirmed)
        if confirmed and self.model.holder_since is None:
            self.model.holder_since = at
        for purpose in sorted(confirmed):
            self.model.say("confirmed", purpose, at, notice=request.told[purpose])
        if confirmed:
            request.waits_for = set()

    @rule(purpose=one_or_all)
    def withdraw(self, purpose: str | None) -> None:
        at = self.tick()

        self.stage.withdraw(KARI, purpose, at=at)

        self._refuse(purpose, at, "no" if self.model.is_known else "stop")

    @rule(purpose=one_or_all)
    def object_to(self, purpose: str | None) -> None:
        at = self.tick()

        self.stage.object_to(KARI, purpose, at=at)

        self._refuse(purpose, at, "stop")

    @rule(ago=st.sampled_from([timedelta(0), timedelta(hours=2), timedelta(days=40)]))
    def report_a_yes(self, ago: timedelta) -> None:
        at = self.tick()
        # A fraction of a second keeps it apart from whatever else happened then.
        happened = at - ago - (timedelta(microseconds=13) if ago else timedelta(0))

        def report() -> None:
            self.stage.report(self.form, ("club", "email", True), act=an_act(at=happened), at=at)

        if happened < NOON:
            return
        if self.model.is_stopped("club"):
            with pytest.raises((ObjectedError, SuppressedError)):
                report()
            return
        report()
        self.moments.append(happened)
        self.model.say("reported", "club", happened, notice=self.model.notice("club", happened))

    @rule(purpose=st.sampled_from(PURPOSES))
    def report_a_no(self, purpose: str) -> None:
        at = self.tick()

        self.stage.report(self.form, (purpose, "email", False), at=at)

        self.model.was_reported = self.model.was_reported or not self.model.is_known
        self._refuse(purpose, at, "no")

    @precondition(lambda self: len(self.model.changes["newsletter"]) + len(self.model.changes["club"]) < 5)
    @rule(purpose=st.sampled_from(PURPOSES))
    def publish_a_material_change(self, purpose: str) -> None:
        at = self.tick()
        edition = len(self.model.changes[purpose]) + 1

        with self.stage.act() as session:
            content = builders.a_notice(purpose=purpose, edition=edition)
            builders.a_published_notice(session, purpose=purpose, content=content, at=at)

        self.model.changes[purpose].append(at)

    @rule()
    def sweep(self) -> None:
        with self.stage.act() as session:
            signup_requests.expire(session, at=self.now)

    @invariant()
    def it_answers_as_the_model_does(self) -> None:
        self.steps += 1
        past = self.moments[self.steps * 7 % len(self.moments)]
        with self.stage.act() as session:
            for purpose in PURPOSES:
                for moment in (None, past):
                    asked = CheckRequest(reference=refer(KARI), purpose=purpose, channel="email", as_of=moment)
                    decision = check.decide(session, request=asked, at=self.now)
                    expected = self.model.may_mail(purpose, moment or self.now, then=moment is not None)
                    assert decision.allowed is expected, (purpose, moment, decision.reason)

    def _refuse(self, purpose: str | None, at: datetime, what: str) -> None:
        for each in PURPOSES if purpose is None else (purpose,):
            self.model.say("stop" if what == "stop" else "no", each, at)
            for request in self.model.requests:
                request.waits_for = request.waits_for - {each}


def _run(database: Database, *, examples: int, steps: int, shrinks: bool) -> None:
    class AtThisDatabase(OneAddress):
        def __init__(self) -> None:
            super().__init__(database)

    run_state_machine_as_test(
        AtThisDatabase,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            # Shrinking on a real database takes minutes; the unshrunk steps are printed, and a long run shrinks them.
            phases=[Phase.generate, Phase.shrink] if shrinks else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_service_agrees_with_a_second_opinion(database: Database) -> None:
    _run(database, examples=25, steps=25, shrinks=False)


@pytest.mark.long
def test_it_agrees_for_long(database: Database) -> None:
    _run(database, examples=300, steps=40, shrinks=True)
