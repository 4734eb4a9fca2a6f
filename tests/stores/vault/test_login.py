"""How a Vault store gets its token: one login per lease, no login wasted, no token left behind."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from sync.core.model import Absent, StoreError
from sync.core.secret import CredentialError, Secret
from sync.runtime.threads import Stopping, SystemClock
from sync.stores.vault.settings import AppRoleLogin, JwtLogin, Login, TokenLogin
from sync.stores.vault.store import VaultStore
from tests.support.clock import LeapingClock
from tests.support.rigs.vault import VaultRig, rules
from tests.support.services.bao import Bao, bao, raft
from tests.support.services.cluster import until
from tests.support.services.fault_proxy import Fault, FaultProxy, Reply, Request, times
from tests.support.store_contract import failed, marks, one, payload, together, written
from tests.support.timing import seconds

__all__ = ["bao", "raft"]

SPENT = Reply(400, '{"errors":["invalid role or secret ID"]}')


class ChangingCredential:
    """A credential whose value can be changed, as a file's can; it counts how often it is read."""

    def __init__(self, value: str) -> None:
        self.value = value
        self.reads = 0

    def __call__(self) -> Secret:
        self.reads += 1
        if not self.value:
            raise CredentialError("env VAULT_SECRET_ID is not set")
        return Secret(self.value)


@pytest.fixture
def clock() -> LeapingClock:
    """Return a clock that can be moved on."""
    return LeapingClock()


class Role:
    """An AppRole with the least policy, and a store that logs in with it through the proxy."""

    def __init__(self, rig: VaultRig, proxy: FaultProxy, clock: LeapingClock, **settings: Any) -> None:
        secret = settings.pop("secret", None)
        self.bao, self.proxy = rig.bao, proxy
        self.mount, role, secret_id = rig.bao.approle(rig.bao.policy(rules(rig.mount)), secret=secret, **settings)
        self.secret_id = ChangingCredential(secret_id)
        login = AppRoleLogin(lambda: Secret(role), self.secret_id, mount=self.mount)
        self.store = VaultStore("vault", rig.settings(address=proxy.url, login=login), clock=clock, workers=1)

    def tokens(self) -> list[str]:
        """Return the tokens that were used, in the order of their first use."""
        used = [
            request.headers["x-vault-token"] for request in self.proxy.requests if "x-vault-token" in request.headers
        ]
        return list(dict.fromkeys(used))

    @property
    def logins(self) -> int:
        """The number of logins sent so far."""
        return self.count("/login")

    def count(self, part: str) -> int:
        """Return the number of requests whose path ends with ``part``."""
        return len([request for request in self.proxy.requests if request.path.endswith(part)])

    def revoke(self) -> None:
        """Revoke the token in use."""
        self.bao.admin("POST", "auth/token/revoke", {"token": self.tokens()[-1]})


