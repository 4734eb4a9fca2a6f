"""Every fault of the sandbox, through a whole cycle: one right problem with the owner who can act, and few requests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sync.app import build
from sync.config.load import load
from sync.core.model import Fetched
from sync.core.report.report import Report
from sync.core.secret import Secret
from sync.runtime.threads import SystemClock
from sync.sandbox.api.states import NAMES, switch_on
from sync.sandbox.http.server import Sandbox
from tests.support.graph_stage import Stage, ordinary
from tests.support.rigs.e2e import Rig
from tests.support.services.graph import sandbox

__all__ = ["sandbox"]

pytestmark = pytest.mark.slow

Problems = set[tuple[str, str]]

UNREACHED: Problems = {("graph-unavailable", "nobody")}
THROTTLED: Problems = {("throttled", "nobody")}
NO_ACCESS: Problems = {("no-access", "business-admin")}
USER_INVALID: Problems = {("system-user-invalid", "app-admin")}
NONE: Problems = set()

FAULTS: dict[str, Problems] = {
    "throttled-app": THROTTLED,
    "throttled-page": THROTTLED,
    "throttled-user": THROTTLED,
    "throttled-pages": THROTTLED,
    "throttled-custom": {("throttled", "operator")},
    "server-error": UNREACHED,
    "unknown-error": UNREACHED,
    "too-much-data": UNREACHED,
    "html": UNREACHED,
    "empty-body": UNREACHED,
    "null-body": UNREACHED,
    "error-empty": UNREACHED,
    "half-json": UNREACHED,
    "redirect": UNREACHED,
    "error": {("unexpected-graph-error", "operator")},
    "error=5": {("address-not-allowed", "app-admin")},
    "error=101": {("app-secret-invalid", "operator")},
    "error:node=803": {("page-not-found", "operator")},
    "error:node=190/492": NO_ACCESS,
    "error:node=190/460": NO_ACCESS,
    "error:node=10": NO_ACCESS,
    "error:node=283": NO_ACCESS,
    "error:debug_token=190/460": {("app-secret-invalid", "operator")},
    "app-blocked": {("app-blocked", "app-admin")},
    "app-not-active": {("graph-unavailable", "meta")},
    "address-refused": {("address-not-allowed", "app-admin")},
    "desktop-app": {("app-misconfigured", "app-admin")},
    "no-app-id": {("unexpected-graph-error", "operator")},
    "version-unknown": {("version-sunset", "operator")},
    "capability": {("app-capability", "app-admin")},
    "two-factor": {("two-factor-required", "app-admin")},
    "user-message": NO_ACCESS,
    "policy": {("policy-blocked", "app-admin")},
    "checkpoint": {("policy-blocked", "app-admin")},
    "checkpoint=464": {("policy-blocked", "app-admin")},
    "checkpoint=490": {("policy-blocked", "app-admin")},
    "proof-refused": {("app-secret-invalid", "operator")},
    "debug-not-allowed": {("debug-unavailable", "operator")},
    "debug-without-data": {("debug-unavailable", "meta")},
    "debug-partial": {("debug-unavailable", "meta")},
    "debug-partial=is_valid": {("debug-unavailable", "meta")},
    "debug-partial=app_id": {("debug-unavailable", "meta")},
    "debug-odd-type": {("debug-unavailable", "meta")},
    "drip-headers": UNREACHED,
    "drip-body": UNREACHED,
    "cut": UNREACHED,
    "close": UNREACHED,
    "hang": UNREACHED,
    "slow=50": NONE,
    "version": NONE,
    "null-items": UNREACHED,
    "short-array": UNREACHED,
    "debug-in-batch": {("debug-unavailable", "operator")},
    "batch-refused": {("debug-unavailable", "operator")},
    "listing-empty": NONE,
    "listing-without-tokens": NONE,
    "listing-hole": NONE,
    "unassigned": NO_ACCESS | {("token-invalid", "business-admin")},
    "unassigned=tokens-working": NO_ACCESS,
    "unassigned=tokens-refused": NO_ACCESS,
    "moved": {("page-migrated", "operator")},
    "deleted": NO_ACCESS | {("token-invalid", "business-admin")},
    "unpublished": NONE,
    "person": {("not-a-page", "operator")},
    "foreign": {("wrong-app", "operator")},
    "other-page": {("wrong-page", "operator")},
    "user-token": {("wrong-type", "operator")},
    "malformed-token": {("no-access", "meta")},
    "changing": NONE,
    "short-lived": {("expires-too-soon", "app-admin")},
    "missing-scope": {("missing-scope", "app-admin")},
    "untargeted": {("missing-scope", "app-admin")},
    "revoked": NONE,
    "invalid": USER_INVALID | {("token-invalid", "app-admin")},
    "expired": USER_INVALID | {("token-expired", "app-admin")},
    "expiring": NONE,
    "missing-permission": {("missing-permission", "app-admin")},
    "missing-permission=pages_show_list": {("missing-permission", "app-admin")},
    "require-proof": NONE,
    "tasks": NONE,
    "shared": NONE,
    "person-token": NONE,
}
"""What a cycle over stored tokens reports under each fault. Where stored tokens do not work either, that is a fact of its own."""

AT_LARGE = {
    **dict.fromkeys(FAULTS, 80),
    # How many single reads are on their way when errors end them depends on the threads: 49 to 84 were seen.
    **dict.fromkeys(("empty-body", "null-body", "redirect"), 120),
    # A refusal of the whole app closes the app.
    **dict.fromkeys(("app-blocked", "app-not-active", "address-refused", "desktop-app", "no-app-id"), 4),
    **dict.fromkeys(("version-unknown", "proof-refused", "error=5", "error=101", "throttled-app"), 4),
    # Nothing is read with a refused system user token: what is left are the stored tokens, in batches.
    **dict.fromkeys(("checkpoint", "checkpoint=464", "checkpoint=490", "policy", "invalid", "expired"), 20),
    # Reads that Graph refuses in a batch are sent singly, and so are items that it had no time for.
    "batch-refused": 700,
    "null-items": 400,
}
"""The largest number of requests for 300 Pages and their stored tokens."""


BROKEN = ("checkpoint", "checkpoint=464", "checkpoint=490", "invalid", "expired", "unassigned", "deleted")
"""The faults under which debug_token calls the stored tokens invalid, and no other token can be had."""


def problems(report: Report) -> Problems:
    """Return the codes and owners of all problems: of system users, of Pages, and of secrets."""
    found = [problem for user_token in report.user_tokens for problem in user_token.verdict.problems]
    for page in report.pages:
        found += [*page.problems, *(problem for entry in page.stores for problem in entry.problems)]
    return {(problem.code, problem.owner) for problem in found}


def test_every_fault_is_here() -> None:
    """No fault of the sandbox is without its expected problem."""
    assert set(NAMES) == {re.split("[:=]", fault)[0] for fault in FAULTS}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_one_right_problem(sandbox: Sandbox, tmp_path: Path, fault: str) -> None:
    """The report has the problem of the fault, nothing beside it, and nothing works worse than before."""
    rig = Rig(tmp_path, sandbox, {"type": "file", "directory": str(tmp_path / "secrets"), "name": "{name}.json"})
    rig.write(graph={"base_url": sandbox.url, "timeout": "1s"})
    with build(load(rig.file), clock=SystemClock()) as app:
        assert app.cycle(write=True).result == "ok"
    before = {path.name: path.read_text() for path in (tmp_path / "secrets").glob("*.json")}
    assert len(before) == 5
    switch_on(sandbox.world, fault)
    with build(load(rig.file), clock=SystemClock()) as app:
        report = app.cycle(write=True)
    assert problems(report) == FAULTS[fault]
    served = {entry.served for page in report.pages for entry in page.stores}
    assert ("broken" in served) == (fault in BROKEN)
    after = {path.name: path.read_text() for path in (tmp_path / "secrets").glob("*.json")}
    assert (after == before) == (fault != "revoked")
    for page in report.pages:
        for problem in page.problems:
            assert problem.message.endswith((".", "…", ")", "!")) or problem.graph_code is not None, problem.message
            assert problem.message.count("Graph says:") <= 1


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_costs_a_request_for_each_page(fault: str) -> None:
    """300 Pages and their stored tokens cost a bounded number of requests, and a refusal of the whole app only a few."""
    stage = Stage(300)
    first = stage.source().read(stage.pages())
    tokens = [one.token for one in first.values() if isinstance(one, Fetched)]
    ids = {token: page.id for token, page in zip(tokens, stage.pages(), strict=True)}
    stage.fault(fault)
    source = stage.source(token=Secret(stage.world.user.token))
    source.user_tokens()
    source.probe("messenger", ids)
    source.read(stage.pages())
    source.debug("messenger", ordinary(tokens))
    assert source.requests <= AT_LARGE[fault]


@pytest.mark.parametrize("token_in_url", ["never", "fallback"])
def test_a_version_that_graph_does_not_know(sandbox: Sandbox, tmp_path: Path, token_in_url: str) -> None:
    """It is named, one request finds it, and no token is put into a URL because of it."""
    rig = Rig(tmp_path, sandbox, {"type": "file", "directory": str(tmp_path / "secrets"), "name": "{name}.json"})
    rig.write(graph={"base_url": sandbox.url, "version": "v99.0", "token_in_url": token_in_url})
    with build(load(rig.file), clock=SystemClock()) as app:
        report = app.cycle(write=True)
    assert problems(report) == {("version-sunset", "operator")}
    assert f"{sandbox.url}/v99.0" in report.pages[0].problems[0].message
    assert "token_in_url" not in report.pages[0].problems[0].remedy
    assert (report.result, report.frame.traffic.graph_requests) == ("failed", 1)
    assert "debug_token" not in sandbox.world.calls.endpoints


def test_a_token_that_graph_refuses_though_it_is_valid(sandbox: Sandbox, tmp_path: Path) -> None:
    """The notice has the code and the words with which Graph refuses it, in this cycle and from the state file in the next."""
    rig = Rig(tmp_path, sandbox, {"type": "file", "directory": str(tmp_path / "secrets"), "name": "{name}.json"})
    rig.write(state={"file": str(tmp_path / "state.json")}, probe_every="5m")
    with build(load(rig.file), clock=SystemClock()) as app:
        assert app.cycle(write=True).result == "ok"
    switch_on(sandbox.world, "unassigned=tokens-refused@berlin")
    for _ in range(2):
        with build(load(rig.file), clock=SystemClock()) as app:
            report = app.cycle(write=True, selection=None)
        berlin = next(page for page in report.pages if page.name == "berlin").stores[0]
        (notice,) = berlin.notices
        assert (notice.code, notice.graph_code, notice.graph_subcode) == ("probe-failed", 190, 492)
        assert "must be an administrator of the page" in notice.message
        assert berlin.served == "verified"


def test_a_host_name_without_an_address(sandbox: Sandbox, tmp_path: Path) -> None:
    """A failure of DNS does not end by itself as Meta's outages do: the operator checks the name and the resolver."""
    rig = Rig(tmp_path, sandbox, {"type": "file", "directory": str(tmp_path / "secrets"), "name": "{name}.json"})
    rig.write(graph={"base_url": "https://graph.invalid", "timeout": "2s"})
    with build(load(rig.file), clock=SystemClock()) as app:
        report = app.cycle(write=True)
    assert problems(report) == {("graph-unavailable", "operator")}
    assert "DNS" in report.pages[0].problems[0].message
    assert report.frame.traffic.graph_requests <= 3


