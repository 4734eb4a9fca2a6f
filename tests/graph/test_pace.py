"""The app's quota is respected: over calls, over cycles, and after a refusal."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from sync.core.memory.quota import Pool, QuotaKey
from sync.core.model import Ask, Fetched, SourceError, State, TokenFacts
from sync.core.secret import Secret
from sync.graph.interface import AppCredentials, SystemUserCredentials
from sync.graph.quotas import Quotas
from sync.sandbox.world.quota import Rolling
from tests.graph.test_pages import items
from tests.support.graph_stage import Stage, ordinary
from tests.support.values import NOW


def stage_with_quota(pages: int, limit: int = 200) -> Stage:
    """Return a sandbox whose app has so many calls an hour."""
    stage = Stage(pages)
    stage.world.quotas.app = Rolling(limit)
    return stage


def made_up(count: int, *, urgent: bool = False) -> list[Ask]:
    """Return asks about strings that are no tokens, which cost as much."""
    return [Ask(Secret(f"EAA{'u' if urgent else 'o'}{number}"), urgent=urgent) for number in range(count)]


def pool_of(stage: Stage, pools: Mapping[QuotaKey, Pool]) -> Pool:
    """Return the app's quota."""
    return pools[QuotaKey(stage.world.app.id)]


def used(stage: Stage) -> int:
    """Return the calls of the last hour, as Meta counts them."""
    quota = stage.world.quotas.app
    assert quota is not None
    quota.used(stage.clock.now().timestamp())
    return len(quota.calls)


def throttled(answered: Mapping[Secret, TokenFacts | SourceError]) -> set[str]:
    """Return the problems of those tokens that were not judged."""
    return {one.problem.code for one in answered.values() if isinstance(one, SourceError)}


def quarters_of_an_hour(number: int, stage: Stage, left: list[Ask]) -> tuple[list[Ask], list[float]]:
    """Run a cycle in each quarter of an hour; return the tokens that are left, and the quota in use after each cycle."""
    pools, sums = dict[QuotaKey, Pool](), []
    for _ in range(number):
        source = stage.source(pools=pools)
        answered = source.debug("messenger", left)
        assert not throttled(answered)
        left = [ask for ask in left if ask.token not in answered]
        pools = dict(source.pools)
        sums.append(used(stage))
        stage.clock.advance(900)
    return left, sums


def test_a_thousand_tokens_take_half_of_a_small_quota_and_no_more() -> None:
    """Tokens beyond the quota's capacity are left out, nothing is refused, and the warning says how many wait until when."""
    stage = stage_with_quota(1)
    source = stage.source()
    answered = source.debug("messenger", made_up(1000))
    assert 90 <= len(answered) <= 100
    assert all(isinstance(one, TokenFacts) for one in answered.values())
    assert list(answered) == [ask.token for ask in made_up(1000)][: len(answered)]
    (warning,) = source.warnings
    assert f"{1000 - len(answered)} tokens wait to be judged until 1" in warning
    assert "App messenger has used 4" in warning or "App messenger has used 5" in warning


def test_the_next_cycles_continue_where_the_last_one_stopped() -> None:
    """Within an hour the budget is reached and kept, and the longest waiting tokens come first."""
    stage = stage_with_quota(1)
    left, sums = quarters_of_an_hour(12, stage, made_up(1000))
    assert max(sums) <= 153
    assert sums[4:] == [pytest.approx(150, abs=2)] * 8
    assert [ask.token for ask in left] == [ask.token for ask in made_up(1000)][-len(left) :]


def test_urgent_tokens_are_judged_above_the_budget_up_to_95_percent() -> None:
    """Ordinary ones wait."""
    stage = stage_with_quota(1)
    for _ in range(160):
        stage.world.quotas.app.call(stage.clock.now().timestamp())  # type: ignore[union-attr]
    asks = [*made_up(100, urgent=True), *made_up(100)]
    source = stage.source(pools={QuotaKey(stage.world.app.id): Pool(80.0, NOW, ceiling=200.0, measured=True)})
    answered = source.debug("messenger", asks)
    assert 25 <= len(answered) <= 31
    assert set(answered) <= {ask.token for ask in asks[:100]}
    assert used(stage) <= 191


def test_a_large_quota_is_used_side_by_side_after_one_batch() -> None:
    """The items of the first batch show that they hardly count."""
    stage = stage_with_quota(1, limit=100_000)
    stage.world.quotas.app.calls.extend([stage.clock.now().timestamp()] * 1000)  # type: ignore[union-attr]
    source = stage.source()
    assert len(source.debug("messenger", made_up(1000))) == 1000
    assert source.requests == 20
    assert source.warnings == ()


