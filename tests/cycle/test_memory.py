"""What cycles remember of each other: what it saves, and that it never makes them surer than they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from sync.core.memory.memory import Rhythm
from sync.core.memory.quota import Pool, QuotaKey
from sync.core.model import Key, SourceError, State, StoreError, TokenFacts
from sync.core.payload import Payload, PayloadTemplate
from sync.core.problems import Problem
from sync.core.report.events import events
from sync.core.report.report import Report
from sync.core.secret import Secret
from tests.support.fakes import Stage
from tests.support.values import APP_ID, NOW, stored

MINUTE = 60.0
NO_ACCESS = SourceError(Problem("no-access", "Graph says no."), State.INVALID)
INVALID_USER = SourceError(Problem("system-user-invalid", "No.", graph_code=190), State.UNKNOWN, "system_user")
AWAY = SourceError(Problem("graph-unavailable", "Graph is away."), State.UNKNOWN, "graph")


def remembering(*names: str, stores: tuple[str, ...] = ("vault",)) -> Stage:
    """Set a stage whose cycles remember, with the first one over."""
    stage = Stage(*names, stores=stores)
    stage.remembers, stage.changes["confirm_mass_invalid"] = True, False
    assert stage.cycle().result == "ok"
    stage.world.asked.clear()
    stage.clock.passed += 15 * MINUTE
    return stage


def entry(report: Report, number: int = 0) -> tuple[str, str | None, str]:
    """Return what was done for a Page at its first place, and what is served there."""
    first = report.pages[number].stores[0]
    return first.action.value, first.reason, first.served


def event_names(report: Report) -> list[str]:
    """Return the events that are above debug."""
    return [event.name for event in events(report) if event.level != "debug"]


def test_idle_cycles_ask_meta_nothing_but_whether_the_tokens_are_alive() -> None:
    """A token judged lately is used once, on its own quota, and not judged again."""
    stage = remembering("berlin", "paris")
    report = stage.cycle()
    assert (report.result, report.summary["verified"]) == ("ok", 2)
    assert stage.world.asked == []
    assert [len(tokens) for tokens in stage.world.probed] == [2]
    stage.clock.passed += MINUTE
    stage.cycle()
    assert len(stage.world.probed) == 1


def test_each_token_is_judged_once_in_each_interval() -> None:
    """Over two days each token is judged twice more, whatever the number of cycles."""
    stage = remembering("berlin", "paris", "rome")
    for _ in range(2 * 96):
        assert stage.cycle().result == "ok"
        stage.clock.passed += 15 * MINUTE
    assert sum(len(tokens) for tokens in stage.world.asked) == 6


def test_refused_token_is_judged_and_healed_in_the_same_cycle() -> None:
    """A token that Graph refuses is judged at once, and healed where Meta calls it invalid."""
    stage = remembering("berlin", "paris")
    stage.world.invalid.add(stage.world.token(stage.pages[0]))
    stage.world.generation += 1
    report = stage.cycle()
    assert entry(report) == ("replaced", "heal", "verified")
    assert entry(report, 1) == ("kept", None, "verified")


def test_token_that_is_refused_though_meta_calls_it_valid_is_a_notice() -> None:
    """It stays verified, is reported, and is not probed again before three hours have passed."""
    stage = remembering("berlin")
    stage.world.refused.add(stage.world.token(stage.pages[0]))
    for _ in range(5):
        report = stage.cycle()
        assert (report.result, entry(report)) == ("ok", ("unchanged", None, "verified"))
        assert [notice.code for notice in report.pages[0].stores[0].notices] == ["probe-failed"]
        stage.clock.passed += 15 * MINUTE
    assert len(stage.world.probed) == 1
    # Each cycle asks about it, since less than half of the quota is in use.
    assert [len(tokens) for tokens in stage.world.asked] == [1] * 5


def test_refused_token_of_which_meta_says_nothing_is_not_called_verified() -> None:
    """What was said before the refusal counts no more."""
    stage = remembering("berlin")
    stage.world.refused.add(stage.world.token(stage.pages[0]))
    stage.world.errors["messenger"] = AWAY
    report = stage.cycle()
    assert (report.result, entry(report)) == ("failed", ("kept", None, "stale"))


def test_answer_counts_until_it_is_stale() -> None:
    """While Meta cannot be asked again, its last word counts for twice the interval, and not longer."""
    stage = remembering("berlin")
    stage.world.errors["messenger"] = AWAY
    stage.clock.passed = 47.9 * 60 * MINUTE
    report = stage.cycle()
    assert entry(report) == ("unchanged", None, "verified")
    assert [notice.code for notice in report.pages[0].stores[0].notices] == ["graph-unavailable"]
    stage.clock.passed = 48 * 60 * MINUTE
    report = stage.cycle()
    assert (report.result, entry(report)) == ("failed", ("kept", None, "stale"))
    assert report.pages[0].stores[0].verified_at == NOW


def test_remembered_proof_is_too_old_for_a_write() -> None:
    """A secret that was removed is made again only after Meta has been asked again."""
    stage = remembering("berlin")
    stage.stores["vault"].secrets.clear()
    stage.stores["vault"].payloads.clear()
    report = stage.cycle()
    assert entry(report) == ("created", None, "verified")
    assert [len(tokens) for tokens in stage.world.asked] == [1]


def test_no_room_in_the_quota_leaves_what_is_known() -> None:
    """What the quota did not allow to be asked is reported only where no facts count."""
    stage = remembering("berlin", "paris")
    stage.world.quota = 0
    stage.clock.passed = 47 * 60 * MINUTE
    assert stage.cycle().result == "ok"
    stage.clock.passed = 49 * 60 * MINUTE
    report = stage.cycle()
    assert [page.served for page in report.pages] == ["stale", "stale"]
    assert [page.problems[0].code for page in report.pages] == ["throttled", "throttled"]


def test_each_page_is_read_by_its_id_once_a_day() -> None:
    """For no Page the list speaks alone for more than a day, and a short one not at all for a day."""
    stage = remembering("berlin", "paris", "rome")
    for _ in range(2 * 96):
        stage.cycle()
        stage.clock.passed += 15 * MINUTE
    counts = [sum(page.name in named for named in stage.world.by_id) for page in stage.pages]
    assert counts == [2, 2, 2]


def test_due_token_that_the_quota_leaves_out_is_used_itself() -> None:
    """A token that is due, and that the app's quota does not allow, is probed on its own Page's; refused, it is judged and healed."""
    stage = remembering("berlin", "paris")
    stage.world.quota = 0
    stage.clock.passed = 40 * 60 * MINUTE
    stage.world.invalid.add(stage.world.token(stage.pages[0]))
    stage.world.generation += 1
    report = stage.cycle()
    assert entry(report) == ("replaced", "heal", "verified")
    assert entry(report, 1) == ("kept", None, "verified")


def test_expired_token_is_not_verified_by_an_old_answer() -> None:
    """What Meta said of a token before its end says nothing after it, however young the word is."""
    stage = Stage("berlin")
    stage.remembers, stage.changes["confirm_mass_invalid"] = True, False
    token = stage.world.token(stage.pages[0])
    stage.world.ends[token] = NOW + timedelta(days=8)
    assert stage.cycle().result == "ok"
    stage.changes["rhythm"] = Rhythm(timedelta(days=30))
    stage.world.quota = 0
    stage.clock.passed = 9 * 24 * 60 * MINUTE
    assert entry(stage.cycle()) == ("kept", None, "stale")


def test_refusal_that_meta_has_answered_is_over() -> None:
    """A token that was refused and then called valid within one cycle is no suspect in the next."""
    stage = remembering("berlin")
    stage.world.before = lambda _: setattr(stage.clock, "passed", stage.clock.passed + 1)
    stage.world.refused.add(stage.world.token(stage.pages[0]))
    assert entry(stage.cycle()) == ("unchanged", None, "verified")
    stage.world.asked.clear()
    stage.world.errors["messenger"] = AWAY
    stage.clock.passed += 15 * MINUTE
    assert entry(stage.cycle()) == ("unchanged", None, "verified")


def test_clock_that_is_set_back_proves_no_write() -> None:
    """A word of an earlier cycle proves no write, though a clock that was set back makes it look young."""
    stage = remembering("berlin")
    stage.stores["vault"].secrets.clear()
    stage.stores["vault"].payloads.clear()
    stage.world.invalid.add(stage.world.token(stage.pages[0]))
    stage.clock.passed = 20
    assert entry(stage.cycle()) == ("kept", "proof-lost", "absent")


def test_app_whose_credentials_are_refused_vouches_for_nothing() -> None:
    """What Meta said of an app's tokens counts no more once it takes no call of the app."""
    stage = remembering("berlin", "paris")
    stage.world.errors["main"] = SourceError(Problem("app-secret-invalid", "No."), State.UNKNOWN, "app")
    report = stage.cycle()
    assert [page.served for page in report.pages] == ["stale", "stale"]
    assert report.pages[0].stores[0].verified_at == NOW
    del stage.world.errors["main"]
    assert [page.served for page in stage.cycle().pages] == ["verified", "verified"]


