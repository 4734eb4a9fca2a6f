"""One cycle over a Graph and stores in memory: what is written, what is not, and what is said of it."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from sync.core.judge.decide import Kind
from sync.core.memory.quota import Pool, QuotaKey
from sync.core.model import Key, SourceError, State, StoreError
from sync.core.plan.guards import Brake
from sync.core.problems import Problem
from sync.core.report.events import events
from sync.core.report.json import as_json
from sync.core.report.report import Report
from sync.core.secret import Secret
from sync.runtime.threads import Stopping
from tests.support.fakes import Stage
from tests.support.values import APP_ID, marks, payload, stored

DOWN = StoreError("unreachable", "Nobody listens.", "Start it.", whole=True)
SECRET_TEXT = "EAAcanary-in-an-exception"


def lines(report: Report) -> dict[str, str]:
    """Return what was done with each target, by store and Page."""
    return {
        f"{entry.key.store}/{page.name}": f"{entry.action.value}/{entry.reason or entry.error_code or ''}"
        for page in report.pages
        for entry in page.stores
    }


def test_first_cycle_creates_and_the_second_finds_all_as_wanted() -> None:
    """Every Page is created in each of its targets; the next cycle makes no write call at all."""
    stage = Stage("berlin", "paris", stores=("vault", "aws"))
    first, second = stage.cycle(), stage.cycle()
    assert (set(lines(first).values()), first.result) == ({"created/"}, "ok")
    assert (set(lines(second).values()), second.result) == ({"unchanged/"}, "ok")
    assert [len(store.writes) for store in stage.stores.values()] == [4, 4]


def test_without_write_nothing_is_written() -> None:
    """A plan reads, says what would be done, and changes nothing."""
    stage = Stage("berlin", "paris")
    report = stage.cycle(write=False)
    assert (set(lines(report).values()), report.exit_code) == ({"created/"}, 1)
    assert stage.stores["vault"].writes == []


def test_revoked_token_is_healed() -> None:
    """A stored token that Meta calls invalid is replaced by the present one, which is then verified."""
    stage = Stage("berlin", "paris")
    stage.cycle()
    stage.world.invalid.add(stage.world.token(stage.pages[0]))
    stage.world.generation += 1
    report = stage.cycle()
    assert lines(report) == {"vault/berlin": "replaced/heal", "vault/paris": "kept/"}
    assert report.result == "ok"


def test_each_string_is_asked_about_once() -> None:
    """A token that was fetched, and is stored in several targets, costs one call."""
    stage = Stage("berlin", "paris", stores=("vault", "aws"))
    stage.cycle()
    stage.world.asked.clear()
    stage.cycle()
    assert [len(tokens) for tokens in stage.world.asked] == [2]


def test_token_of_another_program_is_not_sent() -> None:
    """The value in another program's secret is not sent to Meta."""
    stage = Stage("berlin")
    foreign = Secret("sk-live-somebody-elses-secret")
    stage.stores["vault"].secrets[stage.pages[0].targets[0]] = stored(foreign, marks=marks(instance="other"))
    report = stage.cycle()
    assert lines(report) == {"vault/berlin": "refused/"}
    assert not any(foreign in tokens for tokens in stage.world.asked)


def test_traffic_is_counted() -> None:
    """The report says what the cycle cost: requests of this cycle, not of those before."""
    stage = Stage("berlin")
    stage.cycle()
    report = stage.cycle()
    assert (report.summary["graph_requests"], report.summary["store_requests"]) == (3, 2)
    assert sum(report.frame.traffic.graph_outcomes.values()) == 3
    assert report.frame.traffic.store_outcomes == {("vault", "read", "ok"): 1, ("vault", "owned", "ok"): 1}


