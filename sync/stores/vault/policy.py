"""The rights that a configuration needs in Vault or OpenBao, and the policy that gives them; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sync.core.model import Key, Use
from sync.stores.policy import PolicyError
from sync.stores.vault.kv import Calls

_ORDER = ("create", "read", "update", "patch", "list", "scan")
_LARGEST = 1 << 20
"""Bytes of a stored policy with integrated storage (measured with OpenBao 2.7.2); Consul stores half of it."""
_NO_PAGE = "any-removed-page"
"""Stands for the secret of a Page that is no longer in the configuration."""


@dataclass(frozen=True, slots=True)
class Right:
    """One capability on one path, as the server checks it.

    ``line`` is the path of the line of a policy that gives it to all Pages. ``shared``: a policy that allows each Page's secret
    on a line of its own has this line too.
    """

    path: str
    capability: Literal["create", "read", "update", "patch", "list", "scan"]
    line: str
    shared: bool = False


LOOKUP = Right("auth/token/lookup-self", "read", "auth/token/lookup-self", shared=True)
CAPABILITIES = Right("sys/capabilities-self", "update", "sys/capabilities-self", shared=True)
_OF_LOGIN = tuple(
    Right(path, "update", path, shared=True) for path in ("auth/token/renew-self", "auth/token/revoke-self")
)
"""What a token of the store's own login does with itself."""


@dataclass(frozen=True, slots=True)
class Rights:
    """The rights in one store. ``prefix`` is the fixed part of its path template.

    ``logs_in``: the store logs in itself, in the namespace of its mount, so that it renews and revokes its own token.
    """

    calls: Calls
    prefix: str
    logs_in: bool = False

    def needed(self, uses: Mapping[Key, Use]) -> Iterator[Right]:
        """Yield what the configuration needs for these secrets; without ``history`` and what a token asks about itself, whose lack fails nothing."""
        paths = [key.path for key, use in uses.items() if use.page is not None]
        for key, use in uses.items():
            yield from self._of_page(key.path, use) if use.page is not None else self._of_credential(key.path, use)
        if self.logs_in:
            yield from _OF_LOGIN
        if not paths:
            return
        # Orphans are found by a listing and their marks.
        marks = self.calls.shown("metadata", f"{self.prefix}*")
        folder = self._folder(self.prefix)
        yield Right(folder, "list", marks if marks == f"{folder}*" else folder, shared=True)
        for inner in dict.fromkeys(map(self._folder, paths)):
            if inner != folder:
                yield Right(inner, "list", marks, shared=True)
        yield Right(self.calls.shown("metadata", self.prefix + _NO_PAGE), "read", marks, shared=True)

    def history(self) -> Right:
        """Return what the mount's settings of history are read with."""
        path = self.calls.config().shown
        return Right(path, "read", path)

    def of_token(self) -> Sequence[Right]:
        """Return what the token does with itself; the policy `default` has it too."""
        return (LOOKUP, CAPABILITIES, *(_OF_LOGIN if self.logs_in else ()))

    def detailed(self) -> Right:
        """Return what OpenBao's detailed listing needs."""
        path = self.calls.shown("detailed-metadata", self.prefix[: self.prefix.rfind("/") + 1])
        return Right(path, "scan", path)

    def is_inside(self, right: Right) -> bool:
        """Check whether a right is one in the mount, and not one of the token on itself."""
        return right.path.startswith(f"{self.calls.mount.strip('/')}/")

    def for_readers(self, uses: Mapping[Key, Use]) -> Iterator[Right]:
        """Yield what apps need to read the secrets of Pages."""
        for key, use in uses.items():
            if use.page is not None:
                yield self._right("data", key.path, "read")

    def for_prune(self) -> Iterator[Right]:
        """Yield what ``prune`` needs beyond what the daemon has."""
        yield self._right("delete", self.prefix + _NO_PAGE, "update")

    def _of_page(self, path: str, use: Use) -> Iterator[Right]:
        yield self._right("data", path, "read")
        yield self._right("metadata", path, "read")
        if use.access == "write":
            yield self._right("data", path, "create")
            yield self._right("data", path, "update")
            yield self._right("metadata", path, "patch")

    def _of_credential(self, path: str, use: Use) -> Iterator[Right]:
        shown = self.calls.shown("data", path)
        yield Right(shown, "read", shown)
        if use.access == "renew":
            yield Right(shown, "update", shown)

    def _right(self, kind: str, path: str, capability: Literal["create", "read", "update", "patch"]) -> Right:
        return Right(self.calls.shown(kind, path), capability, self.calls.shown(kind, f"{self.prefix}*"))

    def _folder(self, path: str) -> str:
        return self.calls.shown("metadata", path[: path.rfind("/") + 1])


def line(path: str, capabilities: Iterable[str], width: int = 0) -> str:
    """Return one line of a policy; ``width`` aligns the capabilities of several lines."""
    listed = json.dumps(sorted(set(capabilities), key=_ORDER.index))
    return f"path {_quoted(path).ljust(width)} {{ capabilities = {listed} }}"


def lines(rights: Iterable[Right], *, exact: bool) -> Sequence[str]:
    """Return the lines of a policy: one for each secret, or one for all Pages. Raises PolicyError."""
    capabilities: dict[str, list[str]] = {}
    for right in rights:
        single = exact and not right.shared
        _check(right.path if single else right.line, is_pattern=not single and right.line != right.path)
        capabilities.setdefault(right.path if single else right.line, []).append(right.capability)
    width = max(map(len, map(_quoted, capabilities)), default=0)
    found = [line(path, several, width) for path, several in capabilities.items()]
    # The stored form is JSON, in which each quote takes two bytes.
    if len(json.dumps("\n".join(found)).encode()) > _LARGEST:
        raise PolicyError(
            f"The policy has {len(found):,} lines, and Vault stores at most 1 MiB of one. Use --scope prefix, or select Pages."
        )
    return found


def _quoted(path: str) -> str:
    return json.dumps(path, ensure_ascii=False)


def _check(path: str, *, is_pattern: bool) -> None:
    """Raise PolicyError where a policy would read more into a path than is meant."""
    plain = path.removesuffix("*") if is_pattern else path
    if plain.endswith("*") or "+" in plain.split("/") or "{{" in plain or "${" in plain:
        raise PolicyError(
            f"A policy would read the path {path} as a pattern, and allow other secrets too. Change `path` of the store."
        )
