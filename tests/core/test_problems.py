"""The closed list of problems."""

from __future__ import annotations

from typing import get_args

import pytest

from sync.core.problems import CATALOGUE, READ_AGAIN, Owner, Problem

CODES = [
    "token-invalid",
    "token-expired",
    "wrong-type",
    "wrong-app",
    "wrong-page",
    "missing-scope",
    "expires-too-soon",
    "clock-skew",
    "data-access-expiring",
    "no-access",
    "missing-permission",
    "page-not-found",
    "page-migrated",
    "not-a-page",
    "probe-failed",
    "system-user-invalid",
    "system-user-expiring",
    "not-a-system-user",
    "renewal-failed",
    "credential-unavailable",
    "app-secret-invalid",
    "app-blocked",
    "app-capability",
    "app-misconfigured",
    "address-not-allowed",
    "two-factor-required",
    "policy-blocked",
    "throttled",
    "graph-unavailable",
    "debug-unavailable",
    "unexpected-graph-error",
    "version-sunset",
    "secret-foreign",
    "secret-deleted",
    "rotation-enabled",
    "foreign-write",
    "rollback-hold",
    "store-failed",
]


def test_list_is_closed() -> None:
    """Every documented code is in the catalogue, and none besides."""
    assert sorted(CATALOGUE) == sorted(CODES)


@pytest.mark.parametrize("code", CODES)
def test_entry_is_complete(code: str) -> None:
    """Each code has its meaning, its owner and its remedy, in sentences."""
    entry = CATALOGUE[code]
    assert entry.owner in get_args(Owner)
    assert entry.meaning.endswith(".")
    assert entry.remedy
    assert "\n" not in entry.meaning + entry.remedy


@pytest.mark.parametrize("code", CODES)
def test_a_problem_has_owner_and_remedy_of_the_catalogue(code: str) -> None:
    """A problem names its owner and remedy though the code that made it did not."""
    problem = Problem(code, "This one.")
    assert (problem.owner, problem.remedy) == (CATALOGUE[code].owner, CATALOGUE[code].remedy)


def test_owner_and_remedy_of_the_case_come_first() -> None:
    """The owner and remedy of the case replace those of the catalogue."""
    problem = Problem("secret-foreign", "A replica.", owner="app-admin", remedy="Go there.")
    assert (problem.owner, problem.remedy) == ("app-admin", "Go there.")


def test_an_unknown_code_is_an_error() -> None:
    """A problem with a code that is not in the list cannot be made."""
    with pytest.raises(KeyError):
        Problem("surprise", "?")


@pytest.mark.parametrize("code", ["credential-unavailable", "missing-permission", "system-user-invalid"])
def test_remedy_of_a_credential_says_when_it_takes_effect(code: str) -> None:
    """A changed file or store is read in the next cycle, and a changed variable by no process that runs already."""
    assert READ_AGAIN in CATALOGUE[code].remedy
    assert "variable" in READ_AGAIN
    assert "restart" in READ_AGAIN
