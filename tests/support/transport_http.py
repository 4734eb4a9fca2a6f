"""HTTP over one of httpx's transports instead of the network, with the errors that ``sync.http`` raises."""

from __future__ import annotations

from typing import Any

import httpx

from sync.http import HttpError, Kind, Response
from sync.http.response import Refused, read
from tests.support.memory_http import MemoryHttp, Sent


class TransportHttp(MemoryHttp):
    """Sends each request over ``transport``; a timeout is the transport's to raise."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        super().__init__()
        self._transport = transport

    def answer(self, sent: Sent) -> Response:
        """Send one request and read its answer; raises HttpError and nothing else."""
        kind: Kind
        maybe_sent = False
        try:
            request = httpx.Request(sent.method, sent.url, headers=dict(sent.headers), content=sent.body)
            maybe_sent = True
            response = self._transport.handle_request(request)
            stream: Any = response.stream
            try:
                return read(response.status_code, response.headers.raw, stream, sent.limit, sent.sink)
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
        raise HttpError(kind, maybe_sent=maybe_sent and kind != "proxy")
