"""The alerts, the dashboard and the scrape configuration, by promtool and by a real Prometheus that scrapes the metrics."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from sync.core.judge.decide import Candidate
from sync.core.model import State, Verdict
from sync.core.problems import Problem
from sync.core.report.totals import Totals
from sync.ops.metrics import FAMILIES, PREFIX, Metrics
from sync.ops.status import Snapshot
from tests.support.markdown import anchors, blocks
from tests.support.paths import ROOT
from tests.support.reports import FRAME, GOOD, account, of
from tests.support.services.prometheus import MISSING, promtool
from tests.support.values import OTHER, STORE_DOWN, current, fetched, judged, stored
from tools import docs

FOLDER = ROOT / "deploy" / "prometheus"
RULES = [rule for group in yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def bad_day() -> Snapshot:
    """Return a daemon whose last cycle found a broken token, a lost Page and a store that is down."""
    now = datetime.now(UTC)
    no_access = Candidate(None, Verdict(State.INVALID, (Problem("no-access", "No token."),)))
    frame = replace(FRAME, finished_at=now, quota_used={("messenger", "app"): 0.5})
    report = account(
        of(no_access, current(stored(OTHER), judged(is_valid=False)), current(STORE_DOWN)),
        of(fetched(), GOOD, current(STORE_DOWN), name="paris"),
        frame=frame,
    )
    return Snapshot(
        0.0,
        report=report,
        totals=Totals().with_cycle(report),
        config_loaded_at=now,
        next_cycle_at=now + timedelta(minutes=15),
        config_errors=[{"code": "unknown-key"}],
    )


class _Handler(http.server.BaseHTTPRequestHandler):
    """Serves the metrics of a bad day."""

    metrics, snapshot = Metrics(), bad_day()

    def do_GET(self) -> None:
        """Answer with the metrics."""
        body, content_type = self.metrics.render(self.snapshot, accept=self.headers.get("Accept", ""))
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


Query = Callable[[str], Any]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    """Start a Prometheus that scrapes the bad day each second, with the alerts without their delays; return what asks it."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip(MISSING)
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{server.server_port}"]}]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    (folder / "rules.yaml").write_text(re.sub(r"for: \w+", "for: 0s", (FOLDER / "rules.yaml").read_text()))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )

    def ask(path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return json.load(answer)["data"]

    def scraped() -> bool:
        try:
            return bool(ask("/api/v1/query?query=page_token_sync_build_info")["result"])
        except (OSError, ValueError):
            return False

    try:
        until(scraped, lambda: (folder / "log").read_text()[-2000:])
        yield ask
    finally:
        process.terminate()
        process.wait(10)
        server.shutdown()
        server.server_close()


def until(reached: Callable[[], bool], explain: Callable[[], str]) -> None:
    """Wait until something is reached, for at most 20 seconds."""
    end = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < end, explain()
        time.sleep(0.05)


def test_promtool_accepts_the_files() -> None:
    """Promtool accepts the configuration and the rules that it loads."""
    promtool("check", "config", FOLDER / "prometheus.yaml")


def test_each_alert_fires_where_it_must_and_only_there() -> None:
    """Promtool's unit tests pass, and each alert has one in which it fires and one in which it is silent."""
    promtool("test", "rules", FOLDER / "rules.test.yaml")
    tests = yaml.safe_load((FOLDER / "rules.test.yaml").read_text())["tests"]
    cases = {(case["alertname"], bool(case["exp_alerts"])) for one in tests for case in one["alert_rule_test"]}
    assert cases == {(rule["alert"], fires) for rule in RULES for fires in (True, False)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_leads_to_the_runbook(rule: Any) -> None:
    """Each alert has a severity, a sentence, and a link to a section that the runbook has."""
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"].endswith(".")
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page == docs.runbook_url()
    assert anchor in anchors(ROOT / "docs" / "runbook.md")


def test_one_command_sets_the_address_of_the_runbook(tmp_path: Path) -> None:
    """The command of the how-to changes the address in each rule and each of its tests, and leaves the sections."""
    (block,) = (block for block in blocks(ROOT / "docs" / "how-to" / "monitor.md") if block.text.startswith("sed "))
    for name in ("rules.yaml", "rules.test.yaml"):
        (tmp_path / name).write_text((FOLDER / name).read_text())
    subprocess.run(block.text.replace("deploy/prometheus", str(tmp_path)), shell=True, check=True)
    for name in ("rules.yaml", "rules.test.yaml"):
        changed, before = (tmp_path / name).read_text(), (FOLDER / name).read_text()
        assert changed == before.replace(docs.runbook_url(), "https://wiki.example.com/page-token-sync")
        assert changed != before


@pytest.mark.parametrize("expression", [*QUERIES, *(rule["expr"] for rule in RULES)])
def test_each_expression_asks_for_what_there_is(expression: str) -> None:
    """Each metric that an alert or the dashboard asks for is exported."""
    names = {name.removeprefix(PREFIX) for name in re.findall(r"page_token_sync_\w+", expression)}
    assert names <= set(FAMILIES)
    assert names or "up{" in expression


def test_the_panels_do_not_overlap() -> None:
    """Each panel of the dashboard has an id and a position of its own within the 24 columns."""
    panels = DASHBOARD["panels"]
    taken = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_prometheus_answers_each_query_of_the_dashboard(prometheus: Query) -> None:
    """A real Prometheus answers each query; those that have no series are about what did not happen."""
    empty = []
    for query in QUERIES:
        text = urllib.parse.quote(query.replace("$job", "page-token-sync"))
        try:
            if not prometheus(f"/api/v1/query?query={text}")["result"]:
                empty.append(query)
        except urllib.error.HTTPError as error:
            pytest.fail(f"{query}: {error.read().decode()}")
    kinds = ("increase(", "rate(", "expiry_timestamp")
    assert [query for query in empty if not any(kind in query for kind in kinds)] == []


def test_prometheus_fires_the_alerts_of_a_bad_day(prometheus: Query) -> None:
    """A real Prometheus that scrapes the metrics fires exactly the alerts that the bad day has reasons for."""
    wanted = {"ServedTokenBroken", "ServedTokenStale", "ActionRequired", "StoreDown", "ConfigReloadFailed"}

    def firing() -> set[str]:
        alerts = prometheus("/api/v1/alerts")["alerts"]
        return {
            alert["labels"]["alertname"].removeprefix("PageTokenSync") for alert in alerts if alert["state"] == "firing"
        }

    # Before the first scrape the daemon counts as absent.
    until(lambda: firing() == wanted, lambda: str(firing()))
