"""Bad input, end to end: each has its problem code, owner and remedy, and changes nothing else."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from sync.sandbox.api.states import switch_on
from sync.sandbox.http.control import control
from sync.sandbox.http.server import Sandbox, start
from sync.sandbox.http.wire import make_request
from sync.sandbox.world.tokens import FakeToken, token_text
from tests.support.forkserver import shared
from tests.support.rigs.e2e import Ran, Rig
from tests.support.rigs.vault_program import (
    VaultProgram,
    actions,
    assert_page_problems,
    assert_problem,
    assert_store_failures,
    ended,
    vault_store,
)
from tests.support.services.bao import Bao, bao, free_port, mount, raft_node, unseal
from tests.support.services.fault_proxy import Reply, fault_proxy, times
from tests.support.services.graph import sandbox

__all__ = ["bao", "mount", "sandbox"]

pytestmark = pytest.mark.slow

ALL_KEPT_STALE = {("kept", "stale")}
ALL_KEPT_VERIFIED = {("kept", "verified")}
ALL_UNCHANGED = {("unchanged", "verified")}
ALL_FAILED = {("failed", "stale")}
UNSET = "PAGE_TOKEN_SYNC_TEST_UNSET"


@pytest.fixture
def empty(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path) -> VaultProgram:
    """Return the program with an empty mount."""
    return VaultProgram(tmp_path, sandbox, bao, mount)


@pytest.fixture
def program(empty: VaultProgram) -> VaultProgram:
    """Return the program with a mount in which every Page's token is current."""
    empty.settle()
    return empty


def _user(program: VaultProgram, reference: dict[str, str]) -> None:
    program.write(system_users={"main": {"token": reference}})


def _app(program: VaultProgram, reference: dict[str, str]) -> None:
    program.write(apps={"messenger": {"id": program.sandbox.app_id, "secret": reference}})


def _causes(table: str) -> list[str]:
    return [line for line in table.splitlines() if line.startswith("problem ")]


# Credentials of Meta's.


def test_a_wrong_app_secret(program: VaultProgram) -> None:
    """No token can be judged, so every secret is kept; one cause sends the operator to the app's settings; exit 3."""
    program.secret("app_secret", "0" * 32)
    ran = program.once()
    assert ended(ran) == (3, "failed")
    assert_page_problems(ran, "app-secret-invalid", "operator", "apps.*.secret", "App settings > Basic")
    assert actions(ran) == ALL_KEPT_STALE
    assert ran.report["summary"]["graph_requests"] <= 2
    program.assert_nothing_changed()


@pytest.mark.parametrize(("how", "said"), [("missing", "no such file"), ("empty", "empty"), ("unset", "not set")])
def test_an_app_secret_that_cannot_be_read(program: VaultProgram, how: str, said: str) -> None:
    """The reference and its cause are named, no request goes to Graph, every secret is kept; exit 3."""
    file = program.folder / "app_secret"
    where = UNSET if how == "unset" else str(file)
    if how == "missing":
        file.unlink()
    elif how == "empty":
        file.write_text("\n")
    else:
        _app(program, {"env": UNSET})
    ran = program.once()
    assert ended(ran) == (3, "failed")
    assert_page_problems(ran, "credential-unavailable", "operator", said, where, "apps.*.secret")
    assert actions(ran) == ALL_KEPT_STALE
    assert ran.report["summary"]["graph_requests"] == 0
    program.assert_nothing_changed()


@pytest.mark.parametrize(("how", "said"), [("missing", "no such file"), ("empty", "empty"), ("unset", "not set")])
def test_a_system_user_token_that_cannot_be_read(program: VaultProgram, how: str, said: str) -> None:
    """The operator, not the app's admin, is sent to the reference; stored tokens are still judged; exit 1."""
    file = program.folder / "system_user_token"
    where = UNSET if how == "unset" else str(file)
    if how == "missing":
        file.unlink()
    elif how == "empty":
        file.write_text("")
    else:
        _user(program, {"env": UNSET})
    ran = program.once()
    assert ended(ran) == (1, "degraded")
    assert_page_problems(ran, "credential-unavailable", "operator", said, where, "system_users.*.token")
    assert "generate" not in ran.report["system_users"][0]["problems"][0]["remedy"]
    assert actions(ran) == ALL_KEPT_VERIFIED
    program.assert_nothing_changed()


