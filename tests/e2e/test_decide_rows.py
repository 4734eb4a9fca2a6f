"""Each row of the decide table, shown by ``once`` as a process against a real OpenBao, or moto where the row is AWS's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sync.sandbox.api.states import restore_page, switch_on
from sync.sandbox.http.server import Sandbox
from sync.sandbox.world.business import Page
from sync.sandbox.world.tokens import REVOKED, fingerprint
from tests.support.rigs.e2e import INSTANCE, Ran, Rig, codes
from tests.support.services.aws import REGION, Aws, aws, aws_environment, aws_server
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox

__all__ = ["aws", "aws_environment", "aws_server", "bao", "mount", "sandbox"]

pytestmark = pytest.mark.slow


@pytest.fixture
def vault(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path) -> Iterator[Vault]:
    """Return the program with a fresh mount of a real OpenBao."""
    store = {
        "type": "vault",
        "address": bao.url,
        "mount": mount,
        "auth": {"method": "token", "token": {"file": str(tmp_path / "vault_token")}},
    }
    rig = Rig(tmp_path, sandbox, store)
    rig.secret("vault_token", bao.root)
    return Vault(rig, bao, mount)


class Vault:
    """The program, the server behind it, and what a human does to a secret there."""

    def __init__(self, rig: Rig, bao: Bao, mount: str) -> None:
        self.rig = rig
        self.bao = bao
        self.mount = mount
        self.world = rig.sandbox.world

    def page(self, name: str) -> Page:
        """Return a Page of the sandbox."""
        return next(page for page in self.world.pages.values() if page.name == name)

    def token(self, name: str) -> str:
        """Return the token that Graph hands out for a Page now."""
        with self.world.lock:
            return self.world.page_token(self.page(name), self.world.tokens[self.world.user.token], peek=True).value

    def data(self, name: str) -> dict[str, Any]:
        """Read a secret as an app would."""
        status, answer = self.bao.call("GET", f"{self.mount}/data/meta/pages/{name}")
        return dict(answer["data"]["data"]) if status == 200 else {}

    def metadata(self, name: str) -> dict[str, Any]:
        """Read a secret's marks and versions."""
        return dict(self.bao.admin("GET", f"{self.mount}/metadata/meta/pages/{name}")["data"])

    def put(self, name: str, **data: Any) -> None:
        """Write a secret as a human would, over whatever is there."""
        self.bao.admin("POST", f"{self.mount}/data/meta/pages/{name}", {"data": data})

    def mark(self, name: str, **marks: str) -> None:
        """Change marks as a human would."""
        path, body = (
            f"{self.mount}/metadata/meta/pages/{name}",
            {"custom_metadata": {k.replace("_", "-"): v for k, v in marks.items()}},
        )
        self.bao.admin("PATCH", path, body, kind="application/merge-patch+json")

    def synced(self) -> Ran:
        """Run a first cycle, in which all is well."""
        ran = self.rig.once()
        assert (ran.code, ran.report["result"]) == (0, "ok"), ran.stderr + ran.stdout
        return ran


def _others_unchanged(ran: Ran, name: str) -> None:
    """Every Page but ``name`` is as it was."""
    assert {page["stores"][0]["action"] for page in ran.report["pages"] if page["name"] != name} == {"unchanged"}


def test_row_1_a_place_that_cannot_be_read_is_failed(vault: Vault) -> None:
    """A place that the store does not let us read is failed, and its Page stale; the others are as they were."""
    vault.synced()
    rules = f"""
path "{vault.mount}/data/meta/pages/*" {{ capabilities = ["create", "read", "update"] }}
path "{vault.mount}/data/meta/pages/paris" {{ capabilities = ["deny"] }}
path "{vault.mount}/metadata/meta/pages/*" {{ capabilities = ["create", "read", "update", "patch", "list"] }}
path "{vault.mount}/metadata/meta/pages/paris" {{ capabilities = ["deny"] }}
"""
    vault.rig.secret("vault_token", vault.bao.token(vault.bao.policy(rules)))
    ran = vault.rig.once()
    target = ran.target("paris")
    assert (ran.code, target["action"], target["served"], target["error_code"]) == (1, "failed", "stale", "denied")
    assert target["confirmed"] is None
    _others_unchanged(ran, "paris")


