"""The control endpoint: changes of the sandbox while clients use it."""

import httpx
import pytest

from sync.sandbox.world.tokens import fingerprint
from tests.support.services.graph import sandbox

__all__ = ["sandbox"]


@pytest.fixture
def client(sandbox):
    """Return a client of the control endpoint."""
    with httpx.Client(base_url=f"{sandbox.url}/_sandbox", timeout=5, trust_env=False, verify=False) as client:
        yield client


def token_of(sandbox, number=0):
    """Read a Page's token with the current system user token; return an empty string where there is none."""
    url = f"{sandbox.url}/v25.0/{sandbox.pages[number]['id']}?fields=access_token"
    answer = httpx.get(
        url, headers={"authorization": f"Bearer {sandbox.system_user_token}"}, trust_env=False, verify=False
    )
    return answer.json().get("access_token", "")


def test_faults_are_switched_on_listed_and_off(sandbox, client):
    """A fault can be limited to Pages and to a number of calls; one DELETE switches all off."""
    body = {"name": "server-error", "pages": ["berlin"], "times": 1, "kind": "node"}
    answer = client.post("/faults", json=body)
    assert answer.json()["pages"] == [sandbox.pages[0]["id"]]
    assert "throttled-app" in client.get("/faults").json()["known"]
    assert [token_of(sandbox, 1) == "", token_of(sandbox) == "", token_of(sandbox) == ""] == [False, True, False]
    assert client.delete("/faults").json()["faults"] == []


def test_one_fault_is_switched_off_alone(client):
    """The other faults stay on."""
    for name in ("html", "redirect"):
        client.post("/faults", json={"name": name, "probability": 0.1})
    assert [fault["name"] for fault in client.delete("/faults/html").json()["faults"]] == ["redirect"]


def test_a_fault_can_be_sent_as_a_form(sandbox, client):
    """A form, as ``curl -d`` sends it, is read like a JSON object; a list of Pages in it is JSON."""
    form = {"name": "unassigned", "argument": "field-missing", "pages": '["rome","paris"]', "times": "3"}
    answer = client.post("/faults", data=form).json()
    ids = {page["name"]: page["id"] for page in sandbox.pages}
    assert (answer["argument"], answer["times"]) == ("field-missing", 3)
    assert answer["pages"] == sorted([ids["rome"], ids["paris"]])


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/faults", {"name": "nonsense"}, "unknown fault"),
        ("/faults", {"name": "html", "pages": ["nowhere"]}, "no Page"),
        ("/faults", {"name": "html", "times": "x"}, "invalid literal"),
        ("/faults", {"name": "html", "pages": "rome"}, 'pages: write it like pages=["rome"]'),
        ("/faults", {"name": "html", "pages": 5}, 'pages: write it like pages=["rome"]'),
        ("/usage", {"pages": "rome"}, 'pages: write it like pages={"rome": 76}'),
        ("/usage", {"pages": ["rome"]}, 'pages: write it like pages={"rome": 76}'),
        ("/pages/berlin/nonsense", {}, "unknown action"),
        ("/pages/nowhere/revoke", {}, "no Page"),
        ("/system-user/nonsense", {}, "known are"),
        ("/app/nonsense", {}, "known are"),
    ],
)
def test_an_invalid_call_is_refused_with_a_message(sandbox, client, path, body, message):
    """The answer is 400, and nothing has changed."""
    answer = client.post(path, json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert sandbox.world.faults == []


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/nonsense"), ("PUT", "/faults"), ("POST", "/x")])
def test_an_unknown_control_call_is_404(client, method, path):
    """An unknown control call is not passed on to Graph."""
    assert client.request(method, path).status_code == 404


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("unassign", {"shape": "object-missing"}),
        ("migrate", {"to": "123450000012345"}),
        ("delete", {}),
        ("person", {}),
    ],
)
def test_a_page_is_lost_and_restored(sandbox, client, action, body):
    """The token cannot be read until the Page is restored."""
    assert token_of(sandbox)
    page = client.post(f"/pages/berlin/{action}", json=body).json()
    assert page["system_users"][sandbox.world.user.id]["fetchable"] is False
    assert token_of(sandbox) == ""
    client.post("/pages/berlin/restore")
    assert token_of(sandbox)


