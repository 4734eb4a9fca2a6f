"""What doctor says of its own process and surroundings."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from sync.core.report.finding import Finding
from sync.core.secret import CredentialError, Secret
from sync.doctor.machine import process_facts
from sync.doctor.process import FileFacts, ProcessFacts, StateFacts, process_findings
from tests.support.config_files import GOOD as GOOD_FILE
from tests.support.config_files import loaded, with_

OPEN = "0.0.0.0:8087"
GOOD = ProcessFacts(
    user=1000,
    platform="",
    listen="127.0.0.1:8087",
    files=(FileFacts("/c/config.yaml", "configuration", 0o644), FileFacts("/c/token", "credential", 0o600)),
    services={"graph": False, "stores.vault": False},
    state=StateFacts("/var/lib/state.json"),
    credentials=1,
)


def findings(facts: ProcessFacts, *, unreached: bool = False) -> dict[str, Finding]:
    """Return the findings by id; each occurs once."""
    found = list(process_findings(facts, unreached=unreached))
    assert len({one.id for one in found}) == len(found)
    return {one.id: one for one in found}


def test_nothing_is_wrong() -> None:
    """Each check of a process that is set up well is ok, and has nothing to do."""
    found = findings(GOOD)
    assert {(one.status, one.owner, one.remedy) for one in found.values()} == {("ok", "", "")}
    assert list(found) == [
        "process-configuration",
        "process-user",
        "process-files",
        "process-mounts",
        "process-environment",
        "process-listen",
        "process-state",
        "process-credentials",
    ]


def file(path: str, use: str, mode: int, *, mounted: bool = False) -> ProcessFacts:
    """Return the good facts with one file."""
    return replace(GOOD, files=(FileFacts(path, use, mode, mounted),))  # type: ignore[arg-type]


CASES = [
    (replace(GOOD, warnings=("Plain http.",)), "process-configuration", "warn", "leave it so"),
    (replace(GOOD, state=StateFacts("/s", "", "It is not used.")), "process-state", "warn", "another instance's"),
    (replace(GOOD, user=0), "process-user", "warn", "65532"),
    (file("/c/token", "credential", 0o644), "process-files", "warn", "chmod o-r /c/token"),
    (file("/c/config.yaml", "configuration", 0o646), "process-files", "warn", "chmod o-w /c/config.yaml"),
    (file("/c/ca.pem", "certificate", 0o644), "process-files", "ok", ""),
    (replace(file("/c/token", "credential", 0o644), platform="kubernetes", listen=OPEN), "process-files", "ok", ""),
    (file("/c/config.yaml", "configuration", 0o644, mounted=True), "process-mounts", "warn", "Mount its folder"),
    (
        replace(file("/c/config.yaml", "configuration", 0o644, mounted=True), platform="kubernetes", listen=OPEN),
        "process-mounts",
        "warn",
        "without subPath",
    ),
    (replace(GOOD, platform="container"), "process-listen", "warn", "PAGE_TOKEN_SYNC_LISTEN=0.0.0.0:8087"),
    (replace(GOOD, platform="container", listen="[::1]:8087"), "process-listen", "warn", "0.0.0.0"),
    (replace(GOOD, platform="container", listen="localhost:8087"), "process-listen", "warn", "0.0.0.0"),
    (replace(GOOD, platform="container", listen=OPEN), "process-listen", "ok", ""),
    (replace(GOOD, state=StateFacts("/s", "/: Permission denied")), "process-state", "fail", "mount a volume"),
    (replace(GOOD, unreadable={"web.token": "{file: x}: no such file"}), "process-credentials", "fail", "web.token"),
]


@pytest.mark.parametrize(("facts", "check", "status", "remedy"), CASES)
def test_each_surrounding_is_judged(facts: ProcessFacts, check: str, status: str, remedy: str) -> None:
    """What is wrong is named by one check, for the operator, with what to do; the other checks are ok."""
    found = findings(facts)
    assert found[check].status == status
    assert remedy in found[check].remedy
    assert found[check].owner == ("" if status == "ok" else "operator")
    assert {one.status for one in found.values() if one.id != check} == {"ok"}


@pytest.mark.parametrize(
    ("variables", "trusted", "unreached", "status", "text"),
    [
        ({"HTTPS_PROXY"}, False, False, "ok", "ignored by graph, stores.vault"),
        ({"HTTPS_PROXY"}, False, True, "warn", "ignored by graph, stores.vault"),
        ({"SSL_CERT_FILE", "HTTPS_PROXY"}, False, True, "warn", "HTTPS_PROXY and SSL_CERT_FILE are set"),
        ({"HTTPS_PROXY"}, True, True, "ok", ""),
        ({"AWS_ENDPOINT_URL"}, True, False, "warn", "another service may get the tokens"),
        ({"AWS_ENDPOINT_URL"}, False, True, "warn", "the configuration names the service"),
        ({"VAULT_ADDR"}, False, False, "ok", "VAULT_ADDR is set, and ignored"),
        ({"VAULT_ADDR"}, False, True, "warn", "VAULT_ADDR is set, and ignored"),
    ],
)
def test_variables_count_where_they_could_be_why(
    variables: set[str], trusted: bool, unreached: bool, status: str, text: str
) -> None:
    """A variable that is ignored is a warning only where a service is not reached; one that leads elsewhere always is."""
    facts = replace(GOOD, variables=frozenset(variables), services=dict.fromkeys(GOOD.services, trusted))
    found = findings(facts, unreached=unreached)["process-environment"]
    assert found.status == status
    assert text in found.message


def test_what_there_is_to_judge_is_found(tmp_path: Path) -> None:
    """Files, mounts, the platform, variables, the state file and unreadable credentials are read from the machine."""
    root = tmp_path / "root"
    (root / "proc/self").mkdir(parents=True)
    (root / "run").mkdir()
    (root / "run/.containerenv").touch()
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "app").write_text("secret")
    (folder / "app").chmod(0o640)
    point = os.path.realpath(folder / "app").replace(" ", "\\040")
    (root / "proc/self/mountinfo").write_text(
        f"22 1 0:21 / / rw - ext4 /dev/x rw\n23 22 0:21 /s {point} ro - ext4 /dev/x rw\nx\n"
    )
    text = with_("pages:", "web: {token: {file: web}}\nstate: {file: gone/deep/state.json}\npages:")
    environment = {
        "HTTPS_PROXY": "http://p",
        "VAULT_ADDR": "x",
        "AWS_ENDPOINT_URL": "x",
        "TOKEN": "x",
        "https_proxy": "y",
    }
    facts = process_facts(
        loaded(folder, text), lambda _: CredentialError("no such file"), environment=environment, root=root
    )
    assert (facts.user, facts.platform, facts.listen) == (os.geteuid(), "container", "127.0.0.1:8087")
    assert facts.files == (
        FileFacts(f"{folder}/config.yaml", "configuration", (folder / "config.yaml").stat().st_mode & 0o777),
        FileFacts(f"{folder}/app", "credential", 0o640, mounted=True),
        FileFacts(f"{folder}/vault", "credential", None),
        FileFacts(f"{folder}/web", "credential", None),
    )
    assert facts.services == {"graph": False, "stores.vault": False}
    assert facts.variables == {"HTTPS_PROXY", "VAULT_ADDR"}
    assert facts.state == StateFacts(f"{folder}/gone/deep/state.json")
    assert (facts.credentials, facts.unreadable) == (1, {"web.token": "no such file"})


@pytest.mark.parametrize(("name", "platform"), [("KUBERNETES_SERVICE_HOST", "kubernetes"), ("container", "container")])
def test_the_platform_is_known_by_its_variables(tmp_path: Path, name: str, platform: str) -> None:
    """Kubernetes and container engines without a marker file set variables; without either there is no platform."""
    for environment, expected in (({name: "x"}, platform), ({}, "")):
        facts = process_facts(loaded(tmp_path, GOOD_FILE), Secret, environment=environment, root=tmp_path)  # type: ignore[arg-type]
        assert facts.platform == expected


def test_a_state_file_in_a_folder_without_rights_cannot_be_written(tmp_path: Path) -> None:
    """The nearest folder that exists decides, and nothing is written to find out."""
    text = GOOD_FILE.replace("pages:", "state: {file: /proc/1/gone/state.json}\npages:")
    facts = process_facts(loaded(tmp_path, text), lambda _: Secret("x"), environment={}, root=tmp_path)
    assert facts.state is not None
    assert facts.state.problem.startswith("/proc/1")
