"""Which earlier version of a secret may be current again, and how a rollback holds a secret."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sync.app.rollback import carry_out
from sync.core.judge.decide import Action, Kind
from sync.core.judge.ownership import foreign_write, rollback_hold
from sync.core.model import Absent, Key, Marks, PastVersion, State, Stored, Verdict, Written
from sync.core.payload import Payload
from sync.core.plan.guards import held_by_a_person
from sync.core.plan.model import TargetPlan
from sync.core.plan.rollback import (
    Content,
    Rollback,
    as_if,
    carried_out,
    choose,
    known_reasons,
    release,
    released,
    rollback,
    token_of,
)
from sync.core.problems import Problem
from sync.core.secret import Secret
from sync.runtime.threads import Stopping
from tests.support.clock import FakeClock
from tests.support.fakes import StoreInMemory
from tests.support.values import (
    FETCHED,
    INSTANCE,
    KEY,
    NOW,
    OTHER,
    PAGE_ID,
    STORE_DOWN,
    current,
    decided,
    fetched,
    judged,
    marks,
    page,
    payload,
    stored,
    template,
)

OLDEST = Secret("EAAoldest2oldest2oldest2oldest2")
MINUTE = timedelta(seconds=60)
PAST = (
    PastVersion("3", payload(FETCHED), NOW, current=True),
    PastVersion("2", payload(OTHER), NOW - timedelta(days=1)),
    PastVersion("1", payload(OLDEST), NOW - timedelta(days=2)),
)


def judgement(
    read: Content | None = None,
    verdict: Verdict | None = None,
    *,
    version: str | None = None,
    past: tuple[PastVersion, ...] = PAST,
    **changes: Any,
) -> Rollback:
    """Decide about berlin, whose secret holds the token of version 3; ``verdict`` is that on the wanted one."""
    content = stored() if read is None else read
    wanted = choose(page(), content, past, version)
    seen = as_if(page(), content, wanted, INSTANCE)
    target = TargetPlan(KEY, current(seen, verdict or judged()), Action(Kind.KEPT))
    options = {"instance": INSTANCE, "observe": False, "now": NOW, "proof_age": MINUTE, **changes}
    return rollback(page(), target, content, past, wanted, **options)


def test_the_earlier_version_is_written_and_held() -> None:
    """The payload is the earlier version's, the marks name its token without an origin, and hold the secret."""
    one = judgement()
    assert (one.action, one.wanted, one.token) == ("roll-back", PAST[1], OTHER)
    assert one.payload == payload(OTHER)
    assert one.marks == Marks(
        INSTANCE,
        PAGE_ID,
        page().app_id,
        OTHER.fingerprint,
        written_at="2026-11-25T12:00:00Z",
        reason="rollback",
        hold="2026-11-25T12:00:00Z",
    )
    assert carried_out(one, Written("4", confirmed=True)).exit_code == 0
    assert carried_out(one, STORE_DOWN).action == "failed"


@pytest.mark.parametrize(
    ("version", "past", "wanted"),
    [
        (None, PAST, "2"),
        ("1", PAST, "1"),
        ("9", PAST, None),
        (None, PAST[:1], None),
        (None, (PAST[0], replace(PAST[1], payload=payload(FETCHED)), PAST[2]), "1"),
        (None, (PAST[0], replace(PAST[1], payload=None), PAST[2]), "1"),
        (None, (replace(PAST[0], current=False), PAST[1]), "3"),
        (None, (), None),
    ],
)
def test_which_version_is_wanted(version: str | None, past: tuple[PastVersion, ...], wanted: str | None) -> None:
    """Without a number it is the newest version before the current one that holds another token."""
    found = choose(page(), stored(), past, version)
    assert (found.version if found else None) == wanted


