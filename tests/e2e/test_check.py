"""From error 190 to a healed secret: an app asks, the daemon judges that Page at once, and heals its secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from sync import daemon
from sync.app import build
from sync.app.app import App
from sync.app.check import AppChecker
from sync.config.load import load
from sync.core.report.event import Event
from sync.core.secret import CredentialError, Secret
from sync.ops.check import Checks, Refusal
from sync.ops.status import DaemonStatus
from sync.ops.turns import Turns
from sync.runtime.threads import SystemClock
from sync.sandbox.api.states import switch_off, switch_on
from sync.sandbox.http.server import Sandbox, start
from tests.support.checker import waited
from tests.support.rigs.cli import file_rig
from tests.support.rigs.e2e import Rig
from tests.support.services.graph import sandbox

__all__ = ["sandbox"]

WAIT = 60.0


class Log:
    """A log that records the names of its events with their Pages, without what a cycle's frame is."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, event: Event, *, cycle: str | None = None) -> None:
        """Record one event."""
        assert cycle
        self.events.append(event)

    def take(self) -> list[tuple[str, str | None]]:
        """Return what was logged since the last call: the event with the Page or the problem that it is about."""
        found, self.events = self.events, []
        quiet = ("cycle_started", "cycle_finished", "page_checked")
        return [
            (one.name, one.fields.get("problem") or one.fields.get("page")) for one in found if one.name not in quiet
        ]


class Daemon:
    """The parts of a daemon that a check needs, without its schedule: a test runs the cycles."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.clock, self.log, self.turns = rig, SystemClock(), Log(), Turns()
        self.status = DaemonStatus(self.clock)
        self.app: App = build(load(rig.file), clock=self.clock)
        checker = AppChecker(lambda: self.app, status=self.status, log=self.log, clock=self.clock)
        self.checks = Checks(checker, turns=self.turns, clock=self.clock)

    def cycle(self) -> list[tuple[str, str | None]]:
        """Run one cycle, and return what it logged."""
        with self.turns.cycle():
            daemon.one_cycle(self.app, clock=self.clock, log=self.log, status=self.status)
        return self.log.take()

    def token(self, page: str) -> str:
        """Return the token that the file of a Page holds."""
        return str(json.loads((self.rig.folder / "secrets" / f"{page}.json").read_text())["access_token"])

    def in_report(self, page: str) -> Any:
        """Return the entry of a Page in the newest report."""
        report = self.status.snapshot.report
        assert report is not None
        return next(one for one in report.pages if one.name == page)


@contextmanager
def a_daemon(folder: Path, sandbox: Sandbox, **settings: Any) -> Iterator[Daemon]:
    """Return a daemon after its first cycle."""
    rig = file_rig(folder, sandbox)
    rig.write(**settings)
    running = Daemon(rig)
    try:
        running.cycle()
        yield running
    finally:
        running.clock.stop.set()
        running.app.close()


def names(sandbox: Sandbox) -> list[str]:
    """Return the names of the Pages."""
    return [str(page["name"]) for page in sandbox.pages]


def revoke(sandbox: Sandbox, name: str) -> None:
    """Make the present tokens of a Page invalid; Graph returns a new one from now on."""
    page_id = next(page["id"] for page in sandbox.pages if page["name"] == name)
    sandbox.world.revoke_page(sandbox.world.pages[page_id])


def test_a_revoked_token_is_healed_within_five_seconds_at_50_ms(tmp_path: Path) -> None:
    """A check replaces a revoked token at 50 ms a request; log, report and memory have it, and the next cycle logs nothing."""
    with start(pages=5, latency_ms=50) as slow, a_daemon(tmp_path, slow) as running:
        name, other = names(slow)[:2]
        before, of_other = running.token(name), running.token(other)
        revoke(slow, name)
        began = monotonic()
        answer = waited(running.checks, name)
        took = monotonic() - began

        assert took < 5, took
        assert answer.status == 200
        assert running.token(name) != before
        assert (answer.body["served"], answer.body["changed"]) == ("verified", True)
        assert answer.body["fingerprint"] == running.in_report(name).stores[0].fingerprint
        assert running.log.take() == [("page_written", name)]
        assert running.in_report(name).stores[0].action.value == "replaced"
        assert running.in_report(other).stores[0].action.value == "created"
        assert running.token(other) == of_other
        assert running.cycle() == []
        assert running.in_report(name).stores[0].action.value == "unchanged"


def test_a_check_is_in_the_report_before_its_notifications_are_on_disk(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report has what a check found as soon as it is in the log; the outbox of notifications may be slow."""
    with a_daemon(tmp_path, sandbox) as running:
        name = names(sandbox)[0]
        seen: list[str] = []
        monkeypatch.setattr(
            running.app, "announce", lambda *_, **__: seen.append(running.in_report(name).stores[0].action.value)
        )
        revoke(sandbox, name)
        waited(running.checks, name)
    assert seen == ["replaced"]


def test_a_token_that_works_is_left_alone(tmp_path: Path, sandbox: Sandbox) -> None:
    """A check of a Page whose token works changes nothing, says so, and sends few requests."""
    with a_daemon(tmp_path, sandbox) as running:
        name = names(sandbox)[0]
        before, sent = running.token(name), sandbox.world.calls.requests
        answer = waited(running.checks, name)

        assert (answer.status, answer.body["served"], answer.body["changed"]) == (200, "verified", False)
        assert running.token(name) == before
        assert running.log.take() == []
        assert sandbox.world.calls.requests - sent <= 5
        assert waited(running.checks, name).status == 429
        assert waited(running.checks, "unknown").status == 404


