"""The sandbox's truth over time, and whether a report agrees with it.

A cycle reads for some seconds while the services change, and a verdict of ``debug_token`` is used for a while. So a report
is right if each of its statements was true at some moment between the verdict, or the start of the cycle, and its end.
That is why each change is recorded with its time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

Json = Mapping[str, Any]

_SLACK = 1.5
"""Seconds: times in a report are whole seconds, and one more change may be in progress when it ends."""

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
    """Yield each statement of a report that was true at no moment of its cycle."""
    for page in report["pages"]:
        for what in _page(page, history.during(report, page["verified_at"])):
            yield f"{page['name']}: {what}"
        for target in page["stores"]:
            moments = history.during(report, target["verified_at"])
            for what in _target(page, target, moments, app_id):
                yield f"{page['name']} in {target['store']}: {what}"


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
