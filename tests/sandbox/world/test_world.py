"""The state of the sandbox: which tokens are valid, how they depend on each other, and the truth that it reports."""

import pytest

from sync.sandbox.api.states import NAMES, parse_fault, restore_page, switch_off, switch_on
from sync.sandbox.http.truth import truth
from sync.sandbox.world.tokens import REVOKED, fingerprint
from sync.sandbox.world.world import make_world
from tests.support.services.graph import NOON, ask, world

__all__ = ["world"]


def read(world, number=0):
    """Read a Page's token."""
    page = list(world.pages)[number]
    return ask(world, f"/{page}?fields=access_token", token=world.user.token).json["access_token"]


def test_all_values_follow_from_the_seed():
    """The same seed gives the same ids, secret and tokens; another seed gives others."""
    one, two, other = (make_world(seed=seed, now=lambda: NOON) for seed in (1, 1, 2))
    assert (one.app, list(one.pages), one.user.token) == (two.app, list(two.pages), two.user.token)
    assert read(one) == read(two)
    assert not {one.app.id, *one.pages, one.user.token} & {other.app.id, *other.pages, other.user.token}


def test_ids_have_fifteen_digits_and_names_are_unique():
    """A thousand Pages have ids and names without a collision."""
    world = make_world(pages=1000)
    ids = [*world.pages, world.app.id, world.user.id, world.business_id]
    assert all(len(node) == 15 and node.isdecimal() for node in ids)
    assert len(set(ids)) == len(ids)
    assert len({page.name for page in world.pages.values()}) == 1000


@pytest.mark.parametrize("kills", [True, False])
def test_a_revoked_system_user_token_may_invalidate_its_page_tokens(world, kills):
    """Meta does not document it, so the sandbox has a setting for both."""
    world.page_tokens_follow_user_token = kills
    token = world.tokens[read(world)]
    old = world.tokens[world.user.token]
    world.rotate(world.user)
    assert world.invalid_reason(token) is None
    old.invalid_reason = REVOKED
    assert (world.invalid_reason(token) is None) is not kills


@pytest.mark.parametrize("inherits", [True, False])
def test_page_tokens_may_expire_with_their_system_user_token(world, inherits):
    """A Page token has its system user token's expiry, or none."""
    world.page_tokens_inherit_expiry = inherits
    world.rotate(world.user, expires_in=60)
    assert world.tokens[read(world)].expires_at == (int(NOON) + 60 if inherits else 0)


@pytest.mark.parametrize(
    ("words", "valid", "status"),
    [
        ("", False, 400),
        ("tokens-invalid", False, 400),
        ("no-role,tokens-refused", True, 400),
        ("tokens-working", True, 200),
    ],
)
def test_an_unassigned_page_s_tokens_become_what_the_fault_says(world, words, valid, status):
    """Meta does not document it: debug_token and calls refuse them, calls alone do, or they go on working."""
    token, page = read(world), next(iter(world.pages))
    fault = switch_on(world, f"unassigned={words}@{page}")
    assert (world.invalid_reason(world.tokens[token]) is None) is valid
    assert ask(world, "/me?fields=id", token=token).status == status
    switch_off(world, fault.name)
    assert ask(world, "/me?fields=id", token=token).status == 200


def test_a_permission_that_a_system_user_lacks_is_in_no_answer(world):
    """debug_token does not list it, a read of a Page names it, and the list of Pages has no tokens."""
    switch_on(world, "missing-permission=pages_show_list")
    facts = ask(world, f"/debug_token?input_token={world.user.token}", token=world.user.token).json["data"]
    assert facts["is_valid"]
    assert "pages_show_list" not in facts["scopes"]
    refused = ask(world, f"/{next(iter(world.pages))}?fields=access_token", token=world.user.token).json["error"]
    assert "Requires pages_show_list permission" in refused["message"]
    rows = ask(world, "/me/accounts?fields=id,access_token", token=world.user.token).json["data"]
    assert rows
    assert all("access_token" not in row for row in rows)


def test_a_new_system_user_token_yields_other_page_tokens(world):
    """A Page token depends on the Page and on the system user token."""
    before = read(world)
    world.rotate(world.user)
    assert read(world) != before


def test_a_revoked_page_token_is_replaced_by_the_next_read(world):
    """Only that Page's tokens become invalid."""
    first, second = read(world), read(world, 1)
    switch_on(world, "revoked@berlin")
    assert world.invalid_reason(world.tokens[first]) == REVOKED
    assert world.invalid_reason(world.tokens[second]) is None
    assert world.invalid_reason(world.tokens[read(world)]) is None


