"""The sandbox over HTTP: connections, requests and each fault."""

import json
import socket
import threading
import time

import httpx
import pytest

from sync.sandbox.api.states import switch_on
from sync.sandbox.http.server import Server, start
from sync.sandbox.world.world import make_world
from tests.support.services.graph import sandbox

__all__ = ["sandbox"]


@pytest.fixture
def client(sandbox):
    """Return a client that has the system user token and follows no redirect."""
    headers = {"authorization": f"Bearer {sandbox.system_user_token}"}
    with httpx.Client(base_url=sandbox.url, headers=headers, timeout=5, trust_env=False, verify=False) as client:
        yield client


def read(sandbox):
    """Return the target of a read of the first Page."""
    return f"/v25.0/{sandbox.pages[0]['id']}?fields=access_token"


def raw(sandbox, target, **headers):
    """Send a request on a new socket and return the socket."""
    address = sandbox.url.removeprefix("http://").split(":")
    line = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sandbox.system_user_token}\r\n"
    conn = socket.create_connection((address[0], int(address[1])), timeout=5)
    conn.sendall((line + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode())
    return conn


def test_describe_is_all_that_a_client_needs(sandbox, client):
    """The keys are fixed, and a client works with their values."""
    description = sandbox.describe()
    assert list(description) == ["url", "app_id", "app_secret", "system_user_token", "pages"]
    assert description["pages"][0] == {"id": sandbox.pages[0]["id"], "name": "berlin"}
    assert json.loads(json.dumps(description)) == description
    assert client.get(read(sandbox)).json()["id"] == sandbox.pages[0]["id"]


def test_a_connection_is_kept(sandbox):
    """Several requests go over one connection, and ``close`` ends it."""
    with raw(sandbox, "/me") as conn:
        assert b"Connection: keep-alive" in conn.recv(65536)
        conn.sendall(b"GET /me HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert b"400 Bad Request" in conn.recv(65536)
        assert conn.recv(1) == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"411"),
    ],
)
def test_a_malformed_request_ends_only_its_own_connection(sandbox, client, sent, status):
    """A malformed request is refused, and other clients are answered."""
    address = sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=5) as conn:
        conn.sendall(sent)
        assert conn.recv(65536).split(b" ")[1] == status
        assert conn.recv(1) == b""
    assert client.get("/me").status_code == 200


@pytest.mark.parametrize("kind", ["data", "files", "json"])
def test_forms_are_accepted_in_each_encoding(sandbox, client, kind):
    """A form may be URL-encoded, multipart as ``curl -F`` sends it, or JSON."""
    batch = json.dumps([{"method": "GET", "relative_url": "me"}])
    value = {"batch": (None, batch)} if kind == "files" else {"batch": batch}
    answer = client.post("/v25.0/", **{kind: value})
    assert json.loads(answer.json()[0]["body"])["id"] == sandbox.world.user.id


def test_latency_delays_no_other_call():
    """Ten calls of 200 ms at once take far less than two seconds."""
    with (
        start(latency_ms=200) as running,
        httpx.Client(base_url=running.url, timeout=5, trust_env=False, verify=False) as client,
    ):
        threads = [threading.Thread(target=client.get, args=("/me",)) for _ in range(10)]
        begun = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 0.2 <= time.monotonic() - begun < 1.8
        assert running.world.calls.requests == 10


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:", "127.0.0.1:x"])
def test_an_invalid_address_is_refused(listen):
    """The message states the expected form."""
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        start(listen)


def test_a_port_that_is_taken_is_an_oserror(sandbox):
    """A start that failed leaves no thread running."""
    before = threading.active_count()
    with pytest.raises(OSError, match="ddress"):
        start(sandbox.url.removeprefix("http://"))
    assert threading.active_count() == before


def test_closing_twice_is_allowed_and_ends_hanging_calls():
    """A hanging call does not delay the shutdown."""
    running = start(faults=["hang"])
    with raw(running, "/me") as conn:
        while not running.world.calls.requests:
            time.sleep(0.01)
        running.close()
        running.close()
        assert conn.recv(1) == b""
    assert not [
        thread for thread in threading.enumerate() if thread.name == "sandbox" and thread is not threading.main_thread()
    ][1:]


def test_the_access_log_shows_no_id_query_or_token():
    """A line contains method, endpoint and status only."""
    lines = []
    running = Server(make_world(), log=lines.append)
    with httpx.Client(base_url=running.url, trust_env=False, verify=False) as client:
        client.get("/v25.0/123?access_token=EAAsecret")
        client.get("/EAAsecret/accounts", headers={"authorization": "Bearer EAAsecret"})
    running.close()
    assert lines == ["GET node 400", "GET accounts 400"]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("throttled-app", (403, 4, None)),
        ("throttled-page=3@berlin", (400, 80001, None)),
        ("throttled-user", (400, 17, None)),
        ("throttled-pages", (400, 32, None)),
        ("throttled-custom", (400, 613, 1996)),
        ("server-error", (500, 2, None)),
        ("server-error=503", (503, 2, None)),
        ("unknown-error", (500, 1, None)),
        ("too-much-data", (500, 1, None)),
        ("error=190/458", (400, 190, 458)),
        ("error=10", (400, 10, None)),
        ("app-blocked", (400, 200, None)),
        ("capability", (400, 3, None)),
        ("two-factor", (400, 415, 2859009)),
        ("policy", (400, 368, None)),
        ("checkpoint", (400, 190, 459)),
        ("checkpoint=490", (400, 190, 490)),
        ("missing-permission", (403, 283, None)),
        ("missing-permission=pages_show_list", (403, 283, None)),
        ("address-refused", (400, 5, None)),
        ("app-not-active", (400, 200, None)),
        ("no-app-id", (400, 200, None)),
        ("version-unknown", (400, 2500, None)),
        ("user-message=Log in", (403, 200, None)),
        ("capability:node,accounts", (400, 3, None)),
        ("proof-refused", (400, 100, None)),
        ("invalid", (400, 190, 460)),
        ("expired", (400, 190, 463)),
        ("moved", (400, 21, None)),
        ("person", (400, 100, None)),
        ("require-proof", (400, 100, None)),
    ],
)
def test_each_fault_returns_its_error(sandbox, client, fault, expected):
    """The answer has the fault's status, code and subcode, and a challenge."""
    switch_on(sandbox.world, fault)
    answer = client.get(read(sandbox))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error.get("error_subcode")) == expected
    assert "www-authenticate" in answer.headers


