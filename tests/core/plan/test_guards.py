"""The guards that hold a decided write back: the configuration, the brake, and the confirmation of a mass of invalid tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sync.core.model import NEVER, Absent, Fetched, Key, Page, State, Stored, SystemUserToken, TokenFacts, Verdict
from sync.core.payload import Payload, PayloadTemplate
from sync.core.plan.guards import Brake
from sync.core.plan.model import targets
from sync.core.plan.observation import Observation
from sync.core.plan.plan import Plan, Policy, plan
from sync.core.secret import Secret
from tests.support.values import APP_ID, INSTANCE, NOW, USER_ID, USER_TOKEN, WEEK, facts, marks, page

HOUR = timedelta(hours=1)
INVALID = {"is_valid": False}
WORKING = {"profile_id": "wrong"}
"""debug_token calls the token valid, though it is another Page's."""


def new(number: int) -> Secret:
    """Return the token that is fetched for a Page."""
    return Secret(f"EAAnew{number}{'n' * 20}")


def old(number: int) -> Secret:
    """Return the token that is stored for a Page."""
    return Secret(f"EAAold{number}{'o' * 20}")


class Stage:
    """Some Pages in one store or more, each with an old token stored and another one fetched."""

    def __init__(self, count: int, *, stores: Sequence[str] = ("vault",), **of_pages: Any) -> None:
        self.pages: list[Page] = [
            page(
                id=str(100 + number),
                name=f"p{number}",
                targets=tuple(Key(store, f"p{number}") for store in stores),
                **of_pages,
            )
            for number in range(count)
        ]
        self.current: dict[Key, Stored | Absent] = {}
        self.facts: dict[tuple[str, Secret], TokenFacts] = {}
        for number, one in enumerate(self.pages):
            self.facts["messenger", new(number)] = facts(profile_id=one.id)
            self.facts["messenger", old(number)] = facts(profile_id=one.id)
            for key in one.targets:
                text = {"access_token": old(number).reveal(), "page_id": "101010101010101", "app_id": APP_ID}
                mark = marks(old(number), page_id=one.id)
                self.current[key] = Stored(Payload(text), "3", mark)

    def old_ones(self, count: int, **said: Any) -> Stage:
        """Let Meta say this of the first tokens that are stored."""
        for number in range(count):
            self.facts["messenger", old(number)] = facts(**{"profile_id": self.pages[number].id, **said})
        return self

    def under(self, count: int, **of_marks: Any) -> Stage:
        """Let the first secrets carry other marks."""
        for number in range(count):
            for key in self.pages[number].targets:
                content = self.current[key]
                assert isinstance(content, Stored)
                assert content.marks is not None
                self.current[key] = replace(content, marks=replace(content.marks, **of_marks))
        return self

    def plan(self, policy: Policy | None = None, twice: Sequence[Secret] = (), *, only: int | None = None) -> Plan:
        """Plan over all of it, or over the first Pages only."""
        user = Verdict(State.VALID, facts=facts(type="SYSTEM_USER", user_id=USER_ID))
        observed = Observation(
            pages=self.pages[:only],
            instance=INSTANCE,
            user_tokens={"main": SystemUserToken("main", "messenger", USER_TOKEN, user)},
            fetched={one.name: Fetched(new(number)) for number, one in enumerate(self.pages)},
            current=self.current,
            facts=self.facts,
            invalid_twice={("messenger", token) for token in twice},
        )
        named = [key for one in self.pages for key in one.targets]
        return plan(observed, now=NOW, policy=policy, named=named)


def done(planned: Plan) -> list[str]:
    """Return what is to be done with each target, in order."""
    return [
        f"{target.action.kind.value}/{target.action.reason or ''}"
        + (f" {target.action.would.kind.value}/{target.action.would.reason}" if target.action.would else "")
        for _, target in targets(planned.pages)
    ]


KEPT, HEAL, BRAKED = "kept/", "replaced/heal", "held/brake replaced/heal"


