"""Reads of one Page: the forms of Graph's answers, with and without access."""

import pytest

from sync.sandbox.api.states import switch_on
from sync.sandbox.world.world import World
from tests.support.services.graph import app_token, ask, world

__all__ = ["world"]

UNSEEN = (
    "Unsupported get request. Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, or does "
    "not support this operation. Please read the Graph API documentation at "
    "https://developers.facebook.com/docs/graph-api"
)


def first(world: World) -> str:
    """Return the first Page's id."""
    return next(iter(world.pages))


def test_a_page_token_is_read_with_its_id(world):
    """A read with access returns the token, and the id although it was not requested."""
    answer = ask(world, f"/v25.0/{first(world)}?fields=access_token", token=world.user.token)
    assert answer.status == 200
    assert set(answer.json) == {"access_token", "id"}
    assert answer.json["id"] == first(world)
    assert answer.json["access_token"].startswith("EAA")
    assert len(answer.json["access_token"]) == 180


@pytest.mark.parametrize("path", ["/{}", "/{}/", "/v25.0/{}", "/v25.0/{}/", "/v24.0/{}", "/v21.0/{}"])
def test_the_path_may_have_a_version_and_a_slash(world, path):
    """With or without a version or a slash at the end it is the same Page."""
    answer = ask(world, path.format(first(world)) + "?fields=name", token=world.user.token)
    assert answer.json == {"name": "berlin", "id": first(world)}


@pytest.mark.parametrize("parameter", ["format=json", "pretty=1", "debug=all", "locale=de_DE", "whatever=x"])
def test_parameters_of_other_clients_are_ignored(world, parameter):
    """Parameters that restfb and other clients add to each call change nothing."""
    assert ask(world, f"/{first(world)}?fields=name&{parameter}", token=world.user.token).json["name"] == "berlin"


@pytest.mark.parametrize("spelling", ["Bearer", "OAuth", "bearer"])
def test_a_token_may_be_in_the_header(world, spelling):
    """Both spellings of the header are accepted."""
    answer = ask(world, f"/{first(world)}", headers={"authorization": f"{spelling} {world.user.token}"})
    assert answer.json["id"] == first(world)


def test_a_token_may_be_in_the_query_or_form(world):
    """The query and the form may contain the token; a POST with ``method=get`` is a read."""
    token = world.user.token
    assert ask(world, f"/{first(world)}?access_token={token}").json["id"] == first(world)
    answer = ask(world, f"/{first(world)}", form={"access_token": token, "method": "get"})
    assert answer.json["id"] == first(world)


def test_two_reads_return_the_same_token_unless_it_is_changing(world):
    """The token is stable; under ``changing`` it differs each time, while the earlier ones stay valid."""
    target = f"/{first(world)}?fields=access_token"
    one, two = (ask(world, target, token=world.user.token).json["access_token"] for _ in range(2))
    switch_on(world, f"changing@{first(world)}")
    three, four = (ask(world, target, token=world.user.token).json["access_token"] for _ in range(2))
    assert one == two
    assert len({one, three, four}) == 3
    assert all(world.invalid_reason(world.tokens[text]) is None for text in (one, three, four))


@pytest.mark.parametrize(
    ("shape", "status", "error"),
    [
        ("nonexisting-field", 400, {"code": 100, "message": "(#100) Tried accessing nonexisting field (access_token)"}),
        ("object-missing", 400, {"code": 100, "error_subcode": 33, "type": "GraphMethodException", "message": UNSEEN}),
        ("public-content", 400, {"code": 100, "message": "(#100) Object does not exist, cannot be loaded due to"}),
        ("feature-review", 400, {"code": 10, "message": "(#10) To use 'Page Public Content Access', your use of this"}),
        (
            "metadata-access",
            400,
            {
                "code": 100,
                "message": "(#100) Page Public Metadata Access requires either app secret proof or an app token",
            },
        ),
        ("impersonation", 400, {"code": 190, "message": "Any of the pages_read_engagement, pages_manage_metadata"}),
        (
            "no-role",
            400,
            {"code": 190, "error_subcode": 492, "message": "The user must be an administrator of the page"},
        ),
    ],
)
def test_an_unassigned_page_is_refused_in_each_shape(world, shape, status, error):
    """Every reported form of "no access" is available, with its code, subcode, type and message."""
    switch_on(world, f"unassigned={shape}@{first(world)}")
    answer = ask(world, f"/v25.0/{first(world)}?fields=access_token", token=world.user.token)
    got = answer.json["error"]
    assert answer.status == status
    assert got["message"].startswith(error.pop("message").format(id=first(world)))
    assert {"type": "OAuthException", **error}.items() <= got.items()
    assert got["fbtrace_id"].startswith("A")
    assert "error_subcode" in got or "error_subcode" not in error


