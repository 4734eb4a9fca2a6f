"""``adopt`` and ``rollback`` killed at each call of a store, and beside a daemon that writes; over the models of Vault and AWS, and files."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from sync.app import adopt
from sync.app.rollback import carry_out
from sync.core.judge.decide import Action, Kind, decide
from sync.core.model import Key, Page, PastVersion, Stored, StoreError, Written
from sync.core.plan.adopt import Adoption
from sync.core.plan.guards import held_by_a_person
from sync.core.plan.model import TargetPlan
from sync.core.plan.rollback import Rollback, as_if, choose, release, rollback, token_of
from sync.core.secret import Secret
from sync.http import Response
from sync.stores.aws.settings import AwsSettings
from sync.stores.file.store import FileSettings, FileStore
from sync.stores.interface import Store
from sync.stores.vault.settings import TokenLogin, VaultSettings
from sync.stores.vault.store import VaultStore
from tests.simulation.aws_http import over, plain
from tests.simulation.boto import aws_apart
from tests.simulation.secrets_manager import SecretsManager
from tests.simulation.vault import Vault
from tests.simulation.vault_http import VaultHttp
from tests.support.clock import SequentialClock
from tests.support.memory_http import Sent
from tests.support.services.aws import REGION
from tests.support.values import (
    FETCHED,
    INSTANCE,
    NOW,
    OTHER,
    current,
    fetched,
    judged,
    marks,
    page,
    payload,
)

OLDEST, NEWER = Secret("EAAoldest2oldest2oldest2oldest2"), Secret("EAAnewer3newer3newer3newer3newer3")
MOST = 40
"""More calls than any of these commands makes."""


class Killed(BaseException):
    """The process is killed here; none of its code calls a service any more."""


@dataclass
class Wire:
    """Counts the calls of one process while ``armed``; kills it at one of them, or lets somebody else act just before one."""

    kill: int = 0
    meanwhile: tuple[int, Callable[[], object]] | None = None
    armed: bool = False
    calls: int = 0
    killed: bool = False

    def call(self, carry_out: Callable[[], Any]) -> Any:
        """Carry out a call, unless the process is killed by then."""
        self.begins()
        return carry_out()

    def begins(self) -> None:
        """Count a call that begins. A kill just before one is a kill just after the call before."""
        if self.killed:
            raise Killed
        if not self.armed:
            return
        self.calls += 1
        if self.meanwhile is not None and self.meanwhile[0] == self.calls:
            self.armed = False
            self.meanwhile[1]()
            self.armed = True
        if self.kill == self.calls:
            self.killed = True
            raise Killed


class Stage(ABC):
    """One kind of store, with the secret of the Page berlin, and processes that change it."""

    def __init__(self) -> None:
        self.clock = SequentialClock()
        self.key = self.make_key()
        self.page: Page = replace(page(), targets=(self.key,))

    @cached_property
    def other(self) -> Store:
        """A process that outlives the killed ones."""
        return self.process(Wire())

    @abstractmethod
    def make_key(self) -> Key:
        """Return the target of berlin."""

    @abstractmethod
    def process(self, wire: Wire) -> Store:
        """Return the store of a new process, whose calls go through the wire."""

    @abstractmethod
    def unmark(self) -> None:
        """Make the secret one that nobody has marked."""

    def write(self, *tokens: Secret) -> None:
        """Write a version with each of these tokens, as cycles do."""
        for token in tokens:
            store = self.other
            store.begin()
            found = store.read([self.key])[self.key]
            replaces = found.version if isinstance(found, Stored) else None
            answer = store.write(self.key, payload(token), marks(token, reason="rotate"), replaces=replaces)
            assert isinstance(answer, Written), answer

    def stored(self) -> Stored:
        """Read the secret as it really is."""
        self.other.begin()
        found = self.other.read([self.key])[self.key]
        assert isinstance(found, Stored), found
        return found

    def tokens(self) -> set[Secret]:
        """Return the tokens of all versions that are kept."""
        past = self.other.versions(self.key)
        assert not isinstance(past, StoreError)
        return {token for one in past if (token := token_of(self.page, one.payload)) is not None}

    def back(self, wire: Wire, version: str | None = None) -> Rollback:
        """Run ``rollback --yes``; Meta calls each token valid."""
        store = self.process(wire)
        past = store.versions(self.key)
        assert not isinstance(past, StoreError)
        found = self.decided(store.read([self.key])[self.key], list(past), version)
        wire.armed = True
        return carry_out(found, store, self.clock)

    def decided(self, read: Any, past: list[PastVersion], version: str | None) -> Rollback:
        """Decide on a rollback."""
        wanted = choose(self.page, read, past, version)
        target = TargetPlan(self.key, current(as_if(self.page, read, wanted, INSTANCE), judged()), Action(Kind.KEPT))
        age = timedelta(seconds=60)
        return rollback(self.page, target, read, past, wanted, instance=INSTANCE, observe=False, now=NOW, proof_age=age)

    def let_go(self, wire: Wire) -> Rollback:
        """Run ``rollback --release``."""
        store = self.process(wire)
        read = store.read([self.key])[self.key]
        target = TargetPlan(self.key, current(read), Action(Kind.KEPT))
        found = release(self.page, target, read, [], instance=INSTANCE, observe=False, now=NOW)
        wire.armed = True
        return carry_out(found, store, self.clock)

    def adopt(self, wire: Wire) -> Adoption:
        """Run ``adopt --yes`` for a secret whose token is proven."""
        store = self.process(wire)
        read = store.read([self.key])[self.key]
        assert isinstance(read, Stored)
        if read.marks is not None:
            return Adoption(self.page, self.key, read, "unchanged")
        wanted = marks(OTHER, system_user_id=None, system_user_fingerprint=None, reason="adopted")
        wire.armed = True
        one = Adoption(self.page, self.key, read, "adopt", marks=wanted)
        return adopt.carry_out([one], {self.key.store: store}, self.clock)[0]

    def daemon(self, wire: Wire) -> Callable[[], Written | StoreError | None]:
        """Let a daemon read and decide; what is returned writes. It has a newer token of a new system user's token."""
        store = self.process(wire)
        read = store.read([self.key])[self.key]
        candidate = replace(fetched(NEWER), system_user_fingerprint="bbbbbbbbbbbb")
        there = current(read, judged(), self.page)
        action = decide(page=self.page, key=self.key, instance=INSTANCE, candidate=candidate, current=there, now=NOW)
        action = held_by_a_person(self.page, TargetPlan(self.key, there, action), observe=False)

        def write() -> Written | StoreError | None:
            wire.armed = True
            if action.write is None:
                return None
            if action.write.payload is None:
                assert isinstance(read, Stored)
                return store.mark(self.key, action.write.marks, version=action.write.replaces or "", read=read)
            return store.write(self.key, action.write.payload, action.write.marks, replaces=action.write.replaces)

        return write


