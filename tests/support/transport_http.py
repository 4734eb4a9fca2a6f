"""HTTP over one of httpx's transports instead of the network, with the errors that ``sync.http`` raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from sync.http import Http, HttpError, Kind, Response
from sync.http.response import Refused, Sink, read


class TransportHttp(Http):
    """Sends each request over ``transport``; a timeout is the transport's to raise."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        super().__init__()
        self._transport = transport

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        timeout: float,
        limit: int = 1 << 20,
        sink: Sink | None = None,
    ) -> Response:
        """Send one request and read its answer; raises HttpError and nothing else."""
        del timeout
        kind: Kind
        sent = False
        try:
            request = httpx.Request(method, url, headers=dict(headers), content=body)
            sent = True
            response = self._transport.handle_request(request)
            stream: Any = response.stream
            try:
                return read(response.status_code, response.headers.raw, stream, limit, sink)
            finally:
                response.close()
        except Refused as refused:
            kind = refused.kind
        except httpx.TimeoutException:
            kind = "timeout"
        except httpx.ProxyError:
            kind = "proxy"
        except httpx.RemoteProtocolError:
            kind = "protocol"
        except httpx.ConnectError:
            kind = "connect"
        except httpx.NetworkError:
            kind = "reset"
        except (httpx.LocalProtocolError, httpx.InvalidURL, ValueError):
            kind = "bad-request"
        raise HttpError(kind, maybe_sent=sent and kind != "proxy")
