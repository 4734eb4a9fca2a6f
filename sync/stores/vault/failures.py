"""Judging requests to Vault that got no answer: what went wrong on the way, and what helps."""

from __future__ import annotations

from dataclasses import replace

from sync.http import HttpError
from sync.stores.vault.answers import CLIENT_CERTIFICATE, Again, Call, Trouble, error

_TLS_REMEDIES = (
    ("certificate required", CLIENT_CERTIFICATE),
    ("client certificate", CLIENT_CERTIFICATE),
    ("client_", "Correct the file that `client_cert` or `client_key` names."),
    ("alert", "Check with Vault's listener: the server refused the handshake, such as for the client certificate."),
    (
        "key usage",
        "Issue the CA's certificate again with the extension keyUsage (keyCertSign), and put it into `ca_file`.",
    ),
    ("key identifier", "Issue the certificate again with the key identifiers that RFC 5280 requires."),
    ("basic constraints", "Issue the CA's certificate again with critical basicConstraints (CA:TRUE)."),
    ("issuer certificate", "Put the certificate of the CA that issued the server's into `ca_file`."),
    ("self-signed", "Put the certificate of the CA that issued the server's into `ca_file`."),
    ("self signed", "Put the certificate of the CA that issued the server's into `ca_file`."),
    ("mismatch", "Set `address` to a name that the server's certificate has, or add this name to the certificate."),
    ("expired", "Renew the certificate of the server or of its CA; check this machine's clock."),
    ("not yet valid", "Check this machine's clock, and the certificate's dates."),
    ("wrong version number", "Set the scheme of `address` to http if the server does not use TLS."),
    ("record layer failure", "Set the scheme of `address` to http if the server does not use TLS."),
)
"""Parts of OpenSSL's reasons, and of this program's own, with what helps; the first one that is found counts."""


def lost(call: Call, failure: HttpError) -> Trouble:
    """Return the trouble of a request without an answer; a write that may have taken effect is not retried."""
    maybe = call.writes and failure.maybe_sent
    again: Again = "never" if maybe else "connect"
    detail = f"{failure.detail[:1].upper()}{failure.detail[1:]}." if failure.detail else ""
    match failure.kind:
        case "timeout":
            return Trouble(error("timeout", maybe_written=maybe))
        case "tls":
            return Trouble(error("tls", detail, remedy=tls_remedy(failure.detail), maybe_written=maybe))
        case "ca-file":
            return Trouble(
                error("tls", "`ca_file` cannot be read, or holds no certificate in PEM.", maybe_written=maybe)
            )
        case "too-large":
            return Trouble(error("unreadable", whole=False, maybe_written=maybe))
        case "bad-request":
            return Trouble(error("credentials"))
        case "proxy":
            return Trouble(error("unreachable", f"The proxy failed. {detail}".rstrip(), maybe_written=maybe), again)
        case "dns":
            return Trouble(error("unreachable", "Its host name cannot be resolved.", maybe_written=maybe), again)
        case "protocol" | "unwanted-encoding":
            return Trouble(error("not-vault", maybe_written=maybe))
        case "connect" | "reset" | "stopped":
            return Trouble(error("unreachable", detail, maybe_written=maybe), again)


def tls_remedy(reason: str) -> str:
    """Return what helps against OpenSSL's reason; empty where only the general remedy does."""
    found = (remedy for part, remedy in _TLS_REMEDIES if part in reason.lower())
    return next(found, "")


def through(trouble: Trouble, via: str) -> Trouble:
    """Add to the trouble of a request which proxy it went through, since the proxy may be the cause."""
    failed = trouble.error
    if not via or failed.error_code not in ("unreachable", "timeout", "tls", "not-vault"):
        return trouble
    remedy = f"{failed.remedy} Check that proxy, or set it aside: by NO_PROXY, `trust_env: false` or without `proxy`."
    return replace(
        trouble, error=replace(failed, message=f"{failed.message} It was asked through {via}.", remedy=remedy)
    )
