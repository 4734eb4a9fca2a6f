"""A table on a narrow terminal: what is copied from it stays whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sync.cli.output.fit import GAP, fitted, shortened
from sync.cli.output.table import COLUMNS
from sync.sandbox.api.states import switch_on
from sync.sandbox.http.server import Sandbox
from tests.support.rigs.cli import file_rig, on_a_terminal
from tests.support.services.graph import sandbox

__all__ = ["sandbox"]

pytestmark = pytest.mark.slow

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ROWS = [
    ("berlin", "vault-prod", "failed", "store error: unreachable", "stale", "-", "-", "store-failed"),
    (
        *("berlin-mitte-brunnenstrasse", "files", "replaced", "rotate: a better token is available", "verified"),
        *("bf3cbdb0aff5 > 0edf72f1cf72", "2027-01-01", "no-access, token-invalid"),
    ),
]


def shown(available: int) -> dict[str, int]:
    """Return the columns that fit, by name, with their widths."""
    return {COLUMNS[target]: width for target, width in fitted(COLUMNS, ROWS, available).items()}


@pytest.mark.parametrize("available", range(20, 180))
def test_no_word_but_a_name_is_broken(available: int) -> None:
    """At any width the table fits, and each column that is shown holds the longest word of its own; names alone are folded."""
    widths = shown(max(available, 27))
    assert sum(widths.values()) + GAP * (len(widths) - 1) <= max(available, 27)
    for target, name in enumerate(COLUMNS):
        longest = max(len(word) for row in ROWS for word in row[target].split())
        if name in widths and name not in ("Page", "store"):
            assert widths[name] >= longest, name


def test_the_least_important_columns_give_way_first() -> None:
    """The expiry of a token goes first, then its fingerprint; Page and problem are always there."""
    assert list(shown(200)) == list(COLUMNS)
    assert list(shown(100)) == [name for name in COLUMNS if name != "expires"]
    assert list(shown(80)) == [name for name in COLUMNS if name not in ("expires", "token")]
    assert list(shown(27)) == ["Page", "problem"]


@pytest.mark.parametrize("available", range(20, 180))
def test_a_reason_has_two_words_a_line_or_is_left_out(available: int) -> None:
    """At any width a reason that is shown is at least 16 wide, so that it is no column of single words."""
    assert shown(available).get("reason", 16) >= 16


def test_fingerprints_are_shortened_before_columns_are_left_out() -> None:
    """Where not every column fits, the first digits of each fingerprint take less width, and other texts stay."""
    short = shortened(COLUMNS, ROWS)
    assert [row[COLUMNS.index("token")] for row in short] == ["-", "bf3cbd > 0edf72"]
    assert [row[:5] for row in short] == [list(row[:5]) for row in ROWS]
    more = [len(fitted(COLUMNS, short, width)) - len(fitted(COLUMNS, ROWS, width)) for width in range(27, 180)]
    assert set(more) == {0, 1}


@pytest.mark.parametrize("columns", [100, 80, 60])
def test_what_a_narrow_terminal_lacks_is_named(columns: int, tmp_path: Path, sandbox: Sandbox) -> None:
    """What is shortened or left out is named under the table, and no line is wider than the terminal."""
    rig = file_rig(tmp_path, sandbox)
    rig.run("once")
    sandbox.world.rotate(sandbox.world.user)
    rig.secret("system_user_token", sandbox.system_user_token)
    switch_on(sandbox.world, "unassigned@lisbon")
    _, terminal = on_a_terminal("--config", str(rig.file), "plan", columns=columns)
    text = CODES.sub("", terminal)
    lines = text.splitlines()
    header = next(line for line in lines if line.startswith("Page  ")).split()
    missing = set(COLUMNS) - {"store", "expires"} - set(header)
    note = re.search(r"Not shown, because the terminal is too narrow: ([^.]*)", " ".join(text.split()))

    assert max(map(len, lines)) <= columns
    assert missing == set(note[1].split(", ") if note else [])
    assert bool(re.search(r"\b[0-9a-f]{6} > [0-9a-f]{6}\b", text)) == ("Shortened, because" in text)


@pytest.mark.parametrize("available", range(90, 180))
def test_a_reason_is_readable_beside_a_fingerprint(available: int) -> None:
    """The reason is at least 20 wide before a fingerprint or an expiry takes any width."""
    assert shown(available)["reason"] >= 20


def test_names_and_reasons_are_folded_before_columns_are_narrow() -> None:
    """The width that is left goes to reason and Page last, and no column is wider than its content."""
    whole = {name: max(len(row[target]) for row in ROWS) for target, name in enumerate(COLUMNS)}
    assert shown(200) == whole
    assert {name for name, width in shown(134).items() if width < whole[name]} <= {"Page", "reason"}


@pytest.mark.parametrize("columns", [80, 50])
def test_two_stores_on_a_narrow_terminal(columns: int, tmp_path: Path, sandbox: Sandbox) -> None:
    """With two stores nothing is wider than the terminal, and fingerprints and codes can be copied, or are left out."""
    rig = file_rig(tmp_path, sandbox)
    token = {"file": str(tmp_path / "app_secret")}
    closed = {"type": "vault", "address": "http://127.0.0.1:1", "auth": {"method": "token", "token": token}}
    rig.write(stores={"vault-prod": closed, "files": dict(rig.store)}, defaults={"stores": ["vault-prod", "files"]})
    rig.run("once")
    sandbox.world.rotate(sandbox.world.user)
    rig.secret("system_user_token", sandbox.system_user_token)
    switch_on(sandbox.world, "unassigned@lisbon")
    piped = rig.run("plan").stdout
    code, terminal = on_a_terminal("--config", str(rig.file), "plan", columns=columns)
    lines = CODES.sub("", terminal).splitlines()
    table = "\n".join(lines[next(target for target, text in enumerate(lines) if text.startswith("Page  ")) :])

    assert code == 1
    assert max(map(len, table.splitlines())) <= columns
    assert len(re.findall(r"\bstore-failed\b", table.split("problem store-failed")[0])) == 5
    assert len(re.findall(r"\b(?:verified|stale|broken)\b", table.split("\n\n")[0])) == 10
    prints = set(re.findall(r"\b[0-9a-f]{12}\b", piped))
    assert len(prints) == 9
    left_out = re.search("too narrow: ([^.]*)", " ".join(table.split()))
    assert prints <= set(re.findall(r"\b[0-9a-f]{12}\b", table)) or (left_out and "token" in left_out[1])