@pytest.mark.parametrize(
    ("wrong", "pages", "held"),
    [(2, 2, False), (2, 9, False), (3, 9, True), (3, 10, False), (4, 10, True), (3, 3, True), (0, 9, False)],
)
def test_brake_holds_when_too_many_working_tokens_would_change(wrong: int, pages: int, held: bool) -> None:
    """It takes at least three, and more than three tenths of the store's tokens."""
    stage = Stage(pages).old_ones(wrong, **WORKING)
    assert done(stage.plan()) == [BRAKED if held else HEAL] * wrong + [KEPT] * (pages - wrong)


def test_selection_is_a_share_of_the_whole_store() -> None:
    """Of the Pages that a person selects the brake and the doubt hold what they would hold among all of the store."""
    for said in (WORKING, INVALID):
        stage = Stage(20).old_ones(3, **said)
        assert done(stage.plan(only=3)) == done(stage.plan())[:3] == [HEAL] * 3
        stage = Stage(9).old_ones(3, **said)
        assert done(stage.plan(only=3)) == done(stage.plan())[:3] != [HEAL] * 3


def test_brake_counts_tokens_of_another_app() -> None:
    """Meta says nothing of them but that, so that they may well work for that app."""
    stage = Stage(9).old_ones(3, is_valid=None, type=None, of_another_app=True)
    assert done(stage.plan()) == [BRAKED] * 3 + [KEPT] * 6


def test_tokens_that_meta_calls_invalid_are_always_healed() -> None:
    """The brake counts only what still works, and holds only what it counts."""
    stage = Stage(9).old_ones(5, **INVALID).old_ones(3, **WORKING)
    assert done(stage.plan()) == [BRAKED] * 3 + [HEAL] * 2 + [KEPT] * 4


@pytest.mark.parametrize(
    ("changed", "held"),
    [
        pytest.param({"system_user_fingerprint": "earlier"}, False, id="same system user"),
        pytest.param(
            {"system_user_fingerprint": "earlier", "system_user_id": "another"}, True, id="another system user"
        ),
        pytest.param({"system_user_fingerprint": "earlier", "app_id": "another"}, True, id="another app"),
        pytest.param(
            {"system_user_fingerprint": "earlier", "system_user_id": None}, True, id="a system user that is not known"
        ),
    ],
)
def test_rotation_under_the_same_system_user_is_not_counted(changed: dict[str, Any], held: bool) -> None:
    """A new token of the same system user and app changes all Pages at once, as it should; another one is looked at."""
    stage = Stage(9).under(9, **changed)
    assert done(stage.plan()) == ["held/brake replaced/rotate" if held else "replaced/rotate"] * 9


def test_payload_that_changes_everywhere_is_held_and_labels_are_not() -> None:
    """A new payload over a working token is counted; marks alone make no new value."""
    stage = Stage(5)
    stage.pages = [replace(one, payload=PayloadTemplate.parse({"t": "{token}", "n": "x"}, {})) for one in stage.pages]
    assert done(stage.plan()) == ["held/brake updated/payload"] * 5
    stage = Stage(5, labels={"team": "crm"})
    assert done(stage.plan()) == ["updated/labels"] * 5


def test_stores_are_counted_apart() -> None:
    """Many changes in one store do not hold those in another."""
    stage = Stage(9, stores=("vault", "aws")).old_ones(3, **WORKING)
    stage.current[Key("aws", "p0")] = Absent()
    got = dict(zip(stage.current, done(stage.plan()), strict=True))
    assert {key.store for key, what in got.items() if what == BRAKED} == {"vault"}
    assert got[Key("aws", "p1")] == HEAL


def test_last_day_counts_too() -> None:
    """A change an hour ago adds to those of now, unless it is of the same target; one of the day before does not."""
    stage = Stage(9).old_ones(2, **WORKING)

    def with_earlier(path: str, ago: timedelta, store: str = "vault") -> list[str]:
        return done(stage.plan(Policy(overwritten={Key(store, path): NOW - ago})))[:2]

    assert with_earlier("p8", HOUR) == [BRAKED] * 2
    assert with_earlier("p1", HOUR) == [HEAL] * 2
    assert with_earlier("p8", 24 * HOUR) == [HEAL] * 2
    assert with_earlier("p8", HOUR, "aws") == [HEAL] * 2