def test_repair_needs_no_room_in_the_quota() -> None:
    """A Page without a secret is asked about all the same."""
    stage = remembering("berlin", "paris")
    stage.world.quota = 0
    stage.stores["vault"].secrets.pop(Key("vault", "meta/pages/paris"))
    stage.stores["vault"].payloads.pop(Key("vault", "meta/pages/paris"))
    assert entry(stage.cycle(), 1) == ("created", None, "verified")


def test_changing_strings_are_judged_hourly_and_never_written() -> None:
    """Where each read gives another string, all valid, no version is made and one string an hour is judged."""
    stage = remembering("berlin")
    stage.world.changing = True
    for _ in range(40):
        assert stage.cycle().result == "ok"
        stage.clock.passed += 15 * MINUTE
    assert len(stage.stores["vault"].writes) == 2
    assert len(stage.world.asked) <= 11


def test_clock_that_is_set_back_makes_nothing_surer() -> None:
    """A judgement from the future is made again."""
    stage = remembering("berlin")
    stage.clock.passed -= 24 * 60 * MINUTE
    assert stage.cycle().result == "ok"
    assert [len(tokens) for tokens in stage.world.asked] == [1]


def test_mass_of_invalid_tokens_is_healed_in_the_second_cycle() -> None:
    """The first cycle keeps them and says so, the next one heals."""
    stage = remembering(*(f"p{number}" for number in range(6)))
    for page in stage.pages:
        stage.world.invalid.add(stage.world.token(page))
    stage.world.generation += 1
    first = stage.cycle()
    assert {entry(first, number) for number in range(6)} == {("kept", "invalid-once", "broken")}
    stage.clock.passed += 15 * MINUTE
    second = stage.cycle()
    assert {entry(second, number) for number in range(6)} == {("replaced", "heal", "verified")}