def test_a_rotated_app_secret(program: VaultProgram) -> None:
    """While the file has the old secret one cause is named and nothing is deleted; the new one heals, and changes nothing else."""
    request = make_request("POST", "/_sandbox/app/reset-secret", {}, b"")
    new = json.loads(control(program.world, request).body)["app_secret"]
    table = program.run("once")
    assert table.code == 3
    assert _causes(table.stdout) == [
        "problem app-secret-invalid: app messenger, 5 Pages (berlin, paris, rome and 2 more)"
    ]
    assert "After a reset of the secret, store the new one." in table.stdout
    program.assert_nothing_changed()
    program.secret("app_secret", new)
    healed = program.once()
    assert (ended(healed), actions(healed)) == ((0, "ok"), ALL_UNCHANGED)
    program.assert_nothing_changed()


def test_a_wrong_system_user_token(program: VaultProgram) -> None:
    """A string that is not a token of Meta's is an invalid system user token; stored tokens are still judged; exit 1."""
    program.secret("system_user_token", "EAA" + "x" * 60)
    ran = program.once()
    assert ended(ran) == (1, "degraded")
    assert ran.report["system_users"][0]["verdict"] == "invalid"
    assert_problem(ran.report["system_users"][0]["problems"], "system-user-invalid", "app-admin", "Business Settings")
    assert_page_problems(ran, "system-user-invalid", "app-admin", "generate a new token", "system_users.*.token")
    assert actions(ran) == ALL_KEPT_VERIFIED
    assert "x" * 20 not in ran.stdout + ran.stderr
    program.assert_nothing_changed()


@pytest.mark.parametrize(("takes_pages", "served"), [(False, "verified"), (True, "broken")])
def test_an_invalid_system_user_token(program: VaultProgram, takes_pages: bool, served: str) -> None:
    """Its Pages carry its problem, and stored tokens are judged by their own facts; exit 1."""
    program.world.page_tokens_follow_user_token = takes_pages
    switch_on(program.world, "invalid")
    ran = program.once()
    assert ended(ran) == (1, "degraded")
    assert_page_problems(ran, "system-user-invalid", "app-admin", "generate a new token")
    assert ran.report["system_users"][0]["pages"] == 5
    assert {page["fetched"] for page in ran.report["pages"]} == {"unknown"}
    assert actions(ran) == {("kept", served)}
    assert all(page["stores"][0]["verified_at"] for page in ran.report["pages"])
    program.assert_nothing_changed()


def _log_of_one_cycle(program: VaultProgram) -> list[dict[str, Any]]:
    with shared().start("--config", str(program.file), "run", stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        lines = []
        try:
            for text in process.stdout:
                lines.append(json.loads(text))
                if lines[-1]["event"] == "cycle_finished":
                    break
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    return lines


def _foreign_user(program: VaultProgram) -> str:
    """Make a valid system user token of another app."""
    value = token_text("another app's")
    user = program.world.user
    with program.world.lock:
        program.world.tokens[value] = FakeToken(
            value, "SYSTEM_USER", program.world.other_app.id, user.id, ("pages_show_list",), 0
        )
    return value


@pytest.mark.parametrize(("how", "problem"), [("invalid", "system-user-invalid"), ("another app's", "wrong-app")])
def test_a_system_user_is_one_event_and_one_cause(program: VaultProgram, how: str, problem: str) -> None:
    """Log and table name a system user's problem once, with a count of its five Pages."""
    program.world.page_tokens_follow_user_token = False
    if how == "invalid":
        switch_on(program.world, "invalid")
    else:
        program.secret("system_user_token", _foreign_user(program))
    around = ("daemon_started", "cycle_started", "cycle_finished")
    logged = [line for line in _log_of_one_cycle(program) if line["event"] not in around]
    assert [(line["event"], line["level"], line["problem"], line["page_count"]) for line in logged] == [
        ("system_user_invalid", "error", problem, 5)
    ]
    table = program.run("once")
    assert _causes(table.stdout) == [f"problem {problem}: system user main, 5 Pages (berlin, paris, rome and 2 more)"]
    program.assert_nothing_changed()


def test_a_system_user_token_of_another_app(program: VaultProgram) -> None:
    """It is not reported as invalid: the operator is sent to the app's id; stored tokens are judged; exit 1."""
    program.secret("system_user_token", _foreign_user(program))
    ran = program.once()
    assert ended(ran) == (1, "degraded")
    assert_page_problems(ran, "wrong-app", "operator", "apps.*.id", "generated for this app")
    assert actions(ran) == ALL_KEPT_VERIFIED
    program.assert_nothing_changed()


@pytest.mark.parametrize(("kind", "said"), [("page", "type PAGE"), ("app", "type APP")])
def test_another_kind_of_token_as_the_system_users(program: VaultProgram, kind: str, said: str) -> None:
    """A Page token or an app token in its place is named as such, and no Page is reported as lost; exit 1."""
    sandbox = program.sandbox
    pasted = program.token("paris") if kind == "page" else f"{sandbox.app_id}|{sandbox.app_secret}"
    program.secret("system_user_token", pasted)
    ran = program.once()
    assert ended(ran) == (1, "degraded")
    assert_page_problems(ran, "wrong-type", "operator", said, "System users", "system_users.*.token")
    assert actions(ran) == ALL_KEPT_VERIFIED
    program.assert_nothing_changed()


def test_a_system_user_token_that_expires_in_five_days(program: VaultProgram) -> None:
    """A 60-day token that expires soon is reported at the system user, and changes neither result nor exit code."""
    switch_on(program.world, f"expiring={5 * 86400}")
    ran = program.once()
    assert ended(ran) == (0, "ok")
    user = ran.report["system_users"][0]
    assert (user["verdict"], user["expires_at"] is None) == ("valid", False)
    assert_problem(user["problems"], "system-user-expiring", "app-admin", "expires at", "Generate a new one")
    assert actions(ran) == ALL_UNCHANGED
    assert not any(page["problems"] for page in ran.report["pages"])
    table = program.run("once")
    assert (table.code, "notice system-user-expiring: system user main" in table.stdout) == (0, True)
    program.assert_nothing_changed()


def test_an_unreachable_vault(program: VaultProgram) -> None:
    """Where nothing listens every secret is failed, with what to check; exit 3."""
    store = vault_store(program.bao, program.mount, program.folder / "vault_token")
    program.write(stores={"store": {**store, "address": f"http://127.0.0.1:{free_port()}"}})
    ran = program.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_FAILED)
    assert_store_failures(ran, "unreachable", "cannot be reached", "`address`")
    program.assert_nothing_changed()


