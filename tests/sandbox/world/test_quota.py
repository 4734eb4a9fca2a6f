"""The sandbox's rate limits: counted by rolling windows, told in the headers, refused at a hundred percent."""

from __future__ import annotations

import json

import httpx
import pytest

from sync.sandbox.http.server import start
from sync.sandbox.world.quota import DAY, Rolling
from tests.support.services.graph import app_token, ask, ask_batch, world

__all__ = ["world"]


def debug(world, token="EAAx"):
    """Ask what one token is, with the app's own token."""
    return ask(world, f"/v25.0/debug_token?input_token={token}", token=app_token(world))


def used(said):
    """Read the percent of the app's header; None where it is left out."""
    header = said.headers.get("X-App-Usage")
    return json.loads(header)["call_count"] if header else None


def test_calls_of_the_app_are_counted_and_refused_at_a_hundred(world):
    """Near nothing there is no header; then it tells whole percent; beyond all of it code 4 comes, and counts too."""
    world.quotas.app = Rolling(200)
    assert used(debug(world)) is None
    assert [used(debug(world)) for _ in range(3)] == [1, 1, 2]
    for _ in range(196):
        assert debug(world).status == 200
    refused = debug(world)
    assert (refused.status, refused.json["error"]["code"], refused.json["error"]["is_transient"]) == (403, 4, True)
    assert used(refused) == 100
    debug(world)
    assert used(debug(world)) == 101
    assert world.quotas.show(world.time())["app"]["calls"] == 203


def test_the_window_rolls(world):
    """An hour later what was asked then has left the count."""
    world.quotas.app = Rolling(4)
    for _ in range(4):
        debug(world)
    assert debug(world).status == 403
    world.ahead = 3599
    assert debug(world).status == 403
    world.ahead = 3600
    assert debug(world).status == 200
    assert used(debug(world)) == 75


def test_items_of_a_batch_count_singly_and_tell_what_they_made(world):
    """Each item has its own header, and the whole has one as well; an item beyond the quota is refused alone."""
    world.quotas.app = Rolling(4)
    items = [{"method": "GET", "relative_url": "debug_token?input_token=x"}] * 5
    said = ask_batch(world, items, token=app_token(world))
    assert [item["code"] for item in said.json] == [200, 200, 200, 200, 403]
    told = [next(row["value"] for row in item["headers"] if row["name"] == "X-App-Usage") for item in said.json]
    assert [json.loads(text)["call_count"] for text in told] == [25, 50, 75, 100, 125]
    assert used(said) == 125


def test_headers_of_items_are_left_out_where_they_are_not_wanted(world):
    """The outer answer tells of the app all the same."""
    world.quotas.app = Rolling(4)
    items = [{"method": "GET", "relative_url": "debug_token?input_token=x"}] * 2
    said = ask_batch(world, items, token=app_token(world), include_headers="false")
    assert not any("headers" in item for item in said.json)
    assert used(said) == 50


def test_a_batch_of_an_app_whose_quota_is_used_up_is_refused_whole(world):
    """One error stands in the place of the array."""
    world.quotas.app = Rolling(1)
    debug(world)
    said = ask_batch(world, [{"method": "GET", "relative_url": "debug_token?input_token=x"}], token=app_token(world))
    assert (said.status, said.json["error"]["code"]) == (403, 4)


def test_reads_of_pages_are_on_the_quotas_of_the_pages(world):
    """The app's quota is left alone; a Page that is used up says for how many minutes, and stops no other."""
    world.quotas.app = Rolling(10)
    world.quotas.page_limit = 2
    first, second, *_ = world.pages
    for _ in range(2):
        assert ask(world, f"/v25.0/{first}?fields=access_token", token=world.user.token).status == 200
    world.ahead = 3600
    said = ask(world, f"/v25.0/{first}?fields=access_token", token=world.user.token)
    (row,) = json.loads(said.headers["X-Business-Use-Case-Usage"])[first]
    assert (said.status, said.json["error"]["code"]) == (400, 80001)
    assert (row["type"], row["call_count"], row["estimated_time_to_regain_access"]) == ("pages", 150, 1381)
    assert ask(world, f"/v25.0/{second}?fields=access_token", token=world.user.token).status == 200
    token = world.page_token(world.pages[first], world.tokens[world.user.token]).value
    assert ask(world, "/v25.0/me?fields=id", token=token).status == 400
    assert world.quotas.show(world.time())["app"]["calls"] == 0


@pytest.mark.parametrize(("calls", "minutes"), [(0, 0), (1, 0), (2, 1440), (3, 1440)])
def test_the_minutes_lead_to_the_call_that_leaves_the_window(calls, minutes):
    """They are whole, and enough."""
    pool = Rolling(2, DAY)
    for _ in range(calls):
        pool.call(30.0)
    assert pool.minutes(59.0) == minutes


def test_a_quota_is_set_shown_and_taken_away_while_it_runs():
    """The control endpoint takes calls an hour for the app and calls a day for Pages."""
    with start(pages=2, app_quota=1) as sandbox, httpx.Client(trust_env=False, verify=False) as client:
        url = f"{sandbox.url}/_sandbox/quota"
        auth = {"authorization": f"Bearer {sandbox.app_id}|{sandbox.app_secret}"}
        target = f"{sandbox.url}/v25.0/{sandbox.app_id}"
        assert [client.get(target, headers=auth).status_code for _ in range(2)] == [200, 403]
        told = client.post(url, data={"app": "200", "page": "4800"}).json()
        assert (told["app"]["limit"], told["page_limit"]) == (200, 4800)
        assert client.get(target, headers=auth).status_code == 200
        assert client.get(url).json()["app"]["calls"] == 1
        assert client.post(url, data={"app": "0"}).status_code == 400
        assert client.delete(url).json() == {"app": None, "page_limit": None, "pages": {}}
