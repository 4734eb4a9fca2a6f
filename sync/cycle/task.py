"""What a cycle works on and with, and how a mistake of ours is kept from spreading."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from sync.core.memory.memory import Memory, Rhythm
from sync.core.memory.renewal import RenewalRule
from sync.core.model import Key, Page, SourceError, StoreError
from sync.core.plan.guards import Brake
from sync.core.problems import Problem
from sync.graph.interface import Source
from sync.runtime.threads import Clock
from sync.stores.interface import Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Task:
    """What one cycle is to work on, and who does what.

    ``pages`` are the whole configuration's, or a selection of them; then ``selected_from`` holds the places of the whole,
    and the memory of other Pages is left alone. ``observe``: nothing is written, whatever is decided. ``asks_twice``: no
    later cycle of this process can hear Meta say a thing a second time, so it is asked again at once. ``refreshes`` says
    by system user whose token is to be renewed before it ends.
    """

    instance: str
    pages: Sequence[Page]
    source: Source
    stores: Mapping[str, Store]
    clock: Clock
    memory: Memory = field(default_factory=Memory)
    rhythm: Rhythm = field(default_factory=Rhythm)
    probe_every: timedelta = timedelta(minutes=15)
    brake: Brake = field(default_factory=Brake)
    observe: bool = False
    confirm_mass_invalid: bool = False
    selected_from: frozenset[Key] | None = None
    renewal_rules: Mapping[str, RenewalRule] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def attempt(work: Callable[[], T], failed: Callable[[str], T]) -> T:
    """Do ``work``; a mistake of ours in it becomes a value, so that it stops no other Page, store or system user.

    This is the only ``except Exception`` of the package. ``failed`` gets the exception's class and place, never its
    text, which may hold a secret.
    """
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - the one place, see above
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return failed(f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}")


def graph_mistake(where: str) -> SourceError:
    """Tell a mistake of ours in what has to do with Graph."""
    message = f"This program made a mistake: {where}."
    problem = Problem("unexpected-graph-error", message, remedy="Report it with this message.")
    return SourceError(problem, scope="graph")


def store_mistake(store: str, where: str) -> StoreError:
    """Tell a mistake of ours in what has to do with a store."""
    message = f"This program made a mistake at the store {store}: {where}."
    return StoreError("unexpected", message, "Report it with this message.")