def test_one_of_two_stores_unreachable(empty: VaultProgram) -> None:
    """The reachable store is written; only the secrets of the other have failed; exit 1."""
    good, down = (vault_store(empty.bao, empty.mount, empty.folder / "vault_token") for _ in range(2))
    down["address"] = f"http://127.0.0.1:{free_port()}"
    empty.write(stores={"good": good, "down": down}, defaults={"stores": ["down", "good"]})
    ran = empty.once()
    assert ended(ran) == (1, "degraded")
    targets = [target for page in ran.report["pages"] for target in page["stores"]]
    assert {(p["store"], p["action"], p["served"], p["error_code"]) for p in targets} == {
        ("good", "created", "verified", None),
        ("down", "failed", "stale", "unreachable"),
    }
    assert_store_failures(ran, "unreachable", "cannot be reached")
    assert sorted(empty.everything()) == sorted(empty.ids)


def test_a_sealed_vault(sandbox: Sandbox, tmp_path: Path) -> None:
    """A sealed store is named as such, exit 3; after the unsealing the next cycle finds every secret unchanged."""
    (tmp_path / "node").mkdir()
    with raft_node(tmp_path / "node") as node:
        program = VaultProgram(tmp_path, sandbox, node, node.mount())
        program.settle()
        node.admin("PUT", "sys/seal")
        ran = program.once()
        assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_FAILED)
        assert_store_failures(ran, "sealed", "sealed", "Unseal it")
        unseal(node)
        program.assert_nothing_changed()
        healed = program.once()
        assert (ended(healed), actions(healed)) == ((0, "ok"), ALL_UNCHANGED)
        program.assert_nothing_changed()


def test_a_wrong_mount(program: VaultProgram) -> None:
    """A mount that does not exist is named, and nothing is created instead; exit 3."""
    mounts = program.bao.admin("GET", "sys/mounts")["data"]
    store = vault_store(program.bao, "no-such-mount", program.folder / "vault_token")
    program.write(stores={"store": store})
    ran = program.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_FAILED)
    assert_store_failures(ran, "no-mount", "no KV engine at the mount", "`mount`")
    assert program.bao.admin("GET", "sys/mounts")["data"].keys() == mounts.keys()
    program.assert_nothing_changed()


