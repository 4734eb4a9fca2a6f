"""A look at a Page: debug_token and a call with each stored token now, whatever is remembered, and nothing written."""

from __future__ import annotations

from sync.core.model import Key, SourceError, State, Stored
from sync.core.plan.model import PagePlan
from sync.core.problems import Problem
from sync.core.secret import Secret
from sync.cycle import look
from tests.support.fakes import Stage

KEY = Key("vault", "meta/pages/berlin")


def looked(stage: Stage) -> PagePlan:
    """Look at the Page as ``check`` does, and return what is known of it."""
    writes = len(stage.stores["vault"].writes)
    stage.world.asked.clear()
    stage.world.probed.clear()
    plan = look(stage.task(selected_from=frozenset({KEY}), confirm_mass_invalid=True, orphans=False))
    assert len(stage.stores["vault"].writes) == writes
    return plan.pages[0]


def notices(found: PagePlan) -> list[str]:
    """Return the codes of the notices about the stored token."""
    return [notice.code for notice in found.targets[0].current.verdict.notices]


def token(stage: Stage) -> Secret:
    """Return the stored token."""
    content = stage.stores["vault"].secrets[KEY]
    assert isinstance(content, Stored)
    assert content.payload is not None
    found = content.payload.secret("access_token")
    assert found is not None
    return found


def prepared() -> Stage:
    """Make a stage with one Page whose token is written and remembered."""
    stage = Stage()
    stage.remembers = True
    stage.cycle()
    stage.clock.advance(60)
    return stage


def test_debug_token_and_a_call_with_the_token() -> None:
    """Both are made at once, although the token was judged a minute ago."""
    stage = prepared()
    found = looked(stage)
    assert found.targets[0].current.verdict.state is State.VALID
    assert {token(stage)} in stage.world.asked
    assert stage.world.probed == [{token(stage)}]
    assert notices(found) == []


def test_nothing_remembered() -> None:
    """A first run without a state file makes the same calls."""
    stage = prepared()
    stage.remembers, stage.memory = False, Stage().memory
    assert looked(stage).targets[0].current.verdict.state is State.VALID
    assert stage.world.probed == [{token(stage)}]


def test_a_token_that_graph_refuses() -> None:
    """A token that Graph refuses, though debug_token calls it valid twice, has a notice, and loses it once Graph accepts it."""
    stage = prepared()
    stage.world.refused = {token(stage)}
    assert notices(looked(stage)) == ["probe-failed"]
    assert stage.world.asked == [{token(stage)}, {token(stage)}]
    # The next cycles remember the refusal, and call with the token every three hours; a look does so now.
    stage.clock.advance(20 * 60)
    stage.cycle()
    assert notices(looked(stage)) == ["probe-failed"]
    stage.world.refused = set()
    assert notices(looked(stage)) == []


def test_an_invalid_token() -> None:
    """A token that debug_token calls invalid is not called with, and the plan replaces it."""
    stage = prepared()
    stage.world.invalid = {token(stage)}
    stage.world.generation += 1
    found = looked(stage)
    assert found.targets[0].current.verdict.state is State.INVALID
    assert found.targets[0].action.reason == "heal"
    assert stage.world.probed == []


def test_no_answer_of_debug_token() -> None:
    """Without an answer nothing is known of tokens of which nothing is remembered, and the cause is named."""
    stage = prepared()
    stage.remembers, stage.memory = False, Stage().memory
    stage.world.errors["messenger"] = SourceError(Problem("graph-unavailable", "Nobody answers."), scope="graph")
    verdict = looked(stage).targets[0].current.verdict
    assert verdict.state is State.UNKNOWN
    assert [problem.code for problem in verdict.problems] == ["graph-unavailable"]
