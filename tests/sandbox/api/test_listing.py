"""Listings of Pages: rows, cursors, and what is missing from them."""

from urllib.parse import parse_qs, urlsplit

import pytest

from sync.sandbox.api.states import switch_on
from sync.sandbox.world.world import make_world
from tests.support.services.graph import NOON, app_token, ask, world

__all__ = ["world"]


def test_a_row_has_token_category_name_tasks_and_id(world):
    """The fields by default are those of a captured listing."""
    row = ask(world, "/me/accounts", token=world.user.token).json["data"][0]
    assert set(row) == {"access_token", "category", "category_list", "name", "id", "tasks"}
    assert "MODERATE" in row["tasks"]


def test_a_listed_token_equals_the_one_that_is_read(world):
    """Both routes return the same token."""
    row = ask(world, "/v25.0/me/accounts?fields=access_token", token=world.user.token).json["data"][0]
    read = ask(world, f"/{row['id']}?fields=access_token", token=world.user.token).json
    assert row == read


@pytest.mark.parametrize("form", ["me", "id"])
def test_the_system_user_may_be_named_by_id(world, form):
    """``me`` and the own id are the same; the listing of another system user is refused."""
    node = world.user.id if form == "id" else "me"
    assert len(ask(world, f"/{node}/accounts", token=world.user.token).json["data"]) == 5
    other = world.add_user("Other")
    error = ask(world, f"/{node}/accounts", token=other.token).json
    assert ("error" in error) is (form == "id")


def test_an_unknown_field_of_a_row_is_refused(world):
    """The error names the node type Page; ``tasks`` is a field here."""
    error = ask(world, "/me/accounts?fields=id,secrets", token=world.user.token).json["error"]
    assert error["message"] == "(#100) Tried accessing nonexisting field (secrets) on node type (Page)"
    assert ask(world, "/me/accounts?fields=id,tasks", token=world.user.token).status == 200


@pytest.mark.parametrize(("limit", "pages"), [("", [25, 25, 10]), ("&limit=50", [50, 10]), ("&limit=1000", [60])])
def test_cursors_lead_to_every_page_once(limit, pages):
    """The last page has ``after`` too, but no ``next``; the default is 25 rows, the maximum 100."""
    world = make_world(pages=60, now=lambda: NOON)
    seen, sizes, after = [], [], ""
    while True:
        answer = ask(world, f"/v25.0/me/accounts?fields=id{limit}{after}", token=world.user.token).json
        seen += [row["id"] for row in answer["data"]]
        sizes.append(len(answer["data"]))
        assert answer["paging"]["cursors"]["after"]
        if "next" not in answer["paging"]:
            break
        after = f"&after={answer['paging']['cursors']['after']}"
    assert sizes == pages
    assert sorted(seen) == sorted(world.pages)


def test_next_is_a_full_url_with_the_token_in_clear(world):
    """A client that logs or follows it leaks the token, which the sandbox makes visible."""
    answer = ask(world, "/v25.0/me/accounts?limit=2", token=world.user.token, headers={"host": "127.0.0.1:1"}).json
    url = urlsplit(answer["paging"]["next"])
    assert (url.netloc, url.path) == ("127.0.0.1:1", f"/v25.0/{world.user.id}/accounts")
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert query["access_token"] == world.user.token
    assert query["after"] == answer["paging"]["cursors"]["after"]


def test_an_invalid_cursor_is_refused(world):
    """A cursor that was not issued is an invalid parameter."""
    assert ask(world, "/me/accounts?after=%C3%BC", token=world.user.token).json["error"]["code"] == 100


def test_a_listing_leaves_out_what_the_caller_may_not_read(world):
    """Pages that are unassigned, deleted or moved have no row, and neither has a person."""
    for fault in ("unassigned@berlin", "deleted@paris", "moved@rome", "person@madrid"):
        switch_on(world, fault)
    rows = ask(world, "/me/accounts?fields=name", token=world.user.token).json["data"]
    assert [row["name"] for row in rows] == ["lisbon"]


def test_without_business_management_a_listing_is_empty(world):
    """A business's Pages are left out without an error, while each can be read by id."""
    world.rotate(world.user, scopes=("pages_show_list", "pages_messaging"))
    assert ask(world, "/me/accounts", token=world.user.token).json == {"data": []}
    page = next(iter(world.pages))
    assert "access_token" in ask(world, f"/{page}?fields=access_token", token=world.user.token).json


def test_a_listing_may_be_empty_with_full_permissions(world):
    """An empty listing proves nothing: the next one is complete."""
    switch_on(world, "listing-empty*1")
    assert ask(world, "/me/accounts", token=world.user.token).json == {"data": []}
    assert len(ask(world, "/me/accounts", token=world.user.token).json["data"]) == 5


def test_a_listing_may_have_an_empty_page(world):
    """A page may be empty although ``next`` leads to more rows."""
    switch_on(world, "listing-hole*1")
    answer = ask(world, "/me/accounts?fields=id&limit=2", token=world.user.token).json
    assert answer["data"] == []
    assert "next" in answer["paging"]


def test_rows_may_lack_their_tokens(world):
    """The row of a Page may come without its token."""
    switch_on(world, "listing-without-tokens")
    rows = ask(world, "/me/accounts?fields=id,access_token", token=world.user.token).json["data"]
    assert len(rows) == 5
    assert all(set(row) == {"id"} for row in rows)


def test_assigned_pages_have_tasks_and_a_count(world):
    """The edge returns tasks by default, and a total on request."""
    answer = ask(world, f"/{world.user.id}/assigned_pages?summary=true", token=world.user.token).json
    assert set(answer["data"][0]) == {"id", "name", "tasks"}
    assert answer["summary"] == {"total_count": 5}


def test_neither_an_app_nor_a_page_has_accounts(world):
    """For an app ``me`` is an error; a Page has no such field."""
    page = ask(world, f"/{next(iter(world.pages))}?fields=access_token", token=world.user.token).json["access_token"]
    assert ask(world, "/me/accounts", token=app_token(world)).json["error"]["code"] == 2500
    error = ask(world, "/me/accounts", token=page).json["error"]
    assert error["message"] == "(#100) Tried accessing nonexisting field (accounts) on node type (Page)"


def test_a_business_lists_the_pages_that_it_owns_and_those_that_are_shared_with_it(world):
    """Rows have no token, even where one is asked for; without business_management there is no list."""
    names = [page.name for page in world.pages.values()]
    switch_on(world, f"shared@{names[0]}")
    for edge, expected in (("owned_pages", names[1:]), ("client_pages", names[:1])):
        answer = ask(world, f"/{world.business_id}/{edge}?fields=name,access_token", token=world.user.token).json
        assert sorted(row["name"] for row in answer["data"]) == sorted(expected)
        assert all(set(row) == {"id", "name"} for row in answer["data"])
    switch_on(world, "missing-permission=business_management")
    assert ask(world, f"/{world.business_id}/owned_pages", token=world.user.token).json["error"]["code"] == 283
    assert ask(world, f"/{world.business_id}/owned_pages", token=app_token(world)).json["error"]["code"] == 100


def test_tasks_are_those_that_the_page_was_assigned_with(world):
    """A Page may be assigned with one task alone."""
    page = next(iter(world.pages.values()))
    switch_on(world, f"tasks=ANALYZE@{page.name}")
    answer = ask(world, "/me/assigned_pages?fields=id,tasks", token=world.user.token).json
    tasks = {row["id"]: row["tasks"] for row in answer["data"]}
    assert tasks.pop(page.id) == ["ANALYZE"]
    assert all("MESSAGING" in some for some in tasks.values())
