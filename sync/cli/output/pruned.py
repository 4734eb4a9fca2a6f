"""What ``prune`` prints: the orphans, what was done with each, and how to restore it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import get_args

from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.core.plan.prune import Pruned, Removal, RemovalKind
from sync.core.report.json import timestamp
from sync.core.report.text import count, some

_COLUMNS = ("store", "secret", "Page", "written", "action", "reason")


def put_pruned(pruned: Pruned, form: Form, *, again: str, done: bool, below: Sequence[str]) -> None:
    """Print the orphans and what was done; ``again`` is the command that deletes them, ``done`` whether this was it.

    ``below`` are the stores of which a part alone is listed, with what the paths there begin with.
    """
    if form is Form.JSON:
        console.put_json(
            {
                "format": 1,
                "secrets": [_json(one) for one in pruned.removals],
                "unlisted": [
                    {"store": name, "message": error.message, "remedy": error.remedy, "error_code": error.error_code}
                    for name, error in pruned.unlisted.items()
                ],
                "warnings": list(pruned.warnings),
            }
        )
        return
    if pruned.removals:
        console.put_rows(_COLUMNS, [_row(one) for one in pruned.removals])
    for name, error in pruned.unlisted.items():
        console.put_block(f"problem store-failed: store {name} could not be listed", error.message, error.remedy)
    console.put_blocks(
        (
            f"{one.action}, {one.reason or one.error_code}",
            f"{one.action}: {one.key.store}:{one.key.path}",
            [one.message, *filter(None, [one.remedy])],
        )
        for one in pruned.removals
        if one.message and one.reason not in ("brake", "observe")
    )
    console.put(*(f"warning: {text}" for text in pruned.warnings), *_summary(pruned, below))
    restore = [one.removed for one in pruned.removals if one.removed is not None]
    if restore:
        console.put("To restore a secret, run its command:")
        console.put_commands([f"  {one.restore}" for one in restore])
    elif not done and any(one.action == "delete" for one in pruned.removals):
        console.put("Nothing was deleted. To delete:")
        console.put_commands([f"  {again}"])


def _summary(pruned: Pruned, below: Sequence[str]) -> Iterator[str]:
    actions = Counter(one.action for one in pruned.removals)
    if not pruned.removals:
        yield "No orphans." if not pruned.unlisted else "No orphans in the stores that could be listed."
        if below:
            yield (
                f"Only secrets that begin with {some(below)} are looked for: "
                "where this part of `path` or `name` was changed, the older secrets are not found."
            )
        return
    counts = ", ".join(f"{actions[action]:,} {_word(action)}" for action in get_args(RemovalKind) if actions[action])
    yield f"{count(len(pruned.removals), 'orphan')}: {counts}."
    for reason in ("brake", "observe"):
        held = next((one for one in pruned.removals if one.reason == reason), None)
        if held is not None:
            yield f"{held.message} {held.remedy}"


def _json(one: Removal) -> dict[str, object]:
    return {
        "store": one.key.store,
        "path": one.key.path,
        "page_id": one.marks.page_id or None,
        "action": one.action,
        "reason": one.reason,
        "version": one.version or None,
        "written_at": one.marks.written_at or None,
        "error_code": one.error_code,
        "message": one.message or None,
        "remedy": one.remedy or None,
        "restore": one.removed.restore if one.removed else None,
        "restorable_until": timestamp(one.removed.until) if one.removed else None,
    }


def _row(one: Removal) -> tuple[str, ...]:
    reason = one.reason or one.error_code or "-"
    return (
        one.key.store,
        one.key.path,
        one.marks.page_id or "-",
        one.marks.written_at[:10] or "-",
        _word(one.action),
        reason,
    )


def _word(action: RemovalKind) -> str:
    return "to delete" if action == "delete" else action