def test_mass_of_invalid_tokens_is_not_healed_on_one_answer() -> None:
    """Where debug_token gives no answer in the next cycle, the answer of the one before heals nothing."""
    stage = remembering(*(f"p{number}" for number in range(6)))
    tokens = [stage.world.token(page) for page in stage.pages]
    stage.world.invalid.update(tokens)
    stage.world.generation += 1
    stage.cycle()
    stage.world.forgets.update(tokens)
    stage.clock.passed += 15 * MINUTE
    report = stage.cycle()
    assert {entry(report, number) for number in range(6)} == {("kept", "invalid-once", "broken")}


def test_mass_of_invalid_tokens_is_asked_about_twice_by_a_single_cycle() -> None:
    """Where no cycle follows, Meta is asked again at once, and what it takes back is not replaced."""
    stage = remembering(*(f"p{number}" for number in range(6)))
    stage.changes["confirm_mass_invalid"] = True
    tokens = [stage.world.token(page) for page in stage.pages]
    stage.world.invalid.update(tokens)
    stage.world.generation += 1
    calls = 0

    def before(call: str) -> None:
        nonlocal calls
        calls += call == "debug"
        if calls == 2:
            stage.world.invalid.discard(tokens[0])

    stage.world.before = before
    report = stage.cycle()
    assert entry(report) == ("kept", None, "verified")
    assert {entry(report, number) for number in range(1, 6)} == {("replaced", "heal", "verified")}


