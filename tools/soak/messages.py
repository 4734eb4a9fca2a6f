"""Compare the notifications that arrived with the reports and the log: each is true, each comes once, and none is missing. Pure."""

from __future__ import annotations

import html
import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync.core.problems import CATALOGUE
from tools.soak.cycles import READING, Cycle, Cycles, is_since, seconds
from tools.soak.receivers import Arrival

Json = Mapping[str, Any]

_OF_A_PERSON = ("brake", "weaker")
_CONFIG = "config rejected"
_ULID = 26
_SEEN_WITHIN = 30.0
"""Seconds from an edit to its message: it waits for the running cycle, on a busy machine."""
_NOT_SENT = ("served_changed", "system_user_renewed", "page_written", "cycle_started", "cycle_finished", "page_checked")


def wrong(cycles: Cycles, arrivals: Sequence[Arrival], *, is_end: bool) -> Iterator[str]:
    """Yield each message that is untrue or repeated; at the end also each that is missing."""
    messages: dict[str, list[Json]] = defaultdict(list)
    seen: dict[str, Arrival] = {}
    newest = ""
    for arrival in arrivals:
        message = json.loads(arrival.body)
        before = seen.get(message["id"])
        if before is not None:
            yield from _again(message, before, arrival, cycles)
            seen[message["id"]] = arrival
            continue
        seen[message["id"]] = arrival
        if message["id"][:_ULID] < newest[:_ULID]:
            yield f"message {message['id']} arrived after {newest}"
        newest = max(newest, message["id"])
        if "cycle" not in message:
            yield from (f"message {message['id']} ({message['title']}): {what}" for what in of_edit(message, cycles))
            continue
        of = cycles.found.get(message["cycle"])
        if of is None:
            yield f"message {message['id']} is of no cycle: {message['title']}"
            continue
        for one in (message, *({**_head(message), **also} for also in message.get("also", ()))):
            messages[of.cycle].append(one)
            yield from (f"message {one['id']} ({one['title']}): {what}" for what in untrue(one, of, cycles))
    yield from _causes(cycles, messages, is_end=is_end)
    if is_end:
        yield from (f"message {name} was never taken" for name, arrival in seen.items() if not arrival.taken)
        yield from _missing(cycles, messages)


def _head(message: Json) -> Json:
    """Return what a message says for all causes in it; since when one lasts is its own."""
    return {name: message[name] for name in ("id", "kind", "status", "instance", "cycle", "at") if name in message}


def untrue(message: Json, of: Cycle, cycles: Cycles) -> Iterator[str]:
    """Yield what a message says that was not so at the end of its cycle."""
    if message["kind"] == "written":
        strangers = [one for one in message["secrets"] if _secret(one) not in [_secret(two) for two in of.written]]
        if strangers:
            yield f"{strangers} were not written"
        return
    names, code, ended = message["pages"], message.get("problem"), message["status"] == "ended"
    known = [name for name in names if name in of.served]
    if len(known) != len(names) and not (ended or of.is_check):
        yield f"{set(names) - set(known)} are no Pages of the cycle"
    having = [name for name in known if code in of.owners[name] or code in of.of_users]
    if code is not None and not ended and len(having) != len(names):
        yield f"{sorted(set(names) - set(having))} do not have {code}"
    if code is not None and not ended and code != "throttled":
        owners = frozenset().union(*(of.owners[name].get(code, ()) for name in having), of.of_users.get(code, ()))
        if message.get("owner") not in owners:
            yield f"{message.get('owner')} is to act, and the report says {sorted(owners)}"
    if not ended and len(names) == message["page_count"]:
        served = Counter(of.served[name] for name in known)
        if message["served"] != served:
            yield f"it says that {message['served']} are served, and that is {dict(served)}"
    down = sum(message["served"].get(word, 0) for word in ("broken", "absent"))
    if message["apps_down"] != down or (message.get("effect", "").startswith("Apps have no valid") != (down > 0)):
        yield f"it counts {message['apps_down']} down and says {message.get('effect')!r}, and {down} are"
    if ended:
        lasted = seconds(of.started_at) - seconds(message["since"])
        if abs(message["duration_seconds"] - lasted) > 1 + READING:
            yield f"it lasted {lasted:.0f} s, and the message says {message['duration_seconds']}"
    of_edits = [at for at, _ in cycles.edits] if message["title"].startswith(_CONFIG) else ()
    if any(0 <= seconds(message["since"]) - at <= _SEEN_WITHIN for at in of_edits):
        return
    if "since" in message and not is_since(message["since"], [one.started_at for one in cycles.found.values()]):
        yield f"it is since {message['since']}, when no cycle began"


