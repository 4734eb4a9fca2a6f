"""What receivers of notifications are sent: one message for each cause, from the same events as the log. Pure.

A message is plain JSON data without a token, so that it can be kept and sent again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from sync.core.judge.decide import WRITTEN
from sync.core.memory.problems import ProblemKey
from sync.core.redact import scrub
from sync.core.report.cause_events import cause_events
from sync.core.report.changes import MOST_NAMED, Begun, Changes, Ended
from sync.core.report.entries import WORST_FIRST, PageEntry, StoreEntry
from sync.core.report.event import Event, present, served_counts
from sync.core.report.events import cause_lines
from sync.core.report.json import timestamp
from sync.core.report.report import Report

Topic = Literal["problem", "written"]
"""What a receiver can ask for: problems as they begin, last and end; secrets whose value changed."""
Message = Mapping[str, Any]

MOST_SECRETS = 500
"""A message of written secrets lists at most this many; further messages list the others."""

_SAME_VALUE = frozenset({"labels", "marks"})
"""Reasons of writes that leave the value as it is."""
_OF_STORED_TOKENS = frozenset({"token-invalid", "token-expired", "probe-failed"})
"""Problems of stored tokens that follow where a system user or a Page loses what the tokens hang on."""
_FOR_A_PERSON = frozenset({"brake", "weaker"})
"""Reasons of held writes that a person is to look at; the others follow from the configuration."""
_COPIED = (
    *("problem", "message", "owner", "remedy", "system_user", "app", "store", "path", "error_code", "reason"),
    *("resolution", "code", "subcode", "fbtrace_id", "since"),
)
_ENDS = {
    "resolved": " is over",
    "removed": " is no longer checked (removed from the configuration)",
    "unknown": " could not be checked for a day",
}
_LONGEST_TEXT = 2000
_OWNERS = {
    "operator": "the operator of page-token-sync",
    "app-admin": "an admin of the Meta app",
    "business-admin": "an admin of the business",
    "meta": "Meta",
    "nobody": "nobody: it resolves itself",
}


def messages(report: Report, topics: Sequence[Topic]) -> Iterator[Message]:
    """Yield what a receiver of these topics is sent after a cycle or a check; nothing where nothing changed."""
    found: list[dict[str, Any]] = []
    if "problem" in topics:
        found += _of_causes(cause_lines(report), report.changes, report.pages)
    if "written" in topics:
        found += _written(report)
    frame = report.frame
    for number, message in enumerate(found):
        yield _message(f"{frame.cycle}-{number}", frame.instance, frame.finished_at, {**message, "cycle": frame.cycle})


def config_messages(
    changed: Changes, topics: Sequence[Topic], *, name: str, instance: str, now: datetime
) -> Iterator[Message]:
    """Yield what a receiver of these topics is sent after an edit between two cycles; ``name`` is unique to the edit."""
    if "problem" in topics:
        for number, message in enumerate(_of_causes(cause_events(changed, now), changed, ())):
            yield _message(f"{name}-{number}", instance, now, message)


def _message(name: str, instance: str, at: datetime, content: Mapping[str, Any]) -> Message:
    head = {
        "format": 1,
        "id": name,
        "kind": content["kind"],
        "instance": instance,
        "cycle": content.get("cycle"),
        "at": timestamp(at),
    }
    return present({**head, **{name: value for name, value in content.items() if name not in head}})


def test_message(instance: str, now: datetime) -> Message:
    """Return a message that says that it is a test."""
    return {
        "format": 1,
        "id": f"test-{timestamp(now)}",
        "kind": "test",
        "instance": instance,
        "at": timestamp(now),
        "title": "Test message of page-token-sync",
        "message": "Somebody ran `page-token-sync notify --test`. Nothing is wrong, and nothing is to be done.",
    }


def _of_causes(events: Iterable[Event], changed: Changes, pages: Sequence[PageEntry]) -> list[dict[str, Any]]:
    """Return a message for each event of causes, and what follows from another one within that one's message.

    A person is sent one message when stored tokens stop working together with what they hang on.
    """
    lines: Iterator[Begun | Ended] = iter((*changed.began, *changed.reminders, *changed.ended))
    # The events of causes are in the order of these lines.
    with_lines = [(event, next(lines) if event.cause is not None else None) for event in events]
    found = [(line, _of_cause(event, pages)) for event, line in with_lines if _is_sent(event)]
    kept = []
    for line, message in found:
        leaders = (other for of, other in found if other["status"] == message["status"] and _is_follower(line, of))
        leader = next(leaders, None)
        if leader is None:
            kept.append(message)
        else:
            shown = present({name: value for name, value in message.items() if name not in ("kind", "status", "also")})
            leader["also"] = [*(leader["also"] or ()), shown]
    return kept


def _is_follower(line: Begun | Ended | None, leader: Begun | Ended | None) -> bool:
    """Check whether a cause is that stored tokens do not work, and another one that these Pages get no others."""
    if line is None or leader is None:
        return False
    key, of = _key(line), _key(leader)
    return (
        key.code in _OF_STORED_TOKENS
        and of.code not in _OF_STORED_TOKENS
        and (key.scope, key.whose) == ("page", of.whose)
        and of.scope in ("page", "system_user")
        and _names(line) <= _names(leader)
    )


def _key(line: Begun | Ended) -> ProblemKey:
    return line.key if isinstance(line, Ended) else line.cause.key


def _names(line: Begun | Ended) -> frozenset[str]:
    return frozenset(line.pages if isinstance(line, Ended) else line.cause.pages)


def _is_sent(event: Event) -> bool:
    """Check whether an event concerns people: what the configuration holds does not, and neither does its end."""
    if event.name in ("served_changed", "system_user_renewed"):
        return False
    held_by_configuration = "reason" in event.fields and event.fields["reason"] not in _FOR_A_PERSON
    return not held_by_configuration and (event.level in ("warning", "error") or event.name == "problem_ended")


def _of_cause(event: Event, pages: Sequence[PageEntry]) -> dict[str, Any]:
    fields = event.fields
    status = {"problem_reminder": "lasts", "problem_ended": "ended"}.get(event.name, "started")
    names = [fields["page"]] if "page" in fields else list(fields.get("pages", ()))
    number = 1 if "page" in fields else fields.get("page_count", 0)
    served = _served(event, names, number, pages)
    lasted = fields.get("duration_ms")
    return {
        "kind": "problem",
        "status": status,
        "severity": event.level,
        "title": _title(event, names, number, status),
        "effect": _effect(served),
        "apps_down": sum(served.get(word, 0) for word in ("broken", "absent")),
        **{name: _text(fields.get(name)) for name in _COPIED},
        "duration_seconds": round(lasted / 1000) if lasted is not None else None,
        "pages": names,
        "page_count": number,
        "served": served,
        "also": None,
    }


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    shown = scrub(value)
    return shown if len(shown) <= _LONGEST_TEXT else shown[: _LONGEST_TEXT - 1] + "…"


def _served(event: Event, names: Sequence[str], number: int, pages: Sequence[PageEntry]) -> Mapping[str, int]:
    """Return how many Pages of a cause serve what now. Where not all of an ended cause are named, those of the report."""
    if "served" in event.fields:
        return {event.fields["served"]: 1}
    if event.fields.get("resolution") == "removed":
        return {}
    counted = {word: event.fields[word] for word in reversed(WORST_FIRST) if event.fields.get(word)}
    if counted or not number:
        return {str(word): count for word, count in counted.items()}
    wanted = frozenset(names)
    concerned = [page for page in pages if page.name in wanted or number > len(wanted)]
    return {concerned[0].served: 1} if len(concerned) == 1 else served_counts(concerned)


def _title(event: Event, names: Sequence[str], number: int, status: str) -> str:
    fields = event.fields
    whose = next((f"{name.replace('_', ' ')} {fields[name]}" for name in ("store", "app") if name in fields), "")
    user = f"system user {fields['system_user']}" if "system_user" in fields else ""
    subject = names[0] if number == 1 and names else f"{number:,} Pages" if number else ""
    parts = [part for part in (subject, user or whose) if part]
    what = str(fields.get("problem") or (event.cause.code if event.cause else event.name)).replace("_", " ")
    tail = {"started": "", "lasts": " still lasts", "ended": _ENDS[fields.get("resolution", "resolved")]}[status]
    return f"{what}{tail}{': ' if parts else ''}{', '.join(parts)}"


def _effect(served: Mapping[str, int]) -> str | None:
    """Return whether apps are down now; None where no Page is concerned."""
    number, down = sum(served.values()), sum(served.get(word, 0) for word in ("broken", "absent"))
    if not number:
        return None
    pages = "1 Page" if number == 1 else f"{number:,} Pages"
    if down:
        return f"Apps have no valid token for {down:,} of {pages} now."
    if served.get("verified", 0) == number:
        return f"Apps have a valid token for {'this Page' if number == 1 else f'all {pages}'} now."
    return f"Apps are not known to be down. {number - served.get('verified', 0):,} of {pages} could not be verified."


def _written(report: Report) -> Iterator[dict[str, Any]]:
    secrets = [
        _secret(page, entry)
        for page in report.pages
        for entry in page.stores
        if entry.action in WRITTEN and entry.reason not in _SAME_VALUE
    ]
    for start in range(0, len(secrets), MOST_SECRETS):
        part = secrets[start : start + MOST_SECRETS]
        actions = Counter(secret["action"] for secret in secrets)
        counts = ", ".join(f"{count:,} {action}" for action, count in actions.items())
        yield {"kind": "written", "severity": "info", "title": f"secrets written: {counts}", "secrets": part}


def _secret(page: PageEntry, entry: StoreEntry) -> dict[str, Any]:
    return {
        "page": page.name,
        "page_id": page.id,
        "store": entry.key.store,
        "path": entry.key.path,
        "action": entry.action.value,
        "reason": entry.reason,
        "version": entry.version,
        "fingerprint": entry.fingerprint,
        "previous_fingerprint": entry.previous_fingerprint,
        "confirmed": entry.confirmed,
    }


_SECTION = 2900
"""Characters; Slack refuses a section of more than 3,000."""
_BROKEN_ENTITY = re.compile(r"&[a-z]{0,4}$")


def slack(message: Message, link: str | None = None) -> dict[str, Any]:
    """Return a message as an incoming webhook of Slack takes it: a text, and blocks within Slack's limits."""
    title = f"[{message['instance']}] {message['title']}"
    sections = [f"*{_escaped(title, 500)}*\n{_escaped(message.get('effect', ''), 500)}".rstrip()]
    if "message" in message:
        sections.append(_escaped(message["message"], _SECTION))
    if "remedy" in message and message.get("status") != "ended":
        owner = _OWNERS.get(message.get("owner", ""), "")
        sections.append(f"*Action required: {owner}.*\n" * bool(owner) + _escaped(message["remedy"], _SECTION - 100))
    also = ", ".join(one["title"] for one in message.get("also", ()))
    if also:
        sections.append(_escaped(f"Also: {also}.", _SECTION))
    names = _page_names(message)
    if names:
        sections.append(_escaped(names, _SECTION))
    foot = " · ".join(
        filter(
            None, (f"since {message['since']}" if "since" in message else "", _escaped(message.get("cycle", ""), 100))
        )
    )
    blocks: list[dict[str, Any]] = [{"type": "section", "text": _mrkdwn(text)} for text in sections]
    if link is not None:
        foot = f"<{_escaped(link, 1000)}|Open the status page>" + (f" · {foot}" if foot else "")
    if foot:
        blocks.append({"type": "context", "elements": [_mrkdwn(foot)]})
    effect = message.get("effect") or message.get("message", "")
    return {"text": _escaped(f"{title}. {effect}", _SECTION), "blocks": blocks}


def _page_names(message: Message) -> str:
    secrets = message.get("secrets", ())
    names = list(dict.fromkeys(secret["page"] for secret in secrets)) or message.get("pages", ())
    number = len(names) if secrets else message.get("page_count", 0)
    if number <= 1 and not secrets:
        return ""
    shown = names[:MOST_NAMED]
    more = f" and {number - len(shown):,} more" if number > len(shown) else ""
    return f"Pages: {', '.join(shown)}{more}" if shown else ""


def _mrkdwn(text: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": text}


def _escaped(text: str, limit: int) -> str:
    """Return a text in which nothing is a link, a mention or markup of Slack's, of at most ``limit`` characters."""
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return safe if len(safe) <= limit else _BROKEN_ENTITY.sub("", safe[: limit - 1]) + "…"