@pytest.mark.parametrize(
    ("how", "served", "problem", "remedy"),
    [
        ("deleted", "absent", "secret-deleted", "restore-secret"),
        ("rotated", "foreign", "rotation-enabled", "cancel-rotate-secret"),
    ],
)
def test_row_2_a_secret_that_aws_guards_is_refused(
    aws: Aws, sandbox: Sandbox, tmp_path: Path, how: str, served: str, problem: str, remedy: str
) -> None:
    """A secret scheduled for deletion, and one with a rotation, are refused with what a human must do."""
    store = {
        "type": "aws-secrets-manager",
        "region": REGION,
        "endpoint_url": aws.url,
        "auth": {"profile": "prod"},
    }
    rig = Rig(tmp_path, sandbox, store)
    first = rig.once()
    assert first.code == 0, first.stdout + first.stderr
    if how == "deleted":
        aws.client.delete_secret(SecretId="meta/pages/paris", RecoveryWindowInDays=7)
    else:
        aws.client.rotate_secret(
            SecretId="meta/pages/paris",
            RotationRules={"AutomaticallyAfterDays": 30},
            RotateImmediately=False,
        )
    ran = rig.once()
    target = ran.target("paris")
    assert (ran.code, target["action"], target["served"]) == (1, "refused", served)
    assert codes(target["problems"])[:1] == [problem]
    assert remedy in target["problems"][0]["remedy"]
    _others_unchanged(ran, "paris")


def test_row_3_what_a_crash_of_ours_left_is_marked(vault: Vault) -> None:
    """An unmarked version 1 with exactly our keys and a token proven ours is marked; its token stays."""
    vault.put(
        "paris", access_token=vault.token("paris"), page_id=vault.page("paris").id, app_id=vault.rig.sandbox.app_id
    )
    target = vault.rig.once().target("paris")
    assert (target["action"], target["reason"], target["served"], target["version"]) == (
        "updated",
        "marked",
        "verified",
        "1",
    )
    assert vault.metadata("paris")["custom_metadata"]["instance"] == INSTANCE


def test_row_3_is_kept_while_nothing_can_be_said(vault: Vault) -> None:
    """The same secret is left as it is while Meta cannot be asked about its token."""
    vault.put(
        "paris", access_token=vault.token("paris"), page_id=vault.page("paris").id, app_id=vault.rig.sandbox.app_id
    )
    switch_on(vault.world, "debug-without-data@paris")
    target = vault.rig.once().target("paris")
    assert (target["action"], target["served"]) == ("kept", "foreign")
    assert not vault.metadata("paris")["custom_metadata"]


@pytest.mark.parametrize("whose", ["unmarked", "another instance", "another Page"])
def test_row_4_what_is_not_ours_is_refused(vault: Vault, whose: str) -> None:
    """A secret that is unmarked, another instance's or another Page's is refused and stays as it was."""
    vault.synced()
    if whose == "unmarked":
        vault.bao.admin("DELETE", f"{vault.mount}/metadata/meta/pages/paris")
        vault.put("paris", password="theirs")
    elif whose == "another instance":
        vault.mark("paris", instance="somebody-else")
    else:
        vault.mark("paris", page_id="1")
    before = vault.data("paris"), vault.metadata("paris")
    ran = vault.rig.once()
    target = ran.target("paris")
    assert (ran.code, target["action"], target["served"]) == (1, "refused", "foreign")
    assert codes(target["problems"]) == ["secret-foreign"]
    assert (vault.data("paris"), vault.metadata("paris")) == before
    _others_unchanged(ran, "paris")


@pytest.mark.parametrize(
    ("fault", "verdict", "problem"),
    [("unassigned", "invalid", "no-access"), ("debug-without-data", "unknown", "debug-unavailable")],
)
def test_row_5_a_token_that_is_not_proven_changes_nothing(vault: Vault, fault: str, verdict: str, problem: str) -> None:
    """While the fetched token is invalid or unknown the secret is kept, and the stored token is judged too."""
    vault.synced()
    vault.world.unassignment_kills_page_tokens = False
    switch_on(vault.world, f"{fault}@paris")
    ran = vault.rig.once()
    page, target = ran.page("paris"), ran.target("paris")
    assert (ran.code, page["fetched"], codes(page["problems"])) == (1, verdict, [problem])
    assert (target["action"], target["version"]) == ("kept", "1")
    assert target["served"] == ("verified" if fault == "unassigned" else "stale")
    _others_unchanged(ran, "paris")


