"""Compare the notifications that arrived with the reports and the log: each is true, each comes once, and none is missing. Pure."""

from __future__ import annotations

import html
import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from sync.core.problems import CATALOGUE
from tools.soak.receivers import Arrival
from tools.soak.records import WRITTEN, page_served

Json = Mapping[str, Any]

_SAME_VALUE = ("labels", "marks")
_OF_A_PERSON = ("brake", "weaker")
_CONFIG = "config rejected"
_ULID = 26
_SEEN_WITHIN = 30.0
"""Seconds from an edit to its message: it waits for the running cycle, on a busy machine."""
_READING = 2.0
"""Seconds from the start of a cycle until it has read its credentials; both are written as whole seconds."""
_NOT_SENT = ("served_changed", "system_user_renewed", "page_written", "cycle_started", "cycle_finished", "page_checked")


@dataclass(frozen=True)
class Cycle:
    """What notifications may say of one cycle or check."""

    cycle: str
    started_at: str
    recorded_at: float
    is_check: bool
    result: str
    served: Mapping[str, str]
    owners: Mapping[str, Mapping[str, frozenset[str]]]
    """By the name of each Page, by the code of each of its problems and notices: who must act."""
    of_users: Mapping[str, frozenset[str]]
    written: tuple[Json, ...]


def cycle(record: Json) -> Cycle:
    """Return what is needed of a record."""
    return Cycle(
        record["cycle"],
        record["started_at"],
        record["recorded_at"],
        record["is_check"],
        record["result"],
        {page["name"]: page_served(page) for page in record["pages"]},
        {page["name"]: _owners(_of_page(page)) for page in record["pages"]},
        _owners([one for user in record["system_users"] for one in user["problems"]]),
        tuple(_written(record)),
    )


@dataclass
class Cycles:
    """The cycles of a soak test in order, with the log of each, and after which of them a daemon was killed.

    ``forgot`` are those after which the daemon's memory was deleted.
    """

    found: dict[str, Cycle] = field(default_factory=dict)
    lines: dict[str, Sequence[Json]] = field(default_factory=dict)
    killed: set[str] = field(default_factory=set)
    forgot: set[str] = field(default_factory=set)
    starts: list[float] = field(default_factory=list)
    edits: Sequence[tuple[float, bool]] = ()
    """The time of each edit of the configuration, and whether it is invalid."""

    _runs: dict[tuple[str, str], str] = field(default_factory=dict)
    """Since when each Page has each code in all cycles."""

    def add(self, record: Json) -> None:
        """Add the record of a cycle or a check."""
        of = self.found[record["cycle"]] = cycle(record)
        having = {(name, code) for name, owners in of.owners.items() for code in owners}
        for name, code in [key for key in self._runs if key not in having and (key[0] in of.owners or not of.is_check)]:
            del self._runs[name, code]
        for key in having:
            self._runs.setdefault(key, of.started_at)

    def was_killed(self, *, forgot: bool) -> None:
        """Note that the daemon was killed; what its last cycle found may begin again with the next one."""
        self.killed.add(self.last)
        self.forgot |= {self.last} if forgot else set()
        last = self.found[self.last].started_at if self.last else ""
        self._runs = {} if forgot else {key: since for key, since in self._runs.items() if since < last}

    def wrong_since(self, code: str, names: Sequence[str], since: str, until: str) -> Iterator[str]:
        """Yield that a problem began at another time than a page of the time ``until`` says.

        ``names`` are the Pages that have it. Where they share it, it may have begun with others: then there are none.
        """
        began = [one for one in self.found.values() if _is_in(since, [one.started_at])]
        if not any(
            code in one.of_users or any(code in one.owners.get(name, ()) for name in names or one.owners)
            for one in began
        ):
            yield f"it is since {since}, and no cycle found it then"
        late = [name for name in names if self._runs.get((name, code), until) < min(since, until)]
        if late:
            yield f"it is since {since}, and {late[0]} has it since {self._runs[late[0], code]}"

    @property
    def last(self) -> str:
        """The id of the last one."""
        return next(reversed(self.found), "")


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
        for one in (message, *({**message, **also} for also in message.get("also", ()))):
            messages[of.cycle].append(one)
            yield from (f"message {one['id']} ({one['title']}): {what}" for what in untrue(one, of, cycles))
    yield from _causes(cycles, messages, is_end=is_end)
    if is_end:
        yield from (f"message {name} was never taken" for name, arrival in seen.items() if not arrival.taken)
        yield from _missing(cycles, messages)


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
        lasted = _seconds(of.started_at) - _seconds(message["since"])
        if abs(message["duration_seconds"] - lasted) > 1 + _READING:
            yield f"it lasted {lasted:.0f} s, and the message says {message['duration_seconds']}"
    if "since" in message and not _is_in(message["since"], [one.started_at for one in cycles.found.values()]):
        yield f"it is since {message['since']}, when no cycle began"


