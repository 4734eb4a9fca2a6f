"""No secret leaks: every fault is forced at log level debug, and all output is searched for parts of secrets."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sync.sandbox.api.states import NAMES, switch_on
from sync.sandbox.http.server import Sandbox
from tests.support.canary import Net, proof
from tests.support.echo import quoting
from tests.support.rigs.e2e import PROGRAM, Ran, Rig, cycle_after_cycle
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox

__all__ = ["bao", "mount", "sandbox"]

pytestmark = pytest.mark.slow

_SLOW = {"slow": "slow=50"}


def secrets_of(sandbox: Sandbox, *others: str) -> list[str]:
    """Return every secret of a sandbox (all tokens that it issued, their proofs, the app secret) and the others."""
    tokens = list(sandbox.world.tokens)
    proofs = [proof(token, sandbox.app_secret) for token in tokens]
    app_token = f"{sandbox.app_id}|{sandbox.app_secret}"
    return [*tokens, *proofs, proof(app_token, sandbox.app_secret), app_token, sandbox.app_secret, *others]


def texts_in(folder: Path) -> str:
    """Return the text of every file in a folder, as the disk holds it."""
    return "\n".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


def must_not_leak(ran: Ran, secrets: list[str], *further: str) -> None:
    """Assert that neither a command's output nor a further text contains a part of a secret."""
    net = Net(secrets)
    for name, text in (("stdout", ran.stdout), ("stderr", ran.stderr), *enumerate(further)):
        assert not net.catches(text), f"{name}: {net.catches(text)}"
    assert "Traceback" not in ran.stderr, ran.stderr


@pytest.fixture
def rig(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path) -> Rig:
    """Return the program at log level debug, with a real OpenBao behind an AppRole, and a folder for temporary files."""
    rules = f'path "{mount}/*" {{ capabilities = ["create", "read", "update", "patch", "list", "delete"] }}'
    login, role_id, secret_id = bao.approle(bao.policy(rules))
    store = {
        "type": "vault",
        "address": bao.url,
        "mount": mount,
        "timeout": "3s",
        "auth": {
            "method": "approle",
            "mount": login,
            "role_id": {"file": str(tmp_path / "role_id")},
            "secret_id": {"file": str(tmp_path / "secret_id")},
        },
    }
    (tmp_path / "tmp").mkdir()
    rig = Rig(tmp_path, sandbox, store, environment={"TMPDIR": str(tmp_path / "tmp")})
    rig.secret("role_id", role_id)
    rig.secret("secret_id", secret_id)
    rig.write(log={"level": "debug"}, graph={"base_url": sandbox.url, "timeout": "1s"})
    return rig


@pytest.mark.parametrize("fault", sorted(NAMES))
def test_no_fault_of_graph_leaks_a_secret(rig: Rig, sandbox: Sandbox, fault: str) -> None:
    """Under each fault of Graph, in a first or a later cycle, no part of a secret is printed or left on the disk."""
    first = rig.run("once")
    switch_on(sandbox.world, _SLOW.get(fault, fault))
    later = rig.once()
    plan = rig.run("plan")
    secrets = secrets_of(sandbox, (rig.folder / "secret_id").read_text().strip())
    for ran in (first, later, plan):
        must_not_leak(ran, secrets, texts_in(rig.folder / "tmp"))


class _Echo(BaseHTTPRequestHandler):
    """A service that quotes the whole request in its answer."""

    protocol_version = "HTTP/1.1"
    status = 400

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
        answer = quoting(dict(self.headers), self.path, body)
        self.send_response(self.status, "No")
        self.send_header("Content-Type", "application/json")
        self.send_header("Location", f"http://127.0.0.1:9/{str(self.headers)[:50].replace(chr(10), '')}")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_LIST = do_DELETE = _answer  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: object) -> None:
        """Keep the test's own output clean."""


