"""The renewal of system users' tokens in whole cycles: killed, cut off, refused, twice at once, and at last as it should be."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sync.core.memory.renewal import Renewal, RenewalRule
from sync.core.model import Absent, Blocked, Key, SourceError, Stored, StoreError
from sync.core.payload import Payload
from sync.core.problems import Problem
from sync.core.report.event import Event
from sync.core.report.events import events
from sync.core.report.json import as_json
from sync.core.report.report import Report
from sync.core.secret import Secret
from tests.support.fakes import Killed, Stage, StoreInMemory
from tests.support.values import NOW, USER_TOKEN

TARGET = Key("safe", "meta/user")
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DOWN = StoreError("unreachable", "Nobody listens.", "Start it.", whole=True)


class Renewing(Stage):
    """A stage whose system user's token ends in ten days, and lies in a secret of somebody else's."""

    def __init__(self, *names: str, left: timedelta = 10 * DAY, before: timedelta = 14 * DAY) -> None:
        super().__init__(*names)
        self.remembers = True
        self.safe = self.stores["safe"] = StoreInMemory("safe")
        self.safe.secrets[TARGET] = Stored(Payload({"note": "theirs", "token": USER_TOKEN.reveal()}), "7", None)
        self.changes["renewal_rules"] = {"main": RenewalRule(TARGET, "token", before)}
        self.world.users[USER_TOKEN] = self.world.user_facts(expires_at=NOW + left)

    @property
    def kept(self) -> Secret | None:
        """The token that the next cycle reads."""
        payload = self.safe.secrets[TARGET].payload
        return payload.secret("token") if payload is not None else None

    @property
    def asked(self) -> int:
        """How many tokens were had in exchange."""
        return len(self.world.exchanged)

    def cycle(self, **changes: Any) -> Report:  # type: ignore[override]
        """Run a cycle with the token that its store holds."""
        self.world.user_token = self.kept or USER_TOKEN
        return super().cycle(**changes)


def last(stage: Stage) -> Renewal:
    """Return what is remembered of the last try."""
    return stage.memory.renewals["main"]


def failure(stage: Stage) -> str:
    """Return why the last try failed."""
    problem = last(stage).problem
    assert problem is not None
    assert problem.code == "renewal-failed"
    return problem.message


def user_events(report: Report) -> list[Event]:
    """Return the events about system users."""
    return [event for event in events(report) if event.name.startswith("system_user")]


@pytest.mark.parametrize("step", ["exchange", "debug", "read", "renew", "renewed"])
def test_a_kill_at_any_step_loses_only_an_unused_token(step: str) -> None:
    """Killed before or after any step, the next start reads a token that works, and ends with a renewed one."""
    stage = Renewing()
    stage.cycle(write=False)
    calls: list[str] = []

    def kill(name: str, *_: object) -> None:
        calls.append(name)
        begun = "exchange" in calls or step in ("exchange", "read")
        if name == step and begun and (step != "read" or calls.count("read") > 1):
            raise Killed

    stage.world.before = kill
    stage.safe.before = kill
    with pytest.raises(Killed):
        stage.cycle()
    stage.world.before = stage.safe.before = lambda *_: None
    assert stage.kept in (USER_TOKEN, *stage.world.exchanged)
    again = Renewing.cycle(stage)
    assert again.result == "ok"
    assert stage.kept in stage.world.exchanged
    assert stage.safe.secrets[TARGET].marks is None


@pytest.mark.parametrize(
    "error",
    [
        SourceError(Problem("renewal-failed", "Graph says: no.")),
        SourceError(Problem("graph-unavailable", "Graph did not answer."), scope="graph"),
        SourceError(Problem("throttled", "Too much."), scope="app"),
    ],
    ids=lambda error: error.problem.code,
)
def test_a_refused_exchange_is_reported_and_tried_again_in_an_hour(error: SourceError) -> None:
    """It is an error when it is tried, a problem in every report until it succeeds, and changes no result meanwhile."""
    stage = Renewing()
    stage.world.errors["exchange"] = error
    report = stage.cycle()
    assert error.problem.message in failure(stage)
    assert (report.result, report.exit_code) == ("ok", 0)
    assert [(event.level, event.fields["problem"]) for event in user_events(report)] == [("error", "renewal-failed")]
    del stage.world.errors["exchange"]
    stage.clock.passed += 59 * 60
    quiet = stage.cycle()
    assert (user_events(quiet), stage.asked, stage.kept) == ([], 0, USER_TOKEN)
    codes = [problem["code"] for problem in as_json(quiet)["system_users"][0]["problems"]]
    assert "renewal-failed" in codes
    stage.clock.passed += 60
    assert [event.name for event in user_events(stage.cycle())] == ["system_user_renewed"]
    assert (stage.asked, as_json(stage.cycle())["system_users"][0]["problems"]) == (1, [])


def test_an_invalid_token_is_reported_as_invalid() -> None:
    """Where Meta calls the old token invalid it is no failed renewal."""
    stage = Renewing()
    stage.world.errors["exchange"] = SourceError(Problem("system-user-invalid", "Invalid."), scope="system_user")
    stage.cycle()
    problem = last(stage).problem
    assert problem is not None
    assert problem.code == "system-user-invalid"


@pytest.mark.parametrize(
    "changes",
    [{"is_valid": False}, {"user_id": "666"}, {"scopes": frozenset()}, {"type": "PAGE"}, {"expires_at": NOW}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_new_token_that_is_not_as_good_goes_nowhere(changes: dict[str, Any]) -> None:
    """What Meta says of the new token decides; where it falls short the old one stays, and nothing is written."""
    stage = Renewing()
    stage.world.renewed = changes
    stage.cycle()
    assert "Meta gave a new token" in failure(stage)
    assert (stage.kept, stage.safe.secrets[TARGET].version) == (USER_TOKEN, "7")


def test_an_unproven_new_token_is_not_stored() -> None:
    """Where Meta cannot be asked about the new token it is not used."""
    for stage in (throttled := Renewing(), forgotten := Renewing()):
        stage.cycle(write=False)
    throttled.world.before = lambda name: (
        throttled.world.errors.update(messenger=SourceError(Problem("throttled", "Too much.")))
        if name == "exchange"
        else None
    )
    forgotten.world.before = lambda name: (
        forgotten.world.forgets.add(Secret(f"EAA-user-0-{'y' * 12}")) if name == "exchange" else None
    )
    for stage in (throttled, forgotten):
        stage.cycle()
        assert "new token" in failure(stage)
        assert stage.kept == USER_TOKEN


def test_a_store_that_is_away_costs_no_exchange() -> None:
    """What could not be written is not asked for; the failure names the store's trouble and cure."""
    stage = Renewing()
    stage.safe.down = DOWN
    stage.cycle()
    assert "Nobody listens." in failure(stage)
    assert stage.asked == 0


