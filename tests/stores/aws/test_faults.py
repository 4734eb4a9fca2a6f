"""Faults of the network, of credentials and of the environment between a store and AWS, and what a log may show."""

from __future__ import annotations

import logging
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

from sync.core.model import Absent, Stored
from sync.core.secret import CredentialError, Secret
from sync.stores.aws.store import AwsRole
from tests.support.rigs.aws import AwsRig
from tests.support.services.aws import ACCESS_KEY, SECRET_KEY, Aws, aws, aws_environment, aws_server, over_tls
from tests.support.services.hostile_server import hostile_server
from tests.support.store_contract import CANARY, failed, marks, one, payload, stored, written

__all__ = ["aws", "aws_environment", "aws_server"]

ROLE = "arn:aws:iam::123456789012:role/pages"


@pytest.fixture
def rig(aws: Aws) -> AwsRig:
    """Return an empty account."""
    return AwsRig(aws)


def test_slow_drip_is_cut(rig: AwsRig, aws: Aws) -> None:
    """An answer that arrives byte by byte, which no read timeout notices, is cut off after the store's timeout."""
    aws.drip("ListSecrets")
    store, start = rig.make_store(timeout=2.0), time.monotonic()
    assert failed(one(store, rig.key("a")), "timeout").whole
    assert time.monotonic() - start < 4


def _leaves_no_thread(before: set[threading.Thread]) -> bool:
    end = time.monotonic() + 3
    while left := set(threading.enumerate()) - before:
        asking = [thread for thread in left if thread.name == "aws"]
        if not asking:
            return True
        asking[0].join(max(end - time.monotonic(), 0))
        if time.monotonic() > end:
            return False
    return True


@pytest.mark.parametrize("attack", ["slow header", "endless 100 Continue", "slow body", "endless trailer"])
def test_cancelled_call_stops_reading(rig: AwsRig, attack: str) -> None:
    """After the timeout the thread of the call and its connection end, although the endpoint still sends."""
    before = set(threading.enumerate())
    with hostile_server(attack) as url:
        failed(one(rig.make_store(endpoint_url=url, timeout=1.0), rig.key("a")), "timeout")
        assert _leaves_no_thread(before)


