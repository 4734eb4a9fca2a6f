"""Ask the running daemon for checks of Pages at random, and compare each answer with the reports."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.soak.looks import Watcher, fetched
from tools.soak.records import SERVED

Json = Mapping[str, Any]
TOKEN = "soak-web-token-0123456789"
_PATIENCE = 10.0
_SLACK = 3.0


@dataclass(frozen=True)
class Asked:
    """One request for a check, and its answer."""

    process: int
    page: str
    at: float
    until: float
    status: int
    body: Json


@dataclass
class Asker:
    """A thread that asks for checks now and then."""

    watcher: Watcher
    names: Callable[[], Sequence[str]]
    random: random.Random
    counts: dict[int, int] = field(default_factory=dict)
    _asked: list[Asked] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Start asking."""
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        """End the thread."""
        self._over.set()

    def taken(self) -> list[Asked]:
        """Return the answers since the last call."""
        with self._lock:
            asked, self._asked = self._asked, []
            return asked

    def _run(self) -> None:
        while not self._over.wait(self.random.uniform(0.5, 4)):
            process, address = self.watcher.process, self.watcher.address
            name = self.random.choice(self.names())
            wrong_token = self.random.random() < 0.05
            headers = {"Authorization": f"Bearer {'wrong' if wrong_token else TOKEN}"}
            at = time.time()
            try:
                status, text = fetched(address, "POST", f"/v1/pages/{name}/check", headers)
            except (OSError, http.client.HTTPException, ValueError):
                continue
            self.counts[status] = self.counts.get(status, 0) + 1
            if wrong_token != (status == 401):
                text = json.dumps({"reason": f"the answer to a {'wrong' if wrong_token else 'right'} token"})
                status = 0
            if process == self.watcher.process and status != 401:
                with self._lock:
                    self._asked.append(Asked(process, name, at, time.time(), status, json.loads(text)))


def wrong(asked: Asked, records: Sequence[Json], names: frozenset[str] | None) -> Iterator[str]:
    """Yield what is untrue of an answer, by the records of its process; ``names`` are the Pages, None where that is open."""
    body = asked.body
    match asked.status:
        case 200:
            yield from _found(asked, records)
        case 202:
            if asked.until - asked.at < _PATIENCE - 1:
                yield f"202 after {asked.until - asked.at:.1f} s"
        case 404:
            if names is not None and asked.page in names:
                yield f"404 for a Page of the configuration: {body}"
        case 429:
            yield from _too_many(asked, records)
        case 503 if "shutting down" in body.get("reason", ""):
            pass
        case _:
            yield f"the answer is {asked.status}: {body}"


def _found(asked: Asked, records: Sequence[Json]) -> Iterator[str]:
    """Yield what an answer says otherwise than the check, which is shared by all who asked at the same time."""
    body = asked.body
    if body["page"] != asked.page:
        yield f"the answer for {asked.page} is {body}"
    checks = [
        (number, page)
        for number, record in enumerate(records)
        if record["is_check"] and asked.at - _PATIENCE < record["recorded_at"] < asked.until
        for page in record["pages"]
        if page["name"] == asked.page
    ]
    for number, page in checks:
        worst = min(page["stores"], key=lambda target: SERVED.index(target["served"]))
        found = [(target["store"], target["served"], target["fingerprint"]) for target in page["stores"]]
        if (
            (body["served"], body["fingerprint"]) == (worst["served"], worst["fingerprint"])
            and [(one["store"], one["served"], one["fingerprint"]) for one in body["stores"]] == found
            and body["changed"] == any(one["changed"] for one in body["stores"])
            and body["changed"] in _changed(page, asked, records[:number])
        ):
            return
    yield f"the answer is {body}, and its check found {[page for _, page in checks]}"


def _changed(page: Json, asked: Asked, before: Sequence[Json]) -> set[bool]:
    """Return whether the secrets hold other tokens than in the reports from the asking to the check."""
    now = {target["store"]: target["fingerprint"] for target in page["stores"]}
    known = [
        (record["recorded_at"], {target["store"]: target["fingerprint"] for target in one["stores"]})
        for record in before
        for one in record["pages"]
        if one["name"] == page["name"]
    ]
    since = [old for at, old in known if at >= asked.at - _PATIENCE]
    earlier = [old for at, old in known if at < asked.at - _PATIENCE][-1:]
    # Where nothing was known before, the token is another one.
    return {not earlier} | {
        any(fingerprint is not None and fingerprint != old.get(store) for store, fingerprint in now.items())
        for old in (*earlier, *since)
    }


def _too_many(asked: Asked, records: Sequence[Json]) -> Iterator[str]:
    """Yield that a check was refused without a reason: no check within a minute, and no throttled app."""
    recent = [
        page["name"]
        for record in records
        if record["is_check"] and record["recorded_at"] > asked.at - 60 - _SLACK
        for page in record["pages"]
    ]
    if not asked.body.get("retry_after"):
        yield f"429 without retry_after: {asked.body}"
    if "quota" in asked.body.get("reason", ""):
        return
    if asked.page not in recent and len(recent) < 40:
        yield f"429, and the last minute had {len(recent)} checks, none of this Page: {asked.body}"
