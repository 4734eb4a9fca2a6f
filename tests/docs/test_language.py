"""The words of the project: one term for one thing, and no term that only its authors know.

``docs/glossary.md`` defines the terms of our own. What stands on the left here was called so in early drafts.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

NAMES = {
    r"actor|todo|who_acts": "owner, remedy",
    r"alive_every": "probe_every",
    r"at_least": "min_changes",
    r"system[-_]user[-_]dead|dead[-_]parent": "system-user-invalid",
    r"system[-_]user[-_]ending": "system-user-expiring",
    r"system_user_refreshed|refreshed_at|refresh-failed": "system_user_renewed, renewed_at, renewal-failed",
    r"app-secret-wrong": "app-secret-invalid",
    r"clock-wrong": "clock-skew",
    r"data-access-too-soon": "data-access-expiring",
    r"page_kept|system_user_degraded": "problem_started, problem_ended",
    r"page owner|app admin": "business-admin, app-admin",
    r"crash_of_ours": "is_interrupted_create",
    r"BORNE|NOTED": "MAX_SKEW, WARN_SKEW",
    r"hear_app|Tally": "record_app_usage, RequestStats",
    r"insist|goes_on|asks_twice|spared": "force_verify, continuous, confirm_mass_invalid, exclude",
    r"Scene|Sight|Lesson": "one value for a cycle",
    r"Wish|_Line|Lane": "PendingWrite, HttpFactory, HostPool",
    r"villain|zygote|starving|Deed": "hostile_server, forkserver, no_threads, what it does",
}
"""Names that are used no more, as whole words, each with what it is called now."""

PHRASES = {
    r"rooms?|floors?|wings?|walls?(?! clock)(?!-clock)": "package, layer, module; capacity",
    r"in vain": "failed",
    r"anew": "again",
    r"mend(s|ed|ing)?": "fix",
    r"for ever": "continuously",
    r"time-outs?": "timeout",
    r"per cents?": "percent",
    r"dead|dies|died": "invalid, is revoked",
    r"told|tells?|heard|hears?": "reported, warned, answered, facts",
    r"Meta's (last )?word|word of Meta's": "what debug_token said",
    r"places|(a|the|this|that|each|every|other|another|same|one) place": "secret, target, location, address",
    r"no further with": "not retried",
    r"by hand of|of ours|ours": "this instance's",
    r"vouch(es|ed)?": "confirm",
    r"Who acts|Nobody needs to act": "Action required, No action needed",
}
"""Phrases that a reader would need a dictionary for, as regular expressions of whole words."""

BEGINNINGS = {
    "Give",
    "Gives",
    "Say",
    "Says",
    "Tell",
    "Tells",
    "Name",
    "Names",
    "Take",
    "Takes",
    "Hear",
    "Put",
    "Bear",
    "Know",
}
"""Verbs with which no docstring begins: Return, Check whether, Write, Raise, Read say what a function does."""

ALLOWED = re.compile(
    r"takes? place|in place|took place|foretold|MissingVaultPath|wall[- ]clock"
    # Old keys of the configuration, with the present name on the same line.
    r"|\"(?:alive_every|brake: {at_least|at_least)[\": ].*?(?:probe_every|min_changes)"
    # A fault of the sandbox has this name, and a file object this method.
    r"|(?<!id=)\"dead(=\w+|@\w+)?\"|`dead=SUBCODE`|\.tell\(\)"
)

ANY = re.compile(
    rf"(?<![\w-])(?:{'|'.join([*NAMES, *PHRASES])})(?![\w-])" + rf'|"""(?:{"|".join(sorted(BEGINNINGS))})\b'
)
"""Any word or beginning that is used no more."""


def files() -> Iterator[Path]:
    """Yield every file of the project that a person reads."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        path = ROOT / name
        if path.suffix in (".py", ".md", ".yaml", ".yml") and path != Path(__file__) and path.exists():
            yield path


def findings(path: Path) -> list[str]:
    """Return each line of a file with a word that is used no more."""
    found: list[str] = []
    text = path.read_text(encoding="utf-8")
    # Most files have no such word, and one search of the whole text is much faster than one a line and pattern.
    if not ANY.search(text):
        return found
    for number, line in enumerate(text.splitlines(), 1):
        plain = ALLOWED.sub("", line)
        for pattern, better in {**NAMES, **PHRASES}.items():
            hit = re.search(rf"(?<![\w-])(?:{pattern})(?![\w-])", plain)
            if hit:
                found.append(f"{path.relative_to(ROOT)}:{number}: {hit.group(0)!r}: write {better}")
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                first = (ast.get_docstring(node) or "").split(" ")[0]
                if first in BEGINNINGS:
                    line = getattr(node, "lineno", 1)
                    found.append(
                        f"{path.relative_to(ROOT)}:{line}: docstring begins with {first!r}: write Return, Check whether, Write, ..."
                    )
    return found


FOLDERS = sorted({path.relative_to(ROOT).parts[0] for path in files()})


@pytest.mark.parametrize("folder", FOLDERS)
def test_words(folder: str) -> None:
    """No file uses a word of the early drafts, and no docstring begins with a verb that hides what is done."""
    assert [found for path in files() if path.relative_to(ROOT).parts[0] == folder for found in findings(path)] == []


if __name__ == "__main__":
    wanted = [str(Path(one).resolve()) for one in sys.argv[1:]]
    for path in files():
        if not wanted or any(str(path).startswith(one) for one in wanted):
            print(*findings(path), sep="\n", end="\n" if findings(path) else "")
