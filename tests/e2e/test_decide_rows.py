"""Each row of the decide table, shown by ``once`` as a process against a real OpenBao, or moto where the row is AWS's."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.sandbox.api.states import restore_page, switch_on
from sync.sandbox.http.server import Sandbox
from sync.sandbox.world.tokens import REVOKED, fingerprint
from tests.support.rigs.e2e import INSTANCE, Ran, Rig, codes
from tests.support.rigs.vault_program import VaultProgram
from tests.support.services.aws import REGION, Aws, aws, aws_environment, aws_server
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox

__all__ = ["aws", "aws_environment", "aws_server", "bao", "mount", "sandbox"]

pytestmark = pytest.mark.slow


@pytest.fixture
def vault(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path) -> VaultProgram:
    """Return the program with a fresh mount of a real OpenBao."""
    return VaultProgram(tmp_path, sandbox, bao, mount)


def _others_unchanged(ran: Ran, name: str) -> None:
    """Assert that every Page but ``name`` is unchanged."""
    assert {page["stores"][0]["action"] for page in ran.report["pages"] if page["name"] != name} == {"unchanged"}


def test_row_1_a_secret_that_cannot_be_read_is_failed(vault: VaultProgram) -> None:
    """A secret that the policy hides is failed, and its Page stale; the others are unchanged."""
    vault.synced()
    rules = f"""
path "{vault.mount}/data/meta/pages/*" {{ capabilities = ["create", "read", "update"] }}
path "{vault.mount}/data/meta/pages/paris" {{ capabilities = ["deny"] }}
path "{vault.mount}/metadata/meta/pages/*" {{ capabilities = ["create", "read", "update", "patch", "list"] }}
path "{vault.mount}/metadata/meta/pages/paris" {{ capabilities = ["deny"] }}
"""
    vault.secret("vault_token", vault.bao.token(vault.bao.policy(rules)))
    ran = vault.once()
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
def test_row_2_a_secret_that_aws_blocks_is_refused(
    aws: Aws, sandbox: Sandbox, tmp_path: Path, how: str, served: str, problem: str, remedy: str
) -> None:
    """A secret that is scheduled for deletion, and one with a rotation, are refused with a remedy."""
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


def test_row_3_an_interrupted_creation_is_marked(vault: VaultProgram) -> None:
    """An unmarked version 1 with exactly the payload's keys and a proven token is marked; its token stays."""
    vault.put("paris", access_token=vault.token("paris"), page_id=vault.page("paris").id, app_id=vault.sandbox.app_id)
    target = vault.once().target("paris")
    assert (target["action"], target["reason"], target["served"], target["version"]) == (
        "updated",
        "marked",
        "verified",
        "1",
    )
    assert vault.metadata("paris")["custom_metadata"]["instance"] == INSTANCE


def test_row_3_is_kept_while_the_token_is_unknown(vault: VaultProgram) -> None:
    """The same secret is kept while debug_token cannot be asked about its token."""
    vault.put("paris", access_token=vault.token("paris"), page_id=vault.page("paris").id, app_id=vault.sandbox.app_id)
    switch_on(vault.world, "debug-without-data@paris")
    target = vault.once().target("paris")
    assert (target["action"], target["served"]) == ("kept", "foreign")
    assert not vault.metadata("paris")["custom_metadata"]


@pytest.mark.parametrize("whose", ["unmarked", "another instance", "another Page"])
def test_row_4_a_foreign_secret_is_refused(vault: VaultProgram, whose: str) -> None:
    """A secret that is unmarked, another instance's or another Page's is refused and unchanged."""
    vault.synced()
    if whose == "unmarked":
        vault.bao.admin("DELETE", f"{vault.mount}/metadata/meta/pages/paris")
        vault.put("paris", password="theirs")
    elif whose == "another instance":
        vault.mark("paris", instance="somebody-else")
    else:
        vault.mark("paris", page_id="1")
    before = vault.data("paris"), vault.metadata("paris")
    ran = vault.once()
    target = ran.target("paris")
    assert (ran.code, target["action"], target["served"]) == (1, "refused", "foreign")
    assert codes(target["problems"]) == ["secret-foreign"]
    assert (vault.data("paris"), vault.metadata("paris")) == before
    _others_unchanged(ran, "paris")


