"""What pyproject.toml, the lock, the Makefile, the image and the workflows say of one thing is the same."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
DATA = ("certifi", "tzdata")
"""The packages of data, which must not be held back."""

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("wanted", [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]])
def test_every_dependency_has_an_upper_bound(wanted: str) -> None:
    """No release that may break an interface is installed unseen, except of packages that only carry data."""
    assert wanted.startswith(DATA) is ("<" not in wanted)


def test_the_builder_is_pinned() -> None:
    """The build backend has one version, which uv's constraints repeat with what it imports."""
    (backend,) = PROJECT["build-system"]["requires"]
    constraints = PROJECT["tool"]["uv"]["build-constraint-dependencies"]
    assert backend in constraints
    assert all(re.fullmatch(r"[a-z-]+==[\d.]+", pinned) for pinned in constraints)


def test_uv_has_one_version() -> None:
    """The Makefile, the image and the lock install the same uv."""
    (makefile,) = re.findall(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (image,) = re.findall(r" uv==(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {makefile, image} == {version("uv")}


def test_the_version_is_the_newest_of_the_changelog() -> None:
    """The version in pyproject.toml is installed, and is the first release in the changelog, with its date."""
    newest = re.findall(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert PROJECT["project"]["version"] == version("page-token-sync") == newest[0][0]


def test_every_python_that_is_promised_is_tested() -> None:
    """The versions of Python in the classifiers are those that CI runs the tests on."""
    prefix = "Programming Language :: Python :: 3."
    promised = [line.removeprefix(prefix) for line in PROJECT["project"]["classifiers"] if line.startswith(prefix)]
    ci = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert ci["jobs"]["test"]["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in promised]
    assert PROJECT["project"]["requires-python"] == f">=3.{promised[0]}"


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_has_no_permission_that_a_job_does_not_name(file: Path) -> None:
    """A workflow starts with no permission, and each job names its own."""
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {}
    assert all("permissions" in job for job in workflow["jobs"].values())


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_every_action_is_pinned_by_its_commit(file: Path) -> None:
    """Each action of somebody else's is a full commit hash, with the version in a comment."""
    used = re.findall(r"uses: (.+)$", file.read_text(), re.MULTILINE)
    foreign = [action for action in used if not action.startswith("$/")]
    assert foreign
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in foreign)


def test_every_base_image_is_pinned_by_its_digest() -> None:
    """What the image is built on is named by a digest, or is a stage of the same file."""
    stages: list[str] = []
    for base, name in re.findall(r"^FROM (\S+)(?: AS (\S+))?$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        assert base in stages or re.search(r"@sha256:[0-9a-f]{64}$", base), base
        stages.append(name)
    assert stages
