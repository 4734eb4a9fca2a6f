"""The sandbox's truth over time, and whether a report agrees with it.

A cycle reads for some seconds while the services change, and a verdict of ``debug_token`` is used for a while. So a report
is right if each of its statements was true at some moment between the verdict, or the start of the cycle, and its end.
That is why each change is recorded with its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

Json = Mapping[str, Any]

_SLACK = 1.5
"""Seconds: times in a report are whole seconds, and one more change may be in progress when it ends."""

_OWNERS = frozenset({"operator", "app-admin", "business-admin", "meta", "nobody"})
_WRITTEN = ("created", "updated", "replaced")
_REFUSES_PAGE = frozenset({"no-access", "page-migrated", "not-a-page", "page-not-found", "two-factor-required"})
_OF_TOKEN = frozenset(
    {"token-invalid", "token-expired", "wrong-type", "wrong-app", "wrong-page", "missing-scope", "expires-too-soon"}
)


@dataclass(frozen=True)
class Moment:
    """The state from a time on: the sandbox's truth, and the disturbances of Graph and of the stores."""

    at: float
    truth: Json
    disturbed: frozenset[str]


_MAX_MOMENTS = 400
"""Some minutes of moments; a report is compared within seconds."""

_STALLED = frozenset({"graph stalled", "store aws"})
"""The services of the soak test's own process, which do not answer while it stalls."""


@dataclass
class History:
    """The moments of the last minutes, the last of which still holds; ``stalls`` are the times at which the soak test itself stalled."""

    moments: list[Moment] = field(default_factory=list)
    stalls: list[tuple[float, float]] = field(default_factory=list)

    def note(self, at: float, truth: Json, disturbed: frozenset[str]) -> None:
        """Record a change; unchanged tokens are shared with the moment before, to save memory."""
        if self.moments:
            before = self.moments[-1].truth["tokens"]
            tokens = {
                name: before[name] if before.get(name) == token else token for name, token in truth["tokens"].items()
            }
            truth = {**truth, "tokens": tokens}
        self.moments.append(Moment(at, truth, disturbed))
        del self.moments[:-_MAX_MOMENTS]

    def stalled(self, start: float, end: float) -> None:
        """Record that nothing was served in this time, without a fault."""
        self.stalls.append((start, end))

    def during(self, report: Json, verified_at: str | None = None) -> list[Moment]:
        """Return the moments that a report may describe, from the verdict on if that was before the cycle.

        The first moment after the cycle is included: it was recorded before the next change, and has the tokens that were issued
        during the cycle.
        """
        start, end = (datetime.fromisoformat(report[name]).timestamp() for name in ("started_at", "finished_at"))
        start = min(start, datetime.fromisoformat(verified_at).timestamp()) if verified_at is not None else start
        inside = [moment for moment in self.moments if start - _SLACK <= moment.at <= end + _SLACK]
        before = [moment for moment in self.moments if moment.at < start - _SLACK]
        after = [moment for moment in self.moments if moment.at > end + _SLACK]
        moments = before[-1:] + inside + after[:1]
        if any(start - _SLACK <= until and since <= end + _SLACK for since, until in self.stalls):
            return [replace(moment, disturbed=moment.disturbed | _STALLED) for moment in moments]
        return moments


def differences(report: Json, history: History, *, app_id: str) -> Iterator[str]:
    """Yield each statement of a report that was true at no moment of its cycle, and each change that it missed."""
    cycle = history.during(report)
    for user in report["system_users"]:
        for what in _problems(user["problems"], [user["name"]], cycle):
            yield f"system user {user['name']}: {what}"
    for page in report["pages"]:
        for what in _page(page, history.during(report, page["verified_at"])):
            yield f"{page['name']}: {what}"
        for what in _problems(page["problems"], [page["system_user"]], cycle):
            yield f"{page['name']}: {what}"
        for target in page["stores"]:
            moments = history.during(report, target["verified_at"])
            found = _problems(target["problems"], [page["system_user"]], cycle)
            for what in (*_target(page, target, moments, app_id), *_missed(page, target, cycle), *found):
                yield f"{page['name']} in {target['store']}: {what}"


def _missed(page: Json, target: Json, cycle: list[Moment]) -> Iterator[str]:
    """Yield a token that was invalid all through the cycle, while nothing was disturbed, and is called verified.

    Each cycle probes each stored token.
    """
    calm = not any(_graph_disturbed(moment) or moment.truth["app"]["blocked"] for moment in cycle)
    fingerprint = target["fingerprint"]
    if target["served"] == "verified" and calm and not any(_valid(m, fingerprint, page["id"]) for m in cycle):
        yield f"verified, but the token {fingerprint} was invalid all through the cycle"


def _problems(problems: Iterable[Json], users: Sequence[str], cycle: list[Moment]) -> Iterator[str]:
    """Yield a problem that nobody can act on, or whose cause was there at no moment of the cycle."""
    for problem in problems:
        code = problem["code"]
        if problem["owner"] not in _OWNERS or not problem["message"]:
            yield f"{code} is for {problem['owner']!r} to act: {problem['message']!r}"
        if problem["owner"] != "nobody" and not problem["remedy"]:
            yield f"{code} is for {problem['owner']} to act, and nothing says what to do"
        cause = _CAUSES.get(code)
        if cause is not None and not any(cause(moment) for moment in cycle):
            yield f"{code}, though {', '.join(users)} met no such thing"