def test_a_frozen_app_is_not_called_until_its_time() -> None:
    """Neither tokens nor Pages are asked for, the message states the time, and then one call tries it."""
    stage = Stage(3)
    source = stage.source()
    source.user_tokens()
    stage.fault("throttled-app")
    answered = source.debug("messenger", made_up(2))
    (message,) = {one.problem.message for one in answered.values() if isinstance(one, SourceError)}
    assert "(#4) Application request limit reached" in message
    assert " UTC." in message
    pools, sent = source.pools, len(stage.seen)
    stage.world.faults.clear()
    stage.clock.advance(3540)
    later = stage.source(pools=pools)
    got = later.read(stage.pages())
    assert {(one.problem.code, one.scope) for one in got.values() if isinstance(one, SourceError)} == {
        ("throttled", "app")
    }
    assert later.user_tokens()["main"].verdict.state is State.UNKNOWN
    assert throttled(later.debug("messenger", made_up(2))) == {"throttled"}
    assert set(later.probe("messenger", {Secret("EAAx"): "1"}).values()) == {"unknown"}
    assert len(stage.seen) == sent
    stage.clock.advance(600)
    after = stage.source(pools=later.pools)
    assert all(isinstance(one, Fetched) for one in after.read(stage.pages()).values())
    assert len(items(stage.seen[sent])) == 1
    assert len(after.debug("messenger", made_up(50))) == 0
    assert any("50 tokens wait" in warning for warning in after.warnings)


def test_a_second_refusal_closes_the_app_for_longer() -> None:
    """The first closes it for an hour, the second for two."""
    stage = Stage(1)
    stage.fault("throttled-app")
    first = stage.source()
    first.user_tokens()
    stage.clock.advance(4000)
    second = stage.source(pools=first.pools)
    second.user_tokens()
    one, two = (pool_of(stage, source.pools).frozen_until for source in (first, second))
    assert one is not None
    assert two is not None
    assert timedelta(minutes=60) <= one - NOW <= timedelta(minutes=66)
    assert timedelta(minutes=120) <= two - NOW - timedelta(seconds=4000) <= timedelta(minutes=132)


def test_a_full_app_quota_stops_only_the_apps_own_token() -> None:
    """From 95 percent on Pages are still read, and the remembered facts of a system user count."""
    stage = Stage(3)
    facts = stage.source().user_tokens()["main"].verdict.facts
    assert facts is not None
    stage.clock.advance(7200)
    full = {QuotaKey(stage.world.app.id): Pool(96.0, stage.clock.now(), ceiling=200.0, measured=True)}
    known = {(stage.world.app.id, Secret(stage.world.user.token).fingerprint): facts}
    stage.seen.clear()
    source = stage.source(pools=full, known=known)
    assert source.user_tokens()["main"].verdict.state is State.VALID
    assert all(isinstance(one, Fetched) for one in source.read(stage.pages()).values())
    assert not any(b"debug_token" in request.content for request in stage.seen)
    unknown = stage.source(pools=full).user_tokens()["main"].verdict
    assert (unknown.state, unknown.problems[0].code) == (State.UNKNOWN, "throttled")
    assert "Resumes at 14:1" in unknown.problems[0].message


def test_retry_after_is_respected() -> None:
    """A 429 without a code states its seconds."""
    stage = Stage(1)
    stage.before = lambda _: httpx.Response(429, headers={"retry-after": "1800"}, text="")
    source = stage.source()
    source.user_tokens()
    until = pool_of(stage, source.pools).frozen_until
    assert until is not None
    assert timedelta(minutes=30) <= until - NOW <= timedelta(minutes=33)


def test_a_throttled_page_waits_for_its_minutes_and_stops_no_other() -> None:
    """It is neither read nor probed until Meta's time, and the message states it."""
    stage = Stage(5)
    stage.fault("throttled-page=30@berlin")
    source = stage.source()
    got = source.read(stage.pages())
    assert sum(isinstance(one, Fetched) for one in got.values()) == 4
    error = got["main-berlin"]
    assert isinstance(error, SourceError)
    assert (error.problem.code, error.problem.graph_code, error.scope) == ("throttled", 80001, "page")
    assert "Resumes at 12:3" in error.problem.message
    stage.world.faults.clear()
    for minutes, reads in ((25, 4), (10, 5)):
        stage.clock.advance(minutes * 60)
        stage.seen.clear()
        source = stage.source(pools=source.pools)
        got = source.read(stage.pages())
        assert sum(isinstance(one, Fetched) for one in got.values()) == reads
        assert [len(items(request)) for request in stage.seen if b"debug_token" not in request.content] == [reads]


def test_a_page_whose_quota_is_nearly_used_up_is_not_read() -> None:
    """The header of its own read closes it before Meta refuses."""
    stage = Stage(3)
    next(page for page in stage.world.pages.values() if page.name == "berlin").usage = 97
    source = stage.source()
    assert all(isinstance(one, Fetched) for one in source.read(stage.pages()).values())
    got = stage.source(pools=source.pools).read(stage.pages())
    assert [name for name, one in got.items() if isinstance(one, SourceError)] == ["main-berlin"]