@pytest.mark.parametrize(
    ("fault", "verdict", "problem"),
    [("unassigned", "invalid", "no-access"), ("debug-without-data", "unknown", "debug-unavailable")],
)
def test_row_5_a_token_that_is_not_proven_changes_nothing(
    vault: VaultProgram, fault: str, verdict: str, problem: str
) -> None:
    """While the fetched token is invalid or unknown the secret is kept, and the stored token is judged too."""
    vault.synced()
    vault.world.unassignment_invalidates_page_tokens = False
    switch_on(vault.world, f"{fault}@paris")
    ran = vault.once()
    page, target = ran.page("paris"), ran.target("paris")
    assert (ran.code, page["fetched"], codes(page["problems"])) == (1, verdict, [problem])
    assert (target["action"], target["version"]) == ("kept", "1")
    assert target["served"] == ("verified" if fault == "unassigned" else "stale")
    _others_unchanged(ran, "paris")


def test_row_6_an_absent_or_empty_secret_is_created(vault: VaultProgram) -> None:
    """Where nothing is stored, or only this instance's marks without a value, the secret is created with its marks."""
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
        "app_id": vault.sandbox.app_id,
    }
    marks = vault.metadata("berlin")["custom_metadata"]
    assert marks["managed-by"] == "page-token-sync"
    assert marks["fingerprint"] == ran.page("berlin")["fingerprint"] == fingerprint(vault.token("berlin"))
    assert marks["system-user-fingerprint"] == fingerprint(vault.sandbox.system_user_token)


def test_row_7_a_deleted_secret_is_recreated(vault: VaultProgram) -> None:
    """Where a person deleted the newest version it is created again over that version, with the reason."""
    vault.synced()
    vault.bao.admin("DELETE", f"{vault.mount}/data/meta/pages/paris")
    ran = vault.once()
    target = ran.target("paris")
    assert (ran.code, target["action"], target["reason"], target["version"]) == (0, "created", "recreated", "2")
    _others_unchanged(ran, "paris")


def test_row_8_a_payload_without_a_token_is_repaired(vault: VaultProgram) -> None:
    """This instance's secret without a token in it is replaced; its other keys are carried over."""
    vault.synced()
    vault.put("paris", note="who took the token?")
    ran = vault.once()
    target = ran.target("paris")
    assert (ran.code, target["action"], target["reason"]) == (0, "replaced", "repair")
    assert vault.data("paris")["note"] == "who took the token?"
    assert vault.data("paris")["access_token"] == vault.token("paris")


def test_row_9_an_idle_cycle_makes_no_version(vault: VaultProgram) -> None:
    """The same token with the wanted payload and marks is unchanged: no new version, and no mark is written."""
    vault.synced()
    before = {page["name"]: vault.metadata(page["name"]) for page in vault.sandbox.pages}
    ran = vault.synced()
    assert {page["stores"][0]["action"] for page in ran.report["pages"]} == {"unchanged"}
    assert {page["name"]: vault.metadata(page["name"]) for page in vault.sandbox.pages} == before


def test_row_10_a_changed_payload_or_label_is_updated(vault: VaultProgram) -> None:
    """A label alone changes the marks without a version; a changed payload makes one, with the same token."""
    vault.synced()
    vault.write(defaults={"labels": {"team": "crm"}})
    labelled = vault.once()
    assert (labelled.code, labelled.target("paris")["action"], labelled.target("paris")["reason"]) == (
        0,
        "updated",
        "labels",
    )
    assert labelled.target("paris")["version"] == "1"
    assert vault.metadata("paris")["custom_metadata"]["label.team"] == "crm"
    payload = {"access_token": "{token}", "page": "{name}"}
    # Every value changes at once, which the brake would hold.
    vault.write(defaults={"labels": {"team": "crm"}, "payload": payload}, brake={"share": "100%"})
    changed = vault.once()
    assert (changed.target("paris")["action"], changed.target("paris")["reason"]) == ("updated", "payload")
    assert (vault.data("paris")["page"], vault.data("paris")["access_token"]) == ("paris", vault.token("paris"))
    assert changed.target("paris")["version"] == "2"


