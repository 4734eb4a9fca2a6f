"""The table of the judgement: each row, and each boundary between two rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sync.core.judge.decide import Action, Candidate, Current, Kind
from sync.core.judge.ownership import foreign_write, is_interrupted_create
from sync.core.judge.verify import losses, verify
from sync.core.model import NEVER, Absent, Checks, Page, SourceError, State, Stored, Verdict
from sync.core.payload import Payload
from sync.core.problems import Problem
from sync.core.secret import Secret
from tests.support.values import (
    FETCHED,
    INSTANCE,
    KEY,
    NOW,
    OTHER,
    PAGE_ID,
    STORE_DOWN,
    USER_TOKEN_FINGERPRINT,
    WEEK,
    current,
    decided,
    facts,
    fetched,
    judged,
    marks,
    page,
    payload,
    stored,
    template,
)

MOMENT = timedelta(microseconds=1)
UNKNOWN = Verdict(State.UNKNOWN)
REFUSED_BY_GRAPH = Candidate(None, Verdict(State.INVALID, (Problem("no-access", "No token."),)))
NOT_ASKED = Candidate(None, UNKNOWN)
UNMARKED = Stored(payload(OTHER), "1", None, first=True)
NEVER_ENDING = Checks(expires=NEVER)
LABELLED = page(labels={"team": "crm"})

VALID, INVALID = judged(), judged(is_valid=False)


def case(name: str, expected: str, candidate: Candidate, there: Current, of: Page | None = None) -> Any:
    """Return a situation and what is done; ``expected`` is the kind and, after a slash, the reason."""
    return pytest.param(candidate, there, of or page(), expected, id=name)


ROWS = [
    case("1: could not be read, a valid token fetched", "failed", fetched(), current(STORE_DOWN)),
    case("1: could not be read, nothing fetched", "failed", NOT_ASKED, current(STORE_DOWN)),
    case("2: managed, rotation enabled", "refused", fetched(), current(stored(blocked="rotation-enabled"))),
    case("2: managed, a replica", "refused", fetched(), current(stored(blocked="replica"))),
    case("2: managed, scheduled for deletion", "refused", fetched(), current(stored(blocked="scheduled-deletion"))),
    case("2: before 5, nothing fetched", "refused", NOT_ASKED, current(stored(blocked="replica"))),
    case(
        "2: before 3, blocked and unmarked",
        "refused",
        fetched(),
        current(Stored(payload(OTHER), "1", None, first=True, blocked="rotation-enabled"), VALID),
    ),
    case("3: interrupted create, another token proven", "updated/marked", fetched(), current(UNMARKED, VALID)),
    case("3: our crash, the fetched token", "updated/marked", fetched(OTHER), current(UNMARKED, VALID)),
    case("3: our crash, lacks a scope", "updated/marked", fetched(), current(UNMARKED, judged(scopes=frozenset()))),
    case("3: nothing is known of the stored token", "kept", fetched(), current(UNMARKED, UNKNOWN)),
    case("3: its user_id is absent", "kept", fetched(), current(UNMARKED, judged(user_id=None))),
    case(
        "3: our own system user's id is not known",
        "kept",
        Candidate(FETCHED, VALID, "p", None),
        current(UNMARKED, VALID),
    ),
    case("3: nothing fetched, the stored token proven", "kept", NOT_ASKED, current(UNMARKED, VALID)),
    case("3: Graph refuses the Page, the stored token proven", "kept", REFUSED_BY_GRAPH, current(UNMARKED, VALID)),
    case("4: unmarked version 1, its token invalid", "refused", fetched(), current(UNMARKED, INVALID)),
    case("4: unmarked version 1, its token invalid, nothing fetched", "refused", NOT_ASKED, current(UNMARKED, INVALID)),
    case("4: unmarked version 1, another user's", "refused", fetched(), current(UNMARKED, judged(user_id="9"))),
    case("4: unmarked version 1, another app's", "refused", fetched(), current(UNMARKED, judged(app_id="9"))),
    case("4: unmarked version 1, another Page's", "refused", fetched(), current(UNMARKED, judged(profile_id="9"))),
    case(
        "4: unmarked version 1, no token in it",
        "refused",
        fetched(),
        current(Stored(Payload({"access_token": "", "page_id": "", "app_id": ""}), "1", None, first=True)),
    ),
    case(
        "4: unmarked version 1, a name too many",
        "refused",
        fetched(),
        current(Stored(payload(OTHER, note="mine"), "1", None, first=True), VALID),
    ),
    case(
        "4: unmarked version 1, a name too few",
        "refused",
        fetched(),
        current(Stored(Payload({"access_token": OTHER.reveal()}), "1", None, first=True), VALID),
    ),
    case("4: unmarked version 2", "refused", fetched(), current(Stored(payload(OTHER), "2", None), VALID)),
    case("4: unmarked, deleted", "refused", fetched(), current(Stored(None, "1", None, "deleted", first=True))),
    case("4: unmarked, an empty container", "refused", fetched(), current(Stored(None, "", None, "empty"))),
    case("4: unmarked, unreadable", "refused", fetched(), current(Stored(None, "1", None, first=True))),
    case("4: another instance's", "refused", fetched(), current(stored(marks=marks(instance="other")), VALID)),
    case(
        "4: another instance's, nothing fetched", "refused", NOT_ASKED, current(stored(marks=marks(instance="other")))
    ),
    case(
        "4: another instance's, invalid",
        "refused",
        fetched(),
        current(stored(OTHER, marks=marks(instance="other")), INVALID),
    ),
    case("4: another Page's of this instance", "refused", fetched(), current(stored(marks=marks(page_id="9")), VALID)),
    case("4: managed without a page-id", "refused", fetched(), current(stored(marks=marks(page_id="")), VALID)),
    case("5: nothing stored, nothing fetched", "kept", NOT_ASKED, current(Absent())),
    case("5: nothing stored, Graph refuses the Page", "kept", REFUSED_BY_GRAPH, current(Absent())),
    case("5: nothing stored, the fetched token invalid", "kept", fetched(is_valid=False), current(Absent())),
    case("5: nothing stored, the fetched token unknown", "kept", fetched(is_valid=None), current(Absent())),
    case("5: the fetched token ends too soon", "kept", fetched(expires_at=NOW), current(stored(OTHER), INVALID)),
    case("5: managed and invalid, nothing fetched", "kept", NOT_ASKED, current(stored(), INVALID)),
    case("5: managed and deleted, nothing fetched", "kept", NOT_ASKED, current(Stored(None, "3", marks(), "deleted"))),
    case("5: managed and unreadable, nothing fetched", "kept", NOT_ASKED, current(stored(payload=None))),
    case("5: labels differ, nothing fetched", "kept", NOT_ASKED, current(stored(), VALID), LABELLED),
    case("6: nothing stored", "created", fetched(), current(Absent())),
    case("6: a managed empty container", "created", fetched(), current(Stored(None, "", marks(), "empty"))),
    case("7: managed, deleted", "created/recreated", fetched(), current(Stored(None, "3", marks(), "deleted"))),
    case("8: managed, unreadable", "replaced/repair", fetched(), current(stored(payload=None))),
    case(
        "8: managed, no token in it", "replaced/repair", fetched(), current(stored(payload=Payload({"note": "gone"})))
    ),
    case("9: the same token, all as wanted", "unchanged", fetched(), current(stored(), VALID)),
    case(
        "9: a key that payload does not name", "unchanged", fetched(), current(stored(payload=payload(note="x")), VALID)
    ),
    case("9: another time and reason", "unchanged", fetched(), current(stored(marks=marks(written_at="", reason="")))),
    case("9: held by a rollback", "unchanged", fetched(), current(stored(marks=marks(hold="2026-11-20")), VALID)),
    case(
        "9: the system user's id and token cannot be said now",
        "unchanged",
        Candidate(FETCHED, VALID),
        current(stored(), VALID),
    ),
    case(
        "10: a field has another value",
        "updated/payload",
        fetched(),
        current(stored(payload=Payload({**payload().reveal(), "app_id": "9"})), VALID),  # type: ignore[dict-item]
    ),
    case("10: a label is wanted", "updated/labels", fetched(), current(stored(), VALID), LABELLED),
    case("10: a label is left", "updated/labels", fetched(), current(stored(marks=marks(labels={"a": "b"})), VALID)),
    case("10: app-id is missing", "updated/marks", fetched(), current(stored(marks=marks(app_id="")), VALID)),
    case("10: another fingerprint", "updated/marks", fetched(), current(stored(marks=marks(fingerprint="x")), VALID)),
    case(
        "10: the same token of a new parent",
        "updated/marks",
        fetched(),
        current(stored(marks=marks(system_user_fingerprint="b"))),
    ),
    case(
        "10: adopted, so without a parent",
        "updated/marks",
        fetched(),
        current(stored(marks=marks(system_user_fingerprint=None))),
    ),
    case("11: another token, unknown", "kept", fetched(), current(stored(OTHER), UNKNOWN)),
    case("11: unknown, though labels differ", "kept", fetched(), current(stored(OTHER), UNKNOWN), LABELLED),
    case(
        "11: unknown, though of an earlier parent",
        "kept",
        fetched(),
        current(stored(OTHER, marks=marks(OTHER, system_user_fingerprint="b")), UNKNOWN),
    ),
    case(
        "11: unknown by a throttle",
        "kept",
        fetched(),
        current(stored(OTHER), verify(SourceError(Problem("throttled", "x")), page=page(), now=NOW, stored=True)),
    ),
    case("12: another token, invalid", "replaced/heal", fetched(), current(stored(OTHER), INVALID)),
    case("12: a user's token", "replaced/heal", fetched(), current(stored(OTHER), judged(type="USER"))),
    case("12: another app's", "replaced/heal", fetched(), current(stored(OTHER), judged(app_id="9"))),
    case("12: another Page's", "replaced/heal", fetched(), current(stored(OTHER), judged(profile_id="9"))),
    case("13: lacks a scope", "replaced/rotate", fetched(), current(stored(OTHER), judged(scopes=frozenset()))),
    case(
        "13: of an earlier parent",
        "replaced/rotate",
        fetched(),
        current(stored(OTHER, marks=marks(OTHER, system_user_fingerprint="b")), VALID),
    ),
    case(
        "13: ends within twice checks.expires, the new one never",
        "replaced/rotate",
        fetched(),
        current(stored(OTHER), judged(expires_at=NOW + 2 * WEEK - MOMENT)),
    ),
    case(
        "15: ends in exactly twice checks.expires",
        "kept",
        fetched(),
        current(stored(OTHER), judged(expires_at=NOW + 2 * WEEK)),
    ),
    case(
        "13: ends soon, the new one later",
        "replaced/rotate",
        fetched(expires_at=NOW + WEEK + MOMENT),
        current(stored(OTHER), judged(expires_at=NOW + WEEK)),
    ),
    case(
        "15: ends soon, the new one at the same time",
        "kept",
        fetched(expires_at=NOW + WEEK),
        current(stored(OTHER), judged(expires_at=NOW + WEEK)),
    ),
    case(
        "15: ends soon, the new one sooner",
        "kept",
        fetched(expires_at=NOW + WEEK),
        current(stored(OTHER), judged(expires_at=NOW + WEEK + MOMENT)),
    ),
    case(
        "13: ends in years under never",
        "replaced/rotate",
        fetched(checks=NEVER_ENDING),
        current(stored(OTHER), judged(checks=NEVER_ENDING, expires_at=NOW + 500 * WEEK)),
        page(checks=NEVER_ENDING),
    ),
    case(
        "15: never ends, under never",
        "kept",
        fetched(checks=NEVER_ENDING),
        current(stored(OTHER), judged(checks=NEVER_ENDING)),
        page(checks=NEVER_ENDING),
    ),
    case("15: its expiry is absent", "kept", fetched(), current(stored(OTHER), judged(expires_at=None))),
    case(
        "15: adopted, so of no known parent",
        "kept",
        fetched(),
        current(stored(OTHER, marks=marks(OTHER, system_user_fingerprint=None))),
    ),
    case(
        "15: our own parent cannot be said",
        "kept",
        Candidate(FETCHED, VALID),
        current(stored(OTHER, marks=marks(OTHER)), VALID),
    ),
    case(
        "13: hangs on somebody else than the system user",
        "replaced/rotate",
        fetched(),
        current(stored(OTHER), judged(user_id="9")),
    ),
    case(
        "15: hangs on somebody else, and so does the new one",
        "kept",
        fetched(user_id="9"),
        current(stored(OTHER), judged(user_id="9")),
    ),
    case("15: its user_id is absent", "kept", fetched(), current(stored(OTHER), judged(user_id=None))),
    case(
        "15: hangs on somebody, and the system user's id is not known",
        "kept",
        Candidate(FETCHED, VALID, USER_TOKEN_FINGERPRINT, None),
        current(stored(OTHER), judged(user_id="9")),
    ),
    case(
        "14: somebody else's token over the instance's, of an earlier parent by the marks",
        "updated/marks",
        fetched(),
        current(stored(OTHER, marks=marks(system_user_fingerprint="b")), VALID),
    ),
    case(
        "14: as good, a field has another value",
        "updated/payload",
        fetched(),
        current(stored(OTHER, payload=Payload({"access_token": OTHER.reveal()})), VALID),
    ),
    case("14: as good, a label is wanted", "updated/labels", fetched(), current(stored(OTHER), VALID), LABELLED),
    case(
        "14: as good, a kill left the fingerprint of the token before it",
        "updated/marks",
        fetched(),
        current(stored(OTHER, marks=marks()), VALID),
    ),
    case("15: as good", "kept", fetched(), current(stored(OTHER), VALID)),
]


@pytest.mark.parametrize(("candidate", "there", "of", "expected"), ROWS)
def test_row(candidate: Candidate, there: Current, of: Page, expected: str) -> None:
    """In each situation that the table names the action and its reason are the table's."""
    action = decided(candidate, there, of)
    assert (action.kind.value + (f"/{action.reason}" if action.reason else "")) == expected
    assert (action.write is not None) == (action.kind in (Kind.CREATED, Kind.UPDATED, Kind.REPLACED))
    assert (action.problems != ()) == (action.kind in (Kind.FAILED, Kind.REFUSED))


