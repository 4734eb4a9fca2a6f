"""Stores that are broken in one way each, on a real OpenBao: doctor names the cause and the cure, and after the cure nothing is wrong."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from sync.core.report.finding import Finding
from tests.doctor.setups import Setup, failed, results, setup, tls_before
from tests.support.rigs.vault_program import vault_store
from tests.support.services.aws import REGION, Aws, aws, aws_environment, aws_server
from tests.support.services.aws_rules import secret as rotated
from tests.support.services.bao import Bao, bao, dev_node, free_port
from tests.support.services.fault_proxy import Reply, fault_proxy

__all__ = ["aws", "aws_environment", "aws_server", "bao"]


class Vault:
    """A set-up that works with a mount of OpenBao, with its root token."""

    def __init__(self, made: Setup, bao: Bao) -> None:
        self.made, self.bao, self.mount = made, bao, bao.mount()
        made.secret("vault_token", bao.root)
        self.write()

    def write(self, **changes: Any) -> None:
        """Write the configuration with another store."""
        store = vault_store(self.bao, self.mount, self.made.rig.folder / "vault_token")
        self.made.rig.write(stores={"store": {**store, **changes}})

    def put(self, name: str) -> str:
        """Write a secret as another program does; returns its path in the API."""
        self.bao.admin("POST", f"{self.mount}/data/meta/pages/{name}", {"data": {"access_token": "of another program"}})
        return f"{self.mount}/metadata/meta/pages/{name}"


Case = Callable[[Vault], Iterator[None]]


def changed(**changes: Any) -> Case:
    """Configure another store, and then the right one."""

    def case(vault: Vault) -> Iterator[None]:
        vault.write(**changes)
        yield
        vault.write()

    return case


def token(make: Callable[[Vault], str]) -> Case:
    """Log in with another token, and then with the right one."""

    def case(vault: Vault) -> Iterator[None]:
        vault.made.secret("vault_token", make(vault))
        yield
        vault.made.secret("vault_token", vault.bao.root)

    return case


def without_create(vault: Vault) -> str:
    """Return a token that may only read."""
    rules = f'path "{vault.mount}/*" {{ capabilities = ["read", "list"] }}'
    return vault.bao.token(vault.bao.policy(rules))


def kv_v1(vault: Vault) -> Iterator[None]:
    """Configure a mount of KV version 1."""
    yield from changed(mount=vault.bao.mount(version=1))(vault)


def foreign(vault: Vault) -> Iterator[None]:
    """Write a secret of another program at a Page's path; then delete it."""
    path = vault.put("berlin")
    yield
    vault.bao.admin("DELETE", path)


