"""What is wrong with the text of a file, and with its keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.config_files import GOOD, errors, with_

P = '- {id: "101010101010101", name: berlin}'
"""Pieces of the good file."""

ROWS = [
    pytest.param(
        GOOD + "x: [",
        {},
        [
            "config.yaml:11:1: not valid YAML at this point [syntax]",
            "look for a missing quote, colon or bracket, or wrong indentation, here or just above",
        ],
        id="syntax",
    ),
    pytest.param(
        with_('"https://vault:8200"', '"https://vault:8200'),
        {},
        [
            "config.yaml:9:11: not valid YAML at this point [syntax]",
            "look for a missing quote, colon or bracket, or wrong indentation, here or just above",
        ],
        id="quote-missing",
    ),
    pytest.param(
        "# nothing\n",
        {},
        [
            "config.yaml:1:1: the file holds nothing [empty-file]",
            "see config.example.yaml",
        ],
        id="empty",
    ),
    pytest.param(
        GOOD + "---\na: 1\n",
        {},
        [
            "config.yaml:10:1: a second YAML document begins here [second-document]",
            "keep one document per file",
        ],
        id="second-document",
    ),
    pytest.param(
        with_("{env: TOKEN}", "&t {env: TOKEN}").replace("{file: app}", "*t"),
        {},
        [
            "config.yaml:3:46: apps.messenger.secret: aliases are not allowed [alias]",
            "write the value out",
            "config.yaml:5:17: system_users.main.token: anchors are not allowed [alias]",
            "write the value out wherever it is needed",
        ],
        id="anchor-and-alias",
    ),
    pytest.param(
        with_("acme", "!!python/name:os.system acme"),
        {},
        [
            "config.yaml:1:11: instance: YAML tags are not allowed [tag]",
            "remove the tag; quote the value where text is meant",
        ],
        id="tag",
    ),
    pytest.param(
        with_('"101010101010101"', '!!int "101010101010101"'),
        {},
        [
            "config.yaml:9:10: pages[0].id: YAML tags are not allowed [tag]",
            "remove the tag; quote the value where text is meant",
        ],
        id="tag-int",
    ),
    pytest.param(
        GOOD + "log: {<<: {level: info}}\n",
        {},
        [
            "config.yaml:10:7: log.?: merge keys are not allowed [merge-key]",
            "write the keys out",
        ],
        id="merge-key",
    ),
    pytest.param(
        GOOD + "instance: other\n",
        {},
        [
            "config.yaml:10:1: instance: this key stands twice in one mapping (the first is at config.yaml:1:1) [duplicate-key]",
            "remove one of the two",
        ],
        id="duplicate-key",
    ),
    pytest.param(
        with_("name: berlin", 'name: berlin, labels: {team: crm, "team": "x"}'),
        {},
        [
            "config.yaml:9:63: pages[0].labels.team: this key stands twice in one mapping (the first is at config.yaml:9:52) [duplicate-key]",
            "remove one of the two",
        ],
        id="duplicate-key-within",
    ),
    pytest.param(
        GOOD + "instance: other\nx: [",
        {},
        [
            "config.yaml:10:1: instance: this key stands twice in one mapping [duplicate-key]",
            "remove one of the two",
            "config.yaml:12:1: not valid YAML at this point [syntax]",
            "look for a missing quote, colon or bracket, or wrong indentation, here or just above",
        ],
        id="duplicate-key-in-what-is-no-yaml",
    ),
    pytest.param(
        with_("  messenger", "\tmessenger"),
        {},
        [
            "config.yaml:3:1: a tab stands here, and YAML allows none in indentation [syntax]",
            "indent by blanks",
        ],
        id="tab",
    ),
    pytest.param(
        "# größe ü\n" + GOOD + "schedule:\n  every: 15m\n \tjitter: 1m\n",
        {},
        [
            "config.yaml:13:2: a tab stands here, and YAML allows none in indentation [syntax]",
            "indent by blanks",
        ],
        id="tab-after-a-blank",
    ),
    pytest.param(
        with_("messenger", "010"),
        {},
        [
            "config.yaml:3:3: apps: a key must be text, and YAML reads this one as something else [bad-key]",
            "quote it",
        ],
        id="odd-key",
    ),
    pytest.param(
        with_("messenger", "[a]"),
        {},
        [
            "config.yaml:3:3: apps: a list or mapping stands where a key is expected [bad-key]",
            "quote it: braces and brackets have a meaning in YAML",
        ],
        id="list-key",
    ),
    pytest.param(
        with_("instance: acme", 'instance: "ac\\0me"'),
        {},
        [
            "config.yaml:1:11: instance: an escape gives a character that is not allowed [forbidden-character]",
            "remove it",
        ],
        id="nul-escape",
    ),
    pytest.param(
        with_("acme", "ac\u202eme"),
        {},
        [
            "config.yaml:1:13: the character U+202E is not allowed here [forbidden-character]",
            "remove it",
        ],
        id="bidi",
    ),
    pytest.param(
        with_("acme", "ac\x07me"),
        {},
        [
            "config.yaml:1:13: the character U+0007 is not allowed here [forbidden-character]",
            "remove it",
        ],
        id="control",
    ),
    pytest.param(
        GOOD + "x: " + "[" * 40 + "]" * 40 + "\n",
        {},
        [
            "config.yaml:10:35: x[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: more than 32 lists and mappings inside each other [too-deep]",
            "look for a bracket or brace that is not closed",
        ],
        id="too-deep",
    ),
    pytest.param(
        with_("instance: acme", "instanc: acme"),
        {},
        [
            "config.yaml:1:1: instance: instance is missing [missing-key]",
            "The owner's mark on every secret: two instances never touch each other's secrets.",
            "config.yaml:1:1: instanc: this version knows no key instanc here [unknown-key]",
            "did you mean instance?",
        ],
        id="unknown-key",
    ),
    pytest.param(
        GOOD + "notify: []\n",
        {},
        [
            "config.yaml:10:1: notify: this version knows no key notify here [unknown-key]",
            "known here: apps, brake, defaults, graph, instance, log, mode, pages, pages_from, probe_every, schedule, state, stores, system_users, verify_every, version",
        ],
        id="unknown-key-later",
    ),
    pytest.param(
        with_("name: berlin", "nmae: berlin"),
        {},
        [
            "config.yaml:9:29: pages[0].nmae: this version knows no key nmae here [unknown-key]",
            "did you mean name?",
        ],
        id="unknown-key-nested",
    ),
    pytest.param(
        GOOD + "EAABsbCS1iHgBAZAbcdefghijklmnop: 1\n",
        {},
        [
            "config.yaml:10:1: ?: this version knows no such key here [unknown-key]",
            "known here: apps, brake, defaults, graph, instance, log, mode, pages, pages_from, probe_every, schedule, state, stores, system_users, verify_every, version",
        ],
        id="unknown-no-word",
    ),
    pytest.param(
        "version: 1\n",
        {},
        [
            "config.yaml:1:1: instance: instance is missing [missing-key]",
            "The owner's mark on every secret: two instances never touch each other's secrets.",
            "config.yaml:1:1: apps: apps is missing [missing-key]",
            "Meta apps, by a name of your choice.",
            "config.yaml:1:1: system_users: system_users is missing [missing-key]",
            "System users, by a name of your choice.",
            "config.yaml:1:1: stores: stores is missing [missing-key]",
            "Where the tokens go, by a name of your choice.",
            "config.yaml:1:1: pages: pages is missing [missing-key]",
            "list the Pages here, or name further files in pages_from",
        ],
        id="missing",
    ),
    pytest.param(
        with_(P, "berlin").replace("  berlin", "  berlin"),
        {},
        [
            "config.yaml:9:3: pages: text, where a list is wanted [wrong-type]",
            "The Pages, a list: each with its id, and every key of the defaults may stand on one too.",
        ],
        id="no-list",
    ),
    pytest.param(
        GOOD + "graph:\n",
        {},
        [
            "config.yaml:10:7: graph: nothing, where a mapping is wanted [wrong-type]",
            "How Meta's Graph API is reached.",
        ],
        id="no-mapping",
    ),
    pytest.param(
        with_(P, "- berlin"),
        {},
        [
            "config.yaml:9:5: pages[0]: text, where a mapping is wanted [wrong-type]",
            "see pages in config.example.yaml",
        ],
        id="page-no-mapping",
    ),
    pytest.param(
        "version: 2\n" + GOOD,
        {},
        [
            "config.yaml:1:10: version: not one of the values that are allowed here [bad-value]",
            "write 1",
        ],
        id="version",
    ),
    pytest.param(
        "version: true\n" + GOOD,
        {},
        [
            "config.yaml:1:10: version: not one of the values that are allowed here [bad-value]",
            "write 1",
        ],
        id="version-true",
    ),
    pytest.param(
        GOOD + 'graph: {trust_env: "true"}\n',
        {},
        [
            "config.yaml:10:20: graph.trust_env: text, where true or false is wanted [wrong-type]",
            "Whether proxies of the environment (HTTPS_PROXY and so on) are used.",
        ],
        id="bad-bool",
    ),
    pytest.param(
        GOOD + "log: {level: loud}\n",
        {},
        [
            "config.yaml:10:14: log.level: not one of the values that are allowed here [bad-value]",
            "write 'debug', 'info', 'warning' or 'error'",
        ],
        id="choice",
    ),
    pytest.param(
        GOOD + 'graph: {version: "25"}\n',
        {},
        [
            "config.yaml:10:18: graph.version: not of the form that is wanted here [bad-value]",
            "it must match ^v[0-9]{1,3}\\.[0-9]$",
        ],
        id="graph-version",
    ),
]


@pytest.mark.parametrize(("text", "others", "expected"), ROWS)
def test_errors(tmp_path: Path, text: str, others: dict[str, str], expected: list[str]) -> None:
    """Text and keys that are refused are named in full, with their place and the cure."""
    found = [line for error in errors(tmp_path, text, **others) for line in error.split("\n    ")]
    assert found == expected