def test_every_row_of_the_table_has_a_case() -> None:
    """The fifteen rows are all here, by the number that a case's name begins with."""
    assert {int(str(row.id).split(":")[0]) for row in ROWS} == set(range(1, 16))


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        pytest.param(stored(blocked="rotation-enabled"), "rotation-enabled", KEY.path, id="rotation"),
        pytest.param(stored(blocked="replica"), "secret-foreign", "primary", id="replica"),
        pytest.param(stored(blocked="scheduled-deletion"), "secret-deleted", KEY.path, id="scheduled for deletion"),
        pytest.param(Stored(payload(), "2", None), "secret-foreign", "no mark", id="unmarked"),
        pytest.param(
            stored(marks=marks(instance="other")), "secret-foreign", "'other', written 2026-11-24", id="other instance"
        ),
        pytest.param(
            stored(marks=marks(instance="other", written_at="")), "secret-foreign", "'other', not", id="no time known"
        ),
        pytest.param(stored(marks=marks(page_id="9")), "secret-foreign", "Page 9", id="other Page"),
        pytest.param(stored(marks=marks(page_id="")), "secret-foreign", "names no Page", id="no Page"),
        pytest.param(stored(marks=marks(page_id=" ")), "secret-foreign", "names no Page", id="a blank for a Page"),
        pytest.param(stored(marks=marks(instance="")), "secret-foreign", "names no instance", id="no instance"),
    ],
)
def test_refusal_says_why(content: Stored, code: str, words: str) -> None:
    """A place that is refused says with which problem, and whose it is or where to look."""
    (problem,) = decided(fetched(), current(content, VALID)).problems
    assert problem.code == code
    assert words in problem.message


