"""Logins by a JWT, with OpenBao's own method, and by AWS credentials, whose signature an emulated STS verifies as Vault would."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from moto.server import ThreadedMotoServer

from sync.app import build
from sync.config.resolve import references
from sync.config.schema.references import FileReference
from sync.config.schema.stores.vault import AwsIamAuth, JwtAuth, VaultConfig
from sync.runtime.threads import SystemClock
from sync.stores.vault.settings import AwsIamLogin, JwtLogin
from sync.stores.vault.store import VaultStore
from tests.support.clock import LeapingClock
from tests.support.config_files import errors, loaded, with_
from tests.support.no_threads import no_threads
from tests.support.rigs.vault import VaultRig, rules
from tests.support.services.aws import aws_environment
from tests.support.services.bao import Bao, bao
from tests.support.services.fault_proxy import FaultProxy, Reply, Request
from tests.support.store_contract import failed, marks, one, payload, written

__all__ = ["aws_environment", "bao"]


@dataclass
class Issuer:
    """Signs JWTs that a role of a jwt method at ``mount`` accepts for the subject ``sync``."""

    mount: str
    file: Path
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def jwt(self, key: rsa.RSAPrivateKey | None = None, **claims: Any) -> str:
        """Sign a JWT with the issuer's key or another one."""
        now = int(time.time())
        said = {"iss": "ci", "sub": "sync", "aud": "vault", "iat": now, "nbf": now, "exp": now + 600, **claims}
        parts = ({"alg": "RS256", "typ": "JWT"}, said)
        text = ".".join(_url64(json.dumps(part).encode()) for part in parts)
        return f"{text}.{_url64((key or self.key).sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def put(self, jwt: str) -> None:
        """Rotate the token in the file, as a kubelet does."""
        self.file.write_text(jwt)

    def login(self, role: str = "sync", **changes: Any) -> JwtLogin:
        """Return the login that reads the file."""
        source = references.source(FileReference(file=str(self.file)), base=self.file.parent, read_store=_no_store)
        return JwtLogin(role, source, mount=self.mount, **changes)


def _no_store(store: str, path: str, key: str) -> Any:
    raise AssertionError((store, path, key))


def _url64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@pytest.fixture
def issuer(bao: Bao, rig: VaultRig, tmp_path: Path) -> Issuer:
    """Enable the jwt method at its own mount, for one issuer, audience and subject."""
    issuer = Issuer(f"jwt-{rig.mount}", tmp_path / "jwt")
    pem = issuer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    role = {
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_audiences": ["vault"],
        "bound_claims": {"sub": "sync"},
        "token_policies": [bao.policy(rules(rig.mount))],
    }
    bao.admin("POST", f"sys/auth/{issuer.mount}", {"type": "jwt"})
    bao.admin("POST", f"auth/{issuer.mount}/config", {"jwt_validation_pubkeys": [pem.decode()], "bound_issuer": "ci"})
    bao.admin("POST", f"auth/{issuer.mount}/role/sync", role)
    issuer.put(issuer.jwt())
    return issuer


def make(
    rig: VaultRig, proxy: FaultProxy, login: JwtLogin | AwsIamLogin, clock: LeapingClock | None = None
) -> VaultStore:
    """Return a store with this login that goes through the proxy."""
    return VaultStore("vault", rig.settings(address=proxy.url, login=login), clock=clock or LeapingClock(), workers=1)


def login_count(proxy: FaultProxy) -> int:
    """Return how many logins were sent."""
    return len([request for request in proxy.requests if request.path.endswith("/login")])


def test_jwt(rig: VaultRig, proxy: FaultProxy, issuer: Issuer) -> None:
    """A JWT with the role's issuer, audience and subject gets a token, which closing revokes."""
    store = make(rig, proxy, issuer.login())
    for _ in range(3):
        store.begin()
        one(store, rig.key("a"))
    written(store.write(rig.key("a"), payload(), marks(), replaces=None))
    used = {request.headers["x-vault-token"] for request in proxy.requests if "x-vault-token" in request.headers}
    store.close()
    assert (login_count(proxy), len(used)) == (1, 1)
    assert rig.bao.call("GET", "auth/token/lookup-self", token=used.pop())[0] == 403