def test_the_use_of_quotas_is_reported() -> None:
    """Of each app and kind of quota the report has the highest use, where Meta reported it within the last hour."""
    stage = Stage("berlin", "paris")
    now = stage.clock.now()
    old = now - timedelta(hours=2)
    stage.world.pools = {
        QuotaKey(APP_ID): Pool(used=40.0, reported_at=now),
        QuotaKey(APP_ID, "page", "1"): Pool(used=7.0, reported_at=now),
        QuotaKey(APP_ID, "page", "2"): Pool(used=95.0, reported_at=now),
        QuotaKey(APP_ID, "system_user", "main"): Pool(used=80.0, reported_at=old),
        QuotaKey("999"): Pool(used=50.0, reported_at=now),
    }
    assert stage.cycle().frame.quota_used == {("messenger", "app"): 0.4, ("messenger", "page"): 0.95}


@pytest.mark.parametrize("late", [False, True], ids=["before the read", "during the read"])
def test_invalid_system_user_token_is_reported(late: bool) -> None:
    """An invalid system user token is reported, also where only the reading of Pages shows it; the Pages keep their secrets."""
    stage = Stage("berlin", "paris", users=("main", "second"))
    stage.cycle()
    invalid = SourceError(Problem("system-user-invalid", "Invalid."), State.INVALID, "system_user")
    if late:
        stage.world.before = lambda call: stage.world.errors.update(main=invalid) if call == "read" else None
    else:
        stage.world.errors["main"] = invalid
    report = stage.cycle()
    assert lines(report) == {"vault/berlin": "kept/", "vault/paris": "unchanged/"}
    assert {one.system_user: one.verdict.state for one in report.user_tokens} == {
        "main": State.INVALID,
        "second": State.VALID,
    }
    assert [event.fields["page"] for event in events(report) if event.name == "system_user_invalid"] == ["berlin"]


def test_store_that_is_down_fails_alone() -> None:
    """A store that cannot be reached fails its own targets, ends with 1, and the other store is written."""
    stage = Stage("berlin", "paris", stores=("vault", "aws"))
    stage.stores["vault"].down = DOWN
    report = stage.cycle()
    assert lines(report) == {
        "vault/berlin": "failed/unreachable",
        "aws/berlin": "created/",
        "vault/paris": "failed/unreachable",
        "aws/paris": "created/",
    }
    assert (report.result, report.exit_code) == ("degraded", 1)
    assert report.frame.warnings == ()


def test_orphans_that_alone_cannot_be_listed_are_a_warning() -> None:
    """A store that reads its secrets and refuses the list is warned of; one that fails whole is its secrets' problem."""
    stage = Stage("berlin")

    def listing(step: str, _: Key | None) -> None:
        stage.stores["vault"].down = DOWN if step == "owned" else None

    stage.stores["vault"].before = listing
    report = stage.cycle()
    assert lines(report) == {"vault/berlin": "created/"}
    assert [warning for warning in report.frame.warnings if "vault" in warning and "orphans" in warning]


def test_all_stores_down_is_a_failed_cycle() -> None:
    """Where no store can be reached nothing could be carried out: exit code 3."""
    stage = Stage("berlin", stores=("vault", "aws"))
    for store in stage.stores.values():
        store.down = DOWN
    report = stage.cycle()
    assert (report.result, report.exit_code) == ("failed", 3)


def test_graph_down_is_a_failed_cycle_that_keeps_everything() -> None:
    """Where Meta can be asked nothing, nothing is written and nothing is called broken: exit code 3."""
    stage = Stage("berlin", "paris")
    stage.cycle()
    down = SourceError(Problem("graph-unavailable", "Silence."), scope="graph")
    stage.world.errors.update(main=down, messenger=down)
    report = stage.cycle()
    assert (set(lines(report).values()), report.exit_code) == ({"kept/"}, 3)
    assert {page.served for page in report.pages} == {"stale"}


