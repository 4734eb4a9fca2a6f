"""The checker detects bugs: each mutant of the program breaks its invariant in some seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sync.core.judge import decide
from sync.core.model import Key, State, Stored, StoreError, Written
from sync.core.plan import observation, served
from sync.core.report import build
from sync.core.secret import Secret
from sync.cycle import apply, ask, cycle
from sync.stores.aws.entry import CURRENT
from sync.stores.aws.versions import AwsVersions
from sync.stores.vault import kv
from sync.stores.vault.engine import Put
from sync.stores.vault.store import VaultStore
from sync.stores.vault.write import Writer
from tests.simulation.stage import run_seed

pytestmark = pytest.mark.slow

SEEDS = range(150)
"""So many seeds at most until a mistake is found."""

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
        now = self._reader.describe(found.arn)
        base = {"RemoveFromVersionId": now.current} if now.current != version else {}
        self._client.call("UpdateSecretVersionStage", found.name, **moved, **base)

    patch.setattr(AwsVersions, "_move", move)


MUTANTS: Sequence[tuple[str, str, Callable[[Patch], None]]] = [
    ("vault", "I4", _a_lost_answer_counts_as_done),
    ("vault", "I3", _a_write_names_no_version),
    ("vault", "I1", _an_old_proof_is_trusted),
    ("vault", "I3", _what_is_unknown_is_healed),
    ("vault", "I3", _what_is_unknown_is_called_broken),
    ("vault", "I8", _what_is_not_broken_is_called_verified),
    ("vault", "I2", _marks_are_not_looked_at),
    ("vault", "I6", _a_fingerprint_is_the_token),
    ("vault", "I7", _one_target_fails_all),
    ("vault", "I5", _stored_tokens_are_never_probed),
    ("aws", "I3", _the_current_version_is_not_named),
]


@pytest.mark.parametrize(
    ("kind", "invariant", "mistake"), MUTANTS, ids=[made.__name__.strip("_") for *_, made in MUTANTS]
)
def test_a_mutant_is_found(
    kind: str, invariant: str, mistake: Callable[[Patch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program with this bug breaks the invariant that forbids it, in one of the first seeds."""
    mistake(monkeypatch)
    for seed in SEEDS:
        if any(line.startswith(invariant) for line in run_seed(seed, kind=kind).violations):
            return
    pytest.fail(f"{invariant} held in {len(SEEDS)} seeds")
