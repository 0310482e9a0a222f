"""Turns measurements into the few numbers that are reported; pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The same thing measured several times: the value in the middle, the least and the greatest."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median of several runs with its extremes; raises ValueError where nothing was measured."""
    if not values:
        raise ValueError("nothing was measured")
    return Spread(median=statistics.median(values), low=min(values), high=max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all values does not exceed (nearest rank).

    A value that was measured, never one in between: the p99 of ten requests is the slowest of them. Raises ValueError
    for no values and for a share outside (0, 1].
    """
    if not values:
        raise ValueError("nothing was measured")
    if not 0 < share <= 1:
        raise ValueError("a share lies between 0 and 1")
    ordered = sorted(values)
    # In thousandths, because 0.99 * 100 is a little more than 99 in binary.
    rank = -(-round(share * 1000) * len(ordered) // 1000)
    return ordered[rank - 1]


def ratio(part: float, whole: float) -> float:
    """Return part / whole, and 0 where the whole is 0: nothing answered is no ceiling."""
    return part / whole if whole else 0.0


def slowdown(before: float, after: float) -> float:
    """Return by which share a rate fell: 0.1 for 1,000 → 900, negative where it rose."""
    return 1 - ratio(after, before)
