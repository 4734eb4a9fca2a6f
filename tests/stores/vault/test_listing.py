"""OpenBao's detailed listing is read in parts, and a listing that is none, or too much, fills no memory."""

from __future__ import annotations

import itertools
import json
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.core.model import Key, StoreError
from sync.core.secret import Secret
from sync.runtime.threads import SystemClock
from sync.stores.vault import kv
from sync.stores.vault.listing import DetailedListing
from sync.stores.vault.settings import TokenLogin, VaultSettings
from sync.stores.vault.store import VaultStore

MIB = 1 << 20
META = {
    "cas_required": False,
    "current_version": 2,
    "custom_metadata": {"instance": "acme", "page-id": 'Zürich \U0001f3d9 {"key_info":{'},
    "max_versions": 0,
    "versions": {"1": {"created_time": "t", "deletion_time": ""}, "2": {"created_time": "u", "destroyed": False}},
}  # fmt: skip
LISTING = {
    "request_id": "x",
    "data": {"key_info": {'a\\"}': META, "team/": {}, "bad": {"current_version": "2"}}, "keys": ["a"]},
    "warnings": None,
}


@given(st.lists(st.integers(1, 900), max_size=6), st.sampled_from([None, 1]), st.booleans())
def test_listing_in_parts(cuts: list[int], indent: int | None, escaped: bool) -> None:
    """However an answer is cut, the metadata of each secret is what the whole answer holds; a folder has none."""
    body = json.dumps(LISTING, indent=indent, ensure_ascii=escaped).encode()
    listing = DetailedListing()
    for start, end in itertools.pairwise([0, *sorted(cuts), len(body)]):
        listing.feed(body[start:end])
    assert listing.finish() == {'a\\"}': kv.info(META), "bad": None}


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"<html>", b'{"data":{"keys":["a"]}}', b'{"data":{"key_info":{"a":1}}}', b'{"data":{"key_info":{"a":{', b"\xff"],
)  # fmt: skip
def test_what_is_no_listing(body: bytes) -> None:
    """An answer of another form, or half of one, is refused."""

    def read() -> object:
        listing = DetailedListing()
        listing.feed(body)
        return listing.finish()

    with pytest.raises(ValueError, match=r".*"):
        read()


@contextmanager
def answering(head: bytes, part: bytes) -> Iterator[str]:
    """Serve a KV mount whose listings begin with ``head`` and go on with 60 MiB of ``part``."""

    class Handler(BaseHTTPRequestHandler):
        """Answers as Vault does, with a listing that hardly ends."""

        def do_GET(self) -> None:
            """Answer for the mount, or with the listing."""
            if "/sys/internal/" in self.path:
                self.answer(b'{"data":{"type":"kv","path":"secret/","options":{"version":"2"}}}')
            elif "metadata/" in self.path:
                self.answer(head, *itertools.repeat(part * (MIB // len(part)), 60))
            else:
                self.answer(b'{"data":{}}')

        def answer(self, *parts: bytes) -> None:
            """Send the parts one after the other."""
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            for one in parts:
                self.wfile.write(one)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    class Server(ThreadingHTTPServer):
        """A server whose clients may leave early."""

        def handle_error(self, *_: object) -> None:
            """Ignore a client that has read enough."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("head", [b'{"data":{"key_info":{"a":[', b'{"data":{"keys":[', b"[", b'{"data":{"key_info":{'])
@pytest.mark.parametrize(
    "part", [b"[],", b'{"a":0},', b'"xy",', b"[", b'{"a":', b"1,", b" ", b'"a":{"b":{}},', b"\xf0\x9f\x8f\x99"]
)
def test_listing_that_would_fill_the_memory(head: bytes, part: bytes) -> None:
    """A listing of 60 MiB of anything costs less than 32 MiB, and is an error of these reads and no absence."""
    with answering(head, part) as address:
        settings = VaultSettings(
            address=address, mount="secret", list_prefix="", login=TokenLogin(lambda: Secret("root")), timeout=20
        )
        store = VaultStore("vault", settings, clock=SystemClock())
        store.begin()
        tracemalloc.start()
        try:
            found = store.read([Key("vault", f"p{number}") for number in range(10)])
            owned = store.owned("acme")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        store.close()
    assert peak < 32 * MIB
    assert all(isinstance(one, StoreError) for one in found.values())
    assert isinstance(owned, StoreError)