def test_write_that_another_writer_overtook_changes_nothing() -> None:
    """Compare-and-set keeps the value of the faster writer; the target fails with "conflict" and is decided again."""
    stage = Stage("berlin", "paris")
    store, key = stage.stores["vault"], stage.pages[0].targets[0]

    def overtake(step: str, at: Key | None) -> None:
        if step == "data" and at == key:
            store.secrets[key] = stored(version="7", marks=marks(page_id="100"))

    store.before = overtake
    report = stage.cycle()
    assert lines(report) == {"vault/berlin": "failed/conflict", "vault/paris": "created/"}
    assert store.secrets[key].version == "7"


def test_unconfirmed_write_is_reported_and_settled() -> None:
    """A write that could not be read back is stale and unconfirmed; the next cycle finds it as wanted."""
    stage = Stage("berlin")
    stage.stores["vault"].confirms = False
    (entry,) = stage.cycle().pages[0].stores
    assert (entry.action, entry.confirmed, entry.served) == (Kind.CREATED, False, "stale")
    report = stage.cycle()
    assert (lines(report), report.result) == ({"vault/berlin": "unchanged/"}, "ok")


def test_orphans_carry_the_mark_and_belong_to_no_page_at_all() -> None:
    """What no Page names is an orphan if it carries our instance, in every store that is configured."""
    stage = Stage("berlin", stores=("vault",))
    stage.cycle()
    other = Stage(stores=("vault", "aws"))
    stage.stores["aws"] = other.stores["aws"]
    rome, oslo, theirs = Key("vault", "meta/pages/rome"), Key("aws", "meta/pages/oslo"), Key("vault", "theirs")
    stage.stores["vault"].secrets.update(
        {rome: stored(marks=marks(page_id="9")), theirs: stored(marks=marks(instance="other"))}
    )
    stage.stores["aws"].secrets[oslo] = stored()
    report = stage.cycle()
    assert report.orphans == (oslo, rome)
    assert (report.result, report.exit_code) == ("ok", 0)


@pytest.mark.parametrize("call", ["user_tokens", "read", "debug"])
def test_shutdown_passes_through(call: str) -> None:
    """Once shutdown is asked for the cycle ends where it is, with no value in its place."""
    stage = Stage("berlin", "paris", stores=("vault", "aws"))

    def stop(at: str) -> None:
        stage.clock.stopping = at == call or stage.clock.stopping
        stage.clock.check()

    stage.world.before = stop
    with pytest.raises(Stopping):
        stage.cycle()
    assert [store.writes for store in stage.stores.values()] == [[], []]


def test_shutdown_between_writes_begins_no_further_one() -> None:
    """A write that is under way is finished when shutdown is asked for; none after it is begun."""
    stage = Stage(*(f"p{number}" for number in range(50)))
    store = stage.stores["vault"]

    def stop(step: str, _: Key | None) -> None:
        stage.clock.stopping = stage.clock.stopping or step == "data"

    store.before = stop
    report = stage.cycle()
    assert 1 <= len(store.secrets) <= 8
    assert all(one.marks is not None for one in store.secrets.values())
    done = {"created/": len(store.secrets), "kept/shutdown": 50 - len(store.secrets)}
    assert Counter(lines(report).values()) == done
    (finished,) = [event for event in events(report) if event.name == "cycle_finished"]
    assert (report.result, finished.fields["not_begun"]) == ("degraded", 50 - len(store.secrets))
    assert "Shutdown cut this cycle short" in report.frame.warnings[0]


@pytest.mark.parametrize("pages", [1, 30])
def test_shutdown_waits_for_no_store_for_ever(pages: int) -> None:
    """A write that hangs is in doubt once shutdown leaves no more time for it, and all others are reported all the same."""
    stage = Stage(*(f"p{number}" for number in range(pages)))
    hung, release = stage.pages[0].targets[0], threading.Event()

    def hang(step: str, key: Key | None) -> None:
        if (step, key) == ("data", hung):
            stage.clock.stopping = True
            while not release.wait(0.02):
                stage.clock.passed += 0.25

    stage.stores["vault"].before = hang
    report = stage.cycle()
    release.set()
    said = lines(report)
    assert said.pop("vault/p0") == "failed/timeout"
    assert report.pages[0].stores[0].served == "stale"
    assert set(said.values()) <= {"created/", "kept/shutdown"}
    assert stage.clock.passed < 20