def test_brake_remembers_what_it_let_through() -> None:
    """Two changes pass, and a third within the day is held with what would be done and the plan's name."""
    stage = remembering(*(f"p{number}" for number in range(9)))
    tokens = [stage.world.token(page) for page in stage.pages]
    stage.world.generation += 1
    for token in tokens[:2]:
        stage.world.owners[token] = "wrong"
    for _ in range(2):
        stage.clock.passed = stage.clock.passed + 60 * MINUTE
        stage.changes["rhythm"] = Rhythm(timedelta(seconds=1))
        report = stage.cycle()
    assert [entry(report, number)[0] for number in range(3)] == ["unchanged", "unchanged", "kept"]
    stage.world.owners[tokens[2]] = "wrong"
    stage.clock.passed += MINUTE
    report = stage.cycle()
    assert entry(report, 2) == ("held", "brake", "broken")
    assert (report.result, report.exit_code) == ("held", 4)
    assert "brake_held" in event_names(report)
    wrong = stage.cycle(if_plan="sha256:" + 64 * "0")
    assert (wrong.result, entry(wrong, 2)[:2], wrong.frame.another_plan) == ("held", ("held", "another-plan"), True)
    assert len(stage.stores["vault"].payloads[stage.pages[2].targets[0]]) == 1
    right = stage.cycle(if_plan=report.checksum)
    assert (right.result, entry(right, 2)) == ("ok", ("replaced", "heal", "verified"))


def test_held_writes_stay_held_until_a_person_lets_them_through() -> None:
    """What the brake holds waits for days, passes in no portions where a cycle can judge only some, and passes with --if-plan."""
    stage = remembering(*(f"p{number}" for number in range(9)))
    stage.pages = [
        replace(page, payload=PayloadTemplate.parse({"token": "{token}", "id": "{id}"}, {"id": page.id}))
        for page in stage.pages
    ]
    held = [("held", "brake")] * 9
    assert [entry(stage.cycle(), number)[:2] for number in range(9)] == held
    stage.clock.passed = 25 * 60 * MINUTE
    assert [entry(stage.cycle(), number)[:2] for number in range(9)] == held
    stage.clock.passed = 75 * 60 * MINUTE
    stage.world.forgets.update(stage.world.token(page) for page in stage.pages[2:])
    report = stage.cycle()
    assert [entry(report, number)[:2] for number in range(9)] == [*held[:2], *[("kept", None)] * 7]
    stage.world.forgets.clear()
    report = stage.cycle()
    assert [entry(report, number)[:2] for number in range(9)] == held
    right = stage.cycle(if_plan=report.checksum)
    assert {entry(right, number)[:2] for number in range(9)} == {("updated", "payload")}
    assert (right.checksum, stage.memory.waiting) == (None, {})


def test_printed_checksum_fits_the_next_run() -> None:
    """A run that writes some lines and holds others prints the checksum of those that are left."""
    stage = remembering(*(f"p{number}" for number in range(9)))
    stage.pages = [
        replace(page, payload=PayloadTemplate.parse({"token": "{token}", "id": "{id}"}, {"id": page.id}))
        for page in stage.pages
    ]
    broken = stage.pages[0].targets[0]
    store = stage.stores["vault"]
    store.secrets[broken] = replace(store.secrets[broken], payload=Payload({}))
    report = stage.cycle()
    assert [entry(report, number)[:2] for number in (0, 1)] == [("replaced", "repair"), ("held", "brake")]
    report = stage.cycle(if_plan=report.checksum)
    assert [entry(report, number)[:2] for number in (0, 1)] == [("unchanged", None), ("updated", "payload")]


def test_lines_that_a_person_let_through_are_written_as_the_quota_allows() -> None:
    """What waits for a proof after --if-plan is written in later cycles without another leave; a line that differs is held."""
    stage = remembering(*(f"p{number}" for number in range(9)))

    def with_field(name: str) -> None:
        template = {"token": "{token}", "id": "{id}", name: "x"}
        stage.pages = [replace(page, payload=PayloadTemplate.parse(template, {"id": page.id})) for page in stage.pages]

    with_field("first")
    held = stage.cycle()
    stage.clock.passed += MINUTE
    stage.world.quota = 4
    report = stage.cycle(if_plan=held.checksum)
    assert Counter(entry(report, number)[1] for number in range(9)) == {"payload": 4, "proof-lost": 5}
    assert {page.served for page in report.pages} == {"verified"}
    stage.world.quota = 3
    stage.clock.passed += MINUTE
    report = stage.cycle()
    assert Counter(entry(report, number)[1] for number in range(9)) == {None: 4, "payload": 3, "proof-lost": 2}
    stage.clock.passed += MINUTE
    stage.world.quota = None
    with_field("second")
    report = stage.cycle()
    assert {entry(report, number)[:2] for number in range(9)} == {("held", "brake")}
    assert stage.memory.let_through == {}


