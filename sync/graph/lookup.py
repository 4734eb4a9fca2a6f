"""What an error of Graph's means, for a person who met it: the rows of the table that its code leads to. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sync.core.model import State
from sync.graph.errors import TABLE, Row, Where, classify
from sync.graph.fault import Fault
from sync.graph.permissions import with_lacking_permissions

MEANINGS: dict[tuple[int, int | None], str] = {
    (1, None): "Graph has an unknown error, which may be temporary.",
    (2, None): "Graph has a temporary error.",
    (3, None): "The app lacks a capability or permission for the call.",
    (4, None): "The app has used up its calls.",
    (5, None): "The app accepts no calls from this IP address.",
    (10, None): "A permission was not granted, or was removed.",
    (15, None): "The app's settings do not allow a call with the app secret.",
    (17, None): "The user has used up its calls.",
    (21, None): "The Page was merged into another one; the message names the new id.",
    (32, None): "The calls of a user's token on Pages are used up.",
    (100, None): "A parameter is invalid, or an object cannot be read.",
    (100, 33): "The object does not exist, or the token may not see it.",
    (102, None): "The session of the token has ended.",
    (104, None): "The call came without a token.",
    (190, None): "The access token is invalid, expired or revoked, or its user may not do this.",
    (190, 458): "The user removed the app.",
    (190, 459): "The user must confirm an identity check at Facebook.",
    (190, 460): "The user's password was changed, or the session was reset.",
    (190, 463): "The token has expired.",
    (190, 464): "The user's account is not confirmed.",
    (190, 466): "The token was revoked by a call.",
    (190, 467): "The token was revoked, or the user logged out.",
    (190, 490): "The user must confirm an identity check at Facebook.",
    (190, 492): "The user behind the token has no role on the Page; a new token is refused alike.",
    (190, 493): "The token was not used for 90 days.",
    (200, None): "A permission is missing, or the app is blocked or not active.",
    (283, None): "The token lacks a permission to read the Page, or has it for other Pages only (no-access).",
    (341, None): "The app has reached a temporary limit.",
    (368, None): "Meta has blocked the action for policy reasons.",
    (415, None): "Two-factor authentication is required.",
    (452, None): "The session of the token is invalid.",
    (613, None): "The app calls more often than Meta allows for this call.",
    (803, None): "No object has this name; a user name is not an id.",
    (2500, None): "Graph does not know the path or the version of the call, or no token came with it.",
    (80001, None): "The calls of this Page are used up.",
}
"""Graph's own codes and subcodes, by Meta's references and public reports of 2026."""

_CODE_FIRST = re.compile(r"\(?#?(\d{1,9})\)?(?:\s*[/:.]\s*(\d{1,9}))?")
_IN_MESSAGE = re.compile(r"\(#(\d{1,9})\)")
_CODE = re.compile(r"(?:(?<!sub)(?<!sub_)code|error|exception)\W{0,4}(\d{1,9})(?:\s*[/:.]\s*(\d{1,9}))?", re.IGNORECASE)
_SUBCODE = re.compile(r"sub_?code\W{0,4}(\d{1,9})", re.IGNORECASE)
_SAMPLES = (
    "Requires pages_read_engagement permission to manage the object",
    "Tried accessing nonexisting field (access_token) on node type (User)",
)
"""Messages that lead to the rows which look at more than a fixed text."""
_CONDITIONS = {"permission-missing": "the message names a permission", "person": "the message names node type (User)"}
_CALLS: tuple[Where, ...] = ("page", "probe", "renew", "debug", "batch")
"""Every call, the one that people meet most first."""
_FORMS = ("other-form", "singly", "halve")
"""What is tried in another form, which a person meets only where that fails too."""


@dataclass(frozen=True, slots=True)
class Met:
    """An error of Graph's as a person met it: its code, its subcode if it is known, and its message or nothing."""

    code: int
    subcode: int | None = None
    text: str = ""

    @property
    def name(self) -> str:
        """The code as it is written in the log and the documentation."""
        return f"{self.code}" if self.subcode is None else f"{self.code}/{self.subcode}"

    @property
    def meaning(self) -> str:
        """What Meta means by the code."""
        return MEANINGS.get((self.code, self.subcode)) or MEANINGS.get((self.code, None)) or ""