def private_authority(vault: Vault) -> Iterator[None]:
    """Serve Vault with a certificate of an unknown authority; then trust it."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(vault.made.rig.folder / "ca.pem")
    server = vault.made.stack.enter_context(tls_before(int(vault.bao.url.rpartition(":")[2]), context))
    url = server.url.replace("http://", "https://")
    vault.write(address=url)
    yield
    vault.write(address=url, ca_file=str(vault.made.rig.folder / "ca.pem"))


def client_certificate(vault: Vault) -> Iterator[None]:
    """Place a gateway before Vault that requires a client certificate, until it does not."""
    page = "<html><head><title>400 No required SSL certificate was sent</title></head></html>"
    proxy = vault.made.stack.enter_context(fault_proxy(vault.bao.url))
    proxy.rule = lambda _: Reply(400, page, {"Content-Type": "text/html"})
    vault.write(address=proxy.url)
    yield
    proxy.rule = lambda _: None


def no_patch(vault: Vault) -> Iterator[None]:
    """Place a gateway before Vault that refuses PATCH, until it does not."""
    proxy = vault.made.stack.enter_context(fault_proxy(vault.bao.url))
    proxy.rule = lambda request: Reply(405, "{}") if request.method == "PATCH" else None
    vault.write(address=proxy.url)
    yield
    proxy.rule = lambda _: None


# name; how it is broken; what fails; what message and remedy say
CASES: list[tuple[str, Case, str, tuple[str, ...]]] = [
    ("wrong address", changed(address=f"http://127.0.0.1:{free_port()}"), "store-reached store", ("127.0.0.1",)),
    ("wrong mount", changed(mount="nowhere"), "store-mount store", ("nowhere",)),
    ("KV version 1", kv_v1, "store-mount store", ("version 2",)),
    ("wrong namespace", changed(namespace="nobody"), "store-login store", ("The namespace does not exist", "nobody")),
    ("wrong token", token(lambda _: "hvs.nothing"), "store-login store", ("token",)),
    ("missing capability", token(without_create), "store-policy store", ('path "', "create")),
    ("private authority", private_authority, "store-reached store", ("ca_file",)),
    ("client certificate", client_certificate, "store-reached store", ("`client_cert`",)),
    ("no PATCH", no_patch, "store-patch store", ("PATCH",)),
    ("foreign secret", foreign, "store-secrets store meta/pages/berlin", ("no mark", "It is never overwritten")),
]


@pytest.mark.parametrize(("case", "cause", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_cause_is_named(tmp_path: Path, bao: Bao, case: Case, cause: str, words: tuple[str, ...]) -> None:
    """The store has one failure, for the operator, with the cure; Graph and the Pages are examined all the same."""
    with setup(tmp_path) as made:
        vault = Vault(made, bao)
        assert failed(made.examine()) == []
        broken = case(vault)
        next(broken)
        found = made.examine()
        assert failed(found) == [cause]
        (one,) = [one for one in found if one.status == "fail"]
        assert one.owner == "operator"
        text = f"{one.message} {one.remedy}"
        assert [word for word in words if word not in text] == [], text
        assert {one.because for one in found if one.status == "skipped"} <= {cause}
        assert f"page-proof {made.sandbox.pages[0]['name']}" in results(found, "ok")
        assert next(broken, None) is None
        assert results(made.examine(), "fail", "skipped") == {}


@pytest.mark.slow
def test_a_sealed_server_is_named(tmp_path: Path) -> None:
    """A sealed server is no wrong address and no wrong token."""
    folder = tmp_path / "setup"
    folder.mkdir()
    with dev_node(tmp_path) as node, setup(folder) as made:
        vault = Vault(made, node)
        assert failed(made.examine()) == []
        vault.bao.admin("PUT", "sys/seal", {})
        found = made.examine()
        assert failed(found) == ["store-server store"]
        assert "sealed" in next(one for one in found if one.status == "fail").message


def only_failure(made: Setup, cause: str) -> Finding:
    """Examine, and return the one failure, which must be this."""
    found = made.examine()
    assert failed(found) == [cause]
    return next(one for one in found if one.status == "fail")


def aws_store(aws: Aws) -> dict[str, Any]:
    """Return a store's block for the emulator, without a login."""
    return {"type": "aws-secrets-manager", "region": REGION, "name": "meta/{name}", "endpoint_url": aws.url}


def test_aws_secrets_that_others_rotate_or_delete(tmp_path: Path, aws: Aws) -> None:
    """A rotation by another program, a deletion and a wrong profile are each named, with the command that ends it."""
    with setup(tmp_path) as made:
        store = aws_store(aws)
        made.rig.write(stores={"aws": {**store, "auth": {"profile": "prod"}}})
        assert failed(made.examine()) == []
        assert made.cycle().result == "ok"
        secret = rotated(REGION, "meta/berlin")
        secret.rotation_requested = secret.rotation_enabled = True
        one = only_failure(made, "store-secrets aws meta/berlin")
        assert "cancel-rotate-secret" in one.remedy
        secret.rotation_requested = secret.rotation_enabled = False
        assert failed(made.examine()) == []
        aws.client.delete_secret(SecretId="meta/berlin")
        assert "restore-secret" in only_failure(made, "store-secrets aws meta/berlin").remedy
        aws.client.restore_secret(SecretId="meta/berlin")
        assert failed(made.examine()) == []
        made.rig.write(stores={"aws": {**store, "auth": {"profile": "gone"}}})
        assert "gone" in only_failure(made, "store-login aws").message


def test_aws_settings_that_differ_from_the_configuration_are_warnings(tmp_path: Path, aws: Aws) -> None:
    """A key and replicas that were configured after the secrets were created are named, with the command; nothing fails."""
    with setup(tmp_path) as made:
        store = {**aws_store(aws), "auth": {"profile": "prod"}}
        made.rig.write(stores={"aws": store})
        assert made.cycle().result == "ok"
        made.rig.write(stores={"aws": {**store, "kms_key": "alias/meta", "replicas": ["us-west-2"]}})
        found = made.examine()
        assert failed(found) == []
        drift = {one.id: one for one in found if one.status == "warn" and one.id.startswith("store-")}
        assert set(drift) == {"store-kms", "store-replicas"}
        assert "update-secret" in drift["store-kms"].remedy
        assert "replicate-secret-to-regions" in drift["store-replicas"].remedy