def test_lost_page_becomes_an_alarm_once_and_is_regained() -> None:
    """The loss is reported from the first cycle on, the alarm once, and the good reading once."""
    stage = remembering("berlin", "paris", "rome")
    stage.world.errors["paris"] = NO_ACCESS
    events_of = []
    for _ in range(4):
        report = stage.cycle()
        assert (report.pages[1].fetched, report.result) == (State.INVALID, "degraded")
        assert entry(report, 1) == ("kept", None, "verified")
        events_of.append([name for name in event_names(report) if name in ("page_lost", "page_regained")])
        stage.clock.passed += 15 * MINUTE
    assert events_of == [[], [], ["page_lost"], []]
    assert report.pages[1].alarm is not None
    assert [len(names) for names in stage.world.read[-2:]] == [3, 2]
    assert frozenset({"paris"}) in stage.world.individually
    del stage.world.errors["paris"]
    report = stage.cycle()
    assert (report.result, "page_regained" in event_names(report)) == ("ok", True)


def test_page_whose_store_is_away_is_not_taken_for_a_new_one() -> None:
    """Only where nothing is stored has a Page never worked; a store that cannot be read says nothing of that."""
    stage = Stage("berlin", "paris")
    stage.remembers = True
    stage.world.errors["berlin"] = NO_ACCESS
    stage.stores["vault"].down = StoreError("unreachable", "Nobody listens.", "Start it.", whole=True)
    assert [page.alarm for page in stage.cycle().pages] == [None, None]
    stage.stores["vault"].down = None
    assert stage.cycle().pages[0].alarm is not None


def test_selection_makes_its_pages_due_and_leaves_the_memory_of_others_alone() -> None:
    """A person who selects one Page gets the answer of now; what is known of the others stays."""
    stage = remembering("berlin", "paris")
    before = stage.memory
    named = frozenset(key for page in stage.pages for key in page.targets)
    report = stage.cycle(pages=stage.pages[:1], selected_from=named)
    assert ([page.name for page in report.pages], report.orphans) == (["berlin"], ())
    assert [len(tokens) for tokens in stage.world.asked] == [1]
    assert set(stage.memory.judged) == set(before.judged)
    changed = {name for name, judged in stage.memory.judged.items() if judged != before.judged[name]}
    assert {name for _, name in changed} & {stage.world.token(stage.pages[0]).fingerprint}
    assert stage.world.token(stage.pages[1]).fingerprint not in {name for _, name in changed}


def test_store_that_is_away_for_a_while_costs_no_judgements() -> None:
    """What is known of stored tokens outlives a store's outage of less than an hour."""
    stage = remembering("berlin")
    stage.world.changing = True
    stage.cycle()
    stage.stores["vault"].down = StoreError("unreachable", "Nobody listens.", "Start it.", whole=True)
    stage.clock.passed += 15 * MINUTE
    assert stage.cycle().result in ("degraded", "failed")
    stage.stores["vault"].down = None
    stage.world.asked.clear()
    stage.clock.passed += 15 * MINUTE
    assert stage.cycle().result == "ok"
    stored = stage.stores["vault"].payloads[stage.pages[0].targets[0]]
    assert len(stored) == 1
    assert sum(len(tokens) for tokens in stage.world.asked) <= 1


def test_memory_holds_no_more_than_what_is_seen() -> None:
    """Strings that came and went are forgotten, so that the memory does not grow."""
    stage = remembering("berlin")
    stage.world.changing = True
    sizes = set()
    for _ in range(200):
        stage.clock.passed += 60 * MINUTE
        stage.cycle()
        sizes.add(len(stage.memory.judged))
    # One an hour is judged, and what is known of it is kept for a day.
    assert max(sizes) <= 28
    assert len(sizes) <= 28


def known_before(stage: Stage) -> set[str]:
    """Return the fingerprints of the tokens of which something is known."""
    return {fingerprint for _, fingerprint in stage.memory.judged}


@pytest.mark.parametrize("days", [0, 1, 30])
def test_nothing_is_forgotten_while_graph_and_the_stores_are_away(days: int) -> None:
    """A cycle without a network forgets no judgement, and what was verified stays so as long as its answer counts."""
    stage = remembering(*(f"p{number}" for number in range(40)))
    before = known_before(stage)
    stage.clock.passed += 90 * MINUTE + days * 24 * 60 * MINUTE
    stage.world.errors.update(main=AWAY, messenger=AWAY)
    stage.stores["vault"].down = StoreError("unreachable", "Nobody listens.", "Start it.", whole=True)
    for _ in range(3):
        stage.cycle()
        stage.clock.passed += 15 * MINUTE
    assert known_before(stage) == before
    stage.world.errors.clear()
    stage.stores["vault"].down = None
    stage.world.quota = 0
    assert stage.cycle().summary["stale"] == (0 if days < 2 else 40)


