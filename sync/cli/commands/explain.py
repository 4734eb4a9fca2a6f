"""The ``explain`` command: what a code means, who must act, and what that person does."""

from __future__ import annotations

import difflib
from dataclasses import asdict

from sync.cli.output import console
from sync.cli.output.codes import explanations
from sync.cli.output.forms import Form
from sync.cli.output.words import action_text

_SIMILAR = 0.5
"""How similar to a code a word must be to be taken for a mistyped one, from 0 to 1."""


def put_explained(code: str | None, form: Form) -> int:
    """Print what a code means, in each list that has it, or all codes; return the exit code (2 for an unknown code)."""
    known = list(explanations())
    found = known if code is None else [one for one in known if one.code == code.strip().lower()]
    if not found:
        names = sorted({one.code for one in known})
        close = difflib.get_close_matches((code or "").strip().lower(), names, 1, _SIMILAR)
        remedy = f"did you mean {close[0]}?" if close else "page-token-sync explain lists them all"
        console.put_failure("unknown-code", f"There is no such code: {remedy}", form)
        return 2
    if form is Form.JSON:
        console.put_json({"format": 1, "codes": [asdict(one) for one in found]})
    elif code is None:
        console.put_rows(("kind", "code", "meaning"), [(one.kind, one.code, one.meaning) for one in found])
    else:
        for one in found:
            console.put_cause((f"{one.kind} {one.code}", one.meaning, action_text(one.owner, one.remedy)))
    return 0
