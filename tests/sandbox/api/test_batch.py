"""Batches: one envelope, each item by itself."""

import json

import pytest

from sync.sandbox.api.auth import proof
from sync.sandbox.api.states import switch_on
from tests.support.services.graph import app_token, ask, ask_batch, world

__all__ = ["world"]


def items(world, fields="name"):
    """Return a read of each Page."""
    return [{"method": "GET", "relative_url": f"{page}?fields={fields}"} for page in world.pages]


def bodies(said):
    """Decode the body of each item."""
    return [None if entry is None else json.loads(entry["body"]) for entry in said.json]


def test_items_are_answered_in_order_with_their_own_headers(world):
    """Each entry has code, headers as name and value, and a body that is JSON in a string."""
    said = ask_batch(world, items(world), token=world.user.token)
    assert said.status == 200
    assert [body["id"] for body in bodies(said)] == list(world.pages)
    assert all(entry["code"] == 200 for entry in said.json)
    names = {header["name"] for header in said.json[0]["headers"]}
    assert {"Content-Type", "facebook-api-version", "X-Business-Use-Case-Usage"} <= names


def test_headers_can_be_left_out(world):
    """``include_headers=false`` leaves code and body."""
    said = ask_batch(world, items(world), token=world.user.token, include_headers="false")
    assert all(set(entry) == {"code", "body"} for entry in said.json)


def test_one_bad_item_spoils_no_other(world):
    """The envelope stays 200; the bad item has its own code, challenge and error."""
    asked = [*items(world)[:2], {"method": "GET", "relative_url": "nobody"}]
    said = ask_batch(world, asked, token=world.user.token)
    assert said.status == 200
    assert [entry["code"] for entry in said.json] == [200, 200, 404]
    assert "WWW-Authenticate" in {header["name"] for header in said.json[2]["headers"]}
    assert bodies(said)[2]["error"]["code"] == 803


def test_more_than_fifty_are_refused_whole(world):
    """The error of the envelope has a type of its own and no code."""
    said = ask_batch(world, [{"method": "GET", "relative_url": "me"}] * 51, token=world.user.token)
    error = said.json["error"]
    assert error["message"] == "Too many requests in batch message. Maximum batch size is 50"
    assert error["type"] == "GraphBatchException"
    assert "code" not in error
    assert len(ask_batch(world, [{"method": "GET", "relative_url": "me"}] * 50, token=world.user.token).json) == 50


@pytest.mark.parametrize(
    "batch",
    [
        "[",
        "{}",
        "[]",
        '"x"',
        "[1]",
        '[{"method":"GET"}]',
        '[{"relative_url":"me"}]',
        '[{"method":"GET","relative_url":"me","depends_on":"x"}]',
    ],
)
def test_a_malformed_batch_is_refused_whole(world, batch):
    """What is no array of items is an error object and not an array."""
    said = ask(world, "/", form={"access_token": world.user.token, "batch": batch})
    assert said.status == 400
    assert said.json["error"]["type"] == "GraphBatchException"


def test_the_envelope_needs_a_good_token_though_items_have_theirs(world):
    """Without one it is 104, with a dead one 190, as one object."""
    asked = [{"method": "GET", "relative_url": f"me?access_token={world.user.token}"}]
    assert ask_batch(world, asked, token=None).json["error"]["code"] == 104
    assert ask_batch(world, asked, token="EAA" + "x" * 177).json["error"]["code"] == 190


def test_an_items_own_token_wins(world):
    """An item is answered to the token that it names, in its query or its body."""
    asked = [
        {"method": "GET", "relative_url": f"me?access_token={world.user.token}"},
        {"method": "POST", "relative_url": "me", "body": f"method=get&access_token={world.user.token}"},
        {"method": "GET", "relative_url": "me"},
    ]
    said = ask_batch(world, asked, token=app_token(world))
    assert [body.get("id") for body in bodies(said)] == [world.user.id, world.user.id, None]


def test_the_token_of_the_envelope_may_come_in_the_header(world):
    """Items inherit a bearer token."""
    said = ask(world, "/v25.0/", form={"batch": json.dumps(items(world))}, token=world.user.token)
    assert [body["id"] for body in bodies(said)] == list(world.pages)