@pytest.mark.parametrize("blocked", ["rotation-enabled", "replica", "scheduled-deletion"])
def test_a_blocked_secret_costs_no_exchange(blocked: Blocked) -> None:
    """A secret of AWS that must not be written is left as it is, and the reason is reported."""
    stage = Renewing()
    stage.safe.secrets[TARGET] = replace(stage.safe.secrets[TARGET], blocked=blocked)
    stage.cycle()
    assert failure(stage)
    assert stage.asked == 0


@pytest.mark.parametrize("now", [None, Stored(None, "8", None, "deleted"), Stored(None, "8", None)])
def test_a_secret_that_is_gone_costs_no_exchange(now: Stored | None) -> None:
    """Where the secret was removed after the token was read nothing is created in its place."""
    stage = Renewing()

    def remove(name: str, key: Key | None) -> None:
        if name == "read":
            stage.safe.secrets.pop(TARGET, None)
            if now is not None:
                stage.safe.secrets[TARGET] = now

    stage.safe.before = remove
    stage.cycle()
    assert failure(stage)
    assert (stage.asked, stage.safe.secrets.get(TARGET, Absent())) == (0, now or Absent())


def test_an_answer_that_is_lost_is_settled_by_reading() -> None:
    """Where the write took effect and its answer was lost it is a renewal, and no failure."""
    stage = Renewing()
    renew = stage.safe.renew

    def lost(key: Key, payload: Payload, *, replaces: str) -> StoreError:
        renew(key, payload, replaces=replaces)
        return replace(DOWN, maybe_written=True)

    stage.stores["safe"] = _Losing(stage.safe, lost)
    report = stage.cycle()
    assert [event.name for event in user_events(report)] == ["system_user_renewed"]
    assert last(stage).became == stage.world.exchanged[0].fingerprint


