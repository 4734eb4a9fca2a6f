"""Which tokens debug_token is asked about now, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sync.core.ask.due import TABLE, asks, probes, verify_interval
from sync.core.ask.inputs import Inputs
from sync.core.memory.memory import Judged, Memory, Rhythm, token_id
from sync.core.memory.quota import Pool, QuotaKey
from sync.core.model import Absent, Fetched, Key, Page, SourceError, State, SystemUserToken, Verdict
from sync.core.problems import Problem
from sync.core.secret import Secret
from tests.support.values import (
    APP_ID,
    FETCHED,
    INSTANCE,
    KEY,
    NOW,
    OTHER,
    STORE_DOWN,
    USER_TOKEN,
    USER_TOKEN_FINGERPRINT,
    facts,
    marks,
    page,
    stored,
)

HOUR, DAY = timedelta(hours=1), timedelta(hours=24)
JUST, LATELY = NOW - timedelta(seconds=10), NOW - timedelta(minutes=20)
INVALID = {"is_valid": False}
UNFIT: dict[str, Any] = {"scopes": frozenset()}
REFUSED: dict[str, Any] = {"probe": "refused", "probed": NOW - timedelta(minutes=1)}
INVALID_USER = SourceError(
    Problem("system-user-invalid", "The session has expired.", graph_code=190), State.UNKNOWN, "system_user"
)
LOST = SourceError(Problem("no-access", "Graph says no.", graph_code=190), State.INVALID)


def judged(
    at: Any = LATELY,
    *,
    system_user_fingerprint: str | None = USER_TOKEN_FINGERPRINT,
    probe: Any = "answered",
    probed: Any = None,
    answered_since: bool = False,
    invalid_twice: bool = False,
    counts_for: timedelta | None = None,
    **of: Any,
) -> Judged:
    """Make what is remembered of a token."""
    known = Judged(facts(asked_at=at, **of), system_user_fingerprint, probed, probe)
    return replace(known, answered_since=answered_since, invalid_twice=invalid_twice, counts_for=counts_for)


def inputs(
    known: Mapping[Secret, Judged], *, fetched: Any = FETCHED, current: Any = None, used: float = 40.0, **changes: Any
) -> Inputs:
    """Make a cycle's readings of berlin, whose token is fetched and stored. ``used``: percent of the app's quota."""
    pools = {QuotaKey(APP_ID): Pool(used, NOW, ceiling=200.0, measured=True)}
    memory = Memory({token_id(APP_ID, token): one for token, one in known.items()}, pools=pools)
    whole = Inputs(
        pages=[page()],
        instance=INSTANCE,
        user_tokens={"main": SystemUserToken("main", "messenger", USER_TOKEN, Verdict(State.VALID))},
        fetched={"berlin": Fetched(fetched) if isinstance(fetched, Secret) else fetched},
        current={KEY: stored() if current is None else current},
        memory=memory,
        # So short a phase that the age alone decides; the phase has a test of its own.
        rhythm=Rhythm(DAY),
        now=NOW,
    )
    return replace(whole, **changes)


def asked(of: Inputs) -> list[tuple[Secret, bool]]:
    """Return what is asked about, and whether it is urgent."""
    return [(ask.token, ask.urgent) for ask in asks(of).get("messenger", ())]


OLD = stored(OTHER, marks=marks(OTHER))
UNMARKED = stored(marks=None, first=True)


@pytest.mark.parametrize(
    ("known", "changes", "wanted"),
    [
        pytest.param({FETCHED: judged()}, {}, [], id="judged lately"),
        pytest.param({}, {}, [(FETCHED, False)], id="never judged"),
        pytest.param({FETCHED: judged(NOW - 2 * DAY)}, {}, [(FETCHED, False)], id="judged two intervals ago"),
        pytest.param({FETCHED: judged(NOW + HOUR)}, {}, [(FETCHED, False)], id="judged in the future"),
        pytest.param({FETCHED: judged()}, {"force_verify": True}, [(FETCHED, False)], id="a person asks"),
        pytest.param({FETCHED: judged(system_user_fingerprint="another")}, {}, [(FETCHED, False)], id="another system user token since"),
        pytest.param({FETCHED: judged(system_user_fingerprint=None)}, {}, [], id="system user token not known then"),
        pytest.param({}, {"current": Absent()}, [(FETCHED, True)], id="no secret yet"),
        pytest.param({FETCHED: judged()}, {"current": Absent()}, [], id="no secret yet, and the write will ask"),
        pytest.param({}, {"current": stored(state="deleted", payload=None)}, [(FETCHED, True)], id="deleted"),
        pytest.param({}, {"current": stored(payload=None)}, [(FETCHED, True)], id="no token in it"),
        pytest.param({FETCHED: judged(**UNFIT)}, {"current": Absent()}, [(FETCHED, False)], id="no secret yet, the fetched one lacks a scope"),
        pytest.param({FETCHED: judged(**UNFIT)}, {"current": Absent(), "used": 60.0}, [], id="lacked a scope lately, the quota is scarce"),
        pytest.param({FETCHED: judged(**UNFIT)}, {}, [(FETCHED, False)], id="stored, and lacks a scope"),
        pytest.param({FETCHED: judged(NOW - HOUR, **UNFIT)}, {"used": 60.0}, [], id="stored, and lacks a scope, the quota is scarce"),
        pytest.param({}, {"current": Absent(), "pages": [page(hold=True)]}, [(FETCHED, False)], id="no secret yet, and held"),
        pytest.param({}, {"current": Absent(), "writes": False}, [(FETCHED, False)], id="no secret yet, nothing is written"),
        pytest.param(
            {FETCHED: judged(NOW - HOUR, **UNFIT)},
            {"current": Absent(), "used": 60.0},
            [(FETCHED, False)],
            id="lacked a scope an hour ago",
        ),
        pytest.param({FETCHED: judged()}, {"current": stored(marks=marks(instance="other"))}, [], id="another instance's"),
        pytest.param({FETCHED: judged()}, {"current": stored(payload=None, marks=marks(instance="other"))}, [], id="another instance's, no token"),
        pytest.param({FETCHED: judged()}, {"current": stored(blocked="scheduled-deletion", state="empty")}, [], id="blocked"),
        pytest.param({FETCHED: judged()}, {"current": STORE_DOWN}, [], id="store is down"),
        pytest.param({FETCHED: judged(**INVALID)}, {}, [(FETCHED, False)], id="stored one is invalid, and Graph gives the same"),
        pytest.param({FETCHED: judged(**INVALID)}, {"fetched": LOST}, [(FETCHED, False)], id="stored one is invalid, and Graph gives none"),
        pytest.param({FETCHED: judged(**INVALID)}, {"used": 50.0}, [], id="invalid, the quota is scarce"),
        pytest.param({FETCHED: judged(**INVALID)}, {"used": 50.0, "fetched": LOST}, [], id="invalid, Graph gives none, the quota is scarce"),
        pytest.param({FETCHED: judged(NOW - HOUR, **INVALID)}, {"used": 50.0}, [(FETCHED, False)], id="stored one was invalid an hour ago"),
        pytest.param({FETCHED: judged(NOW - HOUR, **INVALID)}, {"used": 50.0, "fetched": LOST}, [(FETCHED, False)], id="and Graph gives none"),
        pytest.param({FETCHED: judged(**INVALID)}, {"current": stored(blocked="rotation-enabled"), "fetched": LOST}, [], id="invalid, and nobody may write it"),
        pytest.param({OTHER: judged(**INVALID)}, {"current": OLD}, [(OTHER, True), (FETCHED, True)], id="invalid, another comes"),
        pytest.param({OTHER: judged(**INVALID), FETCHED: judged()}, {"current": OLD}, [(OTHER, True)], id="invalid, another waits"),
        pytest.param({OTHER: judged(type="USER"), FETCHED: judged()}, {"current": OLD, "used": 60.0}, [], id="of a wrong type, another waits"),
        pytest.param({OTHER: judged(**INVALID), FETCHED: judged(**UNFIT)}, {"current": OLD, "used": 60.0}, [], id="invalid, the other is unfit"),
        pytest.param({OTHER: judged(invalid_twice=True, **INVALID), FETCHED: judged()}, {"current": OLD, "used": 60.0}, [], id="invalid twice, and the write failed"),
        pytest.param({OTHER: judged(**INVALID), FETCHED: judged()}, {"current": stored(OTHER, marks=marks(OTHER), blocked="rotation-enabled")}, [], id="invalid, another waits, and nobody may write"),
        pytest.param({}, {"current": stored(OTHER, marks=marks(OTHER), blocked="rotation-enabled")}, [(FETCHED, False), (OTHER, False)], id="two tokens, both new, and nobody may write"),
        pytest.param(
            {OTHER: judged(**INVALID), FETCHED: judged()},
            {"current": OLD, "writes": False, "used": 60.0},
            [],
            id="invalid, nothing is written",
        ),
        pytest.param(
            {OTHER: judged(**INVALID), FETCHED: judged()},
            {"current": OLD, "pages": [page(hold=True)], "used": 60.0},
            [],
            id="invalid, and held",
        ),
        pytest.param(
            {FETCHED: judged(expires_at=NOW - HOUR)}, {}, [(FETCHED, False)], id="it has expired since it was judged"
        ),
        pytest.param({OTHER: judged()}, {"current": OLD}, [(FETCHED, False)], id="a new token"),
        pytest.param({OTHER: judged(), FETCHED: judged()}, {"current": OLD}, [], id="another token, as valid"),
        pytest.param({}, {"current": OLD}, [(FETCHED, False), (OTHER, False)], id="two tokens, both new"),
        pytest.param(
            {OTHER: judged()},
            {"current": stored(OTHER, marks=marks(OTHER, system_user_fingerprint="earlier"))},
            [(FETCHED, False)],
            id="a new token of a new system user token",
        ),
        pytest.param(
            {FETCHED: judged(NOW - 2 * HOUR, expires_at=NOW + timedelta(days=10))}, {}, [(FETCHED, False)], id="expires soon"
        ),
        pytest.param(
            {FETCHED: judged(expires_at=NOW + timedelta(days=10))}, {}, [], id="expires soon, judged within the hour"
        ),
        pytest.param({FETCHED: judged(NOW - 2 * HOUR)}, {"fetched": LOST}, [(FETCHED, False)], id="refused to the system user"),
        pytest.param({FETCHED: judged()}, {"fetched": LOST}, [(FETCHED, False)], id="refused to the system user, judged within the hour"),
        pytest.param({FETCHED: judged()}, {"fetched": LOST, "used": 60.0}, [], id="refused to the system user, the quota is scarce"),
        pytest.param({FETCHED: judged(NOW - 2 * HOUR)}, {"fetched": INVALID_USER}, [], id="the system user is invalid"),
        pytest.param({FETCHED: judged(**REFUSED)}, {}, [(FETCHED, False)], id="refused since"),
        pytest.param({FETCHED: judged(**REFUSED)}, {"used": 60.0}, [(FETCHED, False)], id="refused since, the quota is scarce"),
        pytest.param({FETCHED: judged(NOW + DAY, **REFUSED)}, {}, [(FETCHED, False)], id="refused since, and judged in the future"),
        pytest.param({OTHER: judged(**REFUSED), FETCHED: judged()}, {"current": OLD}, [(OTHER, True)], id="refused since, another waits"),
        pytest.param({FETCHED: judged(answered_since=True, **REFUSED)}, {}, [(FETCHED, False)], id="refused before, judged since"),
        pytest.param({FETCHED: judged(answered_since=True, **REFUSED)}, {"used": 60.0}, [], id="refused before, judged since, the quota is scarce"),
        pytest.param({FETCHED: judged(user_id=None)}, {"current": UNMARKED}, [(FETCHED, False)], id="an interrupted create, and not known whose token"),
        pytest.param({FETCHED: judged(user_id=None)}, {"current": UNMARKED, "used": 60.0}, [], id="not known whose token, the quota is scarce"),
        pytest.param({FETCHED: judged(NOW - HOUR, user_id=None)}, {"current": UNMARKED, "used": 60.0}, [(FETCHED, False)], id="not known whose token for an hour"),
        pytest.param({FETCHED: judged()}, {"current": UNMARKED}, [], id="an interrupted create, and known whose token"),
        pytest.param({FETCHED: judged(user_id=None)}, {}, [], id="marked, and not known whose token"),
        pytest.param({FETCHED: judged(NOW - 3 * DAY, counts_for=4 * DAY)}, {}, [(FETCHED, False)], id="it counts for longer than now, and runs out"),
    ],
)  # fmt: skip
def test_what_is_due(
    known: Mapping[Secret, Judged], changes: dict[str, Any], wanted: list[tuple[Secret, bool]]
) -> None:
    """Each token is asked about exactly when a row of the table applies, and urgently when a repair waits for the answer."""
    assert sorted(asked(inputs(known, **changes)), key=str) == sorted(wanted, key=str)


def test_differing_token_of_which_nothing_is_known_goes_before_what_is_due() -> None:
    """Whether a stored token is invalid is asked before the backlog of tokens that are merely due, however old."""
    pages = [many(0, targets=(KEY,)), many(1, targets=(replace(KEY, path="p1"),))]
    current = {KEY: stored(OTHER, marks=marks(OTHER, page_id=pages[0].id))}
    current[pages[1].targets[0]] = stored(marks=marks(page_id=pages[1].id))
    own = Secret("EAAown" + "x" * 20)
    known = {token_id(APP_ID, FETCHED): judged(NOW - 3 * DAY, profile_id=pages[1].id)}
    known[token_id(APP_ID, own)] = judged(profile_id=pages[0].id)
    known[token_id(APP_ID, OTHER)] = judged(NOW - 2 * DAY, profile_id=pages[0].id)  # an answer that counts no more
    of = replace(inputs({}), pages=pages, current=current, memory=Memory(known))
    of = replace(of, fetched={"p0": Fetched(own), "p1": Fetched(FETCHED)})
    assert [token for token, _ in asked(of)] == [OTHER, FETCHED]


def many(count: int, **changes: Any) -> Page:
    """Make one of many Pages."""
    return page(id=str(10**14 + count), name=f"p{count}", **changes)


def test_order_is_by_rank_then_by_age() -> None:
    """Repairs come first, then new tokens, then those that are due, the oldest answer first."""
    targets = {number: replace(KEY, path=f"p{number}") for number in range(5)}
    pages = [many(number, targets=(targets[number],)) for number in range(5)]
    tokens = {number: Secret(f"EAA{number}{'x' * 20}") for number in range(5)}
    current = {targets[n]: stored(tokens[n], marks=marks(tokens[n], page_id=pages[n].id)) for n in range(5)}
    current[targets[3]] = Absent()
    ages = {0: NOW - 2 * DAY, 1: NOW - 3 * DAY, 2: NOW - HOUR}
    known = {token_id(APP_ID, tokens[n]): judged(at, profile_id=pages[n].id) for n, at in ages.items()}
    known[token_id(APP_ID, tokens[2])] = judged(ages[2], system_user_fingerprint="another", profile_id=pages[2].id)
    got = asks(
        replace(
            inputs({}),
            pages=pages,
            current=current,
            memory=Memory(known),
            fetched={page.name: Fetched(tokens[n]) for n, page in enumerate(pages)},
        )
    )["messenger"]
    assert [ask.token for ask in got] == [tokens[n] for n in (3, 2, 4, 1, 0)]
    assert [ask.urgent for ask in got] == [True, False, False, False, False]


def test_what_is_optional_comes_last() -> None:
    """A token that Graph gives beside a valid stored one is asked about after all that is due, unless the system user's token is new."""
    pages = [many(0, targets=(KEY,)), many(1, targets=(replace(KEY, path="p1"),))]
    current = {KEY: stored(OTHER, marks=marks(OTHER, page_id=pages[0].id))}
    current[pages[1].targets[0]] = stored(marks=marks(page_id=pages[1].id))
    another = Secret("EAAanother" + "x" * 20)
    known = {token_id(APP_ID, FETCHED): judged(NOW - 3 * DAY, profile_id=pages[1].id)}
    known[token_id(APP_ID, OTHER)] = judged(profile_id=pages[0].id)
    of = replace(inputs({}), pages=pages, current=current, memory=Memory(known))
    of = replace(of, fetched={"p0": Fetched(another), "p1": Fetched(FETCHED)})
    assert [token for token, _ in asked(of)] == [FETCHED, another]
    current[KEY] = stored(OTHER, marks=marks(OTHER, page_id=pages[0].id, system_user_fingerprint="earlier"))
    assert [token for token, _ in asked(replace(of, current=dict(current)))] == [another, FETCHED]