def test_shutdown_leaves_what_was_written_in_memory() -> None:
    """Tokens that worked and were written over before shutdown came count for the brake of the next start."""
    stage = Stage(*(f"p{number}" for number in range(20)))
    stage.remembers = True
    stage.cycle()
    stage.world.user_token, stage.world.generation = Secret("EAA-another-parent"), 1
    stage.world.users[stage.world.user_token] = stage.world.user_facts(user_id="another")
    stage.changes["brake"] = Brake(1.0, 100)
    store = stage.stores["vault"]

    def stop(step: str, _: Key | None) -> None:
        stage.clock.stopping = stage.clock.stopping or step == "data"

    store.before = stop
    report = stage.cycle()
    written = {entry.key for page in report.pages for entry in page.stores if entry.action is Kind.REPLACED}
    assert 1 <= len(written) <= 8
    assert set(stage.memory.overwritten) == written


def test_shutdown_while_meta_is_asked_again_is_reported() -> None:
    """Shutdown that comes between writes, where a proof is too old, leaves the rest undone and reports what was done."""
    stage = Stage(*(f"p{number}" for number in range(30)))
    store = stage.stores["vault"]

    def stop(at: str) -> None:
        stage.clock.stopping = stage.clock.stopping or (at == "debug" and bool(store.writes))
        stage.clock.check()

    def age(step: str, _: Key | None) -> None:
        stage.clock.passed += 61 if step == "read back" else 0

    stage.world.before, store.before = stop, age
    report = stage.cycle()
    assert report.frame.cut_short
    assert set(lines(report).values()) == {"created/", "kept/shutdown"}


def _bug(*_: object, **__: object) -> None:
    raise RuntimeError(SECRET_TEXT)


@pytest.mark.parametrize("call", ["user_tokens", "read", "debug"])
def test_bug_at_graph_is_a_value(call: str) -> None:
    """An exception at the source stops no store from being read; its class and line are reported, and never its text."""
    stage = Stage("berlin", stores=("vault", "aws"))
    stage.world.before = lambda at: _bug() if at == call else None
    report = stage.cycle()
    assert set(lines(report).values()) == {"kept/"}
    (problem,) = report.pages[0].problems
    assert problem.code == "unexpected-graph-error"
    assert "RuntimeError in test_cycle.py" in problem.message
    assert SECRET_TEXT not in json.dumps(as_json(report)) + str(list(events(report)))


@pytest.mark.parametrize("step", ["begin", "read", "data", "marks", "owned"])
def test_bug_at_a_store_is_a_value(step: str) -> None:
    """An exception at one store fails its targets alone, or its list of orphans; its text is reported nowhere."""
    stage = Stage("berlin", stores=("vault", "aws"))
    stage.stores["vault"].before = lambda at, _: _bug() if at == step else None
    report = stage.cycle()
    wanted = "created/" if step == "owned" else "failed/unexpected"
    assert lines(report) == {"vault/berlin": wanted, "aws/berlin": "created/"}
    said = json.dumps(as_json(report)) + str(list(events(report)))
    assert "RuntimeError in test_cycle.py" in said
    assert SECRET_TEXT not in said


@pytest.mark.parametrize("step", ["data", "marks", "read back"])
def test_write_that_a_bug_interrupted_is_in_doubt(step: str) -> None:
    """Where a write ended in a bug nobody knows how far it came: stale, until the next cycle has read the store."""
    stage = Stage("berlin")
    stage.cycle()
    stage.world.invalid.add(stage.world.token(stage.pages[0]))
    stage.world.generation += 1
    stage.stores["vault"].before = lambda at, _: _bug() if at == step else None
    (entry,) = stage.cycle().pages[0].stores
    assert (entry.action, entry.error_code, entry.served) == (Kind.FAILED, "unexpected", "stale")
    stage.stores["vault"].before = lambda _, __: None
    assert stage.cycle().result == "ok"


