"""Probes of Page tokens: on their own Pages' quotas, and never in a URL."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import httpx
import pytest

from sync.core.model import Fetched
from sync.core.secret import CredentialError, Secret
from sync.sandbox.world.quota import Rolling
from tests.graph.test_pages import items
from tests.support.graph_stage import Stage


def tokens_of(stage: Stage) -> dict[Secret, str]:
    """Fetch the tokens of all Pages, each with the id of its Page."""
    got = stage.source().read(stage.pages())
    ids = {page.name: page.id for page in stage.pages()}
    stage.seen.clear()
    return {one.token: ids[name] for name, one in got.items() if isinstance(one, Fetched)}


def test_valid_tokens_answer_in_batches_of_fifty() -> None:
    """Each with its own proof, which the app demands; the stage checks that no token is in a URL."""
    stage = Stage(120)
    stage.fault("require-proof")
    tokens = tokens_of(stage)
    source = stage.source()
    assert source.probe("messenger", tokens) == dict.fromkeys(tokens, "answered")
    assert sorted(len(items(request)) for request in stage.seen) == [20, 50, 50]
    assert all(request.method == "POST" for request in stage.seen)
    assert source.calls == 120


def test_nothing_to_probe_sends_nothing() -> None:
    """No tokens, no request."""
    stage = Stage(1)
    assert stage.source().probe("messenger", {}) == {}
    assert stage.seen == []


@pytest.mark.parametrize("fault", ["revoked@berlin", "invalid", "invalid=458", "expired", "error:node=102@berlin"])
def test_an_invalid_token_is_refused(fault: str) -> None:
    """Whatever invalidated it, no other is refused, unless the system user's token is invalid."""
    stage = Stage(3)
    tokens = tokens_of(stage)
    stage.fault(fault)
    probed = stage.source().probe("messenger", tokens)
    invalid = {page.id for page in stage.world.pages.values() if "berlin" not in fault or page.name == "berlin"}
    assert {tokens[token] for token, answer in probed.items() if answer == "refused"} == invalid
    assert len(probed) == 3


def test_a_token_of_another_page_is_refused() -> None:
    """It is valid, but it is not this Page's."""
    stage = Stage(2)
    (first, one), (second, two) = tokens_of(stage).items()
    assert stage.source().probe("messenger", {first: two, second: two}) == {first: "refused", second: "answered"}
    assert one != two


@pytest.mark.parametrize(
    "fault",
    [
        "throttled-page:node@berlin",
        "error:node=10@berlin",
        "error:node=100/33@berlin",
        "policy:node@berlin",
        "proof-refused:node@berlin",
        "html:node@berlin",
        "server-error:node@berlin",
        "null-items:node@berlin",
        "half-json:node@berlin",
        "error:node=4711@berlin",
    ],
)
def test_an_unclear_answer_is_unknown_and_stops_no_other(fault: str) -> None:
    """Only a refusal of the token itself counts as refused."""
    stage = Stage(4)
    tokens = tokens_of(stage)
    stage.fault(fault)
    source = stage.source()
    probed = source.probe("messenger", tokens)
    assert sorted(probed.values()) == ["answered", "answered", "answered", "unknown"]
    stage.world.faults.clear()
    assert source.probe("messenger", {token: page for token, page in tokens.items() if probed[token] == "answered"})


@pytest.mark.parametrize("fault", ["html", "cut", "hang", "null-body", "short-array", "throttled-app", "app-blocked"])
def test_without_an_answer_every_token_is_unknown(fault: str) -> None:
    """The tries are bounded."""
    stage = Stage(120)
    tokens = tokens_of(stage)
    stage.fault(fault)
    assert set(stage.source().probe("messenger", tokens).values()) == {"unknown"}
    assert len(stage.seen) < 20


def test_a_refused_batch_form_falls_back_to_single_requests() -> None:
    """The tokens are then in the Authorization header, with their own proofs."""
    stage = Stage(60)
    stage.fault("require-proof")
    tokens = tokens_of(stage)
    stage.fault("batch-refused", "error:node=190@berlin")
    probed = stage.source(workers=1).probe("messenger", tokens)
    assert sorted(set(probed.values())) == ["answered", "refused"]
    assert list(probed.values()).count("refused") == 1
    singles = [request for request in stage.seen if request.method == "GET"]
    assert len(singles) == 60
    assert len({request.headers["authorization"] for request in singles}) == 60


def test_the_batch_is_sent_with_the_apps_own_token() -> None:
    """So one invalid Page token does not fail the whole batch."""
    stage = Stage(2)
    stage.fault("revoked@berlin")
    tokens = tokens_of(stage)
    stage.source().probe("messenger", tokens)
    (request,) = stage.seen
    assert parse_qs(request.content.decode())["access_token"] == [f"{stage.world.app.id}|{stage.world.app.secret}"]


def test_probes_do_not_count_on_the_apps_quota() -> None:
    """They count for their Pages alone."""
    stage = Stage(40)
    tokens = tokens_of(stage)
    stage.world.quotas.app = Rolling(10)
    assert set(stage.source().probe("messenger", tokens).values()) == {"answered"}
    assert len(stage.world.quotas.app.calls) == 0


@pytest.mark.parametrize("body", [[], {}, "x", {"id": None}, {"id": True}, {"id": []}])
def test_an_answer_without_an_id_is_unknown(body: object) -> None:
    """It is neither this Page's nor another's."""
    stage = Stage(1)
    tokens = tokens_of(stage)
    stage.before = lambda _: httpx.Response(200, json=[{"code": 200, "body": json.dumps(body)}])
    assert set(stage.source().probe("messenger", tokens).values()) == {"unknown"}


def test_a_very_long_string_is_not_probed() -> None:
    """A string that is too long for a token fails no batch."""
    stage = Stage(1)
    flood = Secret("EAA" + "x" * 100_000)
    tokens = {**tokens_of(stage), flood: "1"}
    probed = stage.source().probe("messenger", tokens)
    assert probed.pop(flood) == "unknown"
    assert set(probed.values()) == {"answered"}


def test_an_app_whose_secret_cannot_be_read_probes_nothing() -> None:
    """Without it there is no proof."""
    stage = Stage(1)
    source = stage.source(secret=CredentialError("file x: no such file"))
    assert source.probe("messenger", {Secret("EAAx"): "1"}) == {Secret("EAAx"): "unknown"}
    assert source.requests == 0
