"""Every example in the documentation is right: configurations load, JSON is JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sync.config.errors import ConfigErrors
from sync.config.load import Config, load
from sync.config.schema.settings import Settings
from tests.support.markdown import PAGES, Block, blocks, name
from tests.support.paths import ROOT

LEAST: dict[str, Any] = {
    "instance": "example",
    "apps": {"messenger": {"id": "123456789012345", "secret": {"env": "META_APP_SECRET"}}},
    "system_users": {"main": {"token": {"env": "META_SYSTEM_USER_TOKEN"}}},
    "stores": {"disk": {"type": "file", "directory": "secrets"}},
    "pages": [{"id": "101010101010101", "name": "berlin"}],
}
"""What a part of a configuration is put into, so that it can be read."""


def _all(language: str) -> list[Any]:
    return [
        pytest.param(block, id=f"{name(page)}:{block.line}")
        for page in PAGES
        for block in blocks(page)
        if block.language == language
    ]


def _load(text: str, folder: Path) -> Config:
    file = folder / "config.yaml"
    file.write_text(text)
    try:
        return load(file)
    except ConfigErrors as wrong:
        pytest.fail(str(wrong))


@pytest.mark.parametrize("block", _all("yaml"))
def test_configurations_load(block: Block, tmp_path: Path) -> None:
    """A whole configuration loads without a warning, a part of one does within a whole one, and other YAML is YAML."""
    value = yaml.safe_load(block.text)
    if not set(value) <= set(Settings.model_fields):
        assert set(value) & {"apiVersion", "jobs", "services", "scrape_configs"}, (
            "neither a configuration nor anything known"
        )
    elif "instance" in value:
        assert _load(block.text, tmp_path).warnings == ()
    else:
        _load(json.dumps({**LEAST, **value}), tmp_path)


@pytest.mark.parametrize("block", _all("json"))
def test_json_is_json(block: Block) -> None:
    """Each example of JSON can be read."""
    json.loads(block.text)


def test_the_readme_is_short() -> None:
    """The README stays within 120 lines, and its configuration within ten."""
    readme = ROOT / "README.md"
    assert len(readme.read_text().splitlines()) <= 120
    whole = next(block for block in blocks(readme) if block.language == "yaml")
    assert len(whole.text.splitlines()) <= 10


def test_the_readme_s_configuration_works_with_its_line_for_aws(tmp_path: Path) -> None:
    """The README's configuration loads with the line for AWS instead of that for Vault."""
    whole, aws = (block.text for block in blocks(ROOT / "README.md") if block.language == "yaml")
    config = _load(yaml.safe_dump({**yaml.safe_load(whole), **yaml.safe_load(aws)}), tmp_path)
    assert [page.name for page in config.pages] == ["berlin", "paris"]
    assert {key.store for page in config.pages for key in page.targets} == {"aws"}


def test_the_compose_project_s_configuration_loads() -> None:
    """The configuration of the compose project loads, and warns of plain http alone."""
    config = load(ROOT / "deploy" / "compose" / "config" / "config.yaml")
    assert config.warnings
    assert all("plain http" in warning for warning in config.warnings)
