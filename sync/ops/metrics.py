"""The metrics of the daemon for Prometheus: one collector over the last report, the sums of all cycles and the daemon itself.

What follows from a report is rendered once for each report, whoever scrapes how often: its series hold points in time and
no ages, so that they do not change between cycles.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from itertools import chain
from typing import Literal

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from sync.core.judge.decide import Kind
from sync.core.model import State
from sync.core.plan.plan import user_token_problems
from sync.core.problems import Problem
from sync.core.report.entries import WORST_FIRST, PageEntry
from sync.core.report.report import Counts, Report
from sync.ops.status import Snapshot

PREFIX = "page_token_sync_"
_END = b"# EOF\n"
_OPENMETRICS = "application/openmetrics-text"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its type, its labels, and what it means. ``per_page``: it has series of each Page."""

    kind: Literal["gauge", "counter"]
    labels: tuple[str, ...]
    meaning: str
    per_page: bool = False


FAMILIES: Mapping[str, Family] = {
    "pages": Family(
        "gauge", ("served", "store"), "Pages by what applications are served now by their secret in the store."
    ),
    "page_served": Family(
        "gauge",
        ("page", "store", "served"),
        "1 for what applications are served now by this Page's secret.",
        per_page=True,
    ),
    "page_problem": Family("gauge", ("page", "code"), "1 for each problem that the Page has.", per_page=True),
    "page_last_verified_timestamp_seconds": Family(
        "gauge",
        ("page",),
        "When debug_token last answered for the stored token; of several secrets the one asked about least recently.",
        per_page=True,
    ),
    "page_token_expiry_timestamp_seconds": Family(
        "gauge", ("page",), "When the Page's fetched token expires; absent where it never does.", per_page=True
    ),
    "problems": Family("gauge", ("code", "owner"), "Pages that have a problem, by its code and by who must act."),
    "app_valid": Family(
        "gauge", ("app",), "1 where Meta accepts the app, 0 where it refuses it; absent while unknown."
    ),
    "system_user_valid": Family(
        "gauge",
        ("system_user",),
        "1 where the system user token is valid, 0 where it is invalid; absent while unknown.",
    ),
    "system_user_token_expiry_timestamp_seconds": Family(
        "gauge", ("system_user",), "When the system user token expires; absent where it never does."
    ),
    "graph_usage_ratio": Family(
        "gauge",
        ("app", "kind"),
        "The share of Meta's quota in use at the last report; of many quotas of a kind the highest.",
    ),
    "store_up": Family(
        "gauge",
        ("store",),
        "1 where at least one secret of the store could be read or written in the last cycle, else 0.",
    ),
    "store_credential_expiry_timestamp_seconds": Family(
        "gauge",
        ("store",),
        "When the store's login expires, as known at the end of the last cycle; absent where unknown.",
    ),
    "brake_held": Family("gauge", (), "Writes that the brake holds."),
    "writes_held": Family(
        "gauge",
        ("store", "reason"),
        "Writes that are decided and held, by the reason; brake and weaker wait for a person.",
    ),
    "orphans": Family("gauge", ("store",), "Secrets of this instance that belong to no configured Page."),
    "cycle_duration_seconds": Family("gauge", (), "How long the last cycle took."),
    "last_cycle_timestamp_seconds": Family("gauge", (), "When the last cycle ended."),
    "last_success_timestamp_seconds": Family(
        "gauge", (), "When the last cycle ended whose result was ok or degraded; absent before the first."
    ),
    "next_cycle_timestamp_seconds": Family("gauge", (), "When the next cycle starts."),
    "cycles_total": Family("counter", ("result",), "Cycles since the start of the daemon, by result."),
    "writes_total": Family(
        "counter", ("store", "action", "reason"), "Acknowledged writes of secrets, by store, action and reason."
    ),
    "graph_requests_total": Family(
        "counter", ("endpoint", "outcome"), "HTTP requests to Graph, by what was asked and how it ended."
    ),
    "graph_calls_total": Family(
        "counter", ("kind",), "Calls as Meta counts them, by the kind of quota that they count on."
    ),
    "store_requests_total": Family(
        "counter", ("store", "operation", "outcome"), "Requests to the stores, by operation and how they ended."
    ),
    "store_logins_total": Family("counter", ("store",), "Logins at the stores."),
    "config_last_reload_successful": Family(
        "gauge", (), "1 where the newest edit of the configuration is in force, else 0."
    ),
    "config_last_reload_success_timestamp_seconds": Family("gauge", (), "When the configuration in force was loaded."),
    "build_info": Family("gauge", ("version",), "1; the label has the version of page-token-sync."),
}
"""Every metric, by its name without the prefix."""