def test_the_token_of_a_version() -> None:
    """It is found where the configuration has it, else under the one other key that holds an access token."""
    earlier = Payload({"fb_token": OTHER.reveal(), "note": "x"})
    assert token_of(page(), earlier) == OTHER
    assert token_of(page(), Payload({"a": OTHER.reveal(), "b": OLDEST.reveal()})) is None
    assert token_of(page(), Payload({"password": "hunter2"})) is None
    assert token_of(page(), None) is None
    assert token_of(page(payload=template("{token}")), Payload(OTHER.reveal())) == OTHER


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (judged(is_valid=False), "token-invalid"),
        (judged(profile_id="9"), "wrong-page"),
        (Verdict(State.UNKNOWN), "unproven"),
        (judged(asked_at=NOW - timedelta(seconds=61)), "unproven"),
        (judged(asked_at=NOW + timedelta(hours=1)), "unproven"),
    ],
)
def test_what_is_not_proven_is_refused(verdict: Verdict, reason: str) -> None:
    """A token that Meta does not call valid within the last minute is not made current."""
    one = judgement(verdict=verdict)
    assert (one.action, one.reason, one.payload) == ("refused", reason, None)
    assert one.message
    assert one.remedy
    assert one.exit_code == 1
    assert (reason == "unproven") != ("rollback berlin --store vault --version VERSION" in one.remedy)
    assert "stored token" not in one.message
    assert reason == "unproven" or "token of version 2" in one.message


def test_a_page_on_hold() -> None:
    """The configuration's hold: true stops the daemon; a rollback and a release are done, and say so."""
    wanted = choose(page(), stored(), PAST, None)
    target = TargetPlan(KEY, current(as_if(page(), stored(), wanted, INSTANCE), judged()), Action(Kind.KEPT))
    options = {"instance": INSTANCE, "observe": False, "now": NOW}
    one = rollback(page(hold=True), target, stored(), PAST, wanted, proof_age=MINUTE, **options)
    held = release(page(hold=True), target, stored(marks=marks(hold="1")), (), **options)
    assert (one.action, held.action) == ("roll-back", "release")
    assert "hold: true" in one.message
    assert "hold: true" in held.message


def test_a_rollback_that_was_begun_is_no_foreign_write() -> None:
    """Marks that name the wanted token before it is current do not say that somebody else wrote the current one, also once released."""
    begun = stored(OTHER, marks=marks(OLDEST, hold="1", reason="rollback-begun"))
    done = stored(OTHER, marks=marks(OLDEST, hold="1", reason="rollback"))
    free = releasing(begun).marks
    assert free is not None
    assert free.hold is None
    for content, foreign in ((begun, False), (done, True), (replace(begun, marks=free), False)):
        notice = foreign_write(content, OTHER, FETCHED, page=page(), instance=INSTANCE)
        assert (notice is not None) == foreign


@pytest.mark.parametrize(
    ("read", "changes", "action", "reason", "code"),
    [
        (STORE_DOWN, {}, "failed", None, 3),
        (Absent(), {"past": ()}, "refused", "absent", 1),
        (stored(marks=None), {}, "refused", "secret-foreign", 1),
        (stored(marks=marks(instance="other")), {}, "refused", "secret-foreign", 1),
        (stored(blocked="rotation-enabled"), {}, "refused", "rotation-enabled", 1),
        (stored(version="4"), {}, "failed", None, 1),
        (stored(), {"past": PAST[:1]}, "refused", "no-version", 1),
        (stored(marks=marks(hold="1", reason="rollback")), {"version": "3"}, "unchanged", None, 0),
        (stored(), {"past": (PAST[0], replace(PAST[1], payload=None)), "version": "2"}, "refused", "no-token", 1),
        (stored(), {"observe": True}, "held", "observe", 1),
        (stored(marks=marks(hold="1", reason="rollback")), {}, "unchanged", None, 0),
        (stored(marks=marks(hold="1", reason="rotate")), {}, "refused", "unclear-version", 1),
        (
            stored(marks=marks(OLDEST, hold="1", reason="rollback-begun")),
            {"past": PAST[:2]},
            "refused",
            "unclear-version",
            1,
        ),
        (stored(marks=marks(hold="1")), {"version": "2"}, "roll-back", None, 1),
        (stored(marks=marks(OTHER, hold="1", reason="rollback-begun")), {}, "roll-back", None, 1),
        (stored(payload=None, state="deleted"), {"past": PAST[1:]}, "roll-back", None, 1),
    ],
)
def test_what_can_be_rolled_back(
    read: Content, changes: dict[str, Any], action: str, reason: str | None, code: int
) -> None:
    """Only this instance's secret of this Page, as it was read, and only to a version with another token."""
    one = judgement(read, **changes)
    assert (one.action, one.reason, one.exit_code) == (action, reason, code)
    assert (one.payload is not None) == (action == "roll-back" or reason == "observe")


