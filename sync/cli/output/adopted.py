"""What ``adopt`` prints: each secret, whose its token is, and what follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import get_args

from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.cli.output.table import planned_word
from sync.core.judge.ownership import written_since
from sync.core.model import Stored, TokenFacts
from sync.core.plan.adopt import Adoption, AdoptionKind
from sync.core.plan.model import TargetPlan
from sync.core.problems import action_text
from sync.core.report.json import expiry_json, problem_json
from sync.core.report.text import count, expiry, some

_ADOPTIONS = ("Page", "action", "token", "belongs to", "expires", "next cycle")
_DONE = ("adopt", "adopted", "held")
"""The actions of secrets that are proven."""


def put_adopted(found: Sequence[Adoption], form: Form, *, again: str, absent: int = 0) -> None:
    """Print each secret and what its token is; ``again`` marks what may be marked, ``absent`` Pages have no secret."""
    if form is Form.JSON:
        console.put_json({"format": 1, "secrets": [_adoption_json(one) for one in found], "absent": absent})
        return
    if found:
        console.put_rows(_ADOPTIONS, [_adoption_row(one) for one in found])
    pages: dict[tuple[str, ...], list[str]] = {}
    for one in found:
        for note in _notes(one):
            pages.setdefault(note, []).append(one.page.name)
    failed = {one.error_code for one in found}
    console.put_blocks(
        (head if head in failed else " ".join([head, *rest]), f"{head}: {some(names)}", rest)
        for (head, *rest), names in pages.items()
    )
    actions = Counter(one.action for one in found)
    counts = ", ".join(f"{actions[action]:,} {_word(action)}" for action in get_args(AdoptionKind) if actions[action])
    total = f"{count(len(found), 'secret')}: {counts}." if found else "No secret to adopt."
    console.put(f"{total} Pages without a secret: {absent:,}." if absent else total)
    if actions["adopt"]:
        begun = any(
            one.action == "adopted" or (one.action == "failed" and isinstance(one.read, Stored)) for one in found
        )
        console.put("Interrupted. To mark the rest:" if begun else "Nothing was marked. To mark:")
        console.put_commands([f"  {again}"])


def _notes(one: Adoption) -> Iterator[tuple[str, ...]]:
    """Yield what a person has to know of a secret beyond its line, the kind first."""
    if one.message:
        yield (one.reason or one.error_code or "note", one.message, *([one.remedy] if one.remedy else []))
    if one.action not in _DONE:
        return
    if one.page.hold and one.action != "held":
        text = "The configuration has hold: true: the marks alone are written, and the daemon writes nothing until it is removed."
        yield ("hold", text)
    if one.before is not None:
        at = written_since(one.before)
        yield ("marks", f"The marks so far: Page {one.before.page_id} of the instance {one.before.instance!r}{at}.")
    if one.system_user is None:
        yield (
            "belongs to",
            "The token hangs on somebody else than the configured system users: a person or another one.",
        )
    if one.copies:
        keys = ", ".join(one.copies)
        remedy = "Add them to `payload`, or let their readers read another key."
        yield ("old keys", f"These keys hold the same token, and are not updated with it: {keys}.", remedy)
    rest = [name for name in one.others if name not in one.copies]
    if rest:
        yield ("other keys", f"These keys of the payload stay as they are: {', '.join(rest)}.")
    if one.after is not None:
        verdict = one.after.current.verdict
        for problem in verdict.problems + verdict.notices + one.problems:
            yield (problem.code, problem.message, action_text(problem.owner, problem.remedy))


def _adoption_row(one: Adoption) -> tuple[str, ...]:
    return (
        one.page.name,
        _word(one.action),
        one.token.fingerprint if one.token else "-",
        holder(one.facts, one.system_user) or "-",
        expiry(one.facts.expires_at) if one.facts else "-",
        _next(one),
    )


def holder(facts: TokenFacts | None, system_user: str | None) -> str | None:
    """Return whose token it is: the name of a configured system user, else the user id that debug_token answers."""
    if system_user is not None:
        return f"system user {system_user}"
    return facts.user_id if facts is not None else None


def _next(one: Adoption) -> str:
    """Return what the next cycle does once the secret is adopted."""
    if one.after is None or one.action not in _DONE:
        return "-"
    return planned(one.after)


def planned(target: TargetPlan) -> str:
    """Return what the next cycle does with a secret."""
    action = target.action
    kind, reason = (action.would.kind, action.would.reason) if action.would else (action.kind, action.reason)
    held = f" (held: {action.reason})" if action.would else ""
    return f"{planned_word(kind)}{f', {reason}' if reason else ''}{held}"


def _adoption_json(one: Adoption) -> dict[str, object]:
    facts, before = one.facts, one.before
    action = one.after.action if one.after is not None and one.action in _DONE else None
    would = action.would if action is not None else None
    return {
        "store": one.key.store,
        "path": one.key.path,
        "page_id": one.page.id,
        "action": one.action,
        "reason": one.reason,
        "page": one.page.name,
        "fingerprint": one.token.fingerprint if one.token else None,
        "user_id": facts.user_id if facts else None,
        "system_user": one.system_user,
        "expires_at": expiry_json(facts),
        "instance": before.instance if before else None,
        "written_at": (before.written_at or None) if before else None,
        "other_keys": list(one.others),
        "old_keys": list(one.copies),
        "next_action": action.kind.value if action else None,
        "next_reason": action.reason if action else None,
        "next_would": {"action": would.kind.value, "reason": would.reason} if would else None,
        "problems": [problem_json(problem) for problem in one.problems],
        "error_code": one.error_code,
        "message": one.message or None,
        "remedy": one.remedy or None,
    }


def _word(action: AdoptionKind) -> str:
    return "to adopt" if action == "adopt" else action
