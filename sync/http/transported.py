"""A request over one of httpx's transports in place of the network, with the errors that sockets of ours raise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from sync.http.response import Refused, Response, read
from sync.http.sockets import Attempt, Cut


def over(
    transport: httpx.BaseTransport,
    attempt: Attempt,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None,
    limit: int,
) -> Response:
    """Send one request and read its answer; its connection is always a new one. Raises Cut and Refused."""
    attempt.fresh = True
    try:
        request = httpx.Request(method, url, headers=dict(headers), content=body)
        attempt.sent = True
        response = transport.handle_request(request)
        stream: Any = response.stream
        try:
            return read(response.status_code, response.headers.raw, stream, limit)
        finally:
            response.close()
    except httpx.TimeoutException:
        raise Cut("timeout") from None
    except httpx.ProxyError:
        raise Cut("proxy") from None
    except httpx.RemoteProtocolError:
        raise (Cut("reset") if attempt.closed else Refused("protocol")) from None
    except httpx.ConnectError:
        raise Cut("connect") from None
    except httpx.NetworkError:
        raise Cut("reset") from None
    except (httpx.LocalProtocolError, httpx.InvalidURL, ValueError):
        raise Refused("bad-request") from None
