"""Edit the daemon's configuration at random, as a ConfigMap is swapped, and check that each edit is in force in time."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

Json = Mapping[str, Any]

IN_FORCE = 5.0
"""Seconds after which a complete edit is in force, unless a cycle runs: it is applied between two cycles."""
SLACK = 5.0
"""More seconds, since other programs use this machine."""


@dataclass
class Edits:
    """The configuration of a soak test, and the newest edit of it.

    ``seen`` is None until the daemon logs what it did with the newest edit. ``is_starting``: a daemon reads it. ``latencies`` are the seconds that each took,
    and how many of them no cycle ran.
    ``history`` has the time of each edit, and whether it was invalid.
    """

    folder: Path
    content: dict[str, Any]
    random: random.Random
    counts: dict[str, int] = field(default_factory=dict)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    history: list[tuple[float, bool]] = field(default_factory=list)
    at: float = 0.0
    is_broken: bool = False
    seen: float | None = 0.0
    is_starting: bool = False
    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    _away: list[dict[str, Any]] = field(default_factory=list)
    _names: frozenset[str] = frozenset()
    _number: int = 0

    def __post_init__(self) -> None:
        self._write(yaml.safe_dump(self.content, sort_keys=False))
        self._names, self.seen = self.names, 0.0

    @property
    def file(self) -> Path:
        """The configuration's path, a link into the folder that is swapped."""
        return self.folder / "config.yaml"

    @property
    def names(self) -> frozenset[str]:
        """The names of the Pages of the newest valid edit."""
        return frozenset(page["name"] for page in self.content["pages"])

    def rejected_at(self, moment: float) -> bool | None:
        """Return whether the newest edit is invalid; None where the daemon had not logged it by then, and a moment longer."""
        return None if self.seen is None or moment - self.seen < SLACK else self.is_broken

    def edit(self) -> str:
        """Make one edit, and return what it is; none while the last one was not seen."""
        if self.seen is None or self.is_starting:
            return ""
        if self.is_broken:
            name = self.restore(pages=False)
        else:
            name = self.random.choice(
                (self._remove, self._add, self._break, self._break, self._label, self._interval)
            )()
        self.counts[name] = self.counts.get(name, 0) + 1
        return name

    def restore(self, *, pages: bool = True) -> str:
        """Make the configuration valid, and with ``pages`` whole; an edit that changes nothing is none."""
        if pages and self._away:
            self.content["pages"] += self._away
            self._away = []
        elif not self.is_broken:
            return ""
        self._write(yaml.safe_dump(self.content, sort_keys=False))
        return "repaired"

    def starting(self) -> None:
        """Note that a new process reads the newest edit; until it has, there is no other, which it may read or not."""
        self.is_starting, self.seen, self._names = True, time.time(), self.names

    def started(self) -> None:
        """Note that a new process has read the newest edit."""
        self.is_starting, self.seen = False, time.time()

    def wrong(self, line: Json, busy: Callable[[float, float], float]) -> Iterator[str]:
        """Yield what is untrue of a line about the configuration.

        ``busy`` returns for how many seconds of a time cycles and checks ran, between which an edit is set in force.
        """
        if self.seen is not None:
            yield f"{line['event']} was logged, and nothing was edited: {line['message']}"
            return
        if _seconds(line["timestamp"]) < self.at:
            # A kill replaced the edit before the line about it was read.
            if (line["event"] == "config_rejected") != any(is_broken for _, is_broken in self.history[-2:-1]):
                yield f"{line['event']} was logged, and the edit before says otherwise"
            return
        self.seen = _seconds(line["timestamp"])
        free = self.seen - self.at - busy(self.at, self.seen)
        self.latencies.append((round(self.seen - self.at, 1), round(free, 1)))
        if free > IN_FORCE + SLACK:
            yield f"{line['event']} came {self.seen - self.at:.1f} s after the edit, {free:.1f} s of them without a cycle"
        if (line["event"] == "config_rejected") != self.is_broken:
            yield f"{line['event']} was logged, and the edit is {'invalid' if self.is_broken else 'valid'}"
        elif self.is_broken and not line.get("errors"):
            yield "config_rejected names no error"
        elif not self.is_broken:
            expected = (self.names - self._names, self._names - self.names)
            found = (frozenset(line.get("pages_added", ())), frozenset(line.get("pages_removed", ())))
            if found != expected or line["page_count"] != len(self.names):
                yield f"config_reloaded names {found} of {line['page_count']} Pages, and that is {expected}"
            self._names = self.names

    def late(self, now: float, busy: Callable[[float, float], float]) -> Iterator[str]:
        """Yield that the newest edit was not seen for too long, once."""
        if self.seen is None and now - self.at - busy(self.at, now) > IN_FORCE + 2 * SLACK:
            self.seen = now
            yield f"an edit was not seen within {now - self.at:.1f} seconds"

    def _remove(self) -> str:
        if len(self._away) >= 2:
            return self._add()
        pages = self.content["pages"]
        self._away.append(pages.pop(self.random.randrange(len(pages))))
        self._write(yaml.safe_dump(self.content, sort_keys=False))
        return "page removed"

    def _add(self) -> str:
        if not self._away:
            return self._label()
        self.content["pages"].append(self._away.pop())
        self._write(yaml.safe_dump(self.content, sort_keys=False))
        return "page added"

    def _label(self) -> str:
        page = self.random.choice(self.content["pages"])
        # An edit that changes nothing is none, and no line follows from it.
        teams = {f"team-{number}" for number in range(10)} - set(page.get("labels", {}).values())
        page["labels"] = {"team": self.random.choice(sorted(teams))}
        self._write(yaml.safe_dump(self.content, sort_keys=False))
        return "label changed"

    def _interval(self) -> str:
        before = self.content["verify_every"]
        self.content["verify_every"] = self.random.choice([text for text in ("20s", "15s", "25s") if text != before])
        self._write(yaml.safe_dump(self.content, sort_keys=False))
        return "verify_every changed"

    def _break(self) -> str:
        content = copy.deepcopy(self.content)
        how = self.random.choice(("half", "unknown key", "page twice", "empty"))
        match how:
            case "half":
                text = yaml.safe_dump(content, sort_keys=False)
                text = text[: len(text) // 2] + "\n  - {"
            case "unknown key":
                text = yaml.safe_dump({**content, "pagse": []}, sort_keys=False)
            case "page twice":
                content["pages"].append(content["pages"][0])
                text = yaml.safe_dump(content, sort_keys=False)
            case _:
                text = ""
        self._write(text, is_broken=True)
        return f"broken: {how}"

    def _write(self, text: str, *, is_broken: bool = False) -> None:
        """Swap the folder as the kubelet does: a new one beside it, then the link ``..data`` is replaced."""
        self._number += 1
        fresh = self.folder / f"..{self._number}"
        fresh.mkdir(parents=True)
        (fresh / "config.yaml").write_text(text)
        link = self.folder / "..data_tmp"
        link.symlink_to(fresh.name)
        link.replace(self.folder / "..data")
        if not self.file.is_symlink():
            self.file.symlink_to("..data/config.yaml")
        self.at, self.is_broken, self.seen = time.time(), is_broken, None
        self.history.append((self.at, is_broken))


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
