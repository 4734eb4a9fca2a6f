"""What an examination finds out about a directory and its files; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from sync.core.model import Content, Key, StoreError, Use
from sync.core.report.finding import Finding
from sync.core.report.store_findings import by_reading, failure, skipped
from sync.core.report.text import count

CORRECTS = "A cycle that writes corrects this user's"
BY_OWNER = "a folder of another user must be corrected by its owner: chmod go-w."


def file_findings(
    store: str,
    uses: Mapping[Key, Use],
    instance: str,
    answers: Mapping[Key, Content],
    refused: Mapping[Key, StoreError],
    *,
    others_may: str,
) -> Iterator[Finding]:
    """Yield what reading the files shows, and what the rights of their folders refuse, where anything is written.

    ``others_may`` is a sentence about files that other users may read or replace; empty where there are none.
    """
    reached, *others = by_reading(store, ("store-reached",), uses, instance, answers)
    if reached.status == "ok":
        reached = replace(reached, message="The directory can be read, or is created by the first write.")
    yield reached
    if any(use.access != "read" for use in uses.values()):
        if reached.status == "ok":
            yield _rights(store, list(refused.values()), others_may)
        else:
            yield from skipped(("store-policy",), reached)
    yield from others


def _rights(store: str, refused: list[StoreError], others_may: str) -> Finding:
    if not refused and others_may:
        return Finding("store-policy", store, "warn", others_may, "operator", f"{CORRECTS}; {BY_OWNER}")
    if not refused:
        return Finding("store-policy", store, "ok", "This user may write the files, or create their folders.")
    found = failure("store-policy", store, refused[0])
    more = f" The same is true of {count(len(refused) - 1, 'more file')}." if len(refused) > 1 else ""
    return replace(found, message=f"{found.message}{more}")
