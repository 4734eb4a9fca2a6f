"""Injected faults: which calls they apply to, and how often."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

KINDS = ("node", "ids", "accounts", "assigned_pages", "edge", "debug_token", "oauth", "batch")
"""The kinds of call that a fault may be limited to."""


@dataclass(slots=True)
class InjectedFault:
    """One fault that lasts until it is switched off.

    ``pages`` empty means all calls, else only reads of, and tokens of, these Pages. ``kind`` empty means any call; several
    kinds have commas between them.
    ``times`` None means without limit. ``probability`` applies to each call that the fault could change.
    """

    name: str
    argument: str = ""
    pages: frozenset[str] = frozenset()
    kind: str = ""
    times: int | None = None
    probability: float = 1.0

    @property
    def narrow(self) -> bool:
        """Whether it applies to single calls, so that in a batch it changes items and not the whole."""
        return bool(self.pages) or self.kind not in ("", "batch")


class FaultHost(Protocol):
    """The part of the world that faults need."""

    faults: list[InjectedFault]
    random: random.Random


def draw(
    world: FaultHost, names: str | frozenset[str], kind: str, pages: Iterable[str] = (), *, item: bool = False
) -> InjectedFault | None:
    """Return the first fault of these names that applies to this call now, and lower its ``times``."""
    if not world.faults:
        return None
    wanted = {names} if isinstance(names, str) else names
    for fault in world.faults:
        if fault.name in wanted and _meets(fault, kind, pages, item=item) and _strikes(world, fault):
            return fault
    return None


def _meets(fault: InjectedFault, kind: str, pages: Iterable[str], *, item: bool) -> bool:
    if item and not fault.narrow:
        return False
    return (not fault.kind or kind in fault.kind.split(",")) and (not fault.pages or not fault.pages.isdisjoint(pages))


def _strikes(world: FaultHost, fault: InjectedFault) -> bool:
    if fault.times == 0 or (fault.probability < 1 and world.random.random() >= fault.probability):
        return False
    if fault.times is not None:
        fault.times -= 1
    return True
