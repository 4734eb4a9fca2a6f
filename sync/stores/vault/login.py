"""The Vault token: one login, renewal at two thirds of the lease, and revocation at the end."""

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

_LOOKUP_VALID_FOR = 10.0
"""Seconds for which a token that Vault knew is not looked up again, so that a thousand denials cost one lookup."""

_GRACE = 2.0
"""Seconds that a login has after a shutdown request."""

_RENEW_AGAIN = 1.0
"""Minimum number of seconds until a failed renewal is tried again."""

_LOOKUP = Call("GET", "auth/token/lookup-self", "read", "auth/token/lookup-self")


@dataclass(frozen=True, slots=True)
class _Token:
    """A token and its times by the monotonic clock; None where no expiry is known."""

    secret: Secret
    own: bool
    renew_at: float | None = None
    expires_at: float | None = None
    first_ttl: float = 0.0
    renewable: bool = False


class Session:
    """Sends requests with a valid token, from any number of threads."""

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
        self._known: tuple[Secret, float] | None = None

    def begin(self) -> None:
        """Start a cycle: a token of `auth: token` is read again, and a login that failed is tried again."""
        with self._lock:
            self._failed = None
            if self._token is not None and not self._token.own:
                self._token = None

    def ask(self, call: Call, end: float) -> Answer | Trouble:
        """Send a request with the current token; if Vault no longer knows the token, log in once and send it once more."""
        token = self._current(end)
        if isinstance(token, StoreError):
            return Trouble(token)
        found = self._wire.ask(call, token, end)
        if not (isinstance(found, Trouble) and found.refused):
            if isinstance(found, Answer):
                self._known = (token, self._clock.monotonic())
            return found
        fresh = self._replace(token, found, end)
        if fresh is None:
            return found
        return Trouble(fresh) if isinstance(fresh, StoreError) else self._wire.ask(call, fresh, end)

    def close(self, end: float) -> None:
        """Revoke the token of the store's own login; if that fails, the token expires by itself."""
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
            if self._failed is not None and (token.expires_at is None or now < token.expires_at):
                return token.secret  # neither renewal nor login worked in this cycle, so it is used until it expires
            expired = token.expires_at is not None and now >= token.expires_at
            renewed = self._renew(token, end) if token.renewable and not expired else None
            if renewed is not None:
                self._token = renewed
                return renewed.secret
            fresh = self._login(end)
            return token.secret if isinstance(fresh, StoreError) and not expired else fresh

    def _replace(self, token: Secret, refusal: Trouble, end: float) -> Secret | StoreError | None:
        """Return another token for one that was refused; None if Vault knows the token, so that the policy refused the request."""
        with self._lock:
            if self._token is not None and self._token.secret != token:
                return self._token.secret
            if self._is_known(token, refusal, end):
                return None
            self._token = None
            fresh = self._login(end)
            if isinstance(fresh, Secret) and fresh == token:
                return self._fail(
                    _refused("Vault does not know the token: it has expired, has no uses left, or was revoked.")
                )
            return fresh

    def _is_known(self, token: Secret, refusal: Trouble, end: float) -> bool:
        """Check by lookup-self whether Vault knows the token; a denial by the policy shows that it does."""
        now = self._clock.monotonic()
        known, since = self._known or (None, 0.0)
        if refusal.policy and known == token and now - since < _LOOKUP_VALID_FOR:
            return True
        found = self._wire.ask(_LOOKUP, token, end)
        is_known = isinstance(found, Answer) or not found.refused or found.policy
        if is_known:
            self._known = (token, now)
        return is_known

    def _renew(self, token: _Token, end: float) -> _Token | None:
        """Renew the token; None if Vault refuses, or grants so little that the token is at its maximum TTL.

        Any other failure is not a refusal: the token is still valid and is renewed later, since a login may use up a secret id.
        """
        call = Call("POST", "auth/token/renew-self", "update", "auth/token/renew-self", body={})
        found = self._wire.ask(call, token.secret, end)
        now = self._clock.monotonic()
        if isinstance(found, Trouble) and not found.refused and token.expires_at is not None:
            return replace(token, renew_at=now + max((token.expires_at - now) / 3, _RENEW_AGAIN))
        if not isinstance(found, Answer) or found.status != HTTPStatus.OK:
            return None
        ttl = _seconds(_auth(found).get("lease_duration"))
        if ttl * 2 < token.first_ttl:
            return None
        return replace(token, renew_at=now + ttl * 2 / 3, expires_at=now + ttl)

    def _login(self, end: float) -> Secret | StoreError:
        if self._failed is not None:
            return self._failed
        # Nobody would revoke a token that Vault granted and whose answer was not read.
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
            remedy = "Store the credential where its reference points."
            if isinstance(by, Identity):
                remedy = "Provide AWS credentials by the profile, the environment, or the role of the machine."
            return StoreError(
                "credentials", f"The credential for the login cannot be read: {failure}.", remedy, whole=True
            )
        except NoThreadError:
            remedy = "Raise the process limit of the user or the container."
            return StoreError("unreachable", "No thread can be started for the login.", remedy, whole=True)
        if shown.once in self._spent:
            return _refused("Vault refused this secret id before; it is not sent again until it changes.")
        own = by.login.namespace if isinstance(by, Identity) else by.namespace
        namespace = self._settings.namespace if own is None else own
        found = sent(shown, self._wire, namespace or "", end)
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
            expires_at=now + ttl,
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
        # A login that a quota rejects can be a 400: HashiCorp Vault's lease count quota, which OpenBao 2.7.2 lacks.
        quota = "quota exceeded" in found.text.lower()
        return error("throttled") if quota else _refused(f"HTTP {found.status}.")
    if found.refused:
        return _refused("The auth method is not enabled at its mount, or does not accept this account or address.")
    return replace(found.error, whole=True, maybe_written=False)


def _refused(detail: str) -> StoreError:
    return StoreError(
        "login-refused",
        f"Vault refused the login. {detail}",
        "Check `auth`: the method's mount and namespace, the role, and that the credential has not expired or been used up.",
        whole=True,
    )
