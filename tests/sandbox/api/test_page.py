"""Reads of one Page: the shapes of Graph's answers, entitled or not."""

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
    """An entitled read gives the token, and the id although nobody asked for it."""
    said = ask(world, f"/v25.0/{first(world)}?fields=access_token", token=world.user.token)
    assert said.status == 200
    assert set(said.json) == {"access_token", "id"}
    assert said.json["id"] == first(world)
    assert said.json["access_token"].startswith("EAA")
    assert len(said.json["access_token"]) == 180


@pytest.mark.parametrize("path", ["/{}", "/{}/", "/v25.0/{}", "/v25.0/{}/", "/v24.0/{}", "/v21.0/{}"])
def test_the_path_may_have_a_version_and_a_slash(world, path):
    """With or without a version or a slash at the end it is the same Page."""
    said = ask(world, path.format(first(world)) + "?fields=name", token=world.user.token)
    assert said.json == {"name": "berlin", "id": first(world)}


@pytest.mark.parametrize("parameter", ["format=json", "pretty=1", "debug=all", "locale=de_DE", "whatever=x"])
def test_parameters_of_other_clients_do_no_harm(world, parameter):
    """What restfb and others add to each call is taken and changes nothing."""
    assert ask(world, f"/{first(world)}?fields=name&{parameter}", token=world.user.token).json["name"] == "berlin"


@pytest.mark.parametrize("spelling", ["Bearer", "OAuth", "bearer"])
def test_a_token_may_come_in_the_header(world, spelling):
    """Both spellings of the header are taken."""
    said = ask(world, f"/{first(world)}", headers={"authorization": f"{spelling} {world.user.token}"})
    assert said.json["id"] == first(world)


def test_a_token_may_come_in_query_or_form(world):
    """Query and form carry a token as well; a POST asks for a read by ``method=get``."""
    token = world.user.token
    assert ask(world, f"/{first(world)}?access_token={token}").json["id"] == first(world)
    said = ask(world, f"/{first(world)}", form={"access_token": token, "method": "get"})
    assert said.json["id"] == first(world)


def test_two_reads_give_the_same_string_unless_told_otherwise(world):
    """The string is stable, and under ``changing`` it differs each time while the old ones stay valid."""
    target = f"/{first(world)}?fields=access_token"
    one, two = (ask(world, target, token=world.user.token).json["access_token"] for _ in range(2))
    switch_on(world, f"changing@{first(world)}")
    three, four = (ask(world, target, token=world.user.token).json["access_token"] for _ in range(2))
    assert one == two
    assert len({one, three, four}) == 3
    assert all(world.ailment(world.tokens[text]) is None for text in (one, three, four))


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
    """Every reported shape of "not entitled" can be had, with its code, subcode, type and text."""
    switch_on(world, f"unassigned={shape}@{first(world)}")
    said = ask(world, f"/v25.0/{first(world)}?fields=access_token", token=world.user.token)
    got = said.json["error"]
    assert said.status == status
    assert got["message"].startswith(error.pop("message").format(id=first(world)))
    assert {"type": "OAuthException", **error}.items() <= got.items()
    assert got["fbtrace_id"].startswith("A")
    assert "error_subcode" in got or "error_subcode" not in error


def test_an_unassigned_page_may_just_lack_the_field(world):
    """The first shape is a success without the token, and other fields are still read."""
    switch_on(world, f"unassigned@{first(world)}")
    said = ask(world, f"/{first(world)}?fields=name,access_token", token=world.user.token)
    assert (said.status, said.json) == (200, {"name": "berlin", "id": first(world)})


def test_a_person_has_no_token_field(world):
    """An id that is a person's is told by the node type, and by metadata."""
    switch_on(world, f"person@{first(world)}")
    said = ask(world, f"/{first(world)}?fields=access_token", token=world.user.token)
    assert said.status == 400
    assert said.json["error"]["message"] == (
        "(#100) Tried accessing nonexisting field (access_token) on node type (User)"
    )
    said = ask(world, f"/{first(world)}?fields=id&metadata=1", token=world.user.token)
    assert said.json["metadata"]["type"] == "user"


def test_tasks_are_no_field_of_a_page(world):
    """Asking ``tasks`` of the Page itself fails the whole call."""
    said = ask(world, f"/{first(world)}?fields=access_token,tasks", token=world.user.token)
    assert said.json["error"]["message"] == "(#100) Tried accessing nonexisting field (tasks) on node type (Page)"


def test_the_apps_own_id_is_no_page(world):
    """An app's id in a Page's place is answered as an application."""
    said = ask(world, f"/{world.app.id}?fields=access_token", token=world.user.token)
    assert said.json["error"]["message"].endswith("nonexisting field (access_token) on node type (Application)")
    assert ask(world, f"/{world.app.id}", token=app_token(world)).json == {
        "name": "Acme Messenger",
        "id": world.app.id,
    }


