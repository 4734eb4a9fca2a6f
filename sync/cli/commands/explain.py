"""What each code of this program means, who acts, and what that person does."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from sync.cli.options import Form
from sync.cli.output import console
from sync.cli.output.words import ACTIONS, EXITS, FAILURES, REASONS, SERVED, STORE_FAILURES, Word
from sync.config.errors import CODES
from sync.core.problems import CATALOGUE
from sync.core.report.events import EVENTS

_LIKE = 0.5
"""How like another code a word must be to be taken for a slip of it."""


@dataclass(frozen=True, slots=True)
class Explained:
    """One code; ``kind`` names the list that it is in, since one word may be in two."""

    kind: str
    code: str
    meaning: str
    who: str
    todo: str


def explanations() -> Iterator[Explained]:
    """Give every code of every closed list."""
    for code, entry in CATALOGUE.items():
        yield Explained("problem", code, entry.meaning, entry.who, entry.remedy)
    yield from _words("reason", REASONS)
    yield from _words("action", ACTIONS)
    yield from _words("served", SERVED)
    yield from _words("store failure", STORE_FAILURES)
    for code, meaning in EVENTS.items():
        yield Explained("event", code, meaning, "see actor in the line", "See remedy in the line, where it has one.")
    for code, meaning in CODES.items():
        told = "Each error says where it stands and what would be right: page-token-sync validate."
        yield Explained("configuration error", code, meaning, "operator", told)
    yield from _words("failure", FAILURES)
    yield from _words("exit code", EXITS)
    results = {word.short: word for code, word in EXITS.items() if code in _WITH_RESULT}
    yield from _words("result", results)


_WITH_RESULT = ("0", "1", "3", "4")


def _words(kind: str, words: Mapping[str, Word]) -> Iterator[Explained]:
    return (Explained(kind, code, word.meaning, word.who, word.todo) for code, word in words.items())


def put_explained(code: str | None, form: Form) -> int:
    """Print what a code means, in each list that has it, or all of them; an unknown one is wrong usage."""
    known = list(explanations())
    found = known if code is None else [one for one in known if one.code == code.strip().lower()]
    if not found:
        names = sorted({one.code for one in known})
        close = difflib.get_close_matches((code or "").strip().lower(), names, 1, _LIKE)
        cure = f"did you mean {close[0]}?" if close else "page-token-sync explain lists them all"
        console.put_failure("unknown-code", f"There is no such code: {cure}", form)
        return 2
    if form is Form.JSON:
        console.put_json({"format": 1, "codes": [asdict(one) for one in found]})
    elif code is None:
        console.put_rows(("kind", "code", "meaning"), [(one.kind, one.code, one.meaning) for one in found])
    else:
        for one in found:
            console.put_cause((f"{one.kind} {one.code}", one.meaning, f"Who acts: {one.who}. {one.todo}"))
    return 0
