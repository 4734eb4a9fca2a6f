"""Vault's policies, as far as the store needs them: paths with a star at the end, longest match, deny first."""

from __future__ import annotations

import re
from functools import lru_cache

_RULE = re.compile(r'path\s+"(?P<path>[^"]*)"\s*\{\s*capabilities\s*=\s*\[(?P<caps>[^\]]*)\]\s*\}')

Rules = tuple[tuple[str, frozenset[str]], ...]
"""Each path of a policy with its capabilities."""

ROOT: Rules = (("*", frozenset({"root"})),)
DEFAULT: Rules = (
    ("auth/token/lookup-self", frozenset({"read"})),
    ("auth/token/renew-self", frozenset({"update"})),
    ("auth/token/revoke-self", frozenset({"update"})),
    ("sys/capabilities-self", frozenset({"update"})),
    ("sys/internal/ui/mounts/*", frozenset({"read"})),
)
"""What every token may do that was not made without the policy of this name."""


def parse(text: str) -> Rules:
    """Parse a policy."""
    found: dict[str, frozenset[str]] = {}
    for rule in _RULE.finditer(text):
        caps = frozenset(part.strip().strip('"') for part in rule["caps"].split(",") if part.strip())
        found[rule["path"]] = found.get(rule["path"], frozenset()) | caps
    return tuple(found.items())


@lru_cache(maxsize=4096)
def allowed(policies: tuple[Rules, ...], path: str) -> frozenset[str]:
    """Return the capabilities on a path: {"deny"} for none, {"root"} for all."""
    best, caps = -1, frozenset[str]()
    for rules in policies:
        for pattern, granted in rules:
            exact, stem = not pattern.endswith("*"), pattern.removesuffix("*")
            if not (path == pattern if exact else path.startswith(stem)):
                continue
            weight = 2 * len(stem) + exact
            if weight > best:
                best, caps = weight, granted
            elif weight == best:
                caps |= granted
    return frozenset({"deny"}) if not caps or "deny" in caps else caps


@lru_cache
def covers_below(policies: tuple[Rules, ...], prefix: str) -> bool:
    """Check whether a policy allows anything below a prefix, which lets a token see a mount."""
    return any(
        "root" in caps
        or (
            "deny" not in caps
            and (pattern.startswith(prefix) or (prefix.startswith(pattern.removesuffix("*")) and pattern.endswith("*")))
        )
        for rules in policies
        for pattern, caps in rules
    )
