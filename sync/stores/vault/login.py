"""A token for Vault: one login per token's life, renewed at two thirds of it, and given back at the end."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from sync.core.model import StoreError
from sync.core.secret import CredentialError, Secret
from sync.runtime.threads import GraceClock, NoThreadError
from sync.stores.vault.answers import Answer, Call, Trouble, error
from sync.stores.vault.aws_login import Identity
from sync.stores.vault.methods import proof, sent
from sync.stores.vault.settings import AwsIamLogin, TokenLogin, VaultSettings
from sync.stores.vault.wire import Wire

_ALIVE_FOR = 10.0
"""Seconds for which a token that Vault knew is not asked about again, so that a thousand denials cost one question."""

_GRACE = 2.0
"""Seconds after shutdown was asked for in which a login may still be granted."""

_RENEW_AGAIN = 1.0
"""Seconds at least until a renewal that met trouble is tried again."""

_LOOKUP = Call("GET", "auth/token/lookup-self", "read", "auth/token/lookup-self")


@dataclass(frozen=True, slots=True)
class _Token:
    """A token and its times by the monotonic clock; None where it has no end that we know of."""

    secret: Secret
    own: bool
    renew_at: float | None = None
    ends_at: float | None = None
    first_ttl: float = 0.0
    renewable: bool = False


class Session:
    """Asks with a token that works, whoever else asks at the same moment."""

    def __init__(self, settings: VaultSettings, wire: Wire, clock: GraceClock) -> None:
        self._settings = settings
        login = settings.login
        self._login_by = Identity(login) if isinstance(login, AwsIamLogin) else login
        self._wire = wire
        self._clock = clock
        self._lock = threading.RLock()
        self._token: _Token | None = None
        self._failed: StoreError | None = None
        self._spent: set[tuple[str, str] | None] = set()
        self._alive: tuple[Secret, float] | None = None
        self.logins = 0

    def begin(self) -> None:
        """Read a token that is not ours again, and try a login again that failed in the last cycle."""
        with self._lock:
            self._failed = None
            if self._token is not None and not self._token.own:
                self._token = None

    def ask(self, call: Call, end: float) -> Answer | Trouble:
        """Ask with the current token; where that turns out to be dead, log in once and ask once more."""
        token = self._current(end)
        if isinstance(token, StoreError):
            return Trouble(token)
        found = self._wire.ask(call, token, end)
        if not (isinstance(found, Trouble) and found.refused):
            if isinstance(found, Answer):
                self._alive = (token, self._clock.monotonic())
            return found
        fresh = self._replace(token, found, end)
        if fresh is None:
            return found
        return Trouble(fresh) if isinstance(fresh, StoreError) else self._wire.ask(call, fresh, end)

    def close(self, end: float) -> None:
        """Revoke the token of a login of our own; that it fails harms nobody, since the token ends by itself."""
        with self._lock:
            token, self._token = self._token, None
        if token is not None and token.own:
            self._wire.ask(
                Call("POST", "auth/token/revoke-self", "update", "auth/token/revoke-self"), token.secret, end
            )

    def _current(self, end: float) -> Secret | StoreError:
        with self._lock:
            now, token = self._clock.monotonic(), self._token
            if token is None:
                return self._login(end)
            if token.renew_at is None or now < token.renew_at:
                return token.secret
            if self._failed is not None and (token.ends_at is None or now < token.ends_at):
                return token.secret  # it was neither renewed nor replaced in this cycle, and serves to its end
            dead = token.ends_at is not None and now >= token.ends_at
            renewed = self._renew(token, end) if token.renewable and not dead else None
            if renewed is not None:
                self._token = renewed
                return renewed.secret
            fresh = self._login(end)
            return token.secret if isinstance(fresh, StoreError) and not dead else fresh

    def _replace(self, token: Secret, refusal: Trouble, end: float) -> Secret | StoreError | None:
        """Return another token for one that was refused; None where the token lives and the refusal is the policy's."""
        with self._lock:
            if self._token is not None and self._token.secret != token:
                return self._token.secret
            if self._lives(token, refusal, end):
                return None
            self._token = None
            fresh = self._login(end)
            if isinstance(fresh, Secret) and fresh == token:
                return self._fail(_refused("Vault does not know the token: it has ended, was used up or revoked."))
            return fresh

    def _lives(self, token: Secret, refusal: Trouble, end: float) -> bool:
        """Ask Vault whether it knows the token; a policy's denial of that very question says that it does."""
        now = self._clock.monotonic()
        alive, since = self._alive or (None, 0.0)
        if refusal.policy and alive == token and now - since < _ALIVE_FOR:
            return True
        found = self._wire.ask(_LOOKUP, token, end)
        lives = isinstance(found, Answer) or not found.refused or found.policy
        if lives:
            self._alive = (token, now)
        return lives

    def _renew(self, token: _Token, end: float) -> _Token | None:
        """Renew; None where Vault refuses, or grants so little that the token is at its last end.

        Trouble is no refusal: the token, which lives, is renewed a little later, since a login might use a credential up.
        """
        call = Call("POST", "auth/token/renew-self", "update", "auth/token/renew-self", body={})
        found = self._wire.ask(call, token.secret, end)
        now = self._clock.monotonic()
        if isinstance(found, Trouble) and not found.refused and token.ends_at is not None:
            return replace(token, renew_at=now + max((token.ends_at - now) / 3, _RENEW_AGAIN))
        if not isinstance(found, Answer) or found.status != HTTPStatus.OK:
            return None
        ttl = _seconds(_auth(found).get("lease_duration"))
        if ttl * 2 < token.first_ttl:
            return None
        return replace(token, renew_at=now + ttl * 2 / 3, ends_at=now + ttl)

    def _login(self, end: float) -> Secret | StoreError:
        if self._failed is not None:
            return self._failed
        # A token that is granted and not heard of is given back by nobody.
        with self._clock.grace(_GRACE):
            found = self._try(end)
        if isinstance(found, StoreError):
            return self._fail(found)
        self._token = found
        return found.secret

    def _fail(self, failure: StoreError) -> StoreError:
        self._failed = failure
        return failure

    def _try(self, end: float) -> _Token | StoreError:
        by = self._login_by
        try:
            if isinstance(by, TokenLogin):
                return _Token(by.token(), own=False)
            shown = proof(by, end - self._clock.monotonic())
        except CredentialError as failure:
            remedy = "Put the credential where the reference points."
            if isinstance(by, Identity):
                remedy = "Give AWS credentials by the profile, the environment, or the role of the machine."
            return StoreError("credentials", f"A credential of this store: {failure}.", remedy, whole=True)
        except NoThreadError:
            remedy = "Raise the limit on this user's or container's processes."
            return StoreError("unreachable", "This machine gives no thread to log in with.", remedy, whole=True)
        if shown.once in self._spent:
            return _refused("Vault refused this secret id before; it is not tried again until it changes.")
        own = by.login.namespace if isinstance(by, Identity) else by.namespace
        namespace = self._settings.namespace if own is None else own
        found = sent(shown, self._wire, namespace or "", end)
        self.logins += 1
        if isinstance(found, Answer) and found.status == HTTPStatus.OK:
            return self._granted(found)
        if isinstance(found, Answer) and shown.once is not None and "invalid role or secret ID" in found.text:
            self._spent.add(shown.once)
        return _login_error(found)

    def _granted(self, found: Answer) -> _Token | StoreError:
        auth, now = _auth(found), self._clock.monotonic()
        token, ttl = auth.get("client_token"), _seconds(auth.get("lease_duration"))
        if not isinstance(token, str) or not token:
            return error("not-vault", "The answer to the login has no token.")
        if ttl <= 0:
            return _Token(Secret(token), own=True)
        return _Token(
            Secret(token),
            own=True,
            renew_at=now + ttl * 2 / 3,
            ends_at=now + ttl,
            first_ttl=ttl,
            renewable=auth.get("renewable") is True,
        )


def _auth(found: Answer) -> Mapping[str, Any]:
    auth = found.body.get("auth")
    return auth if isinstance(auth, dict) else {}


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int) else 0.0


def _login_error(found: Answer | Trouble) -> StoreError:
    if isinstance(found, Answer):
        # A quota may be told with a 400 here, such as HashiCorp Vault's on leases, which OpenBao 2.7.2 does not have.
        quota = "quota exceeded" in found.text.lower()
        return error("throttled") if quota else _refused(f"HTTP {found.status}.")
    if found.refused:
        return _refused("The method is not enabled at its mount, or does not accept this account or address.")
    return replace(found.error, whole=True, maybe_written=False)


def _refused(detail: str) -> StoreError:
    return StoreError(
        "login-refused",
        f"Vault refused the login. {detail}",
        "Check `auth`: the method's mount and namespace, the role, and that the credential has not ended or been used up.",
        whole=True,
    )