def of_edit(message: Json, cycles: Cycles) -> Iterator[str]:
    """Yield that a message between two cycles says of the configuration what was not so within the seconds before it."""
    at = _seconds(message["at"])
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
    """What was announced of one cause: the Pages that have it now, when it began, and which Pages it began for, by who must act."""

    is_open: bool = False
    pages: set[str] = field(default_factory=set)
    began: set[str] = field(default_factory=set)
    ever: dict[str | None, set[str]] = field(default_factory=lambda: defaultdict(set))


_Causes = dict[tuple[object, ...], _Cause]


def _causes(cycles: Cycles, messages: Mapping[str, Sequence[Json]], *, is_end: bool) -> Iterator[str]:
    """Yield each beginning of what had begun, each end of what had not, and at the end each problem without a beginning."""
    causes: _Causes = defaultdict(_Cause)
    again = False
    for name, of in cycles.found.items():
        for message in messages.get(name, ()):
            # The beginning of a rejected edit belongs to no cycle, and a foreign write has no end.
            is_cause = message["kind"] == "problem" and not message["title"].startswith(_CONFIG)
            if is_cause and message.get("problem") != "foreign-write":
                yield from (f"message {message['id']}: {what}" for what in _step(causes, message, of, again=again))
        if is_end and name not in cycles.killed:
            yield from (f"cycle {name}: {what}" for what in _unannounced(causes, of))
        if name in cycles.forgot:
            causes = defaultdict(_Cause)
        # What was announced last before a kill may not be remembered: it is announced again.
        again = name in cycles.killed


def _step(causes: _Causes, message: Json, of: Cycle, *, again: bool) -> Iterator[str]:
    """Yield what a message repeats or has from nowhere, and note what it announces."""
    known = causes[tuple(message.get(name) for name in ("problem", "system_user", "store", "error_code"))]
    names, title, since = set(message["pages"]), message["title"], message.get("since")
    if since is not None and not _is_in(since, known.began):
        yield f"{title} is since {since}, and began {sorted(known.began)}"
    match message["status"]:
        case "started":
            had = known.ever[message.get("owner")]
            if since is None and not again and ((had and names <= had) or (names and names <= known.pages)):
                yield f"{title} had begun before"
            known.is_open = True
            known.pages |= names
            had |= names
            known.began |= {of.started_at} if since is None else set()
        case "ended":
            if not known.is_open and not again:
                yield f"{title}, and it did not last"
            known.pages -= names
            if message.get("resolution") == "removed":
                known.ever.clear()
            known.is_open = bool(known.pages)
        case _:
            if message.get("reason") not in _OF_A_PERSON:
                yield f"{title} within an hour"


def _unannounced(causes: _Causes, of: Cycle) -> Iterator[str]:
    """Yield the problems of a cycle that were not announced, or whose end was announced last."""
    for name, owners in of.owners.items():
        for code in owners:
            shared = CATALOGUE[code].scope != "page"
            if code != "foreign-write" and not any(
                group[0] == code and known.is_open and (shared or name in known.pages)
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


def _written(record: Json) -> Iterator[Json]:
    for page in record["pages"]:
        for target in page["stores"]:
            if target["action"] in WRITTEN and target["reason"] not in _SAME_VALUE:
                yield {"page": page["name"], **target}


def _of_page(page: Json) -> list[Json]:
    found = [*page["problems"], *page["notices"]]
    for target in page["stores"]:
        found += [*target["problems"], *target["notices"]]
    return found


def _owners(problems: Sequence[Json]) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for problem in problems:
        found[problem["code"]].add(problem["owner"])
    return {code: frozenset(owners) for code, owners in found.items()}


def _is_in(since: str, starts: Iterable[str]) -> bool:
    """Check whether a moment is that of a cycle: what it finds is since it has read the credentials."""
    return any(0 <= _seconds(since) - _seconds(start) <= _READING for start in starts)


@cache
def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