def test_changing_tokens_cost_one_call_an_hour() -> None:
    """Where Graph gives another token with each read, and the stored one is valid, only one an hour is judged."""
    known = {OTHER: judged()}
    for tried, wanted in ((NOW - timedelta(minutes=59), []), (NOW - HOUR, [FETCHED]), (NOW + HOUR, [FETCHED])):
        of = inputs(known, current=OLD)
        of = replace(of, memory=replace(of.memory, tried={"berlin": tried}))
        assert [token for token, _ in asked(of)] == wanted


@pytest.mark.slow
def test_judgements_of_one_moment_spread_over_the_interval() -> None:
    """Pages that were all judged at once come due at moments of their own, each once in an interval."""
    pages = [many(number) for number in range(200)]
    moments: list[int] = []
    for one in pages:
        due = []
        at = NOW
        for quarter in range(1, 4 * 48 + 1):
            of = inputs(
                {FETCHED: judged(at, profile_id=one.id)},
                pages=[one],
                fetched=FETCHED,
                now=NOW + quarter * timedelta(minutes=15),
            )
            of = replace(of, fetched={one.name: Fetched(FETCHED)}, current={KEY: stored(marks=marks(page_id=one.id))})
            if asked(of):
                due.append(quarter)
                at = of.now
        assert len(due) == 2
        assert due[1] - due[0] == 4 * 24
        moments.append(due[0])
    counts = [moments.count(quarter) for quarter in range(1, 4 * 24 + 1)]
    assert max(counts) <= 0.02 * len(pages) + 5


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        pytest.param(judged(), True, id="judged twenty minutes ago"),
        pytest.param(judged(NOW - timedelta(minutes=14)), False, id="judged a quarter ago, almost"),
        pytest.param(judged(NOW - timedelta(minutes=14, seconds=40)), True, id="a cycle that comes a little early"),
        pytest.param(judged(NOW - HOUR, probed=NOW - timedelta(minutes=5)), False, id="taken five minutes ago"),
        pytest.param(judged(NOW - HOUR, probed=NOW - timedelta(minutes=15)), True, id="taken a quarter ago"),
        pytest.param(None, False, id="never judged, which comes first"),
        pytest.param(judged(**INVALID), False, id="invalid"),
        pytest.param(judged(NOW - HOUR, probed=NOW - 2 * HOUR, probe="refused"), False, id="refused though valid"),
        pytest.param(
            judged(NOW - HOUR, probed=NOW - 3 * HOUR, probe="refused"), True, id="refused though valid, three hours ago"
        ),
        pytest.param(judged(NOW - HOUR, probed=NOW - DAY, probe="refused"), True, id="refused though valid, a day ago"),
    ],
)
def test_which_stored_tokens_are_probed(known: Judged | None, wanted: bool) -> None:
    """A stored token that works is probed in each interval, and one that Graph refuses though it is valid every three hours."""
    of = inputs({FETCHED: known} if known else {})
    got = probes(of, timedelta(minutes=15))
    assert got == ({"messenger": {FETCHED: page().id}} if wanted else {})


