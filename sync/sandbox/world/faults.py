"""Faults on demand: what they are called, whom they meet, and how often."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

KINDS = ("node", "ids", "accounts", "assigned_pages", "edge", "debug_token", "oauth", "batch")
"""The kinds of call that a fault may be confined to."""


@dataclass(slots=True)
class Fault:
    """One fault that lasts until it is switched off.

    ``pages`` empty means all calls, else only reads of, and tokens of, these Pages. ``kind`` empty means any call.
    ``times`` None is without end. ``probability`` is of each call that it could meet.
    """

    name: str
    argument: str = ""
    pages: frozenset[str] = frozenset()
    kind: str = ""
    times: int | None = None
    probability: float = 1.0

    @property
    def narrow(self) -> bool:
        """Whether it is meant for single calls, so that in a batch it meets items and not the whole."""
        return bool(self.pages) or self.kind not in ("", "batch")


class Stage(Protocol):
    """What faults need of the world."""

    faults: list[Fault]
    random: random.Random


def draw(
    world: Stage, names: str | frozenset[str], kind: str, pages: Iterable[str] = (), *, item: bool = False
) -> Fault | None:
    """Take the first fault of these names that strikes this call now; its ``times`` goes down."""
    if not world.faults:
        return None
    wanted = {names} if isinstance(names, str) else names
    for fault in world.faults:
        if fault.name in wanted and _meets(fault, kind, pages, item=item) and _strikes(world, fault):
            return fault
    return None


def _meets(fault: Fault, kind: str, pages: Iterable[str], *, item: bool) -> bool:
    if item and not fault.narrow:
        return False
    return fault.kind in ("", kind) and (not fault.pages or not fault.pages.isdisjoint(pages))


def _strikes(world: Stage, fault: Fault) -> bool:
    if fault.times == 0 or (fault.probability < 1 and world.random.random() >= fault.probability):
        return False
    if fault.times is not None:
        fault.times -= 1
    return True
