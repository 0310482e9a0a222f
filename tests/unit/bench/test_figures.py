"""The few numbers that are reported of many measurements."""

import pytest

from bench import figures
from bench.figures import Spread


class TestPercentile:
    def test_it_is_a_value_that_was_measured(self) -> None:
        assert figures.percentile([1.0, 2.0, 30.0], 0.5) == 2.0

    @pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (0.999, 100), (1, 100)])
    def test_it_is_the_least_that_so_many_do_not_exceed(self, share: float, expected: int) -> None:
        assert figures.percentile(list(range(100, 0, -1)), share) == expected

    def test_the_p99_of_few_is_the_slowest(self) -> None:
        assert figures.percentile([1.0] * 9 + [500.0], 0.99) == 500.0

    def test_it_refuses_to_speak_of_nothing(self) -> None:
        with pytest.raises(ValueError, match="nothing was measured"):
            figures.percentile([], 0.5)

    @pytest.mark.parametrize("share", [0, 1.01, 99])
    def test_it_refuses_what_is_no_share(self, share: float) -> None:
        with pytest.raises(ValueError, match="between 0 and 1"):
            figures.percentile([1.0], share)


class TestSpread:
    def test_one_slow_run_does_not_move_the_median(self) -> None:
        assert figures.spread([1000.0, 10.0, 990.0]) == Spread(median=990.0, low=10.0, high=1000.0)

    def test_it_refuses_to_speak_of_nothing(self) -> None:
        with pytest.raises(ValueError, match="nothing was measured"):
            figures.spread([])


class TestRatios:
    def test_a_rate_that_fell_is_a_slowdown(self) -> None:
        assert figures.slowdown(1000.0, 900.0) == pytest.approx(0.1)

    def test_nothing_answered_is_no_ceiling(self) -> None:
        assert figures.ratio(5.0, 0.0) == 0.0