@pytest.mark.parametrize("code", [190, 100, None])
def test_stored_token_of_a_refused_page_is_probed_at_once(code: int | None) -> None:
    """Whatever Graph refuses a Page with, the stored token is called in the same cycle: it may have been invalidated too."""
    refused = SourceError(Problem("no-access", "Graph says no.", graph_code=code), State.INVALID)
    of = inputs({FETCHED: judged(NOW - timedelta(minutes=1))}, fetched=refused)
    assert probes(of, timedelta(minutes=15)) == {"messenger": {FETCHED: page().id}}
    assert probes(replace(of, skipped=frozenset({"berlin"})), timedelta(minutes=15)) == {}


@pytest.mark.parametrize("reverse", [False, True])
def test_token_that_is_stored_for_two_pages_is_probed_for_its_own(*, reverse: bool) -> None:
    """Graph answers for the Page that debug_token names, wherever the token is stored."""
    pages = [page(), page(id="2", name="paris", targets=(Key("vault", "meta/pages/paris"),))]
    current = {one.targets[0]: stored(marks=marks(page_id=one.id)) for one in pages}
    of = replace(inputs({FETCHED: judged()}), pages=pages[::-1] if reverse else pages, current=current)
    assert probes(of, timedelta(minutes=15)) == {"messenger": {FETCHED: page().id}}


