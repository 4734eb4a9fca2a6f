"""Certificates on the way to Vault: a listener that requires one of the client, and OpenSSL's own reason where TLS fails."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from sync.core.model import Absent
from sync.core.secret import Secret
from sync.stores.vault.failures import tls_remedy
from sync.stores.vault.store import VaultStore
from tests.support.clock import LeapingClock
from tests.support.rigs.vault import VaultRig
from tests.support.services.bao import Bao, bao, free_port, run_server
from tests.support.services.fault_proxy import Reply, fault_proxy
from tests.support.store_contract import failed, marks, one, payload, written

__all__ = ["bao"]


@dataclass
class Listener:
    """A server whose second listener requires a client certificate: ``rig`` is a mount in it, by the first listener."""

    address: str
    rig: VaultRig
    ca: Path
    authority: trustme.CA
    folder: Path

    def client(self, name: str = "client", authority: trustme.CA | None = None) -> Mapping[str, str]:
        """Write a client's certificate and key, and return the settings that name them."""
        pair = (authority or self.authority).issue_cert(f"{name}.internal")
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in pair.cert_chain_pems))
        pair.private_key_pem.write_to_path(key)
        return {"client_cert": str(certificate), "client_key": str(key)}

    def store(self, **settings: Any) -> VaultStore:
        """Return a store at the listener."""
        changed = self.rig.settings(address=self.address, ca_file=str(self.ca), **settings)
        return VaultStore("vault", changed, clock=LeapingClock())


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    """Run a dev server with a second listener."""
    folder, authority, port, plain = tmp_path_factory.mktemp("mtls"), trustme.CA(), free_port(), free_port()
    server = authority.issue_cert("127.0.0.1")
    ca, pem, key, config = folder / "ca.pem", folder / "server.pem", folder / "server.key", folder / "bao.hcl"
    authority.cert_pem.write_to_path(ca)
    server.private_key_pem.write_to_path(key)
    pem.write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
    config.write_text(
        f"""listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_cert_file = "{pem}"
  tls_key_file = "{key}"
  tls_client_ca_file = "{ca}"
  tls_require_and_verify_client_cert = true
}}
"""
    )
    arguments = ["-dev", "-dev-root-token-id=root", f"-dev-listen-address=127.0.0.1:{plain}", "-dev-no-store-token"]
    with run_server(folder, [*arguments, f"-config={config}"], f"http://127.0.0.1:{plain}/v1/sys/health"):
        rig = VaultRig(Bao(f"http://127.0.0.1:{plain}", "root"))
        yield Listener(f"https://127.0.0.1:{port}", rig, ca, authority, folder)


def test_client_certificate(listener: Listener) -> None:
    """With a client certificate the store works at a listener that requires one."""
    store, key = listener.store(**listener.client()), listener.rig.key("a")
    store.begin()
    assert isinstance(one(store, key), Absent)
    written(store.write(key, payload(), marks(), replaces=None))
    store.close()


def test_client_certificate_that_is_missing(listener: Listener) -> None:
    """Without a client certificate the error names it and both keys of the configuration."""
    problem = failed(one(listener.store(), listener.rig.key("a")))
    assert problem.error_code in ("tls", "unreachable")
    assert "certificate" in problem.message
    if problem.error_code == "tls":
        assert "`client_cert`" in problem.remedy
        assert "`client_key`" in problem.remedy


def test_client_certificate_of_another_authority(listener: Listener) -> None:
    """A client certificate that the listener does not trust is refused with OpenSSL's reason, unless its alert is lost."""
    store = listener.store(**listener.client("stranger", trustme.CA()))
    problem = failed(one(store, listener.rig.key("a")))
    assert problem.error_code == "unreachable" or (problem.error_code, "unknown ca" in problem.message) == ("tls", True)


@pytest.mark.parametrize("missing", ["client_cert", "client_key"])
def test_file_that_cannot_be_read_and_its_correction(listener: Listener, missing: str) -> None:
    """The file that is missing is named, and is read again in each cycle, as is one that was replaced."""
    files = listener.client(f"later-{missing[7:]}")
    kept = Path(files[missing]).read_bytes()
    Path(files[missing]).unlink()
    store, key = listener.store(**files), listener.rig.key("b")
    problem = failed(one(store, key), "tls")
    assert f"`{missing}` cannot be read" in problem.message
    Path(files[missing]).write_bytes(kept)
    store.begin()
    assert isinstance(one(store, key), Absent)
    listener.client(f"later-{missing[7:]}", trustme.CA())
    store.begin()
    failed(one(store, key))
    listener.client(f"later-{missing[7:]}")
    store.begin()
    assert isinstance(one(store, key), Absent)


def test_files_that_are_not_a_pair(listener: Listener) -> None:
    """A key that is another certificate's, an encrypted key and a file that is not PEM are named as such."""
    files, key = listener.client("pair"), listener.rig.key("a")
    other = listener.client("other")
    mixed = {**files, "client_key": other["client_key"]}
    assert "is not the key of `client_cert`" in failed(one(listener.store(**mixed), key), "tls").message
    Path(files["client_key"]).write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    assert "encrypted" in failed(one(listener.store(**files), key), "tls").message
    Path(files["client_key"]).write_text("nothing")
    assert "PEM" in failed(one(listener.store(**files), key), "tls").message


