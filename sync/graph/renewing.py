"""Exchange a system user's token that expires for a new one.

Meta documents the exchange as a GET with the app's secret and the token in the query (system users, install apps and
generate tokens, read 2026-11-24). Here all of it is in the body of a POST, since proxies and servers log URLs. Whether
Meta accepts this form was not tested against Meta.
"""

from __future__ import annotations

from collections.abc import Callable

from sync.core.model import SourceError, State, Verdict
from sync.core.secret import Secret, is_token
from sync.graph.answers import Answer
from sync.graph.caller import Caller
from sync.graph.client import Client
from sync.graph.errors import blames_user_token, classify
from sync.graph.fault import Fault
from sync.graph.quotas import Quotas


def exchange(
    client: Client,
    quotas: Quotas,
    caller: Caller,
    *,
    app_id: str,
    app_secret: Secret,
    judge_again: Callable[[], Verdict],
) -> Secret | SourceError:
    """Exchange the caller's token for one that is valid for sixty days.

    ``judge_again`` calls ``debug_token`` for the caller's token again, where the answer suggests that it is invalid.
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
        text = got.value.get("access_token")
        if is_token(text) and text != caller.token.reveal():
            return Secret(text)
        got = Fault("no-new-token")
    state = judge_again().state if blames_user_token(got, "renew") else State.UNKNOWN
    return quotas.record_fault(caller, classify(got, "renew", state), got)