@pytest.mark.parametrize("tls", [False, True])
def test_cancelled_call_is_not_retried(rig: AwsRig, aws: Aws, tmp_path: Path, tls: bool) -> None:
    """After the timeout boto3's retries send nothing, so that no unnoticed write takes place."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with over_tls(context) as url:
        reach = {"endpoint_url": url, "ca_file": str(tmp_path / "ca.pem")} if tls else {}
        store, before = rig.make_store(timeout=2.0, **reach), set(threading.enumerate())
        assert isinstance(one(store, rig.key("a")), Absent)
        aws.drip("CreateSecret")
        assert failed(store.write(rig.key("a"), payload(), marks(), replaces=None), "timeout").maybe_written
        aws.faults.clear()
        assert _leaves_no_thread(before)
        assert aws.calls["CreateSecret"] == 1


@pytest.mark.parametrize("attack", ["endless body", "announced gigabyte", "chunk size that lies"])
def test_endless_answer(rig: AwsRig, aws: Aws, attack: str) -> None:
    """An answer longer than any of Secrets Manager is cut off and not requested again; a creation may have been carried out."""
    store = rig.make_store()
    with hostile_server(attack) as url:
        assert failed(one(rig.make_store(endpoint_url=url), rig.key("a")), "unexpected").whole
    assert isinstance(one(store, rig.key("a")), Absent)
    aws.fault("CreateSecret", lambda call: call.forward() and call.reply(b" " * (9 << 20)), times=9)
    assert written(store.write(rig.key("a"), payload(), marks(), replaces=None))
    assert aws.calls["CreateSecret"] == 1


@pytest.mark.parametrize("part", [b"[],", b'{"":0},', b'"x",', b"1,"])
def test_answer_of_too_many_values(rig: AwsRig, aws: Aws, part: bytes) -> None:
    """An answer of 7 MiB of small values costs less than 32 MiB, and is an error of the whole store."""
    store = rig.make_store()
    assert isinstance(one(store, rig.key("a")), Absent)
    store.begin()
    body = b'{"SecretList":[' + part * ((7 << 20) // len(part)) + b"null]}"
    aws.fault("ListSecrets", lambda call: call.reply(body), times=9)
    tracemalloc.start()
    try:
        assert failed(one(store, rig.key("a")), "unexpected").whole
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20


def test_endless_answer_of_sts(rig: AwsRig, aws: Aws) -> None:
    """An endless answer of STS is an error of credentials."""
    aws.fault("AssumeRole", lambda call: call.reply(b" " * (9 << 20)), times=9)
    failed(one(rig.make_store(role=AwsRole(ROLE)), rig.key("a")), "credentials")
    assert dict(aws.calls) == {"AssumeRole": 1}


def test_longest_answer_is_read(rig: AwsRig, aws: Aws) -> None:
    """Twenty secrets of 64 KiB, escaped to six times their size, are read in one answer."""
    text = "\x01" * 65_536
    for number in range(20):
        rig.client.create_secret(Name=rig.key(f"p{number}").path, SecretString=text)
    keys = [rig.key(f"p{number}") for number in range(20)]
    for found in rig.make_store().read(keys, raw=frozenset(keys)).values():
        assert isinstance(found, Stored)
        assert found.payload is not None
        assert found.payload.reveal() == text
    assert (aws.calls["BatchGetSecretValue"], aws.calls["GetSecretValue"]) == (1, 0)


def test_hanging_service_costs_one_timeout_a_cycle(rig: AwsRig, aws: Aws) -> None:
    """After a timeout every call of the cycle fails at once, and the next cycle tries again."""
    aws.delay("ListSecrets", 5.0)
    store, start = rig.make_store(timeout=2.0), time.monotonic()
    failed(one(store, rig.key("a")), "timeout")
    assert time.monotonic() - start < 4
    calls = aws.total
    failed(one(store, rig.key("b")), "timeout")
    failed(store.write(rig.key("b"), payload(), marks(), replaces=None), "timeout")
    failed(store.owned("acme"), "timeout")
    assert aws.total == calls
    aws.heal()
    store.begin()
    assert isinstance(one(store, rig.key("a")), Absent)


def test_timeout_in_a_write_is_maybe_written(rig: AwsRig, aws: Aws) -> None:
    """A creation that was carried out but not answered in time is reported as maybe written; the next cycle finds it."""
    store = rig.make_store(timeout=3.0)
    assert isinstance(one(store, rig.key("a")), Absent)

    def late(call: object) -> bool:
        call.forward()  # type: ignore[attr-defined]
        time.sleep(0.9)
        return bool(call.cut())  # type: ignore[attr-defined]

    aws.fault("CreateSecret", late, times=9)
    assert failed(store.write(rig.key("a"), payload(), marks(), replaces=None)).maybe_written
    aws.heal()
    store.begin()
    assert stored(store, rig.key("a")).payload == payload()


def test_throttling_is_retried_and_then_reported(rig: AwsRig, aws: Aws) -> None:
    """A throttled call is made three times and then fails as "throttled", for its key alone."""
    aws.refuse("ListSecrets", "ThrottlingException", times=2)
    assert isinstance(one(rig.make_store(), rig.key("a")), Absent)
    assert aws.calls["ListSecrets"] == 3
    aws.refuse("ListSecrets", "ThrottlingException")
    failed(one(rig.make_store(), rig.key("a")), "throttled")
    assert aws.calls["ListSecrets"] == 6


def _html(call: Any) -> bool:
    """Answer like a load balancer whose backend is down."""
    call.handler.reply(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>")
    return True


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("ThrottlingException", 400, "throttled"),
        ("RequestLimitExceeded", 503, "throttled"),
        ("InternalServiceError", 500, "unreachable"),
        ("", 502, "unreachable"),
    ],
)
def test_failing_secret_delays_no_other(rig: AwsRig, aws: Aws, code: str, status: int, reason: str) -> None:
    """A call that AWS throttles or fails is made three times within the timeout; the other secrets are written."""

    def make(call: Any) -> bool:
        if call.body.get("Name") != rig.key("a").path:
            return False
        tried.append(call.operation)
        return _html(call) if status == 502 else call.answer(code, "Rate exceeded", status)

    tried: list[str] = []
    aws.fault("CreateSecret", make, times=99)
    store, keys = rig.make_store(), [rig.key(name) for name in ("a", "b", "c")]
    store.read(keys)
    error, *others = (store.write(key, payload(), marks(), replaces=None) for key in keys)
    assert failed(error, reason).maybe_written
    assert "Rate" not in repr(error)
    assert tried == ["CreateSecret"] * 3
    assert all(written(other) for other in others)
    found = store.read(keys)
    assert isinstance(found[keys[0]], Absent)
    assert isinstance(found[keys[1]], Stored)


def test_redirects_are_not_followed(rig: AwsRig, aws: Aws) -> None:
    """A redirect is an error, and nothing is sent to its target."""
    aws.refuse("ListSecrets", "", status=307)
    failed(one(rig.make_store(), rig.key("a")))
    assert aws.calls["ListSecrets"] == 1


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"])
def test_environment_does_not_redirect_traffic(
    rig: AwsRig, aws: Aws, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Proxies, endpoints and CAs of the environment are not used."""
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert isinstance(one(rig.make_store(), rig.key("a")), Absent)


