"""All errors of a file at once, of every kind; and mistakes that look valid."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.config.errors import ConfigErrors
from tests.support.config_files import GOOD, errors, loaded, with_

VAULT = '{type: vault, address: "https://vault:8200", auth: {method: token, token: {file: vault}}'
AWS = "{type: aws-secrets-manager, region: eu-central-1"
MANY = """\
instance: acme
schedule: {every: 15ms, cron: "* *", timezone: Europe/Berlim}
graph: {base_url: "http://graph.internal", timeout: soon, budget: 99%}
apps:
  messenger: {id: 123456789012345, secret: {file: app}}
system_users:
  main: {token: {env: TOKEN}, renew_before: 90d}
stores:
  vault: {type: vault, address: "http://vault:8200", mount: kv, path: "kv/{name}", auth: {method: token, token: abc}}
  aws: {type: aws-secrets-manager, region: eu-central, endpoint_url: "http://aws.internal", kms_key: "arn:aws:kms:x"}
  other: {type: vault, address: "https://v\u0430ult:8200", auth: {method: tokne}}
pages: []
"""
EXPECTED = [
    ("schedule", "bad-schedule"),
    ("schedule.every", "bad-duration"),
    ("schedule.cron", "bad-cron"),
    ("schedule.timezone", "bad-timezone"),
    ("graph.base_url", "plain-http"),
    ("graph.timeout", "bad-duration"),
    ("graph.budget", "bad-share"),
    ("apps.messenger.id", "altered-id"),
    ("system_users.main.renew_before", "bad-duration"),
    ("stores.vault.address", "plain-http"),
    ("stores.vault.path", "bad-path"),
    ("stores.vault.auth.token", "secret-in-file"),
    ("stores.aws.region", "bad-value"),
    ("stores.aws.endpoint_url", "plain-http"),
    ("stores.aws.kms_key", "bad-value"),
    ("stores.other.address", "bad-address"),
    ("stores.other.auth.method", "bad-value"),
    ("pages", "missing-key"),
]


def test_every_error_of_a_file_is_reported_at_once(tmp_path: Path) -> None:
    """Eighteen errors of twelve kinds are found in one pass: one does not hide another in the same section or store."""
    found = [error.split("\n")[0].split(": ") for error in errors(tmp_path, MANY)]
    assert [(parts[1], parts[-1].rpartition("[")[2].rstrip("]")) for parts in found] == EXPECTED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD + "schedule: {every: 9999ms}\n", "schedule.every: shorter than ten seconds"),
        (GOOD + "schedule: {every: 10s}\n", None),
        (GOOD.partition("pages:")[0] + "pages: []\n", "pages: pages is empty"),
        (GOOD.partition("pages:")[0] + "pages: []\npages_from: []\n", "pages: pages is empty"),
        (GOOD.partition("pages:")[0] + "pages_from: [none.yaml]\n", "pages_from: the files list no Page"),
        (
            with_("https://vault:8200", "https://b\u00fccher.example"),
            "stores.vault.address: characters that are not ASCII",
        ),
        *(
            (with_("https://vault:8200", f"https://{host}"), "stores.vault.address: no address has such a host or port")
            for host in (
                "vault..internal",
                "-vault",
                "256.1.1.1",
                "1.2.3",
                "%76ault",
                "*.internal",
                "vault:0",
                "a" * 64,
            )
        ),
        *(
            (with_("https://vault:8200", f"https://{host}"), None)
            for host in (
                "vault_1:8200",
                "Vault.Internal.",
                "10.0.0.1",
                "[::1]:8200",
                "xn--bcher-kva.example",
                "3com.com",
            )
        ),
        *(
            (with_(VAULT, AWS + f", kms_key: '{key}'"), "stores.vault.kms_key: not a KMS key")
            for key in ("alias/", "Alias/meta", "key/1234", "meta key")
        ),
        *(
            (with_(VAULT, AWS + f", kms_key: '{key}'"), "stores.vault.kms_key: not a KMS key: alias/ is missing")
            for key in ("meta", "prod-pages_2", "team/meta", "1234abcd-12ab-34cd-56ef")
        ),
        *(
            (with_(VAULT, AWS + f", kms_key: {key}"), None)
            for key in ("alias/meta", "1234abcd-12ab-34cd-56ef-1234567890ab", "mrk-1234abcd12ab34cd56ef1234567890ab")
        ),
        (
            with_(VAULT, AWS + ", auth: {role_arn: 'arn:aws:iam::12345678901:role/x'}"),
            "stores.vault.auth.role_arn: not in the expected format",
        ),
        (with_(VAULT, AWS + ", auth: {role_arn: 'arn:aws-cn:iam::123456789012:role/a/b'}"), None),
        (with_(VAULT, AWS.replace("eu-central-1", "eu-central")), "stores.vault.region: not a region of AWS"),
        (with_(VAULT, AWS.replace("eu-central-1", "eu-centrall-1")), "stores.vault.region: not a region of AWS"),
        (with_(VAULT, AWS.replace("eu-central-1", "frankfurt")), "stores.vault.region: not a region of AWS"),
        (with_(VAULT, AWS.replace("eu-central-1", "us-gov-west-1")), None),
        (with_(VAULT, AWS.replace("eu-central-1", "eusc-de-east-1")), None),
        (with_(VAULT, AWS.replace("eu-central-1", "ap-southeast-5")), None),
        (
            with_(VAULT, AWS + ", kms_key: 'arn:aws:kms:eu-central-1:1:key/a'"),
            "stores.vault.kms_key: not the ARN of a KMS key",
        ),
        (
            with_(VAULT, AWS + ", kms_key: 'arn:aws:kms:us-east-1:123456789012:key/a'"),
            "stores.vault.kms_key: a KMS key of another region",
        ),
        (with_(VAULT, AWS + ", kms_key: 'arn:aws:kms:eu-central-1:123456789012:alias/a'"), None),
        (with_(VAULT, VAULT + ", path: 'data/{name}'"), "stores.vault.path: it begins with data/"),
        (with_(VAULT, VAULT + ", path: 'metadata/{name}'"), "stores.vault.path: it begins with metadata/"),
        (with_(VAULT, VAULT + ", path: 'secret/{name}'"), "stores.vault.path: it begins with the mount"),
        (
            with_(VAULT, VAULT + ", mount: kv/meta, path: 'meta/{name}'"),
            "stores.vault.path: the mount ends with this path",
        ),
        (with_(VAULT, VAULT + ", mount: data/secret"), "stores.vault.mount: it begins with data/"),
        (with_(VAULT, VAULT + ", mount: kv/meta, path: 'data-of/{name}'"), None),
        *(
            (with_(VAULT, VAULT + f", mount: '{mount}'"), f"stores.vault.mount: {fault}")
            for mount, fault in {
                "sys": "a part of Vault's own API, sys",
                "sys/mounts": "a part of Vault's own API, sys",
                "/cubbyhole/": "a part of Vault's own API, cubbyhole",
                "identity": "a part of Vault's own API, identity",
                "auth/approle": "a part of Vault's own API, auth",
                "secret-{name}": "not the path of a mount: it contains a brace",
                "my secret": "not the path of a mount: it contains a blank",
                "kv/../sys": "not the path of a mount: it has a segment . or ..",
                "kv//meta": "not the path of a mount: it has an empty segment",
            }.items()
        ),
        *((with_(VAULT, VAULT + f", mount: {mount}"), None) for mount in ("system", "kv/sys", "/kv/meta/", "auth-kv")),
        *(
            (
                with_("method: token", f"method: kubernetes, role: r, mount: '{mount}'").replace(
                    ", token: {file: vault}", ""
                ),
                f"stores.vault.auth.mount: {fault}",
            )
            for mount, fault in {
                "auth/kubernetes": "it begins with auth/",
                "kubernetes-{name}": "not the path of a mount: it contains a brace",
            }.items()
        ),
    ],
)
def test_values_that_cannot_be_right(tmp_path: Path, text: str, expected: str | None) -> None:
    """A value that no service could accept is an error of validation, and its neighbours are accepted."""
    found = errors(tmp_path, text, none="[]\n")
    assert len(found) == (expected is not None)
    assert expected is None or expected in found[0]


@pytest.mark.parametrize(
    ("scope", "meant"),
    [
        ("pages_mesaging", "pages_messaging"),
        ("pages_messagin", "pages_messaging"),
        ("pages_manage_metdata", "pages_manage_metadata"),
        ("Pages_Messaging", "pages_messaging"),
        ("pages-show-list", "pages_show_list"),
        ("pages_messaging", None),
        ("pages_new_permission", None),
    ],
)
def test_a_mistyped_permission_is_a_warning(tmp_path: Path, scope: str, meant: str | None) -> None:
    """A scope that is a letter off a known one is warned about once, with the word that was meant; an unknown one is allowed."""
    text = GOOD + f'  - {{id: "2", checks: {{scopes: [pages_messaging, {scope}]}}}}\n'
    config = loaded(tmp_path, text + f'  - {{id: "3", checks: {{scopes: [{scope}]}}}}\n')
    known = f"pages[1].checks.scopes[1]: {scope} is not a known permission of Meta's; did you mean {meant}?"
    assert config.warnings == ((known,) if meant else ())


@pytest.mark.parametrize(
    "secret",
    [
        "6a8d9f2e-1b3c-4d5e-8f90-a1b2c3d4e5f6",
        "EAABsbCS1iHgBAZAbcdefghij",
        "hvs.CAESIJ5kq0r7Zt2xY",
        "http://user:hunter2@proxy:3128",
        "user:hunter2@proxy",
        "wJalrXUtnFEMI7K7MDENGbPxRfi",
        "0123456789abcdef0123456789abcdef",
    ],
)
@pytest.mark.parametrize("key", ["file", "env"])
def test_a_secret_in_place_of_a_name_is_never_shown(tmp_path: Path, secret: str, key: str) -> None:
    """A reference whose name looks like a secret is refused, and no message quotes it."""
    text = with_("{env: TOKEN}", f'{{{key}: "{secret}"}}')
    (found,) = errors(tmp_path, text)
    assert "system_users.main.token" in found
    assert secret not in found
    assert not any(part in found for part in secret.replace("@", ":").split(":")[-2:])


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (with_(VAULT, VAULT + ", mount: a//b"), "write it like secret or kv/meta"),
        (
            with_("method: token, token: {file: vault}", "method: kubernetes, role: r, mount: a//b"),
            "write it like approle or prod/kubernetes",
        ),
        (with_(VAULT, VAULT + ", namespace: a//b"), "write it like team-a or admin/team-a"),
        (with_(VAULT, VAULT + ", path: a//b"), "write it like meta/pages/{name}"),
        (with_("{env: TOKEN}", "{store: vault, path: a//b, key: t}"), "write it like meta/system-user"),
    ],
)
def test_the_remedy_of_a_path_is_of_its_kind(tmp_path: Path, text: str, remedy: str) -> None:
    """A mount, a namespace and the path of one secret have no placeholders, and no remedy offers one."""
    (found,) = errors(tmp_path, text)
    assert found.splitlines()[1].strip() == remedy


@pytest.mark.parametrize("rhythm", ["every: 5x", 'cron: "* *"'])
def test_jitter_is_not_compared_with_an_interval_that_nobody_wrote(tmp_path: Path, rhythm: str) -> None:
    """Where every or cron is invalid, its own error is the only one: the default interval is not taken for it."""
    (found,) = errors(tmp_path, GOOD + f"schedule: {{{rhythm}, jitter: 20m}}\n")
    assert found.split(": ")[1] == f"schedule.{rhythm.partition(':')[0]}"


def test_warnings_come_with_the_errors(tmp_path: Path) -> None:
    """A file with errors has its warnings too, and each names the Page by its index in the file."""
    text = GOOD.replace("name: berlin", "name: Berlin Mitte")
    with pytest.raises(ConfigErrors) as wrong:
        loaded(tmp_path, text + '  - {id: "2", checks: {scopes: [pages_mesaging]}}\n')
    assert [error.path for error in wrong.value.errors] == ["pages[0].name"]
    assert wrong.value.warnings == (
        "pages[1].checks.scopes[0]: pages_mesaging is not a known permission of Meta's; did you mean pages_messaging?",
    )
    assert wrong.value.file == str(tmp_path / "config.yaml")


HTTP = 'graph: {base_url: "http://graph.internal", allow_http: %s}\n'
TWO = GOOD.replace("apps:\n", 'apps:\n  second: {id: "1", secret: {file: b}}\n')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(GOOD + HTTP % "perhaps", ["graph.allow_http"], id="what allows another value"),
        pytest.param(GOOD + HTTP % "[]", ["graph.allow_http"], id="the same of another type"),
        pytest.param(TWO.replace("{token: {env: TOKEN}}", "1"), ["system_users.main"], id="the only system user"),
        pytest.param(GOOD.replace("vault}}}", "vault}}}\n  disk: {type: file, directory: d}") + "defaults: 7\n", ["defaults"], id="defaults"),
        pytest.param(GOOD.replace("berlin}", "berlin, stores: [7]}"), ["pages[0].stores[0]"], id="the only entry of a list"),
        pytest.param(GOOD.replace("berlin}", "berlin, stores: []}"), ["pages[0].stores"], id="an empty list"),
    ],
)  # fmt: skip
def test_one_error_leads_to_no_other(tmp_path: Path, text: str, expected: list[str]) -> None:
    """What is left out because it is invalid, and what stands in for it, is not called wrong, nor is what depended on it."""
    assert [found.split(": ")[1] for found in errors(tmp_path, text)] == expected
