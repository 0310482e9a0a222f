"""Holds callers to a budget: systems by a bucket of tokens in this process."""

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from flask import Flask, current_app

from consent_service.web.problems import ProblemError


@dataclass(frozen=True, slots=True)
class Budget:
    """How many calls a second one API key may make in this process, on the routes that share the name."""

    name: str
    per_second: int


CHECKS: Final = Budget("check", 5_000)
WITHDRAWALS: Final = Budget("withdraw", 5_000)
OTHERS: Final = Budget("default", 500)

_EXTENSION: Final = "consent_service_buckets"


@dataclass(frozen=True, slots=True)
class Spending:
    """What is left of a budget after a call."""

    budget: Budget
    remaining: int

    def headers(self) -> dict[str, str]:
        """Tell the caller its limits (draft-ietf-httpapi-ratelimit-headers)."""
        return {
            "RateLimit-Policy": f'"{self.budget.name}";q={self.budget.per_second};w=1',
            "RateLimit": f'"{self.budget.name}";r={self.remaining};t=1',
        }


class Buckets:
    """One bucket of tokens per API key and budget, full at first, refilled evenly.

    Kept in the process: a limit that asks the database would be the load that it limits.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._tokens: dict[tuple[str, str], tuple[float, float]] = {}

    def spend(self, budget: Budget, *, api_key_id: str) -> Spending:
        """Take one token; raises ProblemError with 429 and Retry-After where none is left."""
        place = (budget.name, api_key_id)
        with self._lock:
            now = self._monotonic()
            tokens, filled_at = self._tokens.get(place, (float(budget.per_second), now))
            tokens = min(float(budget.per_second), tokens + (now - filled_at) * budget.per_second)
            left = tokens - 1 if tokens >= 1 else tokens
            self._tokens[place] = (left, now)
        if tokens < 1:
            raise too_many(budget.name, headers=Spending(budget, 0).headers(), retry_after_seconds=1)
        return Spending(budget, math.floor(left))


def install(app: Flask) -> None:
    """Give an application its buckets, full."""
    app.extensions[_EXTENSION] = Buckets()


def buckets(app: Flask) -> Buckets:
    """Return the buckets of an application."""
    found: Buckets = app.extensions[_EXTENSION]
    return found


def spend(budget: Budget, *, api_key_id: str) -> Spending:
    """Take one token of a key from the buckets of this application; raises ProblemError with 429 where none is left."""
    found: Buckets = current_app.extensions[_EXTENSION]
    return found.spend(budget, api_key_id=api_key_id)


def too_many(policy: str, *, headers: Mapping[str, str], retry_after_seconds: int) -> ProblemError:
    """Make the problem of a caller who is over the limit that `policy` names."""
    return ProblemError(
        "too_many_requests",
        headers={**headers, "Retry-After": str(retry_after_seconds)},
        members={"violated-policies": [policy]},
    )
