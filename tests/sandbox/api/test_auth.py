"""Authentication of the sandbox: which tokens and proofs it accepts, and how Graph refuses the others."""

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
def test_a_call_without_a_token_is_refused(world, target, code, message):
    """A missing token is error 104, and error 2500 where the path is ``me``."""
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
def test_a_malformed_token_is_190(world, token, message):
    """Each kind of malformed token has its own message; one message repeats the token, as Graph does."""
    answer = ask(world, "/me", token=token)
    assert (answer.status, answer.json["error"]["code"], answer.json["error"]["message"]) == (400, 190, message)
    assert '"invalid_token"' in answer.headers["WWW-Authenticate"]


def test_an_unparsable_token_on_a_post_is_401(world):
    """The status depends on the method, as measured against Graph."""
    assert ask_batch(world, [{"method": "GET", "relative_url": "me"}], token="nonsense").status == 401


def test_a_wrong_app_secret_is_an_invalid_signature(world):
    """``ID|SECRET`` with another secret is error 190."""
    error = ask(world, f"/{world.app.id}", token=f"{world.app.id}|wrong").json["error"]
    assert (error["code"], error["message"]) == (190, "Invalid OAuth access token signature.")


@pytest.mark.parametrize(
    ("fault", "subcode", "text"),
    [
        ("invalid", 460, "changed their password"),
        ("invalid=467", 467, "logged out"),
        ("expired", 463, "Session has expired on"),
    ],
)
def test_an_invalid_system_user_token_is_refused_with_its_subcode(world, fault, subcode, text):
    """The subcode shows why a system user token is invalid."""
    switch_on(world, fault)
    answer = ask(world, "/me/accounts", token=world.user.token)
    error = answer.json["error"]
    assert (answer.status, error["code"], error["error_subcode"]) == (400, 190, subcode)
    assert text in error["message"]


def test_the_times_of_an_expiry_have_graphs_format(world):
    """The message has Pacific time and a year of two digits."""
    switch_on(world, "expired=60")
    assert ask(world, "/me", token=world.user.token).json["error"]["message"] == (
        "Error validating access token: Session has expired on Wednesday, 25-Nov-26 03:59:00 PST. "
        "The current time is Wednesday, 25-Nov-26 04:00:00 PST."
    )


def test_a_blocked_app_refuses_every_call(world):
    """All tokens of a blocked app are refused with code 200 and status 400."""
    world.app.blocked = True
    for token in (world.user.token, app_token(world)):
        answer = ask(world, "/me", token=token)
        assert (answer.status, answer.json["error"]["code"], answer.json["error"]["message"]) == (
            400,
            200,
            "API access blocked.",
        )


@pytest.mark.parametrize("where", ["query", "form"])
def test_a_valid_proof_is_accepted(world, where):
    """The proof may be in the query or in the form."""
    world.require_proof = True
    valid = proof(world.app.secret, world.user.token)
    if where == "query":
        answer = ask(world, f"/me?appsecret_proof={valid}", token=world.user.token)
    else:
        form = {"appsecret_proof": valid, "method": "get", "access_token": world.user.token}
        answer = ask(world, "/me", form=form)
    assert answer.json["id"] == world.user.id


@pytest.mark.parametrize("required", [True, False])
def test_a_wrong_proof_is_always_refused(world, required):
    """A proof of another token, or by another secret, is refused whether or not a proof is required."""
    world.require_proof = required
    for wrong in (
        proof(world.app.secret, "other"),
        proof("other", world.user.token),
        proof(world.app.secret, world.user.token).upper(),
        "",
        "ü",
    ):
        answer = ask(world, f"/me?appsecret_proof={wrong}", token=world.user.token)
        error = answer.json["error"]
        assert (answer.status, error["code"], error["type"]) == (400, 100, "GraphMethodException")
        assert error["message"] == WRONG
        assert "error_subcode" not in error


def test_a_missing_proof_is_refused_only_where_it_is_required(world):
    """The app's setting decides; an app token needs no proof because it contains the secret."""
    assert ask(world, "/me", token=world.user.token).status == 200
    switch_on(world, "require-proof")
    error = ask(world, "/me", token=world.user.token).json["error"]
    assert (error["code"], error["message"], error["type"]) == (100, REQUIRED, "GraphMethodException")
    assert ask(world, f"/{world.app.id}", token=app_token(world)).status == 200


@pytest.mark.parametrize(("age", "accepted"), [(0, True), (299, True), (301, False)])
def test_a_proof_with_a_time_expires_after_five_minutes(world, age, accepted):
    """``appsecret_time`` is part of the signed text, and must be recent."""
    at = str(int(NOON) - age)
    stamped = proof(world.app.secret, world.user.token, at)
    answer = ask(world, f"/me?appsecret_proof={stamped}&appsecret_time={at}", token=world.user.token)
    assert (answer.status == 200) is accepted
    if not accepted:
        assert answer.json["error"]["message"] == WRONG


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
    """The error of ``oauth/access_token`` states what is wrong with the app's credentials."""
    form = {"client_id": world.app.id, "client_secret": world.app.secret, "grant_type": "client_credentials", **changed}
    answer = ask(world, "/oauth/access_token", form=form)
    assert (answer.status, answer.json["error"]["code"], answer.json["error"]["message"]) == (400, code, message)


def test_client_credentials_return_a_working_app_token(world):
    """``debug_token`` accepts the app token that is returned."""
    query = f"client_id={world.app.id}&client_secret={world.app.secret}&grant_type=client_credentials"
    answer = ask(world, f"/oauth/access_token?{query}")
    assert answer.json["token_type"] == "bearer"
    facts = ask(world, f"/debug_token?input_token={world.user.token}", token=answer.json["access_token"])
    assert facts.json["data"]["is_valid"] is True


def test_a_renewal_returns_a_new_token_and_the_old_one_stays_valid(world):
    """``fb_exchange_token`` renews for 60 days; until the old token expires both are valid."""
    old = world.user.token
    form = {
        "grant_type": "fb_exchange_token",
        "client_id": world.app.id,
        "client_secret": world.app.secret,
        "fb_exchange_token": old,
        "set_token_expires_in_60_days": "true",
    }
    answer = ask(world, "/v25.0/oauth/access_token", form=form)
    assert answer.json == {"access_token": world.user.token, "token_type": "bearer", "expires_in": 5183944}
    assert world.user.token != old
    assert [ask(world, "/me", token=token).status for token in (old, world.user.token)] == [200, 200]
    world.clock_offset = 5183945
    assert [ask(world, "/me", token=token).status for token in (old, world.user.token)] == [200, 400]
    assert ask(world, "/oauth/access_token", form={**form, "fb_exchange_token": world.user.token}).json["error"][
        "code"
    ] == (190)


def test_a_revoked_token_is_invalid_at_once(world):
    """``oauth/revoke`` answers with a string, and the token is refused with 190/466 from then on."""
    old = world.user.token
    world.rotate(world.user)
    query = f"client_id={world.app.id}&client_secret={world.app.secret}&revoke_token={old}"
    assert ask(world, f"/oauth/revoke?{query}", token=world.user.token).json == {"success": "true"}
    assert ask(world, "/me", token=old).json["error"]["error_subcode"] == 466
