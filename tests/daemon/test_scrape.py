"""The metrics of the daemon as a process: what a scrape shows of cycles that really ran."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from sync.sandbox.http.server import Sandbox
from tests.daemon.test_run import running
from tests.support.rigs.cli import file_rig
from tests.support.services.graph import sandbox
from tests.support.services.prometheus import promtool

__all__ = ["sandbox"]

pytestmark = pytest.mark.slow


def test_a_scrape_agrees_with_the_log(tmp_path: Path, sandbox: Sandbox) -> None:
    """After the first cycle the metrics show its Pages, writes, requests and calls as the log counts them, and no token."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(schedule={"every": "1h"})
    with running(rig) as daemon:
        finished = daemon.until("cycle_finished")
        # The report is shown a moment after its last line is logged.
        text = ""
        while "page_token_sync_last_cycle_timestamp_seconds" not in text:
            with urllib.request.urlopen(f"http://{daemon.lines[0]['listen']}/metrics", timeout=10) as answer:
                text = answer.read().decode()
        daemon.end()
    samples = [sample for family in parse(text) for sample in family.samples]

    def total(name: str, **labels: str) -> float:
        return sum(
            sample.value
            for sample in samples
            if sample.name == f"page_token_sync_{name}" and labels.items() <= sample.labels.items()
        )

    assert total("pages", served="verified") == finished["verified"] == total("page_served", served="verified")
    assert total("writes_total", action="created") == finished["created"]
    assert total("graph_requests_total", outcome="ok") == finished["graph_requests"]
    assert total("graph_calls_total") == finished["graph_calls"]
    assert total("cycles_total", result="ok") == total("cycles_total") == 1
    assert not any(token in text for token in sandbox.world.tokens)
    promtool("check", "metrics", text=text)
