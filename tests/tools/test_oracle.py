"""The oracle of the soak test finds each kind of mistake in a report."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sync.app import build
from sync.config.load import load
from sync.core.report.json import as_json
from sync.runtime.threads import SystemClock
from sync.sandbox.http.server import Sandbox
from sync.sandbox.http.truth import truth
from tests.support.rigs.e2e import Rig
from tests.support.services.graph import sandbox
from tools.soak.oracle import History, differences

__all__ = ["sandbox"]

Report = dict[str, Any]


@pytest.fixture
def observed(sandbox: Sandbox, tmp_path: Path) -> tuple[Report, History]:
    """Return a correct report of a second cycle, and the history to compare it with."""
    rig = Rig(tmp_path, sandbox, {"type": "file", "directory": str(tmp_path / "secrets")})
    history = History()
    with build(load(rig.file), clock=SystemClock()) as app:
        app.cycle(write=True)
        history.note(datetime.now(UTC).timestamp(), truth(sandbox.world), frozenset())
        return as_json(app.cycle(write=True)), history


def test_a_correct_report_has_no_difference(observed: tuple[Report, History], sandbox: Sandbox) -> None:
    """The report of a cycle without a fault agrees with the sandbox."""
    report, history = observed
    assert list(differences(report, history, app_id=sandbox.app_id)) == []


def _first(report: Report) -> tuple[dict[str, Any], dict[str, Any]]:
    return report["pages"][0], report["pages"][0]["stores"][0]


def _problem(code: str, **changes: str) -> dict[str, str]:
    return {"code": code, "message": "It failed.", "owner": "operator", "remedy": "Look.", **changes}


def _wrong_token(report: Report) -> None:
    _first(report)[0]["fingerprint"] = "0" * 12


def _wrong_stored(report: Report) -> None:
    _first(report)[1]["fingerprint"] = "0" * 12


def _broken(report: Report) -> None:
    _first(report)[1]["served"] = "broken"


def _stale(report: Report) -> None:
    _first(report)[1]["served"] = "stale"


def _failed(report: Report) -> None:
    _first(report)[1]["action"] = "failed"


def _no_access(report: Report) -> None:
    _first(report)[0].update({"fetched": "invalid", "problems": [_problem("no-access")]})


def _invalid(report: Report) -> None:
    _first(report)[0].update({"fetched": "invalid", "problems": [_problem("token-invalid")]})


def _unknown(report: Report) -> None:
    _first(report)[0].update({"fetched": "unknown", "problems": [_problem("graph-unavailable")]})


def _silent(report: Report) -> None:
    _first(report)[0].update({"fetched": "unknown", "problems": []})


def _healed(report: Report) -> None:
    target = _first(report)[1]
    target |= {"action": "replaced", "reason": "heal", "previous_fingerprint": target["fingerprint"]}


def _ownerless(report: Report) -> None:
    _first(report)[1]["problems"] = [_problem("store-failed", owner="")]


def _without_a_remedy(report: Report) -> None:
    _first(report)[1]["problems"] = [_problem("store-failed", remedy="")]


def _without_a_cause(report: Report) -> None:
    report["system_users"][0]["problems"] = [_problem("system-user-invalid")]


MISTAKES = [
    _wrong_token,
    _wrong_stored,
    _broken,
    _stale,
    _failed,
    _no_access,
    _invalid,
    _unknown,
    _silent,
    _healed,
    _ownerless,
    _without_a_remedy,
    _without_a_cause,
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__.strip("_"))
def test_a_mistake_is_found(
    observed: tuple[Report, History], sandbox: Sandbox, mistake: Callable[[Report], None]
) -> None:
    """Each statement that disagrees with the sandbox is a difference."""
    report, history = copy.deepcopy(observed[0]), observed[1]
    mistake(report)
    assert list(differences(report, history, app_id=sandbox.app_id))


def test_an_invalid_token_that_was_missed_is_found(observed: tuple[Report, History], sandbox: Sandbox) -> None:
    """A token that was invalid all through a cycle is not verified, though it was valid when it was judged."""
    report, history = copy.deepcopy(observed[0]), History(list(observed[1].moments))
    start = datetime.fromisoformat(report["started_at"]).timestamp()
    for page in report["pages"]:
        page["verified_at"] = page["stores"][0]["verified_at"] = datetime.fromtimestamp(start - 60, UTC).isoformat()
    history.moments[:] = [replace(history.moments[0], at=start - 70)]
    for page in list(sandbox.world.pages.values()):
        sandbox.world.revoke_page(page)
    history.note(start - 50, truth(sandbox.world), frozenset())
    missed = [what for what in differences(report, history, app_id=sandbox.app_id) if "all through" in what]
    assert len(missed) == len(report["pages"])


def test_a_stall_of_the_soak_test_excuses_its_own_services(observed: tuple[Report, History], sandbox: Sandbox) -> None:
    """While the soak test itself stalls Graph and AWS are unavailable, and no other difference is excused."""
    report, history = copy.deepcopy(observed[0]), History(list(observed[1].moments))
    start = datetime.fromisoformat(report["started_at"]).timestamp()
    history.stalled(start, start + 1)
    _unknown(report)
    assert list(differences(report, history, app_id=sandbox.app_id)) == []
    _wrong_stored(report)
    assert list(differences(report, history, app_id=sandbox.app_id))


def test_a_long_history_is_limited(observed: tuple[Report, History]) -> None:
    """Only the moments of some minutes are kept, and unchanged tokens are shared."""
    history = History()
    for second in range(1000):
        history.note(float(second), observed[1].moments[0].truth, frozenset())
    assert [history.moments[0].at, history.moments[-1].at, len(history.moments)] == [600.0, 999.0, 400]
    shared = {id(token) for moment in history.moments for token in moment.truth["tokens"].values()}
    assert len(shared) == len(observed[1].moments[0].truth["tokens"])
