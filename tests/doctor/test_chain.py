"""The whole examination, over the sandbox and a file store: what it costs, what it selects, and how it is printed."""

from __future__ import annotations

import ast
import json
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from sync.cli.commands.doctor import repeated
from sync.cli.output import console
from sync.cli.output.doctor import exit_code, sections, summary
from sync.config.load import load
from sync.config.resolve.select import select
from sync.core.report.finding import Finding
from sync.doctor.checks import CHECKS, GROUPS, group
from sync.sandbox.api.states import switch_off
from sync.sandbox.world.quota import Rolling
from tests.doctor.setups import Setup, failed, results, setup
from tests.support.clock import FakeClock
from tests.support.paths import ROOT
from tests.support.rigs.cli import on_a_terminal

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def good(tmp_path: Path) -> Iterator[Setup]:
    """Return a set-up in which nothing is wrong."""
    with setup(tmp_path) as made:
        yield made


def test_nothing_fails_and_nothing_is_written(good: Setup) -> None:
    """A set-up that works has no failure; each Page and the store have their checks, and no file has changed."""
    before = {path: path.stat().st_mtime_ns for path in good.rig.folder.rglob("*")}
    found = good.examine()
    assert failed(found) == []
    assert {path: path.stat().st_mtime_ns for path in good.rig.folder.rglob("*")} == before
    assert {one.subject for one in found if group(one.id) == "Pages"} == {page["name"] for page in good.sandbox.pages}
    assert all(one.id in CHECKS and one.message for one in found)
    (reached,) = [one.message for one in found if one.id == "store-reached"]
    assert reached.startswith("The directory can be read")
    order = list(CHECKS)
    assert [order.index(one.id) for one in found if not one.id.startswith("page-")] == sorted(
        order.index(one.id) for one in found if not one.id.startswith("page-")
    )


def test_a_thousand_good_pages_cost_no_call_each(tmp_path: Path) -> None:
    """The Pages come from lists; debug_token is called in batches, as far as the app's quota allows, and the rest is unknown."""
    with setup(tmp_path, pages=1000) as made:
        made.sandbox.world.quotas.app = Rolling(200)
        found = made.examine()
        assert failed(found) == []
        assert made.sandbox.world.calls.requests < 40
    proofs = [one.status for one in found if one.id == "page-proof"]
    assert len(proofs) == 1000
    assert set(proofs) == {"ok", "unknown"}
    (pages,) = [items for title, items in sections(found) if title == "Pages"]
    assert len(pages) == 2
    assert exit_code(found) == 0


def test_what_is_remembered_as_proven_is_not_asked_again(good: Setup) -> None:
    """With a state file the Page tokens that a cycle proved cost no call of debug_token; the system user's is asked now."""
    good.rig.write(state={"file": str(good.rig.folder / "state.json")})
    assert good.cycle().result == "ok"
    good.sandbox.world.calls.endpoints.clear()
    assert set(results(good.examine(), "ok", "unknown")) >= {
        f"page-proof {page['name']}" for page in good.sandbox.pages
    }
    assert good.sandbox.world.calls.endpoints["debug_token"] == 1


def test_a_token_that_graph_refused_since_is_asked_about_again(good: Setup) -> None:
    """What debug_token said before Graph refused the token itself is no proof, however recent it is."""
    good.rig.write(state={"file": str(good.rig.folder / "state.json")})
    assert good.cycle().result == "ok"
    good.clock.set_by = timedelta(minutes=20)
    good.fault("error:node=190@berlin", "server-error:debug_token=500")
    (berlin,) = [page for page in good.cycle().pages if page.name == "berlin"]
    assert berlin.stores[0].served == "stale"
    switch_off(good.sandbox.world)
    good.sandbox.world.calls.endpoints.clear()
    good.examine()
    assert good.sandbox.world.calls.endpoints["debug_token"] == 2


def test_a_selection_examines_its_pages_and_what_they_need(good: Setup) -> None:
    """Other Pages, system users and stores are left out."""
    name = good.sandbox.pages[0]["name"]
    config = load(good.rig.file)
    found = good.examine(select(config.pages, pages=[name]))
    assert {one.subject for one in found if group(one.id) == "Pages"} == {name}


