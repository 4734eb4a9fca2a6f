"""The faults of one seed and their times: services, networks, and other writers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from sync.core import marks as mark_map
from sync.core.model import Marks
from sync.sandbox.api.states import restore_page, switch_off, switch_on
from sync.stores.aws.entry import PREFIX
from tests.simulation import changes
from tests.simulation.daemon import EVERY
from tests.simulation.secrets_manager import CURRENT, Value

if TYPE_CHECKING:
    from tests.simulation.process import Life
    from tests.simulation.stage import Stage

PERSON = "a person"
Fault = Callable[["Chaos"], None]
_OF_GRAPH = (
    "throttled-app",
    "server-error",
    "unknown-error%0.5",
    "html%0.5",
    "half-json%0.5",
    "empty-body%0.3",
    "cut%0.3",
    "hang%0.1",
    "null-items%0.5",
    "short-array%0.5",
    "batch-refused*2",
    "debug-not-allowed*2",
    "debug-without-data%0.5",
    "proof-refused*2",
    "listing-empty",
    "listing-hole",
    "slow=3000%0.3",
    "two-factor*1",
)
_OF_PAGES = (
    "unassigned",
    "unassigned=no-role",
    "unassigned=impersonation",
    "changing",
    "short-lived=7200",
    "missing-scope",
    "foreign",
    "other-page",
    "moved",
    "deleted",
)


class Chaos:
    """Draws and applies the faults of a seed; ``calm`` ends those that can be ended."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.simulation = stage.simulation
        self.chance = stage.simulation.random
        self.world = stage.world
        self._refuse: tuple[str, float] | None = None
        self._path: str | None = None
        self._interference = self.chance.choice((0.0, 0.0, 0.05, 0.2))

    def arrange(self, until: float) -> None:
        """Draw the network's faults, and plan when the others happen."""
        chance = self.chance
        if chance.random() < 0.5 and self.stage.kind != "file":
            self._make_unreliable(self.stage.kind if self.stage.kind != "both" else chance.choice(("vault", "aws")))
        if chance.random() < 0.35:
            self._make_unreliable("graph")
        faults = self._faults()
        for _ in range(chance.choice((0, 1, 2, 3, 5, 8))):
            fault = chance.choice(faults)
            # Half of it hits a running cycle: these begin with each interval and take about a second.
            cycle = EVERY * chance.randint(0, int(until / EVERY) - 1)
            when = cycle + (chance.uniform(0, 2.5) if chance.random() < 0.6 else chance.uniform(0, EVERY))
            self.simulation.at(when, lambda fault=fault: self._do(fault))

    def _do(self, fault: Fault) -> None:
        self.simulation.note("--", fault.__name__.strip("_"))
        fault(self)

    def interfere(self, life: Life) -> None:
        """Change the same secret between two calls of a write, as a person who edits, adopts or deletes it."""
        if self._interference and life.current_write is not None and self.chance.random() < self._interference:
            self._path = life.current_write.path
            self._do(self.chance.choice((_revoke, *(_IN_VAULT if self.stage.kind == "vault" else _IN_AWS))))
            self._path = None

    def calm(self) -> None:
        """Undo what people, not the daemon, would have to undo."""
        self._refuse = None
        self._interference = 0.0
        self.world.app.blocked = False
        for number, user in enumerate(self.world.users.values()):
            if self.world.invalid_reason(self.world.tokens[user.token]) is not None:
                self.world.rotate(user)
            self.stage.store_credential(list(self.stage.credentials)[number], user.token)
        if self.world.quotas.app is not None:
            self.world.quotas.app.limit = 200
        for page in self.world.pages.values():
            restore_page(self.world, page)

    def aws_refusal(self) -> str | None:
        """Return the error that AWS answers with now, if there is one."""
        if self._refuse is None or self.simulation.time > self._refuse[1]:
            return None
        return self._refuse[0] if self.chance.random() < 0.6 else None

    def _make_unreliable(self, service: str) -> None:
        network_faults = self.stage.network_faults[service]
        network_faults.lost_request = self.chance.choice((0.0, 0.02, 0.08))
        network_faults.lost_answer = self.chance.choice((0.02, 0.05, 0.15))
        network_faults.hang = self.chance.choice((0.0, 0.0, 0.01))

    def _faults(self) -> list[Fault]:
        faults: list[Fault] = [
            _graph_fault,
            _blind,
            _page_fault,
            _page_fault,
            _revoke,
            _revoke,
            _revoke,
            _rotate,
            _kill_user,
            _block,
            *changes.ALWAYS,
        ]
        if self.stage.kind in ("vault", "both"):
            faults += [_kill_leader, _hold, _seal, _throttle, _quorum, _stumble, _expire]
            faults += _IN_VAULT
        if self.stage.kind in ("aws", "both"):
            faults += [_aws_refuse, _aws_refuse, *_IN_AWS]
        if self.stage.kind == "file":
            faults += [_file_edit, _file_edit, _file_remove, _file_unmark]
        return faults

    def later(self, longest: float, act: Callable[[], object]) -> None:
        """Call ``act`` within this number of seconds from now."""

        def done() -> None:
            act()

        self.simulation.at(self.simulation.time + self.chance.uniform(0, longest), done)

    def path(self) -> str:
        """Return the path of a Page's secret."""
        return self._path or self.chance.choice(self.stage.pages).targets[0].path

    def wide(self) -> None:
        """Note that a fault at Graph concerns every Page."""
        self.stage.checker.scope.add("*")


