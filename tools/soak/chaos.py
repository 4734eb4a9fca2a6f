"""Disturb the services around the daemon, at random from one seed, and record each change with its time."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sync.sandbox.api import effects
from sync.sandbox.api.states import restore_page, switch_off, switch_on
from sync.sandbox.http.server import Sandbox
from sync.sandbox.http.truth import truth
from sync.sandbox.world.business import FakePage, FakeSystemUser
from tests.support.services.aws import Aws
from tests.support.services.bao import Bao
from tools.soak.oracle import History

GRAPH_FAULTS = (
    "throttled-app",
    "throttled-user",
    "server-error",
    "server-error%0.3",
    "unknown-error%0.3",
    "html%0.3",
    "empty-body%0.3",
    "null-body%0.2",
    "half-json%0.3",
    "error-empty%0.3",
    "redirect%0.3",
    "null-items%0.3",
    "short-array%0.3",
    "batch-refused",
    "debug-in-batch",
    "debug-not-allowed",
    "debug-without-data%0.3",
    "listing-empty",
    "listing-without-tokens",
    "listing-hole",
    "too-much-data%0.3",
    "drip-headers*1",
    "drip-body*1",
    "cut%0.2",
    "close%0.2",
    "hang*1",
    "slow=300",
    "app-blocked",
    "proof-refused%0.5",
    "policy%0.2",
)
_ALL_GRAPH_FAULTS = (
    *GRAPH_FAULTS,
    *(f"{name}%0.3" for name in effects.ANSWERS if name not in {fault.split("%")[0] for fault in GRAPH_FAULTS}),
)
"""With every further fault of single answers that the sandbox has."""
_FROZEN = "graph frozen"
SUBCODES = (458, 460, 463, 466, 467, 493)
"""Of a system user's token that a new one replaces."""
PAGE_STATES = (
    "unassigned",
    "moved",
    "person",
    "foreign",
    "other-page",
    "user-token",
    "short-lived",
    "missing-scope",
    "changing",
    "deleted",
)


