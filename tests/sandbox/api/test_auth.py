"""Tokens and proofs: what is let through, and what Graph says to the rest."""

import pytest

from sync.sandbox.api.auth import proof
from sync.sandbox.api.states import switch_on
from tests.support.services.graph import NOON, app_token, ask, ask_batch, world

__all__ = ["world"]

REQUIRED = "API calls from the server require an appsecret_proof argument"
WRONG = "Invalid appsecret_proof provided in the API argument"


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("/v25.0/1?fields=access_token", 104, "An access token is required to request this resource."),
        ("/me", 2500, "An active access token must be used to query information about the current user."),
        ("/me/accounts", 2500, "An active access token must be used to query information about the current user."),
    ],
)
def test_without_a_token_nothing_is_said(world, target, code, message):
    """A missing token is 104, and 2500 where ``me`` would be nobody."""
    error = ask(world, target).json["error"]
    assert (error["code"], error["message"], error["type"]) == (code, message, "OAuthException")


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("EAA" + "x" * 177, "The access token could not be decrypted"),
        ("nonsense", "Invalid OAuth access token - Cannot parse access token"),
        ("123|abc", "Error validating application. Cannot get application info due to a system error."),
        ("two words", "Malformed access token two words"),
    ],
)
def test_a_strange_token_is_190(world, token, message):
    """Each sort of garbage has its text; one of them repeats the token, as Graph does."""
    said = ask(world, "/me", token=token)
    assert (said.status, said.json["error"]["code"], said.json["error"]["message"]) == (400, 190, message)
    assert '"invalid_token"' in said.headers["WWW-Authenticate"]


def test_an_unparsable_token_on_a_post_is_401(world):
    """The status differs by method, as it was measured."""
    assert ask_batch(world, [{"method": "GET", "relative_url": "me"}], token="nonsense").status == 401


def test_a_wrong_app_secret_is_a_wrong_signature(world):
    """``ID|SECRET`` with another secret is 190."""
    error = ask(world, f"/{world.app.id}", token=f"{world.app.id}|wrong").json["error"]
    assert (error["code"], error["message"]) == (190, "Invalid OAuth access token signature.")


@pytest.mark.parametrize(
    ("fault", "subcode", "text"),
    [
        ("dead", 460, "changed their password"),
        ("dead=467", 467, "logged out"),
        ("expired", 463, "Session has expired on"),
    ],
)
def test_a_dead_parent_is_refused_with_its_subcode(world, fault, subcode, text):
    """The subcode tells how a system user's token died."""
    switch_on(world, fault)
    said = ask(world, "/me/accounts", token=world.user.token)
    error = said.json["error"]
    assert (said.status, error["code"], error["error_subcode"]) == (400, 190, subcode)
    assert text in error["message"]


def test_the_times_of_an_expiry_are_spelled_as_graph_spells_them(world):
    """Pacific time, two-digit year."""
    switch_on(world, "expired=60")
    assert ask(world, "/me", token=world.user.token).json["error"]["message"] == (
        "Error validating access token: Session has expired on Wednesday, 25-Nov-26 03:59:00 PST. "
        "The current time is Wednesday, 25-Nov-26 04:00:00 PST."
    )


def test_a_blocked_app_refuses_every_call(world):
    """All tokens of a blocked app are refused with code 200 and status 400."""
    world.app.blocked = True
    for token in (world.user.token, app_token(world)):
        said = ask(world, "/me", token=token)
        assert (said.status, said.json["error"]["code"], said.json["error"]["message"]) == (
            400,
            200,
            "API access blocked.",
        )


@pytest.mark.parametrize("where", ["query", "form"])
def test_a_right_proof_is_taken(world, where):
    """The proof may stand in the query or the form."""
    world.require_proof = True
    right = proof(world.app.secret, world.user.token)
    if where == "query":
        said = ask(world, f"/me?appsecret_proof={right}", token=world.user.token)
    else:
        form = {"appsecret_proof": right, "method": "get", "access_token": world.user.token}
        said = ask(world, "/me", form=form)
    assert said.json["id"] == world.user.id


