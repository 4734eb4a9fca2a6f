"""The source over real sockets, with connections that drip, hang and break off."""

from __future__ import annotations

import time

import pytest

from sync.core.model import Fetched, Page, SourceError, State, TokenFacts
from sync.core.payload import PayloadTemplate
from sync.core.secret import Secret
from sync.graph.interface import AppCredentials, Source, SystemUserCredentials
from sync.graph.source import GraphSettings, GraphSource
from sync.http import Http
from sync.runtime.threads import SystemClock
from sync.sandbox.api.states import switch_on
from sync.sandbox.http.server import Sandbox, start
from tests.support.graph_stage import ordinary


def source_for(sandbox: Sandbox, timeout: float = 5) -> Source:
    """Return a source with the sandbox's credentials."""
    world = sandbox.world
    return GraphSource(
        http=Http(),
        settings=GraphSettings(base_url=sandbox.url, timeout=timeout),
        apps=[AppCredentials("messenger", world.app.id, Secret(world.app.secret))],
        system_users=[SystemUserCredentials("main", "messenger", Secret(world.user.token))],
        clock=SystemClock(),
    )


def pages_of(sandbox: Sandbox) -> list[Page]:
    """Return the sandbox's Pages as a configuration has them."""
    template = PayloadTemplate.parse("{token}", {})
    app_id = sandbox.world.app.id
    return [
        Page(page.id, page.name, "main", "messenger", app_id, (), template) for page in sandbox.world.pages.values()
    ]


def test_pages_and_facts_over_real_http() -> None:
    """Every token is read from the list and judged by debug_token."""
    with start(pages=120) as sandbox:
        source = source_for(sandbox)
        got = source.read(pages_of(sandbox))
        answered = source.debug("messenger", ordinary(one.token for one in got.values() if isinstance(one, Fetched)))
        assert len(answered) == 120
        assert all(isinstance(one, TokenFacts) and one.is_valid is True for one in answered.values())
        assert source.requests == sandbox.world.calls.requests == sum(source.outcomes.values())
        assert sum(source.calls_by_kind.values()) == source.calls


@pytest.mark.parametrize("fault", ["drip-headers", "drip-body", "hang", "cut", "close"])
def test_a_bad_connection_ends_in_time_with_nothing_concluded(fault: str) -> None:
    """Drips, hangs and cuts cost at most three timeouts, and make nothing valid or invalid."""
    with start(pages=30) as sandbox:
        switch_on(sandbox.world, fault)
        start_time = time.monotonic()
        got = source_for(sandbox, timeout=0.3).read(pages_of(sandbox))
        assert time.monotonic() - start_time < 5
        assert len(got) == 30
        for error in got.values():
            assert isinstance(error, SourceError)
            assert (error.problem.code, error.state) == ("graph-unavailable", State.UNKNOWN)
