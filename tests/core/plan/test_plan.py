"""From an observation to a plan: whose token is judged by what, orphans, and the plan's name."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sync.core.judge.decide import Kind, Would
from sync.core.model import (
    Absent,
    Content,
    Fetched,
    Key,
    Page,
    SourceError,
    State,
    Stored,
    StoreError,
    SystemUserToken,
    TokenFacts,
    Verdict,
)
from sync.core.payload import Payload
from sync.core.plan.checksum import checksum
from sync.core.plan.model import targets
from sync.core.plan.observation import Observation, needs_verdict, stored_token
from sync.core.plan.plan import (
    Plan,
    Policy,
    plan,
    user_token_problems,
    withheld,
    writes,
)
from sync.core.problems import Problem
from sync.core.secret import Secret
from tests.support.values import (
    DEFAULT_TEMPLATE,
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
    payload,
    stored,
    template,
)

AWS = Key("aws", "meta/pages/berlin")
MAIN = SystemUserToken("main", "messenger", USER_TOKEN, Verdict(State.VALID, facts=facts(user_id="777")))
BOTH = page(targets=(KEY, AWS))


def observe(
    current: Mapping[Key, Content],
    *,
    fetched: Fetched | SourceError | None = Fetched(FETCHED),  # noqa: B008 - a frozen value
    known: Mapping[Secret, TokenFacts | SourceError] | None = None,
    user_tokens: Sequence[SystemUserToken] = (MAIN,),
    owned: Any = None,
) -> Observation:
    """Make what a cycle of the Page berlin has read."""
    said = {FETCHED: facts(), OTHER: facts()} if known is None else known
    return Observation(
        pages=(page(),),
        instance=INSTANCE,
        user_tokens={user_token.system_user: user_token for user_token in user_tokens},
        fetched={} if fetched is None else {"berlin": fetched},
        current=current,
        facts={("messenger", token): fact for token, fact in said.items()},
        owned=owned or {},
    )


def planned(observed: Observation, *pages: Page) -> Plan:
    """Plan for the Page berlin with one target, or for the Pages given."""
    return plan(replace(observed, pages=pages or (page(),)), now=NOW)


def lines(whole: Plan) -> list[str]:
    """Return each target's action and reason."""
    actions = [target.action for of_page in whole.pages for target in of_page.targets]
    return [f"{action.kind.value}/{action.reason or ''}" for action in actions]


def test_targets_of_a_page_are_decided_independently() -> None:
    """A target that fails, or needs nothing, changes nothing for the Page's other target."""
    assert lines(planned(observe({KEY: STORE_DOWN, AWS: Absent()}), BOTH)) == ["failed/", "created/"]
    assert lines(planned(observe({KEY: stored(), AWS: STORE_DOWN}), BOTH)) == ["unchanged/", "failed/"]


def test_fetched_token_is_judged_by_the_rules_for_fetched_ones() -> None:
    """A fetched token that lacks a scope is invalid, the same string stored is valid with a problem."""
    lacking = facts(scopes=frozenset())
    (of_page,) = planned(observe({KEY: stored()}, known={FETCHED: lacking})).pages
    assert (of_page.candidate.verdict.state, of_page.targets[0].current.verdict.state) == (State.INVALID, State.VALID)


def test_candidate_knows_its_system_user() -> None:
    """The marks of what is written name the system user's id and the fingerprint of its token."""
    ((_, target),) = writes(planned(observe({KEY: Absent()})))
    assert target.action.write is not None
    marked = target.action.write.marks
    assert (marked.system_user_id, marked.system_user_fingerprint) == ("777", USER_TOKEN_FINGERPRINT)


@pytest.mark.parametrize(
    ("fetched", "state", "codes"),
    [
        pytest.param(None, State.UNKNOWN, [], id="no answer about the Page"),
        pytest.param(SourceError(Problem("throttled", "x")), State.UNKNOWN, ["throttled"], id="unknown"),
        pytest.param(SourceError(Problem("no-access", "x"), State.INVALID), State.INVALID, ["no-access"], id="refused"),
    ],
)
def test_page_without_a_token_is_kept(fetched: SourceError | None, state: State, codes: list[str]) -> None:
    """Where no token was fetched the Page says why, nothing is written, and the stored token is judged all the same."""
    whole = planned(observe({KEY: stored()}, fetched=fetched))
    candidate, current = whole.pages[0].candidate, whole.pages[0].targets[0].current
    assert (candidate.verdict.state, [problem.code for problem in candidate.verdict.problems]) == (state, codes)
    assert (lines(whole), current.verdict.state) == (["kept/"], State.VALID)


def test_token_that_meta_was_not_asked_about_is_unknown() -> None:
    """A token without facts is neither written nor replaced."""
    assert lines(planned(observe({KEY: Absent()}, known={}))) == ["kept/"]
    assert lines(planned(observe({KEY: stored(OTHER)}, known={FETCHED: facts()}))) == ["kept/"]


def test_facts_of_one_app_are_not_those_of_another() -> None:
    """One string asked about with two apps' tokens has two answers; a Page is judged by its own app's."""
    observed = replace(observe({KEY: Absent()}), facts={("other-app", FETCHED): facts()})
    assert lines(planned(observed)) == ["kept/"]