def test_a_kv_version_1_mount(empty: VaultProgram) -> None:
    """A KV version 1 mount is refused with a remedy, and no request to it could have written; exit 3."""
    old = empty.bao.mount(version=1)
    with fault_proxy(empty.bao.url) as proxy:
        store = vault_store(empty.bao, old, empty.folder / "vault_token")
        empty.write(stores={"store": {**store, "address": proxy.url}})
        ran = empty.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_FAILED)
    assert_store_failures(ran, "kv-v1", "KV version 1", f"enable-versioning {old}`")
    assert {request.method for request in proxy.requests} == {"GET"}
    assert empty.bao.call("LIST", f"{old}/")[0] == 404


def test_a_kv_version_1_mount_that_may_not_be_looked_at(empty: VaultProgram) -> None:
    """Where the mount's version is unknown, a refused PATCH reveals it before any data is written; exit 1."""
    old = empty.bao.mount(version=1)
    refusal = Reply(403, '{"errors": ["1 error occurred:\\n\\t* permission denied\\n\\n"]}')
    with fault_proxy(empty.bao.url) as proxy:
        proxy.rule = times(100, refusal, "GET", "sys/internal/ui/mounts")
        store = vault_store(empty.bao, old, empty.folder / "vault_token")
        empty.write(stores={"store": {**store, "address": proxy.url}})
        ran = empty.once()
    assert (ended(ran), actions(ran)) == ((1, "degraded"), {("failed", "absent")})
    assert_store_failures(ran, "kv-v1", "KV version 1", f"enable-versioning {old}`")
    assert proxy.writes() == []
    assert empty.bao.call("LIST", f"{old}/")[0] == 404


def test_a_gateway_that_knows_no_path(program: VaultProgram) -> None:
    """A gateway that answers every path with a 404 page is not Vault: nothing is created or absent, the Pages are stale; exit 3."""
    with fault_proxy(program.bao.url) as proxy:
        proxy.rule = lambda _: Reply(404, "404 page not found", {"Content-Type": "text/plain"})
        store = vault_store(program.bao, program.mount, program.folder / "vault_token")
        program.write(stores={"store": {**store, "address": proxy.url}})
        ran = program.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_FAILED)
    assert_store_failures(ran, "not-vault", f"Address: {proxy.url}, mount: {program.mount}", "`address`")
    assert proxy.writes() == []
    program.assert_nothing_changed()


def test_a_gateway_that_refuses_patch(program: VaultProgram) -> None:
    """Where PATCH is refused, an invalid token stays this instance's and is healed once PATCH works; exit 1."""
    program.world.revoke_page(program.page("berlin"))
    refusal = Reply(405, '{"errors": ["1 error occurred:\\n\\t* unsupported operation\\n\\n"]}')
    with fault_proxy(program.bao.url) as proxy:
        proxy.rule = times(100, refusal, "PATCH", "/metadata/")
        store = vault_store(program.bao, program.mount, program.folder / "vault_token")
        program.write(stores={"store": {**store, "address": proxy.url}})
        ran = program.once()
        assert ended(ran) == (1, "degraded")
        assert ("failed", "broken") in actions(ran)
        program.assert_nothing_changed()
        proxy.rule = None
        healed = program.once()
    assert ended(healed) == (0, "ok")
    assert ("replaced", "verified") in actions(healed)


def test_a_wrong_vault_token(program: VaultProgram) -> None:
    """A token that Vault does not know is distinguished from a policy that denies; exit 3."""
    program.secret("vault_token", "s.wrong")
    ran = program.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_FAILED)
    assert_store_failures(ran, "login-refused", "does not know the token", "`auth`")
    assert "s.wrong" not in ran.stdout + ran.stderr
    program.assert_nothing_changed()


def test_a_vault_token_file_that_is_missing(program: VaultProgram) -> None:
    """A missing credential of a store is a failure of that store, which names the file; exit 3."""
    (program.folder / "vault_token").unlink()
    ran = program.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_FAILED)
    assert_store_failures(ran, "credentials", "vault_token", "no such file", "Store the credential")
    program.assert_nothing_changed()


def test_a_used_up_secret_id(program: VaultProgram) -> None:
    """A used-up secret id of an AppRole is a refused login with its likely cause; exit 3."""
    rules = f'path "{program.mount}/*" {{ capabilities = ["create", "read", "update", "patch", "list"] }}'
    auth, role, secret = program.bao.approle(program.bao.policy(rules), secret_id_num_uses=1)
    program.bao.admin("POST", f"auth/{auth}/login", {"role_id": role, "secret_id": secret})
    program.secret("role_id", role)
    program.secret("secret_id", secret)
    login = {
        "method": "approle",
        "mount": auth,
        "role_id": {"file": str(program.folder / "role_id")},
        "secret_id": {"file": str(program.folder / "secret_id")},
    }
    store = vault_store(program.bao, program.mount, program.folder / "vault_token")
    program.write(stores={"store": {**store, "auth": login}})
    ran = program.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_FAILED)
    assert_store_failures(ran, "login-refused", "refused the login", "used up")
    assert secret not in ran.stdout + ran.stderr
    program.assert_nothing_changed()