def test_an_interrupted_create_with_an_invalid_token_is_not_to_be_adopted() -> None:
    """The remedy does not send people to adopt, which refuses an invalid token; it says what ends the problem."""
    (problem,) = decided(fetched(), current(UNMARKED, judged(is_valid=False))).problems
    assert problem.code == "secret-foreign"
    assert "page-token-sync adopt" not in problem.remedy
    assert "delete it" in problem.remedy


def test_failure_carries_the_message_of_the_store() -> None:
    """A place that could not be read says what the store said: message, remedy and who acts."""
    (problem,) = decided(fetched(), current(STORE_DOWN)).problems
    assert (problem.code, problem.message, problem.remedy, problem.owner) == (
        "store-failed",
        "Nobody listens.",
        "Start it.",
        "operator",
    )


def _write(action: Action) -> Any:
    assert action.write is not None
    return action.write


def test_created_secret_has_payload_and_marks() -> None:
    """A first write names no version, holds the fetched token, and all marks with time and reason."""
    write = _write(decided(fetched(), current(Absent()), LABELLED))
    assert (write.token, write.replaces, write.payload) == (FETCHED, None, payload())
    assert write.marks == marks(written_at="2026-11-25T12:00:00Z", reason="created", labels={"team": "crm"})


def test_recreated_secret_is_written_over_the_deleted_version() -> None:
    """A deleted secret is written by compare-and-set against the version that was deleted."""
    write = _write(decided(fetched(), current(Stored(None, "3", marks(OTHER), "deleted"))))
    assert (write.replaces, write.payload, write.marks.reason) == ("3", payload(), "recreated")