def test_what_is_known_of_a_token_is_kept_for_a_day_after_it_was_seen() -> None:
    """A secret that is taken away and put back within a day costs no question; after a day its token is forgotten."""
    stage = remembering("berlin", "paris")
    stage.world.errors["berlin"] = NO_ACCESS
    key = stage.pages[0].targets[0]
    secret = stage.stores["vault"].secrets.pop(key)
    token = stage.world.token(stage.pages[0]).fingerprint
    for hours in (1, 22):
        stage.clock.passed += hours * 60 * MINUTE
        stage.cycle()
        assert token in known_before(stage)
    stage.stores["vault"].secrets[key] = secret
    assert stage.cycle().pages[0].stores[0].served == "verified"
    del stage.stores["vault"].secrets[key]
    stage.clock.passed += 25 * 60 * MINUTE
    stage.cycle()
    assert token not in known_before(stage)


def test_memory_is_bounded_while_nothing_can_be_forgotten() -> None:
    """Strings that come and go while another Page cannot be read for weeks are kept in a bounded number."""
    stage = remembering("berlin", "paris")
    stage.world.changing = True
    stage.world.errors["paris"] = SourceError(Problem("throttled", "Later."), State.UNKNOWN)
    for _ in range(200):
        stage.clock.passed += 60 * MINUTE
        stage.cycle()
    assert 20 < len(stage.memory.judged) <= 40


def test_interval_that_becomes_shorter_makes_no_answer_stale() -> None:
    """An answer counts for the time that held when it was given, though the quota has grown since."""
    stage = Stage("berlin", "paris")
    stage.remembers, stage.changes["confirm_mass_invalid"] = True, False
    stage.changes["rhythm"] = Rhythm(timedelta(hours=80))
    assert stage.cycle().result == "ok"
    stage.changes["rhythm"] = Rhythm(timedelta(hours=24))
    stage.world.quota = 0
    stage.clock.passed = 150 * 60 * MINUTE
    assert stage.cycle().summary["stale"] == 0
    stage.clock.passed = 160 * 60 * MINUTE
    assert stage.cycle().summary["stale"] == 2
    stage.world.quota = None
    assert stage.cycle().summary["stale"] == 0
    stage.world.quota = 0
    stage.clock.passed += 48 * 60 * MINUTE
    assert stage.cycle().summary["stale"] == 2


def test_interval_that_became_longer_meanwhile_counts_for_earlier_answers() -> None:
    """An answer counts for the longest interval since it was given, so that an interval that goes up and down makes nothing stale."""
    stage = remembering("berlin")
    assert stage.cycle().result == "ok"
    stage.world.quota = 0
    stage.changes["rhythm"] = Rhythm(timedelta(hours=44))
    stage.clock.passed = 40 * 60 * MINUTE
    assert stage.cycle().summary["stale"] == 0
    stage.changes["rhythm"] = Rhythm(timedelta(hours=24))
    stage.clock.passed = 60 * 60 * MINUTE
    assert stage.cycle().summary["stale"] == 0


def test_invalid_token_that_graph_refused_has_no_notice() -> None:
    """That Graph refuses a token is reported beside the verdict only where debug_token calls the token valid."""
    stage = remembering("berlin")
    stage.world.invalid.add(stage.world.token(stage.pages[0]))
    report = stage.cycle()
    assert entry(report) == ("kept", None, "broken")
    assert report.pages[0].stores[0].notices == ()


@pytest.mark.parametrize("hours", [-1, -24, -30 * 24])
def test_refusal_voids_an_answer_from_the_future(hours: int) -> None:
    """A token that is revoked after a clock was set back is not called verified by the answer that lies in the future."""
    stage = remembering("berlin")
    stage.clock.passed += hours * 60 * MINUTE
    stage.world.invalid.add(stage.world.token(stage.pages[0]))
    stage.world.quota = 0
    stage.world.errors["messenger"] = AWAY
    report = stage.cycle()
    assert entry(report)[2] == "stale"
    del stage.world.errors["messenger"]
    stage.world.quota = None
    stage.clock.passed += 15 * MINUTE
    assert entry(stage.cycle())[2] == "broken"