def test_endpoint_of_the_environment_is_ignored(rig: AwsRig, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an endpoint in the configuration the Region's own is used, whatever the environment says."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", aws.url)
    store = rig.make_store(endpoint_url=None, proxy=lambda: Secret("http://127.0.0.1:9"))
    failed(one(store, rig.key("a")))
    assert aws.total == 0


def test_explicit_proxy_is_used(rig: AwsRig, aws: Aws) -> None:
    """A configured proxy is used; a reference to it that cannot be read is an error of credentials."""
    store = rig.make_store(endpoint_url="http://secretsmanager.invalid", proxy=lambda: Secret(aws.url))
    assert isinstance(one(store, rig.key("a")), Absent)
    assert aws.calls["ListSecrets"] == 1

    def missing() -> Secret:
        raise CredentialError("env PROXY is not set")

    assert "PROXY" in failed(one(rig.make_store(proxy=missing), rig.key("a")), "credentials").message


def test_rotated_credentials_are_used_in_the_next_cycle(rig: AwsRig, aws: Aws, aws_environment: Path) -> None:
    """A changed credentials file is used from the next cycle on, without a restart; an unchanged one keeps the client."""
    store = rig.make_store()
    store.begin()
    one(store, rig.key("a"))
    aws_environment.write_text(aws_environment.read_text().replace(ACCESS_KEY, "AKIAROTATEDROTATED01"))
    store.begin()
    one(store, rig.key("a"))
    used = [headers["Authorization"].split("Credential=")[1][:20] for headers in aws.headers]
    # A call may be repeated by the library; what counts is which key came when.
    assert list(dict.fromkeys(used)) == [ACCESS_KEY, "AKIAROTATEDROTATED01"]


def test_missing_credentials_profile_and_region(rig: AwsRig, aws: Aws) -> None:
    """What boto3's chain cannot provide is named as in the configuration, for the whole store, and nothing is sent."""
    for changes, word in (
        ({"profile": None}, "credentials"),
        ({"profile": "no"}, "profile"),
        ({"region": None}, "region"),
    ):
        error = failed(one(rig.make_store(**changes), rig.key("a")), "credentials")
        assert word in error.message
        assert error.whole
    assert aws.total == 0


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        ("ExpiredTokenException", "The security token included in the request is expired", "credentials"),
        ("UnrecognizedClientException", "The security token included in the request is invalid.", "credentials"),
        ("InvalidSignatureException", "Signature expired: 20261125T010000Z is now earlier than", "clock"),
        ("InvalidSignatureException", "Signature not yet current: 20261125T010000Z", "clock"),
        ("InvalidSignatureException", "The request signature we calculated does not match", "credentials"),
        ("AccessDeniedException", "Access to KMS is not allowed", "kms"),
        ("AccessDeniedException", "User: arn:aws:iam::1:user/x is not authorized", "denied"),
        ("DecryptionFailure", "", "kms"),
        ("InternalServiceError", "", "unreachable"),
        ("SomethingNew", f"the value {CANARY}", "unexpected"),
    ],
)
def test_errors_of_aws_have_an_error_code_and_no_text_of_aws(
    rig: AwsRig, aws: Aws, code: str, text: str, reason: str
) -> None:
    """Each error code of AWS has its own in the report, without the text of AWS."""
    aws.refuse("", code, text=text)
    store = rig.make_store()
    store.read([])
    error = failed(store.write(rig.key("a"), payload(), marks(), replaces=None), reason)
    assert not text or text not in repr(error)
    assert CANARY not in repr(error)