def test_gateway_that_requires_a_client_certificate(bao: Bao) -> None:
    """A gateway's page that asks for a client certificate is a TLS error that names both keys."""
    rig = VaultRig(bao)
    page = "<html><head><title>400 No required SSL certificate was sent</title></head></html>"
    with fault_proxy(bao.url) as proxy:
        proxy.rule = lambda _: Reply(400, page, {"Content-Type": "text/html"})
        store = VaultStore("vault", rig.settings(address=proxy.url), clock=LeapingClock())
        assert "`client_cert`" in failed(one(store, rig.key("a")), "tls").remedy


@pytest.mark.parametrize(
    ("wrong", "reason", "remedy"),
    [
        ("authority", "issuer certificate", "`ca_file`"),
        ("host", "mismatch", "`address`"),
        ("expired", "has expired", "Renew"),
        ("plain", "", "`address`"),
        ("closed", "closed the connection", "`address`"),
    ],
)
def test_reason_of_openssl(bao: Bao, tmp_path: Path, wrong: str, reason: str, remedy: str) -> None:
    """OpenSSL's own reason is in the message, and the remedy is that of the reason."""
    authority, rig = trustme.CA(), VaultRig(bao)
    (trustme.CA() if wrong == "authority" else authority).cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = {"not_after": datetime(2026, 1, 1, tzinfo=UTC)} if wrong == "expired" else {}
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("vault.elsewhere" if wrong == "host" else "127.0.0.1", **issued).configure_cert(tls)

    def serve() -> None:
        with suppress(OSError):
            while True:
                line, _ = server.accept()
                with suppress(OSError), line:
                    if wrong == "plain":
                        line.recv(4096)
                        line.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                    elif wrong != "closed":
                        tls.wrap_socket(line, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        address = f"https://127.0.0.1:{server.getsockname()[1]}"
        settings = rig.settings(address=address, ca_file=str(tmp_path / "ca.pem"))
        problem = failed(one(VaultStore("vault", settings, clock=LeapingClock()), rig.key("a")), "tls")
        server.shutdown(socket.SHUT_RDWR)
    assert reason in problem.message.lower()
    assert remedy in problem.remedy
    assert address in problem.message


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("CA cert does not include key usage extension", "keyUsage"),
        ("Missing Authority Key Identifier", "key identifiers"),
        ("Basic Constraints of CA cert not marked critical", "basicConstraints"),
        ("tlsv13 alert certificate required", "`client_cert`"),
        ("self-signed certificate in certificate chain", "`ca_file`"),
        ("certificate is not yet valid", "clock"),
        ("something that is new", ""),
    ],
)
def test_remedy_of_a_reason(reason: str, remedy: str) -> None:
    """A reason of OpenSSL has its own remedy, such as for a private CA that Python 3.13 rejects for want of keyUsage."""
    assert remedy in tls_remedy(reason)
    assert bool(remedy) is bool(tls_remedy(reason))


@pytest.mark.parametrize("source", ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "proxy"])
def test_proxy_that_was_used_is_named(bao: Bao, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """A failure through a proxy names the proxy without its password, where it comes from, and that NO_PROXY does not match."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    rig, url = VaultRig(bao), f"http://user:hunter2@127.0.0.1:{free_port()}"
    scheme = "https" if source == "HTTPS_PROXY" else "http"
    settings: dict[str, Any] = {"address": f"{scheme}://vault.internal:8200", "trust_env": source != "proxy"}
    if source == "proxy":
        settings["proxy"] = lambda: Secret(url)
    else:
        monkeypatch.setenv(source, url)
        monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,.example.org")
    store = VaultStore("vault", rig.settings(**settings), clock=LeapingClock())
    store.begin()
    problem = failed(one(store, rig.key("a")), "unreachable")
    assert url.rpartition("@")[2] in problem.message
    assert "hunter2" not in repr(problem)
    if source == "proxy":
        assert "of the configuration" in problem.message
    else:
        assert f"{source} in the environment, where NO_PROXY does not match vault.internal" in problem.message
        assert "NO_PROXY" in problem.remedy


def test_error_names_what_was_asked_for(bao: Bao) -> None:
    """An error names address, namespace and mount, and the path too where only that failed."""
    rig, key = VaultRig(bao), VaultRig(bao).bad_key()
    nowhere = rig.settings(address=f"http://127.0.0.1:{free_port()}", namespace="team-x")
    problem = failed(one(VaultStore("vault", nowhere, clock=LeapingClock()), key), "unreachable")
    assert problem.message.endswith(f"Address: {nowhere.address}, namespace: team-x, mount: {rig.mount}.")
    locked = failed(one(rig.make_store(), rig.bad_key()), "denied")
    assert locked.message.endswith(f"mount: {rig.mount}, path: meta/pages/locked.")