class _Losing(StoreInMemory):
    """A store whose renewals are done and not answered."""

    def __init__(self, inner: StoreInMemory, renew: Any) -> None:
        super().__init__(inner.name)
        self.secrets, self.payloads = inner.secrets, inner.payloads
        self.renew = renew  # type: ignore[method-assign]


def test_of_two_daemons_at_once_one_writes_without_a_problem() -> None:
    """The loser of the compare-and-set drops its token, says nothing, and reads the winner's in the next cycle."""
    stage = Renewing()
    theirs = stage.world.exchange()

    def other(name: str, key: Key | None) -> None:
        if name == "renew":
            payload = stage.safe.secrets[TARGET].payload
            assert payload is not None
            stage.safe.secrets[TARGET] = Stored(payload.renewed("token", theirs), "8", None)

    stage.safe.before = other
    report = stage.cycle()
    assert (user_events(report), stage.kept) == ([], theirs)
    assert (last(stage).problem, last(stage).became) == (None, None)
    stage.safe.before = lambda *_: None
    assert user_events(stage.cycle()) == []
    assert (stage.kept, stage.asked) == (theirs, 2)


def test_a_token_that_was_renewed_since_it_was_read_is_left() -> None:
    """Where the secret already holds another token than the one in use nothing is exchanged."""
    stage = Renewing()
    theirs = stage.world.exchange()
    stage.world.before = lambda name: (
        stage.safe.secrets.update({TARGET: Stored(Payload({"token": theirs.reveal()}), "8", None)})
        if name == "read"
        else None
    )
    stage.cycle()
    assert (stage.asked, stage.kept, last(stage).problem) == (1, theirs, None)


def test_an_unconfirmed_write_is_reported_as_unconfirmed() -> None:
    """Where the new token could not be read back the renewal is a warning."""
    stage = Renewing()
    stage.safe.confirms = False
    (event,) = user_events(stage.cycle())
    assert (event.name, event.level, event.fields["confirmed"]) == ("system_user_renewed", "warning", False)


@pytest.mark.parametrize(
    "changes",
    [{"write": False}, {"observe": True}, {"selected_from": frozenset({Key("vault", "x")})}, {"if_plan": "sha256:0"}],
    ids=lambda changes: next(iter(changes)),
)
def test_only_a_complete_cycle_that_writes_renews(changes: dict[str, Any]) -> None:
    """A plan, an observer, a selection and a plan that is no longer that one ask for no new token, and report the expiry."""
    stage = Renewing()
    report = stage.cycle(**changes)
    assert (stage.asked, stage.kept, stage.memory.renewals) == (0, USER_TOKEN, {})
    assert [event.name for event in user_events(report)] == ["system_user_expiring"]


def test_plan_that_a_person_lets_through_renews_nothing_beside_it() -> None:
    """A run with the checksum of its plan writes the lines of that plan and no others."""
    stage = Renewing()
    stage.pages = [replace(page, labels={"team": "crm"}) for page in stage.pages]
    report = stage.cycle(if_plan=stage.cycle(write=False).checksum)
    assert report.result == "ok"
    assert report.summary["created"] + report.summary["updated"] == len(stage.pages)
    assert (stage.asked, stage.kept) == (0, USER_TOKEN)