@pytest.fixture(params=[200, 307, 400, 403, 404, 500])
def echo(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the address of a service that quotes every request and answers with one status."""
    handler = type("Echo", (_Echo,), {"status": request.param})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_service_that_quotes_secrets_is_not_repeated(rig: Rig, sandbox: Sandbox, echo: str) -> None:
    """A Graph and a Vault that quote each header and body in their errors do not make the program print them."""
    hostile_store = {**rig.store, "address": echo}
    static = {
        "type": "vault",
        "address": echo,
        "timeout": "3s",
        "auth": {"method": "token", "token": {"file": str(rig.folder / "vault_token")}},
    }
    rig.secret("vault_token", "hvs.CANARYcanaryCANARYcanaryCANARY0123456789")
    secrets = secrets_of(
        sandbox, (rig.folder / "secret_id").read_text().strip(), "hvs.CANARYcanaryCANARYcanaryCANARY0123456789"
    )
    rig.write(stores={"store": hostile_store, "static": static}, defaults={"stores": ["store", "static"]})
    must_not_leak(rig.once(), secrets)
    rig.write(graph={"base_url": echo, "timeout": "1s"})
    must_not_leak(rig.once(), secrets)
    must_not_leak(rig.run("once"), secrets)


def test_a_secret_in_the_configuration_is_not_quoted(rig: Rig, sandbox: Sandbox) -> None:
    """A secret pasted where a reference belongs, or beside a syntax error, is reported without being quoted."""
    secrets = secrets_of(sandbox)
    good = rig.file.read_text()
    token = sandbox.system_user_token
    for bad in (
        good.replace(f"file: {rig.folder / 'system_user_token'}", token),
        good.replace("system_users:", f"system_users: [{token}"),
        good.replace("main:", f"{token}:"),
        good.replace("instance: acme-test", f"instance: {token}"),
        good.replace("version: 1", f"version: {token}"),
        good.replace("1s", token),
        good + f"\n? {token}\n: - {token}\n",
    ):
        assert bad != good
        rig.file.write_text(bad)
        for arguments in (("validate",), ("validate", "--output", "json"), ("once",)):
            ran = rig.run(*arguments)
            assert ran.code == 2, ran
            must_not_leak(ran, secrets)


@contextmanager
def daemon(rig: Rig) -> Iterator[tuple[Path, list[str]]]:
    """Run the daemon, cycle after cycle; yield its log, and a list that gets all its output at the end."""
    rig.write(schedule={"every": "10s"})
    out, err, output = rig.folder / "stdout", rig.folder / "stderr", list[str]()
    with out.open("w") as stdout, err.open("w") as stderr:
        process = subprocess.Popen(
            [*PROGRAM, "--config", str(rig.file), "run"],
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, **rig.environment},
        )
    try:
        with cycle_after_cycle(process):
            yield out, output
        output.append(Path(f"/proc/{process.pid}/cmdline").read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=15)
    assert code == 0, err.read_text()
    output += [out.read_text(), err.read_text()]


def test_the_daemon_shows_no_secret_in_its_log_or_arguments(rig: Rig, sandbox: Sandbox) -> None:
    """Some cycles of ``run`` at level debug, with Pages failing in many ways, log no part of a secret."""
    with daemon(rig) as (log, output):
        for number, fault in enumerate(
            ("revoked@paris", "null-items%0.5", "unassigned@rome", "server-error%0.3", "invalid")
        ):
            wait_for_cycles(log, number + 1)
            switch_on(sandbox.world, fault)
    secrets = secrets_of(sandbox, (rig.folder / "secret_id").read_text().strip())
    must_not_leak(Ran(0, *output[1:]), secrets, output[0])


def wait_for_cycles(log: Path, count: int) -> None:
    """Wait until so many cycles have ended."""
    end = time.monotonic() + 60
    while log.read_text().count('"event": "cycle_finished"') < count:
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


def test_the_search_finds_parts_of_a_secret() -> None:
    """The search finds a part of a secret as plain text, in hex and in base64, at any position, and nothing else."""
    secret = "EAAcanaryCANARY0123456789abcdefghij"
    net = Net([secret])
    import base64

    for leak in (
        secret[5:25],
        f"x={secret}",
        secret.encode().hex(),
        base64.b64encode(b"ab" + secret.encode()).decode(),
    ):
        assert net.catches(f"before {leak} after")
    assert not net.catches("nothing of it, EAAcanary, at all")