@pytest.mark.parametrize(
    ("faults", "business", "expected"),
    [
        ((), "", {"page-business berlin": "ok", "page-business paris": "ok", "app-business messenger": "ok"}),
        (("shared@berlin",), "", {"page-business berlin": "warn", "page-business paris": "ok"}),
        (("missing-permission=business_management",), "", {"page-business berlin": "unknown"}),
        ((), "4", {"page-business berlin": "unknown", "app-business messenger": "warn"}),
    ],
    ids=["owns", "shares", "no permission", "another"],
)
def test_a_business_is_examined_where_it_is_configured(
    good: Setup, faults: tuple[str, ...], business: str, expected: dict[str, str]
) -> None:
    """Who owns the app and the Pages is found out, and is unknown where Graph does not show it."""
    token = {"file": str(good.rig.folder / "system_user_token")}
    good.rig.write(system_users={"main": {"token": token, "business": business or good.sandbox.world.business_id}})
    good.fault(*faults)
    found = results(good.examine(), "ok", "warn", "unknown", "fail")
    assert {name: found[name] for name in expected} == expected


def test_a_token_that_becomes_invalid_meanwhile_is_the_cause(good: Setup) -> None:
    """Where the reads of Pages show that the token has expired since it was judged, that is the one failure."""
    world, start = good.sandbox.world, time.time()
    world.tokens[world.user.token].expires_at = int(start) + 100
    world.now = lambda: start + (1000 if "assigned_pages" in world.calls.endpoints else 0)
    found = good.examine()
    assert failed(found) == ["system-user-token main"]
    assert {one.because for one in found if one.status == "skipped"} == {"system-user-token main"}


def test_two_examinations_say_the_same(good: Setup) -> None:
    """An examination that is repeated asks again, and remembers nothing."""
    good.fault("unassigned@berlin")
    assert failed(good.examine()) == failed(good.examine()) == ["page-tasks berlin"]


PAGE_FAILS = [
    Finding("page-tasks", name, "fail", f"The Page {name} is not assigned.", "business-admin", "Assign it.")
    for name in ("berlin", "paris", "rome", "madrid", "lisbon", "vienna")
]
SKIPPED = [
    Finding("page-token", one.subject, "skipped", "Not examined.", because=f"page-tasks {one.subject}")
    for one in PAGE_FAILS
]


def test_the_same_failure_of_many_pages_is_one_line() -> None:
    """Pages with the same failure share a line with three names, and the summary says who must act."""
    good = [Finding("page-proof", f"good-{number}", "ok", "The token is proven.") for number in range(47)]
    found = [*good, *PAGE_FAILS]
    ((title, items),) = sections(found)
    assert title == "Pages"
    assert [item.texts[0].partition(":")[0] for item in items] == [
        "47 Pages with a token that works",
        "page-tasks (berlin, paris, rome and 3 more)",
    ]
    assert items[1].texts[1] == "Action required (business-admin): Assign it."
    assert summary(found) == [
        "Checks: 47 ok, 6 fail.",
        "Action required (business-admin): page-tasks berlin, page-tasks paris, page-tasks rome and 3 more.",
    ]