@contextmanager
def nat(target: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """Forward connections to a port; yields the address, and what makes it silently drop the connections so far."""
    pairs: list[tuple[socket.socket, socket.socket]] = []
    forgotten: set[int] = set()

    def pump(number: int, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if number not in forgotten:
                    sink.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                inner = listener.accept()[0]
                pair = (inner, socket.create_connection(("127.0.0.1", target)))
                pairs.append(pair)
                for ends in (pair, pair[::-1]):
                    threading.Thread(target=pump, args=(len(pairs) - 1, *ends), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", lambda: forgotten.update(range(len(pairs)))
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for pair in pairs:
                for sock in pair:
                    sock.close()


def test_each_cycle_opens_new_connections(rig: AwsRig, aws: Aws) -> None:
    """A connection that a NAT dropped between two cycles costs no timeout, and the credentials are kept."""
    with nat(urlsplit(aws.url).port or 0) as (url, forget):
        store = rig.make_store(endpoint_url=url, timeout=20.0, role=AwsRole(ROLE))
        keys = [rig.key(f"p{number}") for number in range(4)]
        for _ in range(3):
            store.begin()
            start = time.monotonic()
            store.read(keys)
            assert all(isinstance(answer, Absent) for answer in store.read(keys).values())
            assert time.monotonic() - start < 4, "less than one timeout for a read"
            forget()
        assert aws.calls["AssumeRole"] == 1


@pytest.mark.parametrize("content", [None, "junk"])
def test_bad_ca_file_is_named(rig: AwsRig, tmp_path: Path, content: str | None) -> None:
    """A CA file that is missing or not in PEM format is an error of the whole store that names the file."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    error = failed(one(rig.make_store(endpoint_url="https://127.0.0.1:9", ca_file=str(file)), rig.key("a")), "tls")
    assert error.whole
    assert str(file) in error.message


def test_certificate_must_be_signed_by_the_ca(rig: AwsRig, aws: Aws, tmp_path: Path) -> None:
    """Only certificates of the configured CA are trusted; any other is "tls", and a changed CA file is read again."""
    authority, other, file = trustme.CA(), trustme.CA(), tmp_path / "ca.pem"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with over_tls(context) as url:
        other.cert_pem.write_to_path(file)
        store = rig.make_store(endpoint_url=url, ca_file=str(file))
        store.begin()
        assert failed(one(store, rig.key("a")), "tls").whole
        assert aws.total == 0
        authority.cert_pem.write_to_path(file)
        store.begin()
        assert isinstance(one(store, rig.key("a")), Absent)


def test_debug_logs_show_no_secret(rig: AwsRig, aws: Aws, caplog: pytest.LogCaptureFixture) -> None:
    """With everything logged at debug level, no token, key or parameter of a call is in the log."""
    with caplog.at_level(logging.DEBUG):
        store = rig.make_store()
        first = written(store.write(rig.key("a"), payload(), marks(), replaces=None))
        written(store.write(rig.key("a"), payload(CANARY + "2"), marks(), replaces=first.version))
        stored(store, rig.key("a"))
        aws.refuse("", "InternalServiceError")
        one(rig.make_store(), rig.key("a"))
    for secret in (CANARY, SECRET_KEY, ACCESS_KEY, "SecretString"):
        assert secret not in caplog.text


def test_module_does_not_import_boto3() -> None:
    """The first call imports boto3, and not the module, so that other configurations do not pay 60 MB and half a second."""
    script = "import sys, sync.stores.aws.store; print([name for name in sys.modules if name.startswith('boto')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
