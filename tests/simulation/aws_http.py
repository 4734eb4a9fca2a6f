"""Connects the model of Secrets Manager to boto3: the whole library runs, and no socket is opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from botocore.awsrequest import AWSResponse

from sync.runtime.threads import Clock
from sync.stores.aws.store import AwsSettings, AwsStore
from tests.simulation.secrets_manager import SecretsManager

Send = Callable[[str, dict[str, Any]], tuple[int, dict[str, Any]]]
"""Takes an operation and its parameters in JSON; gives status and body, or raises as botocore's sockets do."""


def response(url: str, status: int, body: dict[str, Any]) -> AWSResponse:
    """Return an answer as botocore builds it from the network."""
    made = AWSResponse(url, status, {"Content-Type": "application/x-amz-json-1.1"}, None)
    made._content = json.dumps(body).encode()
    return made


def handler(send: Send) -> Callable[..., AWSResponse]:
    """Return a handler that botocore calls before it sends, whose result replaces the network's answer."""

    def before_send(request: Any, **_: Any) -> AWSResponse:
        target = request.headers["X-Amz-Target"]
        operation = (target.decode() if isinstance(target, bytes) else target).partition(".")[2]
        status, body = send(operation, json.loads(request.body or b"{}"))
        return response(request.url, status, body)

    return before_send


def over(send: Send, name: str, settings: AwsSettings, *, clock: Clock, workers: int = 4) -> AwsStore:
    """Return a store whose every request goes to ``send``."""
    store = AwsStore(name, settings, clock=clock, workers=workers)
    client, answer = store._client, handler(send)

    def count(**event: Any) -> AWSResponse:
        client.requests += 1
        return answer(**event)

    # What counts requests is called before each is sent; its answer is the library's seam for a network of one's own.
    client._count = count  # type: ignore[method-assign,assignment]
    client._pending = client._new_client()
    return store


def plain(model: SecretsManager, owner: object = None) -> Send:
    """Return a function that sends to a model, which answers at once."""
    return lambda operation, body: model.call(operation, body, owner=owner)