@dataclass(frozen=True, slots=True)
class Reading:
    """One row that an error may lead to: in which calls, for which subcodes, under which further condition."""

    row: Row
    where: tuple[Where, ...]
    subcodes: tuple[int, ...]
    condition: str


def parse(text: str) -> Met | None:
    """Read an error as people paste it: ``190``, ``190/492``, ``(#100) …``, ``code 190, subcode 492``; None where it is none."""
    text = text.strip()
    whole = _CODE_FIRST.fullmatch(text)
    if whole is not None:
        return Met(int(whole[1]), int(whole[2]) if whole[2] else None)
    found = _IN_MESSAGE.search(text) or _CODE.search(text)
    if found is None:
        return None
    subcode = _SUBCODE.search(text)
    number = subcode[1] if subcode is not None else found[2] if found.lastindex == 2 else None  # noqa: PLR2004 - a group
    said = text if _IN_MESSAGE.search(text) or "message" in text else ""
    return Met(int(found[1]), int(number) if number else None, said)


def readings(met: Met) -> Sequence[Reading]:
    """Return the rows that an error may lead to: what its subcode means first, then what needs no further condition.

    Rows that match every error are left out: they say nothing of this one.
    """
    found: dict[str, tuple[set[Where], set[int], bool]] = {}
    for subcode, fault in _faults(met):
        for where in _CALLS:
            for user_token in State:
                row = classify(fault, where, user_token)
                calls, subcodes, plain = found.get(row.name, (set(), set(), False))
                calls.add(where)
                if subcode is not None and row.subcodes is not None:
                    subcodes.add(subcode)
                found[row.name] = calls, subcodes, plain or fault.text == met.text
    known = [
        Reading(row, tuple(call for call in _CALLS if call in calls), tuple(sorted(subcodes)), _condition(row, plain))
        for row in TABLE
        if row.name in found and not _matches_all(row)
        for calls, subcodes, plain in [found[row.name]]
    ]
    # A batch is another form of the same calls.
    known = [
        replace(one, where=tuple(call for call in one.where if call != "batch"))
        for one in known
        if one.where != ("batch",)
    ]
    return sorted(known, key=lambda one: _rank(met, one))


def _matches_all(row: Row) -> bool:
    return row.codes is None and row.subcodes is None and not row.texts and row.when is None


def _rank(met: Met, one: Reading) -> tuple[bool, bool, bool, bool, int]:
    row = one.row
    looks_at_text = bool(row.texts) or row.name in _CONDITIONS
    of_this_subcode = met.subcode is not None and row.subcodes is not None
    return (
        not of_this_subcode,
        looks_at_text and not met.text,
        bool(one.subcodes),
        row.then in _FORMS,
        _CALLS.index(one.where[0]),
    )


def _faults(met: Met) -> Iterator[tuple[int | None, Fault]]:
    rows = [row for row in TABLE if row.kind in (None, "error") and (row.codes is None or met.code in row.codes)]
    of_rows = {code for row in rows if isinstance(row.subcodes, set | frozenset) for code in row.subcodes}
    subcodes = [met.subcode] if met.subcode is not None else [None, *sorted(of_rows)]
    texts = [met.text] if met.text else ["", *_SAMPLES, *(text for row in rows for text in row.texts)]
    for subcode in subcodes:
        for text in texts:
            yield subcode, with_lacking_permissions(Fault("error", 400, met.code, subcode, text=text), None)


def _condition(row: Row, plain: bool) -> str:
    if row.user_token is not None:
        states = {State.VALID: "valid", State.INVALID: "invalid", State.UNKNOWN: "neither valid nor invalid"}
        return f"debug_token calls the system user token {states[row.user_token]}"
    if plain:
        return ""
    if row.texts:
        return "the message has " + " or ".join(f"“{text}”" for text in row.texts)
    return _CONDITIONS.get(row.name, "")
