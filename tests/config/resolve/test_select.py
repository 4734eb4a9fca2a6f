"""What a selection matches, and its error if it matches nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sync.config.resolve.select import SelectionError, in_one_store, select
from sync.core.model import Key, Page
from tests.support.config_files import GOOD, loaded

TEXT = (
    GOOD.replace(
        "\npages:", "\n  disk: {type: file, directory: out}\ndefaults: {stores: [vault], labels: {tier: gold}}\npages:"
    )
    + """\
  - {id: "2", name: paris, stores: [vault, disk], labels: {team: crm}}
  - {id: "3", name: parma, stores: [disk], labels: {team: "a=b", tier: tin}}
  - {id: "4"}
"""
)


def pages(folder: Path) -> tuple[Page, ...]:
    """Return four Pages in two stores."""
    return loaded(folder, TEXT).pages


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"pages": ["paris"]}, ["paris"]),
        ({"pages": ["par*"]}, ["paris", "parma"]),
        ({"pages": ["parma", "b*"]}, ["berlin", "parma"]),
        ({"pages": ["101010101010101"]}, ["berlin"]),
        ({"pages": ["4"]}, ["4"]),
        ({"pages": ["pari?", "[!p]*"]}, ["berlin", "paris", "4"]),
        ({"labels": ["team=crm"]}, ["paris"]),
        ({"labels": ["team=crm", "team=a=b"]}, ["paris", "parma"]),
        ({"labels": ["tier=gold"]}, ["berlin", "paris", "4"]),
        ({"stores": ["disk"]}, ["paris", "parma"]),
        ({"pages": ["par*"], "labels": ["tier=gold"], "stores": ["disk", "vault"]}, ["paris"]),
        ({}, ["berlin", "paris", "parma", "4"]),
    ],
)
def test_one_value_of_each_option_must_match(tmp_path: Path, given: Mapping[str, Any], expected: list[str]) -> None:
    """A Page must match one value of each option, and the order is that of the configuration."""
    assert [page.name for page in select(pages(tmp_path), **given).pages] == expected


@pytest.mark.parametrize(
    ("page", "store", "expected"),
    [("berlin", None, "vault"), ("parma", None, "disk"), ("paris", "disk", "disk"), (None, "disk", "disk")],
)
def test_the_only_store_need_not_be_named(tmp_path: Path, page: str | None, store: str | None, expected: str) -> None:
    """A Page with one store is selected in it; a store that is given is the one."""
    selected, found = in_one_store(pages(tmp_path), page, store)
    assert found == expected
    assert {key.store for one in selected.pages for key in one.targets} == {expected}
    assert len(selected.named) == 5


@pytest.mark.parametrize(
    ("page", "store", "text"),
    [
        ("paris", None, "There are several stores: add --store vault or --store disk"),
        (None, None, "There are several stores: add --store vault or --store disk"),
        ("parma", "vault", "--store vault: no Page has this store; known: disk"),
        ("paris", "valt", "--store valt: no Page has this store; did you mean vault?"),
        ("pariss", None, "pariss: no Page has this name or id; did you mean paris?"),
    ],
)
def test_one_of_several_stores_must_be_named(tmp_path: Path, page: str | None, store: str | None, text: str) -> None:
    """Which store is meant is not guessed, and the error lists those that there are."""
    with pytest.raises(SelectionError) as error:
        in_one_store(pages(tmp_path), page, store)
    assert str(error.value) == text


def test_store_limits_the_targets(tmp_path: Path) -> None:
    """With --store a Page keeps only its targets in that store, and ``named`` has those of the whole configuration."""
    everything = pages(tmp_path)
    selected = select(everything, pages=["paris"], stores=["disk"])

    assert selected.pages[0].targets == (Key("disk", "paris.json"),)
    assert selected.named == {key for page in everything for key in page.targets}
    assert len(selected.named) == 5


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"pages": ["pariss"]}, "--page pariss: no Page has this name; did you mean paris?"),
        ({"pages": ["paris", "x*"]}, "--page x*: no Page has this name; known: 4, berlin, paris, parma"),
        ({"pages": ["Paris"]}, "--page Paris: no Page has this name; did you mean paris?"),
        ({"pages": [""]}, "--page : no Page has this name; known: 4, berlin, paris, parma"),
        ({"labels": ["team"]}, "--label team: not of the form KEY=VALUE, such as team=crm"),
        ({"labels": ["=crm"]}, "--label =crm: not of the form KEY=VALUE, such as team=crm"),
        ({"labels": ["team=cmr"]}, "--label team=cmr: no Page has this label; did you mean team=crm?"),
        ({"stores": ["valt"]}, "--store valt: no Page has this store; did you mean vault?"),
        (
            {"pages": ["berlin"], "stores": ["disk"]},
            "Nothing is selected: no Page matches --page berlin and --store disk together, although each of them alone matches a Page.",
        ),
    ],
)
def test_value_without_match_is_refused(tmp_path: Path, given: Mapping[str, Any], says: str) -> None:
    """A value that matches nothing is refused with the nearest known value, even if other values match."""
    with pytest.raises(SelectionError) as refused:
        select(pages(tmp_path), **given)
    assert str(refused.value) == says


def test_known_labels_are_shown(tmp_path: Path) -> None:
    """All labels are shown as KEY=VALUE if none is similar."""
    with pytest.raises(SelectionError, match=r"known: team=\?, team=crm, tier=gold, tier=tin"):
        select(pages(tmp_path), labels=["zzz=q"])


def test_no_pages() -> None:
    """A selection from a configuration without Pages is refused."""
    with pytest.raises(SelectionError, match="lists no Pages"):
        select(())
