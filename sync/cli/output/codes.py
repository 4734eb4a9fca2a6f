"""Every code that this program prints, in one list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sync.cli.output.words import ACTIONS, EXITS, FAILURES, REASONS, SERVED, STORE_FAILURES, Word
from sync.config.errors import CODES
from sync.core.problems import CATALOGUE
from sync.core.report.event import EVENTS


@dataclass(frozen=True, slots=True)
class Explained:
    """One code; ``kind`` names the list that it is in, since one word may be in two."""

    kind: str
    code: str
    meaning: str
    owner: str
    remedy: str


def explanations() -> Iterator[Explained]:
    """Yield every code of every closed list."""
    for code, entry in CATALOGUE.items():
        yield Explained("problem", code, entry.meaning, entry.owner, entry.remedy)
    yield from _words("reason", REASONS)
    yield from _words("action", ACTIONS)
    yield from _words("served", SERVED)
    yield from _words("store failure", STORE_FAILURES)
    for code, meaning in EVENTS.items():
        yield Explained(
            "event", code, meaning, "the owner in the line, if any", "Do what the line's remedy says, if it has one."
        )
    for code, meaning in CODES.items():
        remedy = "Run page-token-sync validate: each error has its location and what would be right."
        yield Explained("configuration error", code, meaning, "operator", remedy)
    yield from _words("failure", FAILURES)
    yield from _words("exit code", EXITS)
    results = {word.short: word for code, word in EXITS.items() if code in _WITH_RESULT}
    yield from _words("result", results)


_WITH_RESULT = ("0", "1", "3", "4")


def _words(kind: str, words: Mapping[str, Word]) -> Iterator[Explained]:
    return (Explained(kind, code, word.meaning, word.owner, word.remedy) for code, word in words.items())