def test_jwt_is_read_again_for_each_login(rig: VaultRig, proxy: FaultProxy, issuer: Issuer) -> None:
    """A JWT that was rotated in its file is used for the next login, within the same cycle."""
    store = make(rig, proxy, issuer.login())
    one(store, rig.key("a"))
    rig.bao.admin("POST", "auth/token/revoke", {"token": proxy.requests[-1].headers["x-vault-token"]})
    second = issuer.jwt(jti="second")
    issuer.put(second)
    one(store, rig.key("b"))
    shown = [json.loads(request.body)["jwt"] for request in proxy.requests if request.path.endswith("/login")]
    assert (len(shown), shown[1]) == (2, second)


@pytest.mark.parametrize(
    ("role", "claims"),
    [
        ("sync", {"sub": "another"}),
        ("sync", {"aud": "another"}),
        ("sync", {"iss": "another"}),
        ("sync", {"exp": 1_700_000_000, "iat": 1_699_999_000, "nbf": 1_699_999_000}),
        ("sync", {"nbf": 4_000_000_000}),
        ("nobody", {}),
    ],
    ids=["subject", "audience", "issuer", "expired", "not yet", "role"],
)
def test_jwt_that_is_refused(
    rig: VaultRig, proxy: FaultProxy, issuer: Issuer, role: str, claims: dict[str, Any]
) -> None:
    """A JWT that the role rejects is an error that quotes nothing of it, once per cycle, until the file has another."""
    issuer.put(issuer.jwt(**claims))
    store = make(rig, proxy, issuer.login(role))
    for _ in range(2):
        store.begin()
        problem = failed(one(store, rig.key("a")), "login-refused")
        failed(one(store, rig.key("b")), "login-refused")
        assert problem.whole
        assert issuer.file.read_text() not in repr(problem)
    assert login_count(proxy) == 2
    if role == "sync":
        issuer.put(issuer.jwt())
        store.begin()
        one(store, rig.key("a"))
        assert proxy.requests[-1].headers["x-vault-token"]


def test_jwt_of_a_stranger(rig: VaultRig, proxy: FaultProxy, issuer: Issuer) -> None:
    """A JWT with another key's signature and a malformed one are refused."""
    store = make(rig, proxy, issuer.login())
    for text in (issuer.jwt(rsa.generate_private_key(65537, 2048)), "no jwt"):
        issuer.put(text)
        store.begin()
        failed(one(store, rig.key("a")), "login-refused")


def test_jwt_file_that_is_missing(rig: VaultRig, proxy: FaultProxy, issuer: Issuer) -> None:
    """A file that does not exist or is empty is named, and no request is sent."""
    store = make(rig, proxy, issuer.login())
    issuer.file.unlink()
    assert str(issuer.file) in failed(one(store, rig.key("a")), "credentials").message
    issuer.put("")
    store.begin()
    failed(one(store, rig.key("a")), "credentials")
    assert proxy.requests == []


def test_jwt_in_another_namespace(rig: VaultRig, proxy: FaultProxy, issuer: Issuer) -> None:
    """The login's own namespace applies to the login alone."""
    one(make(rig, proxy, issuer.login(namespace="team-z")), rig.key("a"))
    assert [request.headers.get("x-vault-namespace") for request in proxy.requests] == ["team-z"]


@dataclass
class Account:
    """An AWS account whose STS verifies signatures, with one user in the profile ``prod`` and an unknown key in ``stranger``."""

    port: int
    arn: str
    credentials: Path
    key: tuple[str, str]

    def whoami(self, signed: dict[str, str]) -> tuple[int, str]:
        """Send the signed request as Vault does, to the host that was signed for, which is the emulator here."""
        headers = {name: value[0] for name, value in json.loads(_plain(signed["iam_request_headers"])).items()}
        assert urlsplit(_plain(signed["iam_request_url"])).netloc == headers["Host"]
        sts = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        sts.request(signed["iam_http_request_method"], "/", _plain(signed["iam_request_body"]), headers)
        answer = sts.getresponse()
        status, text = answer.status, answer.read().decode()
        sts.close()
        return status, text


