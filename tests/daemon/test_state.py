"""The memory between two runs: whole, harmless, and never more than it is."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sync.app import build
from sync.config.load import load
from sync.core.memory.access import Lost
from sync.core.memory.memory import Judged, Memory
from sync.core.memory.problems import WARNED, OpenProblem, ProblemKey, Reported
from sync.core.memory.quota import Pool, QuotaKey
from sync.core.memory.renewal import Renewal
from sync.core.model import NEVER, GraphErrorFacts, Key
from sync.core.problems import Problem
from sync.runtime.threads import SystemClock
from sync.sandbox.api.states import switch_on
from sync.sandbox.http.server import Sandbox
from sync.state import StateFile
from tests.support.clock import FakeClock, LeapingClock
from tests.support.rigs.cli import file_rig
from tests.support.rigs.e2e import INSTANCE
from tests.support.services.graph import sandbox
from tests.support.values import APP_ID, FETCHED, KEY, NOW, OTHER, USER_TOKEN_FINGERPRINT, facts

__all__ = ["sandbox"]

FULL = Memory(
    judged={
        (APP_ID, FETCHED.fingerprint): Judged(
            facts(granular_scopes={"pages_messaging": frozenset({"1"}), "other": None}, data_access_expires_at=NOW),
            system_user_fingerprint="parent",
            probed_at=NOW,
            probe="refused",
            answered_since=True,
            counts_for=timedelta(hours=160),
            last_seen=NOW,
        ),
        (APP_ID, OTHER.fingerprint): Judged(
            facts(is_valid=False, expires_at=None, scopes=None, error=GraphErrorFacts(190, 460, "Said.", "trace"))
        ),
        (APP_ID, "0" * 12): Judged(facts(expires_at=NEVER, issued_at=NOW - timedelta(days=3))),
    },
    lost={
        "rome": Lost(
            Problem("no-access", "No.", graph_code=190),
            NOW,
            7.5,
            "1 2 main 3",
            3,
            individually=True,
            alarm=NOW,
            waits=2,
        )
    },
    tried={"rome": NOW},
    overwritten={Key("vault", "meta/pages/rome"): NOW},
    waiting={Key("vault", "meta/pages/oslo"): NOW},
    let_through={Key("vault", "meta/pages/bern"): "0" * 64},
    pools={QuotaKey(APP_ID): Pool(used=12.0, reported_at=NOW, frozen_until=NOW)},
    renewals={
        "main": Renewal(NOW, USER_TOKEN_FINGERPRINT, KEY, problem=Problem("renewal-failed", "No.")),
        "other": Renewal(NOW, USER_TOKEN_FINGERPRINT, KEY, became="0" * 12, version="8", confirmed=True),
    },
    warned_days={USER_TOKEN_FINGERPRINT: 7},
    reported=Reported(
        problems={
            ProblemKey("no-access", "page", "main", "business-admin", page="rome"): OpenProblem(NOW, NOW, NOW),
            ProblemKey("store-failed", "store", "vault", "operator", "sealed"): OpenProblem(
                NOW - timedelta(days=2), NOW, NOW, ended_at=NOW, recurs=True, pages=("rome", "berlin"), page_count=2
            ),
            ProblemKey("brake_held", "store", "vault", "operator"): OpenProblem(NOW, NOW, NOW, text="sha256:00"),
        },
        served={"vault": {"verified": ("rome",), "broken": ("berlin",)}},
    ),
)


def state(path: Path, instance: str = "acme-prod") -> StateFile:
    """Make what reads and writes the state."""
    return StateFile(path, instance, clock=FakeClock())


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """A memory comes back as it was, in a file that only its owner reads, in a folder that is made."""
    path = tmp_path / "lib" / "state.json"
    one = state(path)
    one.save(FULL)
    other = state(path)
    assert (other.load(), one.warning, other.warning) == (FULL, "", "")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_quota_under_an_unknown_key_is_left_out(tmp_path: Path) -> None:
    """The other quotas and all the rest are used."""
    path = tmp_path / "state.json"
    state(path).save(FULL)
    content = json.loads(path.read_text())
    content["pools"]["app:1"] = content["pools"][str(QuotaKey(APP_ID))]
    path.write_text(json.dumps(content))
    one = state(path)
    assert (one.load(), one.warning) == (FULL, "")


def test_a_file_without_later_parts_is_used(tmp_path: Path) -> None:
    """A state without what was added later says all the rest."""
    path = tmp_path / "state.json"
    state(path).save(FULL)
    content = json.loads(path.read_text())
    del (
        content["renewals"],
        content["warned_days"],
        content["problems"],
        content["served"],
        content["waiting"],
        content["let_through"],
    )
    path.write_text(json.dumps(content))
    one = state(path)
    assert (one.load(), one.warning) == (
        replace(FULL, renewals={}, warned_days={}, waiting={}, let_through={}, reported=Reported()),
        "",
    )


def test_a_problem_of_an_unknown_code_is_forgotten(tmp_path: Path) -> None:
    """A problem that another version of the program knows is left out, and all the rest is loaded."""
    path = tmp_path / "state.json"
    other = ProblemKey("of-the-future", "page", "main", "operator")
    state(path).save(and_problem(other))
    one = state(path)
    assert (one.load(), one.warning) == (FULL, "")


def test_a_warning_is_not_remembered_across_a_start(tmp_path: Path) -> None:
    """Each start of the program warns again, so that the file has no warning in it."""
    path = tmp_path / "state.json"
    state(path).save(and_problem(ProblemKey(WARNED, "instance", "", "operator", "Plain http is allowed.")))
    assert state(path).load() == FULL
    assert "Plain http" not in path.read_text()


def and_problem(key: ProblemKey) -> Memory:
    """Return the whole memory, with one more open cause."""
    problems = {**FULL.reported.problems, key: OpenProblem(NOW, NOW, NOW)}
    return replace(FULL, reported=replace(FULL.reported, problems=problems))


def test_no_file_is_an_empty_memory(tmp_path: Path) -> None:
    """The first run knows nothing, which is no reason for a warning."""
    for path in (tmp_path / "state.json", tmp_path / "nowhere" / "state.json"):
        one = state(path)
        assert (one.load(), one.warning) == (Memory(), "")


def test_alarmed_page_is_asked_again_after_a_start(tmp_path: Path) -> None:
    """A start may come of a change that brings a lost Page back."""
    lost = {"rome": Lost(Problem("no-access", "No."), NOW, alarm=NOW, waits=8, left=7)}
    state(tmp_path / "state.json").save(Memory(lost=lost))
    assert state(tmp_path / "state.json").load().lost["rome"].left == 0


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"", "not complete JSON", id="empty"),
        pytest.param(b'{"format":3,"instance":"acme-prod","tok', "not complete JSON", id="truncated"),
        pytest.param(b"[]", "another version", id="no object"),
        pytest.param(b'{"format":4,"instance":"acme-prod"}', "another version", id="a later version"),
        pytest.param(b'{"format":1,"instance":"acme-prod"}', "another version", id="an earlier version"),
        pytest.param(b'{"format":3,"instance":"acme-prod"}', "a part of it is missing", id="something is missing"),
        pytest.param(b"[" * 200_000, "not complete JSON", id="deep"),
        pytest.param(b'{"format":3,"instance":"acme-prod","pools":{"1\\ud800/app":{}}}', "not complete JSON", id="half a character"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_not_used(tmp_path: Path, content: bytes, why: str) -> None:
    """A file that is not right says nothing, is warned about, and is replaced at the next save."""
    path = tmp_path / "state.json"
    path.write_bytes(content)
    path.chmod(0o600)
    one = state(path)
    assert one.load() == Memory()
    assert why in one.warning
    assert str(path) in one.warning
    one.save(FULL)
    assert (one.warning, state(path).load()) == ("", FULL)


def test_another_instance_s_file_is_neither_used_nor_touched(tmp_path: Path) -> None:
    """Two instances that were given one file by mistake do not take each other's memory away, whatever their versions."""
    path = tmp_path / "state.json"
    state(path).save(FULL)
    before = path.read_bytes()
    other = state(path, "acme-test")
    assert other.load() == Memory()
    other.save(Memory())
    assert "another instance" in other.warning
    assert path.read_bytes() == before
    earlier = b'{"format":1,"instance":"another"}'
    path.write_bytes(earlier)
    one = state(path)
    assert one.load() == Memory()
    one.save(FULL)
    assert path.read_bytes() == earlier