def test_answer_from_the_future_counts_as_none() -> None:
    """After a clock was set back nothing is verified that debug_token has not been asked about again."""
    stage = remembering("berlin")
    stage.clock.passed -= 24 * 60 * MINUTE
    stage.world.quota = 0
    report = stage.cycle()
    assert entry(report)[2] == "stale"
    assert report.pages[0].stores[0].verified_at is None


def test_page_that_is_assigned_again_is_set_right_in_the_next_cycle() -> None:
    """While the quota is plentiful a token that works again is verified one cycle later, and so after a system user's return."""
    stage = remembering("berlin", "paris", "rome", "oslo", "bonn")
    token = stage.world.token(stage.pages[0])
    for refusal in (("berlin", NO_ACCESS), ("main", INVALID_USER)):
        stage.world.errors.update([refusal])
        stage.world.invalid.add(token)
        stage.clock.passed += 15 * MINUTE
        assert entry(stage.cycle())[2] == "broken"
        stage.world.errors.clear()
        stage.world.invalid.clear()
        stage.clock.passed += 15 * MINUTE
        report = stage.cycle()
        assert (report.result, entry(report)[2]) == ("ok", "verified")


def test_alarmed_page_is_read_as_soon_as_the_list_shows_it() -> None:
    """A Page whose next reading is hours away is read in the cycle in which it is assigned again."""
    stage = remembering("berlin", "paris", "rome")
    stage.world.errors["paris"] = NO_ACCESS
    for _ in range(30):
        stage.cycle()
        stage.clock.passed += 15 * MINUTE
    while "paris" in stage.world.read[-1]:
        stage.cycle()
        stage.clock.passed += 15 * MINUTE
    del stage.world.errors["paris"]
    report = stage.cycle()
    assert (report.result, "page_regained" in event_names(report)) == ("ok", True)


def test_alarmed_pages_are_read_with_a_new_token_of_their_system_user() -> None:
    """Where the cause is cured by another token, the next cycle reads every Page with it, however long they were alarms."""
    stage = Stage("berlin", "paris", "rome", "oslo")
    stage.remembers = True
    stage.world.errors.update(berlin=NO_ACCESS, paris=NO_ACCESS, rome=NO_ACCESS)
    for _ in range(6):
        stage.cycle()
        stage.clock.passed += MINUTE
    stage.world.errors.clear()
    stage.world.user_token = Secret("EAAanother-user-token")
    stage.world.unlisted = True
    report = stage.cycle()
    assert (report.result, report.summary["created"]) == ("ok", 3)


def test_refused_page_has_its_stored_token_judged_in_the_same_cycle() -> None:
    """Error 190 for a Page, whatever its subcode, makes its stored token due, however lately that was judged."""
    stage = remembering("berlin", "paris")
    stage.changes["probe_every"] = timedelta(hours=1)
    stage.clock.passed -= 10 * MINUTE
    refused = SourceError(Problem("no-access", "No role.", graph_code=190, graph_subcode=492), State.INVALID)
    stage.world.errors["berlin"] = refused
    stage.world.invalid.add(stage.world.token(stage.pages[0]))
    assert entry(stage.cycle())[2] == "broken"


def test_refused_page_has_its_stored_token_used_where_the_quota_is_scarce() -> None:
    """Where the app's quota is scarce a call with the token itself shows in the same cycle that it works no more."""
    stage = remembering("berlin", "paris")
    stage.clock.passed -= 10 * MINUTE
    stage.memory = replace(
        stage.memory, pools={QuotaKey(APP_ID): Pool(60.0, stage.clock.now(), ceiling=200.0, measured=True)}
    )
    stage.world.errors["berlin"] = SourceError(Problem("no-access", "No.", graph_code=190), State.INVALID)
    stage.world.invalid.add(stage.world.token(stage.pages[0]))
    assert entry(stage.cycle())[2] == "broken"
    assert [len(tokens) for tokens in stage.world.probed] == [1]