@pytest.mark.parametrize("fresh", [True, False], ids=["created", "healed"])
def test_answer_that_was_lost_after_it_took_effect_is_settled(fresh: bool) -> None:
    """A write that was done and whose answer was lost is stale and failed; the next cycle settles it without a version."""
    stage = Stage("berlin")
    store, key = stage.stores["vault"], stage.pages[0].targets[0]
    if not fresh:
        stage.cycle()
        stage.world.invalid.add(stage.world.token(stage.pages[0]))
        stage.world.generation += 1
    lost = StoreError("timeout", "No answer.", "Wait.", maybe_written=True)
    store.before = lambda at, _: store.down_at.update({key: lost}) if at == "marks" else None
    (entry,) = stage.cycle().pages[0].stores
    assert (entry.action, entry.error_code, entry.served) == (Kind.FAILED, "timeout", "stale")
    store.before, before = lambda _, __: None, list(store.payloads[key])
    store.down_at.clear()
    report = stage.cycle()
    assert (lines(report), report.result) == ({"vault/berlin": f"updated/{'marked' if fresh else 'marks'}"}, "ok")
    assert store.payloads[key] == before


def test_store_that_answers_too_little_fails_alone() -> None:
    """A store that leaves a key out of its answer fails its own targets, and ends no cycle."""
    stage = Stage("berlin", stores=("vault", "aws"))
    stage.stores["vault"].forgets = frozenset(stage.pages[0].targets)
    report = stage.cycle()
    assert lines(report) == {"vault/berlin": "failed/unexpected", "aws/berlin": "created/"}


def test_source_that_leaves_out_a_page_is_a_reported_bug() -> None:
    """A source that leaves a Page out of its answer leaves it unknown, with the reason, and ends no cycle."""
    stage = Stage("berlin")
    stage.world.leaves_out = frozenset({"berlin"})
    (page,) = stage.cycle().pages
    assert (page.fetched, [problem.code for problem in page.problems]) == (State.UNKNOWN, ["unexpected-graph-error"])


def test_token_beyond_the_quota_is_reported() -> None:
    """A new token about which Meta was not asked is unknown, nothing is written, and the quota is named as the reason."""
    stage = Stage("berlin")
    stage.world.forgets.add(stage.world.token(stage.pages[0]))
    report = stage.cycle()
    (page,) = report.pages
    assert (page.fetched, [problem.code for problem in page.problems]) == (State.UNKNOWN, ["throttled"])
    assert lines(report) == {"vault/berlin": "kept/"}


def test_target_without_a_token_is_not_asked_about() -> None:
    """A managed secret without a token is repaired with the one that was fetched."""
    stage = Stage("berlin")
    key = stage.pages[0].targets[0]
    stage.stores["vault"].secrets[key] = stored(payload=None, version="1", marks=marks(page_id="100"))
    stage.stores["vault"].payloads[key] = [payload()]
    assert lines(stage.cycle()) == {"vault/berlin": "replaced/repair"}


DENIED = StoreError("denied", "The policy does not allow it.", "Grant it.")


def test_plan_says_what_the_store_would_refuse() -> None:
    """A plan tries the rights: what the store would refuse is failed in it, and nothing is written."""
    stage = Stage("berlin", "paris", "rome")
    store = stage.stores["vault"]
    store.refuses = {page.targets[0]: DENIED for page in stage.pages[:2]}
    report = stage.cycle(write=False)
    assert lines(report) == {
        "vault/berlin": "failed/denied",
        "vault/paris": "failed/denied",
        "vault/rome": "created/",
    }
    (entry,) = report.pages[0].stores
    assert (entry.served, entry.confirmed, [problem.remedy for problem in entry.problems]) == (
        "absent",
        None,
        ["Grant it."],
    )
    assert (report.exit_code, store.writes) == (1, [])
    assert [dict(tried) for tried in store.tried] == [dict.fromkeys((p.targets[0] for p in stage.pages), "create")]