def test_row_6_nothing_stored_is_created(vault: Vault) -> None:
    """Where nothing is stored, and where only a container of ours is, the secret is created with its marks."""
    vault.bao.admin(
        "POST",
        f"{vault.mount}/metadata/meta/pages/paris",
        {"custom_metadata": {"managed-by": "page-token-sync", "instance": INSTANCE, "page-id": vault.page("paris").id}},
    )
    ran = vault.synced()
    assert {page["stores"][0]["action"] for page in ran.report["pages"]} == {"created"}
    assert vault.data("paris") == {
        "access_token": vault.token("paris"),
        "page_id": vault.page("paris").id,
        "app_id": vault.rig.sandbox.app_id,
    }
    marks = vault.metadata("berlin")["custom_metadata"]
    assert marks["managed-by"] == "page-token-sync"
    assert marks["fingerprint"] == ran.page("berlin")["fingerprint"] == fingerprint(vault.token("berlin"))
    assert marks["system-user-fingerprint"] == fingerprint(vault.rig.sandbox.system_user_token)


def test_row_7_a_deleted_secret_of_ours_is_recreated(vault: Vault) -> None:
    """Where a human deleted the newest version it is created again over that version, with the reason."""
    vault.synced()
    vault.bao.admin("DELETE", f"{vault.mount}/data/meta/pages/paris")
    ran = vault.rig.once()
    target = ran.target("paris")
    assert (ran.code, target["action"], target["reason"], target["version"]) == (0, "created", "recreated", "2")
    _others_unchanged(ran, "paris")


def test_row_8_a_payload_without_a_token_is_repaired(vault: Vault) -> None:
    """A secret of ours in which an app would find no token is replaced; its other keys are carried over."""
    vault.synced()
    vault.put("paris", note="who took the token?")
    ran = vault.rig.once()
    target = ran.target("paris")
    assert (ran.code, target["action"], target["reason"]) == (0, "replaced", "repair")
    assert vault.data("paris")["note"] == "who took the token?"
    assert vault.data("paris")["access_token"] == vault.token("paris")


def test_row_9_an_idle_cycle_makes_no_version(vault: Vault) -> None:
    """The same token with all as wanted is unchanged: no new version, and no mark is touched."""
    vault.synced()
    before = {page["name"]: vault.metadata(page["name"]) for page in vault.rig.sandbox.pages}
    ran = vault.synced()
    assert {page["stores"][0]["action"] for page in ran.report["pages"]} == {"unchanged"}
    assert {page["name"]: vault.metadata(page["name"]) for page in vault.rig.sandbox.pages} == before


def test_row_10_a_changed_payload_or_label_is_updated(vault: Vault) -> None:
    """A label alone changes the marks and makes no version; a changed payload makes one, with the same token."""
    vault.synced()
    vault.rig.write(defaults={"labels": {"team": "crm"}})
    labelled = vault.rig.once()
    assert (labelled.code, labelled.target("paris")["action"], labelled.target("paris")["reason"]) == (
        0,
        "updated",
        "labels",
    )
    assert labelled.target("paris")["version"] == "1"
    assert vault.metadata("paris")["custom_metadata"]["label.team"] == "crm"
    payload = {"access_token": "{token}", "page": "{name}"}
    # Every value changes at once, which the brake would hold.
    vault.rig.write(defaults={"labels": {"team": "crm"}, "payload": payload}, brake={"share": "100%"})
    changed = vault.rig.once()
    assert (changed.target("paris")["action"], changed.target("paris")["reason"]) == ("updated", "payload")
    assert (vault.data("paris")["page"], vault.data("paris")["access_token"]) == ("paris", vault.token("paris"))
    assert changed.target("paris")["version"] == "2"


