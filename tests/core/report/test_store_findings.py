"""What an examination says of a store, from what the store answered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sync.core.model import Absent, Content, Key, Stored, StoreError, Use
from sync.core.report.store_findings import STORE_CHECKS, by_reading, secret_findings
from tests.support.values import INSTANCE, KEY, marks, page, payload, stored

CHECKS = ("store-reached", "store-server", "store-login", "store-mount", "store-policy")
PAGE = Use("write", page())
CREDENTIAL = Use("read")
DENIED = StoreError("denied", "Denied.", "Allow it.")
TABLE = [
    (PAGE, stored(), "ok", "1 secret can be read."),
    (PAGE, Absent(), "ok", "1 secret to be created."),
    (PAGE, DENIED, "fail", "Denied."),
    (PAGE, stored(marks=None), "fail", "carries no mark"),
    (PAGE, stored(marks=None, first=True), "ok", "1 secret can be read."),
    (PAGE, stored(marks=marks(instance="other")), "fail", "belongs to the instance 'other'"),
    (PAGE, stored(marks=marks(page_id="9")), "fail", "marked as that of Page 9"),
    (PAGE, stored(blocked="rotation-enabled"), "fail", "rotation of another program"),
    (PAGE, stored(blocked="scheduled-deletion"), "fail", "scheduled for deletion"),
    (PAGE, stored(blocked="replica"), "fail", "is a replica"),
    (PAGE, stored(payload=None, state="deleted"), "warn", "deleted or destroyed"),
    (PAGE, stored(payload=None, state="empty"), "ok", "1 secret can be read."),
    (CREDENTIAL, Stored(payload(), "1", None), "ok", "1 secret can be read."),
    (CREDENTIAL, Absent(), "fail", "does not exist"),
    (CREDENTIAL, Stored(None, "1", None, "deleted"), "fail", "has no value"),
    (CREDENTIAL, DENIED, "fail", "Denied."),
]


@pytest.mark.parametrize(("use", "answer", "status", "text"), TABLE)
def test_one_secret(use: Use, answer: Content, status: str, text: str) -> None:
    """What is wrong with a secret is one finding, with who acts and how."""
    (found,) = secret_findings("vault", {KEY: use}, INSTANCE, {KEY: answer})
    assert (found.id, found.status) == ("store-secrets", status)
    assert text in found.message
    assert found.subject == ("vault" if status == "ok" else "vault meta/pages/berlin")
    assert bool(found.owner) == bool(found.remedy) == (status != "ok")


@pytest.mark.parametrize(
    ("answer", "command"),
    [
        (stored(marks=None), "page-token-sync adopt berlin --store vault."),
        (stored(blocked="rotation-enabled"), "cancel-rotate-secret --secret-id meta/pages/berlin)"),
        (stored(blocked="scheduled-deletion"), "restore-secret --secret-id meta/pages/berlin."),
    ],
)
def test_the_command_of_a_remedy(answer: Stored, command: str) -> None:
    """The command that a remedy has can be copied: it names the Page, the store and the secret."""
    (found,) = secret_findings("vault", {KEY: PAGE}, INSTANCE, {KEY: answer})
    assert command in found.remedy


def test_many_secrets_with_one_problem_are_few_findings() -> None:
    """Of a thousand secrets with one kind of problem a few are listed and the others counted."""
    keys = [Key("vault", f"meta/pages/{number}") for number in range(1000)]
    uses = {key: replace(PAGE, page=page(targets=(key,))) for key in keys}
    *few, rest = secret_findings("vault", uses, INSTANCE, dict.fromkeys(keys, stored(marks=None)))
    assert [one.subject for one in few] == [f"vault {key.path}" for key in keys[:5]]
    assert (rest.subject, rest.status) == ("vault", "fail")
    assert "995 more secrets" in rest.message
    assert "adopt PAGE --store vault" in rest.remedy


@pytest.mark.parametrize(
    ("code", "check"),
    [
        ("unreachable", "store-reached"),
        ("tls", "store-reached"),
        ("sealed", "store-server"),
        ("login-refused", "store-login"),
        ("kv-v1", "store-mount"),
        ("namespace", "store-mount"),
        ("denied", "store-policy"),
    ],
)
def test_a_failure_of_the_whole_store(code: str, check: str) -> None:
    """What comes before the failure is ok, and everything after it is skipped because of it."""
    error = StoreError(code, "It failed.", "Repair it.", whole=True)  # type: ignore[arg-type]
    found = list(by_reading("vault", CHECKS, {KEY: PAGE}, INSTANCE, {KEY: error}))
    at = CHECKS.index(check)
    assert [one.id for one in found] == [*CHECKS, "store-secrets"]
    assert [one.status for one in found] == ["ok"] * at + ["fail"] + ["skipped"] * (len(CHECKS) - at)
    assert {one.because for one in found[at + 1 :]} == {f"{check} vault"}
    assert (found[at].message, found[at].remedy) == ("It failed.", "Repair it.")


def test_a_kind_of_store_without_the_check_that_failed() -> None:
    """An error whose check a kind of store does not have fails its first check."""
    found = list(by_reading("disk", ["store-reached"], {KEY: PAGE}, INSTANCE, {KEY: replace(DENIED, whole=True)}))
    assert [(one.id, one.status) for one in found] == [("store-reached", "fail"), ("store-secrets", "skipped")]


def test_the_checks_are_in_the_order_of_the_list() -> None:
    """The ids that are used here are those of the list, in its order."""
    assert [check for check in STORE_CHECKS if check in CHECKS] == list(CHECKS)