def test_one_login_for_many_cycles(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """Many cycles use one token, and closing revokes it."""
    role = Role(rig, proxy, clock)
    for _ in range(5):
        role.store.begin()
        assert isinstance(one(role.store, rig.key("a")), Absent)
        role.store.owned("acme")
    role.store.close()
    assert (role.logins, role.secret_id.reads, len(role.tokens())) == (1, 1, 1)
    assert rig.bao.call("GET", "auth/token/lookup-self", token=role.tokens()[0])[0] == 403


@pytest.mark.parametrize("fault", [Fault.HANG, Reply(307, "", {"Location": "http://127.0.0.1:9/"})])
def test_closing_ends_soon(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock, fault: Fault | Reply) -> None:
    """A server that does not answer the revocation does not delay the exit, with or without a shutdown request."""
    for stopping in (True, False):
        role = Role(rig, proxy, clock)
        one(role.store, rig.key("a"))
        proxy.rule = times(10**6, fault, "POST", "revoke-self")
        began = time.monotonic()
        if stopping:
            clock.stop.set()
        role.store.close()
        clock.stop.clear()
        assert time.monotonic() - began < 8


def test_one_login_for_many_threads(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """Threads that need a token at once wait for one login, and again for one when the token is revoked."""
    role = Role(rig, proxy, clock)
    keys = [rig.key(f"page{number}") for number in range(8)]
    together(*(lambda key=key: one(role.store, key) for key in keys))
    assert role.logins == 1
    role.revoke()
    answers = together(*(lambda key=key: one(role.store, key) for key in keys))
    assert all(isinstance(answer, Absent) for answer in answers)
    assert role.logins == 2


@pytest.mark.parametrize("write", [False, True])
def test_revoked_token(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock, *, write: bool) -> None:
    """A token that was revoked or has expired costs one login and one more try, also during a write."""
    role = Role(rig, proxy, clock)
    one(role.store, rig.key("a"))
    role.revoke()
    if write:
        written(role.store.write(rig.key("a"), payload(), marks(), replaces=None))
    else:
        assert isinstance(one(role.store, rig.key("a")), Absent)
    assert role.logins == role.store.outcomes["login", "ok"] == 2
    assert role.store.credential_expires_at is not None
    assert role.store.credential_expires_at > clock.now()


@pytest.mark.parametrize("uses", [1, 2, 10])
@pytest.mark.parametrize("named", [True, False])
def test_token_of_few_uses(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock, uses: int, *, named: bool) -> None:
    """Tokens with a limited number of uses serve 30 Pages for many cycles: each is replaced when it is used up, and none is refused."""
    role = Role(rig, proxy, clock, token_num_uses=uses)
    store = VaultStore("vault", role.store._settings, clock=clock) if named else role.store
    keys = [rig.key(f"page{number}") for number in range(30)]
    for cycle in range(2):
        store.begin()
        assert not [answer for answer in store.read(keys).values() if isinstance(answer, StoreError)]
        for key in keys[cycle * 10 : cycle * 10 + 10]:
            written(store.write(key, payload(), marks(), replaces=None))
        assert not isinstance(store.owned("acme"), StoreError)
        assert [warning for warning in store.warnings if f"{uses} uses" in warning and "token_num_uses" in warning]
    store.close()
    assert proxy.statuses.count(403) <= 1  # for the mount's configuration, which the policy denies
    assert role.logins >= len(proxy.requests) // (uses + 1)


def test_used_up_secret_id_of_counted_tokens(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """If tokens of few uses have used up the secret id, the error says so, and no policy is blamed."""
    role = Role(rig, proxy, clock, token_num_uses=10, secret={"num_uses": 3})
    keys = [rig.key(f"page{number}") for number in range(30)]
    for key in keys:
        rig.plant(key, payload().reveal())  # type: ignore[arg-type]
    problems = []
    for _ in range(6):
        role.store.begin()
        problems += [answer for answer in role.store.read(keys).values() if isinstance(answer, StoreError)]
    assert {problem.error_code for problem in problems} == {"login-refused"}
    assert all("10 uses" in problem.message and "secret id" in problem.message for problem in problems)
    assert not [problem for problem in problems if "olicy" in problem.message + problem.remedy]


def test_token_that_is_bound_to_other_addresses(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """If Vault refuses a token that it has just issued, the cause is the token and not the policy; logins back off."""
    role = Role(rig, proxy, clock, token_bound_cidrs="192.0.2.1/32")
    keys = [rig.key(f"page{number}") for number in range(30)]
    tried = []
    for _ in range(9):
        role.store.begin()
        before = role.logins
        problems = [failed(answer, "login-refused") for answer in role.store.read(keys).values()]
        tried.append(role.logins - before)
        assert all("token_bound_cidrs" in problem.remedy for problem in problems)
        assert not [problem for problem in problems if "olicy" in problem.message + problem.remedy]
        assert all(problem.whole for problem in problems)
    assert [cycle for cycle, count in enumerate(tried, 1) if count] == [1, 2, 4, 8]
    assert max(tried) == 2


def test_login_that_is_bound_to_other_addresses(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """A secret id that is bound to other addresses is named as such."""
    role = Role(rig, proxy, clock, secret_id_bound_cidrs="192.0.2.1/32")
    message = failed(one(role.store, rig.key("a")), "login-refused").message
    assert "addresses" in message
    assert f"at auth/{role.mount}." in message


def test_wrapping_token_as_secret_id(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """A wrapping token instead of the secret id that it wraps is named as such."""
    role = Role(rig, proxy, clock)
    role.secret_id.value = wrapped(rig.bao, f"auth/{role.mount}/role/r/secret-id")
    problem = failed(one(role.store, rig.key("a")), "login-refused")
    assert "unwrapped" in problem.message
    assert role.secret_id.value not in repr(problem)


def test_wrapping_token_as_token(rig: VaultRig, proxy: FaultProxy) -> None:
    """A wrapping token that is used as a token is gone after one request; the error says that it may be one, and blames no policy."""
    held = ChangingCredential(wrapped(rig.bao, "auth/token/create"))
    problem = failed(one(token_store(rig, proxy, held), rig.key("a")), "login-refused")
    assert "wrapping token" in problem.message
    assert "olicy" not in problem.message + problem.remedy


def wrapped(bao: Bao, path: str) -> str:
    """Make a call whose answer is wrapped, and return the wrapping token."""
    headers = {"X-Vault-Token": bao.root, "X-Vault-Wrap-TTL": "5m"}
    request = urllib.request.Request(f"{bao.url}/v1/{path}", b"{}", headers, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.loads(answer.read())["wrap_info"]["token"])


def test_renewed_between_cycles(rig: VaultRig, proxy: FaultProxy) -> None:
    """A renewable token of a short life outlives a pause that is longer, since it is renewed by time and not by a cycle."""
    role = Role(rig, proxy, LeapingClock(), token_ttl="2s", secret={"num_uses": 1})
    store = VaultStore("vault", role.store._settings, clock=SystemClock())
    threads = set(threading.enumerate())
    assert isinstance(one(store, rig.key("a")), Absent)
    assert [thread for thread in set(threading.enumerate()) - threads if thread.name == "vault-renewal"]
    time.sleep(5)
    store.begin()
    assert isinstance(one(store, rig.key("a")), Absent)
    assert (role.logins, len(role.tokens())) == (1, 1)
    assert role.count("renew-self") >= 2
    store.close()
    assert not [thread for thread in set(threading.enumerate()) - threads if thread.name == "vault-renewal"]


def test_closing_does_not_wait_for_the_next_renewal(rig: VaultRig, proxy: FaultProxy) -> None:
    """Closing ends the thread that waits for the time of the next renewal, however far away that is."""
    role = Role(rig, proxy, LeapingClock(), token_ttl="1h")
    store = VaultStore("vault", role.store._settings, clock=SystemClock())
    threads = set(threading.enumerate())
    assert isinstance(one(store, rig.key("a")), Absent)
    assert [thread for thread in set(threading.enumerate()) - threads if thread.name == "vault-renewal"]
    assert seconds(store.close) < 10
    assert not [thread for thread in set(threading.enumerate()) - threads if thread.name == "vault-renewal"]


def test_renewed_after_a_cycle_in_which_vault_was_away(rig: VaultRig, proxy: FaultProxy) -> None:
    """A cycle that ended because Vault was away does not stop the renewal of the token, which the next cycle uses."""
    role = Role(rig, proxy, LeapingClock(), token_ttl="3s", secret={"num_uses": 1})
    store = VaultStore("vault", role.store._settings, clock=SystemClock())
    assert isinstance(one(store, rig.key("a")), Absent)
    proxy.rule = lambda request: Reply(503, '{"errors":["Vault is sealed"]}') if "/data/" in request.path else None
    store.begin()
    failed(one(store, rig.key("a")), "sealed")
    proxy.rule = None
    time.sleep(5)
    store.begin()
    assert isinstance(one(store, rig.key("a")), Absent)
    assert role.logins == 1
    store.close()


def test_renewal_between_cycles_that_fails(rig: VaultRig, proxy: FaultProxy) -> None:
    """A renewal that gets no answer is tried again before the token expires."""
    role = Role(rig, proxy, LeapingClock(), token_ttl="6s", secret={"num_uses": 1})
    store = VaultStore("vault", role.store._settings, clock=SystemClock())
    assert isinstance(one(store, rig.key("a")), Absent)
    proxy.rule = times(1, Reply(500, '{"errors":["internal error"]}'), "POST", "renew-self")
    time.sleep(8)
    store.begin()
    assert isinstance(one(store, rig.key("a")), Absent)
    assert (role.logins, role.count("renew-self")) == (1, 2)
    store.close()


def test_expired_token_is_not_renewed_between_cycles(rig: VaultRig, proxy: FaultProxy) -> None:
    """While Vault is away, a token that has expired costs no request between cycles; the next cycle logs in."""
    role = Role(rig, proxy, LeapingClock(), token_ttl="2s")
    store = VaultStore("vault", role.store._settings, clock=SystemClock())
    threads = set(threading.enumerate())
    assert isinstance(one(store, rig.key("a")), Absent)
    proxy.rule = lambda _: Reply(500, '{"errors":["internal error"]}')
    until(
        lambda: not [thread for thread in set(threading.enumerate()) - threads if thread.name == "vault-renewal"],
        "the renewal ends",
    )
    asked = len(proxy.requests)
    time.sleep(1.5)
    assert len(proxy.requests) == asked
    proxy.rule = None
    store.begin()
    assert isinstance(one(store, rig.key("a")), Absent)
    assert role.logins == 2
    store.close()


def test_shutdown_waits_for_no_renewal(rig: VaultRig, proxy: FaultProxy) -> None:
    """A shutdown request ends a renewal that hangs, so that closing returns soon."""
    clock = SystemClock()
    role = Role(rig, proxy, LeapingClock(), token_ttl="2s")
    store = VaultStore("vault", role.store._settings, clock=clock)
    assert isinstance(one(store, rig.key("a")), Absent)
    proxy.rule = times(10**6, Fault.HANG, "POST", "renew-self")
    until(lambda: role.count("renew-self"), "the renewal begins")
    clock.stop.set()
    began = time.monotonic()
    store.close()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("wrong", [10**400, -1, True, "3600", None, 1.5, {"a": 1}])
@pytest.mark.parametrize("field", ["lease_duration", "num_uses", "renewable"])
def test_absurd_lease(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock, field: str, wrong: object) -> None:
    """A lease of 400 digits, a negative one or a value of another type ends no call, and the token is used."""
    role = Role(rig, proxy, clock)

    def rule(request: Request) -> Reply | None:
        if not request.path.endswith("/login"):
            return None
        _, body = rig.bao.call("POST", request.path.removeprefix("/v1/"), json.loads(request.body))
        body["auth"][field] = wrong
        return Reply(200, json.dumps(body))

    proxy.rule = rule
    for _ in range(2):
        role.store.begin()
        assert isinstance(one(role.store, rig.key("a")), Absent)
    role.store.close()


def test_renewed_at_two_thirds(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """A token is renewed after two thirds of its lease, and not before; the login is not repeated."""
    role = Role(rig, proxy, clock, token_ttl="300s")
    one(role.store, rig.key("a"))
    clock.leap(195)
    one(role.store, rig.key("a"))
    assert role.count("renew-self") == 0
    clock.leap(10)
    one(role.store, rig.key("a"))
    one(role.store, rig.key("a"))
    assert (role.count("renew-self"), role.logins, len(role.tokens())) == (1, 1, 1)


def test_an_expired_token_is_not_renewed(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """After a pause longer than the lease the store logs in at once."""
    role = Role(rig, proxy, clock, token_ttl="300s")
    one(role.store, rig.key("a"))
    clock.leap(400)
    assert isinstance(one(role.store, rig.key("a")), Absent)
    assert (role.count("renew-self"), role.logins) == (0, 2)


def test_batch_tokens_are_not_renewed(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """A token that is not renewable is not renewed, and closing the store raises nothing."""
    role = Role(rig, proxy, clock, token_type="batch", token_ttl="300s")
    one(role.store, rig.key("a"))
    clock.leap(201)
    assert isinstance(one(role.store, rig.key("a")), Absent)
    role.store.close()
    assert (role.count("renew-self"), role.logins) == (0, 2)


@pytest.mark.parametrize(
    "answer",
    [
        Reply(400, '{"errors":["lease is not renewable"]}'),
        Reply(403, '{"errors":["permission denied"]}'),
        Reply(200, '{"auth":{"client_token":"x","lease_duration":20,"renewable":true},"warnings":["capped"]}'),
    ],
)
def test_renewal_that_is_refused_or_capped(
    rig: VaultRig, proxy: FaultProxy, clock: LeapingClock, answer: Reply
) -> None:
    """At the maximum TTL the store logs in again while the old token is still valid."""
    role = Role(rig, proxy, clock, token_ttl="300s")
    one(role.store, rig.key("a"))
    proxy.rule = times(1, answer, "POST", "renew-self")
    clock.leap(201)
    assert isinstance(one(role.store, rig.key("a")), Absent)
    assert role.logins == 2


def test_renewal_that_fails_uses_up_no_credential(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """A renewal that fails is tried again until the token expires, and only then the store logs in."""
    role = Role(rig, proxy, clock, token_ttl="300s")
    one(role.store, rig.key("a"))
    proxy.rule = times(10**6, Reply(500, '{"errors":["internal error"]}'), "POST", "renew-self")
    clock.leap(201)
    for _ in range(5):
        role.store.begin()
        assert isinstance(one(role.store, rig.key("a")), Absent)
        clock.leap(15)
    assert (role.logins, role.count("renew-self") > 1) == (1, True)
    proxy.rule = None
    role.store.begin()
    assert isinstance(one(role.store, rig.key("a")), Absent)
    clock.leap(100)
    role.store.begin()
    assert isinstance(one(role.store, rig.key("a")), Absent)
    assert role.logins == 1
    clock.leap(301)
    role.store.begin()
    assert isinstance(one(role.store, rig.key("a")), Absent)
    assert role.logins == 2


def test_a_valid_token_is_used_until_it_expires(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """If neither renewal nor login works the token is still used, and the secret id is not sent again and again."""
    role = Role(rig, proxy, clock, token_ttl="300s", secret={"num_uses": 1})
    one(role.store, rig.key("a"))
    proxy.rule = times(10**6, Reply(403, '{"errors":["permission denied"]}'), "POST", "renew-self")
    clock.leap(201)
    for _ in range(3):
        role.store.begin()
        assert isinstance(one(role.store, rig.key("a")), Absent)
    assert role.count(f"{role.mount}/login") == 1 + 2  # in the first two of the three cycles


def test_used_up_secret_id(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """A secret id that Vault refuses is sent again after 1, 2, 4 … cycles or six hours, and at once when the file has another."""
    role = Role(rig, proxy, clock, secret={"num_uses": 1})
    one(role.store, rig.key("a"))
    role.revoke()
    # The proxy refuses instead of the server, which would lock the role after five failures.
    proxy.rule = times(10**6, SPENT, "POST", "/login")
    tried: list[int] = []
    for _ in range(16):
        role.store.begin()
        before = role.logins
        problem = failed(one(role.store, rig.key("a")), "login-refused")
        tried.append(role.logins - before)
        assert problem.whole
        assert role.secret_id.value not in repr(problem)
    assert [cycle for cycle, count in enumerate(tried, 1) if count] == [1, 2, 4, 8, 16]
    assert max(tried) == 1
    clock.leap(6 * 3600 + 1)
    role.store.begin()
    before = role.logins
    failed(one(role.store, rig.key("a")), "login-refused")
    assert role.logins == before + 1
    proxy.rule = None
    role.secret_id.value = rig.bao.secret_id(role.mount)
    role.store.begin()
    assert isinstance(one(role.store, rig.key("a")), Absent)


def test_role_that_was_missing_for_a_cycle(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """A role that was deleted and is back with the same ids is used from the next cycle on."""
    role = Role(rig, proxy, clock)
    proxy.rule = times(1, SPENT, "POST", "/login")
    role.store.begin()
    failed(one(role.store, rig.key("a")), "login-refused")
    role.store.begin()
    assert isinstance(one(role.store, rig.key("a")), Absent)


def test_a_login_that_fails_is_tried_once_a_cycle(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """A login that is refused is tried once per cycle, also for many Pages."""
    role = Role(rig, proxy, clock)
    proxy.rule = times(10**6, Reply(403, '{"errors":["permission denied"]}'), "POST", "/login")
    for cycle in (1, 2):
        role.store.begin()
        keys = [rig.key(f"page{number}") for number in range(20)]
        assert {failed(answer).error_code for answer in role.store.read(keys).values()} == {"login-refused"}
        assert role.count("/login") == cycle


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Reply(503, '{"errors":["Vault is sealed"]}'), "sealed"),
        (Reply(200, "<html>", {"Content-Type": "text/html"}), "not-vault"),
        (Reply(200, '{"auth":null}'), "not-vault"),
        (Reply(200, '{"auth":{"client_token":7}}'), "not-vault"),
        (Reply(307, "", {"Location": "http://127.0.0.1:9/"}), "no-leader"),
        (Reply(429, '{"errors":["request path: rate limit quota exceeded"]}'), "throttled"),
        (Reply(400, '{"errors":["request path \\"auth/approle/login\\": lease count quota exceeded"]}'), "throttled"),
        (Reply(500, '{"errors":["boom"]}'), "unexpected"),
        (Reply(400, '{"errors":["missing client token"]}'), "login-refused"),
        (Fault.CUT, "unreachable"),
        (SPENT, "login-refused"),
    ],
)
def test_login_that_fails(
    rig: VaultRig, proxy: FaultProxy, clock: LeapingClock, fault: Fault | Reply, reason: str
) -> None:
    """A failed login is an error of the whole store, with its own code and nothing quoted; a redirect gets no secret."""
    role = Role(rig, proxy, clock)
    proxy.rule = times(10**6, fault, "POST", "/login")
    role.store.begin()
    problem = failed(one(role.store, rig.key("a")), reason)
    assert problem.whole
    assert not problem.maybe_written
    assert role.secret_id.value not in repr(problem)


def test_lost_answer_to_a_login_burns_no_second_use(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """A login whose answer was lost is not sent again within the cycle."""
    role = Role(rig, proxy, clock)
    proxy.rule = times(10**6, Fault.LOSE, "POST", "/login")
    failed(one(role.store, rig.key("a")), "unreachable")
    assert role.count("/login") == 1


def test_quota_that_passes(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """A login that a quota rejects is tried again."""
    role = Role(rig, proxy, clock)
    proxy.rule = times(3, Reply(429, '{"errors":["request path: rate limit quota exceeded"]}'), "POST", "/login")
    assert isinstance(one(role.store, rig.key("a")), Absent)
    assert len(clock.slept) == 3


def test_real_rate_quota(rig: VaultRig) -> None:
    """Vault's own rate limit quota on the mount delays a read, and no key fails."""
    rig = VaultRig(rig.bao, detailed=False)
    rig.bao.admin("POST", f"sys/quotas/rate-limit/{rig.mount}", {"path": f"{rig.mount}/", "rate": 50})
    store = VaultStore("vault", rig.settings(timeout=30), clock=SystemClock())
    answers = store.read([rig.key(f"page{number}") for number in range(80)])
    rig.bao.admin("DELETE", f"sys/quotas/rate-limit/{rig.mount}")
    assert all(isinstance(answer, Absent) for answer in answers.values()), answers


def test_missing_credential(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """A credential that cannot be read is an error with its reference, and is read again in the next cycle."""
    role = Role(rig, proxy, clock)
    good, role.secret_id.value = role.secret_id.value, ""
    problem = failed(one(role.store, rig.key("a")), "credentials")
    assert "VAULT_SECRET_ID" in problem.message
    assert problem.whole
    role.secret_id.value = good
    role.store.begin()
    assert isinstance(one(role.store, rig.key("a")), Absent)


def token_store(rig: VaultRig, proxy: FaultProxy, token: ChangingCredential) -> VaultStore:
    """Return a store with a token that somebody else manages."""
    return VaultStore("vault", rig.settings(address=proxy.url, login=TokenLogin(token)), clock=LeapingClock())


def test_foreign_token_is_never_touched(rig: VaultRig, proxy: FaultProxy) -> None:
    """The method ``token`` logs in nowhere, renews nothing and revokes nothing."""
    store = token_store(rig, proxy, ChangingCredential(rig.token))
    one(store, rig.key("a"))
    store.close()
    assert not [request for request in proxy.requests if "/auth/" in request.path]
    assert rig.bao.call("GET", "auth/token/lookup-self", token=rig.token)[0] == 200


def test_foreign_token_is_read_again_each_cycle(rig: VaultRig, proxy: FaultProxy) -> None:
    """A token that was rotated on disk is used from the next cycle on; if it was revoked before, it is read again at once."""
    policy = rig.bao.policy(rules(rig.mount))
    held = ChangingCredential(rig.bao.token(policy))
    store = token_store(rig, proxy, held)
    one(store, rig.key("a"))
    old, held.value = held.value, rig.bao.token(policy)
    rig.bao.admin("POST", "auth/token/revoke", {"token": old})
    assert isinstance(one(store, rig.key("a")), Absent)
    held.value = rig.bao.token(policy)
    store.begin()
    one(store, rig.key("a"))
    assert proxy.requests[-1].headers["x-vault-token"] == held.value


@pytest.mark.parametrize("token", ["hvs.nonsense", "", "with\nline", "ünïcode"])
def test_useless_token(rig: VaultRig, proxy: FaultProxy, token: str) -> None:
    """A token that is malformed or that Vault does not know has its own error, and is not retried for every key."""
    store = token_store(rig, proxy, ChangingCredential(token))
    answers = store.read([rig.key(f"page{number}") for number in range(20)])
    problems = [failed(answer) for answer in answers.values()]
    assert {problem.error_code for problem in problems} <= {"login-refused", "credentials"}
    assert all(problem.whole for problem in problems)
    assert not token or token not in repr(problems)
    assert len(proxy.requests) < 10


def test_environment_of_vaults_own_tools_is_ignored(
    rig: VaultRig, proxy: FaultProxy, clock: LeapingClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """VAULT_ variables, a token file and proxies in the environment change nothing."""
    for name, value in {
        "VAULT_TOKEN": "stranger",
        "VAULT_ADDR": "http://127.0.0.1:9",
        "VAULT_NAMESPACE": "elsewhere",
        "VAULT_CACERT": "/nonexistent",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "HOME": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".vault-token").write_text("stranger")
    role = Role(rig, proxy, clock)
    assert isinstance(one(role.store, rig.key("a")), Absent)
    assert not [
        request
        for request in proxy.requests
        if "stranger" in request.headers.values() or "x-vault-namespace" in request.headers
    ]


def test_namespaces(bao: Bao) -> None:
    """A store works inside a namespace and logs in there; a namespace that does not exist is named as the cause."""
    bao.call("POST", "sys/namespaces/team-a", {})
    inside = Bao(bao.url, bao.root, namespace="team-a")
    rig = VaultRig(inside)
    mount, role, secret_id = inside.approle(inside.policy(rules(rig.mount)))
    login = AppRoleLogin(lambda: Secret(role), lambda: Secret(secret_id), mount=mount)
    store = rig.make_store(login=login)
    written(store.write(rig.key("a"), payload(), marks(), replaces=None))
    assert inside.admin("GET", rig.at("data", rig.key("a")))["data"]["data"] == payload().reveal()
    store.close()
    missing = rig.make_store(login=login, namespace="team-b")
    failed(one(missing, rig.key("a")), "namespace")


def test_login_in_another_namespace(bao: Bao, proxy: FaultProxy, clock: LeapingClock) -> None:
    """The login's own namespace applies to the login alone."""
    rig = VaultRig(bao)
    mount, role, secret_id = bao.approle(bao.policy(rules(rig.mount)))
    for own, expected in ((None, "team-x"), ("", None), ("team-y", "team-y")):
        login = AppRoleLogin(lambda: Secret(role), lambda: Secret(secret_id), mount=mount, namespace=own)
        proxy.requests.clear()
        store = VaultStore("vault", rig.settings(address=proxy.url, login=login, namespace="team-x"), clock=clock)
        one(store, rig.key("a"))
        assert proxy.requests[0].headers.get("x-vault-namespace") == expected


class Reviewer(BaseHTTPRequestHandler):
    """A Kubernetes API that reviews tokens and accepts one service account."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Stay silent."""

    def do_POST(self) -> None:
        """Answer a TokenReview."""
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        user = {"username": "system:serviceaccount:meta:sync", "uid": "uid-1"}
        review |= {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
        review["status"] = {"authenticated": True, "user": user, "audiences": ["vault"]}
        body = json.dumps(review).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def kubernetes(bao: Bao, rig: VaultRig) -> Iterator[str]:
    """Enable the method at its own mount with the reviewer, and return the mount."""
    mount = f"kubernetes-{rig.mount}"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Reviewer)
    config = {
        "kubernetes_host": f"http://127.0.0.1:{server.server_port}",
        "kubernetes_ca_cert": trustme.CA().cert_pem.bytes().decode(),
        "token_reviewer_jwt": jwt(),
        "disable_local_ca_jwt": True,
    }
    role = {
        "bound_service_account_names": ["sync"],
        "bound_service_account_namespaces": ["meta"],
        "token_policies": [bao.policy(rules(rig.mount))],
    }
    bao.admin("POST", f"sys/auth/{mount}", {"type": "kubernetes"})
    bao.admin("POST", f"auth/{mount}/config", config)
    bao.admin("POST", f"auth/{mount}/role/sync", role)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield mount
    server.shutdown()
    thread.join()
    server.server_close()


def jwt() -> str:
    """Return a service account token without a valid signature, since the reviewer accepts it."""
    now = int(time.time())
    account = {"namespace": "meta", "serviceaccount": {"name": "sync", "uid": "uid-1"}}
    claims = {
        "iss": "kubernetes",
        "sub": "system:serviceaccount:meta:sync",
        "aud": ["vault"],
        "iat": now,
        "nbf": now,
        "exp": now + 600,
    }
    parts = ({"alg": "RS256", "typ": "JWT"}, {**claims, "kubernetes.io": account})
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*texts, base64.urlsafe_b64encode(b"signature" * 20).rstrip(b"=").decode()])


def test_kubernetes(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock, kubernetes: str) -> None:
    """A service account's JWT gets a token; a role that does not exist is refused, and tried again in the next cycle."""
    held = ChangingCredential(jwt())
    good: Login = JwtLogin("sync", held, mount=kubernetes)
    store = VaultStore("vault", rig.settings(address=proxy.url, login=good), clock=clock)
    written(store.write(rig.key("a"), payload(), marks(), replaces=None))
    store.close()
    bad: Login = JwtLogin("nobody", held, mount=kubernetes)
    other = VaultStore("vault", rig.settings(address=proxy.url, login=bad), clock=clock)
    for _ in range(2):
        other.begin()
        problem = failed(one(other, rig.key("a")), "login-refused")
        assert held.value not in repr(problem)
    assert len([request for request in proxy.requests if request.path.endswith("/login")]) == 3


def test_wrong_ca_file_and_its_correction(raft: Bao, tmp_path: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A CA file that does not match is a TLS error without advice to skip verification; a corrected file works from the next cycle on."""
    ca = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca)
    rig = VaultRig(raft)
    store = rig.make_store(ca_file=str(ca))
    store.begin()
    assert failed(one(store, rig.key("a")), "tls").whole
    failed(store.write(rig.key("a"), payload(), marks(), replaces=None), "tls")
    assert raft.ca is not None
    ca.write_bytes(raft.ca.read_bytes())
    store.begin()
    assert isinstance(one(store, rig.key("a")), Absent)
    ca.unlink()
    store.begin()
    assert "ca_file" in failed(one(store, rig.key("a")), "tls").message


def test_plain_http_to_a_tls_port(raft: Bao) -> None:
    """An address with the wrong scheme is an error that names the scheme."""
    rig = VaultRig(raft)
    store = rig.make_store(address=raft.url.replace("https", "http"), ca_file=None)
    assert "https" in failed(one(store, rig.key("a")), "tls").message


def test_proxy_that_cannot_be_read(rig: VaultRig) -> None:
    """Without the proxy's URL no request is sent, also not directly."""
    held = ChangingCredential("")
    store = rig.make_store(proxy=held)
    failed(one(store, rig.key("a")), "credentials")
    assert store.requests == 0
    held.value = "http://user:secretpassword@127.0.0.1:9"
    store.begin()
    problem = failed(one(store, rig.key("a")), "unreachable")
    assert "secretpassword" not in repr(problem)


def test_rule_sees_all(proxy: FaultProxy, rig: VaultRig) -> None:
    """The proxy sees the login's request as the server would."""
    seen: list[Request] = []
    proxy.rule = seen.append
    one(token_store(rig, proxy, ChangingCredential(rig.token)), rig.key("a"))
    assert seen[0].headers["x-vault-token"] == rig.token


def test_a_refused_renewal_is_asked_for_once_a_cycle(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """If a valid token can be neither renewed nor replaced, the renewal is tried once per cycle."""
    role = Role(rig, proxy, clock, token_ttl="300s", secret={"num_uses": 1})
    one(role.store, rig.key("a"))
    proxy.rule = times(10**6, Reply(403, '{"errors":["permission denied"]}'), "POST", "renew-self")
    clock.leap(201)
    for cycle in (1, 2):
        role.store.begin()
        for number in range(20):
            assert isinstance(one(role.store, rig.key(f"page{number}")), Absent)
        assert role.count("renew-self") == cycle


def test_leases_of_a_token_of_short_life(rig: VaultRig, proxy: FaultProxy) -> None:
    """Over several short leases there are at most two tokens at any time, and what closing leaves expires by itself."""
    role = Role(rig, proxy, LeapingClock(), token_ttl="2s", token_max_ttl="3s")
    store = VaultStore("vault", replace(role.store._settings, timeout=10), clock=SystemClock(), workers=1)
    end, cycles, most = time.monotonic() + 5, 0, 0
    while time.monotonic() < end:
        store.begin()
        assert isinstance(one(store, rig.key("a")), Absent)
        cycles += 1
        most = max(most, len(leases(rig.bao, role.mount)))
    before = leases(rig.bao, role.mount)
    store.close()
    assert cycles > 5
    assert 2 <= role.logins <= 5
    assert role.count("renew-self") > 0
    assert most <= 2
    assert len(leases(rig.bao, role.mount)) == len(before) - 1


def leases(bao: Bao, mount: str) -> list[str]:
    """Return the leases of an auth method's tokens."""
    status, answer = bao.call("LIST", f"sys/leases/lookup/auth/{mount}/login")
    return list(answer["data"]["keys"]) if status == 200 else []


@pytest.mark.parametrize("wrong", ["host", "end"])
def test_certificate_that_does_not_fit(bao: Bao, rig: VaultRig, tmp_path: Path, wrong: str) -> None:
    """A certificate of another host or an expired one is a TLS error, and the server receives no request."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    if wrong == "host":
        shown = authority.issue_cert("vault.elsewhere")
    else:
        shown = authority.issue_cert("127.0.0.1", not_after=datetime(2026, 1, 1, tzinfo=UTC))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.configure_cert(tls)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        received: list[bytes] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    line, _ = listener.accept()
                    with suppress(OSError), tls.wrap_socket(line, server_side=True) as safe:
                        received.append(safe.recv(1))

        threading.Thread(target=serve, daemon=True).start()
        address = f"https://127.0.0.1:{listener.getsockname()[1]}"
        store = VaultStore(
            "vault", rig.settings(address=address, ca_file=str(tmp_path / "ca.pem")), clock=LeapingClock()
        )
        problem = failed(one(store, rig.key("a")), "tls")
        assert problem.whole
        assert "verif" not in problem.remedy.lower()
        listener.shutdown(socket.SHUT_RDWR)
    assert not any(received)


def test_a_login_during_shutdown_is_revoked(rig: VaultRig, proxy: FaultProxy, clock: LeapingClock) -> None:
    """A login that Vault grants during the shutdown request is read, so that closing revokes its token."""
    role = Role(rig, proxy, clock)

    def done(request: Request) -> None:
        if request.path.endswith("/login"):
            clock.stop.set()
            time.sleep(0.7)  # longer than a socket takes to notice

    proxy.before_answer = done
    with pytest.raises(Stopping):
        one(role.store, rig.key("a"))
    proxy.before_answer = None
    role.store.close()
    assert rig.bao.call("GET", "auth/token/lookup-self", token=role.tokens()[0])[0] == 403
