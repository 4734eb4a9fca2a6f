"""Every code that this program prints can be explained."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest

from sync.cli.output import console
from sync.cli.output.codes import explanations
from sync.cli.output.words import ACTIONS, EXITS, FAILURES, REASONS, SERVED, STORE_FAILURES
from sync.config.errors import CODES
from sync.core.judge.decide import Kind
from sync.core.model import StoreErrorCode
from sync.core.plan.served import Served
from sync.core.problems import CATALOGUE
from sync.core.report.event import EVENTS
from sync.core.report.report import EXIT_CODES
from tests.cli.test_start import run
from tests.support.rigs.cli import on_a_terminal

pytestmark = pytest.mark.slow

REPORTED = {
    "recreated",
    "repair",
    "heal",
    "rotate",
    "marked",
    "payload",
    "labels",
    "marks",
    "hold",
    "rollback",
    "observe",
    "brake",
}

OF_COMMANDS = {
    "absent",
    "another-instance",
    "no-token",
    "no-version",
    "unclear-version",
    "unproven",
    "replicated",
    "not-replaced",
}
"""Why ``adopt``, ``prune`` and ``rollback`` leave a secret as it is."""


def test_no_code_is_left_out() -> None:
    """Each word of each closed list is explained, by a sentence and by what to do."""
    listed = {(one.kind, one.code) for one in explanations()}

    assert set(ACTIONS) == {kind.value for kind in Kind}
    assert set(SERVED) == set(get_args(Served))
    assert set(STORE_FAILURES) == set(get_args(StoreErrorCode))
    assert set(REASONS) == REPORTED | {"weaker", "invalid-once", "proof-lost", "shutdown", "another-plan"} | OF_COMMANDS
    for result, code in EXIT_CODES.items():
        assert EXITS[str(code)].short == result
        assert ("result", result) in listed
    lists = {"problem": CATALOGUE, "event": EVENTS, "configuration error": CODES, "failure": FAILURES}
    for kind, codes in lists.items():
        assert {(kind, code) for code in codes} <= listed
    assert len(listed) == len(list(explanations()))
    for one in explanations():
        assert one.meaning.endswith("."), one
        assert one.remedy.endswith((".", "SUM.")), one
        assert one.owner, one


def test_every_failure_is_of_the_list() -> None:
    """What a command that gives no report says in place of it is a code that can be explained."""
    code = "".join(path.read_text() for path in Path(console.__file__).parents[1].rglob("*.py"))
    assert set(re.findall(r'put_failure\(\s*"([a-z-]+)"', code)) == set(FAILURES)


def test_table_words_are_short() -> None:
    """What a reason means in a table leaves enough width for the other columns of a terminal."""
    assert max(len(word.short) for word in REASONS.values()) <= 36


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("no-access", "problem no-access"),
        ("page_held", "event page_held"),
        ("bad-share", "configuration error bad-share"),
        ("brake", "once --if-plan SUM"),
        ("verified", "served verified"),
        ("4", "exit code 4"),
        ("Kms", "store failure kms"),
    ],
)
def test_a_code_is_explained(code: str, says: str) -> None:
    """The command prints the meaning, the owner and the remedy of a code of any list."""
    ran = run("explain", code)

    assert (ran.code, ran.stderr) == (0, "")
    assert says in ran.stdout
    assert re.search(
        r"^  (Action required \([^)]+\): \S|No action needed: \S|No action needed\.$)", ran.stdout, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("met", "problems", "owner"),
    [
        ("190", ["token-invalid", "system-user-invalid", "no-access"], "nobody"),
        ("190/492", ["no-access", "token-invalid"], "business-admin"),
        ("code 190, subcode 463", ["token-expired"], "nobody"),
        ("190/459", ["policy-blocked"], "app-admin"),
        ("(#100)", ["no-access", "page-migrated", "app-secret-invalid"], "business-admin"),
        ("#100", ["no-access"], "business-admin"),
        ("100/33", ["no-access"], "business-admin"),
        ("(#283) Requires pages_read_engagement permission to manage the object", ["missing-permission"], "app-admin"),
        ("283", ["missing-permission"], "app-admin"),
        ("17", ["throttled"], "nobody"),
        ("80001", ["throttled"], "nobody"),
        ("368", ["policy-blocked"], "app-admin"),
        ("5", ["address-not-allowed"], "app-admin"),
        ("(#131)", ["unexpected-graph-error"], "operator"),
    ],
)
def test_an_error_of_graph_is_explained_as_people_meet_it(met: str, problems: Sequence[str], owner: str) -> None:
    """A code, a code with its subcode, and a whole message lead to the problems that the program makes of them."""
    codes = [one for one in run("explain", met, "--output", "json").report["codes"] if one["kind"] == "Graph error"]

    found = [re.search(r": ([a-z-]+)\. ", one["meaning"])[1] for one in codes]
    assert [code for code in dict.fromkeys(found) if code in problems] == problems
    assert (found[0], codes[0]["owner"]) == (problems[0], owner)


@pytest.mark.parametrize(
    ("code", "kinds"),
    [("4", ["exit code", "Graph error"]), ("exit code 4", ["exit code"]), ("130", ["exit code"]), ("0", ["exit code"])],
)
def test_a_number_is_an_exit_code_an_error_of_graph_or_both(code: str, kinds: Sequence[str]) -> None:
    """An exit code that Graph uses as well has both meanings, and any other one has its own alone."""
    assert [one["kind"] for one in run("explain", code, "--output", "json").report["codes"]] == kinds


@pytest.mark.parametrize(("code", "says"), [("no_access", "problem no-access"), ("page-held", "event page_held")])
def test_a_hyphen_or_an_underscore_is_the_same(code: str, says: str) -> None:
    """Problem codes have hyphens and events have underscores, and nobody remembers which."""
    assert says in run("explain", code).stdout


def test_a_word_of_two_lists_is_explained_twice() -> None:
    """A word that means one thing for Meta and another for a store has both meanings, in JSON too."""
    ran = run("explain", "throttled", "--output", "json")

    assert (ran.report["format"], [one["kind"] for one in ran.report["codes"]]) == (1, ["problem", "store failure"])
    assert set(ran.report["codes"][0]) == {"kind", "code", "meaning", "owner", "remedy"}


def test_all_codes_are_listed() -> None:
    """Without a code all are listed, one a line."""
    ran = run("explain")

    assert ran.code == 0
    assert len(ran.stdout.splitlines()) == 1 + len(list(explanations()))


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("no-acess", "Did you mean no-access?"),
        ("problem_strated", "Did you mean problem_started?"),
        ("xyzzy-42", "page-token-sync explain lists all codes."),
        ("exit code 131", "page-token-sync explain lists all codes."),
    ],
)
def test_an_unknown_code_is_wrong_usage(code: str, says: str) -> None:
    """An unknown code is exit 2, with the nearest known code if one is near."""
    ran = run("explain", code)
    assert (ran.code, ran.stdout) == (2, "")
    assert says in ran.stderr


def test_an_unknown_code_is_one_document() -> None:
    """With --output json an unknown code gives one JSON document."""
    assert run("explain", "x", "--output", "json").report["errors"][0]["code"] == "unknown-code"


def test_the_list_fits_80_columns() -> None:
    """On a terminal the list is as wide as it, and no wider."""
    code, shown = on_a_terminal("explain")
    assert code == 0
    assert max(map(len, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).splitlines())) <= 80