def test_a_used_up_business_quota_closes_its_system_user() -> None:
    """A header about none of the Pages is about the caller."""
    stage = Stage(25)
    source = stage.source()
    source.user_tokens()
    usage = {"777": [{"type": "pages", "call_count": 99, "estimated_time_to_regain_access": 10}]}

    def full(request: httpx.Request) -> httpx.Response | None:
        if "me/accounts" not in str(request.url):
            return None
        return httpx.Response(200, headers={"x-business-use-case-usage": json.dumps(usage)}, json={"data": []})

    stage.before = full
    got = source.read(stage.pages())
    assert {(one.problem.code, one.scope) for one in got.values() if isinstance(one, SourceError)} == {
        ("throttled", "system_user")
    }
    assert len(got) == 25
    assert source.requests == 2


def test_two_apps_have_two_quotas() -> None:
    """What one app has used limits no other."""
    stage = stage_with_quota(1)
    other = stage.world.other_app
    source = stage.source(apps=[AppCredentials("other", other.id, Secret(other.secret))])
    assert len(source.debug("messenger", made_up(300))) <= 100
    assert len(source.debug("other", ordinary([Secret(f"EAAx{number}") for number in range(120)]))) == 120
    assert {QuotaKey(stage.world.app.id), QuotaKey(other.id)} <= set(source.pools)


class LastAnswerFirst(Stage):
    """A sandbox that counts calls as they arrive, and delivers the answers of batches under way together in the reverse order."""

    def __init__(self, pages: int) -> None:
        super().__init__(pages)
        self._arrived = 0
        self._delivered: set[int] = set()
        self._changed = threading.Condition()

    def _answer(self, request: httpx.Request) -> httpx.Response:
        with self._changed:
            reply, number = super()._answer(request), self._arrived
            self._arrived += 1
            self._changed.notify_all()
            if self._changed.wait_for(lambda: self._arrived > number + 1, timeout=0.2):
                self._changed.wait_for(lambda: number + 1 in self._delivered, timeout=2)
                # The later answer is read before this one.
                self._changed.wait_for(lambda: False, timeout=0.05)
            self._delivered.add(number)
            self._changed.notify_all()
        return reply


@pytest.mark.parametrize("limit", [200, 300, 1000])
def test_answers_that_overtake_each_other_take_no_more_of_the_quota(limit: int) -> None:
    """Whatever the order of the answers, the calls of an hour stay within the budget of the quota's true size."""
    stage = LastAnswerFirst(1)
    stage.world.quotas.app = Rolling(limit)
    _, sums = quarters_of_an_hour(8, stage, made_up(3000))
    # Meta reports whole percents.
    assert max(sums) <= 0.75 * limit + max(3, limit / 100)
    assert max(sums) >= 0.7 * limit


def test_calls_that_are_under_way_are_not_given_out_again() -> None:
    """What was reserved on a quota is not there for another caller until its answers are back."""
    stage = Stage(1)
    key = QuotaKey(stage.world.app.id)
    quotas = Quotas(
        {key: Pool(60.0, NOW, ceiling=200.0, measured=True, busy_from=NOW - timedelta(hours=1), busy_at=NOW)},
        0.75,
        stage.clock,
    )
    first, _ = quotas.reserve(key, made_up(100))
    second, _ = quotas.reserve(key, made_up(100))
    assert (len(first) > 0, second) == (True, [])
    quotas.record_app_usage(key, "61", 1)
    quotas.release(key, len(first))
    assert len(quotas.reserve(key, made_up(100))[0]) > 0


def test_a_full_quota_of_a_page_closes_it_for_one_app_alone() -> None:
    """A Page that is throttled under one app is read and probed under another."""
    stage = Stage(3)
    other, second = stage.world.other_app, stage.world.add_user("Second")
    second.app_id = other.id
    stage.world.rotate(second)
    page = stage.pages()[0]
    apps = [AppCredentials("other", other.id, Secret(other.secret))]
    users = [SystemUserCredentials("second", "other", Secret(second.token))]
    pools = {QuotaKey(stage.world.app.id, "page", page.id): Pool(100.0, NOW, frozen_until=NOW + timedelta(hours=1))}
    (of_other,) = [replace(one, app_id=other.id) for one in stage.pages("second", "other", ids=[page.id])]
    source = stage.source(apps=apps, users=users, pools=pools)
    got = source.read([page, of_other])
    assert isinstance(got[page.name], SourceError)
    found = got[of_other.name]
    assert isinstance(found, Fetched)
    assert source.probe("messenger", {found.token: page.id}) == {found.token: "unknown"}
    assert source.probe("other", {found.token: page.id}) == {found.token: "answered"}