def test_row_11_another_token_that_is_unknown_is_kept(vault: VaultProgram) -> None:
    """A stored token that debug_token cannot be asked about stays, although a valid token was fetched."""
    vault.synced()
    vault.put("paris", access_token=vault.token("rome"), page_id=vault.page("paris").id, app_id=vault.sandbox.app_id)
    switch_on(vault.world, "debug-without-data@rome")
    ran = vault.once()
    page, target = ran.page("paris"), ran.target("paris")
    assert (page["fetched"], target["action"], target["served"]) == ("valid", "kept", "stale")
    assert vault.data("paris")["access_token"] == vault.token("rome")


@pytest.mark.parametrize("how", ["revoked", "another Page's"])
def test_row_12_an_invalid_or_wrong_token_is_healed(vault: VaultProgram, how: str) -> None:
    """A stored token that is invalid, or that is another Page's, is replaced by the proven one."""
    vault.synced()
    if how == "revoked":
        with vault.world.lock:
            vault.world.revoke_page(vault.page("paris"))
    else:
        vault.put(
            "paris", access_token=vault.token("rome"), page_id=vault.page("paris").id, app_id=vault.sandbox.app_id
        )
    ran = vault.once()
    target = ran.target("paris")
    assert (ran.code, target["action"], target["reason"], target["served"]) == (0, "replaced", "heal", "verified")
    assert vault.data("paris")["access_token"] == vault.token("paris")
    _others_unchanged(ran, "paris")


def test_row_13_a_token_of_an_earlier_system_user_token_is_rotated(vault: VaultProgram) -> None:
    """After a new system user token every secret gets a token derived from it, while the old ones still work."""
    vault.synced()
    old = vault.token("paris")
    with vault.world.lock:
        vault.world.rotate(vault.world.user)
    vault.secret("system_user_token", vault.sandbox.system_user_token)
    ran = vault.once()
    assert {(p["stores"][0]["action"], p["stores"][0]["reason"]) for p in ran.report["pages"]} == {
        ("replaced", "rotate")
    }
    assert vault.data("paris")["access_token"] == vault.token("paris") != old
    assert vault.world.invalid_reason(vault.world.tokens[old]) is None


def test_row_13_a_token_that_expires_soon_is_rotated(vault: VaultProgram) -> None:
    """A stored token that expires within twice checks.expires is replaced by one that expires later."""
    switch_on(vault.world, "short-lived=864000@paris")
    vault.synced()
    restore_page(vault.world, vault.page("paris"))
    ran = vault.once()
    assert (ran.target("paris")["action"], ran.target("paris")["reason"]) == ("replaced", "rotate")
    _others_unchanged(ran, "paris")


def test_row_14_labels_change_beside_a_token_that_stays(vault: VaultProgram) -> None:
    """Where Graph returns another string for a token that works, a new label is written and the token stays."""
    vault.synced()
    stored = vault.token("paris")
    switch_on(vault.world, "changing@paris")
    vault.write(defaults={"labels": {"team": "crm"}})
    ran = vault.once()
    target = ran.target("paris")
    assert (ran.code, target["action"], target["reason"], target["served"]) == (0, "updated", "labels", "verified")
    assert vault.data("paris")["access_token"] == stored
    assert vault.metadata("paris")["custom_metadata"]["fingerprint"] == fingerprint(stored)


def test_row_15_another_string_alone_is_no_reason_to_write(vault: VaultProgram) -> None:
    """A token that works is kept although Graph returns another string in every cycle."""
    vault.synced()
    stored = vault.token("paris")
    switch_on(vault.world, "changing@paris")
    for _ in range(2):
        ran = vault.once()
        target = ran.target("paris")
        assert (ran.code, target["action"], target["version"]) == (0, "kept", "1")
        assert target["fingerprint"] == fingerprint(stored) != ran.page("paris")["fingerprint"]
    _others_unchanged(ran, "paris")


def test_an_acknowledged_secret_never_holds_a_revoked_token(vault: VaultProgram) -> None:
    """After a heal the token in the store is valid."""
    vault.synced()
    with vault.world.lock:
        vault.world.tokens[vault.token("paris")].invalid_reason = REVOKED
        vault.page("paris").generation += 1
    assert vault.once().code == 0
    assert vault.world.invalid_reason(vault.world.tokens[vault.data("paris")["access_token"]]) is None
