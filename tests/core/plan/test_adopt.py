"""Which secrets may be marked as this instance's, by what Meta says of their tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sync.core.judge.decide import Action, Kind
from sync.core.judge.ownership import foreign_problem
from sync.core.model import Absent, Content, Marks, State, Stored, SystemUserToken, Verdict
from sync.core.payload import Payload
from sync.core.plan.adopt import Adoption, adoptions, assumed, exit_code
from sync.core.plan.model import PagePlan, TargetPlan
from tests.support.values import (
    INSTANCE,
    KEY,
    NOW,
    OTHER,
    PAGE_ID,
    STORE_DOWN,
    USER_ID,
    USER_TOKEN,
    current,
    facts,
    fetched,
    judged,
    marks,
    page,
    payload,
    template,
)


def bare(content: Payload | None = None, **changes: Any) -> Stored:
    """Return a secret that a script wrote."""
    return replace(Stored(content or payload(OTHER), "4", None), **changes)


def adoption(read: Content, verdict: Verdict | None = None, *, by_name: bool = True, **changes: Any) -> Adoption | None:
    """Decide about the one secret of berlin; ``verdict`` is that on its token."""
    of = changes.pop("of", page())
    seen = assumed([of], {KEY: read}, INSTANCE)[KEY]
    target = TargetPlan(KEY, current(seen, verdict or judged(), of), Action(Kind.REPLACED, "rotate"))
    user = SystemUserToken("main", "messenger", USER_TOKEN, Verdict(State.VALID, facts=facts(type="SYSTEM_USER")))
    options = {"by_name": by_name, "observe": False, "user_tokens": [user], "now": NOW, **changes}
    found = adoptions([PagePlan(of, fetched(), (target,))], {KEY: read}, instance=INSTANCE, **options)
    return found[0] if found else None


def test_a_proven_secret_is_marked_without_an_origin() -> None:
    """The marks name instance, Page, app, fingerprint and labels, and no origin; the payload and its other keys stay."""
    of = page(labels={"team": "crm"})
    one = adoption(bare(payload(OTHER, note="x", old=OTHER.reveal())), of=of)
    assert one is not None
    assert (one.action, one.reason, one.system_user) == ("adopt", None, "main")
    assert (one.others, one.copies) == (("note", "old"), ("old",))
    assert one.marks == Marks(
        INSTANCE,
        PAGE_ID,
        of.app_id,
        OTHER.fingerprint,
        written_at="2026-11-25T12:00:00Z",
        reason="adopted",
        labels={"team": "crm"},
    )


@pytest.mark.parametrize(("page_id", "hold"), [(PAGE_ID, "2026-11-24T00:00:00Z"), ("9", None)])
def test_what_a_rollback_holds_stays_held(page_id: str, hold: str | None) -> None:
    """A secret that another instance holds for this Page stays held, so that no cycle replaces the token before it is released."""
    one = adoption(bare(marks=marks(OTHER, instance="other", page_id=page_id, hold="2026-11-24T00:00:00Z")))
    assert one is not None
    assert one.marks is not None
    assert (one.action, one.marks.hold) == ("adopt", hold)


@pytest.mark.parametrize(
    ("read", "action", "reason"),
    [
        (bare(), "adopt", None),
        (bare(marks=marks(OTHER, instance="other")), "adopt", None),
        (bare(marks=marks(OTHER, page_id="9")), "adopt", None),
        (bare(first=True), "adopt", None),
        (bare(marks=marks(OTHER)), "unchanged", None),
        (Absent(), "refused", "absent"),
        (STORE_DOWN, "failed", None),
        (bare(blocked="rotation-enabled"), "refused", "rotation-enabled"),
        (bare(blocked="replica"), "refused", "secret-foreign"),
        (bare(blocked="scheduled-deletion", payload=None), "refused", "secret-deleted"),
        (bare(payload=None), "refused", "no-token"),
        (bare(payload=None, state="deleted"), "refused", "no-token"),
        (bare(Payload({"password": "hunter2"})), "refused", "no-token"),
        (bare(Payload({"access_token": "hunter2", "page_id": PAGE_ID})), "refused", "no-token"),
        (bare(Payload({"token": OTHER.reveal()})), "refused", "no-token"),
    ],
)
def test_what_can_be_adopted(read: Content, action: str, reason: str | None) -> None:
    """Somebody else's secret with a proven token can be, by the name of its Page; what is refused has its reason and remedy."""
    one = adoption(read)
    assert one is not None
    assert (one.action, one.reason) == (action, reason)
    assert (one.marks is not None) == (action == "adopt")
    assert action in ("adopt", "unchanged") or (one.message and one.remedy)
    # What a cycle advises for a secret that is not its own is what adopt does with it.
    foreign = foreign_problem(read, page(), INSTANCE) if isinstance(read, Stored) and read.blocked is None else None
    assert foreign is None or ("adopt PAGE --store STORE" in foreign.remedy) == (action == "adopt")


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (judged(is_valid=False), "token-invalid"),
        (judged(profile_id="9"), "wrong-page"),
        (judged(app_id="9"), "wrong-app"),
        (judged(type="USER"), "wrong-type"),
        (judged(profile_id=None), "debug-unavailable"),
        (Verdict(State.UNKNOWN), "unproven"),
    ],
)
def test_what_is_not_proven_is_not_adopted(verdict: Verdict, reason: str) -> None:
    """A token that is invalid, of another Page, app or type, or about which Meta said nothing, is refused with the reason."""
    one = adoption(bare(), verdict)
    assert one is not None
    assert (one.action, one.reason, one.marks) == ("refused", reason, None)
    # The daemon never replaces the token of a secret that is not its own, so no remedy may promise that.
    assert "It is replaced" not in one.remedy


