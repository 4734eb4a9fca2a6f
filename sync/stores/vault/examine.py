"""What a store finds out about itself without a write, as ``doctor`` shows it: each check once, in the order of STORE_CHECKS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sync.core.model import Content, Key, StoreError, Use
from sync.core.report.finding import Finding
from sync.core.report.store_findings import failure, secret_findings, skipped
from sync.http import Http
from sync.stores.vault import findings
from sync.stores.vault.answers import Answer, Call, Trouble
from sync.stores.vault.engine import Engine
from sync.stores.vault.policy import Right, Rights
from sync.stores.vault.session import Session
from sync.stores.vault.settings import TokenLogin, VaultSettings
from sync.stores.vault.wire import Wire

_AFTER_REACHED = ("store-server", "store-login")
_AFTER_LOGIN = ("store-credential", "store-mount")
_AFTER_MOUNT = ("store-policy", "store-patch", "store-history", "store-forwarding", "store-secrets")
_NO_MOUNT = ("no-mount", "kv-v1", "namespace")
_NO_WAY = ("unreachable", "timeout", "tls", "credentials")
"""Error codes of the first request after which no other one can succeed."""

_HEALTH = Call(
    "GET",
    "sys/health?standbyok=true&perfstandbyok=true&sealedcode=200&uninitcode=200&drsecondarycode=200",
    shown="sys/health",
    # Namespaces have no endpoint of their own for it.
    namespace="",
)


@dataclass
class VaultExamination:
    """One examination; ``end`` returns the time by which the next request must be over, ``named`` adds to an error what was asked for.

    ``read`` reads secrets, ``history`` returns the warnings that follow from what was read.
    """

    name: str
    settings: VaultSettings
    http: Callable[[], Http]
    wire: Wire
    session: Session
    engine: Engine
    rights: Rights
    read: Callable[[Mapping[Key, Use]], Mapping[Key, Content]]
    history: Callable[[], Iterator[str]]
    named: Callable[[StoreError], StoreError]
    end: Callable[[], float]
    found: list[Finding] = field(default_factory=list)
    allowed: Mapping[str, Sequence[str]] | StoreError | None = None

    def run(self, uses: Mapping[Key, Use], instance: str) -> Sequence[Finding]:
        """Make all checks and return what each found."""
        health = self.wire.ask(_HEALTH, None, self.end(), between_cycles=True)
        if isinstance(health, Trouble) and health.error.error_code in _NO_WAY:
            unreached = health.error
            issuer = self._issuer() if unreached.error_code == "tls" else ""
            if issuer:
                unreached = replace(unreached, message=f"{unreached.message} The certificate is issued by {issuer}.")
            self._stop("store-reached", unreached, (*_AFTER_REACHED, *_AFTER_LOGIN, *_AFTER_MOUNT))
            return self.found
        login = self.session.look_up(self.end())
        if self._answers(health, login) and self._logs_in(login) and self._is_mount(uses):
            self._examine_secrets(uses, instance)
        return self.found

    def _answers(self, health: Answer | Trouble, login: Answer | Trouble) -> bool:
        """Add whether Vault answers, and in which state it is; False where no request can succeed."""
        blocked = None if isinstance(login, Answer) or login.refused else login.error
        if isinstance(health, Trouble):
            if blocked is not None and blocked.error_code == health.error.error_code:
                self._stop("store-reached", blocked, (*_AFTER_REACHED, *_AFTER_LOGIN, *_AFTER_MOUNT))
                return False
            self._ok("store-reached", f"Vault answers at {self.settings.address}{self._way()}.")
            message = f"The server's health is not known: sys/health gives no usable answer. {health.error.message}"
            remedy = "Let GET /v1/sys/health through every gateway before Vault."
            self.found.append(Finding("store-server", self.name, "unknown", message, "operator", remedy))
            return True
        self._ok("store-reached", f"Vault answers at {self.settings.address}{self._way()}.")
        down = blocked is not None and blocked.error_code in ("sealed", "no-leader")
        finding = findings.server_finding(self.name, findings.server(health.body), works=not down)
        if down and blocked is not None and finding.status in ("ok", "warn"):
            finding = failure("store-server", self.name, self.named(blocked))
        self.found.append(finding)
        if down:
            self.found += skipped(("store-login", *_AFTER_LOGIN, *_AFTER_MOUNT), finding)
        return not down

    def _way(self) -> str:
        via, issuer = self.http().via(self.settings.address), self._issuer()
        certificate = f", with a certificate issued by {issuer}" if issuer else ""
        return f"{certificate}{f', through {via}' if via else ''}"

    def _issuer(self) -> str:
        """Return who issued the certificate that comes from the address, trusted or not."""
        return self.http().issuer(self.settings.address, timeout=self.settings.timeout)

    def _logs_in(self, login: Answer | Trouble) -> bool:
        """Add whether the login works, and how long its token is valid."""
        if isinstance(login, Trouble) and not login.refused:
            self._stop("store-login", login.error, (*_AFTER_LOGIN, *_AFTER_MOUNT))
            return False
        own = not isinstance(self.settings.login, TokenLogin)
        method = "the token" if not own else f"the method at auth/{self.settings.login.mount}"  # type: ignore[union-attr]
        self._ok("store-login", f"Vault accepts {method}.")
        known = findings.lease(login.data, own=own) if isinstance(login, Answer) else None
        known = known or self.session.lease
        self.found.append(findings.lease_finding(self.name, known))
        return True

    def _is_mount(self, uses: Mapping[Key, Use]) -> bool:
        """Add whether the mount is KV version 2; False where nothing in it can be examined."""
        trouble, denied = self.engine.check(self.end()), False
        if trouble is None and not self.engine.proven and uses:
            # Where the policy hides the mount, a read may still show that there is none.
            read = self.engine.read(next(iter(uses)).path, self.end())
            trouble = read if isinstance(read, StoreError) and read.error_code in _NO_MOUNT else None
            denied = isinstance(read, StoreError) and read.error_code == "denied"
        if trouble is not None:
            self._stop("store-mount", trouble, _AFTER_MOUNT)
            return False
        mount = self.settings.mount
        self.allowed = self._ask_allowed(uses)
        if denied and not isinstance(self.allowed, StoreError) and self._is_nothing_allowed(uses, self.allowed):
            hidden = findings.hidden_mount_finding(self.name, mount)
            self.found += [hidden, *skipped(_AFTER_MOUNT, hidden)]
            return False
        if self.engine.proven:
            self._ok("store-mount", f"The mount {mount} is a KV engine of version 2.")
        else:
            message = f"What the mount {mount} is cannot be seen: there is none, or the policy allows nothing in it."
            remedy = "Check `mount` and `namespace`, and the policy."
            self.found.append(Finding("store-mount", self.name, "unknown", message, "operator", remedy))
        return True

    def _examine_secrets(self, uses: Mapping[Key, Use], instance: str) -> None:
        rights, allowed = list(self.rights.needed(uses)), self.allowed
        if isinstance(allowed, StoreError):
            self._stop("store-policy", allowed, _AFTER_MOUNT[1:])
            return
        policy = findings.policy_finding(self.name, rights, allowed)
        self.found.append(policy)
        self._try_patch(uses, rights, allowed, policy)
        readable = {key: use for key, use in uses.items() if allowed is None or self._can_read(key, use, allowed)}
        answers = self.read(readable)
        hidden = any(use.page is not None for use in uses.values()) and not self.engine.config_known
        self.found.append(findings.history_finding(self.name, self.history(), self.rights.history(), hidden=hidden))
        self.found.append(findings.forwarding_finding(self.name, forwards=self.wire.forwards))
        if readable or not uses:
            self.found += secret_findings(self.name, readable, instance, answers)
        if len(readable) < len(uses):
            self.found += skipped(["store-secrets"], policy)

    def _ask_allowed(self, uses: Mapping[Key, Use]) -> Mapping[str, Sequence[str]] | StoreError | None:
        paths = dict.fromkeys(right.path for right in self.rights.needed(uses))
        return self.engine.capabilities(list(paths), self.end())

    def _is_nothing_allowed(self, uses: Mapping[Key, Use], allowed: Mapping[str, Sequence[str]] | None) -> bool:
        """Check whether the policy is known to allow nothing in the mount, or nothing is known of it."""
        inside = (right for right in self.rights.needed(uses) if self.rights.is_inside(right))
        return allowed is None or all(set(allowed.get(right.path, ())) <= {"deny"} for right in inside)

    def _can_read(self, key: Key, use: Use, allowed: Mapping[str, Sequence[str]]) -> bool:
        needed = [right for right in self.rights.needed({key: use}) if right.capability == "read" and not right.shared]
        return all(findings.has(right, allowed) for right in needed)

    def _try_patch(
        self,
        uses: Mapping[Key, Use],
        rights: Sequence[Right],
        allowed: Mapping[str, Sequence[str]] | None,
        policy: Finding,
    ) -> None:
        """Add whether a PATCH arrives, by one that changes nothing, of a secret that may be marked."""
        wanted = [(right.path, right) for right in rights if right.capability == "patch"]
        if not wanted:
            return
        may = {path for path, right in wanted if allowed is None or findings.has(right, allowed)}
        path = next((key.path for key in uses if self.rights.calls.shown("metadata", key.path) in may), None)
        if path is None:
            self.found += skipped(["store-patch"], policy)
            return
        refusal = self.engine.try_patch(path, self.end())
        if refusal is not None:
            self.found.append(failure("store-patch", self.name, self.named(refusal)))
        else:
            self._ok("store-patch", "PATCH arrives, by which marks are written.")

    def _ok(self, check: str, message: str) -> None:
        self.found.append(Finding(check, self.name, "ok", message))

    def _stop(self, check: str, error: StoreError, rest: Sequence[str]) -> None:
        """Add a failure, after which the rest cannot be examined."""
        failed = failure(check, self.name, self.named(replace(error, whole=True)))
        self.found.append(failed)
        self.found += skipped(rest, failed)
