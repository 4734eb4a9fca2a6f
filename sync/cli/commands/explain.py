"""The ``explain`` command: what a code means, who must act, and what that person does."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import asdict

from sync.cli.output import console
from sync.cli.output.codes import Explained, explanations, graph_explanations
from sync.cli.output.forms import Form
from sync.core.problems import action_text
from sync.graph.lookup import parse, readings

_SIMILAR = 0.7
"""How similar to a code a word must be to be taken for a mistyped one, from 0 to 1."""
_EXIT = re.compile(r"exit(?: ?code| ?status)?\s*[:=]?\s*(\d+)", re.IGNORECASE)
_LONGEST = 2000
"""A message that people paste is no longer; more of it is not looked at."""


def put_explained(code: str | None, form: Form) -> int:
    """Print what a code means, in each list that has it, or all codes; return the exit code (2 for an unknown code)."""
    known = list(explanations())
    found = known if code is None else _found(code.strip()[:_LONGEST], known)
    if not found:
        console.put_failure("unknown-code", f"There is no such code. {_nearest(code or '', known)}", form)
        return 2
    if form is Form.JSON:
        console.put_json({"format": 1, "codes": [asdict(one) for one in found]})
    elif code is None:
        console.put_rows(("kind", "code", "meaning"), [(one.kind, one.code, one.meaning) for one in found])
    else:
        for one in found:
            console.put_cause((f"{one.kind} {one.code}", one.meaning, action_text(one.owner, one.remedy)))
    return 0


def _found(code: str, known: Sequence[Explained]) -> Sequence[Explained]:
    """Return what a code means: as one of this program's, and as Graph's own where it can be one."""
    exits = _EXIT.fullmatch(code)
    if exits is not None:
        return [one for one in known if (one.kind, one.code) == ("exit code", exits[1])]
    names = {code.lower(), code.lower().replace("_", "-"), code.lower().replace("-", "_")}
    own = [one for one in known if one.code in names]
    met = parse(code)
    # A number that Graph does not use as well is an exit code alone.
    if met is None or (own and not readings(met)):
        return own
    return [*own, *graph_explanations(met)]


def _nearest(code: str, known: Sequence[Explained]) -> str:
    """Return the code that was meant, if one is near; a number is never taken for another one."""
    names = sorted({one.code for one in known if not one.code.isdigit()})
    close = difflib.get_close_matches(code.strip().lower(), names, 1, _SIMILAR)
    return f"Did you mean {close[0]}?" if close else "page-token-sync explain lists all codes."