def test_an_unassigned_page_may_just_lack_the_field(world):
    """The default form is a success without the token, and other fields are still returned."""
    switch_on(world, f"unassigned@{first(world)}")
    answer = ask(world, f"/{first(world)}?fields=name,access_token", token=world.user.token)
    assert (answer.status, answer.json) == (200, {"name": "berlin", "id": first(world)})


def test_a_person_has_no_token_field(world):
    """The node type in the error, and the metadata, show that an id is a person's."""
    switch_on(world, f"person@{first(world)}")
    answer = ask(world, f"/{first(world)}?fields=access_token", token=world.user.token)
    assert answer.status == 400
    assert answer.json["error"]["message"] == (
        "(#100) Tried accessing nonexisting field (access_token) on node type (User)"
    )
    answer = ask(world, f"/{first(world)}?fields=id&metadata=1", token=world.user.token)
    assert answer.json["metadata"]["type"] == "user"


def test_tasks_are_no_field_of_a_page(world):
    """Reading ``tasks`` from the Page itself fails the whole call."""
    answer = ask(world, f"/{first(world)}?fields=access_token,tasks", token=world.user.token)
    assert answer.json["error"]["message"] == "(#100) Tried accessing nonexisting field (tasks) on node type (Page)"


def test_the_apps_own_id_is_no_page(world):
    """An app's id where a Page's is expected is answered as an application."""
    answer = ask(world, f"/{world.app.id}?fields=access_token", token=world.user.token)
    assert answer.json["error"]["message"].endswith("nonexisting field (access_token) on node type (Application)")
    assert ask(world, f"/{world.app.id}", token=app_token(world)).json == {
        "name": "Acme Messenger",
        "id": world.app.id,
    }


def test_a_moved_page_names_its_new_id(world):
    """A merged Page is error 21, with two blanks in the message as in Graph's."""
    switch_on(world, f"moved=123450000012345@{first(world)}")
    error = ask(world, f"/{first(world)}?fields=access_token", token=world.user.token).json["error"]
    assert error["code"] == 21
    assert error["message"] == (
        f"(#21) Page ID {first(world)} was migrated to page ID 123450000012345.  "
        "Please update your API calls to the new ID"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("acme.berlin", "(#803) Cannot query users by their username (acme.berlin)"),
        ("nobody", "(#803) Some of the aliases you requested do not exist: nobody"),
    ],
)
def test_a_name_in_place_of_an_id_is_803(world, name, message):
    """Usernames are refused, whether they exist or not."""
    error = ask(world, f"/{name}?fields=access_token", token=world.user.token).json["error"]
    assert (error["code"], error["message"]) == (803, message)


def test_an_unknown_id_and_a_deleted_page_have_the_same_error(world):
    """Both are error 100/33."""
    switch_on(world, f"deleted@{first(world)}")
    for node in ("999999999999999", first(world)):
        error = ask(world, f"/{node}?fields=access_token", token=world.user.token).json["error"]
        assert (error["code"], error["error_subcode"], error["message"]) == (100, 33, UNSEEN.format(id=node))


def test_an_unpublished_page_is_read_like_any_other(world):
    """Nothing follows from a Page being unpublished."""
    switch_on(world, f"unpublished@{first(world)}")
    answer = ask(world, f"/{first(world)}?fields=access_token,is_published", token=world.user.token)
    assert answer.json["is_published"] is False
    assert answer.json["access_token"].startswith("EAA")


