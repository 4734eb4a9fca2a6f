"""A new token in exchange for a system user's that ends.

Meta documents the exchange as a GET with the app's secret and the token in the query (system users, install apps and
generate tokens, read 2026-11-24). Here all of it stands in the body of a POST, since a URL is written down by whatever
passes it on. That Graph takes this form was not tried against Meta.
"""

from __future__ import annotations

from collections.abc import Callable

from sync.core.model import SourceError, State, Verdict
from sync.core.secret import Secret
from sync.graph.answers import Answer
from sync.graph.client import Caller, Client
from sync.graph.errors import Fault, blames_user_token, classify
from sync.graph.gate import Gate

_LONGEST = 4096


def exchange(
    client: Client,
    gate: Gate,
    caller: Caller,
    *,
    app_id: str,
    app_secret: Secret,
    judge_again: Callable[[], Verdict],
) -> Secret | SourceError:
    """Exchange the caller's token for one of sixty days.

    ``judge_again`` has Meta judge the caller's token again, where the answer may mean that it has died.
    """
    form: dict[str, Secret | str] = {
        "grant_type": "fb_exchange_token",
        "client_id": app_id,
        "client_secret": app_secret,
        "set_token_expires_in_60_days": "true",
        "fb_exchange_token": caller.token,
    }
    got = client.post(caller, "oauth/access_token", form, "renew")
    if isinstance(got, Answer):
        new = _token(got.value.get("access_token"))
        if new is not None and new != caller.token:
            return new
        got = Fault("no-new-token")
    state = judge_again().state if blames_user_token(got, "renew") else State.UNKNOWN
    return gate.note(caller, classify(got, "renew", state), got)


def _token(value: object) -> Secret | None:
    """Take a text that can stand in a header; anything else is no token."""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        return None
    return Secret(value) if 0 < len(value) <= _LONGEST and " " not in value else None