def test_a_moved_page_names_its_new_id(world):
    """A merged Page is code 21, with two blanks as Graph has them."""
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
    """Usernames are refused, known or not."""
    error = ask(world, f"/{name}?fields=access_token", token=world.user.token).json["error"]
    assert (error["code"], error["message"]) == (803, message)


def test_an_unknown_id_and_a_deleted_page_are_not_told_apart(world):
    """Both are 100/33."""
    switch_on(world, f"deleted@{first(world)}")
    for node in ("999999999999999", first(world)):
        error = ask(world, f"/{node}?fields=access_token", token=world.user.token).json["error"]
        assert (error["code"], error["error_subcode"], error["message"]) == (100, 33, UNSEEN.format(id=node))


def test_an_unpublished_page_is_read_like_any_other(world):
    """Nothing follows from a Page being unpublished."""
    switch_on(world, f"unpublished@{first(world)}")
    said = ask(world, f"/{first(world)}?fields=access_token,is_published", token=world.user.token)
    assert said.json["is_published"] is False
    assert said.json["access_token"].startswith("EAA")


@pytest.mark.parametrize("fields", ["access_token{", "name}", "name,(id"])
def test_broken_fields_are_a_syntax_error(world, fields):
    """Unpaired braces are code 2500."""
    error = ask(world, f"/{first(world)}?fields={fields}", token=world.user.token).json["error"]
    assert error["code"] == 2500
    assert error["message"].startswith("Syntax error")


def test_me_is_whoever_calls(world):
    """``me`` is the system user, a Page token's Page, and nobody for an app."""
    page_token = ask(world, f"/{first(world)}?fields=access_token", token=world.user.token).json["access_token"]
    assert ask(world, "/me?fields=id", token=world.user.token).json == {"id": world.user.id}
    assert ask(world, "/me?fields=id", token=page_token).json == {"id": first(world)}
    assert ask(world, "/me", token=app_token(world)).json["error"]["code"] == 2500


def test_many_ids_are_an_object_that_one_bad_id_spoils(world):
    """``?ids=`` is keyed by id, and all or nothing."""
    ids = list(world.pages)[:3]
    said = ask(world, f"/v25.0?ids={','.join(ids)}&fields=name", token=world.user.token)
    assert list(said.json) == ids
    said = ask(world, f"/v25.0/?ids={','.join(ids)},nobody&fields=name", token=world.user.token)
    assert said.json["error"]["code"] == 803


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
    """A wrong version, depth, edge or root is answered in Graph's words."""
    said = ask(world, target, token=world.user.token)
    assert said.status == 400
    assert said.json["error"]["code"] == code
    assert said.json["error"]["message"].startswith(message)


@pytest.mark.parametrize(
    ("asked", "served"), [("/v25.0", "v25.0"), ("/v27.0", "v27.0"), ("/v19.0", "v21.0"), ("", "v21.0")]
)
def test_the_version_served_is_told(world, asked, served):
    """An ended version is served silently by the oldest live one."""
    said = ask(world, f"{asked}/{first(world)}", token=world.user.token)
    assert (said.status, said.headers["facebook-api-version"]) == (200, served)


def test_every_answer_has_graphs_headers(world):
    """Version, trace, request id, revision, type and usage come with each answer, a challenge with each error."""
    good = ask(world, f"/{first(world)}", token=world.user.token)
    bad = ask(world, "/1", token=world.user.token)
    for said in (good, bad):
        assert said.headers["Content-Type"] == "application/json; charset=UTF-8"
        assert {"facebook-api-version", "x-fb-trace-id", "x-fb-request-id", "x-fb-rev"} <= set(said.headers)
    assert f'"{first(world)}":[{{"type":"pages"' in good.headers["X-Business-Use-Case-Usage"]
    assert "X-App-Usage" in ask(world, f"/{world.app.id}", token=app_token(world)).headers
    assert bad.headers["WWW-Authenticate"].startswith('OAuth "Facebook Platform" "invalid_request" "Unsupported get')
    assert "WWW-Authenticate" not in good.headers


def test_usage_near_nothing_is_not_told(world):
    """At 0 % the usage headers are left out."""
    world.app_usage = world.pages[first(world)].usage = 0
    assert "X-Business-Use-Case-Usage" not in ask(world, f"/{first(world)}", token=world.user.token).headers
    assert "X-App-Usage" not in ask(world, f"/{world.app.id}", token=app_token(world)).headers


@pytest.mark.parametrize("method", ["DELETE", "PUT", "POST"])
def test_nothing_can_be_written(world, method):
    """Any other method is an unsupported request."""
    error = ask(world, f"/{first(world)}", token=world.user.token, method=method).json["error"]
    assert (error["code"], error["error_subcode"]) == (100, 33)
    assert error["message"].startswith(f"Unsupported {method.lower()} request.")