@pytest.mark.parametrize(("holder", "owner"), [(0, 1), (1, 0)])
def test_token_that_is_stored_for_a_wrong_page_too_keeps_its_verdict(holder: int, owner: int) -> None:
    """Where somebody copies one Page's token to another, its own Page stays verified and the other broken without quota."""
    stage = remembering("berlin", "paris")
    store, (own, other) = stage.stores["vault"], (stage.pages[owner], stage.pages[holder])
    store.secrets[other.targets[0]] = replace(
        store.secrets[own.targets[0]], marks=store.secrets[other.targets[0]].marks
    )
    stage.memory = replace(
        stage.memory, pools={QuotaKey(APP_ID): Pool(99.0, stage.clock.now(), ceiling=200.0, measured=True)}
    )
    stage.world.quota = 0
    stage.world.errors["berlin"] = stage.world.errors["paris"] = AWAY
    report = stage.cycle()
    assert [entry(report, owner)[2], entry(report, holder)[2]] == ["verified", "broken"]
    assert [len(tokens) for tokens in stage.world.probed] == [1]


def test_token_of_another_app_stays_broken_while_nothing_can_be_asked() -> None:
    """That Meta refuses to debug a token as another app's is an answer like any other, and is remembered."""
    stage = remembering("berlin", "paris")
    store, first = stage.stores["vault"], stage.pages[0]
    other = Secret("EAA-of-another-app-" + "z" * 12)
    stage.world.users[other] = TokenFacts(NOW, of_another_app=True)
    store.secrets[first.targets[0]] = stored(other, marks=store.secrets[first.targets[0]].marks)
    stage.world.errors[first.name] = AWAY
    for quota in (None, 0):
        stage.world.quota = quota
        report = stage.cycle()
        assert [entry(report)[2], entry(report, 1)[2]] == ["broken", "verified"]
        assert [problem.code for problem in report.pages[0].stores[0].problems] == ["wrong-app"]
        stage.clock.passed += 15 * MINUTE


def test_targets_that_nobody_may_write_are_asked_about_like_others() -> None:
    """Sixty invalid tokens under another program's rotation are urgent in no cycle, and asked about only at their turn."""
    stage = remembering(*(f"p{number}" for number in range(60)))
    store = stage.stores["vault"]
    for page in stage.pages:
        stage.world.invalid.add(stage.world.token(page))
        key = page.targets[0]
        store.secrets[key] = replace(store.secrets[key], blocked="rotation-enabled")
    stage.world.generation += 1
    stage.world.urgent = 0
    for _ in range(8):
        stage.cycle()
        stage.clock.passed += 15 * MINUTE
    assert stage.world.urgent == 0
    assert sum(len(tokens) for tokens in stage.world.asked) <= 2 * 60 + 10


@pytest.mark.slow
@pytest.mark.parametrize("revoked", [False, True], ids=["token invalid", "token and all Page tokens invalid"])
def test_trouble_of_one_system_user_takes_no_turn_of_another(*, revoked: bool) -> None:
    """After two days of a system user's failure, under a quota that does not suffice, each Page of the other is verified."""
    names = [f"p{number}" for number in range(68)]
    stage = Stage(*names)
    stage.pages = [
        replace(page, system_user="small" if number < 4 else "large") for number, page in enumerate(stage.pages)
    ]
    stage.remembers, stage.changes["confirm_mass_invalid"] = True, False
    assert stage.cycle().result == "ok"
    stage.world.errors["large"] = INVALID_USER
    if revoked:
        stage.world.invalid.update(stage.world.token(page) for page in stage.pages[4:])
    stage.world.quota = 7
    for _ in range(4 * 60):
        stage.clock.passed += 15 * MINUTE
        pool = Pool(60.0, stage.clock.now(), ceiling=40.0, measured=True)
        stage.memory = replace(stage.memory, pools={QuotaKey(APP_ID): pool})
        report = stage.cycle()
        assert [page.served for page in report.pages[:4]] == ["verified"] * 4
    assert {page.served for page in report.pages[4:]} == {"broken" if revoked else "verified"}


def test_clock_that_is_set_back_within_a_cycle_verifies_nothing() -> None:
    """An answer that lies in the future at the end of the asking counts as none, though the cycle began before it was set."""
    stage = remembering("berlin")
    stage.clock.passed += 15 * MINUTE
    stage.world.quota = 0

    def set_back(call: str) -> None:
        stage.clock.passed -= 24 * 60 * MINUTE if call == "probe" else 0

    stage.world.before = set_back
    assert entry(stage.cycle())[2] == "stale"
