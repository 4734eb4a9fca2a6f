"""What the first and a later scrape of a made-up report cost, in processor time, beside plain Gauges with the same series."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from sync.core.report.report import Report
from sync.ops.metrics import Metrics
from sync.ops.status import Snapshot
from tests.support.reports import GOOD, account, of
from tests.support.values import NOW, fetched
from tools.bench.targets import ScrapeSeconds

ROUNDS = 5


def report(pages: int) -> Report:
    """Return a report of Pages that are well; one is built, since the others differ in the name alone."""
    one = account(of(fetched(), GOOD))
    return replace(one, pages=tuple(replace(one.pages[0], name=f"page-{number}") for number in range(pages)))


def gauges(pages: int) -> CollectorRegistry:
    """Return plain Gauges with the two series that each Page of the report has."""
    registry = CollectorRegistry()
    served = Gauge("page_served", "Served.", ["page", "store", "served"], registry=registry)
    verified = Gauge("page_last_verified_timestamp_seconds", "Verified.", ["page"], registry=registry)
    for number in range(pages):
        served.labels(f"page-{number}", "vault", "verified").set(1)
        verified.labels(f"page-{number}").set(NOW.timestamp())
    return registry


def measured(pages: int) -> ScrapeSeconds:
    """Measure in rounds that follow one another, and return the best of each: what else runs adds time, and takes none away."""
    registry, snapshot = gauges(pages), Snapshot(0.0, report=report(pages))
    rounds = []
    for _ in range(ROUNDS):
        metrics = Metrics()
        rounds.append(
            (
                _seconds(lambda: generate_latest(registry)),
                _seconds(lambda: metrics.render(snapshot)),  # noqa: B023 - called here
                _seconds(lambda: metrics.render(snapshot)),  # noqa: B023 - called here
            )
        )
    return ScrapeSeconds(*map(min, zip(*rounds, strict=True)))


def _seconds(render: Callable[[], object]) -> float:
    begun = time.process_time()
    render()
    return time.process_time() - begun
