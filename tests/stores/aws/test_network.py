"""Whatever fetches credentials uses the store's own network: its proxy and CA, and the environment only with trust_env."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

from sync.core.model import Absent, Stored
from sync.core.secret import Secret
from sync.stores.aws.store import AwsRole
from tests.support.rigs.aws import AwsRig
from tests.support.services.aws import ACCESS_KEY, SECRET_KEY, Aws, aws, aws_environment, aws_server, over_tls
from tests.support.store_contract import failed, one

__all__ = ["aws", "aws_environment", "aws_server"]

ROLE = "arn:aws:iam::123456789012:role/pages"
STS = "sts.eu-central-1.amazonaws.com"
SSO = "portal.sso.eu-central-1.amazonaws.com"


@pytest.fixture
def rig(aws: Aws) -> AwsRig:
    """Return an empty account."""
    return AwsRig(aws)


@contextmanager
def forwarding(plain: int, secure: int) -> Iterator[tuple[str, list[str]]]:
    """Run a proxy that leads every host to one of two ports; yields its address and the first line of each connection."""
    lines: list[str] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve(inner: socket.socket) -> None:
        with suppress(OSError):
            head = inner.recv(1 << 16, socket.MSG_PEEK)
            lines.append(head.partition(b"\r\n")[0].decode())
            tunnel = head.startswith(b"CONNECT")
            if tunnel:
                inner.recv(1 << 16)
                inner.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            outer = socket.create_connection(("127.0.0.1", secure if tunnel else plain))
            threading.Thread(target=pump, args=(outer, inner), daemon=True).start()
            pump(inner, outer)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", lines
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def wire(aws: Aws, tmp_path: Path) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Return the settings of a store behind a proxy with a private CA, and what the proxy was asked for."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(STS, SSO).configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with (
        over_tls(context) as url,
        forwarding(urlsplit(aws.url).port or 0, urlsplit(url).port or 0) as (proxy, lines),
    ):
        yield {"proxy": lambda: Secret(proxy), "ca_file": str(tmp_path / "ca.pem")}, lines


@pytest.fixture
def trap(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let every variable that can lead traffic elsewhere name one server; returns the connections that came there."""
    with forwarding(9, 9) as (url, lines):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "AWS_ENDPOINT_URL"):
            monkeypatch.setenv(name, url)
        for service in ("STS", "SSO", "SSO_OIDC", "SECRETS_MANAGER"):
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", url)
        monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/ca.pem")
        yield lines


def irsa(monkeypatch: pytest.MonkeyPatch, folder: Path, token: str | None = "token-of-the-pod") -> Path:
    """Let the environment name a role and a web identity token, as EKS does."""
    file = folder / "token"
    if token is not None:
        file.write_text(token)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    return file


