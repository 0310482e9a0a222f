"""Counts requests for Prometheus: routes and figures, never who called or about whom."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
#: Set by whoever starts several processes; the library reads it when it is imported.
FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"

# Seconds; the promises are about 5, 25 and 100 ms.
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class _Gauges:
    """Figures that are read when they are asked for, so no process keeps them."""

    def __init__(self, figures: Mapping[str, tuple[str, float]]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Hand the figures to the library."""
        for name, (meaning, value) in self._figures.items():
            yield GaugeMetricFamily(name, meaning, value=value)


def gauges(figures: Mapping[str, tuple[str, float]]) -> bytes:
    """Write figures, each with its meaning, in the text format."""
    registry = CollectorRegistry()
    registry.register(_Gauges(figures))
    return generate_latest(registry)


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "consent_http_requests",
            "Answered requests.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "consent_http_request_seconds",
            "Time from request to answer.",
            ("method", "route"),
            registry=self._registry,
            buckets=_BUCKETS,
        )

        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def count(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        children = self._children.get((method, route, status))
        if children is None:
            # Finding a child by its labels costs more than counting does.
            children = (self._requests.labels(method, route, str(status)), self._seconds.labels(method, route))
            self._children[method, route, status] = children
        children[0].inc()
        children[1].observe(seconds)

    def expose(self) -> bytes:
        """Write the figures of all processes of this service, or of this one where it is alone."""
        folder = os.environ.get(FOLDER_VARIABLE)
        if folder is None or not Path(folder).is_dir():
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together, path=folder)  # type: ignore[no-untyped-call]
        return generate_latest(together)
