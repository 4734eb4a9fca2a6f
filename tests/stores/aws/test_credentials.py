"""Credentials for AWS that are slow, broken, refused or a role's."""

from __future__ import annotations

import logging
import socket
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sync.core.model import Absent
from sync.core.secret import CredentialError, Secret
from sync.stores.aws.store import AwsRole
from tests.support.no_threads import no_threads
from tests.support.rigs.aws import AwsRig
from tests.support.services.aws import ACCESS_KEY, SECRET_KEY, Aws, aws, aws_environment, aws_server
from tests.support.store_contract import CANARY, failed, marks, one, payload, written

__all__ = ["aws", "aws_environment", "aws_server"]

ROLE = "arn:aws:iam::123456789012:role/pages"
EXTERNAL = "canaryExternalId0123456789"
ASSUMED = AwsRole(ROLE, external_id=lambda: Secret(EXTERNAL))


@pytest.fixture
def rig(aws: Aws) -> AwsRig:
    """Return an empty account."""
    return AwsRig(aws)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of the credential process of the profile ``asked``, which writes a line to ``runs`` for each start."""
    (tmp_path / "config").write_text(f"[profile asked]\ncredential_process = {tmp_path}/program\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path / "program"


def prints(program: Path, text: str, then: str = "") -> None:
    """Make the credential process print this text, after running other commands."""
    program.write_text(f"#!/bin/sh\necho run >> {program.parent}/runs\n{then}\ncat <<'END'\n{text}\nEND\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def keys(ends: datetime) -> str:
    """Return credentials in the form of a credential process."""
    return (
        f'{{"Version": 1, "AccessKeyId": "{ACCESS_KEY}", "SecretAccessKey": "{SECRET_KEY}", "SessionToken": "t", '
        f'"Expiration": "{ends.isoformat()}"}}'
    )


def runs(program: Path) -> int:
    """Count how often the program was started."""
    file = program.parent / "runs"
    return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException"])
def test_a_denied_role_is_named_and_assumed_once_a_cycle(rig: AwsRig, aws: Aws, code: str) -> None:
    """A role that may not be assumed is ``denied`` for the whole store, with its name, and is not tried again for each secret."""
    aws.refuse("AssumeRole", code, text=f"User is not authorized, {EXTERNAL} {CANARY}", status=403)
    store = rig.make_store(role=ASSUMED)
    store.begin()
    answers = list(store.read([rig.key(f"p{number}") for number in range(30)]).values())
    answers += [store.write(rig.key("a"), payload(), marks(), replaces=None), store.owned("acme")]
    for answer in answers:
        error = failed(answer, "denied")
        assert error.whole
        assert not error.maybe_written
        assert ROLE in error.message
        assert "sts:AssumeRole" in error.message
        assert not [secret for secret in (EXTERNAL, CANARY, SECRET_KEY) if secret in repr(error)]
    assert dict(aws.calls) == {"AssumeRole": 1}
    aws.heal()
    store.begin()
    assert isinstance(one(store, rig.key("a")), Absent)


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        ("ExpiredToken", "The security token included in the request is expired", "credentials"),
        ("InvalidClientTokenId", "The security token included in the request is invalid.", "credentials"),
        ("SignatureDoesNotMatch", "Signature expired: 20261125T010000Z is now earlier than", "clock"),
        ("ValidationError", f"the value {CANARY}", "credentials"),
        ("RegionDisabledException", "", "credentials"),
    ],
)
def test_errors_of_sts_have_an_error_code(rig: AwsRig, aws: Aws, code: str, text: str, reason: str) -> None:
    """An error of STS is ``credentials`` or ``clock`` for the whole store, without the text of STS."""
    aws.refuse("AssumeRole", code, text=text, status=403)
    error = failed(one(rig.make_store(role=ASSUMED), rig.key("a")), reason)
    assert error.whole
    assert not text or text not in repr(error)
    assert set(aws.calls) == {"AssumeRole"}


def test_sts_that_hangs_costs_one_timeout(rig: AwsRig, aws: Aws) -> None:
    """An STS that does not answer costs one timeout of the store in a cycle, and the error names the role."""
    aws.delay("AssumeRole", 6.0)
    store, start = rig.make_store(role=ASSUMED, timeout=2.5), time.monotonic()
    error = failed(one(store, rig.key("a")), "credentials")
    assert ROLE in error.message
    assert not failed(store.write(rig.key("a"), payload(), marks(), replaces=None), "credentials").maybe_written
    assert time.monotonic() - start < 4
    aws.heal()
    store.begin()
    assert isinstance(one(store, rig.key("a")), Absent)


def test_answer_that_is_not_from_sts(rig: AwsRig, aws: Aws) -> None:
    """A login page instead of STS, or an answer without credentials, is an error of credentials."""
    for content in (
        b"<html>please log in</html>",
        b"",
        b"<AssumeRoleResponse><AssumeRoleResult/></AssumeRoleResponse>",
    ):
        aws.heal()
        aws.fault("AssumeRole", lambda call, content=content: call.reply(content), times=9)  # type: ignore[misc]
        failed(one(rig.make_store(role=ASSUMED), rig.key("a")), "credentials")
        assert set(aws.calls) == {"AssumeRole"}


def test_external_id_that_cannot_be_read(rig: AwsRig, aws: Aws) -> None:
    """An external id whose reference cannot be read is reported with that reference, and nothing is sent."""

    def missing() -> Secret:
        raise CredentialError("env EXTERNAL_ID is not set")

    store = rig.make_store(role=AwsRole(ROLE, external_id=missing))
    assert "EXTERNAL_ID" in failed(one(store, rig.key("a")), "credentials").message
    assert aws.total == 0


def test_invalid_external_id(rig: AwsRig, aws: Aws) -> None:
    """An external id of one character is refused by boto3 without a request, and its text is not shown."""
    error = failed(one(rig.make_store(role=AwsRole(ROLE, lambda: Secret("\N{SNOWMAN}"))), rig.key("a")), "credentials")
    assert "\N{SNOWMAN}" not in repr(error)
    assert aws.total == 0


def test_role_is_assumed_once_and_signs_every_call(rig: AwsRig, aws: Aws) -> None:
    """One AssumeRole with session name and external id serves all cycles, and no other call is signed with the profile's key."""
    forms: list[dict[str, Any]] = []
    aws.fault("AssumeRole", lambda call: bool(forms.append(call.body)), times=9)
    store = rig.make_store(role=ASSUMED)
    for _ in range(3):
        store.begin()
        store.read([rig.key("a"), rig.key("b")])
    written(store.write(rig.key("a"), payload(), marks(), replaces=None))
    assert aws.calls["AssumeRole"] == 1
    (form,) = forms
    assert (form["RoleArn"], form["RoleSessionName"], form["ExternalId"]) == (ROLE, "page-token-sync", EXTERNAL)
    signed = [ACCESS_KEY in headers["Authorization"] for headers in aws.headers]
    assert signed == [True] + [False] * (len(signed) - 1)
    assert aws.total == store.requests == sum(store.outcomes.values())
    assert store.outcomes["login", "ok"] == 1


