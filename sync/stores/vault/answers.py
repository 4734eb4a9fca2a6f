"""Judging Vault's answers: statuses and texts in, values out. No text of an answer gets into an error.

Measured with OpenBao 2.7.2; where HashiCorp Vault documents another form, both are recognised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

from sync.core.model import StoreError, StoreErrorCode

_HEALTH = {"initialized", "sealed", "server_time_utc"}
"""Members of the answer about a server's health, which has another form than all others (OpenBao 2.7.2)."""

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

    @property
    def absent(self) -> bool:
        """Whether Vault itself says that there is nothing: a 404 without any error text or data."""
        return self.status == HTTPStatus.NOT_FOUND and self.body in ({}, {"errors": []})

    @property
    def is_vaults(self) -> bool:
        """Whether the body has the form of Vault's answers; a gateway that answers with JSON has forms of its own."""
        errors = self.body.get("errors")
        if isinstance(errors, list) and all(isinstance(text, str) for text in errors):
            return True
        # A deleted version is a 404 with data.
        known = {"request_id"} if self.status >= HTTPStatus.BAD_REQUEST else {"data", "auth", "request_id"}
        return not known.isdisjoint(self.body) or "metadata" in self.data or self.body.keys() >= _HEALTH


@dataclass(frozen=True, slots=True)
class Trouble:
    """A request without a usable answer. ``refused``: a 403, which an invalid token can cause; ``policy``: the policy caused it."""

    error: StoreError
    again: Again = "never"
    refused: bool = False
    policy: bool = False


_GATEWAYS = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?", re.IGNORECASE
)

CLIENT_CERTIFICATE = "Set `client_cert` and `client_key` to a certificate that the server accepts."

_TEXTS: dict[StoreErrorCode, tuple[str, str]] = {
    "sealed": ("Vault is sealed or not initialised.", "Unseal it; the next cycle then works without a restart."),
    "no-leader": (
        "Vault has no active node.",
        "Wait for the leader election; if it does not end, check the cluster's quorum.",
    ),
    "no-mount": ("There is no KV engine at the mount.", "Correct `mount`, or enable a KV version 2 engine there."),
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
    "no-patch": (
        "PATCH requests are refused, by which the marks of a secret are written, so nothing is written.",
        "Use Vault 1.10 or later, or OpenBao, and allow PATCH in every gateway before it.",
    ),
    "kv-v1": (
        "The mount is KV version 1, which has no compare-and-set and no history.",
        "Use a KV version 2 mount.",
    ),
    "unexpected": ("Vault gave an unexpected answer.", "Check Vault's log at the time of this message."),
}


def error(
    code: StoreErrorCode, detail: str = "", *, remedy: str = "", whole: bool = True, maybe_written: bool = False
) -> StoreError:
    """Return the StoreError for this code; ``detail`` is a sentence that is added to the message."""
    message, usual = _TEXTS[code]
    return StoreError(code, f"{message} {detail}".rstrip(), remedy or usual, whole=whole, maybe_written=maybe_written)


BEHIND = error("no-leader", "A node has not caught up with the last write.", whole=False)


def denied(*calls: Call) -> StoreError:
    """Return the error that names each capability that the policy lacks, and its path."""
    lacking = " and ".join(f"`{call.needs}` on the path {call.shown}" for call in calls)
    rules = " ".join(f'path "{call.shown}" {{ capabilities = ["{call.needs}"] }}' for call in calls)
    return StoreError(
        "denied",
        f"Vault's policy denies the {'capabilities' if len(calls) > 1 else 'capability'} {lacking}.",
        f"Add to the policy: {rules}",
        owner="operator",
    )


