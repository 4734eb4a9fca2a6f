"""Hostile files, and misplaced secrets."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.config_files import GOOD, errors, with_

pytestmark = pytest.mark.slow

MIB = 2**20
HEAD = GOOD.partition("pages:")[0]
FILES = {
    "brackets": "[" * (15 * MIB),
    "too-large": "[" * (32 * MIB),
    "deep-flow": HEAD + "x: " + "[" * 100_000 + "]" * 100_000,
    "deep-block": "\n".join(" " * depth + "a:" for depth in range(3000)),
    "deep-list": "- " * (7 * MIB),
    "values": HEAD + "pages: [" + "1," * MIB + "]",
    "wrong-pages": HEAD + "pages: [" + "1," * 200_000 + "]",
    "unknown-keys": GOOD + "".join(f"k{number}: 1\n" for number in range(150_000)),
    "equal-pages": HEAD + "pages:\n" + '- {id: "1"}\n' * 100_000,
    "duplicate-keys": "a: 1\n" * 300_000,
    "scalar": HEAD + 'x: "' + "a" * (15 * MIB) + '"',
    "digits": HEAD + "version: " + "9" * (15 * MIB),
    "base-60": HEAD + "version: " + "1:0" * (2 * MIB) + "x",
    "template": GOOD + 'defaults: {payload: {a: "' + "{id}" * (3 * MIB) + '{token}"}}\n',
    "cron": GOOD + 'schedule: {cron: "' + "*," * (7 * MIB) + '* * * * *"}\n',
    "aliases": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [" + ",".join([f"*{chr(97 + n)}"] * 9) + "]\n" for n in range(20)),
    "anchors": "".join(f"- &a{number} x\n" for number in range(200_000)),
    "documents": GOOD + "---\n" * 100_000,
}
CODES = {
    "brackets": "syntax",
    "too-large": "too-large",
    "deep-flow": "syntax",
    "deep-block": "too-deep",
    "deep-list": "too-deep",
    "values": "too-many-values",
    "wrong-pages": "too-many-errors",
    "unknown-keys": "too-many-errors",
    "equal-pages": "too-many-errors",
    "duplicate-keys": "too-many-errors",
    "scalar": "unknown-key",
    "digits": "bad-value",
    "base-60": "bad-value",
    "template": "bad-value",
    "cron": "bad-cron",
    "aliases": "alias",
    "anchors": "too-many-errors",
    "documents": "second-document",
}
"""A code that each must be refused with."""
MAX_MIB = 128
"""MiB of memory in addition to what a small valid file needs; the text alone may have 16 MiB."""
CODE = """
import sys, time
from pathlib import Path
from sync.config.errors import ConfigErrors
from sync.config.load import load

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024

load(Path(sys.argv[1]))
before, begin = peak(), time.process_time()
try:
    load(Path(sys.argv[2]))
except ConfigErrors as found:
    codes = {error.code for error in found.errors}
    print(sys.argv[3] in codes, len(found.errors) <= 1001, time.process_time() - begin < 10, peak() - before)
