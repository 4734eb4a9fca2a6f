"""Bad input, end to end: each is told with its code, who acts and the remedy, and changes nothing that it does not concern."""

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
from sync.sandbox.world.tokens import Token, token_text
from tests.support.e2e_stage import (
    Scene,
    actions,
    assert_all_told,
    assert_stores_told,
    assert_told,
    ended,
    vault_store,
)
from tests.support.rigs.e2e import PROGRAM, Ran, Rig
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
def empty(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path) -> Scene:
    """Return the program before an empty mount."""
    return Scene(tmp_path, sandbox, bao, mount)


@pytest.fixture
def scene(empty: Scene) -> Scene:
    """Return the program before a mount in which every Page's token is right."""
    empty.settle()
    return empty


def _user(scene: Scene, reference: dict[str, str]) -> None:
    scene.rig.write(system_users={"main": {"token": reference}})


def _app(scene: Scene, reference: dict[str, str]) -> None:
    scene.rig.write(apps={"messenger": {"id": scene.rig.sandbox.app_id, "secret": reference}})


def _causes(table: str) -> list[str]:
    return [line for line in table.splitlines() if line.startswith("problem ")]


# Credentials of Meta's.


def test_a_wrong_app_secret(scene: Scene) -> None:
    """Nothing can be judged, so all is kept; one cause sends the operator to the app's settings; exit 3."""
    scene.rig.secret("app_secret", "0" * 32)
    ran = scene.rig.once()
    assert ended(ran) == (3, "failed")
    assert_all_told(ran, "app-secret-invalid", "operator", "apps.*.secret", "App settings > Basic")
    assert actions(ran) == ALL_KEPT_STALE
    assert ran.report["summary"]["graph_requests"] <= 2
    scene.assert_nothing_changed()


@pytest.mark.parametrize(("how", "said"), [("missing", "no such file"), ("empty", "empty"), ("unset", "not set")])
def test_an_app_secret_that_cannot_be_read(scene: Scene, how: str, said: str) -> None:
    """The reference and its cause are named, Graph is asked nothing, all is kept; exit 3."""
    file = scene.rig.folder / "app_secret"
    where = UNSET if how == "unset" else str(file)
    if how == "missing":
        file.unlink()
    elif how == "empty":
        file.write_text("\n")
    else:
        _app(scene, {"env": UNSET})
    ran = scene.rig.once()
    assert ended(ran) == (3, "failed")
    assert_all_told(ran, "app-secret-invalid", "operator", said, where, "apps.*.secret")
    assert actions(ran) == ALL_KEPT_STALE
    assert ran.report["summary"]["graph_requests"] == 0
    scene.assert_nothing_changed()


@pytest.mark.parametrize(("how", "said"), [("missing", "no such file"), ("empty", "empty"), ("unset", "not set")])
def test_a_system_user_token_that_cannot_be_read(scene: Scene, how: str, said: str) -> None:
    """The operator, not the app's admin, is sent to the reference; stored tokens are judged all the same; exit 1."""
    file = scene.rig.folder / "system_user_token"
    where = UNSET if how == "unset" else str(file)
    if how == "missing":
        file.unlink()
    elif how == "empty":
        file.write_text("")
    else:
        _user(scene, {"env": UNSET})
    ran = scene.rig.once()
    assert ended(ran) == (1, "degraded")
    assert_all_told(ran, "system-user-invalid", "operator", said, where, "system_users.*.token")
    assert "generate" not in ran.report["system_users"][0]["problems"][0]["remedy"]
    assert actions(ran) == ALL_KEPT_VERIFIED
    scene.assert_nothing_changed()