def test_a_proof_is_of_the_token_that_the_item_uses(world):
    """The envelope's proof serves items with the envelope's token; an item's own token needs its own proof."""
    world.require_proof = True
    page = ask(
        world,
        f"/{next(iter(world.pages))}?fields=access_token&appsecret_proof={proof(world.app.secret, world.user.token)}",
        token=world.user.token,
    ).json["access_token"]
    asked = [
        {"method": "GET", "relative_url": "me"},
        {"method": "GET", "relative_url": f"me?access_token={page}"},
        {"method": "GET", "relative_url": f"me?access_token={page}&appsecret_proof={proof(world.app.secret, page)}"},
    ]
    right = proof(world.app.secret, world.user.token)
    said = ask_batch(world, asked, token=world.user.token, appsecret_proof=right)
    assert [entry["code"] for entry in said.json] == [200, 400, 200]
    assert bodies(said)[1]["error"]["message"] == "Invalid appsecret_proof provided in the API argument"
    assert ask_batch(world, asked, token=world.user.token).json["error"]["type"] == "GraphMethodException"


@pytest.mark.parametrize("url", ["me", "/me", "v24.0/me", "/v24.0/me/"])
def test_an_items_url_may_have_a_slash_and_a_version(world, url):
    """What it leaves out it has from the envelope."""
    said = ask_batch(world, [{"method": "GET", "relative_url": url}], token=world.user.token)
    served = {header["name"]: header["value"] for header in said.json[0]["headers"]}["facebook-api-version"]
    assert bodies(said)[0]["id"] == world.user.id
    assert served == ("v24.0" if "v24" in url else "v25.0")


def test_each_item_counts_as_a_call(world):
    """One HTTP request, as many calls as items."""
    ask_batch(world, items(world), token=world.user.token)
    assert (world.calls.requests, world.calls.calls) == (1, 5)
    assert world.calls.endpoints == {"batch": 1, "node": 5}


def test_items_may_run_out_of_time(world):
    """They are ``null`` while the others are done."""
    switch_on(world, "null-items@paris,rome*1")
    said = ask_batch(world, items(world), token=world.user.token)
    assert [entry is None for entry in said.json] == [False, True, False, False, False]


def test_an_answer_may_be_too_short(world):
    """The last entry may be missing altogether."""
    switch_on(world, "short-array")
    assert len(ask_batch(world, items(world), token=world.user.token).json) == 4


def test_a_throttled_page_is_an_item_of_its_own(world):
    """80001 strikes the one Page, with its minutes in the item's header; 4 strikes the whole."""
    switch_on(world, "throttled-page=7@rome")
    said = ask_batch(world, items(world), token=world.user.token)
    assert [entry["code"] for entry in said.json] == [200, 200, 400, 200, 200]
    rome = list(world.pages)[2]
    told = {header["name"]: header["value"] for header in said.json[2]["headers"]}["X-Business-Use-Case-Usage"]
    assert json.loads(told)[rome][0]["estimated_time_to_regain_access"] == 7
    assert bodies(said)[2]["error"]["code"] == 80001
    switch_on(world, "throttled-app")
    said = ask_batch(world, items(world), token=world.user.token)
    assert (said.status, said.json["error"]["code"], said.json["error"]["is_transient"]) == (403, 4, True)


def test_a_batch_may_refuse_debug_token_alone(world):
    """The item is refused, the single GET is not."""
    switch_on(world, "debug-in-batch")
    url = f"debug_token?input_token={world.user.token}"
    said = ask_batch(world, [{"method": "GET", "relative_url": url}], token=app_token(world))
    assert bodies(said)[0]["error"]["error_subcode"] == 33
    assert ask(world, f"/{url}", token=app_token(world)).json["data"]["is_valid"] is True


def test_a_batch_may_be_refused_as_such(world):
    """Then single calls still work."""
    switch_on(world, "batch-refused")
    assert ask_batch(world, items(world), token=world.user.token).json["error"]["error_subcode"] == 33
    assert ask(world, "/me", token=world.user.token).status == 200
