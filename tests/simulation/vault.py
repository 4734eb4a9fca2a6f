"""A Vault cluster in memory: KV version 2 over a replicated log, tokens, policies, and the faults of clusters.

Its nodes behave as three real OpenBao 2.7.2 nodes on raft did (measured 2026-11-24 and -25). A standby answers reads from its
own copy, and judges a compare-and-set by it before it forwards the write. With X-Vault-Index it answers 429 while it has not
caught up, or asks the leader if X-Vault-Inconsistent says so; while there is no leader that is a redirect to the stopped
one. A commit is never lost, and an answer has the index of the log.
"""

from __future__ import annotations

import base64
import bisect
import json
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from tests.simulation import kv
from tests.simulation.kv import NOTHING, Change, Json, Response, Secret, refused
from tests.simulation.policy import DEFAULT, ROOT, Rules, allowed, covers_below, parse

FORWARD = "forward-active-node"
DENIED = "1 error occurred:\n\t* permission denied\n\n"
_NO_LEADER = "local node not active but active cluster node not found"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. ``path`` is unquoted and without /v1/; ``owner`` is who sent it."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    owner: object = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it goes over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Silence = Literal["hang", "connect"]
"""No answer: the connection stands and nothing comes, or there is none."""


@dataclass(slots=True)
class Node:
    """One server: when each entry of the log reached it, and until when it is cut off from the others."""

    name: str
    reached: list[float] = field(default_factory=list)
    held_until: float = 0.0
    dead_until: float = 0.0


@dataclass(slots=True)
class Token:
    """What a token may do, and for how long; ``ends`` None never expires."""

    policies: tuple[Rules, ...]
    ttl: float = 0.0
    ends: float | None = None
    uses: int | None = None


Changed = Callable[[object, str, Secret | None, Secret | None], None]
Shown = Callable[[object, str, Secret | None], None]


