"""What holds for any observation at all: the guarantees that no row of a table may break."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from hypothesis import event, given
from hypothesis import strategies as st

from sync.core.judge.decide import Write
from sync.core.model import NEVER, Absent, Fetched, Page, SourceError, State, Stored, TokenFacts, Verdict, Written
from sync.core.plan.model import PagePlan, TargetPlan
from sync.core.plan.observation import Observation
from sync.core.plan.plan import Plan, plan
from sync.core.problems import Problem
from sync.core.report.build import report
from sync.core.report.event import EVENTS
from sync.core.report.events import events
from sync.core.report.json import as_json
from sync.core.secret import Secret
from tests.support.observations import TOKENS, observations, repeatable
from tests.support.reports import FRAME
from tests.support.values import APP_ID, INSTANCE, NOW, PAGE_ID, USER_TOKEN

LATER = Secret("EAAlater" + "y" * 20)

Observed = tuple[Page, Observation]


def planned(page: Page, observed: Observation) -> Plan:
    """Plan for the one Page of an observation."""
    return plan(replace(observed, pages=(page,)), now=NOW)


def written(whole: Plan) -> Iterator[tuple[PagePlan, TargetPlan, Write]]:
    """Return each target that is to be written, with its write."""
    for page in whole.pages:
        for target in page.targets:
            if target.action.write is not None:
                event(f"{target.action.kind.value} {target.action.reason}")
                yield page, target, target.action.write


def proven(page: Page, token: Secret, observed: Observation) -> bool:
    """Check whether the facts prove a token to be this Page's and app's and valid."""
    said = observed.facts.get((page.app, token))
    return (
        isinstance(said, TokenFacts)
        and said.is_valid is True
        and (said.type, said.app_id, said.profile_id) == ("PAGE", APP_ID, PAGE_ID)
    )


@repeatable
@given(observations())
def test_no_payload_is_written_whose_token_is_not_proven(drawn: Observed) -> None:
    """A payload is written only with a token of which Meta said, in this observation, that it is the Page's and valid."""
    page, observed = drawn
    for _, _, write in written(planned(page, observed)):
        if write.payload is not None:
            assert page.payload.token_in(write.payload) == write.token
            assert proven(page, write.token, observed)


@repeatable
@given(observations())
def test_no_working_token_is_replaced_but_for_a_better_one(drawn: Observed) -> None:
    """A stored token that debug_token calls valid is replaced only by a rotation that has a reason."""
    page, observed = drawn
    for of_page, target, write in written(planned(page, observed)):
        old = target.current.token
        if old is None or old == write.token or write.payload is None or not proven(page, old, observed):
            continue
        said = observed.facts[page.app, old]
        assert isinstance(said, TokenFacts)
        assert isinstance(target.current.content, Stored)
        assert target.current.content.marks is not None
        user_token = target.current.content.marks.system_user_fingerprint
        life = page.checks.expires
        lacks_a_scope = page.checks.scopes and (
            not set(page.checks.scopes) <= (said.scopes or frozenset()) or said.granular_scopes
        )
        ends = isinstance(said.expires_at, datetime) and (life is NEVER or said.expires_at < NOW + 2 * life)  # type: ignore[operator]
        assert target.action.reason == "rotate"
        assert (
            lacks_a_scope
            or ends
            or (user_token is not None and user_token != of_page.candidate.system_user_fingerprint)
        )


@repeatable
@given(observations())
def test_no_secret_of_somebody_else_is_written(drawn: Observed) -> None:
    """Nothing without the instance's mark for the Page is written, except for the mark on an interrupted create."""
    page, observed = drawn
    for of_page, target, write in written(planned(page, observed)):
        content = target.current.content
        if isinstance(content, Absent):
            assert write.replaces is None
            continue
        assert isinstance(content, Stored)
        assert content.blocked is None
        assert write.replaces == content.version
        if content.marks is None:
            assert content.first
            assert content.payload is not None
            assert content.payload.keys == page.payload.names
            assert write.payload is None
            assert proven(page, write.token, observed)
            assert observed.facts[page.app, write.token].user_id == of_page.candidate.system_user_id  # type: ignore[union-attr]
        else:
            assert (content.marks.instance, content.marks.page_id) == (INSTANCE, PAGE_ID)


@repeatable
@given(observations())
def test_every_write_carries_all_marks(drawn: Observed) -> None:
    """Whatever is written is marked as this Page's of this instance, with the fingerprint of the token in it."""
    page, observed = drawn
    for _, _, write in written(planned(page, observed)):
        marks = write.marks
        assert (marks.instance, marks.page_id, marks.app_id, dict(marks.labels)) == (
            INSTANCE,
            page.id,
            page.app_id,
            dict(page.labels),
        )
        assert marks.fingerprint == write.token.fingerprint
        assert marks.written_at
        assert marks.reason