def test_rights_are_tried_for_what_a_plan_would_write_alone() -> None:
    """The store learns which writes create, which put a payload and which put marks; a plan without writes asks nothing."""
    stage = Stage("berlin", "paris", "rome")
    stage.cycle()
    assert stage.stores["vault"].tried == []
    stage.cycle(write=False)
    assert stage.stores["vault"].tried == []
    stage.world.invalid.add(stage.world.token(stage.pages[0]))
    stage.world.generation += 1
    stage.pages[1] = replace(stage.pages[1], labels={"team": "crm"})
    stage.cycle(write=False)
    berlin, paris, _ = (page.targets[0] for page in stage.pages)
    assert [dict(tried) for tried in stage.stores["vault"].tried] == [{berlin: "update", paris: "mark"}]


def test_bug_while_the_rights_are_tried_is_confined_to_the_store() -> None:
    """An unexpected exception of one store makes its planned writes failed; the other store's plan stands."""
    stage = Stage("berlin", stores=("vault", "aws"))

    def bug(step: str, _: Key | None) -> None:
        if step == "would refuse":
            raise ValueError(SECRET_TEXT)

    stage.stores["aws"].before = bug
    report = stage.cycle(write=False)
    assert lines(report) == {"vault/berlin": "created/", "aws/berlin": "failed/unexpected"}
    assert SECRET_TEXT not in json.dumps(as_json(report))


def test_older_token_that_somebody_else_wrote_is_reported_once_and_claimed_by_nobody() -> None:
    """A working token of the same Page that somebody wrote stays, with a notice that has its version, and without an origin."""
    stage = Stage("berlin", "paris")
    stage.cycle()
    older = stage.world.token(stage.pages[0])
    stage.world.generation += 1
    stage.cycle()
    key, store = stage.pages[0].targets[0], stage.stores["vault"]
    stage.world.invalid.add(older)
    stage.cycle()
    assert store.secrets[key].version == "2"
    stage.world.invalid.clear()
    store.secrets[key] = replace(store.secrets[key], payload=stage.pages[0].payload.render(older), version="7")
    store.payloads[key] += [stage.pages[0].payload.render(older)] * 5
    report = stage.cycle()
    (entry,) = report.pages[0].stores
    assert (entry.action, entry.reason, entry.served) == (Kind.UPDATED, "marks", "verified")
    assert [(notice.code, "Version 7" in notice.message) for notice in entry.notices] == [("foreign-write", True)]
    found = store.secrets[key].marks
    assert found is not None
    assert (found.fingerprint, found.system_user_id, found.system_user_fingerprint) == (older.fingerprint, None, None)
    (entry,) = stage.cycle().pages[0].stores
    assert (entry.action, entry.notices) == (Kind.KEPT, ())


def test_weaker_tokens_wait_for_a_person() -> None:
    """A new system user token with fewer permissions replaces nothing: held, weaker, exit code 4, until --if-plan lets it through."""
    stage = Stage("berlin", "paris")
    both = frozenset({"pages_messaging", "pages_manage_metadata"})
    stage.world.scopes = {stage.world.token(page): both for page in stage.pages}
    stage.cycle()
    stage.world.generation += 1
    stage.world.user_token = Secret("EAAanother-parent")
    report = stage.cycle()
    assert (set(lines(report).values()), report.result, report.exit_code) == ({"held/weaker"}, "held", 4)
    assert {page.served for page in report.pages} == {"verified"}
    report = stage.cycle(if_plan=report.checksum)
    assert (set(lines(report).values()), report.exit_code) == ({"replaced/rotate"}, 0)
