"""``debug_token``: the facts of a token, malformed tokens, and who may call it."""

import pytest

from sync.sandbox.api.states import switch_on
from tests.support.services.graph import NOON, app_token, ask, ask_batch, world

__all__ = ["world"]


@pytest.mark.parametrize(
    ("fault", "field", "value"),
    [
        ("debug-partial", "type", None),
        ("debug-partial=user_id", "user_id", None),
        ("debug-odd-type=PAGES", "type", "PAGES"),
        ("debug-odd-type", "type", "PAGE\ud800"),
    ],
)
def test_a_fault_changes_what_is_said_of_a_valid_token(world, fault, field, value):
    """A field is left out, or the type is another text; an invalid token's facts stay."""
    switch_on(world, fault)
    asked = f"/debug_token?input_token={world.user.token}"
    app = f"{world.app.id}|{world.app.secret}"
    assert ask(world, asked, token=app).json["data"].get(field) == value
    switch_on(world, "invalid")
    assert ask(world, asked, token=app).json["data"]["type"] == "SYSTEM_USER"


def fetched(world, number=0):
    """Read a Page's token."""
    page = list(world.pages)[number]
    return ask(world, f"/{page}?fields=access_token", token=world.user.token).json["access_token"]


def debug(world, token, **named):
    """Call ``debug_token`` with the app token."""
    return ask(world, f"/v25.0/debug_token?input_token={token}", token=named.get("by", app_token(world)))


def test_a_page_token_has_the_keys_of_a_live_answer(world):
    """The keys are those of a captured answer: no ``issued_at``, ``metadata`` or ``error``."""
    answer = debug(world, fetched(world))
    data = answer.json["data"]
    assert answer.status == 200
    assert list(data) == [
        "app_id",
        "type",
        "application",
        "data_access_expires_at",
        "expires_at",
        "is_valid",
        "profile_id",
        "scopes",
        "granular_scopes",
        "user_id",
    ]
    assert (data["type"], data["profile_id"], data["user_id"]) == ("PAGE", next(iter(world.pages)), world.user.id)
    assert (data["app_id"], data["expires_at"], data["is_valid"]) == (world.app.id, 0, True)
    assert data["granular_scopes"][0] == {"scope": "pages_show_list"}


def test_a_system_user_token_has_its_own_type_and_issue_date(world):
    """It never expires, has no profile, and has its time of issue."""
    data = debug(world, world.user.token).json["data"]
    assert (data["type"], data["expires_at"], data["data_access_expires_at"]) == ("SYSTEM_USER", 0, 0)
    assert data["issued_at"] == int(NOON)
    assert "profile_id" not in data


@pytest.mark.parametrize(
    ("garbage", "message"),
    [
        ("EAA" + "x" * 177, "The access token could not be decrypted"),
        ("nonsense", "Invalid OAuth access token - Cannot parse access token"),
        ("123%7Cabc", "Error validating application. Cannot get application info due to a system error."),
    ],
)
def test_a_malformed_token_is_an_answer_and_not_an_error(world, garbage, message):
    """A bad ``input_token`` is 200 with ``is_valid`` false, and neither app, type nor subcode."""
    answer = debug(world, garbage)
    assert answer.status == 200
    assert answer.json == {"data": {"error": {"code": 190, "message": message}, "is_valid": False, "scopes": []}}


@pytest.mark.parametrize(
    ("fault", "subcode"),
    [("revoked", 466), ("unassigned", 492), ("deleted", None), ("invalid=460", 460), ("expired", 463)],
)
def test_an_invalid_token_keeps_its_app_and_has_a_cause(world, fault, subcode):
    """A token that was issued keeps its ``app_id``; the cause is in ``error``, and its scopes are empty."""
    token = fetched(world)
    switch_on(world, fault)
    data = debug(world, token).json["data"]
    assert (data["is_valid"], data["app_id"], data["error"]["code"]) == (False, world.app.id, 190)
    assert data["error"].get("subcode") == subcode
    assert data["scopes"] == []


def test_a_token_of_another_app_is_an_error(world):
    """The error has one fixed message and status 400."""
    switch_on(world, "foreign")
    answer = debug(world, fetched(world))
    assert (answer.status, answer.json["error"]["code"]) == (400, 100)
    assert answer.json["error"]["message"] == "(#100) The App_id in the input_token did not match the Viewing App"


