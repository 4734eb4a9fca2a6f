"""The checksum of a plan, by which a person lets exactly its lines through; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence

from sync.core.judge.decide import Action, Would
from sync.core.model import Key, Page, Stored
from sync.core.plan.guards import FOR_A_PERSON, is_undecided, lost_by_rotation
from sync.core.plan.model import PagePlan, TargetPlan, targets


def checksum(plans: Sequence[PagePlan], *, written: Collection[Key] = ()) -> str | None:
    """Return a hash over the lines that would write, whatever their order; None where there is none.

    A line that waits for a person counts as what it would be, so that the checksum is the same before and after it is let
    through. Lines that could not be decided are named, since they may write once they can be. Lines in ``written`` are done.
    """
    lines: list[str] = []
    undecided: list[tuple[str, str]] = []
    for page, target in targets(plans):
        line = line_checksum(page, target)
        if line is not None and target.key not in written:
            lines.append(line)
        elif line is None and is_undecided(page, target):
            undecided.append((target.key.store, target.key.path))
    return f"sha256:{_hash([sorted(lines), sorted(undecided)])}" if lines else None


def line_checksum(page: PagePlan, target: TargetPlan) -> str | None:
    """Return a hash over what a line would write; None where it would write nothing.

    The token is left out, since each read may give another one. The template, the labels and what applications would lose
    by a rotation count: where one was changed since, it is another line.
    """
    would = _would_write(target.action)
    if would is None:
        return None
    content, key = target.current.content, target.key
    version = content.version if isinstance(content, Stored) else None
    line = [key.store, key.path, would.kind.value, would.reason, version, _beside_token(page.page)]
    # The time of an expiry differs from read to read.
    lost = [text.partition(" at ")[0] for text in lost_by_rotation(page, target)] if would.reason == "rotate" else []
    return _hash([*line, lost] if lost else line)


def _would_write(action: Action) -> Would | None:
    """Return what a line would write now, or once a person lets it through."""
    if action.write is not None:
        return Would(action.kind, action.reason)
    return action.would if action.reason in (*FOR_A_PERSON, "another-plan") else None


def _beside_token(page: Page) -> Sequence[object]:
    fields = page.payload.fields
    return [fields if isinstance(fields, str) else sorted(fields.items()), sorted(page.labels.items())]


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