def test_the_truth_shows_fingerprints_and_no_tokens(world):
    """The truth contains the fingerprint of each token that was read, and no token."""
    tokens = [read(world, number) for number in range(5)]
    known = truth(world)
    assert not any(token in repr(known) for token in [*tokens, world.user.token, world.app.secret])
    assert {fingerprint(token) for token in tokens} <= set(known["tokens"])


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("unassigned=object-missing", "not-entitled"),
        ("person", "not-a-page"),
        ("moved", "migrated"),
        ("deleted", "deleted"),
        ("invalid", "system-user-invalid"),
        ("expired", "system-user-invalid"),
    ],
)
def test_the_truth_has_the_reason_why_a_page_cannot_be_read(world, fault, why):
    """A Page that the truth calls unreadable returns no token, and the validity of the earlier token is debug_token's."""
    token = read(world)
    switch_on(world, fault)
    known = truth(world)
    fetch = known["pages"][next(iter(world.pages))]["system_users"][world.user.id]
    assert fetch == {"fetchable": False, "why": why, "fingerprint": None}
    page = next(iter(world.pages))
    assert "access_token" not in ask(world, f"/{page}?fields=access_token", token=world.user.token).json
    assert known["tokens"][fingerprint(token)]["valid"] is (world.invalid_reason(world.tokens[token]) is None)


def test_the_truth_predicts_the_next_read(world):
    """The fingerprint is that of the token which the next read returns; reading the truth changes nothing."""
    page = next(iter(world.pages))
    predicted = truth(world)["pages"][page]["system_users"][world.user.id]["fingerprint"]
    assert predicted == fingerprint(read(world))
    switch_on(world, "changing")
    assert truth(world)["pages"][page]["system_users"][world.user.id]["fingerprint"] is None


def test_switching_faults_off_restores_the_state(world):
    """Every Page can be read again, and the system user token is valid."""
    for name in (
        "unassigned",
        "person",
        "deleted",
        "moved",
        "foreign",
        "short-lived",
        "changing",
        "missing-scope",
        "invalid",
    ):
        switch_on(world, name)
    switch_off(world)
    fetches = [page["system_users"][world.user.id] for page in truth(world)["pages"].values()]
    assert all(fetch["fetchable"] and fetch["fingerprint"] for fetch in fetches)
    token = world.tokens[read(world)]
    assert (token.app_id, token.expires_at, world.invalid_reason(token)) == (world.app.id, 0, None)
    assert "pages_messaging" in world.scopes_of(token)
    restore_page(world, next(iter(world.pages.values())))


def test_a_fault_is_parsed_from_one_line():
    """Kind, argument, Pages, times and probability each have their separator."""
    fault = parse_fault("throttled-page:node=7@berlin,paris*3%0.5")
    assert (fault.name, fault.kind, fault.argument) == ("throttled-page", "node", "7")
    assert (fault.pages, fault.times, fault.probability) == ({"berlin", "paris"}, 3, 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "unknown fault 'nonsense'"),
        ("", "is not NAME"),
        ("html@nowhere", "no Page 'nowhere'"),
        ("html:nothing", "unknown kind 'nothing'"),
        ("unassigned=strange", "unknown shape 'strange'"),
        ("html*x", "is not NAME"),
        ("html=x", "invalid literal"),
        ("slow=x", "invalid literal"),
        ("error=x", "invalid literal"),
        ("invalid=x", "invalid literal"),
    ],
)
def test_an_invalid_fault_is_refused_with_a_message(world, text, message):
    """The message names the mistake, and nothing is switched on."""
    with pytest.raises(ValueError, match=message):
        switch_on(world, text)
    assert world.faults == []


def test_a_fault_with_a_probability_is_the_same_for_the_same_seed():
    """The random choices depend on the seed alone."""

    def run(seed):
        world = make_world(seed=seed, now=lambda: NOON)
        switch_on(world, "server-error%0.5")
        return [ask(world, "/me", token=world.user.token).status for _ in range(40)]

    assert run(1) == run(1)
    assert {200, 500} == set(run(1))
    assert run(1) != run(2)


def test_a_fault_of_one_kind_affects_no_other(world):
    """A fault of listings does not affect reads."""
    switch_on(world, "server-error:accounts")
    assert ask(world, "/me/accounts", token=world.user.token).status == 500
    assert ask(world, "/me", token=world.user.token).status == 200


def test_every_fault_can_be_switched_on_and_off(world):
    """Every listed name can be switched on and off."""
    for name in NAMES:
        switch_on(world, name)
        switch_off(world, name)
    assert world.faults == []
