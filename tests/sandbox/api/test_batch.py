"""Batch requests: the envelope, and the answer to each item."""

import json

import pytest

from sync.sandbox.api.auth import proof
from sync.sandbox.api.states import switch_on
from tests.support.services.graph import app_token, ask, ask_batch, world

__all__ = ["world"]


def items(world, fields="name"):
    """Return a read of each Page."""
    return [{"method": "GET", "relative_url": f"{page}?fields={fields}"} for page in world.pages]


def bodies(answer):
    """Decode the body of each item."""
    return [None if entry is None else json.loads(entry["body"]) for entry in answer.json]


def test_items_are_answered_in_order_with_their_own_headers(world):
    """Each entry has code, headers as name and value, and a body that is JSON in a string."""
    answer = ask_batch(world, items(world), token=world.user.token)
    assert answer.status == 200
    assert [body["id"] for body in bodies(answer)] == list(world.pages)
    assert all(entry["code"] == 200 for entry in answer.json)
    names = {header["name"] for header in answer.json[0]["headers"]}
    assert {"Content-Type", "facebook-api-version", "X-Business-Use-Case-Usage"} <= names


def test_headers_can_be_left_out(world):
    """``include_headers=false`` leaves code and body."""
    answer = ask_batch(world, items(world), token=world.user.token, include_headers="false")
    assert all(set(entry) == {"code", "body"} for entry in answer.json)


def test_a_failed_item_changes_no_other(world):
    """The envelope stays 200; the failed item has its own code, challenge and error."""
    asked = [*items(world)[:2], {"method": "GET", "relative_url": "nobody"}]
    answer = ask_batch(world, asked, token=world.user.token)
    assert answer.status == 200
    assert [entry["code"] for entry in answer.json] == [200, 200, 404]
    assert "WWW-Authenticate" in {header["name"] for header in answer.json[2]["headers"]}
    assert bodies(answer)[2]["error"]["code"] == 803


def test_a_batch_of_more_than_fifty_is_refused(world):
    """The error of the envelope has its own type and no code."""
    answer = ask_batch(world, [{"method": "GET", "relative_url": "me"}] * 51, token=world.user.token)
    error = answer.json["error"]
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
def test_a_malformed_batch_is_refused(world, batch):
    """Anything but an array of items is answered by one error object."""
    answer = ask(world, "/", form={"access_token": world.user.token, "batch": batch})
    assert answer.status == 400
    assert answer.json["error"]["type"] == "GraphBatchException"


def test_the_envelope_needs_a_valid_token_even_where_items_have_their_own(world):
    """Without a token the error is 104, with an invalid token 190, as one object."""
    asked = [{"method": "GET", "relative_url": f"me?access_token={world.user.token}"}]
    assert ask_batch(world, asked, token=None).json["error"]["code"] == 104
    assert ask_batch(world, asked, token="EAA" + "x" * 177).json["error"]["code"] == 190


def test_an_items_own_token_takes_precedence(world):
    """An item is authenticated by the token in its query or body, if it has one."""
    asked = [
        {"method": "GET", "relative_url": f"me?access_token={world.user.token}"},
        {"method": "POST", "relative_url": "me", "body": f"method=get&access_token={world.user.token}"},
        {"method": "GET", "relative_url": "me"},
    ]
    answer = ask_batch(world, asked, token=app_token(world))
    assert [body.get("id") for body in bodies(answer)] == [world.user.id, world.user.id, None]


def test_the_token_of_the_envelope_may_come_in_the_header(world):
    """Items inherit a bearer token."""
    answer = ask(world, "/v25.0/", form={"batch": json.dumps(items(world))}, token=world.user.token)
    assert [body["id"] for body in bodies(answer)] == list(world.pages)


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
    answer = ask_batch(world, asked, token=world.user.token, appsecret_proof=right)
    assert [entry["code"] for entry in answer.json] == [200, 400, 200]
    assert bodies(answer)[1]["error"]["message"] == "Invalid appsecret_proof provided in the API argument"
    assert ask_batch(world, asked, token=world.user.token).json["error"]["type"] == "GraphMethodException"


@pytest.mark.parametrize("url", ["me", "/me", "v24.0/me", "/v24.0/me/"])
def test_an_items_url_may_have_a_slash_and_a_version(world, url):
    """A version that the item leaves out is the envelope's."""
    answer = ask_batch(world, [{"method": "GET", "relative_url": url}], token=world.user.token)
    served = {header["name"]: header["value"] for header in answer.json[0]["headers"]}["facebook-api-version"]
    assert bodies(answer)[0]["id"] == world.user.id
    assert served == ("v24.0" if "v24" in url else "v25.0")


def test_each_item_counts_as_a_call(world):
    """One HTTP request, as many calls as items."""
    ask_batch(world, items(world), token=world.user.token)
    assert (world.calls.requests, world.calls.calls) == (1, 5)
    assert world.calls.endpoints == {"batch": 1, "node": 5}


def test_items_may_run_out_of_time(world):
    """They are ``null`` while the others are done."""
    switch_on(world, "null-items@paris,rome*1")
    answer = ask_batch(world, items(world), token=world.user.token)
    assert [entry is None for entry in answer.json] == [False, True, False, False, False]


def test_an_answer_may_be_too_short(world):
    """The last entry may be missing."""
    switch_on(world, "short-array")
    assert len(ask_batch(world, items(world), token=world.user.token).json) == 4


def test_a_throttled_page_is_an_item_of_its_own(world):
    """Error 80001 concerns one Page, with the minutes in the item's header; error 4 refuses the whole batch."""
    switch_on(world, "throttled-page=7@rome")
    answer = ask_batch(world, items(world), token=world.user.token)
    assert [entry["code"] for entry in answer.json] == [200, 200, 400, 200, 200]
    rome = list(world.pages)[2]
    usage = {header["name"]: header["value"] for header in answer.json[2]["headers"]}["X-Business-Use-Case-Usage"]
    assert json.loads(usage)[rome][0]["estimated_time_to_regain_access"] == 7
    assert bodies(answer)[2]["error"]["code"] == 80001
    switch_on(world, "throttled-app")
    answer = ask_batch(world, items(world), token=world.user.token)
    assert (answer.status, answer.json["error"]["code"], answer.json["error"]["is_transient"]) == (403, 4, True)


def test_a_batch_may_refuse_debug_token_alone(world):
    """The item is refused; the same single GET is answered."""
    switch_on(world, "debug-in-batch")
    url = f"debug_token?input_token={world.user.token}"
    answer = ask_batch(world, [{"method": "GET", "relative_url": url}], token=app_token(world))
    assert bodies(answer)[0]["error"]["error_subcode"] == 33
    assert ask(world, f"/{url}", token=app_token(world)).json["data"]["is_valid"] is True


def test_every_batch_may_be_refused(world):
    """Single calls are still answered."""
    switch_on(world, "batch-refused")
    assert ask_batch(world, items(world), token=world.user.token).json["error"]["error_subcode"] == 33
    assert ask(world, "/me", token=world.user.token).status == 200
