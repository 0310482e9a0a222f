"""Whatever happens in whatever order, the service answers as a plain second opinion does: now, and about the past."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Final

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from consent_service.audit import trail
from consent_service.consent import merging, relations, revocation, signup_requests
from consent_service.consent.confirmation import LINK_LIFETIME, NewLink
from consent_service.consent.relations import Sale
from consent_service.consent.revocation import Extent
from consent_service.consent.sources import Source
from consent_service.db.session import Database
from consent_service.errors import ObjectedError, RestrictedError, SuppressedError
from consent_service.registry import purpose_settings
from consent_service.subjects import restriction
from consent_service.subjects.identity import SubjectReference
from tests import builders
from tests.acts import KARI, OLA, TILL, Stage, an_act, refer
from tests.builders import NOON
from tests.functional.consent import doors, model
from tests.functional.consent.doors import Desk, Question
from tests.functional.consent.model import Address, Edition, Model, Request

SECOND: Final = timedelta(seconds=1)
PURPOSES: Final = ("newsletter", "club")
JUMPS: Final = tuple(timedelta(hours=hours) for hours in (1, 30, 60, 100, 24 * 90, 24 * 200))
MEMBERSHIP: Final = timedelta(days=120)
LABEL: Final = "crm-2026-03"
STOPPED: Final = (ObjectedError, RestrictedError, SuppressedError)

people = st.sampled_from((KARI, KARI, OLA))
some_purposes = st.sets(st.sampled_from(PURPOSES), min_size=1).map(lambda names: tuple(sorted(names)))
one_or_all = st.none() | st.sampled_from(PURPOSES)
once_or_twice = st.integers(1, 2)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that the service knows, the link in its first mail, and what the model knows of it."""

    who: str
    request_id: str
    link: NewLink
    request: Request


_keys = count()


