"""The soak test finds each untrue statement of the page, of the metrics and of the status."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sync.core.model import Absent, Key
from sync.core.report.json import as_json
from sync.core.report.report import Traffic
from sync.ops.health import Health
from sync.ops.metrics import PREFIX, Metrics
from sync.ops.page import StatusPage
from sync.ops.status import DaemonStatus
from sync.ops.web.site import status_json
from tests.ops.test_page import BROKEN, NO_ACCESS, REJECTED
from tests.support.clock import FakeClock
from tests.support.reports import FRAME, GOOD, account, of
from tests.support.values import NOW, STORE_DOWN, current, fetched
from tools.soak import metrics
from tools.soak.cycles import Cycles
from tools.soak.looks import Look, Looks
from tools.soak.records import Process

REPORT = account(
    of(NO_ACCESS, BROKEN, current(STORE_DOWN)),
    of(fetched(), current(Absent()), GOOD, name="paris"),
    outcomes={},
    orphans=(Key("vault", "meta/pages/rome"),),
    frame=replace(FRAME, traffic=Traffic(3, 5, 4, {("page", "ok"): 3}, {("app",): 5})),
)
RECORD = {**as_json(REPORT), "is_check": False, "recorded_at": NOW.timestamp()}
UNCHECKED = ("build_info", "config_last_reload_success_timestamp_seconds", "store_requests_total", "process_")
"""What a look cannot compare with the reports."""


def look(**changed: Callable[[str], str]) -> Look:
    """Return a look at a daemon with one problem of each kind, of which one answer is changed."""
    clock = FakeClock()
    status = DaemonStatus(clock)
    status.configured()
    status.heartbeat(next_cycle_at=NOW + timedelta(minutes=15))
    status.reported(REPORT)
    status.rejected(REJECTED)
    snapshot = status.snapshot
    well = Health(True, "The scheduler waits for the next cycle.")
    texts = {
        "health": json.dumps({"status": "ok", "reason": well.reason}),
        "ready": json.dumps({"reason": f"The last cycle ended with result {REPORT.result}."}),
        "status": json.dumps(status_json(snapshot)),
        "metrics": Metrics().render(snapshot)[0].decode(),
        "page": StatusPage().render(snapshot, {}, now=NOW, health=well),
    }
    texts = {name: changed.get(name, str)(text) for name, text in texts.items()}
    return Look(0, NOW.timestamp(), tuple((200, text) for text in (*texts.values(), texts["status"])))


def wrong(look: Look, rejected: bool | None = True) -> list[str]:
    """Return what the soak test finds untrue of a look after one cycle."""
    process, cycles = Process(), Cycles()
    process.add(RECORD)
    cycles.add(RECORD)
    return list(Looks().wrong(look, process, cycles, rejected))


def test_a_true_look_has_no_difference() -> None:
    """The page, the metrics and the status of a report with problems agree with it."""
    assert wrong(look()) == []


@pytest.mark.parametrize("said", ["degraded", "ok"])
def test_readiness_is_compared_with_the_cycles_around_the_look(said: str) -> None:
    """What a look says is of the cycles before it, however many others have ended when it is compared."""
    process, cycles = Process(), Cycles()
    assert RECORD["result"] == "degraded"
    for seconds in (0, *range(10, 20)):
        record = {**RECORD, "result": "ok" if seconds else "degraded", "recorded_at": RECORD["recorded_at"] + seconds}
        process.add(record)
        cycles.add(record)
    seen = look(ready=lambda text: text.replace("degraded", said))
    found = [what for what in Looks().wrong(seen, process, cycles, True) if "readyz" in what]
    assert bool(found) == (said == "ok")


def test_each_series_is_compared() -> None:
    """Another value of any series is a difference, but for those that no report has."""
    lines = look().answers[3][1].splitlines()
    scrape_is = {line: metrics.read(line + "\n") for line in lines if line.startswith(PREFIX)}
    assert len(scrape_is) > 40
    status = json.loads(look().answers[2][1])
    process = Process()
    process.add(RECORD)
    whole = metrics.read("\n".join(lines) + "\n")
    for line, one in scrape_is.items():
        ((name, ((labels, value),)),) = ((name, tuple(series.items())) for name, series in one.items())
        changed = {**whole, name: {**whole[name], labels: value + 7}}
        found = list(metrics.wrong(changed, status, process.shown(status)))
        assert bool(found) != name.startswith(UNCHECKED), line
    assert list(metrics.decreased(whole, {**whole, "cycles_total": {}}))


def test_each_cell_of_the_tables_is_compared() -> None:
    """Another text in any cell of the page's tables is a difference."""
    text = look().answers[4][1]
    cells = list(re.finditer(r"(?<=>)[^<>]+(?=</td>|</th><td)", text))
    assert len(cells) > 30
    for cell in cells:
        changed = f"{text[: cell.start()]}7 broken{text[cell.end() :]}"
        assert wrong(look(page=lambda _, changed=changed: changed)), cell[0]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("true", "untrue"),
    [
        ("2 of 2 Pages without", "1 of 2 Pages without"),
        ('class="verdict bad"', 'class="verdict warn"'),
        ("<title>2 of", "<title>1 of"),
        ('datetime="2026-11-25T12:00:02Z"', 'datetime="2026-11-25T11:59:02Z"'),
        ('datetime="2026-11-25T12:15:00Z"', 'datetime="2026-11-25T12:16:00Z"'),
        ("<li><code>c.yaml:3:1", "<li><code>c.yaml:4:1"),
        ("<h3>no-access, 1 Page<", "<h3>no-access, 2 Pages<"),
        ("<h3>no-access, 1 Page<", "<h3>not-a-page, 1 Page<"),
        ("<p>Graph gave no token.<", "<p>Graph gave a token.<"),
        ("Action required (business-admin)", "Action required (operator)"),
        ("<p>Pages: berlin.<", "<p>Pages: paris.<"),
        ("now: 1 broken.<", "now: 1 verified.<"),
        ('<article class="card bad"><h3>no-access', '<article class="card warn"><h3>no-access'),
        ('<p>Since <time datetime="2026-11-25T12:00:00Z">', '<p>Since <time datetime="2026-11-25T11:00:00Z">'),
    ],
)
def test_an_untrue_page_is_found(true: str, untrue: str) -> None:
    """Each statement of the page above its tables is compared."""
    assert true in look().answers[4][1]
    assert wrong(look(page=lambda text: text.replace(true, untrue, 1)))


