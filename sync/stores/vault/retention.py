"""What an owner's settings take from the promise that the previous token stays recoverable, as sentences for the operator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sync.stores.vault import kv


@dataclass(frozen=True, slots=True)
class Retention:
    """A mount's settings for all its secrets, as far as the policy lets them be read: 0 and False where not."""

    keeps: int = 0
    ends: bool = False


def retention(config: Mapping[str, Any]) -> Retention:
    """Read the configuration of a mount."""
    keeps, after = config.get("max_versions"), config.get("delete_version_after")
    return Retention(keeps if isinstance(keeps, int) else 0, isinstance(after, str) and after not in ("", "0s"))


def missing_history(mount: Retention, secrets: Iterable[kv.Info], now: datetime) -> Iterator[str]:
    """Return what keeps no history, or ends by itself; the greater of the mount's and the secret's number counts (OpenBao 2.7.2)."""
    known = list(secrets)
    # None of its own and none of the mount's means ten.
    single = len([info for info in known if max(info.keeps, mount.keeps) == 1])
    ending = len([info for info in known if info.deletion and info.live(now)])
    if mount.keeps == 1 or single:
        yield (
            f"max_versions is 1 for {_of(single, all_of=mount.keeps == 1)}: with each write the previous token is gone for good."
        )
    if mount.ends or ending:
        yield (
            f"delete_version_after is set for {_of(ending, all_of=mount.ends)}: Vault deletes what is stored when that time is over."
        )


def _of(count: int, *, all_of: bool) -> str:
    return "the mount" if all_of else f"{count} secret" + "s" * (count != 1)
