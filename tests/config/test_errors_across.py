"""Errors between several keys, and between files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.config_files import GOOD, errors, with_

V = '{type: vault, address: "https://vault:8200", auth: {method: token, token: {file: vault}}}'
"""Parts of the valid file."""

ROWS = [
    pytest.param(
        with_("main: {", "main: {app: mesenger, "),
        {},
        [
            "config.yaml:5:15: system_users.main.app: no app of this name [unknown-name]",
            "did you mean messenger?",
        ],
        id="unknown-app",
    ),
    pytest.param(
        with_("name: berlin", "name: berlin, system_user: man"),
        {},
        [
            "config.yaml:9:56: pages[0].system_user: no system user of this name [unknown-name]",
            "did you mean main?",
        ],
        id="unknown-user",
    ),
    pytest.param(
        with_("name: berlin", "name: berlin, stores: [valt]"),
        {},
        [
            "config.yaml:9:52: pages[0].stores[0]: no store of this name [unknown-name]",
            "did you mean vault?",
        ],
        id="unknown-store",
    ),
    pytest.param(
        GOOD + "defaults: {stores: [disk]}\n",
        {},
        [
            "config.yaml:10:21: defaults.stores[0]: no store of this name [unknown-name]",
            "known: vault",
        ],
        id="unknown-default-store",
    ),
    pytest.param(
        with_("name: berlin", "name: berlin, stores: []"),
        {},
        [
            "config.yaml:9:51: pages[0].stores: empty [bad-value]",
            "The stores to write this Page's token to.",
        ],
        id="no-stores",
    ),
    pytest.param(
        with_(" main: {", " other: {token: {env: OTHER}}\n  main: {"),
        {},
        [
            "config.yaml:10:5: pages[0]: several system users are configured, and none is chosen for this Page [choice-needed]",
            "write system_user here or under defaults",
        ],
        id="choice-user",
    ),
    pytest.param(
        with_(" vault: {", " disk: {type: file, directory: d}\n  vault: {"),
        {},
        [
            "config.yaml:10:5: pages[0]: several stores are configured, and none is chosen for this Page [choice-needed]",
            "write stores here or under defaults",
        ],
        id="choice-store",
    ),
    pytest.param(
        with_("  messenger: {", '  other: {id: "1", secret: {env: O}}\n  messenger: {'),
        {},
        [
            "config.yaml:6:9: system_users.main: several apps are configured, and none is chosen for this token [choice-needed]",
            "write app: NAME",
        ],
        id="choice-app",
    ),
    pytest.param(
        GOOD + '  - {id: "2", name: berlin}\n',
        {},
        [
            "config.yaml:10:21: pages[1].name: another Page has the name berlin (the first is at config.yaml:9:5) [duplicate-name]",
            "rename one of the two",
        ],
        id="duplicate-name",
    ),
    pytest.param(
        GOOD + '  - {id: "2", name: "3"}\n  - {id: "3"}\n',
        {},
        [
            "config.yaml:11:10: pages[2].id: another Page has the name 3 (the first is at config.yaml:10:5) [duplicate-name]",
            "give one of the two a name",
        ],
        id="duplicate-default-name",
    ),
    pytest.param(
        GOOD + '  - {id: "101010101010101", name: other}\n',
        {},
        [
            "config.yaml:10:5: pages[1]: the Page 101010101010101 is listed twice for the system user main (the first is at config.yaml:9:5) [duplicate-page]",
            "remove one of the two",
        ],
        id="duplicate-page",
    ),
    pytest.param(
        with_("type: vault", "type: vault, path: meta/token") + '  - {id: "2"}\n',
        {},
        [
            "config.yaml:10:5: pages[1]: leads to the same secret in vault as another Page, meta/token (the first is at config.yaml:9:5) [duplicate-target]",
            "use {name} in the store's path, or change this Page's stores",
        ],
        id="duplicate-target",
    ),
    pytest.param(
        GOOD.replace("name: berlin", "name: berlin, stores: [vault, vault]"),
        {},
        [
            "config.yaml:9:59: pages[0].stores[1]: this store is listed twice (the first is at config.yaml:9:52) [duplicate-target]",
            "remove one of the two",
        ],
        id="store twice",
    ),
    pytest.param(
        with_(
            "  vault: {", "  v2: " + V.replace("type: vault", 'type: vault, path: "meta/pages/{id}"') + "\n  vault: {"
        ).replace(", name: berlin", ", stores: [vault, v2]"),
        {},
        [
            "config.yaml:10:5: pages[0]: leads to the same secret in the stores vault and v2, meta/pages/101010101010101 [duplicate-target]",
            "change the path of one of the two, or this Page's stores",
        ],
        id="two stores that meet at one Page",
    ),
    pytest.param(
        with_("  vault: {", "  v2: " + V + "\n  vault: {").replace("name: berlin", "name: berlin, stores: [vault]"),
        {},
        [
            "config.yaml:8:10: stores.vault: leads to the same secrets as the store v2, meta/pages/{name} (the first is at config.yaml:7:7) [duplicate-target]",
            "remove one of the two, or give it another path",
        ],
        id="duplicate-store",
    ),
    pytest.param(
        GOOD.replace(
            V,
            '{type: file, directory: a, name: "b/{name}"}\n  two: {type: file, directory: ./x/../a/b, name: "{name}"}',
        ).replace("name: berlin", "name: berlin, stores: [vault, two]"),
        {},
        [
            "config.yaml:8:8: stores.two: leads to the same secrets as the store vault, {name} (the first is at config.yaml:7:10) [duplicate-target]",
            "remove one of the two, or give it another path",
        ],
        id="duplicate-file-place",
    ),
    pytest.param(
        GOOD.replace(
            V,
            '{type: file, directory: n2, name: "sub/x-{name}.json"}\n  disk2: {type: file, directory: ./x/../n2/sub}',
        ).replace("name: berlin", "name: berlin, stores: [vault, disk2]"),
        {},
        [
            "config.yaml:7:44: stores.vault.name: leads into the directory of the store disk2 [bad-path]",
            "choose a name outside of it, or another directory for one of the two",
        ],
        id="name in another store's directory",
    ),
    pytest.param(
        GOOD.replace(
            V,
            '{type: file, directory: n2/sub/deep}\n  two: {type: file, directory: n2, name: "{instance}/{name}/{id}"}\n'
            "  three: {type: file, directory: n2/acme/berlin}",
        ).replace("name: berlin", "name: berlin, stores: [three, two]"),
        {},
        [
            "config.yaml:11:5: pages[0]: its secret in two leads into the directory of the store three, acme/berlin/101010101010101 [bad-path]",
            "change the name in two, or the directory of one of the two",
        ],
        id="secret in another store's directory",
    ),
    pytest.param(
        GOOD + "pages_from: [more/*.yaml]\n",
        {},
        [
            "config.yaml:10:14: pages_from[0]: no file matches [no-files]",
            "check the pattern, and that the folder is mounted",
        ],
        id="glob-nothing",
    ),
    pytest.param(
        GOOD + "pages_from: [more.yaml]\n",
        {"more": '- {id: "2", payload: {a: "{token}"}}\n'},
        [
            "more.yaml:1:13: [0].payload: unknown key [unknown-key]",
            "known: hold, id, labels, name, stores, system_user",
        ],
        id="file-key",
    ),
    pytest.param(
        GOOD + "pages_from: [more.yaml]\n",
        {"more": '- {id: "2"}\n- {id: "101010101010101"}\n'},
        [
            "more.yaml:2:3: [1]: the Page 101010101010101 is listed twice for the system user main (the first is at config.yaml:9:5) [duplicate-page]",
            "remove one of the two",
        ],
        id="file-twice",
    ),
    pytest.param(
        GOOD + "pages_from: [more.yaml]\n",
        {"more": "pages: []\n"},
        [
            "more.yaml:1:1: a mapping, where a list is expected [wrong-type]",
            "see config.example.yaml",
        ],
        id="file-mapping",
    ),
    pytest.param(
        GOOD + "pages_from: [more.yaml]\n",
        {"more": '- id: 08\n- {id: "2", name: berlin}\n'},
        [
            "more.yaml:1:7: [0].id: without quotes YAML reads this as a number without its leading zeros [altered-id]",
            'put it in quotes: id: "101010101010101"',
            "more.yaml:2:19: [1].name: another Page has the name berlin (the first is at config.yaml:9:5) [duplicate-name]",
            "rename one of the two",
        ],
        id="file-id",
    ),
    pytest.param(
        GOOD + "pages_from: [more.yaml]\n",
        {"more": '- {id: "2"\n'},
        [
            "more.yaml:2:1: not valid YAML at this point [syntax]",
            "check for a missing quote, colon or bracket, or wrong indentation, here or just above",
        ],
        id="file-syntax",
    ),
]


@pytest.mark.parametrize(("text", "others", "expected"), ROWS)
def test_errors(tmp_path: Path, text: str, others: dict[str, str], expected: list[str]) -> None:
    """A contradiction is reported with both locations, its cause and its remedy."""
    found = [line for error in errors(tmp_path, text, **others) for line in error.split("\n    ")]
    assert found == expected


@pytest.mark.parametrize(
    ("name", "directory"),
    [("{name}.json", "n2/sub"), ("sub-{name}.json", "n2/sub"), ("{name}/a.json", "n2/sub"), ("sub/{name}.json", "n2")],
)
def test_nested_directories_that_do_not_meet(tmp_path: Path, name: str, directory: str) -> None:
    """A store may be in a folder of another's directory that the other writes nothing to."""
    stores = f'{{type: file, directory: n2, name: "{name}"}}\n  two: {{type: file, directory: {directory}}}'
    assert errors(tmp_path, GOOD.replace(V, stores).replace("name: berlin", "name: berlin, stores: [vault, two]")) == []
