"""Edits of the configuration while the daemon runs: each one that is complete is put in force, and no partial one."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from sync.app import build
from sync.app.app import App
from sync.app.reload import Reload
from sync.config.load import load
from sync.config.source import IN_VARIABLE
from sync.core.memory.problems import REJECTED
from sync.core.report.event import Event
from sync.core.report.events import events
from sync.core.secret import Secret
from sync.daemon import _reload
from sync.ops.health import Health
from sync.ops.sd_notify import SystemdNotifier
from sync.ops.status import DaemonStatus
from sync.ops.turns import Turns
from sync.sandbox.http.server import start
from tests.daemon.test_run import running
from tests.ops.test_notify import BROKEN as UNAVAILABLE
from tests.ops.test_notify import Lines, bodies, in_turn, until
from tests.support.clock import ShiftedClock
from tests.support.raw_server import OK, answering, raw_server
from tests.support.rigs.e2e import Rig

TOKEN = "EAAcanary0canary0canary0canary0"


class Stage:
    """A configuration in a folder, and what looks at it, second by second."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "config.yaml"
        self.events: list[Event] = []
        self.clock = ShiftedClock()
        self.status = DaemonStatus(self.clock)
        (folder / "token").write_text(TOKEN)
        (folder / "secret").write_text("0123456789abcdef0123456789abcdef")
        self.edit()
        config = load(self.file)
        self.of_app = Lines()
        self.app = build(config, clock=self.clock, log=self.of_app)
        self.status.configured()
        self.reload = Reload(config, self.app, status=self.status, log=self)

    def write(self, event: Event, *, cycle: str | None = None) -> None:
        """Record one event."""
        assert TOKEN not in repr(event)
        self.events.append(event)

    def text(self, pages: int = 2, **changes: Any) -> str:
        """Return the text of a configuration."""
        config: Mapping[str, Any] = {
            "version": 1,
            "instance": "test",
            "apps": {"a": {"id": "1", "secret": {"file": "secret"}}},
            "system_users": {"main": {"token": {"file": "token"}}},
            "stores": {"disk": {"type": "file", "directory": "secrets"}},
            "pages": [{"id": str(number + 1), "name": f"page{number}"} for number in range(pages)],
            **changes,
        }
        return yaml.safe_dump(config)

    def edit(self, text: str | None = None, **changes: Any) -> None:
        """Replace the file as editors do: a new file is renamed over it."""
        new = self.folder / ".config.yaml.new"
        new.write_text(self.text(**changes) if text is None else text)
        new.rename(self.file)

    def seconds(self, number: int) -> list[Event]:
        """Look once a second, apply what there is, and return what was logged."""
        before = len(self.events)
        for _ in range(number):
            if self.reload.look():
                self.applied = self.reload.apply()
        return self.events[before:]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a configuration with two Pages, in force."""
    return Stage(tmp_path)


def test_nothing_changed(stage: Stage) -> None:
    """Files that stay as they are cause nothing, and are not read again once they have settled."""
    assert stage.seconds(5) == []
    old = stage.file.stat().st_mtime - 60
    os.utime(stage.file, (old, old))
    assert stage.seconds(5) == []


def test_an_edit_is_in_force_after_two_looks(stage: Stage) -> None:
    """The second look that finds the same edit puts it in force and names what changed; a cycle starts."""
    stage.edit(pages=3, schedule={"every": "1h"}, verify_every="12h")
    assert stage.seconds(1) == []
    (event,) = stage.seconds(1)
    assert (event.name, event.level) == ("config_reloaded", "info")
    assert event.fields["pages_added"] == ["page2"]
    assert set(event.fields["keys"]) == {"schedule.every", "verify_every"}
    assert stage.applied.starts_cycle
    assert stage.applied.trigger is not None
    assert stage.app.has_page("page2")
    stage.edit(pages=1)
    (event,) = stage.seconds(2)
    assert event.fields["pages_removed"] == ["page1", "page2"]


def test_a_change_without_a_reason_for_a_cycle(stage: Stage) -> None:
    """A new schedule starts no cycle; a new address of the web server needs a restart, which is logged."""
    stage.edit(schedule={"every": "1h"})
    stage.seconds(2)
    assert not stage.applied.starts_cycle
    stage.edit(schedule={"every": "1h"}, web={"listen": "127.0.0.1:9999"})
    (event,) = stage.seconds(2)
    assert (event.level, stage.applied.trigger) == ("warning", None)
    assert "Restart the daemon for web.listen" in event.fields["message"]


def test_the_token_for_checks_is_the_configured_one(stage: Stage) -> None:
    """A token that is replaced or removed lets nobody in any more, and needs no restart."""
    for name in ("one", "two"):
        (stage.folder / name).write_text(f"{name}-0123456789abcdef")
    stage.edit(web={"token": {"file": "one"}})
    stage.seconds(2)
    stage.app._web_token = Secret("what an earlier cycle has read")
    for name in ("one", "two"):
        stage.edit(web={"token": {"file": name}})
        (event,) = stage.seconds(2) or [Event("info", "config_reloaded", {})]
        assert event.level == "info"
        token = stage.app.web_token
        assert isinstance(token, Secret)
        assert token.reveal() == f"{name}-0123456789abcdef"
    stage.edit()
    stage.seconds(2)
    assert stage.app.web_token is None


def test_an_edit_waits_until_it_is_in_force_or_rejected(stage: Stage) -> None:
    """The status says that an edit was seen, so that nobody takes the report before it for its own."""
    stage.edit(pages=3)
    stage.reload.look()
    assert stage.status.snapshot.edit_waits
    assert stage.reload.look()
    assert stage.status.snapshot.edit_waits
    stage.reload.apply()
    assert not stage.status.snapshot.edit_waits
    stage.edit(text="colour: red\n")
    stage.reload.look()
    assert stage.status.snapshot.edit_waits
    stage.reload.look()
    assert not stage.status.snapshot.edit_waits


def test_hangup_without_a_file(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration from a variable cannot be read again, which SIGHUP logs."""
    monkeypatch.setenv("PAGE_TOKEN_SYNC_CONFIG_YAML", stage.text().replace("file: s", f"file: {stage.folder}/s"))
    config = load(IN_VARIABLE)
    stage.reload = Reload(config, stage.app, status=stage.status, log=stage)
    assert not stage.reload.look()
    assert not stage.reload.look(force=True)
    (event,) = stage.events
    assert "cannot be read again" in event.fields["message"]


