"""A state file that somebody or something has written into: an entry with an impossible number or moment is dropped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sync.core.ask.due import verify_interval
from sync.core.memory.access import Lost
from sync.core.memory.memory import Judged, Memory, token_id
from sync.core.memory.pace import calls_per_hour
from sync.core.memory.problems import OpenProblem, ProblemKey, Reported
from sync.core.memory.quota import Pool, QuotaKey, Throttle
from sync.core.memory.renewal import Renewal, RenewalRule
from sync.core.model import Ask, GraphErrorFacts, Key, SourceError, State, TokenFacts
from sync.core.problems import Problem
from sync.core.report.json import as_json
from sync.graph.quotas import Quotas
from sync.state import StateFile, decode
from tests.support.clock import FakeClock, SequentialClock
from tests.support.fakes import Stage
from tests.support.logs import names_internal_error
from tests.support.values import APP_ID, FETCHED, INSTANCE, KEY, NOW, USER_TOKEN_FINGERPRINT, facts

Leaf = tuple[str | int, ...]

ENDS = {"expires_at", "data_access_expires_at", "issued_at", "last_seen", "probed_at"}
HOUR = timedelta(hours=1)
"""Meta's own moments, which may lie in any year."""
CODES = {"code", "subcode", "graph_code", "graph_subcode"}
"""Meta's own numbers, of which nothing is ever computed."""
NO_ACCESS = Problem("no-access", "No.", graph_code=190, graph_subcode=460, fbtrace_id="trace")
POOL = Pool(
    used=60.0, reported_at=NOW, ceiling=400.0, measured=True, steady=400.0, base=50.0, counted=3, busy_from=NOW,
    busy_at=NOW, frozen_until=NOW - timedelta(minutes=9), freezes=2, thawed_at=NOW, spent_at=NOW,
)  # fmt: skip
FACTS = facts(
    asked_at=NOW - timedelta(hours=1),
    profile_id="100",
    expires_at=NOW + timedelta(days=50),
    data_access_expires_at=NOW + timedelta(days=80),
    issued_at=NOW - timedelta(days=9),
    error=GraphErrorFacts(190, 460, "Said.", "trace"),
)


def stage() -> Stage:
    """Set a stage with a Page that is well and one that is out of reach, under a token that is to be renewed."""
    made = Stage("berlin", "rome")
    made.clock = made.world.clock = SequentialClock()
    made.cycle()
    made.world.errors["rome"] = SourceError(NO_ACCESS, State.INVALID)
    made.world.users[made.world.user_token] = made.world.user_facts(expires_at=NOW + timedelta(days=5))
    made.changes["renewal_rules"] = {"main": RenewalRule(KEY, "token", timedelta(days=14))}
    return made


def full(of: Stage) -> Memory:
    """Make a memory in which nothing is left open."""
    token = of.world.token(of.pages[0])
    lost = Lost(NO_ACCESS, NOW - timedelta(hours=2), 7.5, "", 3, individually=True, alarm=NOW, waits=2, left=1)
    return Memory(
        judged={
            token_id(APP_ID, token): Judged(
                FACTS,
                USER_TOKEN_FINGERPRINT,
                NOW,
                "refused",
                GraphErrorFacts(190, 492, "Said.", "trace"),
                counts_for=HOUR,
                last_seen=NOW,
            )
        },
        lost={"rome": lost, "berlin": replace(lost, alarm=NOW, individually=False)},
        tried={"berlin": NOW},
        overwritten={of.pages[0].targets[0]: NOW},
        waiting={of.pages[0].targets[0]: NOW},
        let_through={of.pages[0].targets[0]: "0" * 64},
        pools={QuotaKey(APP_ID): POOL},
        renewals={
            "main": Renewal(
                NOW,
                USER_TOKEN_FINGERPRINT,
                KEY,
                FETCHED.fingerprint,
                "8",
                problem=replace(NO_ACCESS, code="renewal-failed"),
            )
        },
        warned_days={USER_TOKEN_FINGERPRINT: 7},
        short_lists={"main": NOW},
        read_at=NOW,
        reported=Reported(
            problems={
                ProblemKey("no-access", "page", "main", "business-admin", page="rome"): OpenProblem(
                    NOW - timedelta(hours=2), NOW, NOW, NOW, recurs=True, pages=("rome",), page_count=1
                )
            },
            served={"vault": {"verified": ("rome",)}},
        ),
    )


def written(path: Path) -> Any:
    """Write the whole memory, and give the file's JSON."""
    StateFile(path, INSTANCE, clock=FakeClock()).save(full(stage()))
    return json.loads(path.read_text())


def loaded(path: Path, content: Any) -> tuple[Memory, str]:
    """Load a file of this content: the memory, and the warning."""
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    one = StateFile(path, INSTANCE, clock=FakeClock())
    return one.load(), one.warning


