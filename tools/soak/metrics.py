"""Compare a scrape of the daemon with its last report and with what all its cycles did. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as parse

from tools.soak.records import SERVED, State

Json = Mapping[str, Any]
Labels = frozenset[tuple[str, str]]
Scrape = Mapping[str, Mapping[Labels, float]]
"""The value of each series, by the name of its metric without the prefix and by its labels."""

_PREFIX = "page_token_sync_"
_SECOND = 1.0
"""A report has whole seconds."""
_APP_REFUSED = frozenset({"app-secret-invalid", "app-blocked", "app-capability", "app-misconfigured"})


def read(text: str) -> Scrape:
    """Return the series of a scrape; raises ValueError where the text is not of Prometheus' format."""
    found: dict[str, dict[Labels, float]] = defaultdict(dict)
    for family in parse(text):
        for sample in family.samples:
            labels = frozenset(sample.labels.items())
            name = sample.name.removeprefix(_PREFIX)
            if labels in found[name]:
                raise ValueError(f"{sample.name} has the series {dict(labels)} twice")
            found[name][labels] = sample.value
    return found


def decreased(before: Scrape, now: Scrape) -> Iterator[str]:
    """Yield each counter of one process that went back or has gone."""
    for name, series in before.items():
        for labels, value in series.items() if name.endswith("_total") else ():
            after = now.get(name, {}).get(labels)
            if after is None or after < value:
                yield f"{name}{dict(labels)} went from {value:g} to {after}"


def wrong(scrape: Scrape, status: Json, states: Sequence[State]) -> Iterator[str]:
    """Yield each series that the report, or the sum over all cycles of any state, does not confirm, and each that is missing."""
    for name, series in _expected(status).items():
        yield from _differing(name, series, scrape.get(name, {}), _SECOND if "timestamp" in name else 0.0)
    yield from _app(scrape.get("app_valid", {}), status)
    duration = scrape.get("cycle_duration_seconds", {}).get(frozenset(), -1.0)
    if abs(duration - status["duration_seconds"]) > 0.001:
        yield f"cycle_duration_seconds is {duration}, and the report says {status['duration_seconds']}"
    sums = [list(_sums(scrape, state)) for state in states]
    yield from min(sums, key=len, default=())


def _sums(scrape: Scrape, state: State) -> Iterator[str]:
    cycles = {_labels(result=result): float(state.cycles.get(result, 0)) for result in _RESULTS}
    yield from _differing("cycles_total", cycles, scrape.get("cycles_total", {}))
    writes = {
        _labels(store=store, action=action, reason=reason): float(number)
        for (store, action, reason), number in state.writes.items()
    }
    yield from _differing("writes_total", writes, scrape.get("writes_total", {}))
    succeeded = {_labels(): _seconds(state.succeeded_at)} if state.succeeded_at is not None else {}
    name = "last_success_timestamp_seconds"
    yield from _differing(name, succeeded, scrape.get(name, {}), _SECOND)
    for name, number in (("graph_requests_total", state.graph_requests), ("graph_calls_total", state.graph_calls)):
        counted = sum(scrape.get(name, {}).values())
        if counted != number:
            yield f"the series of {name} are {counted:g} in all, and the reports {number}"


_RESULTS = ("ok", "degraded", "failed", "held")


def _expected(status: Json) -> Mapping[str, Mapping[Labels, float]]:
    pages = status["pages"]
    targets = [(page, target) for page in pages for target in page["stores"]]
    stores = list(dict.fromkeys(target["store"] for _, target in targets))
    served = Counter((target["served"], target["store"]) for _, target in targets)
    orphans = Counter(orphan["store"] for orphan in status["orphans"])
    problems: dict[tuple[str, str], set[str]] = defaultdict(set)
    for page in pages:
        for problem in _problems(page):
            problems[problem["code"], problem["owner"]].add(page["name"])
    for user in status["system_users"]:
        names = {page["name"] for page in pages if page["system_user"] == user["name"]}
        for problem in user["problems"]:
            problems[problem["code"], problem["owner"]] |= names
    return {
        "pages": {_labels(served=word, store=store): float(served[word, store]) for store in stores for word in SERVED},
        "page_served": {
            _labels(page=page["name"], store=target["store"], served=target["served"]): 1.0 for page, target in targets
        },
        "page_problem": {
            _labels(page=page["name"], code=problem["code"]): 1.0 for page in pages for problem in _problems(page)
        },
        "page_last_verified_timestamp_seconds": {
            _labels(page=page["name"]): min(known)
            for page in pages
            if (known := [_seconds(target["verified_at"]) for target in page["stores"] if target["verified_at"]])
        },
        "page_token_expiry_timestamp_seconds": {
            _labels(page=page["name"]): _seconds(page["expires_at"]) for page in pages if page["expires_at"]
        },
        "problems": {_labels(code=code, owner=owner): float(len(names)) for (code, owner), names in problems.items()},
        "system_user_valid": {
            _labels(system_user=user["name"]): float(user["verdict"] == "valid")
            for user in status["system_users"]
            if user["verdict"] != "unknown"
        },
        "system_user_token_expiry_timestamp_seconds": {
            _labels(system_user=user["name"]): _seconds(user["expires_at"])
            for user in status["system_users"]
            if user["expires_at"]
        },
        "store_up": {
            _labels(store=store): float(
                any(target["store"] == store and target["error_code"] is None for _, target in targets)
            )
            for store in stores
        },
        "brake_held": {
            _labels(): float(sum(target["action"] == "held" and target["reason"] == "brake" for _, target in targets))
        },
        "orphans": {_labels(store=store): float(orphans[store]) for store in dict.fromkeys((*stores, *orphans))},
        "last_cycle_timestamp_seconds": {_labels(): _seconds(status["finished_at"])},
        "next_cycle_timestamp_seconds": {_labels(): _seconds(status["next_cycle_at"])}
        if status["next_cycle_at"]
        else {},
        "config_last_reload_successful": {_labels(): float(status["config_error"] is None)},
    }


def _app(series: Mapping[Labels, float], status: Json) -> Iterator[str]:
    """Yield what an app's series says otherwise than the problems: 0 needs one that refuses the app, 1 none of the plainest."""
    codes = {problem["code"] for page in status["pages"] for problem in _problems(page)}
    codes |= {problem["code"] for user in status["system_users"] for problem in user["problems"]}
    judged = {_labels(app=user["app"]) for user in status["system_users"] if user["verdict"] != "unknown"}
    if not judged <= series.keys() or not set(series.values()) <= {0, 1}:
        yield f"app_valid is {dict(series)}, and the system users are judged of {judged}"
    for labels, value in series.items():
        if value == 0 and not codes & (_APP_REFUSED | {"address-not-allowed"}):
            yield f"app_valid{dict(labels)} is 0, and no problem refuses the app"
        if value == 1 and codes & {"app-blocked", "app-secret-invalid"}:
            yield f"app_valid{dict(labels)} is 1, and the app is refused: {sorted(codes)}"


def _problems(page: Json) -> Iterator[Json]:
    yield from page["problems"]
    for target in page["stores"]:
        yield from target["problems"]


def _differing(
    name: str, expected: Mapping[Labels, float], found: Mapping[Labels, float], tolerance: float = 0.0
) -> Iterator[str]:
    for labels in expected.keys() | found.keys():
        one, other = expected.get(labels), found.get(labels)
        if one is None or other is None or not -tolerance <= other - one <= tolerance:
            yield f"{name}{dict(labels)} is {other}, and follows as {one}"


def _labels(**labels: str) -> Labels:
    return frozenset(labels.items())


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