def test_what_the_brake_held_stays_held() -> None:
    """A write that was held is held again, however few are left, and a day later too; what was not held before is written."""
    stage = Stage(9).old_ones(2, **WORKING)
    waiting = {Key("vault", f"p{number}"): NOW - 30 * HOUR for number in (0, 8)}
    assert done(stage.plan(Policy(waiting=waiting))) == [BRAKED, HEAL, *[KEPT] * 7]
    assert done(stage.plan(Policy(waiting=waiting, released=True))) == [HEAL, HEAL, *[KEPT] * 7]


def test_what_was_held_counts_while_nothing_is_known_of_it() -> None:
    """Held writes about which nothing can be decided now count with those of now, so that they pass in no portions."""
    stage = Stage(9).old_ones(2, **WORKING)
    waiting = {Key("vault", "p8"): NOW}
    assert done(stage.plan(Policy(waiting=waiting)))[:2] == [HEAL, HEAL]
    del stage.facts["messenger", old(8)]
    assert done(stage.plan(Policy(waiting=waiting)))[:2] == [BRAKED, BRAKED]
    elsewhere = {Key("aws", "p8"): NOW}
    assert done(stage.plan(Policy(waiting=elsewhere)))[:2] == [HEAL, HEAL]


def test_token_that_is_called_invalid_is_healed_though_its_write_was_held() -> None:
    """The brake never holds a heal of a token that debug_token calls invalid."""
    stage = Stage(9).old_ones(1, **INVALID)
    assert done(stage.plan(Policy(waiting={Key("vault", "p0"): NOW})))[0] == HEAL


def test_plan_that_a_person_let_through_passes_the_brake_under_the_same_name() -> None:
    """Held or let through, the plan has one checksum."""
    stage = Stage(9).old_ones(3, **WORKING)
    before, after = stage.plan(), stage.plan(Policy(released=True))
    assert done(after) == [HEAL] * 3 + [KEPT] * 6
    assert before.checksum == after.checksum
    assert before.checksum != Stage(9).plan().checksum


@pytest.mark.parametrize("where", ["hold", "observe"])
def test_configuration_holds_every_write(where: str) -> None:
    """With ``hold`` on a Page, or in the mode observe, writes are held and say what they would be."""
    stage = Stage(2, hold=where == "hold").old_ones(1, **INVALID)
    stage.current[Key("vault", "p1")] = Absent()
    planned = stage.plan(Policy(observe=where == "observe"))
    assert done(planned) == [f"held/{where} replaced/heal", f"held/{where} created/None"]
    assert all(target.action.write is None for _, target in targets(planned.pages))


def test_pages_on_hold_are_none_of_the_brake_s() -> None:
    """What is not going to be written does not hold others up."""
    stage = Stage(9).old_ones(3, **WORKING)
    stage.pages[0] = replace(stage.pages[0], hold=True)
    assert done(stage.plan())[:3] == ["held/hold replaced/heal", HEAL, HEAL]


@pytest.mark.parametrize(("count", "held"), [(2, False), (3, True), (9, True)])
def test_mass_of_invalid_tokens_needs_a_second_answer(count: int, held: bool) -> None:
    """Where Meta calls a third of a store's tokens invalid at once, none of them is replaced before it says so again."""
    stage = Stage(9).old_ones(count, **INVALID)
    assert done(stage.plan())[:count] == ["kept/invalid-once" if held else HEAL] * count
    assert done(stage.plan(twice=[old(number) for number in range(count)]))[:count] == [HEAL] * count


def test_doubt_is_lifted_token_by_token() -> None:
    """A token that Meta called invalid twice is healed, while the others wait."""
    stage = Stage(9).old_ones(4, **INVALID)
    assert done(stage.plan(twice=[old(1)]))[:4] == ["kept/invalid-once", HEAL, "kept/invalid-once", "kept/invalid-once"]