def test_replaced_secret_keeps_keys_that_are_not_in_the_payload() -> None:
    """Keys of a stored payload that the template lacks stay beside the new token."""
    write = _write(decided(fetched(), current(stored(OTHER, payload=payload(OTHER, note="mine", n=[1])), INVALID)))
    assert write.payload == payload(note="mine", n=[1])
    assert (write.replaces, write.marks.fingerprint, write.marks.reason) == ("3", FETCHED.fingerprint, "heal")


def test_replaced_secret_keeps_the_hold_of_a_rollback() -> None:
    """The mark of a rollback outlives a heal."""
    there = current(stored(OTHER, marks=marks(OTHER, hold="2026-11-20")), INVALID)
    assert _write(decided(fetched(), there)).marks.hold == "2026-11-20"


def test_marks_alone_write_no_payload() -> None:
    """Where only marks differ no payload is written, and the version read is named."""
    write = _write(decided(fetched(), current(stored(), VALID), LABELLED))
    assert (write.payload, write.replaces, dict(write.marks.labels)) == (None, "3", {"team": "crm"})


def test_interrupted_create_gets_marks_and_keeps_its_token() -> None:
    """What a crash left is marked with the fingerprint of its own token, and an origin only where it is the fetched one."""
    write = _write(decided(fetched(), current(UNMARKED, VALID)))
    assert (write.payload, write.token, write.replaces) == (None, OTHER, "1")
    unknown = {"system_user_id": None, "system_user_fingerprint": None}
    assert write.marks == marks(OTHER, written_at="2026-11-25T12:00:00Z", reason="marked", **unknown)
    write = _write(decided(fetched(OTHER), current(UNMARKED, VALID)))
    assert write.marks == marks(OTHER, written_at="2026-11-25T12:00:00Z", reason="marked")


