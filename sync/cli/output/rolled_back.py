"""What ``rollback`` prints: the versions of a secret, what Meta says of the wanted one, and what was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sync.cli.output import console
from sync.cli.output.adopted import holder, planned
from sync.cli.output.forms import Form
from sync.core.model import PastVersion
from sync.core.plan.rollback import Rollback, RollbackKind, known_reasons, token_of
from sync.core.problems import Problem, action_text
from sync.core.report.json import expiry_json, problem_json, timestamp
from sync.core.report.text import expiry

_VERSIONS = ("version", "token", "written", "reason")
_ROLLED_BACK: Mapping[RollbackKind, str] = {
    "rolled-back": "Version {wanted} is current again, as version {version}. The secret is held until you release it:",
    "released": "The daemon may write the secret again.",
    "release": "Interrupted. Nothing was written. To end the hold:",
    "roll-back": "Nothing was written. To make version {wanted} current again, and hold the secret:",
}


def put_rolled_back(found: Rollback, form: Form, *, again: str, release: str) -> None:
    """Print the versions of a secret and what was done; ``again`` is the command that does it, ``release`` what ends the hold."""
    if form is Form.JSON:
        console.put_json(_rollback_json(found))
        return
    console.put(f"Page {found.page.name} ({found.page.id}), {found.key.store}:{found.key.path}")
    if found.past:
        reasons = known_reasons(found.past, found.before, found.page)
        console.put_rows(_VERSIONS, [_version_row(found, one, reasons) for one in found.past])
    if found.before is not None and found.before.hold is not None:
        verb = "was" if found.action == "released" else "is"
        console.put(f"The secret {verb} held since the rollback at {found.before.hold}.")
    if found.facts is not None and found.wanted is not None and found.token is not None:
        meta = "valid" if found.facts.is_valid else "not valid"
        until = expiry(found.facts.expires_at)
        whose = holder(found.facts, found.system_user) or "unknown"
        console.put(
            f"Version {found.wanted.version}, token {found.token.fingerprint}: Meta calls it {meta}; expires: {until}; belongs to: {whose}."
        )
    for problem in _problems(found):
        head = f"{problem.code}: version {found.wanted.version if found.wanted else ''}"
        console.put_block(head, problem.message, action_text(problem.owner, problem.remedy))
    if found.message:
        console.put_block(
            ": ".join(filter(None, [found.action, found.reason or found.error_code])),
            found.message,
            *filter(None, [found.remedy]),
        )
    if found.action == "released" and found.after is not None:
        console.put(f"Next cycle: {planned(found.after)}.")
    text = _done_text(found)
    if text is not None:
        console.put(text)
        if found.action != "released":
            console.put_commands([f"  {release if found.action in ('rolled-back', 'release') else again}"])


def _done_text(found: Rollback) -> str | None:
    text = _ROLLED_BACK.get(found.action)
    if text is None:
        return None
    if found.action == "released" and found.page.hold:
        text = "The rollback no longer holds the secret; the daemon writes it once the Page has no hold: true."
    version = found.written.version if found.written else ""
    return text.format(wanted=found.wanted.version if found.wanted else "", version=version)


def _problems(found: Rollback) -> Sequence[Problem]:
    """Return what is wrong with the wanted token though Meta calls it valid; where it is refused the message has it."""
    if found.after is None or found.action not in ("roll-back", "rolled-back"):
        return ()
    verdict = found.after.current.verdict
    return verdict.problems + verdict.notices


def _version_row(found: Rollback, one: PastVersion, reasons: Mapping[str, str]) -> tuple[str, ...]:
    token = token_of(found.page, one.payload)
    at = timestamp(one.created_at)
    names = [*(["current"] if one.current else []), *([reasons[one.version]] if one.version in reasons else [])]
    return one.version, token.fingerprint if token else "-", (at or "-").replace("T", " "), ", ".join(names) or "-"


def _rollback_json(found: Rollback) -> dict[str, object]:
    reasons = known_reasons(found.past, found.before, found.page)
    facts, before = found.facts, found.before
    after = found.after.action if found.after is not None and found.action == "released" else None
    return {
        "format": 1,
        "page": found.page.name,
        "page_id": found.page.id,
        "store": found.key.store,
        "path": found.key.path,
        "action": found.action,
        "reason": found.reason,
        "version": found.wanted.version if found.wanted else None,
        "fingerprint": found.token.fingerprint if found.token else None,
        "is_valid": facts.is_valid if facts else None,
        "user_id": facts.user_id if facts else None,
        "system_user": found.system_user,
        "expires_at": expiry_json(facts),
        "held_since": before.hold if before else None,
        "new_version": found.written.version if found.written else None,
        "confirmed": found.written.confirmed if found.written else None,
        "next_action": after.kind.value if after else None,
        "next_reason": after.reason if after else None,
        "versions": [
            {
                "version": one.version,
                "fingerprint": token.fingerprint if (token := token_of(found.page, one.payload)) else None,
                "written_at": timestamp(one.created_at),
                "reason": reasons.get(one.version),
                "current": one.current,
            }
            for one in found.past
        ],
        "problems": [problem_json(problem) for problem in _problems(found)],
        "error_code": found.error_code,
        "message": found.message or None,
        "remedy": found.remedy or None,
    }