class TwoAddresses(RuleBasedStateMachine):
    """Everybody acts on two addresses: who holds them, the till, the DPO, the import, and time."""

    sent: Bundle[Sent] = Bundle("sent")

    def __init__(self, database: Database, client: FlaskClient) -> None:
        """Let `newsletter` demand double opt-in and `club` not, which also reaches customers; both last a year."""
        super().__init__()
        controller_id = builders.a_controller(database, key=f"nordlys-{next(_keys)}")
        self.stage = Stage(database, controller_id)
        for purpose in PURPOSES:
            self.stage.purpose(purpose, double_opt_in=purpose == "newsletter", valid_for_months=12)
        self.form = self.stage.form(*((purpose, "email") for purpose in PURPOSES))
        with self.stage.act() as session:
            admitted = {"existing_customer": True, "product_categories": ("skis",)}
            purpose_settings.change(session, key="club", changes=admitted, actor=trail.SYSTEM, at=NOON)
            self.desk = Desk(self.stage, client, builders.an_api_key(session))
        self.now = NOON
        self.model = Model(
            addresses={KARI: Address(), OLA: Address()},
            editions={purpose: [Edition(is_material=True, since=NOON)] for purpose in PURPOSES},
            for_customers=frozenset({"club"}),
        )
        self.moments = [NOON]
        self.steps = 0

    def tick(self) -> datetime:
        self.now += SECOND
        self.moments.append(self.now)
        return self.now

    @initialize(
        known=st.sampled_from(((), (KARI,), (KARI, OLA), (KARI, OLA))),
        refuses=st.none() | people,
        is_one=st.booleans(),
    )
    def begin_with_some_who_are_known(self, known: tuple[str, ...], refuses: str | None, *, is_one: bool) -> None:
        for who in known:
            sent = self.send_the_form(who, PURPOSES)
            assert isinstance(sent, Sent)
            self.press_the_button(sent, is_resent=False, times=1)
            if refuses == who:
                self.report_a_no(who, "club")
        if is_one and len(known) > 1:
            self.merge(KARI)

    @rule(jump=st.sampled_from(JUMPS))
    def let_time_pass(self, jump: timedelta) -> None:
        self.now += jump

    @rule(target=sent, who=people, purposes=some_purposes)
    def send_the_form(self, who: str, purposes: tuple[str, ...]) -> Sent | MultipleResults[Sent]:
        at = self.tick()
        here = self.model.addresses[who]
        told = {purpose: self.model.notice(purpose, at) for purpose in purposes}
        same = [each for each in here.requests if each.told == told]
        is_known = bool(same) and same[-1].open(at) == set(purposes)

        request_id = self.stage.sign_up(self.form, *((purpose, "email") for purpose in purposes), email=who, at=at)

        assert (request_id is None) == is_known
        if request_id is None:
            return multiple()
        request = Request(told, at, set(purposes))
        here.requests.append(request)
        return Sent(who, request_id, self.stage.link(request_id, at=at), request)

    @rule(sent=sent)
    def let_its_mail_be_accepted(self, sent: Sent) -> None:
        at = self.tick()
        if not sent.request.open(at):
            return

        self.stage.accept_mail(sent.request_id, at=at)

        requests = self.model.addresses[sent.who].requests
        for older in requests[: requests.index(sent.request)]:
            if older.waits_for <= sent.request.waits_for:
                older.waits_for = set()

    @rule(sent=sent, is_resent=st.booleans(), times=once_or_twice)
    def press_the_button(self, sent: Sent, *, is_resent: bool, times: int) -> None:
        for _ in range(times):
            at = self.tick()
            request = sent.request
            is_fresh = is_resent and bool(request.open(at))

            view = self.stage.confirm(self.stage.link(sent.request_id, at=at) if is_fresh else sent.link, at=at)

            confirmed = request.open(at) if is_fresh or at < request.since + LINK_LIFETIME else set()
            assert bool(view.consent_ids) == bool(confirmed)
            if confirmed and self.model.addresses[sent.who].holder_since is None:
                self.model.addresses[sent.who].holder_since = at
            for purpose in sorted(confirmed):
                self.model.say(sent.who, "confirmed", purpose, at, notice=request.told[purpose])
            if confirmed:
                request.waits_for = set()

    @rule(who=people, purpose=one_or_all, channel=st.sampled_from((None, "email", "sms")), times=once_or_twice)
    def withdraw(self, who: str, purpose: str | None, channel: str | None, times: int) -> None:
        for _ in range(times):
            at = self.tick()

            self.stage.withdraw(who, purpose, channel, at=at)

            if channel != "sms":
                self._refuse(who, purpose, at, "no" if self.model.addresses[who].is_known else "stop")

    @rule(who=people, purpose=one_or_all)
    def withdraw_by_id(self, who: str, purpose: str | None) -> None:
        subject_id = self._subject_of(who)
        if subject_id is None:
            return
        at = self.tick()

        self.stage.withdraw(SubjectReference(id=subject_id), purpose, at=at)

        self._refuse(who, purpose, at, "no")

    @rule(who=people, purpose=one_or_all, channel=st.sampled_from((None, "email", "sms")), times=once_or_twice)
    def object_to(self, who: str, purpose: str | None, channel: str | None, times: int) -> None:
        for _ in range(times):
            at = self.tick()

            self.stage.object_to(who, purpose, channel, at=at)

            if channel != "sms":
                self._refuse(who, purpose, at, "stop")

    @rule(
        who=people,
        ago=st.sampled_from([timedelta(0), timedelta(hours=2), timedelta(days=40)]),
        label=st.sampled_from((None, LABEL)),
    )
    def report_a_yes(self, who: str, ago: timedelta, label: str | None) -> None:
        at = self.tick()
        # A fraction of a second keeps it apart from whatever else happened then.
        happened = at - ago - (timedelta(microseconds=13) if ago else timedelta(0))

        def report() -> None:
            act = an_act(at=happened)
            self.stage.report(self.form, ("club", "email", True), who=who, act=act, at=at, import_label=label)

        if happened < NOON:
            return
        if self.model.is_stopped(who, "club"):
            with pytest.raises(STOPPED):
                report()
            return
        report()
        self.moments.append(happened)
        told = self.model.notice("club", happened)
        self.model.say(who, "reported", "club", happened, at, notice=told, label=label)

    @rule(who=people, purpose=st.sampled_from(PURPOSES))
    def report_a_no(self, who: str, purpose: str) -> None:
        at = self.tick()

        self.stage.report(self.form, (purpose, "email", False), who=who, at=at)

        here = self.model.addresses[who]
        here.was_reported = here.was_reported or not here.is_known
        self.model.say(who, "no", purpose, at)
        self._cancel(who, purpose)

    @rule()
    def recall_the_import(self) -> None:
        at = self.tick()

        with self.stage.act() as session:
            extent = Extent(Source(import_label=LABEL))
            revocation.record(session, extent=extent, reason="a bad file", actor=trail.SYSTEM, at=at)

        self.model.recalls.append((LABEL, at))

    @rule(who=people)
    def sell_a_membership(self, who: str) -> None:
        at = self.tick()
        sale = Sale(
            relation="membership",
            sold_at=at,
            product_category="skis",
            received_at_sale=True,
            opt_out_offered=True,
            active_until=at + MEMBERSHIP,
        )

        # When such a report is refused is told elsewhere; what is refused is not there.
        with suppress(*STOPPED):
            with self.stage.act() as session:
                relations.record(session, reference=refer(who), sale=sale, actor=TILL, at=at)
            here = self.model.addresses[who]
            here.was_reported = here.was_reported or not here.is_known
            here.sales.append(model.Sale(here.speaker, at, at + MEMBERSHIP))

    @rule(who=people, is_on=st.booleans())
    def restrict_or_lift(self, who: str, *, is_on: bool) -> None:
        subject_id = self._subject_of(who)
        if subject_id is None:
            return
        at = self.tick()
        turn = restriction.restrict if is_on else restriction.lift

        with self.stage.act() as session:
            turn(session, subject_id=subject_id, reason="asked for it", actor=trail.SYSTEM, at=at)

        for each in self.model.family(who):
            here = self.model.addresses[each]
            here.restricted.append((at, here.speaker, is_on))

    @precondition(lambda self: self.model.merged_at is None)
    @precondition(lambda self: all(each.holder_since for each in self.model.addresses.values()))
    @rule(survivor=st.sampled_from((KARI, OLA)))
    def merge(self, survivor: str) -> None:
        at = self.tick()
        kept, spent = (self._subject_of(who) for who in (survivor, OLA if survivor == KARI else KARI))
        assert kept is not None
        assert spent is not None

        with self.stage.act() as session:
            merging.merge(
                session, survivor_id=kept, duplicate_id=spent, source="test", reason="One.", actor=trail.SYSTEM, at=at
            )

        self.model.merged_at = at

    @precondition(lambda self: sum(map(len, self.model.editions.values())) < 6)
    @rule(
        purpose=st.sampled_from(PURPOSES),
        material=st.booleans(),
        ahead=st.sampled_from((timedelta(0), timedelta(hours=40))),
    )
    def publish_a_notice(self, purpose: str, ahead: timedelta, *, material: bool) -> None:
        at = self.tick()
        editions = self.model.editions[purpose]
        if editions[-1].since > at:
            return

        with self.stage.act() as session:
            content = builders.a_notice(purpose=purpose, edition=len(editions) + 1)
            reason = "" if material else "a comma"
            builders.a_published_notice(
                session,
                purpose=purpose,
                content=content,
                material=material,
                reason=reason,
                effective_at=at + ahead,
                at=at,
            )

        editions.append(Edition(material, at + ahead))

    @rule()
    def sweep(self) -> None:
        with self.stage.act() as session:
            signup_requests.expire(session, at=self.now)

    @invariant()
    def it_answers_as_the_model_does(self) -> None:
        self.steps += 1
        past = self.moments[self.steps * 7 % len(self.moments)]
        cases = [(purpose, moment) for purpose in PURPOSES for moment in (None, past)]
        for place, (purpose, moment) in enumerate(cases):
            questions = [Question(who, purpose, moment) for who in (KARI, OLA)]
            at, then = moment or self.now, moment is not None
            expected = [self.model.may_mail(who, purpose, at, then=then) for who in (KARI, OLA)]
            # Each step asks every question at one door, and each other door one of them.
            others = [door for turn, door in enumerate(doors.OTHER_DOORS) if (self.steps + turn) % len(cases) == place]
            for door in (doors.as_a_batch, *others):
                assert door(self.desk, questions, self.now) == expected, (door, questions)

    def _subject_of(self, who: str) -> str | None:
        return self.stage.check("club", who=who, at=self.now).subject_id

    def _refuse(self, who: str, purpose: str | None, at: datetime, what: model.What) -> None:
        for address in self.model.family(who):
            for each in PURPOSES if purpose is None else (purpose,):
                # A stop of the person is written down once, and holds for all that is theirs.
                if what == "no" or address == who:
                    self.model.say(address, what, each, at)
                self._cancel(address, each)

    def _cancel(self, who: str, purpose: str) -> None:
        for request in self.model.addresses[who].requests:
            request.waits_for = request.waits_for - {purpose}


def _run(database: Database, client: FlaskClient, *, examples: int, steps: int, is_long: bool) -> None:
    class AtThisDatabase(TwoAddresses):
        def __init__(self) -> None:
            super().__init__(database, client)

    run_state_machine_as_test(
        AtThisDatabase,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=not is_long,
            # Shrinking on a real database takes minutes; the unshrunk steps are printed, and a long run shrinks them.
            phases=[Phase.generate, Phase.shrink] if is_long else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_service_agrees_with_a_second_opinion(database: Database, client: FlaskClient) -> None:
    _run(database, client, examples=9, steps=22, is_long=False)


@pytest.mark.long
def test_it_agrees_for_long(database: Database, client: FlaskClient) -> None:
    _run(database, client, examples=300, steps=40, is_long=True)