def leaves(value: Any, above: Leaf = ()) -> Iterator[tuple[Leaf, Any]]:
    """Return every value that is no mapping and no list, with the way to it."""
    if isinstance(value, dict | list):
        for name, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(below, (*above, name))
    else:
        yield above, value


def put(content: Any, leaf: Leaf, value: Any) -> Any:
    """Return the same content with another value at one leaf."""
    copy = deepcopy(content)
    at = copy
    for step in leaf[:-1]:
        at = at[step]
    at[leaf[-1]] = value
    return copy


def without(content: Any, leaf: Leaf) -> Memory:
    """Return the memory of the same content without the entry that a leaf is in."""
    memory, dropped = decode(content, NOW)
    assert dropped == 0
    part, name = leaf[0], leaf[1] if len(leaf) > 1 else None
    match part:
        case "tokens":
            return replace(memory, judged={})
        case "overwritten" | "waiting" | "let_through":
            return replace(memory, **{part: {}})
        case "problems" | "served":
            return replace(memory, reported=replace(memory.reported, **{part: {}}))
        case "read_at":
            return replace(memory, read_at=None)
        case _:
            kept = {key: entry for key, entry in getattr(memory, str(part)).items() if str(key) != name}
            return replace(memory, **{str(part): kept})


def is_dropped(path: Path, content: Any, leaf: Leaf, value: Any) -> bool:
    """Check whether another value at a leaf drops exactly the entry that it is in, with a warning."""
    memory, warning = loaded(path, put(content, leaf, value))
    if leaf == ("format",):
        return (memory, "another version" in warning) == (Memory(), True)
    return (memory, "invalid entries (1)" in warning) == (without(content, leaf), True)


def is_moment(value: Any) -> bool:
    """Check whether a leaf is a moment, as they are written."""
    return isinstance(value, str) and value.startswith(("2026-", "2027-"))


def is_number(value: Any) -> bool:
    """Check whether a leaf is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


MOMENTS: list[Any] = [
    "2026-11-25T12:00:00", "2026-11-25", "2026-11-25T12:00:00+02:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "", "now", True, float("nan"), float("inf"), 1e300, [], {},
]  # fmt: skip
"""What is not a moment as it is written, at whatever location."""
NUMBERS: list[Any] = [float("nan"), float("inf"), float("-inf"), 1e308, 10**400, -1, "x", [], {}]
"""What is not a number as it is written, at whatever location."""


def test_nothing_is_left_open(tmp_path: Path) -> None:
    """What the other tests begin with has every moment and every number of the file."""
    found = dict(leaves(written(tmp_path / "state.json")))
    assert [leaf for leaf, value in found.items() if value is None] == []
    computed = {leaf[-1] for leaf, value in found.items() if is_moment(value) or is_number(value)}
    kinds = (TokenFacts, GraphErrorFacts, Judged, Lost, Pool, Renewal, OpenProblem)
    declared = {
        one.name for kind in kinds for one in fields(kind) if re.search("datetime|Expiry|int|float", str(one.type))
    }
    assert declared - computed == set()


def test_what_is_no_moment_is_dropped(tmp_path: Path) -> None:
    """Without an offset, in another zone, or none at all: the entry with such a moment is dropped, and all others are used."""
    content = written(tmp_path / "state.json")
    for leaf, value in leaves(content):
        if is_moment(value):
            for hostile in MOMENTS:
                assert is_dropped(tmp_path / "state.json", content, leaf, hostile), (leaf, hostile)


@pytest.mark.parametrize("hostile", ["-P1D", "P99999D", "soon", "1e300", [], {}, 10**400])
def test_length_that_no_answer_counts_for_is_dropped(tmp_path: Path, hostile: object) -> None:
    """How long an answer counts is neither negative nor longer than ten years."""
    content = written(tmp_path / "state.json")
    assert is_dropped(tmp_path / "state.json", content, ("tokens", 0, "judged", "counts_for"), hostile)


def test_what_lies_in_the_future_is_dropped(tmp_path: Path) -> None:
    """A moment may lie as far in the future as a clock that is set back leaves it, and no further; a token's expiry may."""
    content = written(tmp_path / "state.json")
    for leaf, value in leaves(content):
        if is_moment(value):
            for future, is_used in (("2026-11-27T11:00:00Z", True), ("2026-11-28T00:00:00Z", False)):
                used = is_used or leaf[-1] in ENDS
                assert is_dropped(tmp_path / "state.json", content, leaf, future) != used, (leaf, future)
                memory, warning = loaded(tmp_path / "state.json", put(content, leaf, future))
                assert (memory != Memory(), warning == "") == (True, used), (leaf, future)