def test_token_without_a_page_is_not_probed() -> None:
    """A token of a wrong type that is stored by mistake is judged by debug_token alone."""
    of = inputs({FETCHED: judged(type="USER", profile_id=None)})
    assert probes(of, timedelta(minutes=15)) == {}


def test_token_that_is_judged_now_is_not_probed() -> None:
    """An answer of debug_token makes a probe unnecessary."""
    of = inputs({FETCHED: judged()})
    assert probes(of, timedelta(minutes=15), exclude={("messenger", FETCHED)}) == {}


@pytest.mark.parametrize(
    ("tokens", "wanted"), [(10, 24), (1_000, 24), (2_700, 24), (2_701, 24.01), (5_000, 44.44), (20_000, 177.78)]
)
def test_interval_is_stretched_to_the_quota(tokens: int, wanted: float) -> None:
    """Three quarters of the calls of an hour judge all tokens in the interval, or the interval is longer."""
    got = verify_interval(DAY, tokens=tokens, calls_per_hour=150)
    assert got / HOUR == pytest.approx(wanted, abs=0.01)


def two_users(troubled: int, others: int, *, used: float = 60.0) -> Inputs:
    """Make readings of two system users of an app: the Pages of the first are refused, those of the second are due."""
    pages = [
        many(n, system_user="first" if n < troubled else "second", targets=(replace(KEY, path=f"p{n}"),))
        for n in range(troubled + others)
    ]
    tokens = {one.name: Secret(f"EAA{one.name}{'x' * 20}") for one in pages}
    fetched = {one.name: LOST if one.system_user == "first" else Fetched(tokens[one.name]) for one in pages}
    current = {one.targets[0]: stored(tokens[one.name], marks=marks(tokens[one.name], page_id=one.id)) for one in pages}
    known = {
        token_id(APP_ID, tokens[one.name]): judged(
            NOW - (2 * HOUR if one.system_user == "first" else 25 * HOUR), profile_id=one.id
        )
        for one in pages
    }
    whole = inputs({}, used=used)
    return replace(whole, pages=pages, fetched=fetched, current=current, memory=replace(whole.memory, judged=known))


