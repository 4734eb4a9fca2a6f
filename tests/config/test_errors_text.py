"""Errors in the text of a file, and in its keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.config_files import GOOD, errors, with_

P = '- {id: "101010101010101", name: berlin}'
"""Parts of the valid file."""

ROWS = [
    pytest.param(
        GOOD + "x: [",
        {},
        [
            "config.yaml:11:1: not valid YAML at this point [syntax]",
            "check for a missing quote, colon or bracket, or wrong indentation, here or just above",
        ],
        id="syntax",
    ),
    pytest.param(
        with_('"https://vault:8200"', '"https://vault:8200'),
        {},
        [
            "config.yaml:9:11: not valid YAML at this point [syntax]",
            "check for a missing quote, colon or bracket, or wrong indentation, here or just above",
        ],
        id="quote-missing",
    ),
    pytest.param(
        "# nothing\n",
        {},
        [
            "config.yaml:1:1: the file is empty [empty-file]",
            "see config.example.yaml",
        ],
        id="empty",
    ),
    pytest.param(
        GOOD + "---\na: 1\n",
        {},
        [
            "config.yaml:10:1: a second YAML document starts here [second-document]",
            "keep one document per file",
        ],
        id="second-document",
    ),
    pytest.param(
        with_("{env: TOKEN}", "&t {env: TOKEN}").replace("{file: app}", "*t"),
        {},
        [
            "config.yaml:3:46: apps.messenger.secret: aliases are not allowed [alias]",
            "write the value itself",
            "config.yaml:5:17: system_users.main.token: anchors are not allowed [alias]",
            "repeat the value wherever it is needed",
        ],
        id="anchor-and-alias",
    ),
    pytest.param(
        with_("acme", "!!python/name:os.system acme"),
        {},
        [
            "config.yaml:1:11: instance: YAML tags are not allowed [tag]",
            "remove the tag; put the value in quotes if it is text",
        ],
        id="tag",
    ),
    pytest.param(
        with_('"101010101010101"', '!!int "101010101010101"'),
        {},
        [
            "config.yaml:9:10: pages[0].id: YAML tags are not allowed [tag]",
            "remove the tag; put the value in quotes if it is text",
        ],
        id="tag-int",
    ),
    pytest.param(
        GOOD + "log: {<<: {level: info}}\n",
        {},
        [
            "config.yaml:10:7: log.?: merge keys are not allowed [merge-key]",
            "write the keys themselves",
        ],
        id="merge-key",
    ),
    pytest.param(
        GOOD + "instance: other\n",
        {},
        [
            "config.yaml:10:1: instance: duplicate key (the first is at config.yaml:1:1) [duplicate-key]",
            "remove one of the two",
        ],
        id="duplicate-key",
    ),
    pytest.param(
        with_("name: berlin", 'name: berlin, labels: {team: crm, "team": "x"}'),
        {},
        [
            "config.yaml:9:63: pages[0].labels.team: duplicate key (the first is at config.yaml:9:52) [duplicate-key]",
            "remove one of the two",
        ],
        id="duplicate-key-within",
    ),
    pytest.param(
        GOOD + "instance: other\nx: [",
        {},
        [
            "config.yaml:10:1: instance: duplicate key [duplicate-key]",
            "remove one of the two",
            "config.yaml:12:1: not valid YAML at this point [syntax]",
            "check for a missing quote, colon or bracket, or wrong indentation, here or just above",
        ],
        id="duplicate-key-in-what-is-no-yaml",
    ),
    pytest.param(
        with_("  messenger", "\tmessenger"),
        {},
        [
            "config.yaml:3:1: a tab: YAML allows no tabs in indentation [syntax]",
            "indent with spaces",
        ],
        id="tab",
    ),
    pytest.param(
        "# größe ü\n" + GOOD + "schedule:\n  every: 15m\n \tjitter: 1m\n",
        {},
        [
            "config.yaml:13:2: a tab: YAML allows no tabs in indentation [syntax]",
            "indent with spaces",
        ],
        id="tab-after-a-blank",
    ),
    pytest.param(
        with_("messenger", "010"),
        {},
        [
            "config.yaml:3:3: apps: YAML reads this key as something other than text [bad-key]",
            "put it in quotes",
        ],
        id="odd-key",
    ),
    pytest.param(
        with_("messenger", "[a]"),
        {},
        [
            "config.yaml:3:3: apps: a list or mapping in place of a key [bad-key]",
            "put it in quotes: braces and brackets have a meaning in YAML",
        ],
        id="list-key",
    ),
    pytest.param(
        with_("instance: acme", 'instance: "ac\\0me"'),
        {},
        [
            "config.yaml:1:11: instance: an escape stands for a character that is not allowed [forbidden-character]",
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
        "# see the manual\u2028graph: {base_url: 'https://other.example'}\n" + GOOD + "log: {level: loud}\n",
        {},
        [
            "config.yaml:1:17: U+2028, which only some programs read as a line break [forbidden-character]",
            "remove it; end lines with LF",
            "config.yaml:11:14: log.level: not one of the allowed values [bad-value]",
            "write 'debug', 'info', 'warning' or 'error'",
        ],
        id="hidden-line",
    ),
    pytest.param(
        GOOD + "# a\u2029b: 1\n# c\x85d: 1\n# e\rf: 1\n# g\r\nbrake: {share: 30}\n",
        {},
        [
            "config.yaml:10:4: U+2029, which only some programs read as a line break [forbidden-character]",
            "remove it; end lines with LF",
            "config.yaml:11:4: U+0085, which only some programs read as a line break [forbidden-character]",
            "remove it; end lines with LF",
            "config.yaml:12:4: U+000D, which only some programs read as a line break [forbidden-character]",
            "remove it; end lines with LF",
            "config.yaml:14:16: brake.share: not a percentage [bad-share]",
            "write an integer and the percent sign: 30% (not 0.3)",
        ],
        id="line-breaks",
    ),
    pytest.param(
        GOOD + "pages_from: [more.yaml]\n",
        {"more": "- {id: '2'} # x\u2028- {id: '3'}\n"},
        [
            "more.yaml:1:16: U+2028, which only some programs read as a line break [forbidden-character]",
            "remove it; end lines with LF",
        ],
        id="hidden-line-of-another-file",
    ),
    pytest.param(
        with_("instance: acme", 'instance: "ac\\Lme"'),
        {},
        [
            "config.yaml:1:11: instance: an escape stands for a character that is not allowed [forbidden-character]",
            "remove it",
        ],
        id="line-break-escape",
    ),
    pytest.param(
        GOOD + "x: " + "[" * 40 + "]" * 40 + "\n",
        {},
        [
            "config.yaml:10:35: x[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: more than 32 levels of lists and mappings [too-deep]",
            "check for a bracket or brace that is not closed",
        ],
        id="too-deep",
    ),
    pytest.param(
        with_("instance: acme", "instanc: acme"),
        {},
        [
            "config.yaml:1:1: instance: instance is missing [missing-key]",
            "The name of this installation, marked on every secret: two instances never touch each other's secrets.",
            "config.yaml:1:1: instanc: unknown key [unknown-key]",
            "did you mean instance?",
        ],
        id="unknown-key",
    ),
    pytest.param(
        GOOD + "mail: []\n",
        {},
        [
            "config.yaml:10:1: mail: unknown key [unknown-key]",
            "known: apps, brake, defaults, graph, heartbeat, instance, log, metrics, mode, notify, pages, pages_from, probe_every, schedule, state, stores, system_users, verify_every, version, web",
        ],
        id="unknown-key-later",
    ),
    pytest.param(
        with_("name: berlin", "nmae: berlin"),
        {},
        [
            "config.yaml:9:29: pages[0].nmae: unknown key [unknown-key]",
            "did you mean name?",
        ],
        id="unknown-key-nested",
    ),
    pytest.param(
        GOOD + "EAABsbCS1iHgBAZAbcdefghijklmnop: 1\n",
        {},
        [
            "config.yaml:10:1: ?: unknown key [unknown-key]",
            "known: apps, brake, defaults, graph, heartbeat, instance, log, metrics, mode, notify, pages, pages_from, probe_every, schedule, state, stores, system_users, verify_every, version, web",
        ],
        id="unknown-no-word",
    ),
    pytest.param(
        "version: 1\n",
        {},
        [
            "config.yaml:1:1: instance: instance is missing [missing-key]",
            "The name of this installation, marked on every secret: two instances never touch each other's secrets.",
            "config.yaml:1:1: apps: apps is missing [missing-key]",
            "Meta apps, each under a name that you choose.",
            "config.yaml:1:1: system_users: system_users is missing [missing-key]",
            "System users, each under a name that you choose.",
            "config.yaml:1:1: stores: stores is missing [missing-key]",
            "Stores to write the tokens to, each under a name that you choose. Types: vault, aws-secrets-manager, file.",
            "config.yaml:1:1: pages: pages is missing [missing-key]",
            "list the Pages here, or name more files in pages_from",
        ],
        id="missing",
    ),
    pytest.param(
        with_(P, "berlin").replace("  berlin", "  berlin"),
        {},
        [
            "config.yaml:9:3: pages: text, where a list is expected [wrong-type]",
            "The list of Pages: each has an id, and may have every key of defaults.",
        ],
        id="no-list",
    ),
    pytest.param(
        GOOD + "graph:\n",
        {},
        [
            "config.yaml:10:7: graph: nothing, where a mapping is expected [wrong-type]",
            "The connection to Meta's Graph API.",
        ],
        id="no-mapping",
    ),
    pytest.param(
        with_(P, "- berlin"),
        {},
        [
            "config.yaml:9:5: pages[0]: text, where a mapping is expected [wrong-type]",
            "see pages in config.example.yaml",
        ],
        id="page-no-mapping",
    ),
    pytest.param(
        "version: 2\n" + GOOD,
        {},
        [
            "config.yaml:1:10: version: not one of the allowed values [bad-value]",
            "write 1",
        ],
        id="version",
    ),
    pytest.param(
        "version: true\n" + GOOD,
        {},
        [
            "config.yaml:1:10: version: not one of the allowed values [bad-value]",
            "write 1",
        ],
        id="version-true",
    ),
    pytest.param(
        GOOD + 'graph: {trust_env: "true"}\n',
        {},
        [
            "config.yaml:10:20: graph.trust_env: text, where true or false is expected [wrong-type]",
            "Whether to use the proxies of the environment (HTTPS_PROXY and so on).",
        ],
        id="bad-bool",
    ),
    pytest.param(
        GOOD + "log: {level: loud}\n",
        {},
        [
            "config.yaml:10:14: log.level: not one of the allowed values [bad-value]",
            "write 'debug', 'info', 'warning' or 'error'",
        ],
        id="choice",
    ),
    pytest.param(
        GOOD + 'graph: {version: "25"}\n',
        {},
        [
            "config.yaml:10:18: graph.version: not in the expected format [bad-value]",
            "write it like v25.0",
        ],
        id="graph-version",
    ),
]


@pytest.mark.parametrize(("text", "others", "expected"), ROWS)
def test_errors(tmp_path: Path, text: str, others: dict[str, str], expected: list[str]) -> None:
    """Every refused text or key is reported with its location, its cause and its remedy."""
    found = [line for error in errors(tmp_path, text, **others) for line in error.split("\n    ")]
    assert found == expected
