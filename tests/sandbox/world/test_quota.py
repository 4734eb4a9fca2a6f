"""The sandbox's rate limits: counted in rolling windows, shown in the headers, refused at 100 percent."""

from __future__ import annotations

import json

import httpx
import pytest

from sync.sandbox.http.server import start
from sync.sandbox.world.quota import DAY, Rolling
from tests.support.services.graph import app_token, ask, ask_batch, world

__all__ = ["world"]


def debug(world, token="EAAx"):
    """Call ``debug_token`` with the app token."""
    return ask(world, f"/v25.0/debug_token?input_token={token}", token=app_token(world))


def used(answer):
    """Read the percentage in the app's header; None where there is no header."""
    header = answer.headers.get("X-App-Usage")
    return json.loads(header)["call_count"] if header else None


def test_calls_of_the_app_are_counted_and_refused_at_100_percent(world):
    """Below 1 percent there is no header; above 100 percent the error is code 4, and that call counts too."""
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
    """Calls leave the count after one hour."""
    world.quotas.app = Rolling(4)
    for _ in range(4):
        debug(world)
    assert debug(world).status == 403
    world.clock_offset = 3599
    assert debug(world).status == 403
    world.clock_offset = 3600
    assert debug(world).status == 200
    assert used(debug(world)) == 75


def test_each_item_of_a_batch_counts_and_has_its_usage(world):
    """Each item and the envelope have a header; an item beyond the quota is refused alone."""
    world.quotas.app = Rolling(4)
    items = [{"method": "GET", "relative_url": "debug_token?input_token=x"}] * 5
    answer = ask_batch(world, items, token=app_token(world))
    assert [item["code"] for item in answer.json] == [200, 200, 200, 200, 403]
    usages = [next(row["value"] for row in item["headers"] if row["name"] == "X-App-Usage") for item in answer.json]
    assert [json.loads(text)["call_count"] for text in usages] == [25, 50, 75, 100, 125]
    assert used(answer) == 125


def test_headers_of_items_are_left_out_on_request(world):
    """The envelope has the app's header in any case."""
    world.quotas.app = Rolling(4)
    items = [{"method": "GET", "relative_url": "debug_token?input_token=x"}] * 2
    answer = ask_batch(world, items, token=app_token(world), include_headers="false")
    assert not any("headers" in item for item in answer.json)
    assert used(answer) == 50


def test_a_batch_beyond_the_apps_quota_is_refused(world):
    """The answer is one error instead of an array."""
    world.quotas.app = Rolling(1)
    debug(world)
    answer = ask_batch(world, [{"method": "GET", "relative_url": "debug_token?input_token=x"}], token=app_token(world))
    assert (answer.status, answer.json["error"]["code"]) == (403, 4)


def test_reads_of_a_page_use_the_pages_quota(world):
    """The app's quota is not used; a Page beyond its quota reports the minutes to wait, and affects no other Page."""
    world.quotas.app = Rolling(10)
    world.quotas.page_limit = 2
    first, second, *_ = world.pages
    for _ in range(2):
        assert ask(world, f"/v25.0/{first}?fields=access_token", token=world.user.token).status == 200
    world.clock_offset = 3600
    answer = ask(world, f"/v25.0/{first}?fields=access_token", token=world.user.token)
    (row,) = json.loads(answer.headers["X-Business-Use-Case-Usage"])[first]
    assert (answer.status, answer.json["error"]["code"]) == (400, 80001)
    assert (row["type"], row["call_count"], row["estimated_time_to_regain_access"]) == ("pages", 150, 1381)
    assert ask(world, f"/v25.0/{second}?fields=access_token", token=world.user.token).status == 200
    token = world.page_token(world.pages[first], world.tokens[world.user.token]).value
    assert ask(world, "/v25.0/me?fields=id", token=token).status == 400
    assert world.quotas.show(world.time())["app"]["calls"] == 0


@pytest.mark.parametrize(("calls", "minutes"), [(0, 0), (1, 0), (2, 1440), (3, 1440)])
def test_the_minutes_last_until_a_call_leaves_the_window(calls, minutes):
    """The minutes are rounded up."""
    pool = Rolling(2, DAY)
    for _ in range(calls):
        pool.call(30.0)
    assert pool.minutes(59.0) == minutes


def test_a_quota_is_set_shown_and_removed_at_run_time():
    """The control endpoint accepts calls per hour for the app and calls per day for Pages."""
    with start(pages=2, app_quota=1) as sandbox, httpx.Client(trust_env=False, verify=False) as client:
        url = f"{sandbox.url}/_sandbox/quota"
        auth = {"authorization": f"Bearer {sandbox.app_id}|{sandbox.app_secret}"}
        target = f"{sandbox.url}/v25.0/{sandbox.app_id}"
        assert [client.get(target, headers=auth).status_code for _ in range(2)] == [200, 403]
        quotas = client.post(url, data={"app": "200", "page": "4800"}).json()
        assert (quotas["app"]["limit"], quotas["page_limit"]) == (200, 4800)
        assert client.get(target, headers=auth).status_code == 200
        assert client.get(url).json()["app"]["calls"] == 1
        assert client.post(url, data={"app": "0"}).status_code == 400
        assert client.delete(url).json() == {"app": None, "page_limit": None, "pages": {}}
