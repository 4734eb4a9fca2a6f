"""Every code that this program prints, in one list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from sync.cli.output.words import ACTIONS, EXITS, FAILURES, REASONS, SERVED, STORE_FAILURES, Word
from sync.config.errors import CODES
from sync.core.judge.verify import refused
from sync.core.model import GraphErrorFacts, TokenFacts
from sync.core.problems import CATALOGUE
from sync.core.report.event import EVENTS
from sync.doctor.checks import CHECKS
from sync.graph.errors import Where
from sync.graph.lookup import Met, Reading, readings


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
    for code, meaning in CHECKS.items():
        remedy = "Run page-token-sync doctor: a check that fails has its remedy."
        yield Explained("check", code, f"Check of doctor: {meaning}", "the owner of the failed check", remedy)
    yield from _words("failure", FAILURES)
    yield from _words("exit code", EXITS)
    results = {word.short: word for code, word in EXITS.items() if code in _WITH_RESULT}
    yield from _words("result", results)


_CALLS: Mapping[Where, str] = {
    "page": "a Page is read with the system user token",
    "debug": "debug_token is called with the app's token",
    "probe": "GET /me is called with a stored Page token",
    "renew": "the system user token is renewed",
}
_OF_TOKENS = frozenset({102, 190, 452})
"""The codes that debug_token gives as its answer about a token."""
_INVALID = ("token-invalid", "token-expired")
_READ_AGAIN = "An app that gets this error reads its secret again."


class _Effect(NamedTuple):
    """A problem that an error of Graph's leads to, under which name; owner and remedy are empty where the problem's apply."""

    problem: str
    owner: str
    remedy: str
    name: str


def graph_explanations(met: Met) -> Iterator[Explained]:
    """Yield what an error of Graph's leads to, by the call that met it; the first one begins with what the code means."""
    calls: dict[_Effect, list[str]] = {}
    for effect, when in _effects(met):
        calls.setdefault(effect, []).append(when)
    meaning = met.meaning or "This version does not know the code."
    for effect, (first, *others) in calls.items():
        entry = CATALOGUE[effect.problem]
        when = "; or ".join([first, *(f"{text[:1].lower()}{text[1:]}" for text in others)])
        again = effect.problem in _INVALID and met.code in _OF_TOKENS
        remedy = f"{entry.remedy} {_READ_AGAIN}" if again else effect.remedy or entry.remedy
        text = f"{meaning} {when}: {effect.problem}. {entry.meaning}".strip()
        yield Explained("Graph error", effect.name, text, effect.owner or entry.owner, remedy)
        meaning = ""


def _effects(met: Met) -> Sequence[tuple[_Effect, str]]:
    """Return each problem that the error leads to, with the calls in which it does, the likeliest first."""
    rows = readings(met)
    found = [(_Effect(one.row.problem, one.row.owner, one.row.remedy, _name(met, one)), _when(one)) for one in rows]
    if met.code in _OF_TOKENS:
        error = GraphErrorFacts(met.code, met.subcode)
        facts = TokenFacts(datetime(1970, 1, 1, tzinfo=UTC), is_valid=False, error=error)
        problem = refused(facts, datetime.now(UTC), "stored").code
        # What a call makes of this very subcode comes before what debug_token says of the token.
        of_subcode = met.subcode is not None and bool(rows) and bool(rows[0].row.subcodes)
        at = 1 if of_subcode and rows[0].row.problem != problem else 0
        found.insert(at, (_Effect(problem, "", "", met.name), "When debug_token says so of a stored token"))
    return found or [(_Effect("unexpected-graph-error", "", "", met.name), "In any call")]


def _when(one: Reading) -> str:
    if len(one.where) == len(_CALLS):
        return f"In any call{one.condition and f', where {one.condition}'}"
    return f"When {' or '.join(_CALLS[where] for where in one.where)}{one.condition and f', and {one.condition}'}"


def _name(met: Met, one: Reading) -> str:
    return met.name if met.subcode is not None or not one.subcodes else f"{met.code}/{'|'.join(map(str, one.subcodes))}"


_WITH_RESULT = ("0", "1", "3", "4")


def _words(kind: str, words: Mapping[str, Word]) -> Iterator[Explained]:
    return (Explained(kind, code, word.meaning, word.owner, word.remedy) for code, word in words.items())
