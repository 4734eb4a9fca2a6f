"""The Vault token: one login, renewal at two thirds of the lease whether or not a cycle runs, and revocation at the end."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus

from sync.core.model import StoreError
from sync.core.secret import Secret
from sync.runtime.threads import GraceClock, NoThreadError, started
from sync.stores.vault.answers import Answer, Call, Trouble
from sync.stores.vault.findings import Lease
from sync.stores.vault.login import Login, Token, auth_of, refused, seconds_of
from sync.stores.vault.settings import VaultSettings
from sync.stores.vault.wire import Wire

_LOOKUP_VALID_FOR = 10.0
"""Seconds for which a token that Vault knew is not looked up again, so that a thousand denials cost one lookup."""

_GRACE = 2.0
"""Seconds that a login has after a shutdown request."""

_RENEW_AGAIN = 1.0
"""Minimum number of seconds until a failed renewal is tried again."""

_RENEW_WITHIN = 10.0
"""Seconds for a renewal between cycles, which a cycle that begins meanwhile waits for."""

_LOOKUP = Call("GET", "auth/token/lookup-self", "read", "auth/token/lookup-self")

_UNKNOWN = (
    "Vault does not know the token: it has expired, has no uses left, was revoked, is bound to other addresses, "
    "or is a wrapping token, which must be unwrapped first."
)
_BOUND = StoreError(
    "login-refused",
    "Vault refuses the token that it has just issued to this login: the token is bound to other addresses, or has no uses left.",
    "Check `token_bound_cidrs` and `token_num_uses` of the role; Vault may see the address of a proxy or a NAT gateway.",
    whole=True,
)


class Session:
    """Sends requests with a valid token, from any number of threads."""

    def __init__(self, settings: VaultSettings, wire: Wire, clock: GraceClock, *, renews_by_time: bool = True) -> None:
        self._settings = settings
        self._logins = Login(settings, wire, clock)
        self._wire = wire
        self._clock = clock
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._token: Token | None = None
        self._uses_left = 0
        self._failed: StoreError | None = None
        self._known: tuple[Secret, float] | None = None
        self._keeper: Future[None] | None = None
        self._by_time = renews_by_time

    @property
    def warnings(self) -> Sequence[str]:
        """Return a warning where the tokens that a login gives have a limited number of uses."""
        if not self._logins.uses:
            return ()
        return (
            f"Each token of this Vault login has {self._logins.uses:,} uses, so that a cycle logs in many times. Set token_num_uses=0.",
        )

    @property
    def expires_in(self) -> float | None:
        """Seconds until the current token expires; None where there is none, or it does not expire."""
        token = self._token
        if token is None or token.expires_at is None:
            return None
        return token.expires_at - self._clock.monotonic()

    def begin(self) -> None:
        """Start a cycle: a token of `auth: token` is read again, and a login that failed is tried again."""
        with self._lock:
            self._failed = None
            self._logins.begin()
            if self._token is not None and not self._token.own:
                self._token = None

    @property
    def lease(self) -> Lease | None:
        """What the login said of its token; None where there is none, or somebody else manages it."""
        token = self._token
        if token is None or not token.own:
            return None
        return Lease(own=True, seconds=self.expires_in, renewable=token.renewable, uses=token.uses)

    def look_up(self, end: float) -> Answer | Trouble:
        """Log in if need be, and have the token look itself up; ``refused`` where the policy does not let it."""
        return self.ask(_LOOKUP, end)

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
        if isinstance(fresh, StoreError):
            return Trouble(fresh)
        again = self._wire.ask(call, fresh, end)
        if isinstance(again, Trouble) and again.refused and not again.policy:
            return self._refused_at_once(fresh, again, end)
        return again

    def close(self, end: float) -> None:
        """Revoke the token of the store's own login; if that fails, the token expires by itself."""
        with self._lock:
            token, self._token = self._token, None
            used_up = token is not None and token.uses > 0 and self._uses_left == 0
            self._by_time = False
            self._changed.notify_all()
        if token is not None and token.own and not used_up:
            self._wire.ask(
                Call("POST", "auth/token/revoke-self", "update", "auth/token/revoke-self"), token.secret, end
            )
        if self._keeper is not None:
            wait([self._keeper], timeout=max(end - self._clock.monotonic(), 0))

    def _current(self, end: float) -> Secret | StoreError:
        with self._lock:
            now, token = self._clock.monotonic(), self._token
            if token is None or (token.uses and not self._uses_left):
                return self._used(self._login(end))
            if token.renew_at is None or now < token.renew_at:
                return self._used(token.secret)
            if self._failed is not None and (token.expires_at is None or now < token.expires_at):
                return self._used(token.secret)  # neither renewal nor login worked in this cycle: used until it expires
            expired = self._has_expired(token)
            renewed = self._renew(token, end) if token.renewable and not expired else None
            if renewed is not None:
                self._hold(renewed)
                return self._used(renewed.secret)
            fresh = self._login(end)
            return self._used(token.secret if isinstance(fresh, StoreError) and not expired else fresh)

    def _used(self, token: Secret | StoreError) -> Secret | StoreError:
        """Count a use of the current token, which Vault revokes with its last one."""
        if isinstance(token, Secret) and self._uses_left:
            self._uses_left -= 1
        return token

    def _hold(self, token: Token) -> None:
        """Keep a token, and have it renewed when it is due, also between cycles."""
        self._token = token
        self._changed.notify_all()
        if token.renewable and self._by_time and (self._keeper is None or self._keeper.done()):
            # Without a thread the token is still renewed by the requests of a cycle.
            with suppress(NoThreadError):
                self._keeper = started(self._keep, name="vault-renewal")

    def _keep(self) -> None:
        """Renew the token whenever it is due, until there is none to renew or the session is closed."""
        with self._lock:
            while self._by_time:
                token = self._token
                if token is None or not token.renewable or token.renew_at is None or self._has_expired(token):
                    return
                left = token.renew_at - self._clock.monotonic()
                if left > 0:
                    self._changed.wait(min(left, threading.TIMEOUT_MAX))
                else:
                    end = self._clock.monotonic() + min(self._settings.timeout, _RENEW_WITHIN)
                    # One that cannot be renewed is replaced by a login, when the next request needs it.
                    self._token = self._renew(token, end, between_cycles=True) or replace(token, renewable=False)

    def _has_expired(self, token: Token) -> bool:
        return token.expires_at is not None and self._clock.monotonic() >= token.expires_at

    def _replace(self, token: Secret, refusal: Trouble, end: float) -> Secret | StoreError | None:
        """Return another token for one that was refused; None if Vault knows the token, so that the policy refused the request."""
        with self._lock:
            if self._token is not None and self._token.secret != token:
                return self._current(end)
            if self._is_known(token, refusal, end):
                return None
            self._token = None
            fresh = self._used(self._login(end))
            if isinstance(fresh, Secret) and fresh == token:
                return self._fail(refused(_UNKNOWN))
            return fresh

    def _refused_at_once(self, token: Secret, refusal: Trouble, end: float) -> Trouble:
        """Return the trouble where a token that was just issued is refused too: then the cause is the token."""
        with self._lock:
            if self._token is None or self._token.secret != token or self._is_known(token, refusal, end):
                return refusal
            self._token = None
            return Trouble(self._fail(self._logins.reject(_BOUND)))

    def _is_known(self, token: Secret, refusal: Trouble, end: float) -> bool:
        """Check by lookup-self whether Vault knows the token; a denial by the policy shows that it does."""
        now = self._clock.monotonic()
        known, since = self._known or (None, 0.0)
        if refusal.policy and known == token and now - since < _LOOKUP_VALID_FOR:
            return True
        if self._token is not None and self._token.uses:
            return refusal.policy  # to look it up would cost one of its uses
        found = self._wire.ask(_LOOKUP, token, end)
        is_known = isinstance(found, Answer) or not found.refused or found.policy
        if is_known:
            self._known = (token, now)
        return is_known

    def _renew(self, token: Token, end: float, *, between_cycles: bool = False) -> Token | None:
        """Renew the token; None if Vault refuses, or grants so little that the token is at its maximum TTL.

        Any other failure is not a refusal: the token is still valid and is renewed later, since a login may use up a secret id.
        """
        call = Call("POST", "auth/token/renew-self", "update", "auth/token/renew-self", body={})
        found = self._wire.ask(call, token.secret, end, between_cycles=between_cycles)
        self._used(token.secret)
        now = self._clock.monotonic()
        if isinstance(found, Trouble) and not found.refused and token.expires_at is not None:
            return replace(token, renew_at=now + max((token.expires_at - now) / 3, _RENEW_AGAIN))
        if not isinstance(found, Answer) or found.status != HTTPStatus.OK:
            return None
        ttl = seconds_of(auth_of(found).get("lease_duration"))
        if ttl * 2 < token.first_ttl:
            return None
        return replace(token, renew_at=now + ttl * 2 / 3, expires_at=now + ttl)

    def _login(self, end: float) -> Secret | StoreError:
        if self._failed is not None:
            return self._failed
        # Nobody would revoke a token that Vault granted and whose answer was not read.
        with self._clock.grace(_GRACE):
            found = self._logins.attempt(end)
        if isinstance(found, StoreError):
            return self._fail(found)
        self._uses_left = found.uses
        self._hold(found)
        return found.secret

    def _fail(self, failure: StoreError) -> StoreError:
        self._failed = failure
        return failure