class VaultStage(Stage):
    """A model of OpenBao."""

    def __init__(self) -> None:
        self.model = Vault(lambda: self.clock.now().timestamp(), indexed=False)
        self.model.do("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
        super().__init__()

    def make_key(self) -> Key:
        """Return the target of berlin."""
        return Key("vault", "meta/pages/berlin")

    def process(self, wire: Wire) -> Store:
        """Return the store of a new process."""
        model = self.model

        class Http(VaultHttp):
            """An Http of this process."""

            def answer(self, sent: Sent) -> Response:
                """Answer, unless the process is killed by then."""
                answer: Response = wire.call(lambda: VaultHttp.answer(self, sent))
                return answer

        login = TokenLogin(lambda: Secret("root"))
        settings = VaultSettings(address="http://127.0.0.1:8200", mount="kv", list_prefix="meta/pages/", login=login)
        store = VaultStore("vault", settings, clock=self.clock, http=lambda **made: Http(model, **made))
        store.begin()
        return store

    def unmark(self) -> None:
        """Make the secret one that nobody has marked."""
        self.model.do("POST", f"kv/metadata/{self.key.path}", {"custom_metadata": {}})


class AwsStage(Stage):
    """A model of Secrets Manager."""

    def __init__(self) -> None:
        self.model = SecretsManager(lambda: self.clock.now().timestamp())
        super().__init__()

    def make_key(self) -> Key:
        """Return the target of berlin."""
        return Key("aws", "meta/pages/berlin")

    def process(self, wire: Wire) -> Store:
        """Return the store of a new process."""
        send = plain(self.model)
        settings = AwsSettings(region=REGION, name_prefix="meta/pages/")

        def wired(operation: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            answer: tuple[int, dict[str, Any]] = wire.call(lambda: send(operation, body))
            return answer

        store = over(wired, "aws", settings, clock=self.clock)
        store.begin()
        return store

    def unmark(self) -> None:
        """Make the secret one that nobody has marked."""
        self.model.put(replace(self.model.secrets[self.key.path], tags={}))

    def forget(self) -> None:
        """Remove the versions that no label protects, as AWS does when it likes."""
        secret = self.model.secrets[self.key.path]
        kept = {version: value for version, value in secret.versions.items() if version in secret.stages()}
        self.model.put(replace(secret, versions=kept))


_WIRES: list[Wire] = []
"""The wires of the processes that work with files, whose calls are the system's."""


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _WIRES and event in ("open", "os.rename", "os.link", "os.remove", "os.mkdir"):
        _WIRES[-1].begins()


sys.addaudithook(_watch)


class FileStage(Stage):
    """A directory, whose one version is the current one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "secrets"
        self.folder.mkdir(mode=0o700)
        super().__init__()

    def make_key(self) -> Key:
        """Return the target of berlin."""
        return Key("disk", "berlin.json")

    def process(self, wire: Wire) -> Store:
        """Return the store of a new process."""

        class Files(FileStore):
            """A store of this process."""

            def mark(self, *given: Any, **named: Any) -> Written | StoreError:
                """Write the marks by calls of this process."""
                _WIRES.append(wire)
                try:
                    return super().mark(*given, **named)
                finally:
                    _WIRES.pop()

        return Files("disk", FileSettings(str(self.folder), 5.0), clock=self.clock)

    def unmark(self) -> None:
        """Make the secret one that nobody has marked."""
        (self.folder / ".berlin.json.page-token-sync").unlink()


Make = Callable[[], Stage]


@pytest.fixture(autouse=True, scope="module")
def apart() -> Iterator[None]:
    """Make clients of AWS cheap, with none of this machine's settings."""
    with aws_apart():
        yield


@pytest.fixture(params=["vault", "aws"])
def make(request: pytest.FixtureRequest) -> Make:
    """Return what makes a store with history."""
    return VaultStage if request.param == "vault" else AwsStage


@pytest.fixture(params=["vault", "aws", "disk"])
def make_any(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return what makes a store of any kind."""
    of_disk = lambda: FileStage(tmp_path_factory.mktemp("files"))  # noqa: E731 - one of three
    return {"vault": VaultStage, "aws": AwsStage, "disk": of_disk}[request.param]


def kills(make: Make, prepare: Callable[[Stage], object], run: Callable[[Stage, Wire], object]) -> Iterator[Stage]:
    """Yield the stage after a kill just before each call of a command."""
    for number in range(1, MOST):
        stage, wire = make(), Wire(kill=number)
        prepare(stage)
        try:
            run(stage, wire)
        except Killed:
            yield stage
        else:
            assert number > 2, "a command makes more calls than two"
            return
    raise AssertionError("a command makes fewer calls")


def is_back(stage: Stage, token: Secret) -> None:
    """Check that a token is current and held, by true marks, and that no version is lost."""
    now = stage.stored()
    assert token_of(stage.page, now.payload) == token
    assert now.marks is not None
    assert now.marks.hold is not None
    assert now.marks.fingerprint == token.fingerprint
    assert stage.tokens() >= {FETCHED, token}


@pytest.mark.parametrize(("make", "version"), [(VaultStage, None), (VaultStage, "oldest"), (AwsStage, None)])
def test_a_rollback_that_is_killed(make: Make, version: str | None) -> None:
    """Wherever it is killed, one of the two tokens is current, and the same command without a number completes it as it was begun."""
    ends = set()

    def run(stage: Stage, wire: Wire) -> Rollback:
        return stage.back(wire, oldest(stage) if version else None)

    for stage in kills(make, lambda stage: stage.write(OLDEST, OTHER, FETCHED), run):
        wanted = OLDEST if version else OTHER
        killed = stage.stored()
        token = token_of(stage.page, killed.payload)
        assert token in (FETCHED, wanted)
        assert killed.marks is not None
        begun = killed.marks.hold is not None
        assert begun or token == FETCHED
        assert stage.daemon(Wire())() is None or not begun
        if not begun:
            continue
        again = stage.back(Wire())
        assert again.action in ("rolled-back", "unchanged"), again
        is_back(stage, wanted)
        assert stage.tokens() == {OLDEST, OTHER, FETCHED}
        ends.add((token, again.action))
    assert ends == {(FETCHED, "rolled-back"), (wanted, "unchanged")}


def oldest(stage: Stage) -> str:
    """Return the version that holds the oldest token."""
    past = stage.other.versions(stage.key)
    assert not isinstance(past, StoreError)
    return next(one.version for one in past if token_of(stage.page, one.payload) == OLDEST)


def test_a_rollback_whose_version_aws_removes() -> None:
    """Where AWS removes the wanted version after a kill, the token that is current by then is the one, or none is chosen."""

    def prepare(stage: Stage) -> None:
        stage.write(OLDEST, OTHER, FETCHED)

    ends = set()
    for stage in kills(AwsStage, prepare, lambda stage, wire: stage.back(wire, oldest(stage))):
        assert isinstance(stage, AwsStage)
        stage.forget()
        before = stage.stored()
        if before.marks is None or before.marks.hold is None:
            continue
        again = stage.back(Wire())
        ends.add((again.action, again.reason))
        if again.action == "refused":
            assert stage.stored() == before
            assert "rollback berlin --store aws --version VERSION" in again.remedy
        else:
            assert token_of(stage.page, stage.stored().payload) == OLDEST
    assert ends == {("refused", "unclear-version"), ("unchanged", None)}


def test_a_release_that_is_killed(make_any: Make) -> None:
    """Wherever it is killed, the token stays, and the same command again ends with a secret that is not held."""

    def prepare(stage: Stage) -> None:
        stage.write(OTHER)
        now = stage.stored()
        hold = marks(OTHER, hold="2026-11-25T12:00:00Z", reason="rollback")
        assert isinstance(stage.other.mark(stage.key, hold, version=now.version, read=now), Written)

    for stage in kills(make_any, prepare, lambda stage, wire: stage.let_go(wire)):
        before = stage.stored()
        assert stage.let_go(Wire()).action in ("released", "unchanged")
        after = stage.stored()
        assert (after.payload, after.version) == (before.payload, before.version)
        assert after.marks is not None
        assert after.marks.hold is None


def test_an_adoption_that_is_killed(make_any: Make) -> None:
    """Wherever it is killed, the payload stays, the secret is marked or not, and the same command again marks it."""

    def prepare(stage: Stage) -> None:
        stage.write(OTHER)
        stage.unmark()

    for stage in kills(make_any, prepare, lambda stage, wire: stage.adopt(wire)):
        before = stage.stored()
        assert stage.adopt(Wire()).action in ("adopted", "unchanged")
        after = stage.stored()
        assert (after.payload, after.version) == (before.payload, before.version)
        assert after.marks is not None
        assert (after.marks.instance, after.marks.fingerprint) == (INSTANCE, OTHER.fingerprint)


def beside(make: Make, act: Callable[[Stage, Wire], object]) -> Iterator[tuple[Stage, Wire, Callable[[], object]]]:
    """Yield a stage for each call of a rollback, and its wire that lets a daemon write just before this call.

    The daemon decides at that moment, and in every second stage before the rollback begins.
    """
    for number in range(1, MOST):
        for early in (True, False):
            stage, wire = make(), Wire()
            stage.write(OTHER, FETCHED)
            decided = stage.daemon(Wire()) if early else None
            wire.meanwhile = (number, decided or (lambda stage=stage: stage.daemon(Wire())()))
            act(stage, wire)
            if wire.calls < number:
                return
            yield stage, wire, decided or (lambda: None)


def test_a_rollback_beside_a_daemon_that_writes(make: Make) -> None:
    """Whoever is first wins: what a rollback reports as current and held is so, else it reports a failure, and a further one succeeds."""
    reports: list[Rollback] = []
    ends = set()
    for stage, _, late in beside(make, lambda stage, wire: reports.append(stage.back(wire))):
        done = reports[-1]
        late()
        now = stage.stored()
        ends.add((done.action, done.error_code))
        if done.action == "rolled-back" and done.written is not None and done.written.confirmed:
            is_back(stage, OTHER)
            continue
        assert done.exit_code == 1
        assert done.message
        assert token_of(stage.page, now.payload) in (NEWER, FETCHED, OTHER)
        past = stage.other.versions(stage.key)
        assert not isinstance(past, StoreError)
        version = next(one.version for one in past if token_of(stage.page, one.payload) == OTHER)
        again = stage.back(Wire(), version)
        assert again.action in ("rolled-back", "unchanged"), again
        is_back(stage, OTHER)
    assert ends == {("rolled-back", None), ("failed", "conflict")}


def test_a_daemon_beside_a_rollback(make: Make) -> None:
    """A rollback between two calls of a daemon's write is current and held afterwards, or it failed and says so."""
    ends = set()
    for number in range(1, MOST):
        stage, wire = make(), Wire()
        stage.write(OTHER, FETCHED)
        reports: list[Rollback] = []
        wire.meanwhile = (number, lambda stage=stage, reports=reports: reports.append(stage.back(Wire())))
        stage.daemon(wire)()
        if not reports:
            break
        done, now = reports[0], stage.stored()
        assert now.marks is not None
        ends.add(done.action)
        if done.action == "rolled-back":
            assert token_of(stage.page, now.payload) in (OTHER, FETCHED)
            assert now.marks.hold is not None
    assert "rolled-back" in ends