def test_a_rotated_app_secret(scene: Scene) -> None:
    """While the old secret is in the file one cause is named and nothing deleted; the new one heals, and changes nothing else."""
    request = make_request("POST", "/_sandbox/app/reset-secret", {}, b"")
    new = json.loads(control(scene.world, request).body)["app_secret"]
    table = scene.rig.run("once")
    assert table.code == 3
    assert _causes(table.stdout) == [
        "problem app-secret-invalid: system user main, 5 Pages (berlin, paris, rome and 2 more)"
    ]
    assert "after a reset of the secret put the new one in place" in table.stdout
    scene.assert_nothing_changed()
    scene.rig.secret("app_secret", new)
    healed = scene.rig.once()
    assert (ended(healed), actions(healed)) == ((0, "ok"), ALL_UNCHANGED)
    scene.assert_nothing_changed()


def test_a_wrong_system_user_token(scene: Scene) -> None:
    """A string that is no token of Meta's is a dead system user; stored tokens are judged all the same; exit 1."""
    scene.rig.secret("system_user_token", "EAA" + "x" * 60)
    ran = scene.rig.once()
    assert ended(ran) == (1, "degraded")
    assert ran.report["system_users"][0]["verdict"] == "invalid"
    assert_told(ran.report["system_users"][0]["problems"], "system-user-invalid", "app-admin", "Business Settings")
    assert_all_told(ran, "system-user-invalid", "app-admin", "generate a new token", "system_users.*.token")
    assert actions(ran) == ALL_KEPT_VERIFIED
    assert "x" * 20 not in ran.stdout + ran.stderr
    scene.assert_nothing_changed()


@pytest.mark.parametrize(("takes_pages", "served"), [(False, "verified"), (True, "broken")])
def test_a_dead_system_user_token(scene: Scene, takes_pages: bool, served: str) -> None:
    """Its Pages are told its problem, and stored tokens are judged by what they themselves are worth; exit 1."""
    scene.world.parent_death_kills_page_tokens = takes_pages
    switch_on(scene.world, "dead")
    ran = scene.rig.once()
    assert ended(ran) == (1, "degraded")
    assert_all_told(ran, "system-user-invalid", "app-admin", "generate a new token")
    assert ran.report["system_users"][0]["pages"] == 5
    assert {page["fetched"] for page in ran.report["pages"]} == {"unknown"}
    assert actions(ran) == {("kept", served)}
    assert all(page["stores"][0]["verified_at"] for page in ran.report["pages"])
    scene.assert_nothing_changed()