def test_a_policy_without_patch(empty: VaultProgram) -> None:
    """Without permission to write marks no data is written, and the remedy has the policy's missing line; exit 1."""
    rules = f"""
path "{empty.mount}/data/*" {{ capabilities = ["create", "read", "update"] }}
path "{empty.mount}/metadata/*" {{ capabilities = ["read", "list"] }}
"""
    empty.secret("vault_token", empty.bao.token(empty.bao.policy(rules)))
    ran = empty.once()
    assert (ended(ran), actions(ran)) == ((1, "degraded"), {("failed", "absent")})
    assert_store_failures(ran, "denied", '{ capabilities = ["patch"] }', f"{empty.mount}/metadata/meta/pages/")
    assert empty.everything() == {}


def test_a_plan_under_a_policy_that_only_reads(empty: VaultProgram) -> None:
    """A plan of creations that the policy would deny is failed with the missing capability, as ``once`` is then; exit 1."""
    rules = f'path "{empty.mount}/*" {{ capabilities = ["read", "list"] }}'
    empty.secret("vault_token", empty.bao.token(empty.bao.policy(rules)))
    for command in ("plan", "once"):
        ran = empty.run(command, "--output", "json")
        assert actions(ran) == {("failed", "absent")}
        assert_store_failures(ran, "denied", "`patch`", f"{empty.mount}/metadata/meta/pages/")
        assert ran.code == 1
    assert empty.everything() == {}


def test_a_foreign_secret(program: VaultProgram) -> None:
    """A foreign secret is refused and unchanged, and the others are written; exit 1."""
    program.bao.admin("DELETE", f"{program.mount}/metadata/meta/pages/paris")
    program.bao.admin("POST", f"{program.mount}/data/meta/pages/paris", {"data": {"password": "other_end"}})
    program.note()
    ran = program.once()
    target = ran.target("paris")
    assert (ended(ran), target["action"], target["served"]) == ((1, "degraded"), "refused", "foreign")
    assert_problem(target["problems"], "secret-foreign", "operator", "never overwritten", "another path")
    assert actions(ran, but="paris") == ALL_UNCHANGED
    assert "other_end" not in ran.stdout
    program.assert_nothing_changed()


def _one_bad(ran: Ran, verdict: str = "invalid") -> list[Any]:
    """Assert that only paris has a problem, and return it."""
    assert ended(ran) == (1, "degraded")
    assert ran.page("paris")["fetched"] == verdict
    assert actions(ran, but="paris") == ALL_UNCHANGED
    assert not any(page["problems"] for page in ran.report["pages"] if page["name"] != "paris")
    assert ran.target("paris")["action"] == "kept"
    return list(ran.page("paris")["problems"])


def test_a_page_that_is_a_person(program: VaultProgram) -> None:
    """The id of a person is named as such, and the operator learns where to find a Page's id; exit 1."""
    switch_on(program.world, "person@paris")
    assert_problem(_one_bad(program.once()), "not-a-page", "operator", "(User)", "Accounts > Pages")
    program.assert_nothing_changed()


def test_a_page_id_that_does_not_exist(program: VaultProgram) -> None:
    """Graph answers alike for a wrong id and for no access, so the remedy names both; no secret is created; exit 1."""
    pages = [
        {"id": "999999999999999" if name == "paris" else page_id, "name": name} for name, page_id in program.ids.items()
    ]
    pages[1]["name"] = "typo"
    program.write(pages=pages)
    ran = program.once()
    assert ended(ran) == (1, "degraded")
    assert_problem(
        ran.page("typo")["problems"], "no-access", "business-admin", "999999999999999", "Check the Page's id"
    )
    assert (ran.target("typo")["action"], ran.target("typo")["served"]) == ("kept", "absent")
    assert actions(ran, but="typo") == ALL_UNCHANGED
    assert [orphan["path"] for orphan in ran.report["orphans"]] == ["meta/pages/paris"]
    program.assert_nothing_changed()


