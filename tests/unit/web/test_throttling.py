"""A system that calls too often waits, and others do not wait with it."""

import pytest

from consent_service.web.problems import ProblemError
from consent_service.web.throttling import Buckets, Budget


class Seconds:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


BUDGET = Budget("check", 3)


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def buckets(seconds: Seconds) -> Buckets:
    return Buckets(monotonic=seconds)


class TestBuckets:
    @pytest.mark.rule("API-03")
    def test_a_call_beyond_the_budget_is_429_and_says_when_to_come_back(self, buckets: Buckets) -> None:
        left = [buckets.spend(BUDGET, api_key_id="a").remaining for _ in range(3)]

        with pytest.raises(ProblemError) as refused:
            buckets.spend(BUDGET, api_key_id="a")

        assert left == [2, 1, 0]
        assert refused.value.problem.status == 429
        assert refused.value.problem.headers["Retry-After"] == "1"
        assert refused.value.problem.members == {"violated-policies": ["check"]}
        assert refused.value.problem.headers["RateLimit"] == '"check";r=0;t=1'

    def test_time_fills_a_bucket_again_and_never_over_its_brim(self, buckets: Buckets, seconds: Seconds) -> None:
        for _ in range(3):
            buckets.spend(BUDGET, api_key_id="a")
        seconds.now = 100.0

        assert buckets.spend(BUDGET, api_key_id="a").remaining == 2

    def test_one_key_does_not_pay_for_another(self, buckets: Buckets) -> None:
        for _ in range(3):
            buckets.spend(BUDGET, api_key_id="a")

        assert buckets.spend(BUDGET, api_key_id="b").remaining == 2

    def test_checks_do_not_pay_for_withdrawals(self, buckets: Buckets) -> None:
        for _ in range(3):
            buckets.spend(BUDGET, api_key_id="a")

        assert buckets.spend(Budget("withdraw", 3), api_key_id="a").remaining == 2