def test_token_that_stays_keeps_its_origin() -> None:
    """A payload brought up to date around a stored token keeps that token and what its marks say of its origin."""
    there = current(
        stored(
            OTHER,
            payload=Payload({"access_token": OTHER.reveal()}),
            marks=marks(OTHER, system_user_id="55", system_user_fingerprint=None, hold="x"),
        ),
        VALID,
    )
    write = _write(decided(fetched(), there))
    assert (write.token, write.payload) == (OTHER, payload(OTHER))
    assert (write.marks.system_user_id, write.marks.system_user_fingerprint, write.marks.hold) == ("55", None, "x")


@pytest.mark.parametrize("changes", [{}, {"labels": {"team": "crm"}}, {"fingerprint": ""}])
def test_marks_claim_no_origin_of_a_token_that_somebody_else_wrote(changes: dict[str, Any]) -> None:
    """A token that the marks do not name gets its own fingerprint in them, and neither system user nor its token."""
    write = _write(decided(fetched(), current(stored(OTHER, marks=marks(**changes)), VALID)))
    assert (write.token, write.payload, write.marks.fingerprint) == (OTHER, None, OTHER.fingerprint)
    assert (write.marks.system_user_id, write.marks.system_user_fingerprint) == (None, None)


def test_marks_claim_the_origin_of_a_token_that_was_fetched() -> None:
    """A token that somebody else wrote and that Graph returned now has the present origin."""
    write = _write(decided(fetched(), current(stored(marks=marks(OTHER, system_user_fingerprint="b")), VALID)))
    assert write.marks == marks(written_at="2026-11-25T12:00:00Z", reason="marks")


