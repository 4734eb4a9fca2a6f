"""The Helm chart: what it renders is valid and what the Kustomize base has, and wrong values are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from tests.support.manifests import (
    CHART,
    EXAMPLE,
    KUSTOMIZE,
    VERSIONS,
    chart,
    configuration,
    container,
    kustomize,
    only,
    outside,
    wrong,
)
from tests.support.paths import ROOT
from tools import docs

LEAST: dict[str, Any] = {"config": EXAMPLE, "vaultLogin": {"enabled": True}}
EVERYTHING: dict[str, Any] = {
    **LEAST,
    "extraConfigMaps": ["pages-1", "pages-2"],
    "secretName": "meta",
    "image": {
        "repository": "registry.example.com/page-token-sync",
        "digest": f"sha256:{'0' * 64}",
        "pullPolicy": "Always",
        "pullSecrets": [{"name": "registry"}],
    },
    "listen": "[::]:9000",
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/meta"}},
    "env": [{"name": "VAULT_ROLE_ID", "valueFrom": {"secretKeyRef": {"name": "vault", "key": "role_id"}}}],
    "state": {"existingClaim": "page-token-sync"},
    "networkPolicy": {"egressPorts": [443]},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "podAnnotations": {"example.com/team": "crm"},
    "podLabels": {"team": "crm"},
}


@pytest.mark.parametrize("values", [LEAST, EVERYTHING], ids=["least", "everything"])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_api_accepts_what_is_rendered(values: dict[str, Any], version: str) -> None:
    """Each manifest has only keys and values that the oldest and the newest Kubernetes know, whatever is set."""
    core = [manifest for manifest in chart(values) if "monitoring.coreos.com" not in manifest["apiVersion"]]
    assert [found for manifest in core if (found := wrong(manifest, version))] == []


def test_helm_finds_nothing_to_improve() -> None:
    """Helm's own linter, which takes warnings for errors, has nothing but its wish for an icon."""
    report = helm_python.lint(CHART, LEAST, strict=True)
    assert report["errors"] == []
    assert [message["error"] for message in report["messages"]] == ["icon is recommended"]


