"""What notifications and the page may say of each cycle of a soak test, and since when each Page has each problem. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from tools.soak.records import WRITTEN, page_served

Json = Mapping[str, Any]

READING = 2.0
"""Seconds from the start of a cycle until it has read its credentials; both are written as whole seconds."""
_SAME_VALUE = ("labels", "marks")


@dataclass(frozen=True)
class Cycle:
    """What notifications may say of one cycle or check."""

    cycle: str
    started_at: str
    recorded_at: float
    is_check: bool
    result: str
    served: Mapping[str, str]
    owners: Mapping[str, Mapping[str, frozenset[str]]]
    """By the name of each Page, by the code of each of its problems and notices: who must act."""
    of_users: Mapping[str, frozenset[str]]
    users: Mapping[str, str]
    """By the name of each Page: its system user."""
    codes_of_users: Mapping[str, frozenset[str]]
    """By the name of each system user: the codes of its token's problems."""
    written: tuple[Json, ...]


def cycle(record: Json) -> Cycle:
    """Return what is needed of a record."""
    return Cycle(
        record["cycle"],
        record["started_at"],
        record["recorded_at"],
        record["is_check"],
        record["result"],
        {page["name"]: page_served(page) for page in record["pages"]},
        {page["name"]: _owners(_of_page(page)) for page in record["pages"]},
        _owners([one for user in record["system_users"] for one in user["problems"]]),
        {page["name"]: page["system_user"] for page in record["pages"]},
        {user["name"]: frozenset(one["code"] for one in user["problems"]) for user in record["system_users"]},
        tuple(_written(record)),
    )


@dataclass
class Cycles:
    """The cycles of a soak test in order, with the log of each, and after which of them a daemon was killed.

    ``forgot`` are those after which the daemon's memory was deleted.
    """

    found: dict[str, Cycle] = field(default_factory=dict)
    lines: dict[str, Sequence[Json]] = field(default_factory=dict)
    killed: set[str] = field(default_factory=set)
    forgot: set[str] = field(default_factory=set)
    starts: list[float] = field(default_factory=list)
    edits: Sequence[tuple[float, bool]] = ()
    """The time of each edit of the configuration, and whether it is invalid."""

    _runs: dict[tuple[str, str], str] = field(default_factory=dict)
    """Since when each Page has each code in all cycles."""

    def add(self, record: Json) -> None:
        """Add the record of a cycle or a check."""
        of = self.found[record["cycle"]] = cycle(record)
        having = {(name, code) for name, owners in of.owners.items() for code in owners}
        for name, code in [key for key in self._runs if key not in having and (key[0] in of.owners or not of.is_check)]:
            del self._runs[name, code]
        for key in having:
            self._runs.setdefault(key, of.started_at)

    def was_killed(self, *, forgot: bool) -> None:
        """Note that the daemon was killed; what its last cycle found may begin again with the next one."""
        self.killed.add(self.last)
        self.forgot |= {self.last} if forgot else set()
        last = self.found[self.last].started_at if self.last else ""
        self._runs = {} if forgot else {key: since for key, since in self._runs.items() if since < last}

    def wrong_since(self, code: str, names: Sequence[str], since: str, until: str) -> Iterator[str]:
        """Yield that a problem began at another time than a page of the time ``until`` says.

        ``names`` are the Pages that have it. Where they share it, it may have begun with others: then there are none.
        """
        began = [one for one in self.found.values() if is_since(since, [one.started_at])]
        if not any(
            code in one.of_users or any(code in one.owners.get(name, ()) for name in names or one.owners)
            for one in began
        ):
            yield f"it is since {since}, and no cycle found it then"
        shown = seconds(min(since, until))
        late = [name for name in names if shown - seconds(self._runs.get((name, code), until)) > READING]
        if late:
            yield f"it is since {since}, and {late[0]} has it since {self._runs[late[0], code]}"

    @property
    def last(self) -> str:
        """The id of the last one."""
        return next(reversed(self.found), "")


def is_since(since: str, starts: Iterable[str]) -> bool:
    """Check whether a moment is that of a cycle: what it finds is since it has read the credentials."""
    return any(0 <= seconds(since) - seconds(start) <= READING for start in starts)


@cache
def seconds(text: str) -> float:
    """Return a moment as seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def _written(record: Json) -> Iterator[Json]:
    for page in record["pages"]:
        for target in page["stores"]:
            if target["action"] in WRITTEN and target["reason"] not in _SAME_VALUE:
                yield {"page": page["name"], **target}


def _of_page(page: Json) -> list[Json]:
    found = [*page["problems"], *page["notices"]]
    for target in page["stores"]:
        found += [*target["problems"], *target["notices"]]
    return found


def _owners(problems: Sequence[Json]) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for problem in problems:
        found[problem["code"]].add(problem["owner"])
    return {code: frozenset(owners) for code, owners in found.items()}