def test_only_the_app_may_call_it(world):
    """Page tokens and other system users' tokens are refused; a system user may debug its own token, unless that is switched off."""
    page = fetched(world)
    text = (
        "(#100) You must provide an app access token, or a user access token that is an owner or developer of the app"
    )
    for by, about in ((page, page), (world.user.token, page)):
        answer = debug(world, about, by=by)
        assert (answer.status, answer.json["error"]["code"], answer.json["error"]["message"]) == (400, 100, text)
    assert debug(world, world.user.token, by=world.user.token).json["data"]["type"] == "SYSTEM_USER"
    world.system_user_may_debug_itself = False
    assert debug(world, world.user.token, by=world.user.token).json["error"]["message"] == text


def test_a_wrong_app_token_is_an_outer_190(world):
    """A caller that Graph does not know is an error of the call, not of the token in question."""
    answer = debug(world, world.user.token, by=f"{world.app.id}|wrong")
    assert answer.json["error"]["code"] == 190
    assert "data" not in answer.json


def test_an_app_token_can_be_debugged(world):
    """Its type is APP."""
    assert debug(world, app_token(world).replace("|", "%7C")).json["data"]["type"] == "APP"


def test_input_token_is_required(world):
    """Without it the call is error 100."""
    assert ask(world, "/debug_token", token=app_token(world)).json["error"]["code"] == 100


@pytest.mark.parametrize("override", [{}, {"method": "get"}])
def test_a_post_is_refused(world, override):
    """Only a real GET is accepted, and no override of the method."""
    answer = ask(
        world, "/v25.0/debug_token", form={"input_token": world.user.token, **override}, token=app_token(world)
    )
    assert (answer.status, answer.json["error"]["code"], answer.json["error"]["error_subcode"]) == (400, 100, 33)


def test_it_works_as_an_item_of_a_batch(world):
    """In a batch it is an ordinary GET."""
    items = [{"method": "GET", "relative_url": f"debug_token?input_token={fetched(world, n)}"} for n in range(3)]
    answer = ask_batch(world, items, token=app_token(world), include_headers="false")
    assert [entry["code"] for entry in answer.json] == [200, 200, 200]
    assert all(set(entry) == {"code", "body"} for entry in answer.json)


@pytest.mark.parametrize(("fault", "in_scopes", "targets"), [("missing-scope", False, None), ("untargeted", True, 1)])
def test_scopes_may_be_missing_or_granted_for_another_page(world, fault, in_scopes, targets):
    """A scope can be missing, or be restricted to another Page."""
    token = fetched(world)
    switch_on(world, f"{fault}=pages_messaging@berlin")
    data = debug(world, token).json["data"]
    granular = {row["scope"]: row.get("target_ids") for row in data["granular_scopes"]}
    assert ("pages_messaging" in data["scopes"]) is in_scopes
    assert len(granular.get("pages_messaging") or ()) == (targets or 0)
    assert next(iter(world.pages)) not in (granular.get("pages_messaging") or ())


def test_a_short_lived_token_expires(world):
    """It has its expiry, and is invalid with subcode 463 from then on; the next read returns another."""
    switch_on(world, "short-lived=3600@berlin")
    token = fetched(world)
    assert debug(world, token).json["data"]["expires_at"] == int(NOON) + 3600
    world.clock_offset = 3601
    assert debug(world, token).json["data"]["error"]["subcode"] == 463
    assert debug(world, fetched(world)).json["data"]["is_valid"] is True


@pytest.mark.parametrize(
    ("fault", "key", "wrong"), [("other-page", "profile_id", True), ("user-token", "type", "SYSTEM_USER")]
)
def test_a_read_may_return_the_wrong_token(world, fault, key, wrong):
    """A read can return another Page's token or the system user token; only ``debug_token`` shows it."""
    switch_on(world, f"{fault}@berlin")
    data = debug(world, fetched(world)).json["data"]
    assert data["is_valid"] is True
    assert data[key] == (list(world.pages)[1] if wrong is True else wrong)
