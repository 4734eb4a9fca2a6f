"""The metrics: what they say of a report and of the daemon, in a text that Prometheus reads, at no cost for the cycle."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from sync.core.judge.decide import Candidate
from sync.core.model import Absent, Key, State, SystemUserToken, Verdict, Written
from sync.core.problems import Problem
from sync.core.report.report import Report
from sync.core.report.totals import Totals
from sync.ops.metrics import FAMILIES, PREFIX, Metrics
from sync.ops.status import DaemonStatus, Snapshot
from tests.core.report.test_changes import held
from tests.support.clock import FakeClock
from tests.support.reports import FRAME, GOOD, MAIN, account, of
from tests.support.services.prometheus import promtool
from tests.support.timing import calls
from tests.support.values import KEY, NOW, OTHER, STORE_DOWN, current, facts, fetched, judged, stored
from tools.bench.scrape import gauges as gauges_of
from tools.bench.scrape import report as report_of

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
NO_ACCESS = Candidate(None, Verdict(State.INVALID, (Problem("no-access", "No token."),)))
BROKEN = current(stored(OTHER), judged(is_valid=False))
SOON = NOW + timedelta(days=20)
EXPIRING = SystemUserToken(
    "main",
    "messenger",
    MAIN.token,
    Verdict(State.VALID, notices=(Problem("system-user-expiring", "Soon."),), facts=facts(expires_at=SOON)),
)
REFUSED = SystemUserToken(
    "main", "messenger", MAIN.token, Verdict(State.INVALID, (Problem("app-blocked", "Blocked.", scope="app"),))
)


def samples(text: str) -> Mapping[tuple[str, ...], float]:
    """Return the value of each series, by the metric's name without the prefix and the values of its labels."""
    return {
        (sample.name.removeprefix(PREFIX), *(sample.labels[label] for label in _labels(sample.name, sample.labels))): (
            sample.value
        )
        for family in parse(text)
        for sample in family.samples
        if sample.name.startswith(PREFIX)
    }


