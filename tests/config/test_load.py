"""What a valid configuration is loaded into."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from sync.config.errors import ConfigErrors
from sync.config.load import load
from sync.config.schema.stores.aws import AwsConfig
from sync.config.schema.stores.file import FileConfig
from sync.config.schema.stores.vault import KubernetesAuth, VaultConfig
from sync.core.model import NEVER, Checks, Key
from sync.core.secret import Secret
from tests.support.config_files import GOOD, errors, loaded, with_

VAULT = '{type: vault, address: "https://vault:8200", auth: {method: token, token: {file: vault}}}'
AWS = "{type: aws-secrets-manager, region: eu-central-1}"


def test_minimal(tmp_path: Path) -> None:
    """A file of nine lines is enough, and has every default."""
    config = loaded(tmp_path, GOOD)
    (page,) = config.pages
    settings = config.settings
    vault = settings.stores["vault"]
    assert (page.id, page.name, page.system_user, page.app, page.app_id) == (
        "101010101010101", "berlin", "main", "messenger", "123456789012345",
    )  # fmt: skip
    assert page.targets == (Key("vault", "meta/pages/berlin"),)
    assert page.checks == Checks(scopes=("pages_messaging",), expires=timedelta(days=7))
    assert page.payload.render(Secret("T")).reveal() == {
        "access_token": "T", "page_id": "101010101010101", "app_id": "123456789012345",
    }  # fmt: skip
    assert isinstance(vault, VaultConfig)
    assert (vault.mount, vault.namespace, vault.timeout, vault.trust_env) == (
        "secret", None, timedelta(seconds=30), False,
    )  # fmt: skip
    graph = settings.graph
    assert (graph.version, graph.base_url, graph.timeout, graph.token_in_url) == (
        "v25.0", "https://graph.facebook.com", timedelta(seconds=60), "never",
    )  # fmt: skip
    schedule = settings.schedule
    assert (schedule.every, schedule.cron, schedule.jitter) == (timedelta(minutes=15), None, timedelta(0))
    assert settings.system_users["main"].app == "messenger"
    assert (config.base, config.files, config.warnings) == (tmp_path, (tmp_path / "config.yaml",), ())


def test_defaults_and_pages(tmp_path: Path) -> None:
    """A Page overrides the defaults: checks and labels key by key, stores and payload as a whole."""
    text = GOOD.replace("  vault:", f"  aws: {AWS}\n  vault:").replace(
        "name: berlin",
        'name: berlin, stores: [aws], checks: {expires: never}, labels: {team: crm}, payload: "{token}"',
    )
    config = loaded(
        tmp_path,
        text + "defaults: {stores: [vault], checks: {scopes: [a, b], expires: 1d}, labels: {team: all, eu: 'no'}}\n",
    )
    (page,) = config.pages
    assert page.targets == (Key("aws", "meta/pages/berlin"),)
    assert page.checks == Checks(scopes=("a", "b"), expires=NEVER)
    assert page.labels == {"team": "crm", "eu": "no"}
    assert page.payload.raw


def test_templates(tmp_path: Path) -> None:
    """Paths may have every placeholder, and doubled braces are literal braces."""
    path = "{{{instance}}}/{app}/{app_id}/{system_user}/{id}-{name}"
    config = loaded(tmp_path, with_("type: vault", f'type: vault, path: "{path}"'))
    assert config.pages[0].targets[0].path == "{acme}/messenger/123456789012345/main/101010101010101-berlin"


def test_further_files(tmp_path: Path) -> None:
    """Files of pages_from are read in order, each once, and never the main file."""
    config = loaded(
        tmp_path,
        GOOD + 'pages_from: ["*.yaml"]\n',
        b='- {id: "3"}\n',
        a='- {id: "2", labels: {team: crm}, stores: [vault], system_user: main}\n',
    )
    assert [page.name for page in config.pages] == ["berlin", "2", "3"]
    assert [file.name for file in config.files] == ["config.yaml", "a.yaml", "b.yaml"]


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths are relative to the configuration's folder, not to the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner").mkdir()
    text = GOOD.replace(VAULT, "{type: file, directory: ./secrets}") + "graph: {ca_file: ca.pem}\n"
    (tmp_path / "inner" / "config.yaml").write_text(text, encoding="utf-8")
    config = load(Path("inner/config.yaml"))
    store = config.settings.stores["vault"]
    assert isinstance(store, FileConfig)
    assert store.directory == tmp_path / "inner" / "secrets"
    assert config.settings.graph.ca_file == tmp_path / "inner" / "ca.pem"
    assert config.base == tmp_path / "inner"


def test_logins(tmp_path: Path) -> None:
    """A Kubernetes login reads the token that Kubernetes mounts, and its namespace may be the root."""
    text = with_("method: token, token: {file: vault}", 'method: kubernetes, role: r, namespace: ""')
    vault = loaded(tmp_path, text).settings.stores["vault"]
    assert isinstance(vault, VaultConfig)
    assert isinstance(vault.auth, KubernetesAuth)
    assert str(vault.auth.jwt) == "{file: /var/run/secrets/kubernetes.io/serviceaccount/token}"
    assert (vault.auth.mount, vault.auth.namespace) == ("kubernetes", "")


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1:1", "127.9.9.9", "[::1]:1", "LOCALHOST"])
def test_plain_http_to_this_machine(tmp_path: Path, host: str) -> None:
    """Plain http to loopback is allowed without a warning."""
    assert loaded(tmp_path, with_("https://vault:8200", f"http://{host}")).warnings == ()


@pytest.mark.parametrize("host", ["localhost.evil", "127.0.0.1.evil", "0.0.0.0", "[::2]", "127.1", "evil#@localhost"])
def test_plain_http_elsewhere(tmp_path: Path, host: str) -> None:
    """Plain http to a host that only looks like loopback is refused."""
    (found,) = errors(tmp_path, with_("https://vault:8200", f"http://{host}"))
    assert "[plain-http]" in found or "[bad-address]" in found or "[secret-in-file]" in found


def test_warnings(tmp_path: Path) -> None:
    """Allowed risks are warnings: plain http, and names that end like an ARN."""
    text = GOOD.replace(VAULT, AWS.replace("}", ', allow_http: true, endpoint_url: "http://moto:5000"}'))
    config = loaded(tmp_path, text.replace("berlin", "shop-berlin"))
    assert isinstance(config.settings.stores["vault"], AwsConfig)
    assert config.warnings == (
        "stores.vault.endpoint_url: secrets are sent over plain http, as allow_http allows",
        (
            "stores.vault: 1 names end in a hyphen and six characters, like the suffix that AWS adds to an ARN "
            "(meta/pages/shop-berlin): use the full ARN in policies"
        ),
    )


def test_one_page_for_two_users(tmp_path: Path) -> None:
    """One Page may be listed for two system users under two names."""
    text = GOOD.replace("  main: {", "  other: {token: {env: OTHER}}\n  main: {").replace(
        "name: berlin", "name: berlin, system_user: main"
    )
    config = loaded(tmp_path, text + '  - {id: "101010101010101", name: other, system_user: other}\n')
    assert [(page.name, page.system_user) for page in config.pages] == [("berlin", "main"), ("other", "other")]


def test_byte_order_mark(tmp_path: Path) -> None:
    """A byte order mark before the text is ignored."""
    assert loaded(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()).pages


def test_all_files_at_once(tmp_path: Path) -> None:
    """The errors of all files are reported at once, those of the main file first, by line."""
    found = errors(
        tmp_path,
        with_("instance: acme", "instance: Acme") + "pages_from: [more.yaml, nothing]\nmoed: sync\n",
        more='- {id: 1}\n- {id: "2", nme: x}\n',
    )
    assert [error.split(" ")[0] for error in found] == [
        "config.yaml:1:11:", "config.yaml:10:25:", "config.yaml:11:1:", "more.yaml:1:8:", "more.yaml:2:13:",
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["missing.yaml", ".", "missing/config.yaml"])
def test_unreadable(tmp_path: Path, path: str) -> None:
    """A file that cannot be read is an error like any other."""
    with pytest.raises(ConfigErrors) as found:
        load(tmp_path / path)
    assert [error.code for error in found.value.errors] == ["unreadable-file"]


@pytest.mark.parametrize(("jitter", "warned"), [("4m", False), ("5m", True)])
def test_long_jitter_with_cron_is_a_warning(jitter: str, warned: bool, tmp_path: Path) -> None:
    """A jitter that is not shorter than the time to the next run is a warning, not an error, since the intervals of cron differ."""
    config = loaded(tmp_path, GOOD + f'schedule: {{cron: "*/5 * * * *", jitter: {jitter}}}\n')
    assert [text.split(":")[0] for text in config.warnings] == (["schedule.jitter"] if warned else [])