def by_role(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the profile ``by-role`` name a role."""
    (folder / "config").write_text(f"[profile by-role]\nrole_arn = {ROLE}\nsource_profile = prod\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))


def sso(monkeypatch: pytest.MonkeyPatch, folder: Path, ends: datetime | None) -> None:
    """Let the profile ``sso`` have a session of IAM Identity Center that ends then; None: it was never started."""
    start = "https://acme.awsapps.com/start"
    (folder / "config").write_text(
        f"[profile sso]\nsso_start_url = {start}\nsso_region = eu-central-1\nsso_account_id = 123456789012\nsso_role_name = Pages\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    cache = folder / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    # botocore looks for the home directory once, when it is imported.
    monkeypatch.setattr("botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR", str(cache))
    if ends is not None:
        token = {
            "startUrl": start,
            "region": "eu-central-1",
            "accessToken": "sso-token",
            "expiresAt": f"{ends:%Y-%m-%dT%H:%M:%SZ}",
        }
        (cache / f"{hashlib.sha1(start.encode(), usedforsecurity=False).hexdigest()}.json").write_text(
            json.dumps(token)
        )


@pytest.mark.parametrize("kind", ["web identity", "a role in a profile", "the store's role"])
def test_sts_is_reached_by_the_stores_network(
    rig: AwsRig, aws: Aws, wire: tuple[dict[str, Any], list[str]], trap: list[str], kind: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """STS is reached in the store's Region, by the configured proxy and CA, whoever asks it; the environment leads nothing elsewhere."""
    settings, lines = wire
    settings["profile"] = "prod"
    if kind == "web identity":
        irsa(monkeypatch, tmp_path)
        settings["profile"] = None
    elif kind == "a role in a profile":
        by_role(monkeypatch, tmp_path)
        settings["profile"] = "by-role"
    else:
        settings |= {"role": AwsRole(ROLE), "endpoint_url": None}
    found = one(rig.make_store(**settings), rig.key("a"))
    assert isinstance(found, Absent) or kind == "the store's role"
    assert [line for line in lines if line.startswith(f"CONNECT {STS}:443")]
    assert {name for name in aws.calls if name.startswith("AssumeRole")}
    assert trap == []


def test_sso_is_reached_by_the_stores_network(
    rig: AwsRig,
    wire: tuple[dict[str, Any], list[str]],
    trap: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """IAM Identity Center is reached by the configured proxy, and the environment leads nothing elsewhere."""
    settings, lines = wire
    sso(monkeypatch, tmp_path, datetime.now(UTC) + timedelta(hours=2))
    failed(one(rig.make_store(profile="sso", **settings), rig.key("a")), "credentials")
    assert [line for line in lines if line.startswith(f"CONNECT {SSO}:443")]
    assert trap == []


@contextmanager
def metadata() -> Iterator[tuple[int, list[str]]]:
    """Answer as the metadata of an instance and of a container do; yields the port and the paths that were asked."""
    paths: list[str] = []
    ends = (datetime.now(UTC) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")
    keys = {
        "Code": "Success",
        "AccessKeyId": ACCESS_KEY,
        "SecretAccessKey": SECRET_KEY,
        "Token": "t",
        "Expiration": ends,
    }

    class Handler(BaseHTTPRequestHandler):
        """Answers as the metadata of an instance do."""

        def do_GET(self) -> None:
            """Answer with the role's name, or its keys."""
            paths.append(self.path)
            listing = self.path.endswith("security-credentials/")
            content = b"pages" if listing else json.dumps(keys).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_PUT = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server.server_address[1], paths
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("source", ["instance", "container"])
def test_metadata_are_reached_directly(
    rig: AwsRig,
    aws: Aws,
    wire: tuple[dict[str, Any], list[str]],
    trap: list[str],
    source: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A machine's and a container's own address is asked directly, since a proxy would find its own machine's credentials."""
    settings, lines = wire
    with metadata() as (port, paths):
        if source == "instance":
            monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
            monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{port}")
        else:
            monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{port}/keys")
        assert isinstance(one(rig.make_store(profile=None, **settings), rig.key("a")), Absent)
        assert paths
    assert trap == []
    assert all(aws.url in line for line in lines)


def test_environment_counts_with_trust_env(
    rig: AwsRig, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With trust_env the environment's endpoints are used, for STS and for the store."""
    irsa(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", aws.url)
    store = rig.make_store(profile=None, trust_env=True, endpoint_url=None)
    assert isinstance(one(store, rig.key("a")), Absent)
    assert aws.calls["AssumeRoleWithWebIdentity"] == 1


@pytest.mark.parametrize("configured", [True, False])
def test_proxy_in_use_is_named(rig: AwsRig, configured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure names Region, endpoint and proxy, and for a proxy of the environment the variable and NO_PROXY; no password."""
    url = "http://user:canaryPassword@127.0.0.1:9"
    monkeypatch.setenv("HTTP_PROXY", url)
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,.other.example")
    store = rig.make_store(
        endpoint_url="http://secrets.acme.example:8080",
        proxy=(lambda: Secret(url)) if configured else None,
        trust_env=not configured,
    )
    error = failed(one(store, rig.key("a")), "unreachable")
    for part in ("eu-central-1", "http://secrets.acme.example:8080", "127.0.0.1:9"):
        assert part in error.message
    assert "canaryPassword" not in repr(error)
    assert ("HTTP_PROXY" in error.message) is not configured
    assert ("add it to NO_PROXY" in error.remedy) is not configured
    assert ("secrets.acme.example" in error.remedy) is not configured


@pytest.mark.parametrize("ends", [None, datetime(2026, 1, 1, tzinfo=UTC)])
def test_sso_session_that_ended(
    rig: AwsRig, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: datetime | None
) -> None:
    """An SSO session that has ended or was never started is named, with the command that starts one for this profile."""
    sso(monkeypatch, tmp_path, ends)
    error = failed(one(rig.make_store(profile="sso"), rig.key("a")), "credentials")
    assert error.whole
    assert "SSO session" in error.message
    assert "profile sso" in error.message
    assert "aws sso login --profile sso" in error.remedy
    assert aws.total == 0


@pytest.mark.parametrize("token", [None, ""])
def test_web_identity_token_that_is_missing(
    rig: AwsRig, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    """A web identity token file that is missing or empty is named with the variable that leads to it."""
    file = irsa(monkeypatch, tmp_path, token)
    error = failed(one(rig.make_store(profile=None), rig.key("a")), "credentials")
    assert token is not None or str(file) in error.message
    assert "AWS_WEB_IDENTITY_TOKEN_FILE" in error.message + error.remedy
    assert aws.total == 0


MFA = f"[default]\nrole_arn = {ROLE}\nsource_profile = keys\nmfa_serial = arn:aws:iam::1:mfa/u\n"
KEYS = "[profile keys]\naws_access_key_id = A\naws_secret_access_key = B\n"


@pytest.mark.parametrize(
    ("variables", "config", "cause", "remedy"),
    [
        ({"AWS_PROFILE": "ghost"}, "", "profile ghost", "AWS_PROFILE"),
        ({"AWS_ACCESS_KEY_ID": "AKIA1"}, "", "only one of", "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ACCESS_KEY_ID": "AKIA1\n", "AWS_SECRET_ACCESS_KEY": "x"}, "", "line break", "without it"),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere"}, "", "not complete", "AWS_ROLE_ARN"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/"}, "", "_FULL_URI", "task has a role"),
        (
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nowhere/token",
            },
            "",
            "/nowhere/token, which AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names",
            "correct AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        ),
        ({}, "[default]\ncredential_process = /bin/false\n", "credential_process", "Run that program"),
        ({}, "[default]\ncredential_process = /bin/echo hello\n", "not JSON", "Run that program"),
        ({}, "[default\n", "/config cannot be parsed", "aws configure list"),
        ({}, f"[default]\nrole_arn = {ROLE}\nsource_profile = default\n", "not complete or refers", "source_profile"),
        ({}, f"[default]\nrole_arn = {ROLE}\ncredential_source = Nothing\n", "not complete", "credential_source"),
        ({}, MFA + KEYS, "mfa_serial", "needs no MFA"),
    ],
)
def test_source_that_gives_none_is_named(
    rig: AwsRig,
    aws: Aws,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    config: str,
    cause: str,
    remedy: str,
) -> None:
    """Where credentials are missing, the message names the variable, file or setting, and nobody is asked at the terminal."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    (tmp_path / "config").write_text(config)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    error = failed(one(rig.make_store(profile=None), rig.key("a")), "credentials")
    assert cause in error.message
    assert remedy in error.remedy
    assert aws.total == 0


@pytest.mark.parametrize(
    ("code", "expected", "words"),
    [
        ("AccessDenied", "denied", "trust policy"),
        ("InvalidIdentityToken", "credentials", "audience"),
        ("ExpiredTokenException", "credentials", "is renewed"),
    ],
)
def test_web_identity_that_sts_rejects(
    rig: AwsRig, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, expected: str, words: str
) -> None:
    """A web identity token that STS rejects is distinguished from a role that does not trust it."""
    irsa(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws.url)
    aws.refuse("AssumeRoleWithWebIdentity", code, status=403)
    error = failed(one(rig.make_store(profile=None, trust_env=True), rig.key("a")), expected)
    assert error.whole
    assert words in error.remedy


def page(status: int) -> Callable[[Any], bool]:
    """Answer with the page of another server."""

    def make(call: Any) -> bool:
        call.handler.reply(status, b"<html><body><h1>no</h1></body></html>")
        return True

    return make


@pytest.mark.parametrize("status", [301, 400, 403, 404, 405, 410])
def test_address_that_is_not_secrets_manager(rig: AwsRig, aws: Aws, status: int) -> None:
    """A page instead of an answer means that the address is another server's: unknown, the operator's, and nothing is written."""
    aws.fault("", page(status), times=99)
    store = rig.make_store()
    for answer in (one(store, rig.key("a")), store.owned("acme")):
        error = failed(answer, "unexpected")
        assert error.whole
        assert error.owner == "operator"
        assert "not from Secrets Manager" in error.message
        assert aws.url in error.message
        assert "endpoint_url" in error.remedy


def test_address_of_another_service_of_aws(rig: AwsRig, aws: Aws) -> None:
    """A service of AWS that does not know the operation is another one than Secrets Manager."""
    aws.refuse("ListSecrets", "UnknownOperationException")
    aws.refuse("DescribeSecret", "UnknownOperationException")
    aws.refuse("GetSecretValue", "UnknownOperationException")
    error = failed(one(rig.make_store(), rig.key("a")), "unexpected")
    assert error.whole
    assert "another service of AWS" in error.message
    assert "endpoint_url" in error.remedy


@pytest.mark.parametrize(
    ("status", "expected", "words"),
    [(407, "unreachable", "proxy demands"), (429, "throttled", "gateway"), (502, "unreachable", "load balancer")],
)
def test_page_of_what_is_between(rig: AwsRig, aws: Aws, status: int, expected: str, words: str) -> None:
    """A page of a proxy or gateway is not taken for a failure of AWS."""
    aws.fault("", page(status), times=99)
    error = failed(one(rig.make_store(), rig.key("a")), expected)
    assert words in error.message


@pytest.mark.parametrize("status", [200, 403, 404])
def test_address_that_is_not_sts(rig: AwsRig, aws: Aws, status: int) -> None:
    """A page instead of an answer of STS says that the address is not AWS's."""
    aws.fault("AssumeRole", page(status), times=9)
    error = failed(one(rig.make_store(role=AwsRole(ROLE)), rig.key("a")), "credentials")
    assert "not answer in AWS's form" in error.message


def test_user_without_a_home(rig: AwsRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a passwd entry and without HOME, as in a container, finds the credentials of the environment."""

    def unknown(_: int) -> object:
        raise KeyError("no such user")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    for name in ("HOME", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    store = rig.make_store(profile=None)
    store.begin()
    assert isinstance(one(store, rig.key("a")), Absent)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e308", "9" * 400, "99999999999999999", '"never"', "{}"])
def test_time_of_absurd_size(rig: AwsRig, aws: Aws, number: str) -> None:
    """A time that no calendar has harms no other secret, and raises nothing."""
    rig.plant(rig.key("a"), {"access_token": "x"})
    rig.plant(rig.key("b"), {"access_token": "y"})

    def make(call: Any) -> bool:
        status, content = call.forward()
        call.handler.reply(
            status, content.replace(b'"LastChangedDate": ', b'"LastChangedDate": ' + number.encode() + b', "X": ', 1)
        )
        return True

    for operation in ("ListSecrets", "DescribeSecret"):
        aws.fault(operation, make, times=9)
    found = rig.make_store().read([rig.key("a"), rig.key("b")])
    assert all(isinstance(answer, Stored) for answer in found.values())