def test_origin_of_another_token_is_not_kept_where_the_present_one_is_unknown() -> None:
    """Where nothing is known of the system user, marks that name another token pass on nothing of its origin."""
    write = _write(decided(Candidate(FETCHED, VALID), current(stored(marks=marks(OTHER)), VALID)))
    assert (write.marks.fingerprint, write.marks.system_user_id) == (FETCHED.fingerprint, None)


FOREIGN = [
    pytest.param(stored(OTHER, marks=marks()), FETCHED, True, id="another token than the marks name"),
    pytest.param(stored(OTHER, marks=marks()), None, True, id="nothing fetched"),
    pytest.param(stored(OTHER), FETCHED, False, id="the token that the marks name"),
    pytest.param(stored(marks=marks(OTHER)), FETCHED, False, id="the fetched token"),
    pytest.param(stored(OTHER, marks=marks(fingerprint="")), FETCHED, False, id="marks that name no token"),
    pytest.param(stored(OTHER, marks=marks(instance="other")), FETCHED, False, id="another instance's"),
    pytest.param(stored(OTHER, marks=marks(page_id="9")), FETCHED, False, id="another Page's"),
    pytest.param(stored(OTHER, marks=marks(), blocked="rotation-enabled"), FETCHED, False, id="rotation enabled"),
    pytest.param(UNMARKED, FETCHED, False, id="unmarked"),
    pytest.param(stored(payload=None), FETCHED, False, id="unreadable"),
    pytest.param(Absent(), FETCHED, False, id="absent"),
]


@pytest.mark.parametrize(("content", "token", "expected"), FOREIGN)
def test_foreign_write(content: Stored | Absent, token: Secret | None, expected: bool) -> None:
    """A token in a secret of this instance that neither the marks name nor Graph returned was written by somebody else."""
    found = current(content)
    notice = foreign_write(content, found.token, token, page=page(), instance=INSTANCE)
    assert (notice is not None) == expected
    if notice is not None:
        assert notice.code == "foreign-write"
        assert "Version 3" in notice.message
        assert OTHER.fingerprint in notice.message


LATER, SOONER = NOW + 9 * WEEK, NOW + 8 * WEEK
BOTH = frozenset({"pages_messaging", "pages_manage_metadata"})
HERE, ELSEWHERE = frozenset({PAGE_ID}), frozenset({"9"})


