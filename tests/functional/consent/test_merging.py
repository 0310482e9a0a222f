"""Merges that meet other acts: nobody acts on half a person."""

from datetime import timedelta

import pytest

from consent_service.audit import trail
from consent_service.consent import merging
from consent_service.errors import AlreadyMergedError
from consent_service.registry.forms import FormVersion
from tests.acts import KARI, OLA, Stage, meanwhile
from tests.builders import NOON
from tests.functional.consent.conftest import NEWS

SECOND = timedelta(seconds=1)


@pytest.fixture
def pair(stage: Stage, form: FormVersion) -> tuple[str, str]:
    """Let one person get the newsletter under two records."""
    first, second = (stage.give(form, NEWS, email=address).subject_id for address in (KARI, OLA))
    assert first is not None
    assert second is not None
    return first, second


def merge(stage: Stage, survivor: str, duplicate: str, *, seconds: int = 1) -> None:
    with stage.act() as session:
        merging.merge(
            session,
            survivor_id=survivor,
            duplicate_id=duplicate,
            source="test",
            reason="One card.",
            actor=trail.SYSTEM,
            at=NOON + seconds * SECOND,
        )


class TestAMergeThatRuns:
    @pytest.mark.rule("WD-12")
    def test_is_waited_for_by_a_withdrawal_which_then_reaches_both(
        self, stage: Stage, pair: tuple[str, str], superuser_url: str
    ) -> None:
        with stage.act() as session:
            merging.merge(
                session,
                survivor_id=pair[0],
                duplicate_id=pair[1],
                source="test",
                reason="One card.",
                actor=trail.SYSTEM,
                at=NOON + SECOND,
            )
            with meanwhile(superuser_url, lambda: stage.withdraw(OLA, at=NOON + 2 * SECOND)) as withdrawn:
                session.commit()

        assert withdrawn.result().subject_id == pair[0]
        for address in (KARI, OLA):
            assert stage.check(who=address, at=NOON + 3 * SECOND).reason == "consent_withdrawn"

    def test_of_the_same_two_is_heard_once(self, stage: Stage, pair: tuple[str, str], superuser_url: str) -> None:
        with stage.act() as session:
            merging.merge(
                session,
                survivor_id=pair[0],
                duplicate_id=pair[1],
                source="test",
                reason="One card.",
                actor=trail.SYSTEM,
                at=NOON + SECOND,
            )
            with meanwhile(superuser_url, lambda: merge(stage, pair[1], pair[0])) as other:
                session.commit()

        with pytest.raises(AlreadyMergedError):
            other.result()


class TestTheClocksOfTwoNodes:
    @pytest.mark.rule("WD-12")
    def test_no_yes_that_was_written_ahead_counts_as_said_after_the_merge(
        self, stage: Stage, form: FormVersion
    ) -> None:
        kept = stage.give(form, NEWS, email=KARI, at=NOON).subject_id
        ahead = stage.give(form, NEWS, email=OLA, at=NOON + 5 * SECOND).subject_id
        assert kept is not None
        assert ahead is not None
        stage.object_to(KARI, at=NOON + SECOND)

        merge(stage, kept, ahead, seconds=2)

        assert stage.check(who=OLA, at=NOON + 10 * SECOND).reason == "objected"
