"""Kubernetes manifests as they would be applied: rendered by the real tools, and validated by the API's own schemas."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import yaml

from sync.config.load import Config, load
from tests.support.paths import ROOT

KUSTOMIZE = ROOT / "deploy" / "kubernetes"
CHART = ROOT / "deploy" / "helm" / "page-token-sync"
EXAMPLE = (KUSTOMIZE / "example" / "config.yaml").read_text()
"""The configuration of the example, which both tools put into a ConfigMap."""

VERSIONS = ("1.25", kubernetes_validate.latest_version())
"""The oldest version that the manifests are for, and the newest whose schemas are installed."""

Manifest = dict[str, Any]


def kustomize(folder: Path) -> list[Manifest]:
    """Return what ``kubectl kustomize`` makes of a folder."""
    kubectl = Path(sys.executable).parent / "kubectl"
    done = subprocess.run(
        [str(kubectl), "kustomize", str(folder)],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # A warning of a deprecated field goes to standard error, with exit code 0.
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return list(yaml.safe_load_all(done.stdout))


def chart(values: dict[str, Any], name: str = "page-token-sync") -> list[Manifest]:
    """Return what Helm makes of the chart with some values, in the order of the templates' names."""
    with helm_python.Chart.load(CHART) as loaded:
        rendered = loaded.render(values, name=name, namespace="page-token-sync")
    texts = (text for path, text in sorted(rendered.items()) if path.endswith(".yaml"))
    return [manifest for text in texts for manifest in yaml.safe_load_all(text) if manifest]


def wrong(manifest: Manifest, version: str) -> str | None:
    """Return what the API's schema refuses in a manifest, unknown keys included; None where nothing is wrong."""
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as refused:
        return str(refused)
    return None


def only(manifests: list[Manifest], kind: str) -> Manifest:
    """Return the one manifest of a kind."""
    (found,) = (manifest for manifest in manifests if manifest["kind"] == kind)
    return found


def container(manifests: list[Manifest]) -> Manifest:
    """Return the daemon's container."""
    (found,) = only(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    return found


def configuration(manifests: list[Manifest], folder: Path) -> Config:
    """Load the configuration in the ConfigMap as the daemon would, from the folder in which it is mounted."""
    (folder / "config.yaml").write_text(only(manifests, "ConfigMap")["data"]["config.yaml"])
    return load(folder / "config.yaml")


def files(text: str) -> set[str]:
    """Return each file that a configuration reads or writes, by its absolute path."""
    return set(re.findall(r"file: (/[^\s},]+)", text))


def outside(manifests: list[Manifest]) -> set[str]:
    """Return each file of the configuration that lies in no folder which the container mounts."""
    mounted = [f"{mount['mountPath']}/" for mount in container(manifests)["volumeMounts"]]
    text = only(manifests, "ConfigMap")["data"]["config.yaml"]
    return {file for file in files(text) if not file.startswith(tuple(mounted))}