# Graph.


def _graph_fault(chaos: Chaos) -> None:
    chaos.wide()
    fault = switch_on(chaos.world, chaos.chance.choice(_OF_GRAPH))
    chaos.later(chaos.chance.choice((1.0, EVERY, 3 * EVERY)), lambda: _off(chaos, fault.name))


def _blind(chaos: Chaos) -> None:
    """Graph answers for some tokens and not for others while there are new tokens to be verified."""
    chaos.wide()
    for page in chaos.world.pages.values():
        page.changing = chaos.chance.random() < 0.7
    name = chaos.chance.choice(("unknown-error", "server-error", "null-items", "debug-without-data"))
    switch_on(chaos.world, f"{name}:debug_token%0.6")
    chaos.later(2 * EVERY, lambda: _off(chaos, name))
    {"vault": _vault_edit, "file": _file_edit}.get(chaos.stage.kind, _aws_edit)(chaos)


def _off(chaos: Chaos, name: str) -> None:
    switch_off(chaos.world, name)


def _page_fault(chaos: Chaos) -> None:
    page = chaos.chance.choice(list(chaos.world.pages.values()))
    chaos.stage.checker.scope.add(page.name)
    switch_on(chaos.world, f"{chaos.chance.choice(_OF_PAGES)}@{page.name}")
    chaos.later(3 * EVERY, lambda: restore_page(chaos.world, page))


def _revoke(chaos: Chaos) -> None:
    page = chaos.chance.choice(list(chaos.world.pages.values()))
    chaos.stage.checker.scope.add(page.name)
    chaos.world.revoke_page(page)


def _user(chaos: Chaos) -> tuple[str, str]:
    names = list(chaos.stage.credentials)
    number = chaos.chance.randrange(len(names))
    return names[number], list(chaos.world.users)[number]


def _rotate(chaos: Chaos) -> None:
    """The business generates a new system user token, and the operator stores it where the daemon reads it."""
    name, user_id = _user(chaos)
    user = chaos.world.users[user_id]
    chaos.world.rotate(user)
    chaos.later(chaos.chance.choice((0.0, EVERY)), lambda: chaos.stage.store_credential(name, user.token))


def _kill_user(chaos: Chaos) -> None:
    name, user_id = _user(chaos)
    user = chaos.world.users[user_id]
    chaos.stage.checker.scope.add(name)
    chaos.world.invalidate(user)

    def renew() -> None:
        chaos.world.rotate(user)
        chaos.stage.store_credential(name, user.token)

    chaos.later(2 * EVERY, renew)


def _block(chaos: Chaos) -> None:
    chaos.wide()
    chaos.world.app.blocked = True

    def unblock() -> None:
        chaos.world.app.blocked = False

    chaos.later(EVERY, unblock)


# Vault.