@pytest.mark.parametrize("what", ["link", "folder", "pipe", "foreign"])
def test_what_is_not_a_state_file_is_left_alone(tmp_path: Path, what: str) -> None:
    """A link, a folder, a pipe or another user's file is not read; the warning says what it is."""
    path = tmp_path / "state.json"
    match what:
        case "link":
            (tmp_path / "aim").write_text("{}")
            path.symlink_to(tmp_path / "aim")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            if os.geteuid() != 0:
                pytest.skip("only root can give a file away")
            path.write_text("{}")
            os.chown(path, 12345, 12345)
    one = state(path)
    assert one.load() == Memory()
    assert one.warning


def test_disk_that_takes_nothing_is_a_warning(tmp_path: Path) -> None:
    """A state that cannot be written stops nothing, and says why."""
    (tmp_path / "file").write_text("")
    one = state(tmp_path / "file" / "state.json")
    one.save(FULL)
    assert "ENOTDIR" in one.warning or "EEXIST" in one.warning


def test_text_that_utf8_cannot_hold_costs_one_character(tmp_path: Path) -> None:
    """Half a character in what somebody else said neither ends a cycle nor keeps the rest from being saved."""
    path = tmp_path / "state.json"
    one = state(path)
    poisoned = Judged(facts(type="PAGE\udfff", scopes=frozenset({"\ud800"})))
    lost = {"rome": Lost(Problem("no-access", "Not \ud800 here."), NOW)}
    one.save(replace(FULL, lost=lost, judged={**FULL.judged, (APP_ID, "1" * 12): poisoned}))
    loaded = state(path).load()
    assert one.warning == ""
    assert loaded.lost["rome"].problem.message == "Not ? here."
    assert {**loaded.judged, (APP_ID, "1" * 12): poisoned} == {**FULL.judged, (APP_ID, "1" * 12): poisoned}


