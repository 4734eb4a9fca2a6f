"""AWS Secrets Manager for tests: moto in this process, behind a shim that refuses what AWS refuses and fails on demand.

The shim speaks the service's JSON 1.1 protocol over HTTP: it reads the operation from X-Amz-Target, applies the rules of
aws_rules, counts, makes the fault that a test asked for, and hands the rest to moto. STS is behind the same address.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import ssl
import struct
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import boto3
import pytest
from moto.secretsmanager.models import SecretsManagerBackend
from moto.server import ThreadedMotoServer

from tests.support.services.aws_rules import refusal

REGION = "eu-central-1"
ACCESS_KEY, SECRET_KEY = "AKIACANARYCANARY0001", "canarySecretKeycanarySecretKey0123456789"


@dataclass
class Fault:
    """One fault: for which operations, after how many calls of them that go well, and for how many."""

    operation: str
    skip: int
    times: int
    make: Callable[[_Call], bool]
    """Makes the fault; gives whether the call is answered by that."""


@dataclass
class _Call:
    handler: _Handler
    operation: str
    body: dict[str, Any]

    def forward(self) -> tuple[int, bytes]:
        """Forward the call to moto."""
        return self.handler.forward()

    def answer(self, code: str, text: str, status: int = 400) -> bool:
        """Answer with an error of AWS's, in the form of the service that was asked."""
        if "X-Amz-Target" in self.handler.headers:
            content = json.dumps({"__type": code, "Message": text})
        else:
            content = f"<ErrorResponse><Error><Code>{code}</Code><Message>{text}</Message></Error></ErrorResponse>"
        self.handler.reply(status, content.encode())
        return True

    def reply(self, content: dict[str, Any] | bytes) -> bool:
        """Answer with status 200 and this body."""
        self.handler.reply(200, content if isinstance(content, bytes) else json.dumps(content).encode())
        return True

    def drip(self) -> bool:
        """Send the answer so slowly that it takes 20 s."""
        self.handler.send_response(200)
        self.handler.send_header("Content-Length", "1000")
        self.handler.end_headers()
        for _ in range(1000):
            self.handler.wfile.write(b" ")
            time.sleep(0.02)
        return True

    def cut(self) -> bool:
        """Reset the connection before the call is carried out."""
        self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.handler.close_connection = True
        self.handler.connection.close()
        return True


