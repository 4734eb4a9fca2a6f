"""The Kustomize base, its components and its example: valid, confined, and with a configuration that loads."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sync.config.load import load
from tests.support.manifests import (
    KUSTOMIZE,
    VERSIONS,
    Manifest,
    configuration,
    container,
    kustomize,
    only,
    outside,
    wrong,
)
from tests.support.markdown import blocks
from tests.support.paths import ROOT

CORE = ("ServiceAccount", "ConfigMap", "Service", "Deployment", "NetworkPolicy")
PAGE = ROOT / "docs" / "how-to" / "kubernetes.md"
NAME = {"app.kubernetes.io/name": "page-token-sync"}


@pytest.fixture(scope="module")
def example() -> list[Manifest]:
    """Return the manifests of the example."""
    return kustomize(KUSTOMIZE / "example")


@pytest.fixture(scope="module")
def pod(example: list[Manifest]) -> Any:
    """Return the specification of the daemon's pod."""
    return only(example, "Deployment")["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_api_accepts_every_manifest(example: list[Manifest], version: str) -> None:
    """Each manifest has only keys and values that the oldest and the newest Kubernetes know."""
    assert [manifest["kind"] for manifest in example] == list(CORE)
    assert [found for manifest in example if (found := wrong(manifest, version))] == []


@pytest.mark.parametrize(
    "mutate",
    [
        lambda one: container(one).update(readOnlyRootFilesystem=True),
        lambda one: container(one)["livenessProbe"]["httpGet"].pop("port"),
        lambda one: only(one, "Deployment")["spec"].update(replicas="one"),
        lambda one: only(one, "NetworkPolicy")["spec"].update(policyType=["Ingress"]),
        lambda one: only(one, "Service")["spec"]["ports"][0].update(targetport="http"),
    ],
)
def test_a_wrong_key_is_refused(example: list[Manifest], mutate: Callable[[list[Manifest]], object]) -> None:
    """A misplaced, missing, misspelled or mistyped key of a manifest does not pass the validation."""
    changed = copy.deepcopy(example)
    mutate(changed)
    assert [manifest["kind"] for manifest in changed if wrong(manifest, VERSIONS[-1])] != []


def test_the_configuration_loads_and_reads_only_what_is_mounted(example: list[Manifest], tmp_path: Path) -> None:
    """The ConfigMap's text is a valid configuration, and each of its files lies in a folder of the container."""
    config = configuration(example, tmp_path)
    assert [page.name for page in config.pages] == ["berlin", "paris"]
    assert config.warnings == ()
    assert outside(example) == set()


def test_without_the_login_s_component_a_file_is_missing(tmp_path: Path) -> None:
    """The check of mounted files finds that the Vault login's token is not there without its component."""
    overlay = yaml.safe_load((KUSTOMIZE / "example" / "kustomization.yaml").read_text())
    del overlay["components"]
    assert outside(kustomize(copied(tmp_path, overlay))) == {"/run/secrets/vault/token"}


def test_the_configuration_is_a_folder_that_changes(example: list[Manifest], pod: Any) -> None:
    """No file is mounted by itself, which would never change, and the ConfigMap keeps its name when its text changes."""
    mounts = container(example)["volumeMounts"]
    assert not any("subPath" in mount or "subPathExpr" in mount for mount in mounts)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in mounts} == set(volumes)
    assert only(example, "ConfigMap")["metadata"]["name"] == volumes["config"]["configMap"]["name"] == "page-token-sync"
    # Without the key `items` a missing key of the Secret does not keep the pod from starting.
    assert volumes["secrets"]["secret"] == {"secretName": "page-token-sync"}