def of_edit(message: Json, cycles: Cycles) -> Iterator[str]:
    """Yield that a message between two cycles says of the configuration what was not so within the seconds before it."""
    at = seconds(message["at"])
    before = [is_broken for since, is_broken in cycles.edits if since <= at - _SEEN_WITHIN][-1:]
    recent = [is_broken for since, is_broken in cycles.edits if at - _SEEN_WITHIN < since <= at + 1]
    if message.get("kind") != "problem" or not message["title"].startswith(_CONFIG):
        yield "it is of no cycle and of no edit"
    if (message["status"] != "ended") not in (*before, *recent):
        yield f"it is {message['status']}, and the newest edits were {before + recent} (invalid)"


def heartbeats(cycles: Cycles, arrivals: Sequence[Arrival], path: str) -> Iterator[str]:
    """Yield each ping that says otherwise than the result of the cycle before it."""
    whole = [one for one in cycles.found.values() if not one.is_check]
    for arrival in arrivals:
        before = bisect_right(whole, arrival.at, key=lambda one: one.recorded_at)
        # The newest report may be in the making of its ping, while that of the one before is sent.
        results = [one.result for one in whole[max(before - 2, 0) : before]]
        if (arrival.path != path) not in [result in ("failed", "held") for result in results]:
            yield f"a ping to {arrival.path} at {arrival.at:.1f}, after {results}"


def slack(messages: Sequence[Json], arrivals: Sequence[Arrival], instance: str) -> Iterator[str]:
    """Yield each message in Slack's form that is not one of the others, and at the end each that is missing there."""
    wanted = Counter((message.get("cycle", ""), f"[{instance}] {message['title']}") for message in messages)
    found: Counter[tuple[str, str]] = Counter()
    bodies = list(dict.fromkeys(arrival.body for arrival in arrivals))
    for body in bodies:
        content = json.loads(body)
        title = html.unescape(content["blocks"][0]["text"]["text"].split("\n")[0]).strip("*")
        feet = [block["elements"][0]["text"].split(" · ")[-1] for block in content["blocks"] if "elements" in block]
        found[feet[0] if feet and feet[0].isalnum() else "", title] += 1
        if not html.unescape(content["text"]).startswith(title):
            yield f"a message for Slack has the title {title!r} and the text {content['text']!r}"
    for key in found.keys() - wanted.keys():
        yield f"Slack was sent {key}, and the other receiver was not"
    for key in wanted.keys() - found.keys():
        yield f"Slack was not sent {key}"


def _again(message: Json, before: Arrival, arrival: Arrival, cycles: Cycles) -> Iterator[str]:
    """Yield that a message came again, though it had been taken and no daemon was started since."""
    if before.taken and not any(before.at - 1 < start <= arrival.at for start in cycles.starts):
        yield f"message {message['id']} came again, though it had been taken"


@dataclass
class _Cause:
    """What was announced of one cause: the Pages that have it now, when it began, and which Pages it began for, by who must act.

    ``of_token``: the system user's token had it too.
    """

    is_open: bool = False
    of_token: bool = False
    pages: set[str] = field(default_factory=set)
    began: set[str] = field(default_factory=set)
    ever: dict[str | None, set[str]] = field(default_factory=lambda: defaultdict(set))


_Causes = dict[tuple[object, ...], _Cause]


def _causes(cycles: Cycles, messages: Mapping[str, Sequence[Json]], *, is_end: bool) -> Iterator[str]:
    """Yield each beginning of what had begun, each end of what had not, and at the end each problem without a beginning."""
    causes: _Causes = defaultdict(_Cause)
    again = False
    for name, of in cycles.found.items():
        for message in sorted(messages.get(name, ()), key=_step_order):
            # The beginning of a rejected edit belongs to no cycle, and a foreign write has no end.
            is_cause = message["kind"] == "problem" and not message["title"].startswith(_CONFIG)
            if is_cause and message.get("problem") != "foreign-write":
                yield from (f"message {message['id']}: {what}" for what in _step(causes, message, of, again=again))
        _share(causes, of)
        if is_end and name not in cycles.killed:
            yield from (f"cycle {name}: {what}" for what in _unannounced(causes, of))
        if name in cycles.forgot:
            causes = defaultdict(_Cause)
        # What was announced last before a kill may not be remembered: it is announced again.
        again = name in cycles.killed


def _step_order(message: Json) -> tuple[bool, bool]:
    """Return the order in which a cycle's messages count: a Page that was removed may have had a cause that ends for the others."""
    return message.get("status") == "ended", message.get("resolution") != "removed"