@repeatable
@given(observations())
def test_keys_of_others_in_a_secret_are_never_dropped(drawn: Observed) -> None:
    """What a JSON payload holds besides the names of the template is unchanged after a write."""
    page, observed = drawn
    for _, target, write in written(planned(page, observed)):
        content = target.current.content
        if write.payload is None or page.payload.raw or not isinstance(content, Stored) or content.payload is None:
            continue
        before, after = content.payload.reveal(), write.payload.reveal()
        if isinstance(before, dict):
            assert isinstance(after, dict)
            others = {name: value for name, value in before.items() if name not in page.payload.names}
            assert others.items() <= after.items()


def _clouded(page: Page, observed: Observation, what: str) -> Observation:
    """Return the same observation with one thing less known."""
    unknown = SourceError(Problem("graph-unavailable", "Silence."))
    if what == "fetched":
        return replace(observed, fetched={page.name: unknown})
    if what == "user_token":
        user_tokens = {
            name: replace(user_token, verdict=Verdict(State.UNKNOWN))
            for name, user_token in observed.user_tokens.items()
        }
        return replace(observed, user_tokens=user_tokens)
    if what == "user_tokens":
        return replace(observed, user_tokens={})
    key = page.app, TOKENS[int(what)]
    return replace(observed, facts={**observed.facts, key: unknown})


@repeatable
@given(observations(), st.sampled_from(["fetched", "user_token", "user_tokens", "0", "1", "2"]))
def test_knowing_less_never_writes_more(drawn: Observed, what: str) -> None:
    """Whatever becomes unknown, no target is written that would not have been, and none is called broken for it."""
    page, observed = drawn
    before, after = planned(page, observed), planned(page, _clouded(page, observed, what))
    assert {target.key for _, target, _ in written(after)} <= {target.key for _, target, _ in written(before)}
    broken = [
        {entry.key for entry in report(one, FRAME, None, instance=INSTANCE).pages[0].stores if entry.served == "broken"}
        for one in (before, after)
    ]
    assert broken[1] <= broken[0]


@repeatable
@given(observations())
def test_unknown_never_writes(drawn: Observed) -> None:
    """While the fetched token is not valid, or another stored one is unknown, the target is not written."""
    page, observed = drawn
    for of_page, target, _ in written(planned(page, observed)):
        assert of_page.candidate.verdict.state is State.VALID
        other = target.current.token is not None and target.current.token != of_page.candidate.token
        assert not (other and target.current.verdict.state is State.UNKNOWN)


def _after(observed: Observation, whole: Plan) -> Observation:
    """Return what the next cycle reads when every write of a plan was done."""
    current = dict(observed.current)
    for _, target, write in written(whole):
        content = target.current.content
        if write.payload is not None:
            current[target.key] = Stored(write.payload, "9", write.marks)
        else:
            assert isinstance(content, Stored)
            current[target.key] = replace(content, marks=write.marks)
    return replace(observed, current=current)


@repeatable
@given(observations())
def test_what_was_written_is_not_written_again(drawn: Observed) -> None:
    """After a plan was carried out, the next one from the same facts writes nothing."""
    page, observed = drawn
    after = _after(observed, planned(page, observed))
    assert list(written(planned(page, after))) == []


@repeatable
@given(observations())
def test_another_string_for_the_same_token_is_not_written(drawn: Observed) -> None:
    """After a plan was carried out, a new string from Graph that is as good as the last one writes nothing."""
    page, observed = drawn
    got = observed.fetched[page.name]
    if not isinstance(got, Fetched) or (page.app, got.token) not in observed.facts:
        return
    first = planned(page, observed)
    after = _after(observed, first)
    facts = {**after.facts, (page.app, LATER): after.facts[page.app, got.token]}
    second = planned(page, replace(after, fetched={page.name: Fetched(LATER)}, facts=facts))
    done = {target.key for _, target, _ in written(first)}
    assert not [target for _, target, _ in written(second) if target.key in done]


@repeatable
@given(observations(), st.booleans(), st.booleans())
def test_every_observation_has_a_report(drawn: Observed, confirmed: bool, wrote: bool) -> None:
    """Whatever was read, a plan is made and reported, as JSON and as events, with no token in it."""
    page, observed = drawn
    whole = planned(page, observed)
    outcomes = {target.key: Written("9", confirmed) for _, target, _ in written(whole)} if wrote else None
    account = report(whole, FRAME, outcomes, instance=INSTANCE)
    text = json.dumps(as_json(account)) + json.dumps([dict(one.fields) for one in events(account)])
    assert {one.name for one in events(account)} <= EVENTS.keys()
    assert account.exit_code in (0, 1, 3)
    for token in (*TOKENS, USER_TOKEN):
        assert token.reveal() not in text