def test_the_pod_is_confined(example: list[Manifest], pod: Any) -> None:
    """The pod meets the restricted profile of the pod security standards, with a read-only root and no API token."""
    security = container(example)["securityContext"]
    assert security == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    # No uid, so that a platform which assigns one to each namespace can do so.
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert pod["automountServiceAccountToken"] is False
    assert only(example, "ServiceAccount")["automountServiceAccountToken"] is False
    writable = [mount["name"] for mount in container(example)["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["state"]


def test_two_daemons_never_run_at_once(example: list[Manifest]) -> None:
    """There is one replica, which ends before its successor starts."""
    spec = only(example, "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_the_probes_ask_the_endpoints_of_the_daemon(example: list[Manifest]) -> None:
    """Liveness and readiness ask the two endpoints at the port on which the daemon is made to listen."""
    probed = {kind: container(example)[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert probed == {
        "startup": {"path": "/healthz", "port": "http"},
        "liveness": {"path": "/healthz", "port": "http"},
        "readiness": {"path": "/readyz", "port": "http"},
    }
    (port,), (listen,) = container(example)["ports"], container(example)["env"]
    assert listen == {"name": "PAGE_TOKEN_SYNC_LISTEN", "value": f"0.0.0.0:{port['containerPort']}"}
    assert port["name"] == only(example, "Service")["spec"]["ports"][0]["targetPort"] == "http"


def test_every_selector_selects_the_daemon_alone(example: list[Manifest]) -> None:
    """The Deployment, the Service and the NetworkPolicy select the daemon's pod, and not each pod of its namespace."""
    labels = only(example, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert labels == only(example, "Service")["spec"]["selector"] == NAME
    assert only(example, "NetworkPolicy")["spec"]["podSelector"] == {"matchLabels": NAME}
    assert only(example, "Deployment")["spec"]["selector"] == {"matchLabels": NAME}


def test_nobody_reaches_the_daemon_unasked(example: list[Manifest]) -> None:
    """Only Prometheus' namespace and pods with the label of a client may connect, and the daemon connects to three ports."""
    spec = only(example, "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    (ingress,) = spec["ingress"]
    assert ingress["ports"] == [{"port": "http"}]
    assert all(peer.get("podSelector") or peer["namespaceSelector"] for peer in ingress["from"])
    assert {port["port"] for rule in spec["egress"] for port in rule["ports"]} == {53, 443, 8200}


def test_the_login_s_token_is_for_vault_alone(pod: Any) -> None:
    """The token for the Vault login has an audience of its own, so that the Kubernetes API refuses it, and expires."""
    (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "vault-login")
    (source,) = volume["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == "vault"
    assert source["serviceAccountToken"]["expirationSeconds"] <= 3600


def test_the_service_monitor_scrapes_the_service(tmp_path: Path) -> None:
    """With its component the Prometheus operator scrapes the Service's port, at the path of the metrics."""
    overlay = yaml.safe_load((KUSTOMIZE / "example" / "kustomization.yaml").read_text())
    overlay["components"] = ["../components/service-monitor"]
    manifests = kustomize(copied(tmp_path, overlay))
    monitor, service = only(manifests, "ServiceMonitor"), only(manifests, "Service")
    assert monitor["metadata"]["namespace"] == service["metadata"]["namespace"] == "page-token-sync"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "page-token-sync"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == (service["spec"]["ports"][0]["name"], "/metrics")


def test_the_alerts_are_those_of_prometheus(tmp_path: Path) -> None:
    """With its component the Prometheus operator has the same rules as a Prometheus that reads the file."""
    overlay = yaml.safe_load((KUSTOMIZE / "example" / "kustomization.yaml").read_text())
    overlay["components"] = ["../components/prometheus-rule"]
    rule = only(kustomize(copied(tmp_path, overlay)), "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text())


def test_the_overlays_of_the_how_to_work(tmp_path: Path) -> None:
    """The label that kube-prometheus-stack wants is on both its objects; Pages in a ConfigMap of their own are mounted and load."""
    texts = [block.text for block in blocks(PAGE) if "kind: Kustomization" in block.text]
    labelled, split = (yaml.safe_load(text) for text in texts)
    overlay = yaml.safe_load((KUSTOMIZE / "example" / "kustomization.yaml").read_text())
    overlay["components"] += ["../components/service-monitor", "../components/prometheus-rule"]
    manifests = kustomize(copied(tmp_path, {**overlay, **labelled}))
    for kind in ("ServiceMonitor", "PrometheusRule"):
        assert only(manifests, kind)["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    assert only(manifests, "Deployment")["spec"]["selector"] == {"matchLabels": NAME}

    config = (KUSTOMIZE / "example" / "config.yaml").read_text() + 'pages_from: ["pages-*.yaml"]\n'
    (tmp_path / "overlay" / "config.yaml").write_text(config)
    (tmp_path / "overlay" / "pages-1.yaml").write_text('- {id: "303030303030303", name: rome}\n')
    (tmp_path / "overlay" / "kustomization.yaml").write_text(yaml.safe_dump({**overlay, **split}))
    manifests = kustomize(tmp_path / "overlay")
    assert wrong(only(manifests, "Deployment"), VERSIONS[-1]) is None
    volumes = only(manifests, "Deployment")["spec"]["template"]["spec"]["volumes"]
    (volume,) = (volume for volume in volumes if volume["name"] == "config")
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    maps = {one["metadata"]["name"]: one["data"] for one in manifests if one["kind"] == "ConfigMap"}
    for source in volume["projected"]["sources"]:
        for name, text in maps[source["configMap"]["name"]].items():
            (mounted / name).write_text(text)
    assert [page.name for page in load(mounted / "config.yaml").pages] == ["berlin", "paris", "rome"]


def test_the_check_call_is_off_until_its_line_is_used(example: list[Manifest], tmp_path: Path) -> None:
    """The configuration has no token for check calls; with its line out of the comment it is a key of the Secret."""
    assert configuration(example, tmp_path).settings.web.token is None
    text = only(example, "ConfigMap")["data"]["config.yaml"].replace("# web:", "web:")
    (tmp_path / "config.yaml").write_text(text)
    assert str(load(tmp_path / "config.yaml").settings.web.token) == "{file: /run/secrets/page-token-sync/web_token}"
    selector = only(example, "NetworkPolicy")["spec"]["ingress"][0]["from"][1]["podSelector"]["matchLabels"]
    ((key, value),) = selector.items()
    assert f'`{key}: "{value}"`' in PAGE.read_text()
    port = only(example, "Service")["spec"]["ports"][0]["port"]
    assert f"`http://page-token-sync.page-token-sync.svc:{port}`" in PAGE.read_text()


def copied(folder: Path, overlay: dict[str, Any]) -> Path:
    """Write an overlay beside links to the base and the components, and return its folder."""
    (folder / "overlay").mkdir()
    for name in ("base", "components"):
        (folder / name).symlink_to(KUSTOMIZE / name)
    (folder / "overlay" / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    (folder / "overlay" / "config.yaml").write_text((KUSTOMIZE / "example" / "config.yaml").read_text())
    return folder / "overlay"