"""


@pytest.mark.parametrize("name", FILES)
def test_hostile(tmp_path: Path, name: str) -> None:
    """A hostile file is refused within ten seconds of processor time and MAX_MIB, with a bounded number of errors and no traceback."""
    (tmp_path / "good.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "config.yaml").write_text(FILES[name], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "good.yaml"), str(tmp_path / "config.yaml"), CODES[name]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    *passed, more = done.stdout.split()
    assert passed == ["True"] * 3
    assert int(more) < MAX_MIB


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (GOOD.encode("utf-16"), "config.yaml:1:1: not UTF-8 [not-utf8]"),
        (GOOD.encode("utf-16-le"), "config.yaml:1:2: the character U+0000 is not allowed here [forbidden-character]"),
        (b"a: \xe4\nb: \xff", "config.yaml:1:4: not UTF-8 [not-utf8]"),
        (b"\xed\xa0\x80", "config.yaml:1:1: not UTF-8 [not-utf8]"),
        (b"", "config.yaml:1:1: the file is empty [empty-file]"),
    ],
)
def test_encodings(tmp_path: Path, data: bytes, expected: str) -> None:
    """Only UTF-8 is read, and the error has the location of the first invalid byte."""
    (found,) = errors(tmp_path, data)
    assert found.splitlines()[0] == expected


CANARY = "EAABsbCS1iHgBAcanaryZAZBq7Xo0f8fF1k2m3n4p5q6r7s8t9u0"
HEX = "0123456789abcdef0123456789abcdef"
REPLACEMENTS = [
    ("instance: acme", "instance: {}"),
    ("instance: acme", "{}: acme"),
    ("instance: acme", "instance: acme\n{}"),
    ("instance: acme", "instance: acme {}: x"),
    ("instance: acme", "instance: 'acme\n{}"),
    ("instance: acme", "instance: !{} acme"),
    ("instance: acme", "instance: &{} acme"),
    ("instance: acme", "instance: *{}"),
    ("instance: acme", "instance: acme\n{}: 1\n{}: 2"),
    ('"123456789012345"', "{}"),
    ("{file: app}", "{}"),
    ("{file: app}", "[{}]"),
    ("{file: app}", "{{{}}}"),
    ("{file: app}", "{{{}: x}}"),
    ("{file: app}", "{{value: {}}}"),
    ("{file: app}", "{{env: {}}}"),
    ("{file: app}", "{{file: {}, env: A}}"),
    ("{file: app}", "{{store: {}, path: a, key: b}}"),
    ("{file: app}", "{{store: vault, path: a, {}: b}}"),
    ("main:", "{}:"),
    ("{env: TOKEN}", "{{env: TOKEN}}, app: {}"),
    ("{env: TOKEN}", "{{env: TOKEN}}, {}: x"),
    ("type: vault", "type: {}"),
    ("type: vault", "type: vault, path: '{{{}}}'"),
    ("type: vault", "type: vault, path: '/{}'"),
    ("https://vault:8200", "https://u:{}@vault"),
    ("https://vault:8200", "{}"),
    ("https://vault:8200", "http://{}.evil"),
    ("method: token", "method: {}"),
    ("name: berlin", "name: {}"),
    ("name: berlin", "name: berlin, stores: [{}]"),
    ("name: berlin", "name: berlin, system_user: {}"),
    ("name: berlin", "name: berlin, payload: {{a: '{}'}}"),
    ("name: berlin", "name: berlin, checks: {{expires: {}}}"),
    ("name: berlin", "name: berlin, labels: {{{}: ''}}"),
    ("name: berlin", "name: berlin, labels: {{a: '{}\\t*'}}"),
    ("pages:", "graph: {{version: {}}}\npages:"),
    ("pages:", "log: {{level: {}}}\npages:"),
    ("pages:", "schedule: {{cron: {}}}\npages:"),
    ("pages:", "schedule: {{every: {}}}\npages:"),
    ("pages:", "schedule: {{cron: '@hourly', timezone: {}}}\npages:"),
    ("pages:", "pages_from: ['{}']\npages:"),
    ("pages:", "{}\npages:"),
]


@pytest.mark.parametrize("canary", [CANARY, HEX])
@pytest.mark.parametrize(("old", "new"), REPLACEMENTS)
def test_canary(tmp_path: Path, old: str, new: str, canary: str) -> None:
    """No error repeats a secret, wherever it was pasted."""
    found = errors(tmp_path, with_(old, new.replace("{}", canary).replace("{{", "{").replace("}}", "}")))
    shown = "\n".join(found)
    assert found or canary == HEX or old in ("main:", "name: berlin")
    assert not [start for start in range(len(canary) - 15) if canary[start : start + 16] in shown]


_TOKENS = st.sampled_from(
    [
        *"[]{}:,-?&*!|>'\"#%@`\n\t ", "\n  ", "\n    ", "- ", ": ", "---\n", "...\n", "&a ", "*a", "!!str ", "!x ", "<<: ",
        "instance", "apps", "stores", "pages", "id", "name", "type", "vault", "file", "env", "auth", "method", "token",
        "defaults", "payload", "labels", "checks", "expires", "schedule", "cron", "graph", "pages_from", "{id}", "\0",
        "010", "1_0", "1:2", "1e9", "~", "yes", "\u202e", "\ufeff", "\x85", "\u2028", "\\", "0" * 50, ".", "..",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, len(GOOD)),
    gone=st.integers(0, 60),
    put=st.lists(st.one_of(_TOKENS, st.text(max_size=3)), max_size=8).map("".join),
)
def test_fuzz(tmp_path: Path, cut: int, gone: int, put: str) -> None:
    """A valid file with anything inserted anywhere loads, or has errors with locations inside the file."""
    text = GOOD[:cut] + put + GOOD[cut + gone :]
    data = text.encode("utf-8", "surrogatepass")
    for error in errors(tmp_path, data):
        line, column = error.removeprefix("config.yaml:").split(":")[:2]
        assert 1 <= int(line) <= text.count("\n") + text.count("\x85") + text.count("\u2028") + text.count("\r") + 2
        assert int(column) >= 1


FULL = """\
version: 1
instance: acme
mode: sync
schedule: {cron: "0 * * * *", timezone: Europe/Berlin, jitter: 5m}
state: {file: state.json}
brake: {share: 10%, min_changes: 3}
graph: {base_url: "http://graph.internal", allow_http: true, timeout: 30s, budget: 50%}
apps:
  one: {id: "1", secret: {file: app}}
  two: {id: "2", secret: {env: APP}}
