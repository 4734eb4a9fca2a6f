"""Which permission a system user token lacks, by an error of Graph's and by the token's own scopes. Pure.

The forms were collected from public reports, as of 2026-12-01: Graph names the permission, or several of which all or one
would do, or none at all.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from sync.graph.fault import Fault

TO_READ_PAGES = ("pages_show_list", "pages_read_engagement", "pages_manage_metadata")
"""The permissions of which Graph demands one or more before it gives a Page's token."""

_REQUIRED = 283
_DENIED = frozenset({10, *range(200, 300)})
_PARAMETER, _TOKEN = 100, 190
"""Codes with many other causes."""
_NAME = re.compile(r"(?<![\w.])[a-z]{2,}(?:_[a-z0-9]+)+(?![\w(])")
_NOT_PERMISSIONS = frozenset(
    {"access_token", "app_id", "appsecret_proof", "debug_token", "input_token", "page_id", "user_id"}
)
_ONE_WILL_DO = re.compile(r"\b(?:any of|either|or)\b", re.IGNORECASE)
_SURE = ("must be granted before impersonating", "requires either app secret proof or an app token")
_MOST = 10


def with_lacking_permissions(fault: Fault, scopes: Collection[str] | None) -> Fault:
    """Return the fault with the permissions in ``lacks`` where they are its cause; ``scopes`` are the token's, None unknown.

    A permission that the token has is never the cause: then the Page is not assigned, or granted to another token only, as
    ``granted`` says.
    """
    lacks = _lacking(fault, scopes)
    return replace(fault, lacks=lacks, granted="" if lacks or scopes is None else _granted(fault, scopes))


def _lacking(fault: Fault, scopes: Collection[str] | None) -> str:
    if fault.kind != "error" or fault.code not in {_REQUIRED, *_DENIED, _PARAMETER, _TOKEN}:
        return ""
    text = fault.text.lower()
    sure = fault.code == _REQUIRED or any(phrase in text for phrase in _SURE)
    named = _named(fault.text) or _named(fault.user_text)
    # Code 190 speaks of the token itself, whatever its text mentions.
    if not sure and (not named or fault.code == _TOKEN):
        return ""
    one_will_do = bool(_ONE_WILL_DO.search(fault.text)) and len(named) > 1
    if not named:
        named = TO_READ_PAGES
    if scopes is None:
        certain = sure or fault.code in _DENIED
        return _joined(named, "or" if one_will_do or named is TO_READ_PAGES else "and") if certain else ""
    missing = tuple(name for name in named if name not in scopes)
    if one_will_do:
        return _joined(named, "or") if len(missing) == len(named) else ""
    return _joined(missing, "and")


def _granted(fault: Fault, scopes: Collection[str]) -> str:
    """Return a sentence about the permissions of the token that Graph names as missing; empty where it names none."""
    if not _lacking(fault, None):
        return ""
    named = _named(fault.text) or _named(fault.user_text)
    has = _joined(tuple(name for name in named if name in scopes), "and")
    return f"debug_token lists {has} on the system user token, but it does not hold for this Page." if has else ""


def _named(text: str) -> tuple[str, ...]:
    if "permission" not in text.lower():
        return ()
    found = (name for name in _NAME.findall(text) if name not in _NOT_PERMISSIONS)
    return tuple(dict.fromkeys(found))[:_MOST]


def _joined(names: tuple[str, ...], word: str) -> str:
    return f"{', '.join(names[:-1])} {word} {names[-1]}" if len(names) > 1 else "".join(names)