@pytest.mark.parametrize(
    ("fault", "head", "body"),
    [
        ("html", (502, "text/html; charset=utf-8"), b"<!DOCTYPE html>"),
        ("html=200", (200, "text/html; charset=utf-8"), b"<!DOCTYPE html>"),
        ("empty-body", (200, "application/json; charset=UTF-8"), b""),
        ("null-body", (200, "application/json; charset=UTF-8"), b"null"),
        ("error-empty", (500, "application/json; charset=UTF-8"), b'{"error":{}}'),
        ("half-json", (200, "application/json; charset=UTF-8"), b'{"data":{"app_id":"1'),
        ("redirect", (302, "text/html; charset=utf-8"), b""),
    ],
)
def test_each_fault_returns_its_malformed_answer(sandbox, client, fault, head, body):
    """Status, content type and body are those of the fault."""
    switch_on(sandbox.world, fault)
    answer = client.get(read(sandbox))
    assert (answer.status_code, answer.headers["content-type"]) == head
    assert answer.content.startswith(body)
    assert bool(answer.content) is bool(body)


def test_a_redirect_that_is_followed_is_counted(sandbox, client):
    """A client that follows a redirect makes a second request."""
    switch_on(sandbox.world, "redirect*1")
    client.get(read(sandbox), follow_redirects=True)
    assert sandbox.world.calls.requests == 2


def test_a_cut_connection_leaves_a_partial_answer(sandbox, client):
    """The body is shorter than its announced length."""
    switch_on(sandbox.world, "cut")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(read(sandbox))


def test_a_closed_connection_leaves_nothing(sandbox, client):
    """The client receives no byte, although the call took effect."""
    switch_on(sandbox.world, "close")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(read(sandbox))
    assert sandbox.world.calls.calls == 1


def test_a_hanging_answer_never_comes(sandbox, client):
    """Only the client's timeout ends the call."""
    switch_on(sandbox.world, "hang")
    with pytest.raises(httpx.ReadTimeout):
        client.get(read(sandbox), timeout=0.1)


@pytest.mark.parametrize("fault", ["drip-headers=50", "drip-body=50"])
def test_a_drip_sends_one_byte_at_a_time(sandbox, fault):
    """No single read waits long, but the whole answer takes long."""
    switch_on(sandbox.world, fault)
    with raw(sandbox, read(sandbox)) as conn:
        if fault.startswith("drip-body"):
            assert b"\r\n\r\n" in conn.recv(65536)
        pieces = [conn.recv(65536) for _ in range(3)]
    assert sum(len(piece) for piece in pieces) < 30
    assert all(pieces)


def test_a_slow_answer_is_complete(sandbox, client):
    """The delay is in milliseconds."""
    switch_on(sandbox.world, "slow=60")
    begun = time.monotonic()
    assert client.get(read(sandbox)).status_code == 200
    assert time.monotonic() - begun >= 0.06


def test_another_version_may_be_served(sandbox, client):
    """Only the version header shows it."""
    switch_on(sandbox.world, "version=v26.0")
    answer = client.get(read(sandbox))
    assert (answer.status_code, answer.headers["facebook-api-version"]) == (200, "v26.0")


@pytest.mark.parametrize("fault", ["foreign", "debug-not-allowed"])
def test_debugging_may_be_refused(sandbox, client, fault):
    """A foreign token, and an app without permission, are each error 100 with its own message."""
    switch_on(sandbox.world, fault)
    token = client.get(read(sandbox)).json()["access_token"]
    app = f"{sandbox.app_id}|{sandbox.app_secret}"
    answer = client.get("/debug_token", params={"input_token": token, "access_token": app})
    text = "did not match the Viewing App" if fault == "foreign" else "must provide an app access token"
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 100)
    assert text in answer.json()["error"]["message"]


def test_debugging_may_return_no_data(sandbox, client):
    """``data`` may be empty, for debug_token alone."""
    switch_on(sandbox.world, "debug-without-data")
    app = f"{sandbox.app_id}|{sandbox.app_secret}"
    answer = client.get("/debug_token", params={"input_token": "x", "access_token": app})
    assert (answer.status_code, answer.json()) == (200, {"data": {}})
    assert "access_token" in client.get(read(sandbox)).json()