def test_share_and_number_are_those_of_the_configuration() -> None:
    """The brake holds by its own share and number."""
    stage = Stage(10).old_ones(2, **WORKING)
    assert done(stage.plan(Policy(brake=Brake(0.1, 2))))[:2] == [BRAKED] * 2
    assert done(stage.plan(Policy(brake=Brake(0.2, 2))))[:2] == [HEAL] * 2
    assert done(stage.plan(Policy(brake=Brake(0.0, 1))))[:2] == [BRAKED] * 2


WEAKER = "held/weaker replaced/rotate"


def test_rotation_to_a_weaker_token_is_held() -> None:
    """A new token that lacks what the stored one has waits for a person, under a new system user token too."""
    stage = Stage(9).under(9, system_user_fingerprint="earlier")
    stage.old_ones(4, scopes=frozenset({"pages_messaging", "pages_manage_metadata"}))
    planned = stage.plan()
    assert done(planned) == [WEAKER] * 4 + ["replaced/rotate"] * 5
    assert {target.action.would.loses for _, target in targets(planned.pages) if target.action.would} == {
        ("lacks pages_manage_metadata",)
    }


def test_weaker_rotation_that_a_person_let_through_is_written() -> None:
    """The plan has one checksum, held or let through; let through, the weaker token replaces the stored one."""
    stage = Stage(2).under(2, system_user_fingerprint="earlier").old_ones(2, expires_at=NEVER)
    for number in range(2):
        token = stage.facts["messenger", new(number)]
        stage.facts["messenger", new(number)] = replace(token, expires_at=NOW + 8 * WEEK)
    assert done(stage.plan()) == [WEAKER] * 2
    released = stage.plan(Policy(released=True))
    assert done(released) == ["replaced/rotate"] * 2
    assert released.checksum == stage.plan().checksum


def test_token_that_loses_more_is_another_plan() -> None:
    """Who lets a weaker token through lets no other loss through; the exact time of an expiry is none."""
    stage = Stage(1).under(1, system_user_fingerprint="earlier")
    stage.old_ones(1, scopes=frozenset({"pages_messaging", "ads_read", "pages_show_list"}), expires_at=NEVER)
    token = stage.facts["messenger", new(0)]
    sums = []
    for scopes, weeks in ((("ads_read",), 8), (("ads_read",), 9), ((), 8), (("ads_read", "pages_show_list"), 8)):
        fetched = replace(token, scopes=frozenset({"pages_messaging", *scopes}), expires_at=NOW + weeks * WEEK)
        stage.facts["messenger", new(0)] = fetched
        sums.append(stage.plan().checksum)
        assert sums[-1] == stage.plan(Policy(released=True)).checksum
    assert sums[0] == sums[1]
    assert len(set(sums)) == 3


def test_heal_of_a_stronger_token_is_not_held() -> None:
    """A token that debug_token calls invalid gives its applications nothing, whatever it was allowed to do."""
    stage = Stage(9).old_ones(1, **INVALID, scopes=frozenset({"pages_messaging", "ads_read"}))
    assert done(stage.plan())[0] == HEAL


def test_configuration_holds_a_weaker_write_first() -> None:
    """A Page on hold says so, whatever its new token lacks."""
    stage = Stage(1, hold=True).under(1, system_user_fingerprint="earlier")
    stage.old_ones(1, scopes=frozenset({"pages_messaging", "ads_read"}))
    assert done(stage.plan()) == ["held/hold replaced/rotate"]


@pytest.mark.parametrize(
    ("of_marks", "said"),
    [
        pytest.param({"fingerprint": "another"}, {"user_id": "9"}, id="a person's token, which the marks do not name"),
        pytest.param({}, {"user_id": "9"}, id="a person's token, which the marks name"),
        pytest.param({"fingerprint": "another"}, {"scopes": frozenset()}, id="a token that the marks do not name"),
    ],
)
def test_brake_counts_a_rotation_from_a_token_of_another_origin(of_marks: dict[str, Any], said: dict[str, Any]) -> None:
    """Marks that once were the system user's do not make the rotation from somebody else's token ordinary work."""
    stage = Stage(9).under(9, **of_marks).old_ones(9, **said)
    assert done(stage.plan()) == ["held/brake replaced/rotate"] * 9