def _labels(name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    family = FAMILIES[name.removeprefix(PREFIX)]
    assert set(labels) == set(family.labels)
    return family.labels


def scrape(report: Report | None, **changes: Any) -> Mapping[tuple[str, ...], float]:
    """Return what a scrape shows when this was the last report."""
    text, content_type = Metrics().render(Snapshot(0.0, report=report, **changes))
    assert content_type.startswith("text/plain; version=0.0.4")
    return samples(text.decode())


def bad_day() -> Report:
    """Return a report in which Pages are broken and lost, a store is down and a secret is an orphan."""
    frame = replace(
        FRAME, quota_used={("messenger", "app"): 0.97}, credentials_expire={"vault": NOW + timedelta(hours=1)}
    )
    return account(
        of(NO_ACCESS, BROKEN, current(STORE_DOWN)),
        of(fetched(expires_at=SOON), GOOD, current(STORE_DOWN), name="paris"),
        orphans=(Key("vault", "meta/pages/rome"),),
        user_tokens=(EXPIRING,),
        frame=frame,
    )


def test_every_family_occurs() -> None:
    """Each metric of the list has a series, and no other metric does."""
    report = bad_day()
    written = account(of(fetched(), current(Absent())), outcomes={KEY: Written("1", True)})
    traffic = replace(
        FRAME.traffic,
        graph_outcomes={("debug_token", "ok"): 2},
        calls_by_kind={("app",): 50},
        store_outcomes={("vault", "read", "ok"): 3, ("vault", "login", "ok"): 1},
    )
    totals = Totals().with_cycle(replace(written, frame=replace(written.frame, traffic=traffic)))
    found = scrape(report, totals=totals, next_cycle_at=NOW, config_loaded_at=NOW)
    held_writes = scrape(account(*held("berlin", "rome", reason="weaker")))
    assert held_writes["writes_held", "vault", "weaker"] == len(("berlin", "rome"))
    assert {name for name, *_ in (*found, *held_writes)} == set(FAMILIES)


@pytest.mark.parametrize(
    ("series", "value"),
    [
        (("pages", "broken", "vault"), 1),
        (("pages", "verified", "vault"), 1),
        (("pages", "foreign", "vault"), 0),
        (("pages", "stale", "aws"), 2),
        (("page_served", "berlin", "vault", "broken"), 1),
        (("page_served", "berlin", "vault", "verified"), None),
        (("page_problem", "berlin", "no-access"), 1),
        (("page_problem", "paris", "store-failed"), 1),
        (("page_problem", "paris", "no-access"), None),
        (("problems", "no-access", "business-admin"), 1),
        (("problems", "system-user-expiring", "app-admin"), 2),
        (("page_last_verified_timestamp_seconds", "paris"), (NOW - timedelta(seconds=5)).timestamp()),
        (("page_token_expiry_timestamp_seconds", "paris"), SOON.timestamp()),
        (("page_token_expiry_timestamp_seconds", "berlin"), None),
        (("system_user_valid", "main"), 1),
        (("system_user_token_expiry_timestamp_seconds", "main"), SOON.timestamp()),
        (("app_valid", "messenger"), 1),
        (("store_up", "vault"), 1),
        (("store_up", "aws"), 0),
        (("store_credential_expiry_timestamp_seconds", "vault"), (NOW + timedelta(hours=1)).timestamp()),
        (("graph_usage_ratio", "messenger", "app"), 0.97),
        (("orphans", "vault"), 1),
        (("orphans", "aws"), 0),
        (("brake_held",), 0),
        (("cycle_duration_seconds",), FRAME.duration_seconds),
        (("last_cycle_timestamp_seconds",), FRAME.finished_at.timestamp()),
    ],
)
def test_a_report_as_metrics(series: tuple[str, ...], value: float | None) -> None:
    """Each fact of a report is one series; a fact that does not hold has none."""
    assert scrape(bad_day()).get(series) == value


@pytest.mark.parametrize(
    ("user_token", "valid", "app"),
    [
        (MAIN, 1, 1),
        (replace(MAIN, verdict=Verdict(State.INVALID, (Problem("system-user-invalid", "Gone."),))), 0, 1),
        (REFUSED, 0, 0),
        (replace(MAIN, verdict=Verdict(State.UNKNOWN, (Problem("graph-unavailable", "Silence."),))), None, None),
    ],
)
def test_what_is_unknown_is_absent(user_token: SystemUserToken, valid: float | None, app: float | None) -> None:
    """A token or an app that Meta did not judge has no series, so that it counts neither as valid nor as invalid."""
    found = scrape(account(of(fetched(), GOOD), user_tokens=(user_token,)))
    assert (found.get(("system_user_valid", "main")), found.get(("app_valid", "messenger"))) == (valid, app)


def test_before_the_first_cycle() -> None:
    """Before the first cycle there is the daemon itself and its counters at zero, and nothing of Pages."""
    found = scrape(None, config_loaded_at=NOW)
    assert found["cycles_total", "ok"] == found["cycles_total", "failed"] == 0
    assert found["config_last_reload_successful",] == 1
    assert {name for name, *_ in found} == {
        "cycles_total",
        "config_last_reload_successful",
        "config_last_reload_success_timestamp_seconds",
        "build_info",
    }


def test_the_counters_add_cycles_and_checks() -> None:
    """Cycles are counted by result, and what cycles and checks wrote and sent is summed up; a plan writes nothing."""
    status = DaemonStatus(FakeClock())
    written = account(of(fetched(), current(Absent())), outcomes={KEY: Written("1", True)})
    failed = account(of(NO_ACCESS, current(STORE_DOWN)), outcomes={})
    for report in (written, failed, written):
        status.cycle_started()
        status.reported(report)
        status.cycle_finished()
    status.checked(written)
    status.reported(account(of(fetched(), current(Absent()))))
    totals = status.snapshot.totals
    assert totals.cycles == {"ok": 2, "degraded": 1, "failed": 1, "held": 0}
    assert totals.writes == {("vault", "created", ""): 3}
    assert totals.traffic.graph_requests == 5 * FRAME.traffic.graph_requests


def test_a_failed_cycle_is_no_success() -> None:
    """The time of the last success stays where the last cycle failed."""
    later = replace(FRAME, finished_at=FRAME.finished_at + timedelta(hours=1))
    totals = Totals().with_cycle(account(of(fetched(), GOOD)))
    failed = totals.with_cycle(account(of(NO_ACCESS, current(STORE_DOWN)), frame=later))
    assert failed.succeeded_at == FRAME.finished_at


def test_a_rejected_edit_shows() -> None:
    """A rejected edit of the configuration makes the last reload unsuccessful, and leaves the time of the last good one."""
    found = scrape(None, config_errors=[{"code": "unknown-key"}], config_loaded_at=NOW)
    assert found["config_last_reload_successful",] == 0
    assert found["config_last_reload_success_timestamp_seconds",] == NOW.timestamp()


def test_a_page_that_leaves_takes_its_series_with_it() -> None:
    """The next report without a Page ends all series of the Page, also where the same Metrics rendered it before."""
    metrics = Metrics()
    both, one = account(of(fetched(), GOOD), of(fetched(), GOOD, name="paris")), account(of(fetched(), GOOD))
    assert b"paris" in metrics.render(Snapshot(0.0, report=both))[0]
    assert b"paris" not in metrics.render(Snapshot(0.0, report=one))[0]


def test_without_series_of_pages() -> None:
    """With metrics.per_page false no label names a Page, and the sums stay."""
    found = scrape(bad_day(), per_page_metrics=False)
    assert not {family for family, *_ in found} & {name for name, family in FAMILIES.items() if family.per_page}
    assert not any("page" in FAMILIES[family].labels for family, *_ in found)
    assert found["pages", "broken", "vault"] == 1


def test_no_fingerprint_and_no_token_in_any_series() -> None:
    """No label holds a token, a part of one, or its fingerprint."""
    text = Metrics().render(Snapshot(0.0, report=bad_day()))[0].decode()
    for secret in (OTHER, fetched().token, MAIN.token):
        assert secret is not None
        assert secret.reveal() not in text
        assert secret.fingerprint not in text


def test_openmetrics_where_it_is_asked_for() -> None:
    """A client that prefers OpenMetrics gets one whole document of it, whichever form the last one got."""
    metrics, snapshot = Metrics(), Snapshot(0.0, report=bad_day(), totals=Totals().with_cycle(bad_day()))
    plain = metrics.render(snapshot)[0].decode()
    text, content_type = metrics.render(snapshot, accept=OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith(b"# EOF\n")
    assert text.count(b"# EOF\n") == 1
    shown = {sample.name for family in parse_openmetrics(text.decode()) for sample in family.samples}
    assert shown == {sample.name for family in parse(plain) for sample in family.samples}


def test_promtool_accepts_the_metrics() -> None:
    """The metrics keep the conventions that promtool checks."""
    totals = Totals().with_cycle(account(of(fetched(), current(Absent())), outcomes={KEY: Written("1", True)}))
    snapshot = Snapshot(0.0, report=bad_day(), totals=totals, next_cycle_at=NOW, config_loaded_at=NOW)
    assert promtool("check", "metrics", text=Metrics().render(snapshot)[0].decode()) == ""


def test_many_scrapes_at_once() -> None:
    """Scrapes at the same time, while reports are replaced, each get a whole text of one report."""
    metrics = Metrics()
    reports = [
        account(*(of(fetched(), GOOD, name=f"page-{number}-{size}") for number in range(size))) for size in (3, 5)
    ]
    texts: list[bytes] = []

    def scrape_often() -> None:
        texts.extend(metrics.render(Snapshot(0.0, report=reports[turn % 2]))[0] for turn in range(20))

    threads = [threading.Thread(target=scrape_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    served = PREFIX.encode() + b"page_served{"
    assert sorted({text.count(served) for text in texts}) == [3, 5]
    assert len(texts) == 80


def test_each_page_costs_a_scrape_no_more_than_plain_gauges() -> None:
    """Each Page adds at most 1.2 times the work of plain Gauges to the first scrape of a report, and none to a later one."""
    first, later, plain = [], [], []
    for pages in (100, 200):
        metrics, snapshot, registry = Metrics(), Snapshot(0.0, report=report_of(pages)), gauges_of(pages)
        first.append(calls(lambda: metrics.render(snapshot)))  # noqa: B023 - called here
        later.append(calls(lambda: metrics.render(snapshot)))  # noqa: B023 - called here
        plain.append(calls(lambda: generate_latest(registry)))  # noqa: B023 - called here
    assert 0 < first[1] - first[0] <= 1.2 * (plain[1] - plain[0])
    assert later[1] == later[0]