def test_row_11_another_token_of_which_nothing_can_be_said_is_kept(vault: Vault) -> None:
    """A stored string that Meta cannot be asked about stays, though a valid token was fetched."""
    vault.synced()
    vault.put(
        "paris", access_token=vault.token("rome"), page_id=vault.page("paris").id, app_id=vault.rig.sandbox.app_id
    )
    switch_on(vault.world, "debug-without-data@rome")
    ran = vault.rig.once()
    page, target = ran.page("paris"), ran.target("paris")
    assert (page["fetched"], target["action"], target["served"]) == ("valid", "kept", "stale")
    assert vault.data("paris")["access_token"] == vault.token("rome")


@pytest.mark.parametrize("how", ["revoked", "another Page's"])
def test_row_12_a_dead_or_wrong_token_is_healed(vault: Vault, how: str) -> None:
    """A stored token that Meta calls invalid, or that is another Page's, is replaced by the proven one."""
    vault.synced()
    if how == "revoked":
        with vault.world.lock:
            vault.world.revoke_page(vault.page("paris"))
    else:
        vault.put(
            "paris", access_token=vault.token("rome"), page_id=vault.page("paris").id, app_id=vault.rig.sandbox.app_id
        )
    ran = vault.rig.once()
    target = ran.target("paris")
    assert (ran.code, target["action"], target["reason"], target["served"]) == (0, "replaced", "heal", "verified")
    assert vault.data("paris")["access_token"] == vault.token("paris")
    _others_unchanged(ran, "paris")


def test_row_13_a_token_of_an_earlier_system_user_token_is_rotated(vault: Vault) -> None:
    """After a new system user token every secret gets a token derived from it, while the old ones still work."""
    vault.synced()
    old = vault.token("paris")
    with vault.world.lock:
        vault.world.rotate(vault.world.user)
    vault.rig.secret("system_user_token", vault.rig.sandbox.system_user_token)
    ran = vault.rig.once()
    assert {(p["stores"][0]["action"], p["stores"][0]["reason"]) for p in ran.report["pages"]} == {
        ("replaced", "rotate")
    }
    assert vault.data("paris")["access_token"] == vault.token("paris") != old
    assert vault.world.ailment(vault.world.tokens[old]) is None


def test_row_13_a_token_that_ends_soon_is_rotated(vault: Vault) -> None:
    """A stored token that ends within twice checks.expires makes way for one that ends later."""
    switch_on(vault.world, "short-lived=864000@paris")
    vault.synced()
    restore_page(vault.world, vault.page("paris"))
    ran = vault.rig.once()
    assert (ran.target("paris")["action"], ran.target("paris")["reason"]) == ("replaced", "rotate")
    _others_unchanged(ran, "paris")


def test_row_14_labels_change_beside_a_token_that_stays(vault: Vault) -> None:
    """Where Graph hands out another string for a token that works, a new label is written and the token stays."""
    vault.synced()
    stored = vault.token("paris")
    switch_on(vault.world, "changing@paris")
    vault.rig.write(defaults={"labels": {"team": "crm"}})
    ran = vault.rig.once()
    target = ran.target("paris")
    assert (ran.code, target["action"], target["reason"], target["served"]) == (0, "updated", "labels", "verified")
    assert vault.data("paris")["access_token"] == stored
    assert vault.metadata("paris")["custom_metadata"]["fingerprint"] == fingerprint(stored)


def test_row_15_another_string_alone_is_no_reason_to_write(vault: Vault) -> None:
    """A token that works is kept though Graph hands out another string in every cycle."""
    vault.synced()
    stored = vault.token("paris")
    switch_on(vault.world, "changing@paris")
    for _ in range(2):
        ran = vault.rig.once()
        target = ran.target("paris")
        assert (ran.code, target["action"], target["version"]) == (0, "kept", "1")
        assert target["fingerprint"] == fingerprint(stored) != ran.page("paris")["fingerprint"]
    _others_unchanged(ran, "paris")


def test_an_acknowledged_secret_never_holds_a_revoked_token(vault: Vault) -> None:
    """After a heal the token in the store is one that Meta calls valid."""
    vault.synced()
    with vault.world.lock:
        vault.world.tokens[vault.token("paris")].ailment = REVOKED
        vault.page("paris").generation += 1
    assert vault.rig.once().code == 0
    assert vault.world.ailment(vault.world.tokens[vault.data("paris")["access_token"]]) is None