@pytest.mark.parametrize("fields", ["access_token{", "name}", "name,(id"])
def test_broken_fields_are_a_syntax_error(world, fields):
    """Unpaired braces are error 2500."""
    error = ask(world, f"/{first(world)}?fields={fields}", token=world.user.token).json["error"]
    assert error["code"] == 2500
    assert error["message"].startswith("Syntax error")


def test_me_is_the_caller(world):
    """``me`` is the system user, or a Page token's Page, and an error for an app."""
    page_token = ask(world, f"/{first(world)}?fields=access_token", token=world.user.token).json["access_token"]
    assert ask(world, "/me?fields=id", token=world.user.token).json == {"id": world.user.id}
    assert ask(world, "/me?fields=id", token=page_token).json == {"id": first(world)}
    assert ask(world, "/me", token=app_token(world)).json["error"]["code"] == 2500


def test_one_invalid_id_fails_a_read_of_many(world):
    """The answer to ``?ids=`` is keyed by id, and one invalid id fails the whole call."""
    ids = list(world.pages)[:3]
    answer = ask(world, f"/v25.0?ids={','.join(ids)}&fields=name", token=world.user.token)
    assert list(answer.json) == ids
    answer = ask(world, f"/v25.0/?ids={','.join(ids)},nobody&fields=name", token=world.user.token)
    assert answer.json["error"]["code"] == 803


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("/v99.0/me", 2500, "Unknown path components: /me"),
        ("/v25.0/1/2/3", 2500, "Unknown path components: /1/2/3"),
        ("/v25.0/me/owned_pages", 100, "(#100) Tried accessing nonexisting field (owned_pages) on node type (User)"),
        ("/v25.0/", 100, "Unsupported get request."),
    ],
)
def test_paths_that_do_not_exist(world, target, code, message):
    """A wrong version, depth, edge or root has Graph's own message."""
    answer = ask(world, target, token=world.user.token)
    assert answer.status == 400
    assert answer.json["error"]["code"] == code
    assert answer.json["error"]["message"].startswith(message)


@pytest.mark.parametrize(
    ("asked", "served"), [("/v25.0", "v25.0"), ("/v27.0", "v27.0"), ("/v19.0", "v21.0"), ("", "v21.0")]
)
def test_the_served_version_is_in_the_header(world, asked, served):
    """An expired version is served by the oldest supported one, without an error."""
    answer = ask(world, f"{asked}/{first(world)}", token=world.user.token)
    assert (answer.status, answer.headers["facebook-api-version"]) == (200, served)


def test_every_answer_has_graphs_headers(world):
    """Every answer has version, trace, request id, revision, type and usage, and every error a challenge."""
    good = ask(world, f"/{first(world)}", token=world.user.token)
    bad = ask(world, "/1", token=world.user.token)
    for answer in (good, bad):
        assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
        assert {"facebook-api-version", "x-fb-trace-id", "x-fb-request-id", "x-fb-rev"} <= set(answer.headers)
    assert f'"{first(world)}":[{{"type":"pages"' in good.headers["X-Business-Use-Case-Usage"]
    assert "X-App-Usage" in ask(world, f"/{world.app.id}", token=app_token(world)).headers
    assert bad.headers["WWW-Authenticate"].startswith('OAuth "Facebook Platform" "invalid_request" "Unsupported get')
    assert "WWW-Authenticate" not in good.headers


def test_usage_of_zero_has_no_header(world):
    """At 0 percent the usage headers are left out."""
    world.app_usage = world.pages[first(world)].usage = 0
    assert "X-Business-Use-Case-Usage" not in ask(world, f"/{first(world)}", token=world.user.token).headers
    assert "X-App-Usage" not in ask(world, f"/{world.app.id}", token=app_token(world)).headers


@pytest.mark.parametrize("method", ["DELETE", "PUT", "POST"])
def test_nothing_can_be_written(world, method):
    """Every method but GET is an unsupported request."""
    error = ask(world, f"/{first(world)}", token=world.user.token, method=method).json["error"]
    assert (error["code"], error["error_subcode"]) == (100, 33)
    assert error["message"].startswith(f"Unsupported {method.lower()} request.")
