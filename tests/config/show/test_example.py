"""The JSON Schema and the example follow from the models."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml

from sync.config.errors import CODES
from sync.config.load import load
from sync.config.schema.described import described
from sync.config.schema.types import ConfigModel
from sync.config.show.example import example, schema
from tests.support.config_files import GOOD
from tests.support.paths import ROOT
from tools import config_speed


def validator() -> jsonschema.Draft202012Validator:
    """Return a validator for the configuration's schema."""
    jsonschema.Draft202012Validator.check_schema(schema())
    return jsonschema.Draft202012Validator(schema())


def test_example_is_current() -> None:
    """config.example.yaml is what python -m sync.config.show.example prints."""
    assert (ROOT / "config.example.yaml").read_text(encoding="utf-8") == example()


def test_example_loads() -> None:
    """config.example.yaml is a valid configuration without warnings."""
    config = load(ROOT / "config.example.yaml")
    assert [page.name for page in config.pages] == ["berlin", "paris"]
    assert config.warnings == ()


_PAIR = ("client_cert", "client_key")
"""Keys of which neither is accepted without the other."""


def test_example_uncommented(tmp_path: Path) -> None:
    """Every default and example in the comments of config.example.yaml is accepted where it stands."""
    text = example()
    known = {key.rpartition(".")[2] for key, _ in keys(schema())} - {"cron", "timezone"}
    shown = 0
    for line in text.splitlines():
        match = re.fullmatch(r" *# ([a-z_]+): (\S.*)", line)
        if match and match[1] in known:
            shown += 1
            (tmp_path / "more.yaml").write_text("[]", encoding="utf-8")
            changed = text.replace(line, line.replace("# ", "", 1), 1)
            if match[1] in _PAIR:
                changed = re.sub(f"# ({'|'.join(_PAIR)}):", r"\1:", changed)
            (tmp_path / "config.yaml").write_text(changed, encoding="utf-8")
            load(tmp_path / "config.yaml")
    assert shown > 20


def test_schema_accepts() -> None:
    """The schema accepts the example and a minimal file."""
    for text in (example(), GOOD):
        assert list(validator().iter_errors(yaml.safe_load(text))) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("instance: acme", "instanc: acme"),
        ("instance: acme", "instance: Acme"),
        ('"101010101010101"', "101010101010101"),
        ("{env: TOKEN}", "EAAB"),
        ("{env: TOKEN}", "{env: TOKEN, file: x}"),
        ("type: vault", "type: valt"),
        ("method: token", "method: cert"),
        ("name: berlin", "name: berlin, checks: {expires: 7}"),
    ],
)
def test_schema_refuses(old: str, new: str) -> None:
    """The schema refuses what an editor should underline."""
    assert list(validator().iter_errors(yaml.safe_load(GOOD.replace(old, new))))


def keys(part: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Return every key of every object in the schema."""
    for name, definition in {"": part, **part.get("$defs", {})}.items():
        for key, value in definition.get("properties", {}).items():
            yield f"{path}{name}.{key}", value


def test_a_missing_source_costs_the_descriptions_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose source cannot be read has keys without a description, and nothing fails."""
    monkeypatch.setitem(sys.modules, "made_up", ModuleType("made_up"))
    made = type("Made", (ConfigModel,), {"__module__": "made_up", "__annotations__": {"key": str}})
    assert described(made)["key"].description is None


def test_every_key_is_described() -> None:
    """Every key and every model has a description."""
    assert [key for key, value in keys(schema()) if not (value.get("description") or "$ref" in value)] == []
    assert [name for name, part in schema()["$defs"].items() if not part.get("description")] == []
    assert json.dumps(schema())


def test_schema_accepts_its_defaults() -> None:
    """The schema accepts each of its own defaults."""
    whole = schema()
    wrong = [
        key
        for key, value in keys(whole)
        if value.get("default") is not None
        and list(jsonschema.Draft202012Validator({**value, "$defs": whole["$defs"]}).iter_errors(value["default"]))
    ]
    assert wrong == []


def test_codes() -> None:
    """Codes are in lower case, and their meanings end with a full stop."""
    assert all(code == code.lower() and sentence.endswith(".") for code, sentence in CODES.items())


def test_every_code_is_covered() -> None:
    """A test of the configuration, or of reloads, covers every code of the closed list."""
    files = [*(ROOT / "tests" / "config").rglob("test_*.py"), ROOT / "tests" / "daemon" / "test_reload.py"]
    texts = "".join(path.read_text(encoding="utf-8") for path in files)
    assert [code for code in CODES if code not in texts] == []


def test_light() -> None:
    """Loading a configuration imports no client, scheduler or AWS library."""
    code = (
        "import sys, sync.config.load, sync.config.schedule, sync.config.resolve.references, sync.config.show.example\n"
        "print([name for name in ('boto3', 'hvac', 'httpx', 'apscheduler', 'rich', 'typer') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.slow
def test_speed() -> None:
    """2,000 Pages load in at most twice the time of yaml.load with CSafeLoader."""
    assert config_speed.ratio(pages=2000, rounds=5) <= 2