@dataclass
class Chaos:
    """The sandbox, the services and the daemon's credentials, and what is disturbed at the moment."""

    sandbox: Sandbox
    bao: Bao
    bao_pid: int
    mount: str
    aws: Aws
    token_files: list[Path]
    random: random.Random
    history: History = field(default_factory=History)
    disturbed: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)

    def note(self) -> None:
        """Record the current state."""
        self.history.note(time.time(), truth(self.sandbox.world), frozenset(self.disturbed))

    def disturb(self) -> str:
        """Make one random change, and return its name."""
        disturbances: list[Callable[[], str]] = [
            self._graph_fault,
            self._graph_fault,
            self._graph_calm,
            self._page_state,
            self._page_state,
            self._page_restored,
            self._page_restored,
            self._revoked,
            self._revoked,
            self._revoked_all,
            self._older_token,
            self._user_rotated,
            self._user_revoked,
            self._change_in_vault,
            self._aws_fault,
            self._aws_calm,
            self._vault_hangs,
        ]
        self.note()
        name = self.random.choice(disturbances)()
        self.note()
        self.counts[name.split("@")[0]] = self.counts.get(name.split("@")[0], 0) + 1
        return name

    def calm(self) -> None:
        """End all disturbances, so that a daemon can repair everything."""
        world = self.sandbox.world
        self.note()
        with world.lock:
            switch_off(world)
            for page in world.pages.values():
                restore_page(world, page)
        for number in range(len(self.token_files)):
            self._renew(number)
        self.aws.faults.clear()
        self.disturbed &= {_FROZEN}
        self.note()

    @property
    def is_frozen(self) -> bool:
        """Whether Graph has throttled the daemon for longer than the soak test waits."""
        return _FROZEN in self.disturbed

    def daemon_forgot(self) -> None:
        """Record that a new daemon is started without the memory of the last one, which knew of an earlier throttling."""
        if not any(what.startswith("graph throttled") for what in self.disturbed):
            self.disturbed.discard(_FROZEN)
        self.note()

    def _any_page(self) -> FakePage:
        return self.random.choice(list(self.sandbox.world.pages.values()))

    def _graph_fault(self) -> str:
        fault = self.random.choice(_ALL_GRAPH_FAULTS)
        self.disturbed.add(f"graph {fault}")
        if fault.startswith("throttled"):
            self.disturbed.add(_FROZEN)
        self.note()
        switch_on(self.sandbox.world, fault)
        return fault

    def _graph_calm(self) -> str:
        world = self.sandbox.world
        with world.lock:
            for fault in [fault for fault in world.faults if fault.name not in PAGE_STATES]:
                world.faults.remove(fault)
        self.note()
        self.disturbed = {what for what in self.disturbed if not what.startswith("graph") or what == _FROZEN}
        return "graph calm"

    def _page_state(self) -> str:
        state = self.random.choice(PAGE_STATES)
        name = f"{state}@{self._any_page().name}"
        switch_on(self.sandbox.world, name)
        return name

    def _page_restored(self) -> str:
        world, page = self.sandbox.world, self._any_page()
        with world.lock:
            restore_page(world, page)
            world.faults[:] = [fault for fault in world.faults if fault.name not in PAGE_STATES]
        return f"restored@{page.name}"

    def _revoked(self) -> str:
        page = self._any_page()
        with self.sandbox.world.lock:
            self.sandbox.world.revoke_page(page)
        return f"revoked@{page.name}"

    def _revoked_all(self) -> str:
        with self.sandbox.world.lock:
            for page in self.sandbox.world.pages.values():
                self.sandbox.world.revoke_page(page)
        return "revoked all"

    def _older_token(self) -> str:
        """Somebody writes another working token of the Page over the secret."""
        world, page = self.sandbox.world, self._any_page()
        path = f"{self.mount}/data/meta/pages/{page.name}"
        with world.lock:
            working = [
                token.value
                for token in world.tokens.values()
                if token.page_id == page.id and token.app_id == world.app.id and world.invalid_reason(token) is None
            ]
        self.disturbed.add("store vault")
        self.note()
        if working and self.bao.call("GET", path)[0] == 200:
            self.bao.call("POST", path, {"data": {"access_token": self.random.choice(working), "page_id": page.id}})
        self.note()
        self.disturbed.discard("store vault")
        return "human wrote an older token"

    def _user(self, number: int) -> FakeSystemUser:
        return list(self.sandbox.world.users.values())[number]

    def _renew(self, number: int) -> None:
        world, user = self.sandbox.world, self._user(number)
        with world.lock:
            world.rotate(user)
        self.note()
        fresh = self.token_files[number].with_suffix(".fresh")
        fresh.write_text(user.token)
        fresh.replace(self.token_files[number])

    def _user_rotated(self) -> str:
        self._renew(self.random.randrange(len(self.token_files)))
        return "user rotated"

    def _user_revoked(self) -> str:
        number = self.random.randrange(len(self.token_files))
        with self.sandbox.world.lock:
            self.sandbox.world.invalidate(self._user(number), self.random.choice(SUBCODES))
        self.note()
        time.sleep(self.random.uniform(0, 3))
        self._renew(number)
        return "user token revoked"

    def _change_in_vault(self) -> str:
        path = f"{self.mount}/data/meta/pages/{self._any_page().name}"
        what = self.random.choice(("deleted", "emptied", "garbled"))
        self.disturbed.add("store vault")  # a write of the daemon at the same time is a conflict
        self.note()
        if what == "deleted":
            self.bao.call("DELETE", path)
        elif what == "emptied" and self.bao.call("GET", path)[0] == 200:
            self.bao.call("POST", path, {"data": {"note": "nothing here"}})
        elif self.bao.call("GET", path)[0] == 200:
            self.bao.call("POST", path, {"data": {"access_token": "EAAgarbled"}})
        self.note()
        self.disturbed.discard("store vault")
        return f"human {what} a secret"

    def _aws_fault(self) -> str:
        operation = self.random.choice(
            ("ListSecrets", "BatchGetSecretValue", "PutSecretValue", "CreateSecret", "TagResource", "")
        )
        code = self.random.choice(("ThrottlingException", "InternalServiceError", "AccessDeniedException"))
        self.disturbed.add("store aws")
        self.note()
        self.aws.refuse(operation, code, times=self.random.randrange(1, 30))
        return f"aws {code}"

    def _aws_calm(self) -> str:
        self.aws.faults.clear()
        self.note()
        self.disturbed.discard("store aws")
        return "aws calm"

    def _vault_hangs(self) -> str:
        import os

        self.disturbed.add("store vault")
        self.note()
        os.kill(self.bao_pid, signal.SIGSTOP)
        try:
            time.sleep(self.random.uniform(0.2, 4))
        finally:
            os.kill(self.bao_pid, signal.SIGCONT)
        self.note()
        self.disturbed.discard("store vault")
        return "vault hung"