def _kill_leader(chaos: Chaos) -> None:
    chaos.stage.vault.kill_leader(election=chaos.chance.uniform(1.5, 14), back=chaos.chance.uniform(20, 600))


def _hold(chaos: Chaos) -> None:
    vault = chaos.stage.vault
    if len(vault.nodes) > 1:
        vault.hold(chaos.chance.choice(vault.nodes), chaos.chance.choice((1.0, 30.0, 1200.0)))


def _seal(chaos: Chaos) -> None:
    chaos.stage.vault.sealed = True
    chaos.later(chaos.chance.choice((1.0, EVERY)), lambda: setattr(chaos.stage.vault, "sealed", False))


def _throttle(chaos: Chaos) -> None:
    chaos.stage.vault.throttled = True
    chaos.later(chaos.chance.choice((2.0, 40.0)), lambda: setattr(chaos.stage.vault, "throttled", False))


def _quorum(chaos: Chaos) -> None:
    chaos.stage.vault.lose_quorum(chaos.chance.choice((5.0, 60.0, 1000.0)))


def _stumble(chaos: Chaos) -> None:
    chaos.stage.vault.stumbles = chaos.chance.choice(("done", "undone"))


def _expire(chaos: Chaos) -> None:
    """Revoke every login's token, as a restore or an operator does; a token from the configuration stays."""
    vault = chaos.stage.vault
    for name in [name for name in vault.tokens if name not in ("root", chaos.stage.token)]:
        del vault.tokens[name]


def _marks(chaos: Chaos, path: str, instance: str) -> dict[str, str]:
    page = next(page for page in chaos.stage.pages if page.targets[0].path == path)
    marks = Marks(instance, page.id, page.app_id, "0" * 12, written_at="2026-01-01T00:00:00Z", reason="created")
    return mark_map.present(marks)


def _there(chaos: Chaos, path: str) -> bool:
    return chaos.stage.vault.secret(f"kv/{path}") is not None


def _vault_delete(chaos: Chaos) -> None:
    path = chaos.path()
    if _there(chaos, path):
        kind = chaos.chance.choice(("data", "destroy"))
        if kind == "data":
            chaos.stage.vault.do("DELETE", f"kv/data/{path}", owner=PERSON)
        else:
            secret = chaos.stage.vault.secret(f"kv/{path}")
            versions = [secret.current] if secret is not None else []
            chaos.stage.vault.do("POST", f"kv/destroy/{path}", {"versions": versions}, owner=PERSON)


def _vault_remove(chaos: Chaos) -> None:
    chaos.stage.vault.do("DELETE", f"kv/metadata/{chaos.path()}", owner=PERSON)


def _vault_edit(chaos: Chaos) -> None:
    """A person edits a value: another token, another Page's token, an empty one, or a further key."""
    path = chaos.path()
    secret = chaos.stage.vault.secret(f"kv/{path}")
    if secret is not None and secret.newest is not None and secret.newest.data is not None:
        data = {**secret.newest.data, **_edit(chaos)}
        chaos.stage.vault.do("POST", f"kv/data/{path}", {"data": data}, owner=PERSON)


def _edit(chaos: Chaos) -> dict[str, str]:
    tokens = [token.value for token in chaos.world.tokens.values() if token.page_id is not None]
    return chaos.chance.choice(
        (
            {"access_token": chaos.chance.choice(tokens)} if tokens else {},
            {"access_token": "EAAtyped" + "x" * 60},
            {"access_token": ""},
            {"note": "do not touch"},
        )
    )


def _vault_take(chaos: Chaos) -> None:
    """Another instance's operator adopts the secret."""
    path = chaos.path()
    if _there(chaos, path):
        chaos.stage.vault.do(
            "POST", f"kv/metadata/{path}", {"custom_metadata": _marks(chaos, path, "else")}, owner=PERSON
        )


def _vault_unmark(chaos: Chaos) -> None:
    path = chaos.path()
    if _there(chaos, path):
        chaos.stage.vault.do("POST", f"kv/metadata/{path}", {"custom_metadata": {}}, owner=PERSON)