@pytest.mark.parametrize(
    ("content", "token"),
    [
        pytest.param(stored(), FETCHED, id="managed"),
        pytest.param(stored(OTHER, marks=marks(instance="other")), OTHER, id="another instance's"),
        pytest.param(stored(payload=Payload({"old": FETCHED.reveal()})), FETCHED, id="by its mark"),
        pytest.param(Stored(Payload({"old": FETCHED.reveal()}), "3", None), None, id="elsewhere, and no mark"),
        pytest.param(stored(payload=None), None, id="unreadable"),
        pytest.param(Absent(), None, id="nothing"),
        pytest.param(STORE_DOWN, None, id="not read"),
        pytest.param(None, None, id="not asked"),
    ],
)
def test_stored_token(content: Any, token: Secret | None) -> None:
    """The token of a target is found in what is stored, by name or by the mark's fingerprint."""
    assert stored_token(page(), content) == token


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        pytest.param(stored(), True, id="managed"),
        pytest.param(Stored(payload(OTHER), "1", None, first=True), True, id="an interrupted create, it seems"),
        pytest.param(Stored(payload(OTHER), "2", None), False, id="unmarked"),
        pytest.param(stored(marks=marks(instance="other")), False, id="another instance's"),
        pytest.param(stored(marks=marks(page_id="9")), False, id="another Page's"),
        pytest.param(Absent(), False, id="nothing"),
        pytest.param(STORE_DOWN, False, id="not read"),
    ],
)
def test_no_token_of_another_program_is_sent_to_meta(content: Any, asked: bool) -> None:
    """The content of another program's secret is sent to nobody."""
    assert needs_verdict(page(), content, INSTANCE) is asked


def test_orphans_carry_the_mark_and_belong_to_no_page() -> None:
    """An orphan carries the instance's mark, and no Page of the configuration names its target."""
    rome, oslo = Key("vault", "meta/pages/rome"), Key("aws", "meta/pages/oslo")
    theirs = (Key("vault", "meta/pages/theirs"), marks(instance="other"))
    owned = {"vault": [(rome, marks()), (KEY, marks()), theirs], "aws": [(oslo, marks())]}
    assert planned(observe({KEY: stored()}, owned=owned)).orphans == (oslo, rome)


def test_store_that_cannot_be_listed_is_named() -> None:
    """Where orphans could not be listed the plan says in which store and why; those of other stores are reported."""
    rome = Key("aws", "meta/pages/rome")
    whole = planned(observe({KEY: stored()}, owned={"vault": STORE_DOWN, "aws": [(rome, marks())]}))
    assert (whole.orphans, dict(whole.unlisted)) == ((rome,), {"vault": STORE_DOWN})


def _many(rng: random.Random | None = None, version: str = "3") -> Plan:
    """Plan for five Pages: two repairs, a creation, one unchanged, one kept; in any order."""
    contents = [
        stored(payload=None, version=version),
        stored(payload=None),
        Absent(),
        stored(),
        stored(OTHER),
    ]
    pages, current, fetched = [], {}, {}
    for number, content in enumerate(contents):
        key = Key("vault", f"meta/pages/{number}")
        pages.append(page(name=f"p{number}", targets=(key,)))
        current[key] = content
        fetched[f"p{number}"] = Fetched(FETCHED)
    if rng is not None:
        rng.shuffle(pages)
    return plan(replace(observe(current), fetched=fetched, pages=pages), now=NOW)


def test_checksum_does_not_depend_on_order() -> None:
    """The plan's name is the same in whatever order Pages are configured."""
    assert len({_many(random.Random(seed)).checksum for seed in range(20)}) == 1


def test_checksum_changes_with_the_version_read() -> None:
    """Another version in one target is another plan."""
    assert _many().checksum != _many(version="4").checksum


def test_checksum_changes_with_action_and_reason() -> None:
    """Another action, or another reason for it, is another plan."""
    invalid = facts(is_valid=False)
    found = [
        planned(observe({KEY: stored(payload=None)})),
        planned(observe({KEY: stored(OTHER)}, known={FETCHED: facts(), OTHER: invalid})),
        planned(observe({KEY: stored(marks=marks(labels={"a": "b"}))})),
        planned(observe({KEY: stored(marks=marks(app_id=""))})),
    ]
    assert len({whole.checksum for whole in found}) == 4


def test_checksum_changes_with_what_stands_beside_the_token() -> None:
    """A template or labels that were changed after a person saw the plan are another plan."""
    there = observe({KEY: stored(payload=None)})
    plans = [
        plan(replace(there, pages=[page(**changes)]), now=NOW)
        for changes in ({}, {"payload": template({**DEFAULT_TEMPLATE, "z": "unseen"})}, {"labels": {"team": "crm"}})
    ]
    assert len({one.checksum for one in plans}) == 3


