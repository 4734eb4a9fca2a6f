"""What an answer of Vault's means: statuses and texts in, values out. No answer's text ever gets into an error.

Measured with OpenBao 2.7.2; where HashiCorp Vault is documented to differ both forms are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Literal

from sync.core.model import StoreError, StoreErrorCode

Again = Literal["never", "soon", "no-leader", "throttled", "connect"]
"""Whether asking again can help: "soon" is a node that has not caught up with a write yet."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``path`` is quoted and without /v1/; ``shown`` and ``needs`` name it and its capability in errors."""

    method: str
    path: str
    needs: str = ""
    shown: str = ""
    body: Mapping[str, Any] | None = None
    content_type: str = "application/json"
    namespace: str | None = None
    limit: int = 1 << 20

    @property
    def writes(self) -> bool:
        """Whether the request may change something that a second sending would not leave as it is."""
        return self.method == "POST"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that Vault itself gave to the question asked, refusals of a 400 and absences of a 404 included."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> Mapping[str, Any]:
        """The member ``data``, empty where there is none."""
        data = self.body.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def text(self) -> str:
        """Vault's error texts, to be compared and never shown."""
        errors = self.body.get("errors")
        return "\n".join(str(error) for error in errors) if isinstance(errors, list) else ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """No answer to the question. ``refused``: a 403, which may be the token's fault; ``policy``: surely the policy's."""

    error: StoreError
    again: Again = "never"
    refused: bool = False
    policy: bool = False


_TEXTS: dict[StoreErrorCode, tuple[str, str]] = {
    "sealed": ("Vault is sealed or not initialised.", "Unseal it; the next cycle goes on by itself."),
    "no-leader": ("Vault has no leader now.", "Wait for the election; if it lasts, look after the cluster's quorum."),
    "no-mount": ("There is no KV engine at the mount.", "Correct `mount`, or enable a KV version 2 engine there."),
    "namespace": ("The namespace does not exist.", "Correct `namespace`; it is the full path, without the mount."),
    "throttled": ("Vault refused requests by a quota.", "Raise the rate limit quota for this client, or wait."),
    "not-vault": (
        "What answers at the address is not Vault.",
        "Check `address`: a proxy, a login page or another service answers there.",
    ),
    "unreadable": ("The answer is too large or cannot be parsed.", "Look at the secret by hand; it is left alone."),
    "unreachable": ("Vault cannot be reached.", "Check `address`, the network and that Vault runs."),
    "timeout": ("Vault did not answer within the timeout.", "Look after Vault, or raise `timeout`."),
    "tls": (
        "The TLS connection to Vault was refused.",
        "Check `ca_file`, the certificate's host name and its end; `address` must name the scheme that Vault speaks.",
    ),
    "credentials": (
        "The token cannot be sent in a header.",
        "The token holds a line break or another control character; write it again.",
    ),
    "kv-v1": (
        "The mount is KV version 1, which has no compare-and-set and no history.",
        "Use a KV version 2 mount: `vault kv enable-versioning MOUNT`.",
    ),
    "unexpected": ("Vault gave an unexpected answer.", "Look into Vault's own log at this time."),
}


def error(reason: StoreErrorCode, detail: str = "", *, whole: bool = True, maybe_written: bool = False) -> StoreError:
    """Make the StoreError of this reason; ``detail`` is a sentence of ours that is added to the message."""
    message, remedy = _TEXTS[reason]
    return StoreError(reason, f"{message} {detail}".rstrip(), remedy, whole=whole, maybe_written=maybe_written)


BEHIND = error("no-leader", "A node has not caught up with the last write.", whole=False)


def denied(call: Call) -> StoreError:
    """Return which capability on which path the policy lacks."""
    return StoreError(
        "denied",
        f"Vault's policy denies `{call.needs}` on {call.shown}.",
        f'Add to the policy: path "{call.shown}" {{ capabilities = ["{call.needs}"] }}',
        owner="operator",
    )


def judge(call: Call, answer: Answer) -> Answer | Trouble:
    """Tell an answer from a trouble of the store; first match wins."""
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
        # A node that was just unsealed has not looked at its mounts yet (seen with OpenBao 2.7.2).
        return Trouble(error("no-leader", "A node is not ready yet."), "no-leader")
    if status == HTTPStatus.FORBIDDEN:
        policy = "1 error occurred" in text and "invalid token" not in text
        return Trouble(denied(call), refused=True, policy=policy)
    if status == HTTPStatus.NOT_FOUND and "namespace not found" in text:
        return Trouble(error("namespace"))
    if status == HTTPStatus.NOT_FOUND and "no handler for route" in text:
        return Trouble(error("no-mount"))
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Trouble(error("unexpected", "The request is larger than Vault takes.", whole=False))
    return _server_side(call, answer) if status >= HTTPStatus.INTERNAL_SERVER_ERROR else answer


def _server_side(call: Call, answer: Answer) -> Trouble:
    status, text = answer.status, answer.text
    if status == HTTPStatus.NOT_IMPLEMENTED or (
        status == HTTPStatus.SERVICE_UNAVAILABLE and ("sealed" in text or "not initialized" in text)
    ):
        # One node that was restarted does not speak for a cluster: behind a balancer the next try meets another.
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