def _plain(text: str) -> str:
    return base64.b64decode(text, validate=True).decode()


@pytest.fixture
def account(aws_environment: Path) -> Iterator[Account]:
    """Run an STS that verifies signatures."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    _moto(port, "reset")
    iam = boto3.client("iam", "us-east-1", endpoint_url=f"http://127.0.0.1:{port}", **_keys("test", "test"))
    user = iam.create_user(UserName="sync")["User"]
    made = iam.create_access_key(UserName="sync")["AccessKey"]
    key = (made["AccessKeyId"], made["SecretAccessKey"])
    aws_environment.write_text(
        f"[prod]\naws_access_key_id = {key[0]}\naws_secret_access_key = {key[1]}\n"
        f"[stranger]\naws_access_key_id = {key[0]}\naws_secret_access_key = {'x' * 40}\n"
    )
    _moto(port, "reset-auth", "0")
    yield Account(port, user["Arn"], aws_environment, key)
    _moto(port, "reset-auth", "inf")
    _moto(port, "reset")
    server.stop()


def _keys(key: str, secret: str) -> dict[str, str]:
    return {"aws_access_key_id": key, "aws_secret_access_key": secret}


def _moto(port: int, what: str, body: str = "") -> None:
    address = f"http://127.0.0.1:{port}/moto-api/{what}"
    request = urllib.request.Request(address, body.encode(), {"Content-Type": "text/plain"}, method="POST")
    urllib.request.urlopen(request, timeout=10).close()


@dataclass
class AwsMethod:
    """Vault's aws method of type iam, as documented: it sends the signed request to STS and gives the ARN that STS answers a token."""

    rig: VaultRig
    account: Account
    server_id: str | None = None
    shown: list[dict[str, str]] = field(default_factory=list)

    def __call__(self, request: Request) -> Reply | None:
        """Answer a login."""
        if request.path != "/v1/auth/aws/login":
            return None
        login = json.loads(request.body)
        self.shown.append(login)
        status, text = self.account.whoami(login)
        headers = json.loads(_plain(login["iam_request_headers"]))
        signed = "x-vault-aws-iam-server-id" in headers["Authorization"][0]
        if self.server_id and (headers.get("X-Vault-AWS-IAM-Server-ID") != [self.server_id] or not signed):
            return Reply(400, '{"errors":["error validating X-Vault-AWS-IAM-Server-ID header"]}')
        if status != 200 or f"<Arn>{self.account.arn}</Arn>" not in text or login["role"] != "sync":
            return Reply(400, '{"errors":["error making upstream request: received error code 403 from STS"]}')
        auth = {"client_token": self.rig.bao.token(self.rig.bao.policy(rules(self.rig.mount))), "lease_duration": 300}
        return Reply(200, json.dumps({"auth": auth}))


def test_aws(rig: VaultRig, proxy: FaultProxy, account: Account) -> None:
    """What a profile's credentials sign identifies their user at STS, and one such login serves many cycles."""
    proxy.rule = method = AwsMethod(rig, account)
    store = make(rig, proxy, AwsIamLogin("sync", profile="prod"))
    for _ in range(3):
        store.begin()
        one(store, rig.key("a"))
    written(store.write(rig.key("a"), payload(), marks(), replaces=None))
    store.close()
    assert login_count(proxy) == 1
    assert _plain(method.shown[0]["iam_request_url"]) == "https://sts.amazonaws.com/"
    assert all(account.key[1] not in request.body.decode() + request.path for request in proxy.requests)


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-central-1", "sts.eu-central-1.amazonaws.com"),
        ("us-east-1", "sts.us-east-1.amazonaws.com"),
        ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_aws_region(rig: VaultRig, proxy: FaultProxy, account: Account, region: str, host: str) -> None:
    """With a region its own STS is signed for, in the host and the scope."""
    proxy.rule = method = AwsMethod(rig, account)
    one(make(rig, proxy, AwsIamLogin("sync", region=region, profile="prod")), rig.key("a"))
    headers = json.loads(_plain(method.shown[0]["iam_request_headers"]))
    assert _plain(method.shown[0]["iam_request_url"]) == f"https://{host}/"
    assert f"/{region}/sts/aws4_request" in headers["Authorization"][0]


