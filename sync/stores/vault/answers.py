"""Judging Vault's answers: statuses and texts in, values out. No text of an answer gets into an error.

Measured with OpenBao 2.7.2; where HashiCorp Vault documents another form, both are recognised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Literal

from sync.core.model import StoreError, StoreErrorCode

Again = Literal["never", "soon", "no-leader", "throttled", "connect"]
"""Whether and how a request is retried: "soon" is for a node that has not caught up with a write yet."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``path`` is quoted and without /v1/; errors name it as ``shown``, and its capability as ``needs``.

    The data of a detailed ``listing`` is the Info of each name.
    """

    method: str
    path: str
    needs: str = ""
    shown: str = ""
    body: Mapping[str, Any] | None = None
    content_type: str = "application/json"
    namespace: str | None = None
    limit: int = 1 << 20
    listing: bool = False

    @property
    def writes(self) -> bool:
        """Whether sending the request a second time could change something again."""
        return self.method == "POST"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer by Vault itself to the request, which may be a refusal (400) or an absence (404)."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> Mapping[str, Any]:
        """The member ``data``, or an empty map."""
        data = self.body.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def text(self) -> str:
        """Vault's error texts, which are only compared, and never shown."""
        errors = self.body.get("errors")
        return "\n".join(str(error) for error in errors) if isinstance(errors, list) else ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A request without a usable answer. ``refused``: a 403, which an invalid token can cause; ``policy``: the policy caused it."""

    error: StoreError
    again: Again = "never"
    refused: bool = False
    policy: bool = False


_TEXTS: dict[StoreErrorCode, tuple[str, str]] = {
    "sealed": ("Vault is sealed or not initialised.", "Unseal it; the next cycle then works without a restart."),
    "no-leader": (
        "Vault has no active node.",
        "Wait for the leader election; if it does not end, check the cluster's quorum.",
    ),
    "no-mount": (
        "There is no KV engine at the mount.",
        "Correct `mount`, or enable a KV version 2 engine there.",
    ),
    "namespace": ("The namespace does not exist.", "Correct `namespace`: it is the full path, without the mount."),
    "throttled": ("A Vault quota rejected the request.", "Raise the rate limit quota for this client, or wait."),
    "not-vault": (
        "The server at the address does not answer as Vault does.",
        "Check `address`: it may lead to a proxy, a login page or another service.",
    ),
    "unreadable": (
        "The answer is too large or cannot be parsed.",
        "Check the secret with `vault kv get`; it is left unchanged.",
    ),
    "unreachable": ("Vault cannot be reached.", "Check `address`, the network, and that Vault is running."),
    "timeout": ("Vault did not answer within the timeout.", "Check Vault's load and log, or raise `timeout`."),
    "tls": (
        "The TLS connection to Vault failed.",
        "Check `ca_file`, and the certificate's host name and expiry; `address` must have the scheme (http, https) that Vault uses.",
    ),
    "credentials": (
        "The Vault token cannot be sent in a header.",
        "Store the Vault token again: it contains a line break or another control character.",
    ),
    "kv-v1": (
        "The mount is KV version 1, which has no compare-and-set and no history.",
        "Use a KV version 2 mount: `vault kv enable-versioning MOUNT`.",
    ),
    "unexpected": ("Vault gave an unexpected answer.", "Check Vault's log at the time of this message."),
}


def error(code: StoreErrorCode, detail: str = "", *, whole: bool = True, maybe_written: bool = False) -> StoreError:
    """Return the StoreError for this code; ``detail`` is a sentence that is added to the message."""
    message, remedy = _TEXTS[code]
    return StoreError(code, f"{message} {detail}".rstrip(), remedy, whole=whole, maybe_written=maybe_written)


BEHIND = error("no-leader", "A node has not caught up with the last write.", whole=False)


def denied(call: Call) -> StoreError:
    """Return the error that names the capability and the path that the policy lacks."""
    return StoreError(
        "denied",
        f"Vault's policy denies the capability `{call.needs}` on the path {call.shown}.",
        f'Add to the policy: path "{call.shown}" {{ capabilities = ["{call.needs}"] }}',
        owner="operator",
    )


def judge(call: Call, answer: Answer) -> Answer | Trouble:
    """Return the answer itself, or the trouble that it stands for; the first match wins."""
    status, text = answer.status, answer.text
    if (
        status in (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.TOO_MANY_REQUESTS)
        and not text.replace("required index state not present", "").strip()
    ):
        return Trouble(BEHIND, "soon")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Trouble(error("throttled"), "throttled")
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Trouble(error("no-leader"), "no-leader")
    if status == HTTPStatus.BAD_REQUEST and "will be unavailable for a brief period" in text:
        # A node that was just unsealed has not loaded its mounts yet (seen with OpenBao 2.7.2).
        return Trouble(error("no-leader", "A node is not ready yet."), "no-leader")
    if status == HTTPStatus.FORBIDDEN:
        policy = "1 error occurred" in text and "invalid token" not in text
        return Trouble(denied(call), refused=True, policy=policy)
    if status == HTTPStatus.NOT_FOUND and "namespace not found" in text:
        return Trouble(error("namespace"))
    if status == HTTPStatus.NOT_FOUND and "no handler for route" in text:
        return Trouble(error("no-mount"))
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Trouble(error("unexpected", "The request is larger than Vault accepts.", whole=False))
    return _server_side(call, answer) if status >= HTTPStatus.INTERNAL_SERVER_ERROR else answer


def _server_side(call: Call, answer: Answer) -> Trouble:
    status, text = answer.status, answer.text
    if status == HTTPStatus.NOT_IMPLEMENTED or (
        status == HTTPStatus.SERVICE_UNAVAILABLE and ("sealed" in text or "not initialized" in text)
    ):
        # One restarted node does not stand for a cluster: behind a load balancer the next try reaches another node.
        return Trouble(error("sealed"), "connect")
    if status == HTTPStatus.INTERNAL_SERVER_ERROR and "active cluster node not found" in text:
        return Trouble(error("no-leader"), "no-leader")
    if status == HTTPStatus.INTERNAL_SERVER_ERROR and (
        "leadership lost" in text or "not the leader" in text or "not leader" in text
    ):
        lost = error("no-leader", maybe_written=call.writes)
        return Trouble(lost, "never" if call.writes else "no-leader")
    if status in (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT):
        lost = replace(error("unreachable", f"A gateway answered HTTP {status}."), maybe_written=call.writes)
        return Trouble(lost, "never" if call.writes else "connect")
    return Trouble(error("unexpected", f"HTTP {status}.", whole=False, maybe_written=call.writes))
