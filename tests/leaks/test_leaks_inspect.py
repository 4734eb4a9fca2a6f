"""No secret leaks from ``check`` and ``discover``, whatever Graph answers: all that they print is searched for parts of secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.app import build
from sync.app.discover import discover
from sync.cli.output import check as check_output
from sync.cli.output import discover as discover_output
from sync.cli.output.table import cause_text
from sync.config.load import load
from sync.config.resolve.select import select_page
from sync.core.report.causes import causes
from sync.core.report.inspection import as_json, inspection
from sync.runtime.threads import SystemClock
from sync.sandbox.api.effects import WIRE
from sync.sandbox.api.states import NAMES, switch_on
from sync.sandbox.http.server import start
from tests.leaks.test_leaks import must_not_leak, secrets_of
from tests.support.rigs.cli import file_rig
from tests.support.rigs.e2e import INSTANCE, Ran, Rig

FAULTS = sorted(set(NAMES) - set(WIRE))
"""Those of the wire cost time and send no text of their own."""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Return a configuration of which one Page is not listed, with a short timeout."""
    with start(pages=2) as sandbox:
        rig = file_rig(tmp_path, sandbox)
        first = sandbox.pages[0]
        rig.write(
            graph={"base_url": sandbox.url, "timeout": "200ms"}, pages=[{"id": first["id"], "name": first["name"]}]
        )
        yield rig


def printed(rig: Rig) -> Iterator[str]:
    """Yield all that ``check`` and ``discover`` print, in each form."""
    config, clock = load(rig.file), SystemClock()
    with build(config, clock=clock) as app:
        (page,) = app.look(select_page(config.pages, config.pages[0].name)).pages
        found = inspection(page, instance=INSTANCE, now=clock.now(), fingerprint="0" * 12)
        yield json.dumps(as_json(found))
        yield from (check_output.headline(found), check_output.matched(found) or "")
        for secret in found.secrets:
            yield from check_output.secret_lines(found, secret)
        for cause in causes([found.page], ()):
            yield from cause_text(cause)
        discovered = discover(app, config)
        yield json.dumps(discovered.as_json())
        for texts in (*discover_output.rows(discovered), *discover_output.causes(discovered)):
            yield from texts
        yield from discover_output.yaml_lines(discovered, config.pages, default_user=None)


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_of_graph_leaks_a_secret(rig: Rig, fault: str) -> None:
    """Under each fault of Graph, after a cycle without it, no part of a secret is printed."""
    config = load(rig.file)
    with build(config, clock=SystemClock()) as app:
        app.cycle(write=True)
    switch_on(rig.sandbox.world, fault)
    text = "\n".join(printed(rig))
    must_not_leak(Ran(0, text, ""), secrets_of(rig.sandbox))
