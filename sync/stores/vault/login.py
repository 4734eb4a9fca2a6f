"""Logging in to Vault: once where a token is needed, and with back-off where Vault refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from sync.core.model import StoreError
from sync.core.secret import CredentialError, Secret
from sync.runtime.threads import Clock, NoThreadError
from sync.stores.vault.answers import Answer, Trouble, error
from sync.stores.vault.aws_login import Identity
from sync.stores.vault.methods import Proof, proof, sent
from sync.stores.vault.settings import AwsIamLogin, TokenLogin, VaultSettings
from sync.stores.vault.wire import Wire

_LONGEST_LEASE = 10 * 365 * 86400
"""Seconds; a longer lease counts as this long."""

_LONGEST_BACK_OFF = 6 * 3600.0
"""Seconds after which a login that was refused is tried again in any case."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its times by the monotonic clock; None where no expiry is known. ``uses`` is 0 where they are not limited."""

    secret: Secret
    own: bool
    renew_at: float | None = None
    expires_at: float | None = None
    first_ttl: float = 0.0
    renewable: bool = False
    uses: int = 0


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Vault refused a login with these credentials, ``count`` times in a row: it is tried again from ``cycle`` on, or at a time."""

    credentials: Sequence[str]
    count: int
    cycle: int
    at: float
    error: StoreError


class Login:
    """Makes the logins of one store. ``uses`` is how many uses the tokens of this login have, 0 where they are not limited."""

    def __init__(self, settings: VaultSettings, wire: Wire, clock: Clock) -> None:
        login = settings.login
        self._by = Identity(login) if isinstance(login, AwsIamLogin) else login
        self._namespace = settings.namespace
        self._wire = wire
        self._clock = clock
        self._refusal: _Refusal | None = None
        self._before: _Refusal | None = None
        self._credentials: Sequence[str] = ()
        self._granted_in = -1
        self._cycle = 0
        self.uses = 0

    def begin(self) -> None:
        """Start a cycle, by which the back-off counts."""
        self._cycle += 1

    def attempt(self, end: float) -> Token | StoreError:
        """Return a token of a new login, within ``end`` (monotonic); a login that was refused waits for its back-off."""
        by = self._by
        try:
            if isinstance(by, TokenLogin):
                return Token(by.token(), own=False)
            shown = proof(by, end - self._clock.monotonic())
        except CredentialError as failure:
            remedy = "Store the credential where its reference points."
            if isinstance(by, Identity):
                remedy = "Provide AWS credentials by the profile, the environment, or the role of the machine."
            return StoreError(
                "credentials", f"The credential for the login cannot be read: {failure}.", remedy, whole=True
            )
        except NoThreadError:
            remedy = "Raise the process limit of the user or the container."
            return StoreError("unreachable", "No thread can be started for the login.", remedy, whole=True)
        before = self._refusal
        if before is not None and before.credentials != shown.credentials:
            before = None
        if before is not None and self._cycle < before.cycle and self._clock.monotonic() < before.at:
            return before.error
        method = by.login if isinstance(by, Identity) else by
        namespace = self._namespace if method.namespace is None else method.namespace
        found = sent(shown, self._wire, namespace or "", end)
        if isinstance(found, Answer) and found.status == HTTPStatus.OK:
            if self._granted_in != self._cycle:
                self._before, self._granted_in = before, self._cycle
            self._refusal, self._credentials = None, shown.credentials
            return self._granted(found)
        refusal = self._error(found, shown, f"auth/{method.mount}")
        if refusal.error_code == "login-refused":
            self._back_off(shown.credentials, before, refusal)
        return refusal

    def reject(self, failure: StoreError) -> StoreError:
        """Count the last login as refused, since Vault does not accept the token that it gave."""
        self._back_off(self._credentials, self._before, failure)
        return failure

    def _back_off(self, credentials: Sequence[str], before: _Refusal | None, failure: StoreError) -> None:
        """Have the login tried again after 1, 2, 4 … cycles: a role that was missing may be back."""
        count = 1 if before is None else before.count + 1
        cycle = self._cycle + 2 ** min(count - 1, 20)
        self._refusal = _Refusal(credentials, count, cycle, self._clock.monotonic() + _LONGEST_BACK_OFF, failure)

    def _granted(self, found: Answer) -> Token | StoreError:
        auth, now = auth_of(found), self._clock.monotonic()
        token, ttl = auth.get("client_token"), seconds_of(auth.get("lease_duration"))
        if not isinstance(token, str) or not token:
            return error("not-vault", "The answer to the login has no token.")
        uses = auth.get("num_uses")
        self.uses = uses if isinstance(uses, int) and uses > 0 else 0
        held = Token(Secret(token), own=True, uses=self.uses)
        if ttl <= 0:
            return held
        renewable = auth.get("renewable") is True
        return replace(held, renew_at=now + ttl * 2 / 3, expires_at=now + ttl, first_ttl=ttl, renewable=renewable)

    def _error(self, found: Answer | Trouble, shown: Proof, where: str) -> StoreError:
        if isinstance(found, Trouble):
            if found.refused:
                return refused("The method is not enabled there, or does not accept this account or address.", where)
            return replace(found.error, whole=True, maybe_written=False)
        if "quota exceeded" in found.text.lower():
            # A login that a quota rejects can be a 400: HashiCorp Vault's lease count quota, which OpenBao 2.7.2 lacks.
            return error("throttled")
        if "cidr" in found.text.lower():
            return refused("The role or the secret id is bound to other addresses than this machine's.", where)
        limited = f"Each token had {self.uses:,} uses, so that the logins may have used up the secret id."
        detail = (f"HTTP {found.status}.", shown.hint, limited if self.uses else "")
        return refused(" ".join(filter(None, detail)), where)


def auth_of(found: Answer) -> Mapping[str, Any]:
    """Return the member ``auth`` of an answer, or an empty map."""
    auth = found.body.get("auth")
    return auth if isinstance(auth, dict) else {}


def seconds_of(value: object) -> float:
    """Return a lease's duration, 0 where it is none."""
    return float(min(value, _LONGEST_LEASE)) if isinstance(value, int) and not isinstance(value, bool) else 0.0


def refused(detail: str, where: str = "") -> StoreError:
    """Return the error of a login or a token that Vault refused; ``detail`` is a sentence that says why."""
    return StoreError(
        "login-refused",
        f"Vault refused the login{' at ' + where if where else ''}. {detail}",
        "Check `auth`: the method's mount and namespace, the role, and that the credential has not expired or been used up.",
        whole=True,
    )