def test_moments_of_a_clock_that_was_ahead_lose_no_answer(tmp_path: Path) -> None:
    """A token that was seen and probed under a clock a month ahead keeps its answer; an answer of then is dropped."""
    ahead = NOW + timedelta(days=30)
    known = Judged(facts(), probed_at=ahead, last_seen=ahead, counts_for=timedelta(days=6, hours=16))
    judged = {(APP_ID, FETCHED.fingerprint): known, (APP_ID, OTHER.fingerprint): Judged(facts(asked_at=ahead))}
    path = tmp_path / "state.json"
    state(path).save(Memory(judged=judged))
    assert state(path).load().judged == {(APP_ID, FETCHED.fingerprint): known}


def test_writer_waits_for_the_lock_of_another_process(tmp_path: Path) -> None:
    """Two processes do not write at the same moment; one that waits without success reports it."""
    one = StateFile(tmp_path / "state.json", "acme-prod", clock=LeapingClock())
    one.save(FULL)
    (lock,) = [path for path in tmp_path.iterdir() if path.name.endswith(".lock")]
    with lock.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        one.save(Memory())
    assert "lock" in one.warning
    assert state(tmp_path / "state.json").load() == FULL


def test_shutdown_waits_a_moment_for_the_lock_of_another_process(tmp_path: Path, sandbox: Sandbox) -> None:
    """Shutdown that comes while another process holds the lock, which it does not for long, loses no memory."""
    rig, path = file_rig(tmp_path, sandbox), tmp_path / "lib" / "state.json"
    rig.write(state={"file": str(path)})
    StateFile(path, INSTANCE, clock=SystemClock()).save(Memory())
    (lock,) = [beside for beside in path.parent.iterdir() if beside.name.endswith(".lock")]

    class Asked(SystemClock):
        """A clock that is asked to stop when somebody waits, which is when the other process lets go."""

        def sleep(self, seconds: float) -> None:
            """Wait."""
            fcntl.flock(file, fcntl.LOCK_UN)
            self.stop.set()
            super().sleep(seconds)

    with lock.open("r+") as file, build(load(rig.file), clock=Asked()) as app:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert app.cycle(write=True).result == "ok"
    assert len(StateFile(path, INSTANCE, clock=SystemClock()).load().judged) > 1


def test_what_was_reported_is_saved_once_it_is_in_the_log(tmp_path: Path, sandbox: Sandbox) -> None:
    """A kill between a cycle and its lines loses none: the file says that they were logged only after they were."""
    path = tmp_path / "state.json"
    rig = file_rig(tmp_path, sandbox)
    rig.write(state={"file": str(path)})

    def saved() -> set[str]:
        return {key.code for key in StateFile(path, INSTANCE, clock=SystemClock()).load().reported.problems}

    with build(load(rig.file), clock=SystemClock()) as app:
        app.cycle(write=True, continuous=True)
        app.logged()
        switch_on(sandbox.world, "capability")
        report = app.cycle(write=True, continuous=True)
        assert [one.cause.key.code for one in report.changes.began] == ["app-capability"]
        assert saved() == set()
        app.logged()
        assert saved() == {"app-capability"}
        assert app.cycle(write=True, continuous=True).changes.began == ()
        assert saved() == {"app-capability"}


def test_no_token_is_in_the_file(tmp_path: Path) -> None:
    """Tokens stand in it by their fingerprints alone."""
    path = tmp_path / "state.json"
    state(path).save(FULL)
    text = path.read_text()
    assert FETCHED.fingerprint in text
    assert FETCHED.reveal() not in text
    assert json.loads(text)["instance"] == "acme-prod"


def test_what_another_process_let_through_is_passed_on_once(tmp_path: Path) -> None:
    """A daemon learns what a person let through beside it, and neither its own lines nor those that it has seen."""
    path = tmp_path / "state.json"
    daemon, beside = state(path), state(path)
    assert daemon.let_through() == {}
    daemon.save(FULL)
    assert daemon.let_through() == {}
    beside.save(replace(beside.load(), let_through={KEY: "1" * 64}))
    assert daemon.let_through() == {KEY: "1" * 64}
    assert daemon.let_through() == {}
    path.write_text("no state")
    assert (daemon.let_through(), daemon.warning) == ({}, "")