def _status(change: Callable[[dict[str, Any]], object]) -> Mapping[str, Callable[[str], str]]:
    def changed(text: str) -> str:
        status = copy.deepcopy(json.loads(text))
        change(status)
        return json.dumps(status)

    return {"status": changed}


@pytest.mark.parametrize(
    "changed",
    [
        _status(lambda status: status.update(cycle="01JD0000000000000000000001")),
        _status(lambda status: status.update(result="ok")),
        _status(lambda status: status["summary"].update(broken=0)),
        _status(lambda status: status["pages"][0]["stores"][0].update(served="verified")),
        _status(lambda status: status.update(config_error=None)),
        {"ready": lambda text: text.replace("failed", "ok").replace("degraded", "ok")},
    ],
)
def test_an_untrue_status_is_found(changed: Mapping[str, Callable[[str], str]]) -> None:
    """A status that is not the report of the last cycle, or contradicts itself, is a difference."""
    assert wrong(look(**changed))


def test_an_answer_that_fails_is_found() -> None:
    """Any other status than 200 of page, metrics and health, once the first cycle has ended, is a difference."""
    whole = look()
    for number in (0, 3, 4):
        answers = list(whole.answers)
        answers[number] = (500, answers[number][1])
        assert wrong(replace(whole, answers=tuple(answers)))
    unready = (503, json.dumps({"reason": "The first cycle has not ended yet."}))
    assert wrong(replace(whole, at=whole.at + 60, answers=(whole.answers[0], unready, *whole.answers[2:])))


def test_an_edit_is_compared() -> None:
    """What page and metrics say of the newest edit is compared with the edit, unless that is open."""
    assert wrong(look(), rejected=False)
    assert wrong(look(), rejected=None) == []