def restricted(call: Call) -> StoreError:
    """Return the error of a request that was denied although the policy has its capability: for its parameters."""
    parameters = "`custom_metadata`" if call.method == "PATCH" else "`data` and `options`"
    return StoreError(
        "denied",
        f"The policy has the capability `{call.needs}` on the path {call.shown}, but restricts the parameters of the request.",
        f'In the policy for path "{call.shown}", let allowed_parameters and denied_parameters permit {parameters}.',
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
    if status == HTTPStatus.BAD_REQUEST and "will be unavailable for a brief period" in text:
        # A node that was just unsealed has not loaded its mounts yet (seen with OpenBao 2.7.2).
        return Trouble(error("no-leader", "A node is not ready yet."), "no-leader")
    if status == HTTPStatus.BAD_REQUEST and "secondary mode" in text:
        # Vault's documentation of disaster recovery replication, read 2026-12-02; OpenBao has none.
        detail = "The server belongs to a disaster recovery secondary, which answers nobody."
        return Trouble(error("no-leader", detail, remedy="Set `address` to the primary cluster, or promote this one."))
    if status == HTTPStatus.FORBIDDEN:
        policy = ("1 error occurred" in text or "preflight" in text) and "invalid token" not in text
        return Trouble(denied(call), refused=True, policy=policy)
    if status == HTTPStatus.NOT_FOUND and "namespace not found" in text:
        return Trouble(error("namespace"))
    if status == HTTPStatus.NOT_FOUND and ("no handler for route" in text or _is_unknown_path(call, answer)):
        return Trouble(error("no-mount"))
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail, remedy = "The request is larger than Vault accepts.", "Raise `max_request_size` of Vault's listener."
        return Trouble(error("unexpected", detail, remedy=remedy, whole=False))
    return _server_side(call, answer) if status >= HTTPStatus.INTERNAL_SERVER_ERROR else answer


def _is_unknown_path(call: Call, answer: Answer) -> bool:
    """Check whether KV version 2 does not know this path, since the mount is not named in full: it says so in a warning.

    It does not know the detailed listing either, where the server is HashiCorp Vault.
    """
    return bool(answer.body.get("warnings")) and not answer.data and not call.listing


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
    if status in _GATEWAYS:
        return _from_gateway(call, status)
    return Trouble(error("unexpected", f"HTTP {status}.", whole=False, maybe_written=call.writes))


def _from_gateway(call: Call, status: int) -> Trouble:
    lost = error("unreachable", f"A gateway answered HTTP {status}.", maybe_written=call.writes)
    return Trouble(lost, "never" if call.writes else "connect")


def judge_page(call: Call, status: int, body: bytes, *, json: bool, parsed: bool) -> Trouble:
    """Return the trouble of an answer that is not Vault's. ``json``: its header says JSON. ``parsed``: it is a JSON object."""
    page = body[:4096].decode("latin-1").lower()
    if "http request to an https server" in page or "plain http request was sent to https port" in page:
        return Trouble(error("tls", "The server uses https, and `address` has http."))
    if status == HTTPStatus.BAD_REQUEST and "ssl certificate" in page:
        return Trouble(error("tls", "The gateway requires a client certificate.", remedy=CLIENT_CERTIFICATE))
    if status in _GATEWAYS:
        return _from_gateway(call, status)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        message = "A gateway before Vault limits the requests (HTTP 429)."
        remedy = "Raise the gateway's rate limit for this client; Vault's own quotas are not the cause."
        return Trouble(StoreError("throttled", message, remedy, whole=True), "throttled")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail = "The request is larger than a gateway before Vault accepts."
        remedy = "Raise the gateway's limit for the bodies of requests."
        return Trouble(error("unexpected", detail, remedy=remedy, whole=False))
    if call.method == "PATCH" and status in (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED):
        return Trouble(error("no-patch", f"A gateway answered HTTP {status}.", whole=False))
    if status < HTTPStatus.MULTIPLE_CHOICES and json and not parsed:
        return Trouble(error("unreadable", whole=False))
    content = "a page" if not json else "JSON of another form"
    detail = f"It answered {call.method} /v1/{call.shown} with HTTP {status} and {content if body else 'nothing'}."
    unknown = call.writes and status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return Trouble(error("not-vault", detail, maybe_written=unknown))


def judge_redirect(status: int, location: str, address: str) -> Trouble:
    """Return the trouble of a redirect, which is never followed: a standby's to the active node, or a gateway's."""
    target = _ORIGIN.match(location)
    here = _ORIGIN.match(address)
    if (
        status == HTTPStatus.TEMPORARY_REDIRECT
        and target
        and here
        and (target["host"].lower() != here["host"].lower() or target["scheme"].lower() == here["scheme"].lower())
    ):
        return Trouble(error("no-leader"), "no-leader")
    where = f" to {target[0]}" if target else ""
    detail = f"It redirects{where} (HTTP {status}), and redirects are not followed."
    return Trouble(error("not-vault", detail, remedy="Set `address` to the address that Vault itself answers at."))
