"""The daemon of a soak test, and everything that it said, compared with the truth as it comes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.soak import checks, messages
from tools.soak.chaos import Chaos
from tools.soak.checks import Asked, Asker
from tools.soak.cycles import Cycles
from tools.soak.edits import Edits
from tools.soak.looks import Look, Looks, Watcher
from tools.soak.oracle import differences
from tools.soak.receivers import HEARTBEAT, JSON, SLACK, Arrival, Receivers
from tools.soak.records import Process
from tools.soak.stores import Stores
from tools.soak.story import Story

Json = Mapping[str, Any]

EVERY = 1.0
CALM_CYCLES = 6
"""Cycles after the end of all faults within which everything must be repaired; a store that hung is read again only in the next cycle."""
_MOST_RECORDS = 100
_TAKEN_WITHIN = 60.0
"""Seconds within which receivers that work have all that waited for them, after a restart of the daemon."""


class Soak:
    """One run: the services, the daemon, and the differences found so far."""

    def __init__(self, folder: Path, chaos: Chaos, edits: Edits, receivers: Receivers) -> None:
        self.folder = folder
        self.chaos = chaos
        self.edits = edits
        self.receivers = receivers
        self.reports = folder / "reports.jsonl"
        self.reports.touch()
        self.wrong: list[str] = []
        self.seen = 0
        self.restarts = 0
        self.results: dict[str, int] = {}
        self.counts: dict[str, int] = {}
        self.watcher = Watcher()
        self.asker = Asker(self.watcher, lambda: [page["name"] for page in chaos.sandbox.pages], chaos.random)
        self._handle = self.reports.open()
        self._log = folder / "daemon.log"
        self._log.touch()
        self._log_handle = self._log.open()
        self._lines: dict[str, list[dict[str, Any]]] = {}
        self._unlogged: list[dict[str, Any]] = []
        self._records: list[Json] = []
        self._cycles = Cycles(edits=edits.history)
        self._found: set[str] = set()
        self._stores = Stores(chaos, folder / "secrets")
        self.daemon = self._start()
        self.asker.start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._unlogged.clear()
        self._story = Story()
        self._process, self._looks = Process(), Looks(self.counts)
        self._records.clear()
        self._cycles.starts.append(time.time())
        self.edits.starting()
        command = [sys.executable, "-m", "tools.soak.daemon", str(self.edits.file), str(self.reports), str(EVERY)]
        with self._log.open("ab") as log:
            return subprocess.Popen([*command, "127.0.0.1:0"], stdout=log, stderr=log)

    def _away(self) -> None:
        """Note that no daemon runs, so that nobody asks one; an invalid edit would keep the next one from starting."""
        self.watcher.address = ""
        self.watcher.process += 1
        self.edits.restore(pages=False)

    def kill(self, *, forget: bool = False) -> None:
        """Kill the daemon at any point, and start another; ``forget``: without the memory of the one before."""
        self._away()
        self.daemon.kill()
        self.daemon.wait()
        with self._log.open("a") as log:
            log.write("\n")  # so that half a line is one of its own
        self.read()
        self._cycles.was_killed(forgot=forget)
        if forget:
            self.chaos.daemon_forgot()
            (self.folder / "state.json").unlink(missing_ok=True)
        self.restarts += 1
        self.daemon = self._start()

    def stop(self) -> None:
        """Stop the daemon with SIGTERM, and check its exit code."""
        self._away()
        self.daemon.send_signal(signal.SIGTERM)
        code = self.daemon.wait(15)
        if code != 0:
            self.wrong.append(f"SIGTERM ended the daemon with {code}")
        self.read()

    def restart(self) -> None:
        """Stop the daemon in order, and start another, which says nothing again; one that starts is left alone."""
        if self.edits.is_starting:
            return
        self.stop()
        self.counts["restarts"] = self.counts.get("restarts", 0) + 1
        self.daemon = self._start()

    def finish(self) -> None:
        """Let the receivers have all that waits for them, stop the daemon, and compare what they were sent."""
        self.receivers.failing = 0
        self._wait_for_edit()
        self.restart()
        end, last = time.monotonic() + _TAKEN_WITHIN, -1
        while time.monotonic() < end and not (self._is_quiet() and last == len(self.receivers.arrivals)):
            last = len([one for one in self.receivers.so_far(0) if one.path in (JSON, SLACK)])
            time.sleep(3)
            self.read()
            last = len(self.receivers.arrivals) if self._is_quiet() else -1
        self.stop()
        self.compare_messages(is_end=True)
        self.wrong += self._stores.unseen_writes()
        self.watcher.close()
        self.asker.close()

    def _is_quiet(self) -> bool:
        """Check whether no message waits for a receiver."""
        path = self.folder / "state.json.notify"
        return not path.exists() or not any(json.loads(path.read_text()).get("waiting", {}).values())

    def read(self) -> list[dict[str, Any]]:
        """Return the reports of cycles since the last call; all that the daemon said since is compared with the truth."""
        # Before the reports, so that what they show has been recorded.
        looks, asked = self.watcher.taken(), self.asker.taken()
        reports = []
        self.chaos.note()
        while line := self._handle.readline():
            if not line.endswith("\n"):
                self._handle.seek(self._handle.tell() - len(line))
                break
            reports.append(json.loads(line))
        for report in reports:
            self._record(report)
        self._listen()
        for look in looks:
            self._look(look)
        for one in asked:
            self._answer(one)
        if self.daemon.poll() not in (None, 0, -signal.SIGKILL):
            self.wrong.append(f"the daemon ended by itself with {self.daemon.returncode}")
            self.daemon = self._start()
        self.wrong += self.edits.late(time.time(), self._busy)
        return [report for report in reports if not report["is_check"]]

    def _record(self, report: dict[str, Any]) -> None:
        self.seen += 1
        kind = "check" if report["is_check"] else report["result"]
        self.results[kind] = self.results.get(kind, 0) + 1
        for what in differences(report, self.chaos.history, app_id=self.chaos.sandbox.app_id):
            self.wrong.append(f"{_named(report)}: {what}")
        self._unlogged.append(report)
        self._records.append(report)
        del self._records[:-_MOST_RECORDS]
        self._process.add(report)
        self._cycles.add(report)
        self._stores.add(report)

    def _busy(self, start: float, end: float) -> float:
        """Return for how many seconds of a time cycles and checks ran, or no daemon did."""
        spans = [(one["recorded_at"] - one["duration_seconds"], one["recorded_at"] + 0.3) for one in self._records]
        # What runs now has no record yet.
        spans.append((spans[-1][1] if spans else start, end) if spans and end > spans[-1][1] + 2 else (end, end))
        return sum(max(min(until, end) - max(since, start), 0) for since, until in spans)

    def _listen(self) -> None:
        """Compare the log with the reports, as far as their last lines are written."""
        while line := self._log_handle.readline():
            if not line.endswith("\n"):
                self._log_handle.seek(self._log_handle.tell() - len(line))
                break
            event = _event(line)
            if event is None:
                if line.strip() and not line.startswith("{"):
                    self.wrong.append(f"the daemon printed {line.strip()[:300]}")
            elif "cycle" in event and event["event"] != "cycle_started":
                self._lines.setdefault(event["cycle"], []).append(event)
            else:
                self._loose(event)
        while self._unlogged and _is_whole(self._lines.get(self._unlogged[0]["cycle"], [])):
            report = self._unlogged.pop(0)
            lines = self._cycles.lines[report["cycle"]] = self._lines.pop(report["cycle"])
            self.counts["lines"] = self.counts.get("lines", 0) + len(lines)
            for what in self._story.compare(report, lines):
                self.wrong.append(f"log of {_named(report)}: {what}")

    def _loose(self, event: dict[str, Any]) -> None:
        """Compare a line that belongs to no cycle with what was done to the daemon."""
        self.counts[event["event"]] = self.counts.get(event["event"], 0) + 1
        match event["event"]:
            case "daemon_started":
                self.watcher.address = event["listen"]
                self.edits.started()
                if event["page_count"] != len(self.edits.names):
                    self.wrong.append(f"daemon_started counts {event['page_count']} Pages of {len(self.edits.names)}")
            case "config_reloaded" | "config_rejected":
                self.wrong += self.edits.wrong(event, self._busy)
            case "cycle_warning" | "notify_failed" if "bug" not in event["message"]:
                pass
            case "daemon_stopped" if event["level"] == "info":
                pass
            case "problem_ended" if "configuration" in event["message"]:
                pass
            case _:
                self.wrong.append(f"the daemon logged {json.dumps(event)[:500]}")

    def _look(self, look: Look) -> None:
        if look.process != self.watcher.process:
            return
        stalled = any(start - 2 < look.at < end + 10 for start, end in self.chaos.history.stalls)
        for what in self._looks.wrong(look, self._process, self._cycles, self.edits.rejected_at(look.at)):
            if not (stalled and "healthz" in what):
                self.wrong.append(f"at {_moment(look.at)}: {what}")

    def _answer(self, asked: Asked) -> None:
        if asked.process == self.watcher.process:
            self.counts["checks"] = self.counts.get("checks", 0) + 1
            names = self.edits.names if self.edits.rejected_at(asked.at) is False else None
            self.wrong += [
                f"check at {_moment(asked.at)}: {what}" for what in checks.wrong(asked, self._records, names)
            ]

    def compare_messages(self, *, is_end: bool = False) -> None:
        """Compare all that arrived so far; a difference is added once."""
        arrivals: dict[str, list[Arrival]] = {JSON: [], SLACK: [], HEARTBEAT: []}
        for arrival in self.receivers.so_far(0):
            arrivals[arrival.path.removesuffix("/fail")].append(arrival)
        found = [*messages.wrong(self._cycles, arrivals[JSON], is_end=is_end)]
        found += messages.heartbeats(self._cycles, arrivals[HEARTBEAT], HEARTBEAT)
        sent = [json.loads(body) for body in dict.fromkeys(arrival.body for arrival in arrivals[JSON])]
        if is_end:
            found += messages.slack(sent, arrivals[SLACK], "soak")
        self.wrong += [what for what in dict.fromkeys(found) if what not in self._found]
        self._found |= set(found)
        self.counts |= {"messages": len(sent), "pings": len(arrivals[HEARTBEAT])}

    def calm(self) -> None:
        """End all faults, and check that everything is repaired and that the stores hold what the report says."""
        self.chaos.calm()
        self.receivers.failing = 0
        self._wait_for_edit()
        self.edits.restore()
        if self.chaos.is_frozen:
            # A new daemon without memory does not know that Graph asked for an hour without calls.
            self.kill(forget=True)
        since, cycles, report = time.time() + 1, 0, None
        end = time.monotonic() + 60
        while time.monotonic() < end and cycles < CALM_CYCLES:
            time.sleep(0.3)
            for report in self.read():
                if _time(report["started_at"]) > since and len(report["pages"]) == len(self.edits.names):
                    cycles += 1
                    if report["result"] == "ok":
                        self.wrong += self._stores.wrong(report)
                        self.compare_messages()
                        return
        self.wrong.append(f"not repaired after {cycles} cycles without a fault: {json.dumps(report)[:3000]}")

    def _wait_for_edit(self) -> None:
        end = time.monotonic() + 30
        while (self.edits.seen is None or self.edits.is_starting) and time.monotonic() < end:
            time.sleep(0.3)
            self.read()


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _is_whole(lines: list[dict[str, Any]]) -> bool:
    return bool(lines) and lines[-1]["event"] in ("cycle_finished", "page_checked")


def _named(report: Json) -> str:
    return f"{'check' if report['is_check'] else 'cycle'} {report['cycle']} ({report['started_at']})"


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}.{int(at % 1 * 10)}"


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
