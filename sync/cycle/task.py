"""What a cycle works on and with, and how a bug of this program is confined to where it occurs."""

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
from sync.core.report.causes import Warned
from sync.graph.interface import Source
from sync.runtime.threads import Clock
from sync.stores.interface import Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Task:
    """What one cycle works on, and what it works with.

    ``pages`` are the whole configuration's, or a selection of them; then ``selected_from`` holds the targets of the whole,
    and the memory of other Pages stays as it is. ``observe``: nothing is written, whatever is decided.
    ``confirm_mass_invalid``: no later cycle of this process can confirm that a mass of tokens is invalid, so that this one
    asks again at once. ``renewal_rules`` are by system user: whose token is to be renewed before it expires.
    ``in_other_stores`` are the targets of the whole configuration as other stores list them that lead to the same part of a
    service. ``begun`` are the stores that have begun this cycle, since a credential was read from them.
    ``is_check``: the daemon looks at the selected Pages between two cycles, and the log goes on from what it had reported of them;
    orphans are not looked for. ``rejected``: the newest edit of the configuration is invalid. ``needs_state_file``: another process cannot judge all Pages in one cycle, and starts from nothing.
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
    in_other_stores: frozenset[Key] = frozenset()
    renewal_rules: Mapping[str, RenewalRule] = field(default_factory=dict)
    needs_state_file: bool = False
    is_check: bool = False
    warnings: tuple[str, ...] = ()
    begun: set[str] = field(default_factory=set)
    orphans: bool = True
    rejected: Warned | None = None


def attempt(work: Callable[[], T], failed: Callable[[str], T]) -> T:
    """Return the result of ``work``; an unexpected exception in it becomes a value, so that other work goes on.

    This is the only ``except Exception`` of the package. ``failed`` gets the exception's class and line, never its text,
    which may hold a secret.
    """
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - the only one, see above
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return failed(f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}")


def graph_bug(where: str) -> SourceError:
    """Return a bug of this program in its work with Graph as an error."""
    message = f"Internal error (a bug in page-token-sync): {where}."
    problem = Problem("unexpected-graph-error", message, remedy="Please report it with this message.")
    return SourceError(problem, scope="graph")


def store_bug(store: str, where: str) -> StoreError:
    """Return a bug of this program in its work with a store as an error."""
    message = f"Internal error (a bug in page-token-sync) at the store {store}: {where}."
    return StoreError("unexpected", message, "Please report it with this message.")