class Vault:
    """The cluster. ``unix`` gives the time, ``lag`` draws how long an entry takes to reach one standby.

    ``changed`` is called for each commit to a secret, with who made it, the secret's mount and path, and its state before and
    after; ``shown`` for each secret in an answer. ``indexed`` False is a dev server: one node, no index.
    """

    def __init__(
        self,
        unix: Callable[[], float],
        *,
        nodes: int = 1,
        indexed: bool = True,
        seed: random.Random | None = None,
        behind: Literal[412, 429] = 429,
    ) -> None:
        self.unix = unix
        self.random = seed or random.Random(0)
        self.nodes = [Node(f"n{number}") for number in range(nodes)]
        self.indexed = indexed
        self.behind: Literal[412, 429] = behind
        self.mounts: dict[str, str] = {}
        self.tokens: dict[str, Token] = {"root": Token((ROOT,))}
        self.policies: dict[str, Rules] = {"default": DEFAULT}
        self.logins: dict[tuple[str, str], tuple[tuple[Rules, ...], float]] = {}
        self.changed: Changed = lambda *_: None
        self.shown: Shown = lambda *_: None
        self.sealed = False
        self.throttled = False
        self.stumbles: Literal["done", "undone"] | None = None
        self.lag: Callable[[], float] = lambda: 0.0
        self.lock = threading.RLock()
        self._leader = self.nodes[0]
        self._leaderless_until = 0.0
        self._history: dict[str, list[tuple[int, Secret | None]]] = {}
        self._commits = 0
        self._asked = 0
        self._made = 0

    # The cluster.

    @property
    def leader(self) -> Node | None:
        """The node that writes; None while there is none."""
        now = self.unix()
        if now < self._leaderless_until or not self.nodes:
            return None
        if self._leader.dead_until > now:
            self._elect()
        return self._leader

    def kill_leader(self, *, election: float, back: float) -> None:
        """Kill the leader: there is no leader for ``election`` seconds, and the node is back after ``back``."""
        now = self.unix()
        self._leader.dead_until = now + back
        self._leaderless_until = now + election

    def lose_quorum(self, seconds: float) -> None:
        """Leave one node running, which only answers reads from its copy."""
        self._leaderless_until = self.unix() + seconds
        for node in self.nodes[1:]:
            node.dead_until = self.unix() + seconds

    def hold(self, node: Node, seconds: float) -> None:
        """Cut a standby off from the log."""
        node.held_until = self.unix() + seconds

    def settle(self) -> None:
        """Let every entry reach every node."""
        now = self.unix()
        for node in self.nodes:
            node.reached = [min(when, now) for when in node.reached]

    def calm(self) -> None:
        """End every fault."""
        self.sealed = self.throttled = False
        self.stumbles = None
        self._leaderless_until = 0.0
        for node in self.nodes:
            node.held_until = node.dead_until = 0.0

    def route(self) -> Node:
        """Return a node as a load balancer without health checks does."""
        return self.nodes[0] if len(self.nodes) == 1 else self.random.choice(self.nodes)

    def _elect(self) -> None:
        alive = [node for node in self.nodes if node.dead_until <= self.unix()]
        self._leader = self.random.choice(alive or self.nodes)
        now = self.unix()
        # Only a node that has every committed entry can win.
        self._leader.reached = [min(when, now) for when in self._leader.reached]

    def _applied(self, node: Node) -> int:
        return self._commits if node is self._leader else bisect.bisect_right(node.reached, self.unix())

    def secret(self, key: str, *, at: int | None = None) -> Secret | None:
        """Return a secret by mount and path, as of the newest entry or of this one."""
        history = self._history.get(key, [])
        target = len(history) if at is None else bisect.bisect_right(history, at, key=lambda entry: entry[0])
        return history[target - 1][1] if target else None

    def keys(self, prefix: str, *, at: int | None = None) -> list[str]:
        """List what is below a prefix."""
        return sorted(key for key in self._history if key.startswith(prefix) and self.secret(key, at=at) is not None)

    def _commit(self, owner: object, key: str, after: Secret | None) -> None:
        before = self.secret(key)
        self._commits += 1
        now = self.unix()
        for node in self.nodes:
            if node is self._leader:
                node.reached.append(now)
                continue
            last = node.reached[-1] if node.reached else 0.0
            node.reached.append(max(last, now + self.lag(), node.held_until))
        self._history.setdefault(key, []).append((self._commits, after))
        self.changed(owner, key, before, after)

    # Requests.

    def answer(self, ask: Ask, node: Node | None = None) -> Reply | Silence:
        """Answer one request at a node with its current copy."""
        with self.lock:
            at = node or self.route()
            if at.dead_until > self.unix():
                return "connect"
            response = self._respond(ask, at)
            if isinstance(response, str):
                return response
            # A write's answer has the index of its own entry, at whichever node it arrived.
            return self._reply(response, self._commits if ask.method != "GET" else self._asked)

    def do(
        self, method: str, path: str, body: object = None, *, kind: str = "application/json", owner: object = None
    ) -> Json:
        """Carry out as root at the leader, despite all faults, a request that must succeed."""
        headers = {"x-vault-token": "root", "content-type": kind}
        with self.lock:
            plain, _, query = path.partition("?")
            asked = dict(part.split("=") for part in query.split("&") if part)
            sent = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
            ask = Ask(method, plain, asked, headers, sent, owner)
            kept = self._leaderless_until, self._leader.dead_until, self.stumbles
            self._leaderless_until, self._leader.dead_until, self.stumbles = 0.0, 0.0, None
            response = self._routed(ask, self._leader, self._commits, (ROOT,))
            self._leaderless_until, self._leader.dead_until, self.stumbles = kept
        assert not isinstance(response, str)
        assert response.status < 300, (method, path, response)
        return response.body

    def _reply(self, response: Response, index: int) -> Reply:
        headers = {"content-type": "application/json"}
        if self.indexed and not response.bare and response.status < 500:
            headers["x-vault-index"] = _index(index)
        if response.status in (412, 429):
            headers["retry-after"] = "1"
        body = (
            b""
            if response.status == 204 or (response.status == 404 and not response.body)
            else json.dumps(response.body).encode()
        )
        return Reply(response.status, headers, body)

    def _respond(self, ask: Ask, node: Node) -> Response | Silence:
        if self.sealed:
            return refused(503, "Vault is sealed")
        if self.throttled and not ask.path.startswith("sys/"):
            return refused(429, f'request path "{ask.path}": rate limit quota exceeded')
        applied, forwards = self._applied(node), ask.headers.get("x-vault-inconsistent") == FORWARD
        wanted = ask.headers.get("x-vault-index")
        if wanted is not None and self.indexed:
            index = _read_index(wanted)
            if index is None:
                return refused(400, 'failed to decode "X-Vault-Index"')
            if index > applied:
                if not forwards:
                    return (
                        refused(self.behind) if self.behind == 429 else refused(412, "required index state not present")
                    )
                leader = self.leader
                if leader is None:
                    return refused(307)
                return self._as(ask, leader)
        return self._as(ask, node)

    def _as(self, ask: Ask, node: Node) -> Response | Silence:
        """Answer at this node, with the token of the request."""
        if ask.path.startswith("auth/") and ask.path.endswith("/login"):
            return self._login(ask)
        token = self._token(ask)
        if token is None:
            return refused(403, "permission denied")
        self._asked = self._applied(node)
        return self._routed(ask, node, self._asked, token.policies, token)

    def _token(self, ask: Ask) -> Token | None:
        token = self.tokens.get(ask.headers.get("x-vault-token", ""))
        if token is None or (token.ends is not None and token.ends <= self.unix()):
            return None
        if token.uses is not None:
            if token.uses <= 0:
                return None
            token.uses -= 1
        return token

    def _login(self, ask: Ask) -> Response:
        body = _json(ask.body)
        found = self.logins.get((str(body.get("role_id")), str(body.get("secret_id"))))
        if found is None:
            return refused(400, "invalid role or secret ID")
        policies, ttl = found
        name = self.mint(policies, ttl=ttl)
        return Response(
            200, {"auth": {"client_token": name, "lease_duration": int(ttl), "renewable": True}, "data": None}
        )

    def mint(self, policies: tuple[Rules, ...], *, ttl: float = 0.0, uses: int | None = None) -> str:
        """Make a token."""
        self._made += 1
        name = f"s.simulated{self._made:04d}{self.random.getrandbits(64):016x}"
        ends = self.unix() + ttl if ttl else None
        self.tokens[name] = Token((DEFAULT, *policies), ttl, ends, uses)
        return name

    def _routed(
        self, ask: Ask, node: Node, at: int, policies: tuple[Rules, ...], token: Token | None = None
    ) -> Response | Silence:
        match ask.path.split("/"):
            case ["sys", "internal", "ui", "mounts", *rest]:
                return self._mount(rest, policies)
            case ["sys", "capabilities-self"]:
                caps = {path: sorted(allowed(policies, path)) for path in _json(ask.body).get("paths", [])}
                return (
                    Response(200, {**caps, "data": caps})
                    if _may(policies, ask.path, "update")
                    else refused(403, DENIED)
                )
            case ["auth", "token", word] if word.endswith("-self"):
                return self._self(ask, word, policies, token)
            case ["sys", *_] | ["auth", *_]:
                return self._admin(ask)
            case [mount, kind, *rest] if mount in self.mounts:
                return self._kv(ask, (mount, kind, "/".join(rest)), node, at, policies)
            case _:
                return refused(404, f'no handler for route "{ask.path}". route entry not found.')

    def _mount(self, rest: list[str], policies: tuple[Rules, ...]) -> Response:
        name = rest[0] if rest else ""
        if name not in self.mounts or not covers_below(policies, f"{name}/"):
            text = f'preflight capability check returned 403, please ensure client\'s policies grant access to path "{name}/"'
            return refused(403, text)
        return Response(200, {"data": {"type": "kv", "options": {"version": self.mounts[name]}, "path": f"{name}/"}})

    def _self(self, ask: Ask, word: str, policies: tuple[Rules, ...], token: Token | None) -> Response:
        name = ask.headers.get("x-vault-token", "")
        if not _may(policies, ask.path, "read" if word == "lookup-self" else "update") or token is None:
            return refused(403, DENIED)
        left = max(token.ends - self.unix(), 0) if token.ends is not None else 0
        match word:
            case "lookup-self":
                return Response(200, {"data": {"id": name, "ttl": int(left), "renewable": bool(token.ttl)}})
            case "renew-self":
                token.ends = self.unix() + token.ttl if token.ttl else None
                auth = {"client_token": name, "lease_duration": int(token.ttl), "renewable": True}
                return Response(200, {"auth": auth, "data": None})
            case _:
                self.tokens.pop(name, None)
                return Response(204)

    def _admin(self, ask: Ask) -> Response:
        body = _json(ask.body)
        match ask.path.split("/"):
            case ["sys", "mounts", name]:
                self.mounts[name] = str((body.get("options") or {}).get("version", "2"))
                return Response(204)
            case ["sys", "policies", "acl", name]:
                self.policies[name] = parse(body["policy"])
                return Response(204)
            case ["auth", "token", "create"]:
                rules = tuple(self.policies[name] for name in body.get("policies", []) if name in self.policies)
                return Response(200, {"auth": {"client_token": self.mint(rules, uses=body.get("num_uses"))}})
            case _:
                return refused(404, "no such path in the model")

    # The engine.

    def _kv(
        self, ask: Ask, where: tuple[str, str, str], node: Node, at: int, policies: tuple[Rules, ...]
    ) -> Response | Silence:
        mount, kind, path = where
        if (
            ask.method == "GET"
            and kind in ("metadata", "detailed-metadata")
            and ("list" in ask.query or "scan" in ask.query)
        ):
            return self._listed(ask, where, at, policies)
        key, local = f"{mount}/{path}", self.secret(f"{mount}/{path}", at=at)
        need = _needed(ask.method, kind, local)
        if need is None:
            return refused(405)
        if not _may(policies, f"{mount}/{kind}/{path}", need):
            return refused(403, DENIED)
        if ask.method == "GET":
            self.shown(ask.owner, key, local)
            return kv.read(local, ask.query.get("version", "")) if kind == "data" else kv.metadata(local)
        return self._written(ask, where, key, node, local)

    def _written(
        self, ask: Ask, where: tuple[str, str, str], key: str, node: Node, local: Secret | None
    ) -> Response | Silence:
        if node is not self._leader or self.leader is None:
            # A standby judges by its own copy first, and then forwards.
            response, change = self._outcome(ask, where[1], local)
            if change is None:
                return response
            if self.leader is None:
                return "hang" if self.random.random() < 0.5 else refused(500, _NO_LEADER)
        stumbles, self.stumbles = self.stumbles, None
        if stumbles == "undone":
            return refused(500, "leadership lost while committing log")
        response, change = self._outcome(ask, where[1], self.secret(key))
        if change is not None:
            self._commit(ask.owner, key, change.after)
        if ask.method != "DELETE" and response.status < 500 and not response.bare:
            self.shown(ask.owner, key, self.secret(key))
        return refused(500, "leadership lost while committing log") if stumbles == "done" else response

    def _outcome(self, ask: Ask, kind: str, secret: Secret | None) -> kv.Outcome:
        try:
            body = _json(ask.body)
        except ValueError:
            return refused(400, "failed to decode JSON input: unexpected EOF"), None
        now = _stamp(self.unix())
        match ask.method, kind:
            case (("POST" | "PUT"), "data"):
                return kv.write(secret, body, now)
            case "PATCH", "metadata":
                return kv.patch(secret, body, ask.headers.get("content-type", ""), now)
            case (("POST" | "PUT"), "metadata"):
                return kv.put_metadata(secret, body, now)
            case "DELETE", "data":
                return kv.delete(secret, None, now)
            case (("POST" | "PUT"), "delete"):
                return kv.delete(secret, [int(number) for number in body["versions"]], now)
            case (("POST" | "PUT"), "undelete"):
                return kv.undelete(secret, [int(number) for number in body["versions"]])
            case (("POST" | "PUT"), "destroy"):
                return kv.destroy(secret, [int(number) for number in body["versions"]])
            case _:
                return Response(204), Change(None)

    def _listed(self, ask: Ask, where: tuple[str, str, str], at: int, policies: tuple[Rules, ...]) -> Response:
        mount, kind, path = where
        folder = f"{path.rstrip('/')}/" if path.strip("/") else ""
        if not _may(policies, f"{mount}/{kind}/{folder}", "list" if kind == "metadata" else "scan"):
            return refused(403, DENIED)
        start = f"{mount}/{folder}"
        found = {key.removeprefix(start): self.secret(key, at=at) for key in self.keys(start, at=at)}
        if kind == "metadata":
            names = sorted({name.partition("/")[0] + ("/" if "/" in name else "") for name in found})
            return Response(200, {"data": {"keys": names}}) if names else NOTHING
        for name, secret in found.items():
            self.shown(ask.owner, start + name, secret)
        infos = {name: kv.described(secret) for name, secret in found.items() if secret is not None}
        return Response(200, {"data": {"keys": sorted(infos), "key_info": infos} if infos else {}})


def _needed(method: str, kind: str, secret: Secret | None) -> str | None:
    match method, kind:
        case "GET", ("data" | "metadata"):
            return "read"
        case (("POST" | "PUT"), ("data" | "metadata")):
            return "create" if secret is None else "update"
        case (("POST" | "PUT"), ("delete" | "undelete" | "destroy")):
            return "update"
        case "PATCH", "metadata":
            return "patch"
        case "DELETE", ("data" | "metadata"):
            return "delete"
        case _:
            return None


def _may(policies: tuple[Rules, ...], path: str, need: str) -> bool:
    return bool({need, "root"} & allowed(policies, path))


@lru_cache
def _index(value: int) -> str:
    return base64.b64encode(json.dumps({"cluster": "simulated", "value": str(value)}).encode()).decode()


@lru_cache
def _read_index(text: str) -> int | None:
    try:
        return int(json.loads(base64.b64decode(text, validate=True))["value"])
    except (ValueError, KeyError, TypeError):
        return None


def _json(body: bytes) -> dict[str, Any]:
    return dict(json.loads(body)) if body else {}


@lru_cache(maxsize=64)
def _stamp(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