def _log_of_one_cycle(scene: Scene) -> list[dict[str, Any]]:
    command = [*PROGRAM, "--config", str(scene.rig.file), "run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
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


def _foreign_user(scene: Scene) -> str:
    """Make a system user token that is good, but another app's."""
    value = token_text("another app's")
    user = scene.world.user
    with scene.world.lock:
        scene.world.tokens[value] = Token(
            value, "SYSTEM_USER", scene.world.other_app.id, user.id, ("pages_show_list",), 0
        )
    return value


@pytest.mark.parametrize(("how", "problem"), [("dead", "system-user-invalid"), ("another app's", "wrong-app")])
def test_a_system_user_is_one_event_and_one_cause(scene: Scene, how: str, problem: str) -> None:
    """Log and table name a system user's trouble once, with its five Pages counted, and not once a Page."""
    scene.world.parent_death_kills_page_tokens = False
    if how == "dead":
        switch_on(scene.world, "dead")
    else:
        scene.rig.secret("system_user_token", _foreign_user(scene))
    around = ("daemon_started", "cycle_started", "cycle_finished")
    told = [line for line in _log_of_one_cycle(scene) if line["event"] not in around]
    assert [(line["event"], line["level"], line["problem"], line["pages"]) for line in told] == [
        ("system_user_invalid", "error", problem, 5)
    ]
    table = scene.rig.run("once")
    assert _causes(table.stdout) == [f"problem {problem}: system user main, 5 Pages (berlin, paris, rome and 2 more)"]
    scene.assert_nothing_changed()


def test_a_system_user_token_of_another_app(scene: Scene) -> None:
    """It is told from a dead one, and the operator is sent to the app's id; stored tokens are judged; exit 1."""
    scene.rig.secret("system_user_token", _foreign_user(scene))
    ran = scene.rig.once()
    assert ended(ran) == (1, "degraded")
    assert_all_told(ran, "wrong-app", "operator", "apps.*.id", "generated for this app")
    assert actions(ran) == ALL_KEPT_VERIFIED
    scene.assert_nothing_changed()


@pytest.mark.parametrize(("kind", "said"), [("page", "type PAGE"), ("app", "type APP")])
def test_another_kind_of_token_as_the_system_users(scene: Scene, kind: str, said: str) -> None:
    """A Page's or an app's token in its place is named as such, and the Pages do not look lost for it; exit 1."""
    sandbox = scene.rig.sandbox
    pasted = scene.token("paris") if kind == "page" else f"{sandbox.app_id}|{sandbox.app_secret}"
    scene.rig.secret("system_user_token", pasted)
    ran = scene.rig.once()
    assert ended(ran) == (1, "degraded")
    assert_all_told(ran, "wrong-type", "operator", said, "System users", "system_users.*.token")
    assert actions(ran) == ALL_KEPT_VERIFIED
    scene.assert_nothing_changed()


def test_a_system_user_token_that_ends_in_five_days(scene: Scene) -> None:
    """A 60-day token near its end is spoken of at the system user, and changes neither result nor exit code."""
    switch_on(scene.world, f"ending={5 * 86400}")
    ran = scene.rig.once()
    assert ended(ran) == (0, "ok")
    user = ran.report["system_users"][0]
    assert (user["verdict"], user["expires_at"] is None) == ("valid", False)
    assert_told(user["problems"], "system-user-expiring", "app-admin", "ends at", "Generate a new one")
    assert actions(ran) == ALL_UNCHANGED
    assert not any(page["problems"] for page in ran.report["pages"])
    table = scene.rig.run("once")
    assert (table.code, "notice system-user-expiring: system user main" in table.stdout) == (0, True)
    scene.assert_nothing_changed()


# Stores.


def test_an_unreachable_vault(scene: Scene) -> None:
    """Where nothing listens every place is failed with what to look after; exit 3."""
    store = vault_store(scene.bao, scene.mount, scene.rig.folder / "vault_token")
    scene.rig.write(stores={"store": {**store, "address": f"http://127.0.0.1:{free_port()}"}})
    ran = scene.rig.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_FAILED)
    assert_stores_told(ran, "unreachable", "cannot be reached", "`address`")
    scene.assert_nothing_changed()


def test_one_of_two_stores_unreachable(empty: Scene) -> None:
    """The store that can be reached is written; only the other one's places have failed; exit 1."""
    good, down = (vault_store(empty.bao, empty.mount, empty.rig.folder / "vault_token") for _ in range(2))
    down["address"] = f"http://127.0.0.1:{free_port()}"
    empty.rig.write(stores={"good": good, "down": down}, defaults={"stores": ["down", "good"]})
    ran = empty.rig.once()
    assert ended(ran) == (1, "degraded")
    targets = [target for page in ran.report["pages"] for target in page["stores"]]
    assert {(p["store"], p["action"], p["served"], p["error_code"]) for p in targets} == {
        ("good", "created", "verified", None),
        ("down", "failed", "stale", "unreachable"),
    }
    assert_stores_told(ran, "unreachable", "cannot be reached")
    assert sorted(empty.everything()) == sorted(empty.ids)


def test_a_sealed_vault(sandbox: Sandbox, tmp_path: Path) -> None:
    """A sealed store is named as such, exit 3; once unsealed the next cycle finds all as it was."""
    (tmp_path / "node").mkdir()
    with raft_node(tmp_path / "node") as node:
        scene = Scene(tmp_path, sandbox, node, node.mount())
        scene.settle()
        node.admin("PUT", "sys/seal")
        ran = scene.rig.once()
        assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_FAILED)
        assert_stores_told(ran, "sealed", "sealed", "Unseal it")
        unseal(node)
        scene.assert_nothing_changed()
        healed = scene.rig.once()
        assert (ended(healed), actions(healed)) == ((0, "ok"), ALL_UNCHANGED)
        scene.assert_nothing_changed()