def _page(page: Json, moments: list[Moment]) -> Iterator[str]:
    codes = [problem["code"] for problem in page["problems"]]
    fingerprint = page["fingerprint"]
    if page["fetched"] == "valid":
        if codes:
            yield f"valid, with the problems {codes}"
        if not any(_valid(moment, fingerprint, page["id"]) for moment in moments):
            yield f"the fetched token {fingerprint} is called valid, but was valid at no moment"
    elif page["fetched"] == "invalid":
        for code in codes:
            if code in _REFUSES_PAGE and not any(_refused(moment, page["id"]) for moment in moments):
                yield f"{code}, though Graph would have given its token"
            if code in _OF_TOKEN and not any(_faulty(moment, fingerprint, page["id"]) for moment in moments):
                yield f"{code}, though nothing was wrong with the token {fingerprint}"
    elif not codes:
        # Of tokens that change with each read one an hour is verified, while the stored one is valid.
        if not fingerprint or any(target["fingerprint"] == fingerprint for target in page["stores"]):
            yield "unknown, without a reason"
    elif not any(_graph_disturbed(moment) or not _users_valid(moment) for moment in moments):
        yield f"unknown ({codes}), though nothing was disturbed"


def _target(page: Json, target: Json, moments: list[Moment], app_id: str) -> Iterator[str]:
    fingerprint, served, action = target["fingerprint"], target["served"], target["action"]
    if served == "verified" and not any(_valid(moment, fingerprint, page["id"]) for moment in moments):
        yield f"verified, but the token {fingerprint} was valid at no moment"
    if served == "broken" and fingerprint and not any(_broken(m, fingerprint, page["id"], app_id) for m in moments):
        yield f"broken, but the token {fingerprint} was valid all the time"
    if served == "stale" and not any(moment.disturbed or not _users_valid(moment) for moment in moments):
        yield "stale, though nothing was disturbed"
    if action == "failed" and not any(_store_disturbed(moment, target["store"]) for moment in moments):
        yield f"failed ({target['error_code']}), though the store was not disturbed"
    if action in _WRITTEN and not any(_valid(moment, fingerprint, page["id"]) for moment in moments):
        yield f"{action} ({target['reason']}) with the token {fingerprint}, which was never valid"
    if action == "replaced" and target["reason"] == "heal":
        before = target["previous_fingerprint"]
        if not any(_broken(moment, before, page["id"], app_id) for moment in moments):
            yield f"replaced, though the token {before} was valid all the time"
    if action == "unchanged" and fingerprint != page["fingerprint"]:
        yield f"unchanged, though {page['fingerprint']} was fetched and {fingerprint} is stored"


def _dead_user(moment: Moment) -> bool:
    return not all(user["valid"] for user in moment.truth["system_users"].values())


def _blocked(moment: Moment) -> bool:
    return bool(moment.truth["app"]["blocked"]) or _graph_disturbed(moment)


def _valid(moment: Moment, fingerprint: str | None, page_id: str) -> bool:
    token = moment.truth["tokens"].get(fingerprint)
    return token is not None and token["valid"] and token["page_id"] == page_id


def _broken(moment: Moment, fingerprint: str | None, page_id: str, app_id: str) -> bool:
    token = moment.truth["tokens"].get(fingerprint)
    return token is None or not token["valid"] or token["page_id"] != page_id or token["app_id"] != app_id


def _faulty(moment: Moment, fingerprint: str | None, page_id: str) -> bool:
    token = moment.truth["tokens"].get(fingerprint)
    return (
        token is None
        or not token["valid"]
        or token["page_id"] != page_id
        or "pages_messaging" not in token["scopes"]
        or token["app_id"] != moment.truth["app"]["id"]
        or token["expires_at"] != 0
    )


def _refused(moment: Moment, page_id: str) -> bool:
    users = moment.truth["pages"][page_id]["system_users"].values()
    return not all(user["fetchable"] for user in users) or _graph_disturbed(moment)


def _users_valid(moment: Moment) -> bool:
    return all(user["valid"] for user in moment.truth["system_users"].values()) and not moment.truth["app"]["blocked"]


def _graph_disturbed(moment: Moment) -> bool:
    return any(what.startswith("graph") for what in moment.disturbed)


def _store_disturbed(moment: Moment, store: str) -> bool:
    return f"store {store}" in moment.disturbed


_CAUSES: Mapping[str, Callable[[Moment], bool]] = {
    "system-user-invalid": _dead_user,
    "app-blocked": _blocked,
    "app-secret-invalid": _graph_disturbed,
    "app-capability": _graph_disturbed,
    "throttled": _graph_disturbed,
    "graph-unavailable": _graph_disturbed,
    "debug-unavailable": _graph_disturbed,
    "unexpected-graph-error": _graph_disturbed,
    "two-factor-required": _graph_disturbed,
    "policy-blocked": _graph_disturbed,
    "clock-skew": lambda _: False,
    "credential-unavailable": lambda _: False,
    "secret-foreign": lambda _: False,
}
"""What must be so at some moment of a cycle whose report has this problem."""