def test_role_without_external_id(rig: AwsRig, aws: Aws) -> None:
    """Without an external id in the configuration none is sent."""
    forms: list[dict[str, Any]] = []
    aws.fault("AssumeRole", lambda call: bool(forms.append(call.body)), times=9)
    assert isinstance(one(rig.make_store(role=AwsRole(ROLE)), rig.key("a")), Absent)
    assert "ExternalId" not in forms[0]


def test_changed_external_id_is_used_in_the_next_cycle(rig: AwsRig, aws: Aws) -> None:
    """When the referenced external id changes, the next cycle assumes the role again with the new one."""
    values, forms = [EXTERNAL], []
    aws.fault("AssumeRole", lambda call: bool(forms.append(call.body["ExternalId"])), times=9)
    store = rig.make_store(role=AwsRole(ROLE, external_id=lambda: Secret(values[0])))
    for value in (EXTERNAL, EXTERNAL, "another"):
        values[0] = value
        store.begin()
        one(store, rig.key("a"))
    assert forms == [EXTERNAL, "another"]


def test_rejected_session_is_replaced_in_the_next_cycle(rig: AwsRig, aws: Aws) -> None:
    """When AWS rejects the role's session early, the next cycle assumes the role again."""
    store = rig.make_store(role=ASSUMED)
    store.begin()
    assert isinstance(one(store, rig.key("a")), Absent)
    aws.refuse("DescribeSecret", "ExpiredTokenException", times=1)
    failed(one(store, rig.key("b")), "credentials")
    store.begin()
    assert isinstance(one(store, rig.key("a")), Absent)
    assert aws.calls["AssumeRole"] == 2