def test_a_token_that_is_not_sent_to_meta() -> None:
    """A text that cannot be an access token is not judged, so that nobody's password goes to Meta."""
    for content in (Payload({"access_token": "hunter2"}), Payload({"token": OTHER.reveal()})):
        assert assumed([page()], {KEY: bare(content)}, INSTANCE)[KEY] == bare(content)
    raw = page(payload=template("{token}"))
    assert assumed([raw], {KEY: bare(Payload("hunter2"))}, INSTANCE)[KEY].marks is None  # type: ignore[union-attr]
    assert assumed([raw], {KEY: bare(Payload(OTHER.reveal()))}, INSTANCE)[KEY].marks is not None  # type: ignore[union-attr]


def test_a_token_under_another_key() -> None:
    """The remedy is the configuration that would find it."""
    one = adoption(bare(Payload({"fb_token": OTHER.reveal(), "note": "x"})))
    assert one is not None
    assert 'payload: {fb_token: "{token}"}' in one.remedy


def test_somebody_elses_token() -> None:
    """A token of a person is adopted, and is not called the system user's."""
    one = adoption(bare(), judged(user_id="4711"))
    assert one is not None
    assert (one.action, one.system_user) == ("adopt", None)
    assert one.facts is not None
    assert one.facts.user_id == "4711" != USER_ID


def test_without_a_name() -> None:
    """Another instance's secret stays that instance's, what is absent is left out, and all else is as with a name."""
    one = adoption(bare(marks=marks(OTHER, instance="other")), by_name=False)
    assert one is not None
    assert (one.action, one.reason) == ("refused", "another-instance")
    assert adoption(Absent(), by_name=False) is None
    again = adoption(bare(), by_name=False)
    assert again is not None
    assert again.action == "adopt"


def test_in_mode_observe() -> None:
    """Under mode: observe a proven secret is held."""
    one = adoption(bare(), observe=True)
    assert one is not None
    assert (one.action, one.reason) == ("held", "observe")


def test_exit_codes() -> None:
    """0 means that nothing is left to do, 3 that no secret could be read, and 1 anything else."""
    one = adoption(bare())
    assert one is not None
    codes = {
        action: exit_code([replace(one, action=action)])  # type: ignore[arg-type]
        for action in ("adopt", "adopted", "unchanged", "refused", "held", "failed")
    }
    assert codes == {"adopt": 1, "adopted": 0, "unchanged": 0, "refused": 1, "held": 1, "failed": 1}
    down = adoption(STORE_DOWN)
    assert down is not None
    assert exit_code([down, down]) == 3
    assert exit_code([down, one]) == 1
    assert exit_code([]) == 0