def test_a_page_that_is_held_is_judged_and_not_written(tmp_path: Path, sandbox: Sandbox) -> None:
    """Under ``hold`` and ``observe`` a check says that the token is broken, writes nothing, and logs it once."""
    name, other = names(sandbox)[:2]
    with a_daemon(tmp_path, sandbox) as running:
        before = running.token(name)
        pages = [{"id": page["id"], "name": page["name"], "hold": page["name"] == name} for page in sandbox.pages]
        running.rig.write(pages=pages)
        revoke(sandbox, name)
        changed = Daemon(running.rig)
        changed.cycle()
        answer = waited(changed.checks, name)
        assert (answer.body["served"], answer.body["changed"]) == ("broken", False)
        assert changed.log.take() == []

        running.rig.write(mode="observe")
        revoke(sandbox, other)
        observing = Daemon(running.rig)
        observing.cycle()
        assert waited(observing.checks, other).body["served"] == "broken"
        assert running.token(name) == before


def test_a_check_that_graph_does_not_answer_changes_nothing(tmp_path: Path, sandbox: Sandbox) -> None:
    """While Graph is down a check says that nothing is known, writes nothing, and the next cycle says no more."""
    graph = {"base_url": sandbox.url, "timeout": "1s"}
    with a_daemon(tmp_path, sandbox, graph=graph) as running:
        name = names(sandbox)[0]
        before = running.token(name)
        switch_on(sandbox.world, "close")
        answer = waited(running.checks, name, WAIT)
        assert (answer.status, answer.body["changed"]) == (200, False)
        assert running.token(name) == before
        assert [one for one in running.log.take() if one[0] == "problem_started"] == [
            ("problem_started", "graph-unavailable")
        ]
        assert ("problem_started", "graph-unavailable") not in running.cycle()
        switch_off(sandbox.world)
        assert ("problem_ended", "graph-unavailable") in running.cycle()


def test_a_throttled_app_is_not_asked(tmp_path: Path, sandbox: Sandbox) -> None:
    """Once Meta has refused the app for its quota, a check is refused with the time until it may be asked again."""
    with a_daemon(tmp_path, sandbox) as running:
        first, second = names(sandbox)[:2]
        switch_on(sandbox.world, "throttled-app")
        waited(running.checks, first, WAIT)
        answer = waited(running.checks, second, WAIT)
        assert answer.status == 429
        assert (answer.retry_after or 0) > 60


def test_a_check_keeps_what_is_remembered_of_other_pages(tmp_path: Path, sandbox: Sandbox) -> None:
    """A problem of another Page is neither ended nor logged again by a check, nor by the cycle after it."""
    with a_daemon(tmp_path, sandbox) as running:
        first, second = names(sandbox)[:2]
        switch_on(sandbox.world, f"unassigned@{second}")
        assert ("problem_started", "no-access") in running.cycle()
        revoke(sandbox, first)
        assert waited(running.checks, first, WAIT).body["changed"] is True
        assert running.log.take() == [("page_written", first)]
        assert running.in_report(second).problems[0].code == "no-access"
        assert running.cycle() == []


def test_tokens_that_meta_calls_invalid_in_numbers_are_confirmed(tmp_path: Path, sandbox: Sandbox) -> None:
    """Checks of many Pages whose tokens are revoked ask debug_token again before they replace them, and heal each."""
    with a_daemon(tmp_path, sandbox) as running:
        for name in names(sandbox):
            revoke(sandbox, name)
        asked = [running.checks.ask(name) for name in names(sandbox)]
        for name, one in zip(names(sandbox), asked, strict=True):
            assert not isinstance(one, Refusal)
            one.result(WAIT)
            assert running.checks.answer(name, one).body["changed"] is True


def test_what_a_check_found_survives_a_restart(tmp_path: Path, sandbox: Sandbox) -> None:
    """With a state file the daemon that starts after a check does not log again what the check logged."""
    with a_daemon(tmp_path, sandbox, state={"file": str(tmp_path / "state.json")}) as running:
        name = names(sandbox)[0]
        switch_on(sandbox.world, f"unassigned@{name}")
        waited(running.checks, name, WAIT)
        assert ("problem_started", "no-access") in running.log.take()
        assert Daemon(running.rig).cycle() == []


def test_a_page_that_left_the_configuration_is_unknown(tmp_path: Path, sandbox: Sandbox) -> None:
    """A Page that a reload removes while its check waits is answered like any unknown Page."""
    with a_daemon(tmp_path, sandbox) as running:
        name = names(sandbox)[0]
        with running.turns.cycle():
            asked = running.checks.ask(name)
            running.rig.write(pages=[{"id": page["id"], "name": page["name"]} for page in sandbox.pages[1:]])
            running.app = build(load(running.rig.file), clock=running.clock)
        assert not isinstance(asked, Refusal)
        asked.result(WAIT)
        assert running.checks.answer(name, asked).status == 404


def test_the_token_for_checks_is_read_again(tmp_path: Path, sandbox: Sandbox) -> None:
    """A rotated token of a file counts at once, one of a store from the next cycle on; an unreadable one is warned of once."""
    file = tmp_path / "web_token"
    file.write_text("one\n")
    with a_daemon(tmp_path, sandbox, web={"token": {"file": str(file)}}) as running:
        assert running.checks.token() == Secret("one")
        file.write_text("two\n")
        assert running.checks.token() == Secret("two")
        file.unlink()
        assert isinstance(running.checks.token(), CredentialError)
        assert [name for name, _ in running.cycle()] == ["cycle_warning"]
        assert running.cycle() == []

        (tmp_path / "secrets" / "web.json").write_text('{"token": "three"}')
        running.rig.write(web={"token": {"store": "store", "path": "web.json", "key": "token"}})
        restarted = Daemon(running.rig)
        assert restarted.checks.token() is None
        restarted.cycle()
        assert restarted.checks.token() == Secret("three")