def test_session_that_expires_soon_is_renewed(rig: AwsRig, aws: Aws) -> None:
    """Credentials of the role that expire soon are renewed by the next call, without a failure."""

    def short(call: Any) -> bool:
        status, content = call.forward()
        soon = (datetime.now(UTC) + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
        begin, end = content.index(b"<Expiration>") + len("<Expiration>"), content.index(b"</Expiration>")
        call.handler.reply(status, content[:begin] + soon.encode() + content[end:])
        return True

    aws.fault("AssumeRole", short, times=1)
    store = rig.make_store(role=ASSUMED)
    for name in ("a", "b"):
        store.begin()
        assert isinstance(one(store, rig.key(name)), Absent)
    assert aws.calls["AssumeRole"] == 2


def test_nothing_of_the_role_is_logged(rig: AwsRig, aws: Aws, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the external id nor the text of STS is in the log at debug level, not even in a traceback of boto3."""
    with caplog.at_level(logging.DEBUG):
        store = rig.make_store(role=ASSUMED)
        assert isinstance(one(store, rig.key("a")), Absent)
        aws.refuse("AssumeRole", "AccessDenied", text=f"not with {EXTERNAL}", status=403)
        failed(one(rig.make_store(role=ASSUMED), rig.key("a")), "denied")
    for secret in (EXTERNAL, SECRET_KEY, ACCESS_KEY, "AssumeRole", "Traceback"):
        assert secret not in caplog.text


# Programs, profiles and machines that give credentials.


def test_no_thread_for_the_credentials_or_for_a_call(rig: AwsRig, aws: Aws) -> None:
    """When no thread can be started, the error says so, nothing is sent, no write is in doubt, and the next call tries again."""
    store = rig.make_store()
    for opened in (False, True):
        before = aws.total
        with no_threads():
            for answer in (one(store, rig.key("a")), store.write(rig.key("a"), payload(), marks(), replaces=None)):
                error = failed(answer, "unreachable")
                assert "thread" in error.message
                assert not error.maybe_written
        assert (opened, aws.total) == (opened, before)
        assert isinstance(one(store, rig.key("a")), Absent)


def test_hanging_credential_process_costs_one_timeout(rig: AwsRig, program: Path) -> None:
    """A credential process that never ends costs one timeout, blocks no later cycle, and is not started again while it runs."""
    prints(
        program,
        keys(datetime.now(UTC) + timedelta(hours=1)),
        then=f"while ! [ -e {program.parent}/go ]; do sleep 0.05; done",
    )
    store = rig.make_store(profile="asked", timeout=2.5)
    for _ in range(2):
        start = time.monotonic()
        store.begin()
        error = failed(one(store, rig.key("a")), "credentials")
        assert error.whole
        failed(store.owned("acme"), "credentials")
        assert time.monotonic() - start < 4
    assert runs(program) == 1
    (program.parent / "go").touch()
    store.begin()
    assert isinstance(one(rig.make_store(profile="asked"), rig.key("a")), Absent)
    assert isinstance(one(store, rig.key("a")), Absent)


def test_hanging_renewal_is_not_started_again(rig: AwsRig, program: Path) -> None:
    """When the credential process hangs at a renewal, no cycle starts it again or waits longer than the timeout."""
    prints(program, keys(datetime.now(UTC) + timedelta(minutes=5)))
    store = rig.make_store(profile="asked", timeout=2.5)
    store.begin()
    assert isinstance(one(store, rig.key("a")), Absent)
    prints(
        program,
        keys(datetime.now(UTC) + timedelta(hours=1)),
        then=f"while ! [ -e {program.parent}/go ]; do sleep 0.05; done",
    )
    before = runs(program)
    for _ in range(3):
        start = time.monotonic()
        store.begin()
        assert "in time" in failed(one(store, rig.key("a")), "credentials").message
        assert time.monotonic() - start < 4
    assert runs(program) == before + 1
    (program.parent / "go").touch()
    store.begin()
    assert isinstance(one(store, rig.key("a")), Absent)
    assert runs(program) == before + 1


@pytest.mark.parametrize("text", [None, "", "no JSON " + CANARY, "[]", '{"Version": 2}', '{"Version": 1}'])
def test_failing_credential_process(rig: AwsRig, aws: Aws, program: Path, text: str | None) -> None:
    """A credential process that is missing, or prints something else, is an error of this store alone."""
    if text is not None:
        prints(program, text)
    store = rig.make_store(profile="asked")
    error = failed(one(store, rig.key("a")), "credentials")
    assert error.whole
    assert CANARY not in repr(error)
    assert aws.total == 0
    prints(program, keys(datetime.now(UTC) + timedelta(hours=1)))
    store.begin()
    assert isinstance(one(store, rig.key("a")), Absent)


def test_expired_credentials(rig: AwsRig, aws: Aws, program: Path) -> None:
    """Credentials that have already expired are an error, and nothing is sent with them."""
    prints(program, keys(datetime.now(UTC) - timedelta(hours=1)))
    failed(one(rig.make_store(profile="asked"), rig.key("a")), "credentials")
    assert aws.total == 0


def test_hanging_instance_metadata(rig: AwsRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instance metadata that hang cost one timeout of the store, although boto3 would wait longer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("AWS_METADATA_SERVICE_TIMEOUT", "60")
        start = time.monotonic()
        assert "in time" in failed(one(rig.make_store(profile=None, timeout=1.0), rig.key("a")), "credentials").message
        assert time.monotonic() - start < 3


def test_profile_that_names_a_role(rig: AwsRig, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role in a profile is assumed by boto3 itself; a failure is one error of the whole store."""
    (tmp_path / "config").write_text(
        f"[profile by-role]\nrole_arn = {ROLE}\nsource_profile = prod\nendpoint_url = {aws.url}\nregion = eu-central-1\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws.url)
    aws.refuse("AssumeRole", "AccessDenied", status=403, times=1)
    store = rig.make_store(profile="by-role")
    assert "sts:AssumeRole" in failed(one(store, rig.key("a")), "denied").message
    store.begin()
    assert isinstance(one(store, rig.key("a")), Absent)


def test_endpoint_that_boto3_does_not_accept(rig: AwsRig, aws: Aws) -> None:
    """A host with an underscore, as in some container networks, is an error and not a crash."""
    error = failed(one(rig.make_store(endpoint_url="http://local_stack:4566"), rig.key("a")), "unexpected")
    assert error.whole
    assert "endpoint_url" in error.message