def test_a_wrong_mount(scene: Scene) -> None:
    """A mount that is not there is named; nothing is made in its place; exit 3."""
    mounts = scene.bao.admin("GET", "sys/mounts")["data"]
    store = vault_store(scene.bao, "no-such-mount", scene.rig.folder / "vault_token")
    scene.rig.write(stores={"store": store})
    ran = scene.rig.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_FAILED)
    assert_stores_told(ran, "no-mount", "no KV engine at the mount", "`mount`")
    assert scene.bao.admin("GET", "sys/mounts")["data"].keys() == mounts.keys()
    scene.assert_nothing_changed()


def test_a_kv_version_1_mount(empty: Scene) -> None:
    """A KV version 1 mount is refused with the way out, and not one request to it could have written; exit 3."""
    old = empty.bao.mount(version=1)
    with fault_proxy(empty.bao.url) as proxy:
        store = vault_store(empty.bao, old, empty.rig.folder / "vault_token")
        empty.rig.write(stores={"store": {**store, "address": proxy.url}})
        ran = empty.rig.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_FAILED)
    assert_stores_told(ran, "kv-v1", "KV version 1", "enable-versioning")
    assert {request.method for request in proxy.requests} == {"GET"}
    assert empty.bao.call("LIST", f"{old}/")[0] == 404


def test_a_kv_version_1_mount_that_may_not_be_looked_at(empty: Scene) -> None:
    """Where the mount's version is not told, the refusal of a patch gives it away before any data is written; exit 1."""
    old = empty.bao.mount(version=1)
    refusal = Reply(403, '{"errors": ["1 error occurred:\\n\\t* permission denied\\n\\n"]}')
    with fault_proxy(empty.bao.url) as proxy:
        proxy.rule = times(100, refusal, "GET", "sys/internal/ui/mounts")
        store = vault_store(empty.bao, old, empty.rig.folder / "vault_token")
        empty.rig.write(stores={"store": {**store, "address": proxy.url}})
        ran = empty.rig.once()
    assert (ended(ran), actions(ran)) == ((1, "degraded"), {("failed", "absent")})
    assert_stores_told(ran, "kv-v1", "KV version 1", "enable-versioning")
    assert proxy.writes() == []
    assert empty.bao.call("LIST", f"{old}/")[0] == 404


def test_a_wrong_vault_token(scene: Scene) -> None:
    """A token that Vault does not know is told from a policy that denies; exit 3."""
    scene.rig.secret("vault_token", "s.wrong")
    ran = scene.rig.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_FAILED)
    assert_stores_told(ran, "login-refused", "does not know the token", "`auth`")
    assert "s.wrong" not in ran.stdout + ran.stderr
    scene.assert_nothing_changed()


def test_a_vault_token_file_that_is_missing(scene: Scene) -> None:
    """A store's missing credential is that store's failure, which names the file; exit 3."""
    (scene.rig.folder / "vault_token").unlink()
    ran = scene.rig.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_FAILED)
    assert_stores_told(ran, "credentials", "vault_token", "no such file", "Store the credential")
    scene.assert_nothing_changed()