def test_a_broken_edit_leaves_the_last_good_one_in_force(stage: Stage) -> None:
    """An invalid edit is logged once with all errors and is in the status; no orphan is derived until it is repaired."""
    stage.edit(text=stage.text() + "colour: red\npgaes: []\n")
    (event,) = stage.seconds(6)
    assert (event.name, event.level, event.fields["owner"]) == ("config_rejected", "error", "operator")
    assert len(event.fields["errors"]) == 2
    assert event.fields["message"].startswith("The configuration before this edit stays in force.")
    found = stage.status.snapshot.config_errors
    assert found is not None
    assert {error["code"] for error in found} == {"unknown-key"}
    assert stage.app.has_page("page1")
    assert stage.app.config_rejected
    stage.edit()
    (event,) = stage.seconds(2)
    (ended,) = stage.of_app.events
    assert ended.fields["message"].startswith("The newest edit of the configuration is no longer rejected; it lasted ")
    assert event.fields["message"] == "The configuration is in force. Nothing in it changed."
    assert stage.status.snapshot.config_errors is None
    assert not stage.app.config_rejected


BROKEN = "colour: red\n"


def test_a_rejected_edit_is_a_message_when_it_begins_and_one_when_it_ends(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often an invalid edit is changed it is one cause, and a valid edit ends it at once, without a cycle."""
    with raw_server(answering(OK)) as server:
        monkeypatch.setenv("URL", server.url)
        notify = [{"webhook": {"env": "URL"}}]
        stage.edit(notify=notify)
        stage.seconds(2)
        for text in (BROKEN, BROKEN * 2):
            stage.edit(text=stage.text(notify=notify) + text)
            stage.seconds(3)
        until(lambda: bodies(server))
        stage.edit(notify=notify)
        stage.seconds(2)
        until(lambda: len(bodies(server)) == 2)
    began, ended = bodies(server)
    assert (began["title"], began["status"], began["severity"]) == ("config rejected", "started", "error")
    assert began["owner"] == "operator"
    assert began["message"].startswith("The configuration before this edit stays in force. ")
    assert "effect" not in began
    assert (ended["title"], ended["status"]) == ("config rejected is over", "ended")
    assert began["id"] != ended["id"]


@pytest.mark.parametrize("has_file", [False, True], ids=["no state file", "state file"])
def test_a_rejected_edit_ends_where_another_instance_is_in_force(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, *, has_file: bool
) -> None:
    """Its end is one line, one message under the id of the instance before, and no error on the page; no later cycle ends it again."""
    (stage.folder / "token").unlink()
    state = {"state": {"file": "state.json"}} if has_file else {}
    with raw_server(answering(OK)) as server:
        monkeypatch.setenv("URL", server.url)
        settings: dict[str, Any] = {"notify": [{"webhook": {"env": "URL"}, "events": ["problem"]}], **state}
        stage.edit(**settings)
        stage.seconds(2)
        stage.edit(text=stage.text(**settings) + BROKEN)
        stage.seconds(3)
        until(lambda: bodies(server))
        stage.edit(instance="other", **settings)
        stage.seconds(2)
        until(lambda: len(bodies(server)) == 2)
        assert stage.status.snapshot.config_errors is None
        for instance in ("other", "test"):
            stage.edit(instance=instance, **settings)
            stage.seconds(2)
            report = stage.app.cycle(write=True, continuous=True)
            assert not [event for event in events(report) if event.cause and event.cause.code == REJECTED]
    began, ended = bodies(server)
    assert (began["status"], ended["status"]) == ("started", "ended")
    assert (began["instance"], ended["instance"]) == ("test", "test")
    assert [event.name for event in stage.of_app.events if event.name == "problem_ended"] == ["problem_ended"]


def test_each_rejected_edit_ends_as_soon_as_one_is_in_force(stage: Stage) -> None:
    """One that follows within an hour is a cause of its own, whose end waits for nothing either."""
    for _ in range(2):
        stage.edit(text=stage.text() + BROKEN)
        stage.seconds(3)
        stage.edit()
        stage.seconds(3)
    assert [event.name for event in stage.of_app.events] == ["problem_ended"] * 2


def test_a_rejected_edit_is_reported_once_and_reminded_of_by_cycles(stage: Stage) -> None:
    """The next cycle begins no second cause for it, a cycle a day later reminds of it, and one after a restart ends it."""
    (stage.folder / "token").unlink()
    stage.edit(state={"file": "state.json"})
    stage.seconds(2)
    stage.edit(text=stage.text(state={"file": "state.json"}) + BROKEN)
    stage.seconds(3)

    def lines(app: App) -> list[str]:
        report = app.cycle(write=True, continuous=True)
        app.logged()
        return [event.name for event in events(report) if event.cause and event.cause.code == REJECTED]

    assert lines(stage.app) == []
    stage.clock.ahead = timedelta(days=1, minutes=1)
    assert lines(stage.app) == ["problem_reminder"]
    stage.edit(state={"file": "state.json"})
    again = build(load(stage.file), clock=stage.clock, log=Lines())
    assert lines(again) == ["problem_ended"]
    assert lines(again) == []


def test_edited_receivers_get_what_waits(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit of ``notify`` hands what could not be sent to the receiver that replaces the failing one, without a restart."""
    with raw_server(in_turn(UNAVAILABLE)) as failing, raw_server(answering(OK)) as works:
        monkeypatch.setenv("BAD", failing.url)
        monkeypatch.setenv("GOOD", works.url)
        bad, good = [{"webhook": {"env": "BAD"}}], [{"webhook": {"env": "GOOD"}}]
        stage.edit(notify=bad)
        stage.seconds(2)
        stage.edit(text=stage.text(notify=bad) + BROKEN)
        stage.seconds(3)
        until(lambda: bodies(failing))
        stage.edit(notify=good)
        stage.seconds(2)
        until(lambda: len(bodies(works)) == 2)
        tried = len(bodies(failing))
        stage.edit(notify=[])
        stage.seconds(2)
        stage.edit(text=stage.text() + BROKEN)
        stage.seconds(3)
    assert [message["status"] for message in bodies(works)] == ["started", "ended"]
    assert len(bodies(failing)) == tried


def test_a_missing_file_is_a_broken_edit(stage: Stage) -> None:
    """A file that is gone, or a pattern that matches nothing, leaves what was in force; the way back is found by itself."""
    stage.file.unlink()
    (event,) = stage.seconds(3)
    assert event.name == "config_rejected"
    (stage.folder / "more").mkdir()
    stage.edit(pages_from=["more/*.yaml"])
    (event,) = stage.seconds(5)
    assert event.name == "config_rejected"
    assert "no file matches" in event.fields["message"]
    (stage.folder / "more" / "a.yaml").write_text('- {id: "77", name: rome}\n')
    (event,) = stage.seconds(5)
    assert event.fields["pages_added"] == ["rome"]
    (stage.folder / "more" / "b.yaml").write_text('- {id: "78", name: oslo}\n')
    (event,) = stage.seconds(5)
    assert event.fields["pages_added"] == ["oslo"]


def test_a_file_that_is_being_written(stage: Stage) -> None:
    """What changes from look to look is left alone, though each part of it would be valid."""
    whole = stage.text(pages=30)
    for length in range(len(whole) // 2, len(whole), 40):
        stage.file.write_text(whole[:length])
        assert stage.seconds(1) == []
    stage.file.write_text(whole)
    (event,) = stage.seconds(2)
    assert len(event.fields["pages_added"]) == 28


def test_a_file_that_changes_while_it_is_read(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit during the reading of another one is read in its turn, and the mixture is not put in force."""
    stage.edit(pages=5)
    stage.seconds(1)
    real = load

    def load_while_edited(path: Path) -> Any:
        config = real(path)
        if len(config.pages) == 5:
            stage.edit(pages=7)
        return config

    monkeypatch.setattr("sync.app.reload.load", load_while_edited)
    assert stage.seconds(1) == []
    (event,) = stage.seconds(2)
    assert len(event.fields["pages_added"]) == 5


def test_a_hundred_swaps_of_a_config_map(tmp_path: Path) -> None:
    """Each swap of a ConfigMap's symlink is seen, the same size and time of change or not."""
    volume = tmp_path / "volume"
    volume.mkdir()
    stage = Stage(tmp_path)

    def swap(number: int) -> None:
        folder = volume / f"..{number}"
        folder.mkdir()
        (folder / "config.yaml").write_text(stage.text(defaults={"labels": {"team": f"v{number:03}"}}))
        for name in ("token", "secret"):
            (folder / name).write_text((tmp_path / name).read_text())
        os.utime(folder / "config.yaml", (1_700_000_000, 1_700_000_000))
        (volume / "..new").symlink_to(folder.name)
        (volume / "..new").rename(volume / "..data")

    swap(0)
    for name in ("config.yaml", "token", "secret"):
        (volume / name).symlink_to(f"..data/{name}")
    config = load(volume / "config.yaml")
    stage.reload = Reload(config, build(config, clock=stage.clock), status=stage.status, log=stage)
    for number in range(1, 101):
        swap(number)
        (event,) = stage.seconds(2)
        assert event.fields["pages_changed"] == ["page0", "page1"]


def test_an_edit_while_the_daemon_starts(stage: Stage) -> None:
    """What was written between the reading at the start and the first look is an edit, and nothing older is."""
    config = load(stage.file)
    since = time.time()
    stage.edit(pages=3)
    stage.reload = Reload(config, stage.app, status=stage.status, log=stage, since=since)
    (event,) = stage.seconds(2)
    assert event.fields["pages_added"] == ["page2"]
    stage.reload = Reload(load(stage.file), stage.app, status=stage.status, log=stage, since=time.time())
    assert stage.seconds(3) == []


def test_a_credential_beside_an_edit_that_starts_no_cycle(stage: Stage) -> None:
    """A credential that is rotated in the same second as a schedule starts the cycle of its own."""
    stage.edit(schedule={"every": "1h"})
    stage.reload.look()
    (stage.folder / "token").write_text(TOKEN + "x")
    started = [stage.reload.apply().starts_cycle for _ in range(3) if stage.reload.look()]
    assert started[-1]


def test_a_rotated_credential_starts_a_cycle(stage: Stage) -> None:
    """A new token in a file is no edit, and starts a cycle once it is complete."""
    (stage.folder / "token").write_text(TOKEN + "x")
    assert not stage.reload.look()
    assert stage.reload.look()
    assert stage.reload.apply().starts_cycle
    assert stage.events == []
    assert not stage.reload.look()


def test_a_folder_instead_of_a_credential(stage: Stage) -> None:
    """A folder where a file belongs ends nothing and keeps no descriptor open; the file is found once it is there."""
    token = stage.folder / "token"
    token.unlink()
    token.mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    stage.seconds(5)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    token.rmdir()
    token.write_text(TOKEN)
    assert not stage.reload.look()
    assert stage.reload.look()


def test_stores_with_the_same_settings_stay(stage: Stage) -> None:
    """A reload builds only the stores whose settings changed, so that the others keep their logins."""
    kept = stage.app._stores["disk"]
    stage.edit(
        stores={"disk": {"type": "file", "directory": "secrets"}, "more": {"type": "file", "directory": "more"}},
        defaults={"stores": ["disk"]},
    )
    stage.seconds(2)
    assert list(stage.app._stores) == ["disk", "more"]
    assert stage.app._stores["disk"] is kept
    stage.edit(stores={"disk": {"type": "file", "directory": "other"}})
    stage.seconds(2)
    assert stage.app._stores["disk"] is not kept


def test_a_store_that_cannot_be_built(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug while an edit is put in force is logged once, and leaves the whole configuration before it in force."""

    def broken(*_: object) -> None:
        raise ValueError(TOKEN)

    monkeypatch.setattr("sync.app.app.build_store", broken)
    stage.edit(pages=4, stores={"disk": {"type": "file", "directory": "other"}})
    stage.reload.look()
    silent = SystemdNotifier(lambda: Health(True, ""), {})
    for _ in range(3):
        applied = _reload(stage.reload, Turns(), threading.Event(), silent, log=stage, status=stage.status)
        assert applied is None or not applied.starts_cycle
    (event,) = stage.events
    assert (event.name, event.level) == ("cycle_warning", "error")
    assert "ValueError" in event.fields["message"]
    assert not stage.app.has_page("page3")
    (shown,) = stage.status.snapshot.config_errors or ()
    assert "ValueError" in shown["message"]
    assert shown["code"] == "internal-error"


def test_a_pipe_instead_of_a_file(stage: Stage) -> None:
    """A pipe where the configuration or a credential belongs is not read, blocks nothing, and ends with the file that replaces it."""
    (stage.folder / "token").unlink()
    os.mkfifo(stage.folder / "token")
    writer = os.open(stage.folder / "token", os.O_RDWR)
    stage.file.unlink()
    os.mkfifo(stage.file)
    (event,) = stage.seconds(4)
    assert "not a regular file" in event.fields["message"]
    os.close(writer)
    stage.file.unlink()
    stage.edit(pages=3)
    (event,) = stage.seconds(3)
    assert event.fields["pages_added"] == ["page2"]


def test_an_edit_goes_before_further_checks(stage: Stage) -> None:
    """While an edit waits for a check that runs, no further check begins."""
    turns, hangup, silent = Turns(), threading.Event(), SystemdNotifier(lambda: Health(True, ""), {})
    with turns.cycle():
        pass
    stage.edit(pages=3)
    stage.reload.look()
    with turns.check(stage.clock):
        assert _reload(stage.reload, turns, hangup, silent, log=stage, status=stage.status) is None
        assert turns.holds_checks
    assert not turns._is_free_for_check()
    assert _reload(stage.reload, turns, hangup, silent, log=stage, status=stage.status) is not None
    assert turns._is_free_for_check()


@pytest.mark.parametrize("works", [True, False])
def test_systemd_is_told_that_a_reload_begins_and_ends(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, works: bool
) -> None:
    """A hangup is RELOADING=1 with the monotonic time in microseconds, then READY=1, also where the reload fails."""
    if not works:
        monkeypatch.setattr(stage.reload, "look", None)
    hangup = threading.Event()
    hangup.set()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        notifier = SystemdNotifier(lambda: Health(True, ""), {"NOTIFY_SOCKET": systemd.getsockname()})
        before = time.monotonic_ns() // 1000
        _reload(stage.reload, Turns(), hangup, notifier, log=stage, status=stage.status)
        state, sent_at = systemd.recv(1000).decode().splitlines()
        assert (state, systemd.recv(1000)) == ("RELOADING=1", b"READY=1")
    assert before <= int(sent_at.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_edits_at_random(tmp_path: Path) -> None:
    """Whatever is written in whatever steps, only whole configurations are ever in force, and in the end the last one is."""
    stage = Stage(tmp_path)
    chance = random.Random(7)
    for _ in range(60):
        pages = chance.randrange(1, 40)
        whole = stage.text(pages=pages) + f"# pages {pages}\n"
        if chance.random() < 0.5:
            stage.edit(text=whole)
        else:
            for length in sorted(chance.randrange(len(whole)) for _ in range(3)):
                stage.file.write_text(whole[:length])
                stage.seconds(1)
            stage.file.write_text(whole)
        stage.seconds(2)
        assert sum(stage.app.has_page(f"page{number}") for number in range(40)) == pages


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Return a configuration for the program, with the sandbox and a file store."""
    with start(pages=5) as sandbox:
        yield Rig(tmp_path, sandbox, {"type": "file", "directory": str(tmp_path / "secrets")})


@pytest.mark.slow
def test_the_program_reloads(rig: Rig) -> None:
    """The running daemon syncs a Page that is added to the file, logs a broken edit, and reads it at once on SIGHUP."""
    pages = [{"id": page["id"], "name": page["name"]} for page in rig.sandbox.pages]
    rig.write(pages=pages[:4], schedule={"every": "1h"})
    with running(rig) as daemon:
        daemon.until("cycle_finished", result="ok")
        rig.write(pages=pages)
        assert daemon.until("config_reloaded")["pages_added"] == [pages[4]["name"]]
        assert daemon.until("page_written")["page"] == pages[4]["name"]
        daemon.until("cycle_finished", result="ok")
        whole = rig.file.read_text()
        rig.file.write_text(whole + "colour: red\n")
        daemon.process.send_signal(signal.SIGHUP)
        assert "unknown-key" in daemon.until("config_rejected")["message"]
        rig.file.write_text(whole)
        daemon.until("config_reloaded")
        assert daemon.end() < 5


def test_another_instance_gets_stores_of_its_own(stage: Stage) -> None:
    """An edit of the instance builds each store again, since the instance may be a part of what a store lists."""
    kept = stage.app._stores["disk"]
    stage.edit(instance="other")
    stage.seconds(2)
    assert stage.app._stores["disk"] is not kept