def test_a_rollback_that_was_killed_before_its_marks() -> None:
    """The same command again finds the token current already, and writes the marks that hold it alone."""
    one = judgement(version="3")
    assert (one.action, one.payload) == ("roll-back", None)
    assert one.marks is not None
    assert (one.marks.hold, one.marks.fingerprint) == ("2026-11-25T12:00:00Z", FETCHED.fingerprint)
    assert carried_out(one, Written("3", confirmed=True)).action == "rolled-back"
    assert judgement(version="3", verdict=judged(is_valid=False)).reason == "token-invalid"


def test_what_may_have_been_written_in_part() -> None:
    """A write without its answer, or that cannot be read back, does not end well, and says that the secret may not be held."""
    lost = carried_out(judgement(), replace(STORE_DOWN, maybe_written=True))
    assert (lost.action, lost.exit_code) == ("failed", 1)
    assert "may not be held" in lost.message
    assert "may not be held" not in carried_out(judgement(), STORE_DOWN).message
    unread = carried_out(judgement(), Written("4", confirmed=False))
    assert (unread.action, unread.exit_code) == ("rolled-back", 1)
    assert unread.remedy


def test_the_same_command_without_a_number() -> None:
    """After a rollback it never returns to the token that was rolled back from: it completes the marks of a kill, before or after a cycle, else changes nothing."""
    past = (PastVersion("4", payload(OTHER), NOW, current=True), *(replace(one, current=False) for one in PAST))
    killed = judgement(stored(OTHER, version="4", marks=marks(FETCHED)), past=past)
    assert (killed.action, killed.wanted, killed.payload) == ("roll-back", PAST[1], None)
    cycled = judgement(stored(OTHER, version="4", marks=marks(OTHER, reason="marks")), past=past)
    assert (cycled.action, cycled.wanted, cycled.payload) == ("roll-back", PAST[1], None)
    healed = choose(page(), stored(OTHER, version="4", marks=marks(OTHER, reason="heal")), past, None)
    assert healed is not None
    assert healed.version == "3"
    done = judgement(stored(OTHER, version="4", marks=marks(OTHER, hold="1", reason="rollback")), past=past)
    assert (done.action, done.exit_code, done.payload) == ("unchanged", 0, None)


def test_a_foreign_secret_is_not_judged() -> None:
    """No token of a secret that may not be rolled back is sent to Meta as if it were current."""
    for content in (stored(marks=None), stored(marks=marks(instance="other")), Absent(), STORE_DOWN):
        assert as_if(page(), content, PAST[1], INSTANCE) == content


def releasing(read: Content, **changes: Any) -> Rollback:
    """Decide about the release of berlin."""
    target = TargetPlan(KEY, current(released(page(), read, INSTANCE)), Action(Kind.KEPT))
    options = {"instance": INSTANCE, "observe": False, "now": NOW, **changes}
    return release(page(), target, read, (), **options)