def test_plan_that_was_not_let_through_writes_nothing() -> None:
    """Where another plan was let through every write is held, and says what it would have been."""
    whole = withheld(planned(observe({KEY: Absent()})))
    (entry,) = whole.pages[0].targets
    assert (entry.action.kind, entry.action.reason, entry.action.write) == (Kind.HELD, "another-plan", None)
    assert entry.action.would == Would(Kind.CREATED, None)
    assert list(writes(whole)) == []
    assert withheld(planned(observe({KEY: stored()}))) == planned(observe({KEY: stored()}))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(stored(), id="unchanged"),
        pytest.param(stored(OTHER), id="kept"),
        pytest.param(STORE_DOWN, id="failed"),
        pytest.param(Stored(payload(), "9", None), id="refused"),
    ],
)
def test_there_is_no_checksum_where_nothing_would_be_written(content: Stored | StoreError) -> None:
    """A plan that writes nothing has no checksum, whatever it could not decide."""
    assert planned(observe({KEY: content})).checksum is None


@pytest.mark.parametrize("changes", [{"hold": True}, {}])
def test_what_the_configuration_holds_has_no_checksum(changes: dict[str, Any]) -> None:
    """What hold or observe holds is written by nobody's leave, so it is no part of a plan."""
    there = replace(observe({KEY: Absent()}), pages=[page(**changes)])
    assert plan(there, now=NOW, policy=Policy(observe=not changes)).checksum is None


def _two(first: Any, second: Any = None, **changes: Any) -> Plan:
    """Plan for two Pages, with what is stored for each."""
    keys = Key("vault", "meta/pages/one"), Key("aws", "meta/pages/two")
    pages = [page(name="one", targets=(keys[0],), **changes), page(name="two", targets=(keys[1],))]
    found = observe({keys[0]: first, keys[1]: stored() if second is None else second})
    return plan(replace(found, pages=pages, fetched={one.name: Fetched(FETCHED) for one in pages}), now=NOW)


def test_checksum_covers_creations() -> None:
    """A creation is part of the plan: one more, another template or another way to create is another plan."""
    plans = [
        _two(Absent()),
        _two(Absent(), Absent()),
        _two(Absent(), labels={"team": "crm"}),
        _two(Stored(None, "3", marks(), "deleted")),
        _two(Stored(None, "", marks(), "empty")),
    ]
    assert len({one.checksum for one in plans} - {None}) == 5


@pytest.mark.parametrize("undecided", [STORE_DOWN, StoreError("denied", "No.", "Grant it.")])
def test_checksum_names_what_could_not_be_decided(undecided: StoreError) -> None:
    """A secret that could not be read makes another plan than one that needs no write, whatever the reason."""
    assert _two(Absent(), undecided).checksum not in (None, _two(Absent()).checksum)
    assert _two(Absent(), undecided).checksum == _two(Absent(), STORE_DOWN).checksum


def test_checksum_names_a_page_of_which_nothing_is_known() -> None:
    """A Page whose token could not be judged, and may be written later, is named; a working one that stays is not."""
    keys = Key("vault", "meta/pages/one"), Key("vault", "meta/pages/two")
    pages = [page(name="one", targets=keys[:1]), page(name="two", targets=keys[1:])]

    def checked(second: Stored | Absent, known: Mapping[Secret, TokenFacts]) -> str | None:
        found = observe({keys[0]: Absent(), keys[1]: second}, known={FETCHED: facts(), **known})
        fetched = {"one": Fetched(FETCHED), "two": Fetched(Secret("EAAunknown0unknown0"))}
        return plan(replace(found, pages=pages, fetched=fetched), now=NOW).checksum

    named = {checked(Absent(), {}), checked(stored(OTHER), {})}
    assert len(named) == 1
    assert checked(stored(OTHER), {OTHER: facts()}) not in named


def test_checksum_after_a_cycle_is_that_of_what_is_left() -> None:
    """What was written is no longer part of the plan, so that a printed checksum fits the next one."""
    before = _two(Stored(None, "3", marks(), "deleted"), Absent())
    assert checksum(before.pages) == before.checksum
    left = checksum(before.pages, written={Key("aws", "meta/pages/two")})
    assert left == _two(Stored(None, "3", marks(), "deleted")).checksum
    assert checksum(before.pages, written={target.key for _, target in targets(before.pages)}) is None


def test_checksum_holds_no_token() -> None:
    """Which token is written does not name a plan, so that changing strings leave it as it is."""
    repair = observe({KEY: stored(payload=None)})
    another = observe({KEY: stored(payload=None)}, fetched=Fetched(OTHER))
    assert planned(repair).checksum == planned(another).checksum


def test_writes_are_those_of_the_plan_in_the_order_of_the_configuration() -> None:
    """What is to be written is given in the order of Pages."""
    assert [target.key.path[-1] for _, target in writes(_many())] == ["0", "1", "2"]


def test_ending_system_user_is_among_its_problems() -> None:
    """What is wrong with a system user's token includes that it ends soon."""
    problem, notice = Problem("wrong-app", "x"), Problem("system-user-expiring", "y")
    user_token = SystemUserToken("main", "messenger", None, Verdict(State.INVALID, (problem,), (notice,)))
    assert user_token_problems(user_token) == (problem, notice)