@dataclass
class Aws:
    """The service as tests see it: its address, its calls so far, and its faults."""

    url: str
    calls: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    forbidden: str | None = None
    """A secret whose value nobody may get."""

    @cached_property
    def client(self) -> Any:
        """Return a client of another person; its calls are counted like the store's."""
        return boto3.client(
            "secretsmanager",
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    @property
    def total(self) -> int:
        """The number of requests."""
        return sum(self.calls.values())

    def fault(self, operation: str, make: Callable[[_Call], bool], *, times: int = 1, skip: int = 0) -> None:
        """Add a fault for an operation ("" for any)."""
        self.faults.append(Fault(operation, skip, times, make))

    def refuse(
        self, operation: str, code: str, *, text: str = "no", status: int = 400, times: int = 99, skip: int = 0
    ) -> None:
        """Answer with this error without carrying the call out."""
        self.fault(operation, lambda call: call.answer(code, text, status), times=times, skip=skip)

    def lose(self, operation: str, *, times: int = 99, skip: int = 0) -> None:
        """Carry the call out and lose the answer; botocore tries three times, and each answer is lost."""

        def make(call: _Call) -> bool:
            call.forward()
            return call.cut()

        self.fault(operation, make, times=times, skip=skip)

    def cut(self, operation: str, *, times: int = 999, skip: int = 0) -> None:
        """Reset the connection before anything is done."""
        self.fault(operation, _Call.cut, times=times, skip=skip)

    def before(self, operation: str, act: Callable[[], object], *, skip: int = 0) -> None:
        """Run something just before the call is carried out, as another writer."""

        def make(_: _Call) -> bool:
            act()
            return False

        self.fault(operation, make, skip=skip)

    def delay(self, operation: str, seconds: float, *, times: int = 99) -> None:
        """Delay the answer."""

        def make(_: _Call) -> bool:
            time.sleep(seconds)
            return False

        self.fault(operation, make, times=times)

    def drip(self, operation: str) -> None:
        """Answer so slowly that it takes 20 s."""
        self.fault(operation, _Call.drip, times=99)

    def hide(self, operation: str, *, times: int) -> None:
        """Answer a read as if the last write were not visible yet."""
        self.refuse(operation, "ResourceNotFoundException", text="Secrets Manager can't find it.", times=times)

    def lag(self) -> None:
        """Freeze the lists in their present state."""
        pages = self.client.get_paginator("list_secrets").paginate(IncludePlannedDeletion=True)
        rows = [row for page in pages for row in page["SecretList"]]

        def make(call: _Call) -> bool:
            prefix = next((one["Values"][0] for one in call.body.get("Filters", [])), "")
            seen = {"SecretList": [row for row in rows if row["Name"].startswith(prefix)]}
            return call.reply(json.dumps(seen, default=lambda moment: moment.timestamp()).encode())

        self.fault("ListSecrets", make, times=999)

    def edit(self, operation: str, change: Callable[[dict[str, Any]], None], *, times: int = 99) -> None:
        """Carry the call out and change its answer."""

        def make(call: _Call) -> bool:
            status, content = call.forward()
            answer = json.loads(content)
            if status == 200:
                change(answer)
            call.handler.reply(status, json.dumps(answer).encode())
            return True

        self.fault(operation, make, times=times)

    def heal(self) -> None:
        """Remove all faults and counts."""
        self.faults.clear()
        self.calls.clear()
        self.forbidden = None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The answer's head and body are two small packets: without this each waits for the other's acknowledgement.
    disable_nagle_algorithm = True
    aws: Aws
    moto_port: int

    def do_POST(self) -> None:
        """Judge, count, fail or forward one call."""
        self.data = self.rfile.read(int(self.headers["Content-Length"]))
        call = self.call()
        operation = call.operation
        with self.aws.lock:
            self.aws.calls[operation] += 1
            self.aws.headers.append(dict(self.headers))
            due = [fault for fault in self.aws.faults if fault.times > 0 and fault.operation in ("", operation)]
            for fault in due:
                fault.skip -= 1
            due = [fault for fault in due if fault.skip < 0]
            for fault in due:
                fault.times -= 1
        for fault in due:
            if fault.make(call):
                return
        found = re.search(r"Credential=[^/]+/\d+/([^/]+)/", self.headers.get("Authorization", ""))
        if self.aws.forbidden and self.forbid(call, self.aws.forbidden):
            return
        no = refusal(found.group(1) if found else REGION, operation, call.body, self.aws.tokens)
        if no is not None:
            call.answer(*no)
        else:
            self.reply(*self.forward())

    def call(self) -> _Call:
        """Parse the operation: of Secrets Manager from a header and JSON, of STS from a form."""
        target = self.headers["X-Amz-Target"]
        if target is not None:
            return _Call(self, target.removeprefix("secretsmanager."), json.loads(self.data))
        form = dict(parse_qsl(self.data.decode()))
        return _Call(self, form["Action"], form)

    def forbid(self, call: _Call, name: str) -> bool:
        """Deny one secret's value as AWS does: by an error, or in a batch by a member of ``Errors``."""
        if call.operation == "GetSecretValue" and call.body["SecretId"] == name:
            return call.answer("AccessDeniedException", "not authorized")
        if call.operation == "BatchGetSecretValue" and name in call.body["SecretIdList"]:
            answer = json.loads(self.forward()[1])
            answer["SecretValues"] = [row for row in answer["SecretValues"] if row["Name"] != name]
            answer["Errors"].append({"SecretId": name, "ErrorCode": "AccessDeniedException", "Message": "no"})
            self.reply(200, json.dumps(answer).encode())
            return True
        return False

    def forward(self) -> tuple[int, bytes]:
        """Have moto answer; its 404 is AWS's 400, and its page numbers are tokens."""
        moto = http.client.HTTPConnection("127.0.0.1", self.moto_port, timeout=30)
        try:
            moto.request(
                "POST", "/", self.data, {key: self.headers[key] for key in self.headers if key != "Connection"}
            )
            answer = moto.getresponse()
            status, content = answer.status, answer.read()
        finally:
            moto.close()
        if status == 200 and "X-Amz-Target" in self.headers:
            self.aws.tokens.update(filter(None, [json.loads(content or b"{}").get("NextToken")]))
        return 400 if status == 404 else status, content

    def reply(self, status: int, content: bytes) -> None:
        """Send an answer."""
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Return nothing."""


class _Shim(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Ignore clients that disconnected, and connections that were cut on purpose."""


def _move_default(patch: pytest.MonkeyPatch) -> None:
    """Let moto return the version with AWSCURRENT where no stage is named, as AWS does."""
    original = SecretsManagerBackend.update_secret_version_stage

    def fixed(
        self: Any, secret_id: str, version_stage: str, remove_from: Any = None, move_to: Any = None, **named: Any
    ) -> Any:
        remove_from = named.get("remove_from_version_id", remove_from)
        move_to = named.get("move_to_version_id", move_to)
        answer = original(self, secret_id, version_stage, remove_from, move_to)
        if version_stage == "AWSCURRENT" and move_to:
            self.secrets[secret_id].default_version_id = move_to
        return answer

    patch.setattr(SecretsManagerBackend, "update_secret_version_stage", fixed)


@contextmanager
def served() -> Iterator[tuple[Aws, int]]:
    """Run moto and the shim; yields the service and moto's own port."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    _, port = moto.get_host_and_port()
    shim = _Shim(("127.0.0.1", 0), _Handler)
    aws = Aws(f"http://127.0.0.1:{shim.server_address[1]}")
    _Handler.aws, _Handler.moto_port = aws, port
    thread = threading.Thread(target=shim.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        _move_default(patch)
        yield aws, port
    shim.shutdown()
    shim.server_close()
    thread.join()
    moto.stop()


@pytest.fixture(scope="session")
def aws_server() -> Iterator[tuple[Aws, int]]:
    """Start moto and the shim once."""
    with served() as running:
        yield running


@contextmanager
def over_tls(context: ssl.SSLContext) -> Iterator[str]:
    """Serve the running shim's account on a second port, by TLS; yields its address."""
    shim = _Shim(("127.0.0.1", 0), _Handler)
    shim.socket = context.wrap_socket(shim.socket, server_side=True)
    thread = threading.Thread(target=shim.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{shim.server_address[1]}"
    finally:
        shim.shutdown()
        shim.server_close()
        thread.join()


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Remove every AWS_* variable, and write a credentials file with one made-up profile, ``prod``."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    credentials = tmp_path / "credentials"
    credentials.write_text(f"[prod]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    return credentials


@pytest.fixture
def aws(aws_server: tuple[Aws, int], aws_environment: Path) -> Iterator[Aws]:
    """Return an empty account without faults."""
    service, port = aws_server
    request = urllib.request.Request(f"http://127.0.0.1:{port}/moto-api/reset", method="POST")
    urllib.request.urlopen(request, timeout=10).close()
    service.heal()
    service.headers.clear()
    service.tokens.clear()
    yield service
    service.heal()