def test_assigning_restores_access(sandbox, client):
    """A Page that is only unassigned needs no restore."""
    client.post("/pages/berlin/unassign")
    client.post("/pages/berlin/assign")
    assert token_of(sandbox)


def test_a_page_token_is_revoked_or_rotated(sandbox, client):
    """A revoked token is invalid at once; a rotated one stays valid beside the new one."""
    old = token_of(sandbox)
    client.post("/pages/berlin/rotate")
    new = token_of(sandbox)
    tokens = client.get("/truth").json()["tokens"]
    assert old != new
    assert (tokens[fingerprint(old)]["valid"], tokens[fingerprint(new)]["valid"]) == (True, True)
    client.post("/pages/berlin/revoke")
    token = client.get("/truth").json()["tokens"][fingerprint(new)]
    assert (token["valid"], token["why"], token["subcode"]) == (False, "revoked", 466)


def test_a_system_user_is_rotated(sandbox, client):
    """The answer has the new token; the old one stays valid unless it is revoked as well."""
    old = sandbox.system_user_token
    answer = client.post("/system-user/rotate", json={"expires_in": 60, "scopes": ["pages_messaging"]}).json()
    assert answer["system_user_token"] == sandbox.system_user_token != old
    token = sandbox.world.tokens[sandbox.system_user_token]
    assert token.scopes == ("pages_messaging",)
    assert token.expires_at - token.issued_at == 60
    assert client.get("/truth").json()["tokens"][fingerprint(old)]["valid"] is True
    second = sandbox.system_user_token
    client.post("/system-user/rotate", json={"revoke_old": True})
    assert client.get("/truth").json()["tokens"][fingerprint(second)]["why"] == "revoked"


@pytest.mark.parametrize(("action", "why"), [("kill", "invalidated"), ("expire", "expired"), ("revoke", "revoked")])
def test_a_system_user_is_made_invalid_and_revived(sandbox, client, action, why):
    """Its Page tokens become invalid and valid with it."""
    token = token_of(sandbox)
    client.post(f"/system-user/{action}")
    truth = client.get("/truth").json()
    assert truth["system_users"][sandbox.world.user.id]["why"] == why
    assert truth["tokens"][fingerprint(token)]["why"] == why
    client.post("/system-user/revive")
    assert token_of(sandbox) == token


def test_an_app_is_blocked_and_its_secret_reset(sandbox, client):
    """A blocked app refuses every call; a reset returns a new app secret."""
    client.post("/app/block")
    assert token_of(sandbox) == ""
    client.post("/app/unblock")
    assert token_of(sandbox)
    assert client.post("/app/reset-secret").json()["app_secret"] not in ("", sandbox.app_secret)


def test_time_can_be_moved(sandbox, client):
    """A token that expires in an hour has expired once the clock was moved."""
    client.post("/system-user/expire", json={"seconds": 3600})
    assert token_of(sandbox)
    client.post("/clock", json={"advance": 3601})
    assert token_of(sandbox) == ""


def test_usage_is_set_and_shown_in_the_headers(sandbox, client):
    """The app and the Page each have their own percentage."""
    client.post("/usage", json={"app": 76, "pages": {"berlin": 95}})
    url, page = sandbox.url, sandbox.pages[0]["id"]
    answer = httpx.get(
        f"{url}/{page}", headers={"authorization": f"Bearer {sandbox.system_user_token}"}, trust_env=False, verify=False
    )
    assert '"call_count":95' in answer.headers["X-Business-Use-Case-Usage"]
    app = f"{sandbox.app_id}|{sandbox.app_secret}"
    answer = httpx.get(
        f"{url}/{sandbox.app_id}", headers={"authorization": f"Bearer {app}"}, trust_env=False, verify=False
    )
    assert '"call_count":76' in answer.headers["X-App-Usage"]


def test_calls_are_counted_and_reset(sandbox, client):
    """Control calls are not counted."""
    token_of(sandbox)
    assert client.get("/calls").json() == {"requests": 1, "calls": 1, "endpoints": {"node": 1}}
    assert client.delete("/calls").json() == {"requests": 0, "calls": 0, "endpoints": {}}