def test_a_used_up_secret_id(scene: Scene) -> None:
    """An AppRole's secret id that was used up is a refused login that says what may have happened; exit 3."""
    rules = f'path "{scene.mount}/*" {{ capabilities = ["create", "read", "update", "patch", "list"] }}'
    auth, role, secret = scene.bao.approle(scene.bao.policy(rules), secret_id_num_uses=1)
    scene.bao.admin("POST", f"auth/{auth}/login", {"role_id": role, "secret_id": secret})
    scene.rig.secret("role_id", role)
    scene.rig.secret("secret_id", secret)
    login = {
        "method": "approle",
        "mount": auth,
        "role_id": {"file": str(scene.rig.folder / "role_id")},
        "secret_id": {"file": str(scene.rig.folder / "secret_id")},
    }
    store = vault_store(scene.bao, scene.mount, scene.rig.folder / "vault_token")
    scene.rig.write(stores={"store": {**store, "auth": login}})
    ran = scene.rig.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_FAILED)
    assert_stores_told(ran, "login-refused", "refused the login", "used up")
    assert secret not in ran.stdout + ran.stderr
    scene.assert_nothing_changed()


def test_a_policy_without_patch(empty: Scene) -> None:
    """The marks could not be written, which is found before any data is; the policy's missing line is told; exit 1."""
    rules = f"""
path "{empty.mount}/data/*" {{ capabilities = ["create", "read", "update"] }}
path "{empty.mount}/metadata/*" {{ capabilities = ["read", "list"] }}
"""
    empty.rig.secret("vault_token", empty.bao.token(empty.bao.policy(rules)))
    ran = empty.rig.once()
    assert (ended(ran), actions(ran)) == ((1, "degraded"), {("failed", "absent")})
    assert_stores_told(ran, "denied", '{ capabilities = ["patch"] }', f"{empty.mount}/metadata/meta/pages/")
    assert empty.everything() == {}


def test_a_foreign_secret(scene: Scene) -> None:
    """A secret that is somebody else's is refused and left as it is, while the others go on; exit 1."""
    scene.bao.admin("DELETE", f"{scene.mount}/metadata/meta/pages/paris")
    scene.bao.admin("POST", f"{scene.mount}/data/meta/pages/paris", {"data": {"password": "theirs"}})
    scene.note()
    ran = scene.rig.once()
    target = ran.target("paris")
    assert (ended(ran), target["action"], target["served"]) == ((1, "degraded"), "refused", "foreign")
    assert_told(target["problems"], "secret-foreign", "operator", "never overwritten", "another path")
    assert actions(ran, but="paris") == ALL_UNCHANGED
    assert "theirs" not in ran.stdout
    scene.assert_nothing_changed()


# Pages.


def _one_bad(ran: Ran, verdict: str = "invalid") -> list[Any]:
    """Only paris has a problem; gives what it is told."""
    assert ended(ran) == (1, "degraded")
    assert ran.page("paris")["fetched"] == verdict
    assert actions(ran, but="paris") == ALL_UNCHANGED
    assert not any(page["problems"] for page in ran.report["pages"] if page["name"] != "paris")
    assert ran.target("paris")["action"] == "kept"
    return list(ran.page("paris")["problems"])


def test_a_page_that_is_a_person(scene: Scene) -> None:
    """A person's id is told as such, and the operator is shown where a Page's id is found; exit 1."""
    switch_on(scene.world, "person@paris")
    assert_told(_one_bad(scene.rig.once()), "not-a-page", "operator", "(User)", "Accounts > Pages")
    scene.assert_nothing_changed()


def test_a_page_id_that_does_not_exist(scene: Scene) -> None:
    """Graph does not tell a wrong id from no access, so the remedy names both; nothing is made for it; exit 1."""
    pages = [
        {"id": "999999999999999" if name == "paris" else page_id, "name": name} for name, page_id in scene.ids.items()
    ]
    pages[1]["name"] = "typo"
    scene.rig.write(pages=pages)
    ran = scene.rig.once()
    assert ended(ran) == (1, "degraded")
    assert_told(ran.page("typo")["problems"], "no-access", "business-admin", "999999999999999", "Check the Page's id")
    assert (ran.target("typo")["action"], ran.target("typo")["served"]) == ("kept", "absent")
    assert actions(ran, but="typo") == ALL_UNCHANGED
    assert [orphan["path"] for orphan in ran.report["orphans"]] == ["meta/pages/paris"]
    scene.assert_nothing_changed()