_APP_REFUSED = frozenset(
    {"app-secret-invalid", "app-blocked", "app-capability", "app-misconfigured", "address-not-allowed"}
)
Series = Iterator[tuple[tuple[str, ...], float]]
"""The values of one metric, each with the values of its labels."""


class Metrics:
    """Renders snapshots, and keeps what it rendered of the last report. Its method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._report: Report | None = None
        self._per_page = True
        self._rendered: dict[str, bytes] = {}
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    def render(self, snapshot: Snapshot, *, accept: str = "") -> tuple[bytes, str]:
        """Return the metrics, and their content type as the Accept header prefers it: OpenMetrics, or Prometheus' text format."""
        # Two forms alone, whatever versions a client makes up: each form of a report is kept.
        encode, content_type = choose_encoder(f"{_OPENMETRICS}; version=1.0.0" if _OPENMETRICS in accept else "")
        of_daemon = encode(Collected(of_daemon_and_totals(snapshot))).removesuffix(_END)
        of_process = encode(self._process)
        return self._of_report(snapshot, encode, content_type) + of_daemon + of_process, content_type

    def _of_report(self, snapshot: Snapshot, encode: Callable[[Collector], bytes], content_type: str) -> bytes:
        """Return the text of the report, from the last scrape where it is the same report."""
        report, per_page = snapshot.report, snapshot.per_page_metrics
        if report is None:
            return b""
        with self._lock:
            if report is not self._report or per_page is not self._per_page:
                self._report, self._per_page, self._rendered = report, per_page, {}
            if content_type not in self._rendered:
                text = encode(Collected(of_report(report, per_page=per_page)))
                self._rendered[content_type] = text.removesuffix(_END)
            return self._rendered[content_type]


def of_report(report: Report, *, per_page: bool = True) -> Iterator[Metric]:
    """Yield what follows from a report alone."""
    found = {
        "pages": _pages(report),
        "problems": _problems(report),
        "app_valid": _app_valid(report),
        "system_user_valid": (
            ((token.system_user,), float(token.verdict.state is State.VALID))
            for token in report.user_tokens
            if token.verdict.state is not State.UNKNOWN
        ),
        "system_user_token_expiry_timestamp_seconds": _moments(
            ((token.system_user,), token.verdict.facts.expires_at if token.verdict.facts else None)
            for token in report.user_tokens
        ),
        "graph_usage_ratio": iter(report.frame.quota_used.items()),
        "store_up": _store_up(report),
        "store_credential_expiry_timestamp_seconds": _moments(
            ((store,), at) for store, at in report.frame.credentials_expire.items()
        ),
        "brake_held": iter([((), float(report.braked))]),
        "writes_held": _writes_held(report),
        "orphans": _orphans(report),
        "cycle_duration_seconds": iter([((), report.frame.duration_seconds)]),
        "last_cycle_timestamp_seconds": _moments([((), report.frame.finished_at)]),
    }
    if per_page:
        found |= {
            "page_served": (
                ((page.name, entry.key.store, entry.served), 1.0) for page in report.pages for entry in page.stores
            ),
            "page_problem": (
                ((page.name, code), 1.0)
                for page in report.pages
                for code in dict.fromkeys(problem.code for problem in _page_problems(page))
            ),
            "page_last_verified_timestamp_seconds": _moments(
                ((page.name,), min((at for entry in page.stores if (at := entry.verified_at)), default=None))
                for page in report.pages
            ),
            "page_token_expiry_timestamp_seconds": _moments(((page.name,), page.expires_at) for page in report.pages),
        }
    return _families(found)