def test_release() -> None:
    """The mark that holds goes, the others stay; a secret that is not held needs nothing, and a foreign one is refused."""
    held = stored(marks=marks(hold="1", labels={"team": "crm"}))
    one = releasing(held)
    assert one.action == "release"
    assert one.payload is None
    assert one.marks == marks(labels={"team": "crm"}, written_at="2026-11-25T12:00:00Z", reason="released")
    assert carried_out(one, Written("3", confirmed=False)).action == "released"
    assert (releasing(stored()).action, releasing(stored()).exit_code) == ("unchanged", 0)
    assert releasing(stored(marks=marks(instance="other", hold="1"))).reason == "secret-foreign"
    assert releasing(held, observe=True).action == "held"
    assert releasing(STORE_DOWN).exit_code == 3


@pytest.mark.parametrize(
    ("found", "verdict", "would"),
    [
        (stored(OTHER, marks=marks(OTHER, hold="1")), judged(is_valid=False), ("replaced", "heal")),
        (stored(OTHER, marks=marks(OTHER, hold="1")), judged(user_id="9"), ("replaced", "rotate")),
        (stored(marks=marks(hold="1", labels={"old": "1"})), judged(), ("updated", "labels")),
        (stored(payload=None, state="deleted", marks=marks(hold="1")), None, ("created", "recreated")),
        (stored(payload=Payload({}), marks=marks(hold="1")), None, ("replaced", "repair")),
    ],
)
def test_a_held_secret_is_not_written(found: Stored, verdict: Verdict | None, would: tuple[str, str]) -> None:
    """Whatever a cycle would write, even over an invalid token, is held with the reason rollback until it is released."""
    there = current(found, verdict)
    target = TargetPlan(KEY, there, decided(fetched(), there))
    action = held_by_a_person(page(), target, observe=False)
    assert (action.kind, action.reason) == (Kind.HELD, "rollback")
    assert action.would is not None
    assert (action.would.kind.value, action.would.reason) == would
    assert held_by_a_person(page(hold=True), target, observe=False).reason == "hold"


def test_a_held_secret_has_a_notice() -> None:
    """Each report says since when a secret of this instance is held, though nothing is to be written; a foreign one has no such notice."""
    held = stored(marks=marks(hold="2026-11-25T12:00:00Z"))
    notice = rollback_hold(held, page=page(), instance=INSTANCE)
    assert notice is not None
    assert notice.code == "rollback-hold"
    assert "2026-11-25T12:00:00Z" in notice.message
    for content in (
        stored(),
        Absent(),
        STORE_DOWN,
        stored(marks=None),
        stored(marks=marks(instance="other", hold="1")),
    ):
        assert rollback_hold(content, page=page(), instance=INSTANCE) is None


def test_what_marks_say_of_a_version() -> None:
    """The reason is known of the current version, where the marks are of its token."""
    assert known_reasons(PAST, marks(reason="heal"), page()) == {"3": "heal"}
    assert known_reasons(PAST, marks(OTHER, reason="heal"), page()) == {}
    assert known_reasons(PAST, None, page()) == {}


def test_a_token_that_graph_refuses() -> None:
    """A refused probe outweighs debug_token: such a token is not made current."""
    refused = replace(judged(), notices=(Problem("probe-failed", "Graph refuses it."),))
    assert judgement(verdict=refused).reason == "probe-failed"


def test_an_interrupt_between_the_marks_and_the_payload() -> None:
    """The secret is held with its own token, and that is what is said; the same command completes it."""
    found = judgement(stored())
    store = StoreInMemory("vault")
    store.secrets[found.key] = stored()

    def stop(step: str, _: Key | None) -> None:
        if step == "data":
            raise Stopping

    store.before = stop
    done = carry_out(found, store, FakeClock())
    left = store.secrets[found.key]
    assert isinstance(left, Stored)
    assert left.marks is not None
    assert (done.action, "the secret is held" in done.message, left.marks.hold is not None) == ("failed", True, True)
    assert left.payload == stored().payload
    store.before = lambda _, __: None
    assert carry_out(judgement(left), store, FakeClock()).action == "rolled-back"
