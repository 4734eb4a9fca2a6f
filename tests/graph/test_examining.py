"""What is read to explain a failure: names, owners, assigned Pages and tasks, the Pages of a business."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sync.core.model import SourceError
from sync.core.secret import Secret
from sync.graph.examining import Listing, Node
from sync.graph.interface import AppCredentials
from sync.graph.source import GraphSource
from tests.support.graph_stage import Stage
from tests.support.transport_http import TransportHttp


def listing(found: Listing | SourceError) -> Listing:
    """Return a listing that must be one."""
    assert isinstance(found, Listing), found
    return found


def code(found: object) -> str:
    """Return the problem of an answer that must be an error."""
    assert isinstance(found, SourceError), found
    return found.problem.code


def test_an_app_has_a_name_and_an_owner() -> None:
    """The app's own token reads the app's name and the business that owns it."""
    stage = Stage()
    examiner = stage.source().examiner()
    assert examiner.app_name("messenger") == stage.world.app.name
    assert examiner.app_business("messenger") == stage.world.business_id


def test_a_refused_app_is_closed() -> None:
    """An app whose secret Meta refuses is asked once, and no later call of it is sent."""
    stage = Stage()
    stage.world.app.secret = "0" * 32
    source = stage.source()
    stage.world.app.secret = "1" * 32
    assert code(source.examiner().app_name("messenger")) == "app-secret-invalid"
    sent = len(stage.seen)
    assert source.user_tokens()["main"].verdict.problems[0].code == "app-secret-invalid"
    assert len(stage.seen) == sent


@pytest.mark.parametrize("pages", [0, 3, 250])
def test_assigned_pages_are_read_to_the_end(pages: int) -> None:
    """Every assigned Page is listed with its tasks, at one call for a hundred; an unassigned one is not."""
    stage = Stage(pages + 1)
    first, *others = stage.world.pages.values()
    stage.fault(f"unassigned@{first.name}")
    if others:
        stage.fault(f"tasks=ANALYZE,ADVERTISE@{others[0].name}")
    source = stage.source()
    source.user_tokens()
    sent = len(stage.seen)
    found = listing(source.examiner().assigned_pages("main"))
    assert found.complete
    assert set(found.pages) == {page.id for page in others}
    assert not others or found.pages[others[0].id].tasks == ("ANALYZE", "ADVERTISE")
    assert len(stage.seen) - sent == max(1, -(-pages // 100))


def test_a_business_owns_pages_and_has_others_shared_with_it() -> None:
    """A Page is in one of the two lists; without business_management there is neither, and the app stays open."""
    stage = Stage()
    name = next(iter(stage.world.pages.values())).name
    stage.fault(f"shared@{name}")
    source, business = stage.source(), stage.world.business_id
    owned = listing(source.examiner().business_pages("main", business, owned=True)).pages
    shared = listing(source.examiner().business_pages("main", business, owned=False)).pages
    assert [page.name for page in shared.values()] == [name]
    assert set(owned) | set(shared) == set(stage.world.pages)
    stage.fault("missing-permission=business_management")
    assert code(source.examiner().business_pages("main", business, owned=True)) != "version-sunset"
    assert source.examiner().app_name("messenger") == stage.world.app.name


def test_an_unknown_edge_closes_no_app() -> None:
    """A business that does not exist says nothing about the app."""
    stage = Stage()
    source = stage.source()
    assert isinstance(source.examiner().business_pages("main", "1", owned=True), SourceError)
    assert source.examiner().app_name("messenger") == stage.world.app.name


def test_a_node_has_a_type() -> None:
    """An id is a Page's, a person's, or it is not shown to the system user."""
    stage = Stage()
    berlin, person, *_ = stage.world.pages.values()
    stage.fault(f"person@{person.name}")
    examiner = stage.source().examiner()
    assert examiner.node("main", berlin.id) == Node("page", berlin.name)
    assert examiner.node("main", person.id) == Node("user", person.name)
    assert code(examiner.node("main", "4")) == "no-access"


def test_a_rate_limit_is_recorded() -> None:
    """A throttled list ends the calls of the system user."""
    stage = Stage()
    source = stage.source()
    source.user_tokens()
    stage.fault("throttled-user:assigned_pages")
    assert code(source.examiner().assigned_pages("main")) == "throttled"
    sent = len(stage.seen)
    assert code(source.examiner().business_pages("main", stage.world.business_id, owned=True)) == "throttled"
    assert len(stage.seen) == sent


def test_an_app_that_is_throttled_is_not_called() -> None:
    """A limit that the last cycle met is not run into again."""
    stage = Stage()
    stage.fault("throttled-app")
    source = stage.source()
    source.user_tokens()
    later, sent = stage.source(pools=source.pools), len(stage.seen)
    assert code(later.examiner().app_name("messenger")) == "throttled"
    assert len(stage.seen) == sent


@pytest.mark.parametrize(
    ("answer", "reached"), [("{}", True), ('{"error": {"code": 100, "message": "x"}}', True), ("<html>", False)]
)
def test_graph_is_reached_without_a_token(answer: str, reached: bool) -> None:
    """A refusal in Graph's form is an answer; anything else is not Graph. After that, nothing else is sent."""
    stage = Stage()
    seen: list[httpx.Request] = []

    def transport(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(400 if "error" in answer else 200, text=answer)

    source = GraphSource(
        http=TransportHttp(httpx.MockTransport(transport)),
        settings=stage.settings,
        apps=[AppCredentials("messenger", stage.world.app.id, Secret(stage.world.app.secret))],
        system_users=[],
        clock=stage.clock,
    )
    unreached = source.examiner().reach()
    assert (unreached is None) is reached
    assert {request.headers.get("authorization") for request in seen} == {None}
    assert [request.url.query for request in seen] == [b""] * (1 if reached else 2)
    if not reached:
        assert code(source.examiner().app_name("messenger")) == "graph-unavailable"
        assert len(seen) == 2


ODD: list[Any] = [
    None,
    4,
    [],
    {},
    "x" * 5000,
    "a\x1b[31mb\n",
    {"id": []},
    [None, {"id": 5}, {"id": "7", "name": {}, "tasks": [None, 4]}],
]


@pytest.mark.parametrize("value", ODD, ids=str)
def test_odd_answers_are_shown_safely(value: Any) -> None:
    """Fields of other types count as absent; a text is cut, and has no control characters."""
    stage = Stage()
    source = stage.source()
    source.user_tokens()
    fields = ("name", "owner_business", "metadata", "data", "paging")
    stage.before = lambda _: httpx.Response(200, json=dict.fromkeys(fields, value))
    examiner = source.examiner()
    listed = examiner.assigned_pages("main")
    shown = [examiner.app_name("messenger"), examiner.app_business("messenger"), examiner.node("main", "4"), listed]
    assert all(not isinstance(one, SourceError) for one in shown)
    assert "\\x1b" not in repr(shown)
    assert len(repr(shown)) < 1000
    assert isinstance(listed, Listing)
    assert set(listed.pages) <= {"7"}
