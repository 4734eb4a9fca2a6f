"""The lines of the policies for Vault and OpenBao: what each configuration needs, and no more."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sync.core.model import Key, Use
from sync.stores.policy import PolicyError
from sync.stores.vault.kv import Calls
from sync.stores.vault.policy import Rights, lines
from tests.support.values import page

WRITE, WATCH = Use("write", page()), Use("read", page())
TWO = ("meta/pages/berlin", "meta/pages/paris")


def policy(uses: Mapping[str, Use], prefix: str = "meta/pages/", *, exact: bool = False) -> list[str]:
    """Return the lines of a policy without the blanks that align them."""
    rights = Rights(Calls("secret"), prefix)
    keys = {Key("vault", path): use for path, use in uses.items()}
    return [" ".join(one.split()) for one in lines(rights.needed(keys), exact=exact)]


def rule(path: str, *capabilities: str) -> str:
    """Return one line of a policy."""
    quoted = ", ".join(f'"{capability}"' for capability in capabilities)
    return f'path "secret/{path}" {{ capabilities = [{quoted}] }}'


def test_one_line_for_all_pages() -> None:
    """With the scope prefix, two lines give all that Pages in one folder need."""
    assert policy(dict.fromkeys(TWO, WRITE)) == [
        rule("data/meta/pages/*", "create", "read", "update"),
        rule("metadata/meta/pages/*", "read", "patch", "list"),
    ]


def test_a_line_for_each_page() -> None:
    """With the scope exact only the listing and the marks of other secrets are allowed beyond the Pages' own."""
    assert policy(dict.fromkeys(TWO, WRITE), exact=True) == [
        rule("data/meta/pages/berlin", "create", "read", "update"),
        rule("metadata/meta/pages/berlin", "read", "patch"),
        rule("data/meta/pages/paris", "create", "read", "update"),
        rule("metadata/meta/pages/paris", "read", "patch"),
        rule("metadata/meta/pages/*", "read", "list"),
    ]


def test_what_is_only_read() -> None:
    """A plan and the mode observe get no right to write."""
    assert policy({TWO[0]: WATCH}) == [rule("data/meta/pages/*", "read"), rule("metadata/meta/pages/*", "read", "list")]


@pytest.mark.parametrize("exact", [True, False])
def test_credentials_have_lines_of_their_own(*, exact: bool) -> None:
    """A credential is read, and one that is renewed is updated too; neither has marks."""
    assert policy({"meta/app": Use("read"), "meta/user": Use("renew")}, exact=exact) == [
        rule("data/meta/app", "read"),
        rule("data/meta/user", "read", "update"),
    ]


def test_what_a_token_does_with_itself() -> None:
    """A token of the store's own login needs to renew and revoke itself, and looks itself up; another one only looks itself up."""
    own, given = Rights(Calls("secret"), "", logs_in=True), Rights(Calls("secret"), "")
    asks = ["auth/token/lookup-self", "sys/capabilities-self"]
    does = ["auth/token/renew-self", "auth/token/revoke-self"]
    assert [right.path for right in given.of_token()] == asks
    assert [right.path for right in own.of_token()] == asks + does
    assert [right.path for right in own.needed({}) if right not in set(given.needed({}))] == does


def test_a_prefix_that_is_no_folder() -> None:
    """Where the template's fixed part ends within a name, its folder is listed by a line of its own."""
    assert policy({"meta/page-berlin": WRITE}, "meta/page-") == [
        rule("data/meta/page-*", "create", "read", "update"),
        rule("metadata/meta/page-*", "read", "patch"),
        rule("metadata/meta/", "list"),
    ]


def test_folders_below_the_prefix() -> None:
    """Where the template makes folders, those can be listed too, also those of Pages that are gone."""
    uses = {"meta/page-main/berlin": WRITE}
    assert policy(uses, "meta/page-")[1:] == [
        rule("metadata/meta/page-*", "read", "patch", "list"),
        rule("metadata/meta/", "list"),
    ]
    assert policy(uses, "meta/page-", exact=True)[2:] == [
        rule("metadata/meta/", "list"),
        rule("metadata/meta/page-*", "read", "list"),
    ]


def test_a_template_without_a_fixed_part() -> None:
    """A path that begins with the name of the Page needs rights on the whole mount."""
    assert policy({"berlin": WRITE}, "") == [
        rule("data/*", "create", "read", "update"),
        rule("metadata/*", "read", "patch", "list"),
    ]


def test_the_reader_and_prune() -> None:
    """A reader gets to read the data of Pages and no credential, and prune the endpoint that deletes recoverably."""
    rights = Rights(Calls("secret"), "meta/pages/")
    uses = {Key("vault", TWO[0]): WRITE, Key("vault", "meta/app"): Use("read")}
    assert lines(rights.for_readers(uses), exact=True) == [rule("data/meta/pages/berlin", "read")]
    assert lines(rights.for_readers(uses), exact=False) == [rule("data/meta/pages/*", "read")]
    assert lines(rights.for_prune(), exact=False) == [rule("delete/meta/pages/*", "update")]


@pytest.mark.parametrize("path", ["meta/pages/a*", "meta/+/a", "meta/{{x}}/a", "meta/${x}/a"])
def test_a_path_that_a_policy_reads_as_a_pattern(path: str) -> None:
    """A policy that would allow other secrets than it was made for is not written."""
    with pytest.raises(PolicyError, match="as a pattern"):
        policy({path: WRITE}, path[:-1], exact=True)


def test_a_policy_that_is_too_large() -> None:
    """A policy larger than Vault stores is refused with the way out; by the prefix it is small."""
    many = {f"meta/pages/page-number-{number:06}": WRITE for number in range(6000)}
    with pytest.raises(PolicyError, match="--scope prefix"):
        policy(many, exact=True)
    assert len(policy(many)) == 2
