"""The checker detects bugs: each mutant of the program breaks its invariant in some seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sync.core.ask import remember as remembering
from sync.core.ask.inputs import Inputs
from sync.core.judge import decide
from sync.core.memory import access
from sync.core.model import Key, State, Stored, StoreError, Written
from sync.core.plan import observation, served
from sync.core.report import build
from sync.core.secret import Secret
from sync.cycle import apply, ask, cycle
from sync.graph import debugging
from sync.stores.aws.entry import CURRENT
from sync.stores.aws.versions import AwsVersions
from sync.stores.vault import kv
from sync.stores.vault.engine import Put
from sync.stores.vault.store import VaultStore
from sync.stores.vault.write import Writer
from tests.simulation.days import Days
from tests.simulation.stage import run_seed

pytestmark = pytest.mark.slow

SEEDS = range(150)
"""The seeds in which a bug must be found."""

Patch = pytest.MonkeyPatch


def _a_lost_answer_counts_as_done(patch: Patch) -> None:
    original = Writer._settle

    def settle(self: Writer, wanted: Any, *, lost: bool) -> Any:
        return Put(wanted.cas + 1, {}) if lost else original(self, wanted, lost=lost)

    patch.setattr(Writer, "_settle", settle)
    patch.setattr(Writer, "_confirm", lambda *call: Written(str(call[2]), confirmed=True))


def _a_write_names_no_version(patch: Patch) -> None:
    original = kv.Calls.write

    def write(self: kv.Calls, path: str, payload: Mapping[str, Any], cas: int) -> Any:
        return replace(original(self, path, payload, cas), body={"data": payload})

    patch.setattr(kv.Calls, "write", write)


class _Everything(dict[Any, Any]):
    def __contains__(self, key: object) -> bool:
        return True


def _an_old_proof_is_trusted(patch: Patch) -> None:
    original = apply.apply
    patch.setattr(apply, "PROOF_AGE", timedelta(hours=48))
    patch.setattr(cycle, "apply", lambda task, planned, _: original(task, planned, _Everything()))


def _what_is_unknown_is_healed(patch: Patch) -> None:
    original = decide._other_token

    def other(case: Any, fetched: Secret, stored: Secret, content: Stored) -> Any:
        if case.current.verdict.state is State.UNKNOWN:
            return decide._replaced(case, fetched, content, "heal")
        return original(case, fetched, stored, content)

    patch.setattr(decide, "_other_token", other)


def _what_is_unknown_is_called_broken(patch: Patch) -> None:
    for module in (served, build):
        patch.setattr(module, "served_by", lambda verdict: "verified" if verdict.state is State.VALID else "broken")


def _what_is_not_broken_is_called_verified(patch: Patch) -> None:
    original = served.is_broken
    for module in (served, build):
        patch.setattr(module, "served_by", lambda verdict: "broken" if original(verdict) else "verified")


def _marks_are_not_looked_at(patch: Patch) -> None:
    for module in (decide, observation, served):
        patch.setattr(module, "foreign_problem", lambda *_: None)


def _a_fingerprint_is_the_token(patch: Patch) -> None:
    patch.setattr(Secret, "fingerprint", property(lambda self: self.reveal()))


def _one_target_fails_all(patch: Patch) -> None:
    original = VaultStore.read

    def read(self: VaultStore, keys: Sequence[Key], *, raw: frozenset[Key] = frozenset()) -> Mapping[Key, Any]:
        found = dict(original(self, keys, raw=raw))
        gone = [one for one in found.values() if isinstance(one, Stored) and one.state == "deleted"]
        failed = StoreError("unexpected", "One of them is deleted.", "Look.")
        return dict.fromkeys(found, failed) if gone else found

    patch.setattr(VaultStore, "read", read)


def _stored_tokens_are_never_probed(patch: Patch) -> None:
    patch.setattr(ask.due, "probes", lambda *_, **__: {})


def _the_current_version_is_not_named(patch: Patch) -> None:
    def move(self: Any, found: Any, version: str) -> None:
        moved = {"SecretId": found.arn, "VersionStage": CURRENT, "MoveToVersionId": version}
        now = self.reader.describe(found.arn)
        base = {"RemoveFromVersionId": now.current} if now.current != version else {}
        self.client.call("UpdateSecretVersionStage", found.name, **moved, **base)

    patch.setattr(AwsVersions, "_move", move)


def _a_partial_answer_counts(patch: Patch) -> None:
    patch.setattr(debugging, "absent_field", lambda _: None)


def _what_cannot_be_read_is_forgotten(patch: Patch) -> None:
    patch.setattr(remembering, "_all_was_read", lambda _: True)
    patch.setattr(remembering, "_DAY", timedelta(0))


def _an_origin_is_claimed_for_every_token(patch: Patch) -> None:
    patch.setattr(decide, "_without_origin", lambda marks: marks)


def _a_template_is_never_applied(patch: Patch) -> None:
    patch.setattr(decide, "_brought_up_to_date", lambda *_: None)


def _an_alarm_is_asked_for_once_a_day(patch: Patch) -> None:
    patch.setattr(access, "_LONGEST_WAIT", 24 * 3600.0)


def _the_quota_is_never_plentiful(patch: Patch) -> None:
    patch.setattr(Inputs, "plentiful", lambda *_: False)


MUTANTS: Sequence[tuple[str, str, Callable[[Patch], None], int]] = [
    ("vault", "I4", _a_lost_answer_counts_as_done, 16),
    ("vault", "I3", _a_write_names_no_version, 8),
    ("vault", "I1", _an_old_proof_is_trusted, 1),
    ("vault", "I3", _what_is_unknown_is_healed, 59),
    ("vault", "I3", _what_is_unknown_is_called_broken, 8),
    ("vault", "I8", _what_is_not_broken_is_called_verified, 10),
    ("vault", "I2", _marks_are_not_looked_at, 8),
    ("vault", "I6", _a_fingerprint_is_the_token, 0),
    ("vault", "I7", _one_target_fails_all, 8),
    ("vault", "I5", _stored_tokens_are_never_probed, 2),
    ("vault", "I8", _a_partial_answer_counts, 104),
    ("vault", "I8", _what_cannot_be_read_is_forgotten, 59),
    ("vault", "I5", _a_template_is_never_applied, 6),
    ("aws", "I3", _the_current_version_is_not_named, 142),
]
"""The store, the invariant, the bug, and a seed that finds it today, which is tried first."""


def _unassigned_for_days(days: Days) -> None:
    days.users["user0"].assigned.pop(days.page().id)
    days.run(60)


def _assigned_again(days: Days) -> None:
    for cycles in (1, 2, 3):
        days.unassign(cycles=cycles)
        days.run(0.5)


def _an_older_token_is_written(days: Days) -> None:
    days.put_older()
    days.run(1)


IN_DAYS: Sequence[tuple[str, Callable[[Days], None], Callable[[Patch], None]]] = [
    ("I2", _an_older_token_is_written, _an_origin_is_claimed_for_every_token),
    ("I5", _unassigned_for_days, _an_alarm_is_asked_for_once_a_day),
    ("I8", _assigned_again, _the_quota_is_never_plentiful),
]


@pytest.mark.parametrize(
    ("kind", "invariant", "mistake", "likely"), MUTANTS, ids=[made.__name__.strip("_") for _, _, made, _ in MUTANTS]
)
def test_a_mutant_is_found(
    kind: str, invariant: str, mistake: Callable[[Patch], None], likely: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program with this bug breaks the invariant that forbids it, in one of the first seeds."""
    mistake(monkeypatch)
    for seed in (likely, *SEEDS):
        if any(line.startswith(invariant) for line in run_seed(seed, kind=kind).violations):
            return
    pytest.fail(f"{invariant} held in {len(SEEDS)} seeds")


@pytest.mark.parametrize(
    ("invariant", "event", "mistake"), IN_DAYS, ids=[made.__name__.strip("_") for *_, made in IN_DAYS]
)
def test_a_mutant_is_found_in_days(
    invariant: str,
    event: Callable[[Days], None],
    mistake: Callable[[Patch], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A program with this bug breaks the invariant that forbids it, in days with one event."""
    mistake(monkeypatch)
    days = Days(tmp_path, (5,), compared=True)
    days.run(1)
    assert days.checker.violations == []
    event(days)
    assert [line for line in days.checker.violations if line.startswith(invariant)]