def of_daemon_and_totals(snapshot: Snapshot) -> Iterator[Metric]:
    """Yield what the daemon says of itself, and the sums over its cycles."""
    totals, traffic = snapshot.totals, snapshot.totals.traffic
    return _families(
        {
            "last_success_timestamp_seconds": _moments([((), totals.succeeded_at)]),
            "next_cycle_timestamp_seconds": _moments([((), snapshot.next_cycle_at)]),
            "cycles_total": (((result,), float(count)) for result, count in totals.cycles.items()),
            "writes_total": _counted(totals.writes),
            "graph_requests_total": _counted(traffic.graph_outcomes),
            "graph_calls_total": _counted(traffic.calls_by_kind),
            "store_requests_total": _counted(traffic.store_outcomes),
            "store_logins_total": _counted(traffic.logins),
            "config_last_reload_successful": iter([((), float(snapshot.config_errors is None))]),
            "config_last_reload_success_timestamp_seconds": _moments([((), snapshot.config_loaded_at)]),
            "build_info": iter([((version("page-token-sync"),), 1.0)]),
        }
    )


def _families(found: Mapping[str, Series]) -> Iterator[Metric]:
    for name, series in found.items():
        family = FAMILIES[name]
        kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
        metric = kind(PREFIX + name, family.meaning, labels=family.labels)
        for labels, value in series:
            metric.add_metric(labels, value)
        if metric.samples or family.kind == "counter":
            yield metric


def _moments(found: Iterable[tuple[tuple[str, ...], object]]) -> Series:
    """Yield points in time as seconds since 1970; what is unknown or never comes has no series."""
    return ((labels, at.timestamp()) for labels, at in found if isinstance(at, datetime))


def _counted(counts: Counts) -> Series:
    return ((labels, float(count)) for labels, count in counts.items())


def _pages(report: Report) -> Series:
    counts = Counter((entry.served, entry.key.store) for page in report.pages for entry in page.stores)
    for store in dict.fromkeys(store for _, store in counts):
        yield from (((served, store), float(counts[served, store])) for served in WORST_FIRST)


def _writes_held(report: Report) -> Series:
    entries = (entry for page in report.pages for entry in page.stores if entry.action is Kind.HELD)
    counts = Counter((entry.key.store, entry.reason or "") for entry in entries)
    return ((labels, float(number)) for labels, number in counts.items())


def _page_problems(page: PageEntry) -> Iterable[Problem]:
    return chain(page.problems, *(entry.problems for entry in page.stores))


def _problems(report: Report) -> Series:
    """Yield how many Pages have each problem; those of a system user's token concern all Pages of the system user."""
    of_user: defaultdict[str, list[str]] = defaultdict(list)
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for page in report.pages:
        of_user[page.system_user].append(page.name)
        for problem in _page_problems(page):
            found[problem.code, problem.owner].add(page.name)
    for token in report.user_tokens:
        for problem in user_token_problems(token):
            found[problem.code, problem.owner].update(of_user[token.system_user])
    return ((labels, float(len(pages))) for labels, pages in found.items())


def _app_valid(report: Report) -> Series:
    judged = {token.app for token in report.user_tokens if token.verdict.state is not State.UNKNOWN}
    of_pages = ((page.app, page.problems) for page in report.pages)
    of_tokens = ((token.app, token.verdict.problems) for token in report.user_tokens)
    refused = {
        app
        for app, problems in (*of_pages, *of_tokens)
        for problem in problems
        if problem.code in _APP_REFUSED and problem.shared_by == "app"
    }
    return (((app,), float(app not in refused)) for app in sorted(judged | refused))


def _stores(report: Report) -> Sequence[str]:
    return list(dict.fromkeys(entry.key.store for page in report.pages for entry in page.stores))


def _store_up(report: Report) -> Series:
    up = {entry.key.store for page in report.pages for entry in page.stores if entry.error_code is None}
    return (((store,), float(store in up)) for store in _stores(report))


def _orphans(report: Report) -> Series:
    counts = Counter(key.store for key in report.orphans)
    return (((store,), float(counts[store])) for store in dict.fromkeys((*_stores(report), *counts)))


class Collected(Collector):
    """What the encoders take: families that have been collected."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return the families."""
        return self._families
