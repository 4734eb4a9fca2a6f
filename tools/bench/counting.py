"""A proxy that counts the requests through it, for runs that are not timed."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


class RequestCounter:
    """The requests so far by kind, which is the method, or for AWS the operation."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._kinds: Counter[str] = Counter()

    def count(self, kind: str) -> None:
        """Count one request."""
        with self._lock:
            self._kinds[kind] += 1

    def reset(self) -> dict[str, int]:
        """Return the counts since the last reset, and start again."""
        with self._lock:
            kinds, self._kinds = dict(sorted(self._kinds.items())), Counter()
        return kinds


def _handler(target: str, counter: RequestCounter) -> type[BaseHTTPRequestHandler]:
    upstream = threading.local()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _pass(self) -> None:
            counter.count(self.headers.get("X-Amz-Target", self.command).rpartition(".")[2])
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not hasattr(upstream, "connection"):
                upstream.connection = http.client.HTTPConnection(target, timeout=120)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            upstream.connection.request(self.command, self.path, body=body or None, headers=headers)
            answer = upstream.connection.getresponse()
            content = answer.read()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            if answer.status != http.client.NO_CONTENT:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_LIST = do_SCAN = _pass  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    return Handler


@contextmanager
def counted(target: str) -> Iterator[RequestCounter]:
    """Run the proxy before a plain HTTP address until the block ends."""
    counter = RequestCounter("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(urlsplit(target).netloc, counter))
    server.daemon_threads = True
    counter.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield counter
    finally:
        server.shutdown()
        server.server_close()