@pytest.mark.parametrize("required", [True, False])
def test_a_wrong_proof_is_always_refused(world, required):
    """A proof of another token, or by another secret, is refused whether or not one is demanded."""
    world.require_proof = required
    for wrong in (
        proof(world.app.secret, "other"),
        proof("other", world.user.token),
        proof(world.app.secret, world.user.token).upper(),
        "",
        "ü",
    ):
        said = ask(world, f"/me?appsecret_proof={wrong}", token=world.user.token)
        error = said.json["error"]
        assert (said.status, error["code"], error["type"]) == (400, 100, "GraphMethodException")
        assert error["message"] == WRONG
        assert "error_subcode" not in error


def test_a_missing_proof_is_refused_only_where_it_is_demanded(world):
    """The setting of the app decides; an app's own token carries the secret anyway."""
    assert ask(world, "/me", token=world.user.token).status == 200
    switch_on(world, "require-proof")
    error = ask(world, "/me", token=world.user.token).json["error"]
    assert (error["code"], error["message"], error["type"]) == (100, REQUIRED, "GraphMethodException")
    assert ask(world, f"/{world.app.id}", token=app_token(world)).status == 200


@pytest.mark.parametrize(("age", "good"), [(0, True), (299, True), (301, False)])
def test_a_proof_with_time_lapses_after_five_minutes(world, age, good):
    """``appsecret_time`` is part of what is proven, and must be recent."""
    at = str(int(NOON) - age)
    stamped = proof(world.app.secret, world.user.token, at)
    said = ask(world, f"/me?appsecret_proof={stamped}&appsecret_time={at}", token=world.user.token)
    assert (said.status == 200) is good
    if not good:
        assert said.json["error"]["message"] == WRONG


@pytest.mark.parametrize(
    ("changed", "code", "message"),
    [
        ({"client_secret": "wrong"}, 1, "Error validating client secret."),
        ({"client_id": "1"}, 101, "Error validating application. Cannot get application info due to a system error."),
        ({"client_id": ""}, 101, "Missing client_id parameter."),
        ({"grant_type": ""}, 191, "Missing redirect_uri parameter."),
    ],
)
def test_wrong_app_credentials(world, changed, code, message):
    """``oauth/access_token`` says what is wrong with the app's credentials."""
    form = {"client_id": world.app.id, "client_secret": world.app.secret, "grant_type": "client_credentials", **changed}
    said = ask(world, "/oauth/access_token", form=form)
    assert (said.status, said.json["error"]["code"], said.json["error"]["message"]) == (400, code, message)


def test_client_credentials_give_an_app_token_that_works(world):
    """The app token that is handed out debugs tokens."""
    query = f"client_id={world.app.id}&client_secret={world.app.secret}&grant_type=client_credentials"
    said = ask(world, f"/oauth/access_token?{query}")
    assert said.json["token_type"] == "bearer"
    told = ask(world, f"/debug_token?input_token={world.user.token}", token=said.json["access_token"])
    assert told.json["data"]["is_valid"] is True


def test_a_refresh_gives_a_new_string_and_the_old_one_lives_on(world):
    """``fb_exchange_token`` renews for 60 days; before its end both strings work."""
    old = world.user.token
    form = {
        "grant_type": "fb_exchange_token",
        "client_id": world.app.id,
        "client_secret": world.app.secret,
        "fb_exchange_token": old,
        "set_token_expires_in_60_days": "true",
    }
    said = ask(world, "/v25.0/oauth/access_token", form=form)
    assert said.json == {"access_token": world.user.token, "token_type": "bearer", "expires_in": 5183944}
    assert world.user.token != old
    assert [ask(world, "/me", token=token).status for token in (old, world.user.token)] == [200, 200]
    world.ahead = 5183945
    assert [ask(world, "/me", token=token).status for token in (old, world.user.token)] == [200, 400]
    assert ask(world, "/oauth/access_token", form={**form, "fb_exchange_token": world.user.token}).json["error"][
        "code"
    ] == (190)


def test_a_revoked_token_is_dead_at_once(world):
    """``oauth/revoke`` answers with a string, and the token is 190/466 from then on."""
    old = world.user.token
    world.rotate(world.user)
    query = f"client_id={world.app.id}&client_secret={world.app.secret}&revoke_token={old}"
    assert ask(world, f"/oauth/revoke?{query}", token=world.user.token).json == {"success": "true"}
    assert ask(world, "/me", token=old).json["error"]["error_subcode"] == 466