def test_system_users_of_an_app_take_turns() -> None:
    """However many tokens of one system user are to be asked about, each other has its share of every cycle."""
    of = two_users(300, 20)
    names = {Secret(f"EAA{one.name}{'x' * 20}"): one.system_user for one in of.pages}
    first = [names[token] for token, _ in asked(of)[:40]]
    assert (first.count("first"), first.count("second")) == (20, 20)
    assert len(asked(of)) == 320


def test_answer_that_runs_out_goes_before_all_that_is_asked_hourly() -> None:
    """Nothing but a repair is asked before a token whose answer will soon be too old, and the oldest of these goes first."""
    of = two_users(300, 20)
    known = dict(of.memory.judged)
    soon = [Secret(f"EAAp{number}{'x' * 20}") for number in (10, 290, 310)]
    for hours, token in zip((37, 47, 40), soon, strict=True):
        name = token_id(APP_ID, token)
        known[name] = replace(known[name], facts=replace(known[name].facts, asked_at=NOW - hours * HOUR))
    first = [token for token, _ in asked(replace(of, memory=replace(of.memory, judged=known)))[:3]]
    assert first == [soon[1], soon[2], soon[0]]


def test_every_row_has_a_reason_and_none_is_asked_twice() -> None:
    """The table has one sentence a row, and a token that both roles have is asked about once."""
    assert len({row.reason for row in TABLE}) == len(TABLE)
    tokens = [token for token, _ in asked(inputs({}))]
    assert len(tokens) == len(set(tokens))