def test_a_missing_permission_is_one_cause_that_names_it(sandbox: Sandbox, tmp_path: Path) -> None:
    """For all Pages there is one line, which names the permission and sends the app's admin to the system user token."""
    rig = Rig(tmp_path, sandbox, {"type": "file", "directory": str(tmp_path / "secrets"), "name": "{name}.json"})
    switch_on(sandbox.world, "missing-permission=pages_read_engagement")
    with build(load(rig.file), clock=SystemClock()) as app:
        report = app.cycle(write=True)
    began = {begun.cause.key.code: begun.cause for begun in report.changes.began}
    cause = began["missing-permission"]
    assert (cause.key.scope, cause.key.whose) == ("system_user", "main")
    assert len(cause.pages) == 5
    assert "lacks the permission pages_read_engagement" in cause.message
    assert "System users" in cause.remedy


def test_what_graph_wants_a_person_to_be_shown_reaches_the_report(sandbox: Sandbox, tmp_path: Path) -> None:
    """Title and text are in the message once, without the developer's message."""
    rig = Rig(tmp_path, sandbox, {"type": "file", "directory": str(tmp_path / "secrets"), "name": "{name}.json"})
    switch_on(sandbox.world, "user-message=Confirm your business.")
    with build(load(rig.file), clock=SystemClock()) as app:
        report = app.cycle(write=True)
    assert {page.problems[0].message for page in report.pages} == {
        "Graph says: Action required: Confirm your business."
    }
