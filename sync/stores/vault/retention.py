"""Warnings about settings of the mount or a secret by which the previous token does not stay recoverable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sync.stores.vault import kv


@dataclass(frozen=True, slots=True)
class Retention:
    """A mount's max_versions (``keeps``) and whether it sets delete_version_after (``ends``); 0 and False where the policy hides them."""

    keeps: int = 0
    ends: bool = False


def retention(config: Mapping[str, Any]) -> Retention:
    """Parse the configuration of a mount."""
    keeps, after = config.get("max_versions"), config.get("delete_version_after")
    return Retention(keeps if isinstance(keeps, int) else 0, isinstance(after, str) and after not in ("", "0s"))


def missing_history(mount: Retention, secrets: Iterable[kv.Info], now: datetime) -> Iterator[str]:
    """Yield a warning for each setting that keeps no history or lets versions expire.

    Of the mount's and the secret's max_versions the greater one counts (OpenBao 2.7.2).
    """
    known = list(secrets)
    # 0 at both the secret and the mount means ten.
    single = len([info for info in known if max(info.keeps, mount.keeps) == 1])
    expiring = len([info for info in known if info.deletion and info.live(now)])
    if mount.keeps == 1 or single:
        yield (
            f"max_versions is 1 for {_of(single, all_of=mount.keeps == 1)}: each write removes the previous token for good."
        )
    if mount.ends or expiring:
        yield (
            f"delete_version_after is set for {_of(expiring, all_of=mount.ends)}: Vault deletes the stored token after that time."
        )


def _of(count: int, *, all_of: bool) -> str:
    return "the mount" if all_of else f"{count} secret" + "s" * (count != 1)