@pytest.mark.parametrize(("configured", "wanted"), [("vault.acme", "vault.acme"), (None, None)])
def test_aws_server_id(
    rig: VaultRig, proxy: FaultProxy, account: Account, configured: str | None, wanted: str | None
) -> None:
    """The header that prevents a replay to another Vault is signed too."""
    proxy.rule = method = AwsMethod(rig, account, server_id=wanted)
    written_by = make(rig, proxy, AwsIamLogin("sync", header_value=configured, profile="prod"))
    written(written_by.write(rig.key("a"), payload(), marks(), replaces=None))
    assert ("X-Vault-AWS-IAM-Server-ID" in json.loads(_plain(method.shown[0]["iam_request_headers"]))) == bool(wanted)


def test_aws_by_the_chain(rig: VaultRig, proxy: FaultProxy, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a profile the default chain is used, again for each login; a session token is among the signed headers."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", account.key[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", account.key[1])
    proxy.rule = method = AwsMethod(rig, account)
    store = make(rig, proxy, AwsIamLogin("sync"))
    one(store, rig.key("a"))
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a session's token")
    rig.bao.admin("POST", "auth/token/revoke", {"token": proxy.requests[-1].headers["x-vault-token"]})
    one(store, rig.key("a"))
    first, second = (json.loads(_plain(shown["iam_request_headers"])) for shown in method.shown)
    assert "X-Amz-Security-Token" not in first
    assert second["X-Amz-Security-Token"] == ["a session's token"]
    assert "x-amz-security-token" in second["Authorization"][0]


@pytest.mark.parametrize("login", [AwsIamLogin("sync", profile="stranger"), AwsIamLogin("nobody", profile="prod")])
def test_aws_that_is_refused(rig: VaultRig, proxy: FaultProxy, account: Account, login: AwsIamLogin) -> None:
    """A signature that STS does not know, or a role that does not exist, is a refused login, once per cycle."""
    proxy.rule = AwsMethod(rig, account)
    store = make(rig, proxy, login)
    for _ in range(2):
        store.begin()
        failed(one(store, rig.key("a")), "login-refused")
        failed(one(store, rig.key("b")), "login-refused")
    assert login_count(proxy) == 2


@pytest.mark.parametrize(
    ("login", "says"),
    [
        (AwsIamLogin("sync"), "no AWS credentials"),
        (AwsIamLogin("sync", profile="absent"), "ProfileNotFound"),
        (AwsIamLogin("sync", profile="prod", region="xx-nowhere-9"), "xx-nowhere-9"),
        (AwsIamLogin("sync", profile="broken"), "JSONDecodeError"),
    ],
    ids=["none", "profile", "region", "process"],
)
def test_aws_credentials_that_are_missing(
    rig: VaultRig, proxy: FaultProxy, account: Account, login: AwsIamLogin, says: str
) -> None:
    """If nothing can be signed nothing is sent, the cause is named, and the next cycle tries again."""
    store = make(rig, proxy, login)
    account.credentials.write_text(account.credentials.read_text() + "[broken]\ncredential_process = echo no-json\n")
    assert says in failed(one(store, rig.key("a")), "credentials").message
    assert proxy.requests == []


def test_aws_credentials_that_hang(rig: VaultRig, proxy: FaultProxy, account: Account, tmp_path: Path) -> None:
    """A credential chain that hangs ends with the store's timeout, and runs once, however often a login is tried."""
    program, runs, go = tmp_path / "program", tmp_path / "runs", tmp_path / "go"
    given = json.dumps({"Version": 1, "AccessKeyId": account.key[0], "SecretAccessKey": account.key[1]})
    program.write_text(f"#!/bin/sh\necho run >> {runs}\nwhile ! [ -e {go} ]; do sleep 0.05; done\necho '{given}'\n")
    program.chmod(0o700)
    account.credentials.write_text(f"[slow]\ncredential_process = {program}\n")
    login = AwsIamLogin("sync", profile="slow")
    store = VaultStore("vault", rig.settings(address=proxy.url, login=login, timeout=1), clock=LeapingClock())
    started = time.monotonic()
    for _ in range(3):
        store.begin()
        assert "timeout" in failed(one(store, rig.key("a")), "credentials").message
    assert time.monotonic() - started < 6
    assert (runs.read_text(), proxy.requests) == ("run\n", [])
    go.touch()
    for thread in threading.enumerate():
        if thread.name == "aws-identity":
            thread.join(20)
    proxy.rule = AwsMethod(rig, account)
    store.begin()
    one(store, rig.key("a"))
    assert (login_count(proxy), runs.read_text()) == (1, "run\nrun\n")


def test_no_thread_to_sign_in(rig: VaultRig, proxy: FaultProxy, account: Account) -> None:
    """If no thread can be started the error says so, and the next cycle tries again."""
    store = make(rig, proxy, AwsIamLogin("sync", profile="prod"))
    proxy.rule = AwsMethod(rig, account)
    with no_threads():
        assert "thread" in failed(one(store, rig.key("a")), "unreachable").message
    assert proxy.requests == []
    store.begin()
    one(store, rig.key("a"))
    assert login_count(proxy) == 1


def test_openbao_has_no_aws_method(rig: VaultRig, proxy: FaultProxy, account: Account) -> None:
    """A server without the aws method refuses the login, and the error says so."""
    store = make(rig, proxy, AwsIamLogin("sync", profile="prod"))
    assert "not enabled" in failed(one(store, rig.key("a")), "login-refused").message


@pytest.mark.parametrize(
    ("auth", "wanted"),
    [
        ("method: jwt, role: r, jwt: {file: jwt}", ("jwt", None)),
        ('method: jwt, role: r, jwt: {file: jwt}, mount: ci, namespace: ""', ("ci", "")),
        ("method: aws, role: r", ("aws", None)),
        ("method: aws, role: r, region: eu-central-1, header_value: v.acme, profile: p, mount: a", ("a", None)),
    ],
)
def test_configured(tmp_path: Path, auth: str, wanted: tuple[str, str | None]) -> None:
    """Both methods can be configured; the mount defaults to the method's name and the namespace to the store's."""
    store = loaded(tmp_path, with_("method: token, token: {file: vault}", auth)).settings.stores["vault"]
    assert isinstance(store, VaultConfig)
    assert isinstance(store.auth, (JwtAuth, AwsIamAuth))
    assert (store.auth.mount, store.auth.namespace) == wanted


@pytest.mark.parametrize(
    ("auth", "key"),
    [
        ("method: jwt, role: r", "auth.jwt"),
        ("method: jwt, jwt: {file: jwt}", "auth.role"),
        ("method: jwt, role: r, jwt: eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "auth.jwt"),
        ("method: aws", "auth.role"),
        ('method: aws, role: r, region: "eu/../central"', "auth.region"),
        ('method: aws, role: r, header_value: "a b"', "auth.header_value"),
        ("method: aws, role: r, access_key: AKIA", "auth.access_key"),
    ],
)
def test_configured_wrongly(tmp_path: Path, auth: str, key: str) -> None:
    """A key that is missing, wrong or of another method is named, and no secret is quoted."""
    (found,) = errors(tmp_path, with_("method: token, token: {file: vault}", auth))
    assert f"stores.vault.{key}" in found
    assert "eyJ" not in found


def test_program_logs_in_by_jwt(rig: VaultRig, proxy: FaultProxy, issuer: Issuer, tmp_path: Path) -> None:
    """A store built from a configuration logs in with the file's token at the configured mount."""
    old = 'address: "https://vault:8200", auth: {method: token, token: {file: vault}}'
    new = f"address: {proxy.url}, mount: {rig.mount}, auth: {{method: jwt, role: sync, jwt: {{file: jwt}}, mount: {issuer.mount}}}"
    with build(loaded(tmp_path, with_(old, new)), clock=SystemClock()) as app:
        store = app._stores["vault"]
        store.begin()
        written(store.write(rig.key("a"), payload(), marks(), replaces=None))
    assert [
        json.loads(request.body)["role"] for request in proxy.requests if request.path.endswith(f"{issuer.mount}/login")
    ] == ["sync"]