@pytest.mark.parametrize(("left", "due"), [(14 * DAY, False), (14 * DAY - timedelta(seconds=1), True)])
def test_nothing_is_renewed_before_its_time(left: timedelta, due: bool) -> None:
    """The time in the configuration is exact, and before it no expiry is reported that will be renewed in time."""
    stage = Renewing(left=left)
    report = stage.cycle()
    assert (stage.asked, [event.name for event in user_events(report)]) == (
        int(due),
        ["system_user_renewed"] if due else [],
    )


def test_a_late_renewal_is_not_spoken_of_at_fourteen_days() -> None:
    """An expiry whose renewal is two days before it is not reported at fourteen, seven or three."""
    stage = Renewing(left=13 * DAY, before=2 * DAY)
    seen = []
    for _ in range(13):
        seen += [event.name for event in user_events(stage.cycle())]
        stage.clock.passed += DAY.total_seconds()
    assert seen == ["system_user_renewed"]


def test_without_renewal_an_expiry_is_reported_on_each_day() -> None:
    """Over its last weeks a token is spoken of four times, and stands in every report from fourteen days on."""
    stage = Renewing(left=15 * DAY)
    stage.changes["renewal_rules"] = {}
    seen: list[int] = []
    noticed: list[int] = []
    for hour in range(0, 15 * 24, 6):
        report = stage.cycle()
        seen += [hour for event in user_events(report) if event.name == "system_user_expiring"]
        noticed += [hour for user_token in report.user_tokens if user_token.verdict.notices]
        stage.clock.passed += 6 * 3600
    assert seen == [30, 198, 294, 342]
    assert noticed == list(range(30, 15 * 24, 6))


def test_a_system_user_that_is_gone_is_forgotten() -> None:
    """What was tried for one that the configuration no longer has is remembered no longer."""
    stage = Renewing()
    stage.cycle()
    tried = last(stage)
    stage.memory = replace(stage.memory, renewals={"main": tried, "gone": tried})
    stage.cycle()
    assert stage.memory.renewals == {"main": tried}


def test_a_renewed_token_is_used_from_the_next_cycle_on() -> None:
    """One key of the secret changes, the old token serves to the end of its cycle, and Pages follow without the brake."""
    stage = Renewing("berlin", "paris", "rome", "oslo")
    stage.cycle(write=False)
    first = stage.cycle()
    assert (first.result, [user_token.token for user_token in first.user_tokens]) == ("ok", [USER_TOKEN])
    payload = stage.safe.secrets[TARGET].payload
    assert payload == Payload({"note": "theirs", "token": stage.world.exchanged[0].reveal()})
    (event,) = user_events(first)
    assert (event.fields["previous_fingerprint"], event.fields["fingerprint"]) == (
        USER_TOKEN.fingerprint,
        stage.world.exchanged[0].fingerprint,
    )
    stage.world.generation += 1
    stage.clock.passed += 900
    second = stage.cycle()
    assert [user_token.token for user_token in second.user_tokens] == stage.world.exchanged
    assert (second.result, {entry.reason for page in second.pages for entry in page.stores}) == ("ok", {"rotate"})
    assert as_json(second)["system_users"][0]["renewed_at"] == "2026-11-25T12:00:00Z"
    assert (stage.asked, user_events(second)) == (1, [])


@pytest.mark.parametrize("call", ["exchange", "debug"])
def test_shutdown_during_the_exchange_is_reported(call: str) -> None:
    """Shutdown that comes after the writes and before a renewal is through leaves an account of them; the next start renews."""
    stage = Renewing("berlin")

    def stop(at: str) -> None:
        stage.clock.stopping = stage.clock.stopping or (at == call and bool(stage.stores["vault"].writes))
        stage.clock.check()

    stage.world.before = stop
    report = stage.cycle()
    assert (report.frame.cut_short, report.pages[0].stores[0].version) == (True, "1")
    assert "Shutdown" in report.frame.warnings[0]
    assert "main" not in stage.memory.renewals
    stage.clock.stopping, stage.world.before = False, lambda _: None
    assert not stage.cycle().frame.cut_short
    assert last(stage).problem is None
