"""Errors in single values: ids, durations, schedules and references."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.config_files import GOOD, errors, with_

REF = "{env: TOKEN}"
"""Parts of the valid file."""

ROWS = [
    pytest.param(
        with_('"101010101010101"', "101010101010101"),
        {},
        [
            "config.yaml:9:10: pages[0].id: a number without quotes, which YAML or a template can change [altered-id]",
            'put it in quotes: id: "101010101010101"',
        ],
        id="id-number",
    ),
    pytest.param(
        with_('"101010101010101"', "010"),
        {},
        [
            "config.yaml:9:10: pages[0].id: without quotes YAML reads this as an octal number [altered-id]",
            'put it in quotes: id: "101010101010101"',
        ],
        id="id-octal",
    ),
    pytest.param(
        with_('"101010101010101"', "1_000"),
        {},
        [
            "config.yaml:9:10: pages[0].id: without quotes YAML reads this as a number without its underscores [altered-id]",
            'put it in quotes: id: "101010101010101"',
        ],
        id="id-underscore",
    ),
    pytest.param(
        with_('"101010101010101"', "12:30:45"),
        {},
        [
            "config.yaml:9:10: pages[0].id: without quotes YAML reads this as a number in base 60 [altered-id]",
            'put it in quotes: id: "101010101010101"',
        ],
        id="id-base60",
    ),
    pytest.param(
        with_('"101010101010101"', "1e15"),
        {},
        [
            "config.yaml:9:10: pages[0].id: without quotes YAML reads this as a floating-point number, which loses digits [altered-id]",
            'put it in quotes: id: "101010101010101"',
        ],
        id="id-exponent",
    ),
    pytest.param(
        with_('"101010101010101"', "1.01010101010101e+14"),
        {},
        [
            "config.yaml:9:10: pages[0].id: without quotes YAML reads this as a floating-point number, which loses digits [altered-id]",
            'put it in quotes: id: "101010101010101"',
        ],
        id="id-helm",
    ),
    pytest.param(
        with_('"101010101010101"', '"1.01010101010101e+14"'),
        {},
        [
            "config.yaml:9:10: pages[0].id: a floating-point number: a template turned the id into a number and lost its last digits [altered-id]",
            'quote the id in the values file too, and write {{ .id | quote }} in a Helm template: id: "101010101010101"',
        ],
        id="id-helm-quoted",
    ),
    pytest.param(
        with_('"101010101010101"', "~"),
        {},
        [
            "config.yaml:9:10: pages[0].id: nothing, where an id is expected [wrong-type]",
            'put it in quotes: id: "101010101010101"',
        ],
        id="id-null",
    ),
    pytest.param(
        with_('"101010101010101"', "2026-11-25"),
        {},
        [
            "config.yaml:9:10: pages[0].id: without quotes YAML reads this as a date [altered-id]",
            'put it in quotes: id: "101010101010101"',
        ],
        id="id-date",
    ),
    pytest.param(
        with_('"101010101010101"', "berlin"),
        {},
        [
            "config.yaml:9:10: pages[0].id: not a Graph id [bad-value]",
            'write digits only, in quotes: "101010101010101"',
        ],
        id="id-word",
    ),
    pytest.param(
        with_('"123456789012345"', "123456789012345"),
        {},
        [
            "config.yaml:3:19: apps.messenger.id: a number without quotes, which YAML or a template can change [altered-id]",
            'put it in quotes: id: "101010101010101"',
        ],
        id="app-id-number",
    ),
    pytest.param(
        with_("name: berlin", "name: berlin, labels: {eu: no}"),
        {},
        [
            "config.yaml:9:56: pages[0].labels.eu: without quotes YAML reads this as true or false [altered-value]",
            "put it in quotes",
        ],
        id="label-no",
    ),
    pytest.param(
        with_("name: berlin", "name: 010"),
        {},
        [
            "config.yaml:9:35: pages[0].name: without quotes YAML reads this as an octal number [altered-value]",
            "put it in quotes",
        ],
        id="name-number",
    ),
    pytest.param(
        with_("name: berlin", "name: Berlin"),
        {},
        [
            "config.yaml:9:35: pages[0].name: not a name [bad-name]",
            "use at most 63 lower-case letters, digits, '.', '_' and '-'; the first is a letter or digit",
        ],
        id="name-bad",
    ),
    pytest.param(
        with_("messenger", "Messenger"),
        {},
        [
            "config.yaml:3:3: apps.Messenger: not a name [bad-name]",
            "use at most 63 lower-case letters, digits, '.', '_' and '-'; the first is a letter or digit",
        ],
        id="app-name-bad",
    ),
    pytest.param(
        GOOD + "schedule: {every: 900}\n",
        {},
        [
            "config.yaml:10:19: schedule.every: not a duration [bad-duration]",
            "write an integer and a unit: 500ms, 90s, 15m, 24h or 7d",
        ],
        id="duration-no-unit",
    ),
    pytest.param(
        GOOD + 'schedule: {every: "soon"}\n',
        {},
        [
            "config.yaml:10:19: schedule.every: not a duration [bad-duration]",
            "write an integer and a unit: 500ms, 90s, 15m, 24h or 7d",
        ],
        id="duration-word",
    ),
    pytest.param(
        GOOD + "schedule: {every: 0s}\n",
        {},
        [
            "config.yaml:10:19: schedule.every: shorter than ten seconds [bad-duration]",
            "write at least 10s; 15m is usual",
        ],
        id="duration-zero",
    ),
    pytest.param(
        GOOD + "schedule: {every: 4000d}\n",
        {},
        [
            "config.yaml:10:19: schedule.every: longer than ten years [bad-duration]",
            "the maximum is 3650d",
        ],
        id="duration-long",
    ),
    pytest.param(
        GOOD + "schedule: {every: 15m, jitter: 15m}\n",
        {},
        [
            "config.yaml:10:32: schedule.jitter: not shorter than every, so that cycles would be skipped [bad-schedule]",
            "write less than every, which is 15m",
        ],
        id="jitter",
    ),
    pytest.param(
        GOOD + "schedule: {jitter: 1h}\n",
        {},
        [
            "config.yaml:10:20: schedule.jitter: not shorter than every, so that cycles would be skipped [bad-schedule]",
            "write less than every, which is 15m",
        ],
        id="jitter-of-the-default",
    ),
    pytest.param(
        GOOD + "schedule: {deadline: 2m}\ngraph: {timeout: 2m}\n",
        {},
        [
            "config.yaml:10:22: schedule.deadline: not longer than a call may take [bad-schedule]",
            "write more than graph.timeout, which is 2m",
        ],
        id="deadline",
    ),
    pytest.param(
        GOOD + "schedule: {deadline: 31s}\ngraph: {timeout: 30}\n",
        {},
        [
            "config.yaml:11:18: graph.timeout: not a duration [bad-duration]",
            "write an integer and a unit: 500ms, 90s, 15m, 24h or 7d",
        ],
        id="deadline-beside-an-invalid-timeout",
    ),
    pytest.param(
        GOOD + 'schedule: {every: 15m, cron: "@hourly"}\n',
        {},
        [
            "config.yaml:10:11: schedule: every and cron exclude each other [bad-schedule]",
            "keep one of the two",
        ],
        id="every-and-cron",
    ),
    pytest.param(
        GOOD + "schedule: {timezone: Europe/Berlin}\n",
        {},
        [
            "config.yaml:10:11: schedule: timezone applies only with cron [bad-schedule]",
            "remove timezone, or write cron instead of every",
        ],
        id="timezone-alone",
    ),
    pytest.param(
        GOOD + 'schedule: {cron: "61 * * * *"}\n',
        {},
        [
            "config.yaml:10:18: schedule.cron: the minute is not within 0 to 59, or its range is reversed [bad-cron]",
            'write five fields as in crontab(5), such as "*/15 * * * *", or @hourly',
        ],
        id="cron",
    ),
    pytest.param(
        GOOD + 'schedule: {cron: "@hourly", timezone: Berlin}\n',
        {},
        [
            "config.yaml:10:39: schedule.timezone: unknown time zone [bad-timezone]",
            "did you mean Europe/Berlin?",
        ],
        id="timezone",
    ),
    pytest.param(
        with_(REF, "EAABsbCS1iHgBAZAcanary"),
        {},
        [
            "config.yaml:5:17: system_users.main.token: a value in place of a reference to a secret [secret-in-file]",
            "store the secret in a file or variable and write {file: PATH}, {env: NAME} or {store: STORE, path: PATH, key: KEY}",
        ],
        id="secret-string",
    ),
    pytest.param(
        with_(REF, "12345678"),
        {},
        [
            "config.yaml:5:17: system_users.main.token: a value in place of a reference to a secret [secret-in-file]",
            "store the secret in a file or variable and write {file: PATH}, {env: NAME} or {store: STORE, path: PATH, key: KEY}",
        ],
        id="secret-number",
    ),
    pytest.param(
        with_(REF, "{EAABsbCS1iHgBAZAcanary}"),
        {},
        [
            "config.yaml:5:17: system_users.main.token: not a reference to a secret [bad-reference]",
            "store the secret in a file or variable and write {file: PATH}, {env: NAME} or {store: STORE, path: PATH, key: KEY}",
        ],
        id="secret-as-key",
    ),
    pytest.param(
        with_(REF, "{env: EAABsbCS1iHgBAZAcanaryEAABsbCS1iHgBAZAcanary}"),
        {},
        [
            "config.yaml:5:23: system_users.main.token.env: this looks like a secret, not like the name of a variable, file or key [secret-in-file]",
            "store the secret in a file or variable and write {file: PATH}, {env: NAME} or {store: STORE, path: PATH, key: KEY}",
        ],
        id="secret-in-env",
    ),
    pytest.param(
        with_(REF, "~"),
        {},
        [
            "config.yaml:5:17: system_users.main.token: the reference to a secret is missing [bad-reference]",
            "store the secret in a file or variable and write {file: PATH}, {env: NAME} or {store: STORE, path: PATH, key: KEY}",
        ],
        id="reference-null",
    ),
    pytest.param(
        with_(REF, "{env: A, file: b}"),
        {},
        [
            "config.yaml:5:17: system_users.main.token: not a reference to a secret [bad-reference]",
            "store the secret in a file or variable and write {file: PATH}, {env: NAME} or {store: STORE, path: PATH, key: KEY}",
        ],
        id="reference-two",
    ),
    pytest.param(
        with_(REF, "{store: valt, path: a/b, key: c}"),
        {},
        [
            "config.yaml:5:25: system_users.main.token.store: no store of this name [unknown-name]",
            "did you mean vault?",
        ],
        id="reference-store",
    ),
    pytest.param(
        with_("{file: vault}", "{store: vault, path: a/b, key: c}"),
        {},
        [
            "config.yaml:7:84: stores.vault.auth.token: the store needs this secret before it can read it [reference-loop]",
            "keep the credentials of a store in a file or variable",
        ],
        id="reference-loop",
    ),
    pytest.param(
        with_(REF, '{env: "A B"}'),
        {},
        [
            "config.yaml:5:23: system_users.main.token.env: not in the expected format [bad-value]",
            "write it like META_APP_SECRET",
        ],
        id="reference-env-name",
    ),
    pytest.param(
        with_(REF, "{store: vault}"),
        {},
        [
            "config.yaml:5:17: system_users.main.token.path: path is missing [missing-key]",
            "The secret's path or name in the store, without placeholders.",
            "config.yaml:5:17: system_users.main.token.key: key is missing [missing-key]",
            "The key in the secret's JSON object.",
        ],
        id="reference-store-incomplete",
    ),
]


@pytest.mark.parametrize(("text", "others", "expected"), ROWS)
def test_errors(tmp_path: Path, text: str, others: dict[str, str], expected: list[str]) -> None:
    """Every refused value is reported with its location, its cause and its remedy."""
    found = [line for error in errors(tmp_path, text, **others) for line in error.split("\n    ")]
    assert found == expected