def test_what_is_no_number_is_dropped(tmp_path: Path) -> None:
    """Not a number, infinite, too large, or negative: the entry with such a number is dropped, and all others are used."""
    content = written(tmp_path / "state.json")
    for leaf, value in leaves(content):
        if is_number(value) and leaf[-1] not in CODES:
            for hostile in NUMBERS:
                assert is_dropped(tmp_path / "state.json", content, leaf, hostile), (leaf, hostile)


@pytest.mark.parametrize("field", ["ceiling", "steady"])
def test_quota_of_nothing_is_dropped(tmp_path: Path, field: str) -> None:
    """Much is divided by the size of a quota."""
    content = written(tmp_path / "state.json")
    for hostile in (0, 1e-9, 1e-300):
        assert is_dropped(tmp_path / "state.json", content, ("pools", str(QuotaKey(APP_ID)), field), hostile)


def test_problem_that_this_version_does_not_know_is_dropped(tmp_path: Path) -> None:
    """A problem code of a later version is no error of this program."""
    content = written(tmp_path / "state.json")
    for leaf in (("lost", "rome", "problem", "code"), ("renewals", "main", "problem", "code")):
        assert is_dropped(tmp_path / "state.json", content, leaf, "of-tomorrow")


@pytest.mark.parametrize(
    "part",
    ["tokens", "lost", "tried", "overwritten", "waiting", "let_through", "pools", "renewals", "problems", "served"],
)
@pytest.mark.parametrize("hostile", [None, 1, "x", True])
def test_part_that_is_no_object_and_no_list_is_dropped(tmp_path: Path, part: str, hostile: Any) -> None:
    """Where a whole part is something else, it counts as one entry, and all other parts are used."""
    content = written(tmp_path / "state.json")
    memory, warning = loaded(tmp_path / "state.json", {**content, part: hostile})
    whole = decode(content, NOW)[0]
    if part in ("problems", "served"):
        assert memory == replace(whole, reported=replace(whole.reported, **{part: {}}))
    else:
        assert memory == replace(whole, **{"judged" if part == "tokens" else part: {}})
    assert "invalid entries (1)" in warning


TAKEN: list[Any] = [
    None, 0, 1, 0.1, 1000, 10**9, 10**300, -(10**300), 1e11, 1764072000, "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z",
    "2026-11-27T12:00:00Z", "9999-12-31T23:59:59Z", "2026-11-25T11:59:59.999999Z",
]  # fmt: skip
"""What may be accepted at some locations, and is on the edge of it."""


@pytest.mark.slow
def test_cycles_go_on_with_whatever_is_accepted(tmp_path: Path) -> None:
    """Whatever value stands at whatever location: its entry is dropped, or cycles go on with it as with any other."""
    content = written(tmp_path / "state.json")
    taken = 0
    for leaf, value in leaves(content):
        if is_moment(value) or is_number(value):
            for hostile in TAKEN:
                memory, warning = loaded(tmp_path / "state.json", put(content, leaf, hostile))
                if not warning:
                    taken += 1
                    _bears(memory, tmp_path / "after.json", (leaf, hostile))
    assert taken > 100


def _bears(memory: Memory, path: Path, why: object) -> None:
    """Go on with a memory for some cycles and calls, and save what is left of it as something that is used again."""
    made = stage()
    made.memory, made.remembers = memory, True
    file = StateFile(path, INSTANCE, clock=made.clock)
    for _ in range(2):
        report = made.cycle()
        assert not names_internal_error(json.dumps(as_json(report))), why
        made.clock.passed += 900
    file.save(replace(made.memory, pools=_asked(memory.pools, made.clock)))
    assert (file.load() != Memory(), file.warning) == (True, ""), why


def _asked(pools: Any, clock: FakeClock) -> Any:
    """Ask, get answers and be throttled on quotas; return what is known of them then."""
    kinds: tuple[Throttle, ...] = ("backoff", "stated")
    for kind in kinds:
        quotas = Quotas(pools, 0.75, clock)
        for name, pool in pools.items():
            assert verify_interval(timedelta(hours=1), tokens=100_000, calls_per_hour=calls_per_hour(pool, 0.05)) * 2
            quotas.frozen_until(name)
            quotas.reserve(name, [Ask(FETCHED), Ask(FETCHED, urgent=True)])
            quotas.record_app_usage(name, '{"call_count": 70}', 50)
            quotas.allowance(name)
            quotas.freeze(name, kind, timedelta(minutes=5))
            quotas.record_app_usage(name, "99%", 1)
    return quotas.pools() if pools else pools


def test_long_alarm_stays_small() -> None:
    """A Page that has been an alarm for years waits as long as ever, by a number that is no longer than ever."""
    made = stage()
    made.memory, made.remembers = full(made), True
    for _ in range(100):
        made.cycle()
        made.clock.passed += 6 * 3600
    assert 0 < made.memory.lost["rome"].waits < 10**9
    assert Key("vault", "meta/pages/berlin") in made.stores["vault"].secrets