def test_a_migrated_page(empty: VaultProgram) -> None:
    """The message has the new id for the operator to configure; it is not followed; exit 1."""
    rome = empty.page("rome")
    empty.write(pages=[{"id": i, "name": name} for name, i in empty.ids.items() if name != "rome"])
    empty.settle()
    switch_on(empty.world, f"moved={rome.id}@paris")
    ran = empty.once()
    assert_problem(_one_bad(ran), "page-migrated", "operator", rome.id, "new id")
    assert not [token for token in empty.world.tokens.values() if token.page_id == rome.id]
    empty.assert_nothing_changed()


# A thousand Pages.


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, str]]:
    """Return the program with a thousand Pages and a file store; the system user has lost one Page."""
    folder = tmp_path_factory.mktemp("thousand")
    with start(pages=1000) as sandbox:
        bad = sandbox.pages[437]["name"]
        switch_on(sandbox.world, f"unassigned@{bad}")
        yield Rig(folder, sandbox, {"type": "file", "directory": str(folder / "secrets")}), bad


def test_one_bad_page_among_a_thousand(thousand: tuple[Rig, str]) -> None:
    """The other 999 are written and verified, one has no access, exit 1, and few requests go to Graph."""
    rig, bad = thousand
    ran = rig.once()
    assert ended(ran) == (1, "degraded")
    assert actions(ran, but=bad) == {("created", "verified")}
    assert_problem(ran.page(bad)["problems"], "no-access", "business-admin", "assign the Page")
    assert (ran.target(bad)["action"], ran.target(bad)["served"]) == ("kept", "absent")
    summary = ran.report["summary"]
    assert (summary["created"], summary["kept"], summary["verified"], summary["absent"]) == (999, 1, 999, 1)
    assert summary["graph_requests"] <= 2 * ceil(1000 / 50) + 5
    secrets = rig.folder / "secrets"
    before = _files(secrets)
    assert len([name for name in before if not name.startswith(".")]) == 999
    shown = _on_a_terminal(rig)
    assert _files(secrets) == before
    lines = [line for line in shown.splitlines() if line.strip()]
    assert len(lines) < 20, shown
    assert [line for line in lines if line.startswith("problem")] == [f"problem no-access: 1 Page ({bad})"]
    assert [name for name in (page["name"] for page in rig.sandbox.pages) if f"{name} " in shown] == [bad]
    assert "999 unchanged and verified secrets are not listed." in shown


def _files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir() if file.is_file()}


def _on_a_terminal(rig: Rig) -> str:
    """Run ``once`` on a terminal of its own, and return its output without colours."""
    main_end, other_end = pty.openpty()
    command = ["--config", str(rig.file), "once"]
    environment = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
    with shared().start(*command, stdout=other_end, stderr=subprocess.DEVNULL, environment=environment) as process:
        os.close(other_end)
        shown = b""
        try:
            while data := os.read(main_end, 65536):
                shown += data
        except OSError:
            pass  # the terminal's other end is closed
        os.close(main_end)
        assert process.wait(60) == 1
    return shown.decode().replace("\r\n", "\n")


def test_an_unreachable_graph(program: VaultProgram) -> None:
    """Stored tokens are kept, stale since they were last judged; no action is needed; exit 3."""
    program.write(graph={"base_url": f"http://127.0.0.1:{free_port()}", "timeout": "1s"})
    ran = program.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_KEPT_STALE)
    assert_page_problems(ran, "graph-unavailable", "nobody", "graph.base_url")
    assert ran.report["summary"]["graph_requests"] == 3
    program.assert_nothing_changed()


def test_a_graph_that_answers_html(program: VaultProgram) -> None:
    """An HTML page of a gateway says nothing about any token: every secret is kept, and none of it is shown; exit 3."""
    program.write(graph={"base_url": program.sandbox.url, "timeout": "1s"})
    switch_on(program.world, "html=200")
    ran = program.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_KEPT_STALE)
    assert_page_problems(ran, "graph-unavailable", "nobody", "cannot be used", "graph.base_url")
    assert "<html" not in (ran.stdout + ran.stderr).lower()
    program.assert_nothing_changed()


def test_a_throttled_app(program: VaultProgram) -> None:
    """The stored tokens are kept, Graph gets no further request, and the message quotes Meta; no action is needed; exit 3."""
    switch_on(program.world, "throttled-app")
    ran = program.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_KEPT_STALE)
    assert_page_problems(ran, "throttled", "nobody", "Application request limit reached", "Stored tokens stay")
    assert ran.report["summary"]["graph_requests"] == 1
    program.assert_nothing_changed()