def test_a_migrated_page(empty: Scene) -> None:
    """The new id is in the message for a human to put in place, and is not followed; exit 1."""
    rome = empty.page("rome")
    empty.rig.write(pages=[{"id": i, "name": name} for name, i in empty.ids.items() if name != "rome"])
    empty.settle()
    switch_on(empty.world, f"moved={rome.id}@paris")
    ran = empty.rig.once()
    assert_told(_one_bad(ran), "page-migrated", "operator", rome.id, "new id")
    assert not [token for token in empty.world.tokens.values() if token.page_id == rome.id]
    empty.assert_nothing_changed()


# A thousand Pages.


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, str]]:
    """Return the program before a thousand Pages and a folder; the system user has lost one of them."""
    folder = tmp_path_factory.mktemp("thousand")
    with start(pages=1000) as sandbox:
        bad = sandbox.pages[437]["name"]
        switch_on(sandbox.world, f"unassigned@{bad}")
        yield Rig(folder, sandbox, {"type": "file", "directory": str(folder / "secrets")}), bad


def test_one_bad_page_among_a_thousand(thousand: tuple[Rig, str]) -> None:
    """The other 999 are written and verified, one has no access, exit 1, and Graph was asked little."""
    rig, bad = thousand
    ran = rig.once()
    assert ended(ran) == (1, "degraded")
    assert actions(ran, but=bad) == {("created", "verified")}
    assert_told(ran.page(bad)["problems"], "no-access", "business-admin", "assign the Page")
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
    assert "999 unchanged and verified places are not listed." in shown


def _files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir() if file.is_file()}


def _on_a_terminal(rig: Rig) -> str:
    """Run ``once`` on a terminal of its own, and give what it shows, without colours."""
    ours, theirs = pty.openpty()
    command = [*PROGRAM, "--config", str(rig.file), "once"]
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 65536):
                shown += data
        except OSError:
            pass  # the terminal's other end is closed
        os.close(ours)
        assert process.wait(60) == 1
    return shown.decode().replace("\r\n", "\n")


# Graph.


def test_an_unreachable_graph(scene: Scene) -> None:
    """Stored tokens stay, stale since when they were last judged; nobody acts; exit 3."""
    scene.rig.write(graph={"base_url": f"http://127.0.0.1:{free_port()}", "timeout": "1s"})
    ran = scene.rig.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_KEPT_STALE)
    assert_all_told(ran, "graph-unavailable", "nobody", "graph.base_url")
    assert ran.report["summary"]["graph_requests"] == 3
    scene.assert_nothing_changed()


def test_a_graph_that_answers_html(scene: Scene) -> None:
    """A gateway's page of HTML is no answer about any token: all is kept, and none of it is shown; exit 3."""
    scene.rig.write(graph={"base_url": scene.rig.sandbox.url, "timeout": "1s"})
    switch_on(scene.world, "html=200")
    ran = scene.rig.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_KEPT_STALE)
    assert_all_told(ran, "graph-unavailable", "nobody", "cannot be used", "graph.base_url")
    assert "<html" not in (ran.stdout + ran.stderr).lower()
    scene.assert_nothing_changed()


def test_a_throttled_app(scene: Scene) -> None:
    """The stored tokens stay, Graph is asked no more, and the message has Meta's words; nobody acts; exit 3."""
    switch_on(scene.world, "throttled-app")
    ran = scene.rig.once()
    assert (ended(ran), actions(ran)) == ((3, "failed"), ALL_KEPT_STALE)
    assert_all_told(ran, "throttled", "nobody", "Application request limit reached", "stored tokens stay")
    assert ran.report["summary"]["graph_requests"] == 1
    scene.assert_nothing_changed()