@pytest.mark.parametrize(
    ("old", "new", "loses"),
    [
        pytest.param({}, {}, [], id="the same"),
        pytest.param({"scopes": BOTH}, {}, ["pages_manage_metadata"], id="lacks a scope"),
        pytest.param({}, {"scopes": BOTH}, [], id="has one more"),
        pytest.param({"scopes": None}, {}, [], id="nothing known of the stored one's scopes"),
        pytest.param({}, {"scopes": None}, ["pages_messaging"], id="nothing known of the new one's scopes"),
        pytest.param(
            {}, {"granular_scopes": {"pages_messaging": ELSEWHERE}}, ["pages_messaging"], id="other Pages only"
        ),
        pytest.param({}, {"granular_scopes": {"pages_messaging": HERE}}, [], id="this Page, and was for all"),
        pytest.param(
            {"granular_scopes": {"pages_messaging": HERE | ELSEWHERE}},
            {"granular_scopes": {"pages_messaging": HERE}},
            [],
            id="fewer other Pages",
        ),
        pytest.param({"granular_scopes": {"pages_messaging": ELSEWHERE}}, {"scopes": frozenset()}, [], id="had no use"),
        pytest.param(
            {"scopes": frozenset({"instagram_basic"})},
            {"scopes": frozenset({"instagram_basic"}), "granular_scopes": {"instagram_basic": frozenset()}},
            ["instagram_basic"],
            id="for nothing at all",
        ),
        pytest.param(
            {"scopes": frozenset({"instagram_basic"})},
            {"scopes": frozenset({"instagram_basic"}), "granular_scopes": {"instagram_basic": ELSEWHERE}},
            [],
            id="other ids than Pages'",
        ),
        pytest.param({}, {"expires_at": LATER}, ["2027-01-27"], id="expires, and the stored one never"),
        pytest.param({"expires_at": LATER}, {"expires_at": SOONER}, ["2027-01-20"], id="expires sooner"),
        pytest.param({"expires_at": SOONER}, {"expires_at": LATER}, [], id="expires later"),
        pytest.param({"expires_at": SOONER}, {"expires_at": SOONER}, [], id="expires at the same time"),
        pytest.param({"expires_at": SOONER}, {}, [], id="never expires"),
        pytest.param({"expires_at": None}, {"expires_at": SOONER}, [], id="nothing known of the stored one's expiry"),
        pytest.param(
            {"scopes": BOTH}, {"expires_at": LATER}, ["pages_manage_metadata", "2027-01-27"], id="scope and expiry"
        ),
    ],
)
def test_what_a_replacement_loses(old: dict[str, Any], new: dict[str, Any], loses: list[str]) -> None:
    """A new token is weaker where it lacks a permission for the Page that the stored one has, or expires sooner."""
    found = losses(facts(**old), facts(**new), page_id=PAGE_ID)
    assert len(found) == len(loses)
    assert all(word in text for word, text in zip(loses, found, strict=True))


def test_moved_name_is_no_repair() -> None:
    """After the payload's names changed the token is found by its fingerprint and put under the new name."""
    there = current(stored(payload=Payload({"old_name": FETCHED.reveal()})), VALID)
    action = decided(fetched(), there)
    assert (action.kind, action.reason) == (Kind.UPDATED, "payload")
    assert _write(action).payload == payload(old_name=FETCHED.reveal())


@pytest.mark.parametrize(("text", "expected"), [("EAAstored1stored1", True), ("hunter2-database-password", False)])
def test_raw_text_of_another_program_is_sent_to_nobody(text: str, expected: bool) -> None:
    """An unmarked first version that is raw text is an interrupted create only if it looks like an access token of Meta."""
    raw = page(payload=template("{token}"))
    assert is_interrupted_create(Stored(Payload(text), "1", None, first=True), raw) is expected