def _step(causes: _Causes, message: Json, of: Cycle, *, again: bool) -> Iterator[str]:
    """Yield what a message repeats or has from nowhere, and note what it announces."""
    known = causes[tuple(message.get(name) for name in ("problem", "system_user", "store", "error_code"))]
    # A problem that no Page has is the system user's, the app's or the store's own; warnings differ by their texts alone.
    names = set(message["pages"]) or ({""} if "problem" in message else set())
    title, since = message["title"], message.get("since")
    if since is not None and not is_since(since, known.began):
        yield f"{title} is since {since}, and began {sorted(known.began)}"
    match message["status"]:
        case "started":
            had = known.ever[message.get("owner")]
            lasts = names and names <= known.pages and not _has_another_owner(message, of)
            if since is None and not again and ((had and names <= had) or lasts):
                yield f"{title} had begun before"
            known.is_open = True
            known.pages |= names
            had |= names
            known.began |= {of.started_at} if since is None else set()
        case "ended":
            if not known.is_open and not again:
                yield f"{title}, and it did not last"
            is_removed = message.get("resolution") == "removed"
            # What the token had too is over for all of its Pages at once.
            known.pages -= known.pages if names == {""} or (known.of_token and not is_removed) else names
            known.of_token &= is_removed
            if is_removed:
                known.ever.clear()
            known.is_open = bool(known.pages) or known.of_token
        case _:
            if message.get("reason") not in _OF_A_PERSON:
                yield f"{title} within an hour"


def _share(causes: _Causes, of: Cycle) -> None:
    """Note the Pages that have what was announced of their system user's token, while the token has it."""
    for (code, user, *_), known in causes.items():
        if known.is_open and code in of.codes_of_users.get(str(user), ()):
            known.of_token = True
            known.pages |= {name for name, owners in of.owners.items() if code in owners and of.users[name] == user}


def _has_another_owner(message: Json, of: Cycle) -> bool:
    """Check whether the cause may last for others while it begins for this owner; of a check, other Pages are not known."""
    code = message.get("problem")
    owners = frozenset().union(*(owners.get(code, ()) for owners in (*of.owners.values(), of.of_users)))
    return of.is_check or bool(owners - {message.get("owner")})


def _unannounced(causes: _Causes, of: Cycle) -> Iterator[str]:
    """Yield the problems of a cycle that were not announced, or whose end was announced last."""
    for name, owners in of.owners.items():
        for code in owners:
            # What a system user's own token has too, its Pages share.
            shared = CATALOGUE[code].scope != "page" or code in of.of_users
            if code != "foreign-write" and not any(
                group[0] == code
                and known.is_open
                # What the token alone had, each of its Pages may have next.
                and (shared or name in known.pages or ("" in known.pages and of.users[name] == group[1]))
                for group, known in causes.items()
            ):
                yield f"{name} has {code}, and no message says so"


def _missing(cycles: Cycles, messages: Mapping[str, Sequence[Json]]) -> Iterator[str]:
    """Yield each line of the log and each write without its message; those of a daemon's last cycle may come with the next."""
    for name, lines in cycles.lines.items():
        if name in cycles.killed:
            continue
        logged = Counter(_line(line) for line in lines if _is_sent(line))
        sent = Counter(_line(message) for message in messages.get(name, ()) if message["kind"] == "problem")
        for key in logged.keys() | sent.keys():
            if logged[key] != sent[key]:
                yield f"cycle {name}: {key} was logged {logged[key]} times and sent {sent[key]} times"
        written = Counter(_secret(one) for one in cycles.found[name].written)
        sent = Counter(
            _secret(one)
            for message in messages.get(name, ())
            if message["kind"] == "written"
            for one in message["secrets"]
        )
        if written != sent:
            yield f"cycle {name}: of the writes {set(written) ^ set(sent)} were written or sent alone"


def _is_sent(line: Json) -> bool:
    if line["event"] in _NOT_SENT or line["event"] in ("page_lost", "page_regained"):
        return False
    by_configuration = "reason" in line and line["reason"] not in _OF_A_PERSON
    return not by_configuration and (line["level"] in ("warning", "error") or line["event"] == "problem_ended")


def _line(of: Json) -> tuple[object, ...]:
    names = [of["page"]] if "page" in of else list(of.get("pages") or ())
    fields = ("problem", "owner", "system_user", "app", "store", "path", "error_code", "since")
    return (tuple(names), *(of.get(name) for name in fields))


def _secret(of: Json) -> tuple[object, ...]:
    return tuple(
        of[name] for name in ("page", "store", "action", "reason", "version", "fingerprint", "previous_fingerprint")
    )