def _vault_plant(chaos: Chaos) -> None:
    path = chaos.path()
    if not _there(chaos, path):
        chaos.stage.vault.do("POST", f"kv/data/{path}", {"data": {"access_token": "mine"}}, owner=PERSON)


def _vault_note(chaos: Chaos) -> None:
    path = chaos.path()
    secret = chaos.stage.vault.secret(f"kv/{path}")
    if secret is not None:
        custom = {**(secret.custom or {}), "owner": "ops"}
        chaos.stage.vault.do("POST", f"kv/metadata/{path}", {"custom_metadata": custom}, owner=PERSON)


# Files.


def _file_edit(chaos: Chaos) -> None:
    chaos.stage.disk.edit(chaos.path(), _edit(chaos), owner=PERSON)


def _file_remove(chaos: Chaos) -> None:
    chaos.stage.disk.remove(chaos.path(), owner=PERSON, marks=False)


def _file_unmark(chaos: Chaos) -> None:
    chaos.stage.disk.remove(chaos.path(), owner=PERSON, marks=True)


# Secrets Manager.


def _aws_refuse(chaos: Chaos) -> None:
    code = chaos.chance.choice(
        ("ThrottlingException", "ThrottlingException", "InternalServiceError", "AccessDeniedException")
    )
    chaos._refuse = (code, chaos.simulation.time + chaos.chance.choice((1.0, 30.0, EVERY)))


def _aws_edit(chaos: Chaos) -> None:
    import json

    secret = chaos.stage.aws.secrets.get(chaos.path())
    if secret is None or secret.current is None or secret.deleted is not None:
        return
    text = json.dumps({**json.loads(secret.text or "{}"), **_edit(chaos)})
    version = f"by-hand-{chaos.chance.getrandbits(64):032x}"
    labels = {**secret.labels, CURRENT: version, "AWSPREVIOUS": secret.current}
    chaos.stage.aws.put(
        replace(secret, versions={**secret.versions, version: Value(text)}, labels=labels), owner=PERSON
    )


def _aws_take(chaos: Chaos) -> None:
    path = chaos.path()
    secret = chaos.stage.aws.secrets.get(path)
    if secret is not None:
        instance = chaos.chance.choice(("else", None))
        marks = {PREFIX + key: value for key, value in _marks(chaos, path, "else").items()} if instance else {}
        chaos.stage.aws.put(replace(secret, tags=marks), owner=PERSON)


def _aws_schedule(chaos: Chaos) -> None:
    secret = chaos.stage.aws.secrets.get(chaos.path())
    if secret is None:
        return
    chaos.stage.aws.put(replace(secret, deleted=chaos.simulation.unix()), owner=PERSON)
    if chaos.chance.random() < 0.5:
        name = secret.name
        chaos.later(2 * EVERY, lambda: chaos.stage.aws.call("RestoreSecret", {"SecretId": name}, owner=PERSON))


def _aws_rotates(chaos: Chaos) -> None:
    secret = chaos.stage.aws.secrets.get(chaos.path())
    if secret is not None:
        chaos.stage.aws.put(replace(secret, rotates=not secret.rotates), owner=PERSON)


def _aws_plant(chaos: Chaos) -> None:
    path = chaos.path()
    token = f"planted-{chaos.chance.getrandbits(64):032x}"
    text = chaos.chance.choice((None, '{"access_token": "mine"}'))
    body = {"Name": path, "ClientRequestToken": token, **({"SecretString": text} if text else {})}
    chaos.stage.aws.call("CreateSecret", body, owner=PERSON)


def _aws_note(chaos: Chaos) -> None:
    body = {"SecretId": chaos.path(), "Tags": [{"Key": "owner", "Value": "ops"}]}
    chaos.stage.aws.call("TagResource", body, owner=PERSON)


_IN_VAULT: tuple[Fault, ...] = (
    _vault_delete,
    _vault_remove,
    _vault_edit,
    _vault_edit,
    _vault_take,
    _vault_unmark,
    _vault_plant,
    _vault_note,
)
_IN_AWS: tuple[Fault, ...] = (_aws_edit, _aws_edit, _aws_take, _aws_schedule, _aws_rotates, _aws_plant, _aws_note)
