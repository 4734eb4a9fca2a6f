"""The reference of the log has each field that a line can carry."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.core.report.report import Report
from tests.support.paths import ROOT
from tests.support.reports import GOOD, account, of
from tests.support.values import fetched

ALWAYS = {"timestamp", "level", "event", "cycle"}
MODULES = sorted(
    path
    for path in (ROOT / "sync").rglob("*.py")
    if path.name == "event.py" or re.search(r"\bEvent\(", path.read_text())
)
"""The modules that write lines of the log, and the one of the fields that lines share."""


def documented() -> set[str]:
    """Return the fields of the table, and the counts of a report's summary, to which it refers."""
    page = (ROOT / "docs" / "reference" / "log-events.md").read_text()
    table = page[page.index("## Fields") : page.index("## Levels")]
    names = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    return names | set(report().summary)


def report() -> Report:
    """Return a report."""
    return account(of(fetched(), GOOD))


def fields(tree: ast.AST) -> Iterator[str]:
    """Yield the keys of each mapping that is a line's fields: given to an Event, by a variable or not, or returned."""
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        nodes = list(ast.walk(function))
        events = [node for node in nodes if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Event"]
        given = [argument for event in events for argument in event.args]
        variables = {node.id for value in given for node in ast.walk(value) if isinstance(node, ast.Name)}
        returned = [node.value for node in nodes if isinstance(node, ast.Return) and node.value]
        assigned = [
            node.value
            for node in nodes
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value and target(node) in variables
        ]
        for value in (*given, *returned, *assigned):
            yield from keys(value)


def target(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> str:
    """Return the variable that is assigned to, by its name; empty where it is none."""
    first = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return getattr(first, "id", "")


def keys(value: ast.AST) -> Iterator[str]:
    """Yield the texts that are keys of the mappings in an expression, those of a helper's first argument included."""
    for node in ast.walk(value):
        found: list[ast.expr | None] = []
        if isinstance(node, ast.Dict):
            found = node.keys
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_named":
            found = node.args[:1]
        yield from (one.value for one in found if isinstance(one, ast.Constant) and isinstance(one.value, str))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_field_of_a_line_is_documented(path: Path) -> None:
    """Each field that a module gives to a line of the log is in the reference's table."""
    found = set(fields(ast.parse(path.read_text())))
    assert sorted(found - documented() - ALWAYS) == []


def test_the_fields_of_a_line_are_found() -> None:
    """A field that is given directly, by a variable, by a helper or by a function that returns it is each found."""
    code = """
def line(self):
    fields = {"a": 1, **_named("b", self.names), **({"c": 1} if self else {})}
    fields |= {"d": 2}
    other = {"x": 1}
    return Event("info", "name", fields), Event("info", "name", {"e": other})
def _helper():
    return {"f": 1}
"""
    assert sorted(set(fields(ast.parse(code)))) == ["a", "b", "c", "d", "e", "f", "x"]


def test_the_table_has_no_field_that_no_line_has() -> None:
    """Each field of the table is given by some module, or is a count of the cycle."""
    used = {name for path in MODULES for name in fields(ast.parse(path.read_text()))}
    assert sorted(documented() - used - set(report().summary)) == []
