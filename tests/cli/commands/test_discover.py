"""The command ``discover``: what Graph's lists and reads by id show, and YAML that the configuration takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sync.app import build
from sync.app.discover import discover
from sync.cli.output.discover import causes, rows, summary, yaml_lines
from sync.config.load import load
from sync.core.report.discovery import Discovery, Listed, Reached, discovery
from sync.runtime.threads import SystemClock
from sync.sandbox.api.states import switch_on
from sync.sandbox.http.server import start
from tests.support.rigs.cli import file_rig
from tests.support.rigs.e2e import Rig

PAGES = 120
"""More than one part of a list, and more than one batch."""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Return a configuration that lists two Pages of many."""
    with start(pages=PAGES) as sandbox:
        rig = file_rig(tmp_path, sandbox)
        rig.write(pages=[{"id": page["id"], "name": page["name"]} for page in sandbox.pages[:2]])
        yield rig


def found(rig: Rig) -> Discovery:
    """Ask the sandbox as the command does."""
    config = load(rig.file)
    with build(config, clock=SystemClock()) as app:
        return discover(app, config)


def as_yaml(rig: Rig, discovery: Discovery) -> str:
    """Return the YAML of the command."""
    return "\n".join(yaml_lines(discovery, load(rig.file).pages, default_user="main"))


def test_what_is_not_listed_can_be_pasted(rig: Rig) -> None:
    """Each Page of a long list is found by few requests, and the YAML is taken by the configuration, whatever Pages are called."""
    world = rig.sandbox.world
    odd = [
        "Bäckerei Süß",
        "Bäckerei Süß",
        "東京",
        "null",
        'a" # b\n- {id: "1"}',
        "1984\u2028",
        "🍕",
        rig.sandbox.pages[0]["name"],
    ]
    for page, name in zip(list(world.pages.values())[2:], odd, strict=False):
        page.name = name
    before = world.calls.requests
    first = found(rig)
    assert (len(first.not_listed), first.lost, first.unknown, first.exit_code) == (PAGES - 2, (), (), 1)
    assert world.calls.requests - before < 12
    listed = rig.file.read_text().rstrip("\n") + "\n"
    pasted = listed[: listed.index("pages:")] + "pages:\n"
    rest = [dict(page) for page in yaml.safe_load(listed)["pages"]]
    rig.file.write_text(
        pasted
        + "".join(f'  - {{id: "{one["id"]}", name: {one["name"]}}}\n' for one in rest)
        + as_yaml(rig, first)
        + "\n"
    )
    second = found(rig)
    assert (second.not_listed, second.exit_code) == ((), 0)
    assert as_yaml(rig, second) == "# No Page to add: see page-token-sync discover."
    assert len(load(rig.file).pages) == PAGES


def test_what_is_lost(rig: Rig) -> None:
    """A listed Page that is not assigned any more is lost, with who must act; it is named in each form."""
    switch_on(rig.sandbox.world, f"unassigned@{rig.sandbox.pages[1]['name']}")
    discovery = found(rig)
    name = rig.sandbox.pages[1]["name"]
    assert [(page.name, page.problem and page.problem.code) for page in discovery.lost] == [(name, "no-access")]
    assert rows(discovery)[0] == (name, rig.sandbox.pages[1]["id"], "main", "lost", "no-access")
    assert any(head == f"problem no-access: {name}" for head, _, _ in causes(discovery))
    assert f"  # {name} ({rig.sandbox.pages[1]['id']}) is listed and lost: no-access" in as_yaml(rig, discovery)


@pytest.mark.parametrize("fault", ["unassigned=no-role", "unassigned=object-missing", "capability"])
def test_one_cause_of_many_pages(rig: Rig, fault: str) -> None:
    """A cause that Pages share is printed once, although each answer of Graph has its own text and trace id."""
    switch_on(rig.sandbox.world, fault)
    rig.write(pages=[{"id": page["id"], "name": page["name"]} for page in rig.sandbox.pages])
    discovery = found(rig)
    heads = [head for head, _, _ in causes(discovery)]
    assert len(heads) == len(set(heads)), heads
    assert (len(discovery.lost) == PAGES) is (fault != "capability")
    assert len({(one.subject, one.problem.code) for one in discovery.unknown}) == len(discovery.unknown)


def test_the_remedy_of_an_empty_list() -> None:
    """An empty list leads to what makes it so, and not to the id of a Page."""
    problem = (
        discovery([], [Reached("main", {"assigned_pages": Listed({}), "accounts": Listed({})}, {})]).unknown[0].problem
    )
    assert ("assign the Pages" in problem.remedy, "pages_show_list" in problem.remedy) == (True, True)
    assert "Page's id" not in problem.remedy


@pytest.mark.parametrize("fault", ["listing-empty", "listing-hole", "invalid"])
def test_lists_that_prove_nothing(rig: Rig, fault: str) -> None:
    """An empty list, one with a hole and an invalid token are never reported as "nothing differs"."""
    switch_on(rig.sandbox.world, fault)
    discovery = found(rig)
    assert discovery.lost == ()
    assert discovery.unknown
    assert discovery.exit_code == (1 if discovery.not_listed else 3)
    texts = summary(discovery, load(rig.file).pages, yaml_command="page-token-sync discover --output yaml")
    assert not any(text.startswith("Nothing differs") for text in texts)


def test_pages_of_the_business_that_nobody_is_assigned_to(rig: Rig) -> None:
    """With ``business`` set, the Pages that it owns and no system user reaches are counted."""
    world = rig.sandbox.world
    rig.write(
        system_users={"main": {"token": {"file": str(rig.folder / "system_user_token")}, "business": world.business_id}}
    )
    del world.user.assigned[rig.sandbox.pages[5]["id"]]
    discovery = found(rig)
    assert [page.id for page in discovery.not_assigned] == [rig.sandbox.pages[5]["id"]]
    assert any("1 Page of the business is assigned to no" in text for text in summary(discovery, (), yaml_command=""))


@pytest.mark.slow
def test_the_command(rig: Rig) -> None:
    """The exit code serves CI, each form is printed, and a wrong configuration is exit 2."""
    ran = rig.run("discover", "--output", "json")
    assert (ran.code, len(ran.report["not_listed"]), ran.stderr) == (1, PAGES - 2, "")
    rig.file.write_text("colour: red\n")
    ran = rig.run("discover", "--output", "yaml")
    assert (ran.code, ran.stdout) == (2, "")