system_users:
  main: {app: one, token: {store: vault, path: creds/user, key: token}, renew_before: 14d}
  second: {app: two, token: {env: TOKEN}}
stores:
  vault:
    {type: vault, address: "http://vault:8200", allow_http: true, mount: kv, path: "pages/{name}", client_cert: a, client_key: b,
     auth: {method: approle, role_id: {env: R}, secret_id: {file: s}, mount: approle}}
  aws:
    {type: aws-secrets-manager, region: eu-central-1, name: "x/{name}", kms_key: alias/a, tags: {a: b}, replicas: [eu-west-1],
     auth: {role_arn: "arn:aws:iam::123456789012:role/x"}}
  disk: {type: file, directory: d}
defaults:
  {system_user: main, stores: [vault, aws], labels: {a: b}, payload: {a: "{token}"}, checks: {scopes: [email], expires: 7d}}
pages:
  - {id: "101", name: berlin}
  - {id: "102", name: paris, system_user: second, stores: [disk], labels: {a: b}, checks: {scopes: [email]}}
"""


def _paths(value: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if above:
        yield above
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _paths(inner, (*above, key))


@pytest.mark.parametrize("wrong", ["? !{", 7.5, None, [], {}, {"x": 1}, [1]], ids=str)
def test_any_value_may_be_wrong(tmp_path: Path, wrong: object) -> None:
    """Whatever value is replaced by one of another form, the file loads, or has an error in its section, or at a Page that lacks it."""
    assert errors(tmp_path, FULL) == []
    whole = yaml.safe_load(FULL)
    for path in _paths(whole):
        changed = part = copy.deepcopy(whole)
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = wrong
        found = [error.split(": ")[1] for error in errors(tmp_path, yaml.safe_dump(changed))]
        assert not found or "pages[0]" in found or any(str(path[0]) in one for one in found), (path, found)


def test_a_second_document_may_be_broken(tmp_path: Path) -> None:
    """The errors of the first document have their locations, whatever follows it."""
    assert "second-document" in errors(tmp_path, "---\n---\n[")[0]


_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(["vault", "a"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["id", "type", "env", "file", "token", "method", "a", "labels"]), inner, max_size=3
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sections=st.dictionaries(
        st.sampled_from(
            ["version", "instance", "schedule", "graph", "apps", "system_users", "stores", "defaults", "log", "pages",
             "pages_from"]
        ),
        st.one_of(_VALUES, st.dictionaries(st.sampled_from(["a", "main"]), _VALUES), st.lists(_VALUES, max_size=3)),
    )
)  # fmt: skip
def test_fuzz_values(tmp_path: Path, sections: dict[str, object]) -> None:
    """Any value under any key leads to ConfigErrors, and to no other exception."""
    import json

    text = "\n".join(f"{key}: {json.dumps(value)}" for key, value in sections.items())
    assert errors(tmp_path, text)