def test_the_linter_sees_a_wrong_template(tmp_path: Path) -> None:
    """A chart whose template is no YAML is an error of the linter."""
    for file in CHART.rglob("*"):
        if file.is_file():
            target = tmp_path / "page-token-sync" / file.relative_to(CHART)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(file.read_text())
    (tmp_path / "page-token-sync" / "templates" / "service.yaml").write_text("kind: [Service\n")
    assert helm_python.lint(tmp_path / "page-token-sync", LEAST, strict=True)["errors"] != []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "/config"),
        ({"config": {"version": 1}}, "/config"),
        ({**LEAST, "listen": "8087"}, "/listen"),
        ({**LEAST, "listen": "0.0.0.0:0"}, "/listen"),
        ({**LEAST, "replicas": 3}, "replicas"),
        ({**LEAST, "vaultLogin": {"enable": True}}, "enable"),
        ({**LEAST, "image": {"digest": "sha256:abc"}}, "/image/digest"),
        ({**LEAST, "image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({**LEAST, "secretName": "Meta Secrets"}, "/secretName"),
        ({**LEAST, "extraConfigMaps": "pages"}, "/extraConfigMaps"),
        ({**LEAST, "networkPolicy": {"egressPorts": ["https"]}}, "/networkPolicy/egressPorts"),
        ({**LEAST, "serviceMonitor": {"interval": "30"}}, "/serviceMonitor/interval"),
        ({**LEAST, "podLabels": {"number": 1}}, "/podLabels/number"),
        ({**LEAST, "prometheusRule": {"runbookBaseUrl": "wiki"}}, "/prometheusRule/runbookBaseUrl"),
        ({**LEAST, "prometheusRule": {"runbookBaseUrl": "https://wiki#top"}}, "/prometheusRule/runbookBaseUrl"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], said: str) -> None:
    """A missing, misspelled or impossible value is refused before anything is installed, and the message names it."""
    with pytest.raises(helm_python.HelmValuesError, match=said):
        chart(values)


def test_no_value_is_without_effect() -> None:
    """Each value of the chart is in its schema, and used in a template."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    templates = "".join(file.read_text() for file in (CHART / "templates").iterdir())
    assert set(schema) - {"global"} == set(values)
    assert [name for name in values if f".Values.{name}" not in templates] == []


def test_the_chart_and_the_base_make_the_same() -> None:
    """With the example's configuration both make the same objects, apart from labels and the name of the image."""
    rendered = sorted(chart(LEAST), key=lambda one: one["kind"])
    overlay = sorted(kustomize(KUSTOMIZE / "example"), key=lambda one: one["kind"])
    assert [bare(one) for one in rendered] == [bare(one) for one in overlay]


def bare(value: Any) -> Any:
    """Return a manifest without its labels, its selectors, its namespace, and what belongs to the image."""
    if isinstance(value, dict):
        left = {"labels", "selector", "podSelector", "namespace", "image", "imagePullPolicy"}
        # The peers of the network policy are no selectors of the daemon's own pod.
        return value if "namespaceSelector" in value else {k: bare(v) for k, v in value.items() if k not in left}
    return [bare(one) for one in value] if isinstance(value, list) else value


def test_the_configuration_is_not_changed(tmp_path: Path) -> None:
    """Each character of the configuration comes through, braces and comments included, and it loads."""
    text = EXAMPLE + 'defaults: {payload: {access_token: "{token}", odd: "{{ .Values.image }}"}}  # "ä" \\n\n'
    manifests = chart({**LEAST, "config": text})
    assert only(manifests, "ConfigMap")["data"]["config.yaml"] == text
    assert [page.id for page in configuration(manifests, tmp_path).pages] == ["101010101010101", "202020202020202"]
    assert outside(manifests) == set()


def test_further_config_maps_are_mounted_beside_the_configuration() -> None:
    """The folder of the configuration has the files of each further ConfigMap."""
    (volume,) = (
        volume
        for volume in only(chart(EVERYTHING), "Deployment")["spec"]["template"]["spec"]["volumes"]
        if volume["name"] == "config"
    )
    names = [source["configMap"]["name"] for source in volume["projected"]["sources"]]
    assert names == ["page-token-sync", "pages-1", "pages-2"]


def test_two_releases_share_nothing() -> None:
    """Each object and each selector of a second release has another name, so that both can be in one namespace."""
    first, second = chart(LEAST), chart(LEAST, name="eu")
    assert {one["metadata"]["name"] for one in first} == {"page-token-sync"}
    assert {one["metadata"]["name"] for one in second} == {"eu-page-token-sync"}
    assert only(first, "Service")["spec"]["selector"] != only(second, "Service")["spec"]["selector"]
    selected = only(second, "Service")["spec"]["selector"].items()
    monitored = chart(EVERYTHING, name="eu")
    label = only(monitored, "ServiceMonitor")["spec"]["jobLabel"]
    assert only(monitored, "Service")["metadata"]["labels"][label] == "page-token-sync"
    assert selected <= only(second, "Deployment")["spec"]["template"]["metadata"]["labels"].items()


def test_the_port_follows_the_address() -> None:
    """Where another port, or IPv6, is listened on, the container's port, the probes and the Service follow."""
    manifests = chart(EVERYTHING)
    (port,) = container(manifests)["ports"]
    assert (port["name"], port["containerPort"]) == ("http", 9000)
    assert container(manifests)["env"][0]["value"] == "[::]:9000"
    assert only(manifests, "Service")["spec"]["ports"][0]["targetPort"] == "http"


def test_the_operator_gets_the_monitor_and_the_alerts() -> None:
    """The rules are those of the file for Prometheus, templates of alerts included, and both objects have the wanted labels."""
    manifests = chart(EVERYTHING)
    assert only(manifests, "PrometheusRule")["spec"] == yaml.safe_load(
        (ROOT / "deploy/prometheus/rules.yaml").read_text()
    )
    for kind in ("PrometheusRule", "ServiceMonitor"):
        assert only(manifests, kind)["metadata"]["labels"]["release"] == "prometheus"


def test_the_alerts_link_to_the_runbook_of_the_values() -> None:
    """Another address of the runbook is in each alert, with the section as before; by default it is the project's."""
    wiki = "https://wiki.example.com/page-token-sync"
    changed = chart({**LEAST, "prometheusRule": {"enabled": True, "runbookBaseUrl": wiki}})
    text = (ROOT / "deploy/prometheus/rules.yaml").read_text()
    assert docs.runbook_url() in text
    assert only(changed, "PrometheusRule")["spec"] == yaml.safe_load(text.replace(docs.runbook_url(), wiki))


def test_what_is_switched_off_is_not_there() -> None:
    """Without a network policy, a login for Vault and a monitor, none of them is rendered."""
    manifests = chart({"config": EXAMPLE, "networkPolicy": {"enabled": False}})
    assert {one["kind"] for one in manifests} == {"ConfigMap", "Deployment", "Service", "ServiceAccount"}
    assert "vault" not in str(only(manifests, "Deployment"))


def test_the_chart_s_version_is_the_program_s() -> None:
    """The chart installs the version of the program that it belongs to."""
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert f'\nversion = "{described["appVersion"]}"\n' in (ROOT / "pyproject.toml").read_text()
    assert container(chart(LEAST))["image"] == f"page-token-sync:{described['appVersion']}"
    assert container(chart(EVERYTHING))["image"].endswith(f"@sha256:{'0' * 64}")
