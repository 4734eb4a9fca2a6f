"""What is reached against what is listed: differences, and what the answer does not know."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sync.core.model import Fetched, SourceError, State
from sync.core.problems import Problem
from sync.core.report.discovery import Edge, Listed, Reached, discovery, to_read
from sync.core.secret import Secret
from tests.support.values import page

GOT = Fetched(Secret("EAA" + "x" * 40))
LOST = SourceError(Problem("no-access", "Graph refuses."), State.INVALID)
DOWN = SourceError(Problem("graph-unavailable", "Nobody answers."), scope="graph")
THROTTLED = SourceError(Problem("throttled", "Too many calls about this Page."))
BERLIN, PARIS = page(id="1", name="berlin"), page(id="2", name="paris")
BOTH = Listed({"1": "Berlin", "2": "Paris"})
NEW = Listed({"1": "Berlin", "2": "Paris", "3": "Rome"})
NONE = Listed({})
REFUSED = Listed({}, DOWN.problem)


def reached(
    read: Mapping[str, Fetched | SourceError],
    *,
    user: str = "main",
    assigned: Listed = NONE,
    accounts: Listed = NONE,
    owned: Listed = NONE,
    shared: Listed = NONE,
) -> Reached:
    """Return what was found of a system user."""
    lists: Mapping[Edge, Listed] = {
        "assigned_pages": assigned,
        "accounts": accounts,
        "owned_pages": owned,
        "client_pages": shared,
    }
    return Reached(user, lists, read)


@pytest.mark.parametrize(
    ("found", "not_listed", "lost", "unknown", "code"),
    [
        (reached({"1": GOT, "2": GOT}, assigned=BOTH), [], [], [], 0),
        (reached({"1": GOT, "2": GOT}, assigned=BOTH, accounts=REFUSED), [], [], [], 0),
        (reached({"1": GOT, "2": GOT, "3": GOT}, assigned=NEW), ["3"], [], [], 1),
        (reached({"1": GOT, "2": GOT, "3": GOT}, assigned=BOTH, accounts=NEW), ["3"], [], [], 1),
        (reached({"1": GOT, "2": LOST}, assigned=BOTH), [], ["2"], [], 1),
        # The list of what is reached may show a part of the Pages: without the other one nothing is known to be whole.
        (reached({"1": GOT, "2": GOT}, assigned=REFUSED, accounts=BOTH), [], [], ["assigned_pages"], 3),
        (
            reached({"1": GOT, "2": GOT, "3": GOT}, assigned=REFUSED, accounts=NEW),
            ["3"],
            [],
            ["assigned_pages"],
            1,
        ),
        # An empty list proves nothing, and neither does one that lacks a Page which can be read.
        (reached({"1": GOT, "2": GOT}), [], [], ["assigned_pages"], 3),
        (reached({"1": GOT, "2": GOT}, assigned=Listed({"1": "Berlin"})), [], [], ["assigned_pages"], 3),
        (reached({"1": GOT, "2": THROTTLED}, assigned=BOTH), [], [], ["page"], 3),
        (reached({"1": DOWN, "2": DOWN}, assigned=BOTH), [], [], ["pages"], 3),
        (reached({"1": DOWN, "2": DOWN}, assigned=REFUSED, accounts=REFUSED), [], [], ["assigned_pages"], 3),
    ],
)
def test_differences(found: Reached, not_listed: list[str], lost: list[str], unknown: list[str], code: int) -> None:
    """A read by id decides about a listed Page; what is not known to be whole is never "nothing differs"."""
    result = discovery([BERLIN, PARIS], [found])
    assert [one.id for one in result.not_listed] == not_listed
    assert [one.id for one in result.lost] == lost
    assert [one.subject for one in result.unknown] == unknown
    assert result.exit_code == code


def test_two_system_users() -> None:
    """A Page that two reach is found once, with the one that can read it; one that another lists is no difference."""
    of_second = page(id="2", name="paris", system_user="second")
    first = reached({"1": GOT, "3": LOST}, assigned=NEW)
    second = reached({"2": GOT, "3": GOT}, user="second", assigned=NEW)
    result = discovery([BERLIN, of_second], [first, second])
    assert [(one.id, one.system_user, one.problem) for one in result.not_listed] == [("3", "second", None)]
    assert result.lost == ()


def test_pages_of_the_business() -> None:
    """A Page that the business owns, and no system user reaches, is no difference; nor is a list of the business that is refused."""
    owned = Listed({"1": "Berlin", "4": "Oslo"})
    found = reached({"1": GOT}, assigned=Listed({"1": "Berlin"}), owned=owned, shared=REFUSED)
    result = discovery([BERLIN], [found])
    assert [(one.id, one.name) for one in result.not_assigned] == [("4", "Oslo")]
    assert [one.subject for one in result.unknown] == ["client_pages"]
    assert result.exit_code == 0


def test_what_is_read_by_id() -> None:
    """Each Page that a list shows and the configuration lacks is read once, whichever list it is in."""
    lists: Mapping[Edge, Listed] = {"assigned_pages": NEW, "accounts": Listed({"3": "Rome", "5": "Oslo"})}
    assert to_read(lists, [BERLIN, PARIS]) == ["3", "5"]


def test_json() -> None:
    """Each difference names the Page, its system user and the problem, if there is one."""
    found = discovery([BERLIN, PARIS], [reached({"1": GOT, "2": LOST, "3": LOST}, assigned=NEW)]).as_json()
    (new,), (lost,) = found["not_listed"], found["lost"]
    assert (found["format"], found["unknown"], found["not_assigned"]) == (1, [], [])
    assert (new["id"], new["name"], new["system_user"], new["problem"]["code"]) == ("3", "Rome", "main", "no-access")
    assert (lost["id"], lost["name"], lost["problem"]["code"]) == ("2", "paris", "no-access")
