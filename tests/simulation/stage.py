"""One seed: its services and daemons, its faults and their times, and its end."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sync.core.model import Key, Page
from sync.core.payload import PayloadTemplate
from sync.core.report.report import Report
from sync.core.secret import Secret
from sync.sandbox.api.states import switch_off
from sync.sandbox.world.quota import Rolling
from sync.sandbox.world.world import make_world
from sync.stores.aws.store import AwsSettings
from sync.stores.interface import Store
from sync.stores.vault.settings import AppRoleLogin, TokenLogin, VaultSettings
from sync.stores.vault.store import VaultStore
from tests.simulation import files
from tests.simulation.answers import Weather
from tests.simulation.aws_http import over
from tests.simulation.boto import aws_apart
from tests.simulation.changes import PERSON
from tests.simulation.chaos import Chaos
from tests.simulation.checker import CREDENTIALS, Checker, Current, of_aws, of_vault, token_in
from tests.simulation.daemon import EVERY, TOKEN, Daemon, Habits, Site
from tests.simulation.files import Disk, SimulatedFiles
from tests.simulation.policy import parse
from tests.simulation.process import Life, LifeClock, NetworkFaults
from tests.simulation.secrets_manager import SecretsManager
from tests.simulation.services import VaultHttp, aws_send
from tests.simulation.time_and_turns import Simulation
from tests.simulation.vault import Vault

INSTANCE = "acme"
_MEMORY = Path("/dev/shm")
CALM_CYCLES = 20
"""So many cycles after all faults have ended everything is as wanted: an app's freeze lasts up to four hours and more, and a
Page in alarm is asked for again after up to as many cycles as it was lost."""
_TEMPLATE = {"access_token": "{token}", "page_id": "{id}", "app_id": "{app_id}"}
_RULES = """
path "kv/data/meta/pages/*" { capabilities = ["create", "read", "update"] }
path "kv/metadata/meta/pages/*" { capabilities = ["read", "patch", "list"] }
path "kv/metadata/meta/pages/" { capabilities = ["list"] }
path "kv/data/graph/*" { capabilities = ["create", "read", "update"] }
path "kv/metadata/graph/*" { capabilities = ["read"] }
"""
_SCAN = 'path "kv/detailed-metadata/meta/pages/" { capabilities = ["scan"] }'


@dataclass(frozen=True)
class Outcome:
    """How a seed ended. ``cycles`` and ``deaths`` are all daemons' together, ``calm`` the cycles after the last fault.

    ``steps`` counts how often somebody waited, at calls and sleeps.
    """

    seed: int
    violations: list[str]
    cycles: int
    calm: int
    steps: int
    deaths: int
    trace: list[str] | None


class Stage:
    """Everything of one seed, before it begins."""

    def __init__(self, seed: int, folder: Path, *, traced: bool = False, kind: str | None = None) -> None:
        self.seed = seed
        self.simulation = Simulation(f"simulation {seed}", traced=traced)
        chance = self.chance = self.simulation.random
        self.kind = kind or ("aws" if seed % 8 == 7 else "file" if seed % 8 == 3 else "vault")
        self.world = make_world(pages=chance.randint(2, 5), seed=seed, now=self.simulation.unix)
        if chance.random() < 0.4:
            self.world.add_user("Second")
        self.weather = Weather()
        self.credentials: dict[str, str | Key] = {
            name: user.token for name, user in zip(("main", "second"), self.world.users.values(), strict=False)
        }
        self.network_faults = {name: NetworkFaults() for name in ("graph", "vault", "aws", "file")}
        self.network_faults["file"].slow = 0.0
        if chance.random() < 0.5:
            self.world.quotas.app = Rolling(200)
        self.vault = self._vault()
        self._keep_a_credential()
        self.aws = self._aws()
        self.pages = self._pages()
        self.checker = Checker(
            self.simulation,
            self.world,
            _by_target(self.pages),
            self.truth,
            lambda: (self.world.app.secret, "s.simulated"),
        )
        self.disk = Disk(folder, self.checker.changed)
        self.checker.in_store.update({name: at.store for name, at in self.credentials.items() if isinstance(at, Key)})
        self._watch()
        self.chaos = Chaos(self)
        self.calm_at = EVERY * chance.randint(3, 7) + 450
        self.calm = False
        self.calm_cycles = 0
        self.daemons = self._daemons()

    def run(self) -> Outcome:
        """Run the seed to its end."""
        for daemon in self.daemons:
            self.simulation.spawn(daemon.name, daemon.run, at=daemon.habits.starts)
        self.chaos.arrange(self.calm_at)
        self.simulation.at(self.calm_at, self._calm)
        before = random.getstate()
        # What the program itself leaves to chance, its jitter, is the seed's as well.
        random.seed(self.seed)
        try:
            self.simulation.run()
        finally:
            random.setstate(before)
        return Outcome(
            self.seed,
            self.checker.violations,
            sum(daemon.done for daemon in self.daemons),
            self.calm_cycles,
            self.simulation.steps,
            sum(max(daemon.lives - 1, 0) for daemon in self.daemons),
            self.simulation.trace,
        )

    def truth(self, store: str, path: str) -> Current | None:
        """Return what a store really holds."""
        if store == files.NAME:
            return self.disk.truth(path)
        return of_aws(self.aws.secrets.get(path)) if store == "aws" else of_vault(self.vault.secret(f"kv/{path}"))

    def configure(self, pages: list[Page]) -> None:
        """Set other Pages for every daemon, as a reload does; they are in force in its next cycle."""
        self.pages = pages
        self.checker.pages = _by_target(pages)
        for daemon in self.daemons:
            daemon.pages = pages

    def store_credential(self, name: str, token: str) -> None:
        """Keep a system user's token where the daemons read it."""
        found = self.credentials[name]
        if isinstance(found, str):
            self.credentials[name] = token
        else:
            self.vault.do("POST", f"kv/data/{found.path}", {"data": {TOKEN: token, "note": "for graph"}}, owner=PERSON)

    def _keep_a_credential(self) -> None:
        """Let the first system user's token expire soon, in a secret of the store in which it is renewed."""
        if self.kind != "vault" or self.chance.random() < 0.75:
            return
        days = self.chance.choice((3, 10, 40))
        self.credentials["main"] = Key("vault", f"{CREDENTIALS}main")
        self.store_credential("main", self.world.rotate(self.world.user, expires_in=days * 86_400).value)
        # It was stored long before the first daemon starts, so that no standby is without it.
        self.vault.settle()

    def _vault(self) -> Vault:
        chance = self.chance
        three = chance.random() < 0.6
        vault = Vault(
            self.simulation.unix,
            nodes=3 if three else 1,
            indexed=three or chance.random() < 0.5,
            seed=random.Random(chance.random()),
            behind=chance.choice((412, 429)),
        )
        longest = chance.choice((0.1, 0.1, 0.5))
        vault.lag = lambda: vault.random.uniform(0.001, longest)
        vault.mounts["kv"] = "2"
        rules = parse(_RULES + (_SCAN if chance.random() < 0.5 else ""))
        vault.policies["daemon"] = rules
        vault.logins["role", "secret"] = ((rules,), chance.choice((900.0, 3600.0, 86400.0)))
        return vault

    def _aws(self) -> SecretsManager:
        aws = SecretsManager(self.simulation.unix)
        longest = self.chance.choice((0.0, 5.0, 300.0, 300.0))
        aws.list_lag = lambda: self.chance.uniform(0, longest)
        if self.chance.random() < 0.5:
            aws.gap = lambda: self.chance.uniform(0, 3.0)
        return aws

    def _pages(self) -> list[Page]:
        stores = ["aws", "vault"] if self.kind == "both" else [self.kind]
        users = list(self.credentials)
        return [
            Page(
                id=page.id,
                name=page.name,
                system_user=users[number % len(users)],
                app="messenger",
                app_id=self.world.app.id,
                targets=tuple(Key(store, f"meta/pages/{page.name}") for store in stores),
                payload=PayloadTemplate.parse(_TEMPLATE, {"id": page.id, "app_id": self.world.app.id}),
                labels={"team": "crm"} if number == 0 else {},
            )
            for number, page in enumerate(self.world.pages.values())
        ]

    def _watch(self) -> None:
        checker = self.checker

        def vault_changed(owner: object, key: str, before: Any, after: Any) -> None:
            checker.changed(owner, "vault", key.removeprefix("kv/"), of_vault(before), of_vault(after))

        def vault_shown(owner: object, key: str, secret: Any) -> None:
            if isinstance(owner, Life):
                owner.show("vault", key.removeprefix("kv/"), of_vault(secret))

        def aws_changed(owner: object, name: str, before: Any, after: Any) -> None:
            checker.changed(owner, "aws", name, of_aws(before), of_aws(after))

        def aws_shown(owner: object, name: str, secret: Any) -> None:
            if isinstance(owner, Life):
                owner.show("aws", name, of_aws(secret))

        def aws_valued(owner: object, name: str, text: str | None) -> None:
            if isinstance(owner, Life):
                owner.show_value("aws", name, token_in(text))

        self.vault.changed, self.vault.shown = vault_changed, vault_shown
        self.aws.changed, self.aws.shown, self.aws.valued = aws_changed, aws_shown, aws_valued

    def _stores(self, life: Life, clock: LifeClock) -> Mapping[str, Store]:
        used = sorted({key.store for page in self.pages for key in page.targets})
        made = {"vault": self._vault_store, "aws": self._aws_store, files.NAME: self._file_store}
        return {name: made[name](life, clock) for name in used}

    def _file_store(self, life: Life, clock: LifeClock) -> Store:
        return SimulatedFiles(life, self.disk, self.checker, clock=clock)

    def _vault_store(self, life: Life, clock: LifeClock) -> Store:
        settings = VaultSettings(
            address="https://vault.simulated",
            mount="kv",
            list_prefix="meta/pages/",
            login=AppRoleLogin(lambda: Secret("role"), lambda: Secret("secret"))
            if self.by_role
            else TokenLogin(lambda: Secret(self.token)),
            timeout=20,
        )
        return VaultStore(
            "vault",
            settings,
            clock=clock,
            http=lambda **made: VaultHttp(life, "vault", self.vault, self.checker.url, **made),
        )

    def _aws_store(self, life: Life, clock: LifeClock) -> Store:
        settings = AwsSettings(region="eu-central-1", name_prefix="meta/pages/", timeout=30)
        return over(aws_send(life, "aws", self.aws, self.chaos.aws_refusal), "aws", settings, clock=clock)

    def _daemons(self) -> list[Daemon]:
        chance = self.chance
        self.by_role = chance.random() < 0.3
        self.token = self.vault.mint((self.vault.policies["daemon"],))
        site = Site(
            self.simulation,
            self.world,
            self.network_faults,
            self.checker,
            self._stores,
            self.chaos.interfere,
            self.weather,
            self.world.app.secret,
            self.credentials,
        )
        kill_chance = chance.choice((0.0, 0.3, 0.7))
        first = Habits(INSTANCE, chance.uniform(0, 2), kill_chance, keeps=chance.random() < 0.5, ended=self._ended)
        daemons = [Daemon("first", site, self.pages, first)]
        if chance.random() < 0.35:
            second = Habits(INSTANCE, first.starts + chance.uniform(0, 1.5), kill_chance, keeps=chance.random() < 0.5)
            daemons.append(Daemon("second", site, self.pages, second))
        if chance.random() < 0.2:
            once = Habits(INSTANCE, EVERY * chance.randint(1, 4) + chance.uniform(0, 3), cycles=1)
            daemons.append(Daemon("once", site, self.pages, once))
        if chance.random() < 0.15:
            other = Habits("other", chance.uniform(0, 3), kill_chance)
            daemons.append(Daemon("other", site, self.pages, other))
        return daemons

    def _calm(self) -> None:
        """End every fault, and undo what a person would have to undo."""
        self.simulation.note("-- calm")
        self.calm = True
        for daemon in self.daemons:
            daemon.habits.kill_chance = 0.0
        for network_faults in self.network_faults.values():
            network_faults.lost_request = network_faults.lost_answer = network_faults.hang = 0.0
        self.vault.calm()
        self.aws.calm()
        self.weather.edit = None
        for daemon in self.daemons:
            daemon.offset = timedelta(0)
        self.chaos.calm()
        switch_off(self.world)

    def _ended(self, daemon: Daemon, report: Report) -> bool:
        if not self.calm or (report.frame.started_at < self.simulation.now() and self._began_before_calm(report)):
            return False
        self.calm_cycles += 1
        unlike = list(self.checker.unlike_wanted(report))
        if unlike and self.calm_cycles < CALM_CYCLES:
            return False
        for line in unlike:
            self.checker.fail("I5", f"after {self.calm_cycles} calm cycles", line)
        self.simulation.end()
        return True

    def _began_before_calm(self, report: Report) -> bool:
        return report.frame.started_at.timestamp() < self.simulation.unix() - (self.simulation.time - self.calm_at)


def _by_target(pages: Sequence[Page]) -> Mapping[tuple[str, str], Page]:
    return {(key.store, key.path): page for page in pages for key in page.targets}


def run_seed(seed: int, *, traced: bool = False, kind: str | None = None) -> Outcome:
    """Run one seed to its end."""
    with TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        stage = Stage(seed, Path(folder), traced=traced, kind=kind)
        with aws_apart() if stage.kind in ("aws", "both") else nullcontext():
            return stage.run()


def run_one(work: tuple[int, str | None]) -> Outcome:
    """Run one seed in a worker: a failure of the simulation itself is reported like a violation."""
    seed, kind = work
    try:
        return run_seed(seed, kind=kind)
    except AssertionError as error:
        return Outcome(seed, [f"the simulation itself failed: {error}"], 0, 0, 0, 0, None)