def test_a_pipe_gets_each_sentence_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe nothing is cut or wrapped; the action stands below its result, and control characters are shown as such."""
    long = "word " * 60
    console.put_items(
        [
            ("fail", (f"page-tasks (berlin): {long}\x1b[31m", "Action required (operator): Do it.")),
            ("ok", ("clock: x",)),
        ]
    )
    assert capsys.readouterr().out.splitlines() == [
        f"  fail    page-tasks (berlin): {long}\\u001b[31m",
        "          Action required (operator): Do it.",
        "  ok      clock: x",
    ]


def test_a_page_whose_tasks_are_unknown_counts_as_working() -> None:
    """What is not ok about a Page with a proven token stands below the Pages that work."""
    found = [
        Finding("page-tasks", "berlin", "unknown", "Not listed.", "nobody", "No action needed."),
        Finding("page-proof", "berlin", "ok", "The token is proven."),
    ]
    ((_, items),) = sections(found)
    assert [item.status for item in items] == ["ok", "unknown"]


def test_what_one_failure_leaves_out_is_one_line() -> None:
    """All checks that are skipped because of one failure are named together."""
    because = "system-user-token main"
    found = [
        Finding(check, "berlin", "skipped", "Not examined.", because=because) for check in ("page-token", "page-proof")
    ]
    ((_, (item,)),) = sections(found)
    assert item.texts == ("page-token, page-proof (berlin): Not examined.",)


def test_what_each_page_leaves_out_itself_is_one_line() -> None:
    """Checks that many Pages skip because of a failure of their own are one line, not one for each Page."""
    found = [
        Finding(
            "page-proof",
            name,
            "skipped",
            f"Not examined, because page-token {name} is not ok.",
            because=f"page-token {name}",
        )
        for name in ("berlin", "paris")
    ]
    ((_, (item,)),) = sections(found)
    assert item.texts == ("page-proof (berlin, paris): Not examined, because page-token is not ok.",)


STORE_OK = Finding("store-reached", "vault", "ok", "x")
PROCESS_OK = Finding("process-user", "", "ok", "x")
UNREACHED = Finding("graph-reached", "", "fail", "x", "nobody", "y")
UNREAD = Finding("page-token", "berlin", "unknown", "x", "nobody", "y")
UNPROVEN = Finding("page-proof", "berlin", "skipped", "x", because="page-token berlin")
SILENT = Finding("system-user-token", "main", "unknown", "x", "nobody", "y")
BEHIND_IT = Finding("page-proof", "berlin", "skipped", "x", because="system-user-token main")
PROVEN = Finding("page-proof", "paris", "ok", "x")
BEHIND = Finding("app-secret", "messenger", "skipped", "x", because="graph-reached")


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([PROCESS_OK, STORE_OK], 0),
        ([Finding("clock", "", "warn", "x", "operator", "y"), STORE_OK], 0),
        ([Finding("page-business", "a", "unknown", "x", "nobody", "y"), STORE_OK], 0),
        ([UNREAD, UNPROVEN, PROVEN, STORE_OK], 0),
        ([UNREAD, UNPROVEN, STORE_OK], 3),
        ([SILENT, BEHIND_IT, STORE_OK], 3),
        ([SILENT, BEHIND_IT, PROVEN, STORE_OK], 0),
        ([PROCESS_OK, UNREACHED, BEHIND, STORE_OK], 1),
        ([PROCESS_OK, UNREACHED, BEHIND], 3),
        ([PROCESS_OK, UNREACHED, BEHIND, Finding("store-reached", "vault", "fail", "x", "operator", "y")], 3),
    ],
)
def test_exit_codes(found: list[Finding], code: int) -> None:
    """A failure counts; where no dependency could be examined, or no Page judged, the examination itself has failed."""
    assert exit_code(found) == code


def test_waiting_ends_when_nothing_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """Examinations are repeated every five seconds; what is waited for is printed when it changes."""
    answers = [[UNREACHED], [UNREACHED], [UNREACHED, PAGE_FAILS[0]], [UNREAD], [STORE_OK], [UNREACHED]]
    clock = FakeClock()
    assert repeated(lambda: answers.pop(0), clock, 120) == [STORE_OK]
    assert clock.slept == [5, 5, 5, 5]
    assert capsys.readouterr().err.splitlines() == [
        "Waiting for graph-reached.",
        "Waiting for graph-reached, page-tasks berlin.",
        "Waiting for page-token berlin.",
    ]


@pytest.mark.parametrize(("wait", "slept"), [(0, []), (7, [5, 2])])
def test_waiting_ends_when_the_time_is_over(wait: float, slept: list[float]) -> None:
    """The last findings are returned, whatever they are; without --wait there is one examination."""
    clock = FakeClock()
    assert repeated(lambda: [UNREACHED], clock, wait) == [UNREACHED]
    assert clock.slept == slept


@pytest.mark.slow
def test_the_command_prints_json_and_a_table(good: Setup) -> None:
    """JSON has each check with every key; on 80 columns no line is longer; a failure is exit 1."""
    good.fault("unassigned@berlin")
    ran = good.rig.run("doctor", "--output", "json")
    assert (ran.code, ran.stderr) == (1, "")
    document = json.loads(ran.stdout)
    assert document["format"] == 1
    keys = {"id", "subject", "status", "message", "owner", "remedy", "because"}
    assert all(set(check) == keys for check in document["checks"])
    (wrong,) = [check for check in document["checks"] if check["status"] == "fail"]
    assert (wrong["id"], wrong["subject"], wrong["owner"]) == ("page-tasks", "berlin", "business-admin")
    code, shown = on_a_terminal("--config", str(good.rig.file), "doctor", env={"NO_COLOR": "1"})
    assert code == 1
    lines = [_ANSI.sub("", line).rstrip() for line in shown.partition("This process")[2].splitlines()]
    assert max(map(len, lines)) <= 80
    assert "  ok      2 Pages with a token that works: paris, rome" in lines


@pytest.mark.slow
def test_a_selection_of_nothing_is_wrong_usage(good: Setup) -> None:
    """A selection that matches nothing is exit 2, and names what there is."""
    ran = good.rig.run("doctor", "--output", "json", "--page", "nobody")
    assert (ran.code, ran.report["errors"][0]["code"]) == (2, "selection")


def test_every_check_is_in_a_group_and_in_a_test() -> None:
    """No check is without a title, and each id is the result that a test expects."""
    assert {check.partition("-")[0] for check in CHECKS} <= set(GROUPS)
    tested = set()
    for folder in ("doctor", "core/report", "stores"):
        for path in (ROOT / "tests" / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    tested.add(node.value.partition(" ")[0])
    assert set(CHECKS) - tested == set()
