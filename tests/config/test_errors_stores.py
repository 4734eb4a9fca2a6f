"""Errors in stores, payloads and labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.config_files import GOOD, errors, with_

V = '{type: vault, address: "https://vault:8200", auth: {method: token, token: {file: vault}}}'
"""Parts of the valid file."""

ROWS = [
    pytest.param(
        with_("type: vault, ", ""),
        {},
        [
            "config.yaml:7:10: stores.vault.type: type is missing [missing-key]",
            "one of vault, aws-secrets-manager, file",
        ],
        id="type-missing",
    ),
    pytest.param(
        with_("type: vault", "type: valt"),
        {},
        [
            "config.yaml:7:17: stores.vault.type: unknown type [bad-value]",
            "did you mean vault?",
        ],
        id="type-unknown",
    ),
    pytest.param(
        with_("type: vault", "type: [vault]"),
        {},
        [
            "config.yaml:7:17: stores.vault.type: a list, where text is expected [wrong-type]",
            "one of vault, aws-secrets-manager, file",
        ],
        id="type-odd",
    ),
    pytest.param(
        with_(V, "vault"),
        {},
        [
            "config.yaml:7:10: stores.vault: text, where a mapping is expected [wrong-type]",
            "see stores in config.example.yaml",
        ],
        id="store-text",
    ),
    pytest.param(
        with_("method: token, token: {file: vault}", "method: cert"),
        {},
        [
            "config.yaml:7:70: stores.vault.auth.method: unknown method [bad-value]",
            "known: approle, aws, jwt, kubernetes, token",
        ],
        id="method-unknown",
    ),
    pytest.param(
        GOOD.replace(V, "{type: aws-secrets-manager, region: eu-central-1, replicas: [us-east-1, eu-central-1]}"),
        {},
        [
            "config.yaml:7:70: stores.vault.replicas: the store's own region is in its replicas [bad-value]",
            "name other regions only",
        ],
        id="replica-at-home",
    ),
    pytest.param(
        GOOD.replace(
            V,
            "{type: aws-secrets-manager, region: eu-central-1, replicas: [us-east-1, {region: us-east-1, kms_key: alias/k}]}",
        ),
        {},
        [
            "config.yaml:7:70: stores.vault.replicas: a region occurs twice in the replicas [bad-value]",
            "name each region once",
        ],
        id="replica-twice",
    ),
    pytest.param(
        GOOD.replace(V, "{type: aws-secrets-manager, region: eu-central-1, replicas: [US]}"),
        {},
        [
            "config.yaml:7:71: stores.vault.replicas[0].region: not a region of AWS [bad-value]",
            "write it like eu-central-1",
        ],
        id="replica-odd",
    ),
    pytest.param(
        GOOD.replace(V, "{type: aws-secrets-manager, region: eu-central-1, auth: {external_id: {env: X}}}"),
        {},
        [
            "config.yaml:7:80: stores.vault.auth.external_id: external_id is set without role_arn [missing-key]",
            "add role_arn, or remove external_id",
        ],
        id="external-id-alone",
    ),
    pytest.param(
        GOOD.replace(
            V, "{type: aws-secrets-manager, region: eu-central-1, auth: {role_arn: pages, external_id: {env: X}}}"
        ),
        {},
        [
            "config.yaml:7:77: stores.vault.auth.role_arn: not in the expected format [bad-value]",
            "write it like arn:aws:iam::123456789012:role/page-token-sync",
        ],
        id="no-role",
    ),
    pytest.param(
        with_("https://vault:8200", "vault:8200"),
        {},
        [
            "config.yaml:7:33: stores.vault.address: not an http or https address [bad-address]",
            "write https://HOST or https://HOST:PORT",
        ],
        id="address",
    ),
    pytest.param(
        with_("https://vault:8200", "https://vault:8200/v1"),
        {},
        [
            "config.yaml:7:33: stores.vault.address: an address with a path [bad-address]",
            "end it after the host or the port, such as https://vault.internal:8200; the API's /v1 is added",
        ],
        id="address-path-v1",
    ),
    pytest.param(
        with_("https://vault:8200", "https://vault:8200/ui"),
        {},
        [
            "config.yaml:7:33: stores.vault.address: an address with a path [bad-address]",
            "end it after the host or the port, such as https://vault.internal:8200; the API's /v1 is added",
        ],
        id="address-path-ui",
    ),
    pytest.param(
        with_("https://vault:8200", "https://vault:8200/v1/secret/data"),
        {},
        [
            "config.yaml:7:33: stores.vault.address: an address with a path [bad-address]",
            "end it after the host or the port, such as https://vault.internal:8200; the API's /v1 is added",
        ],
        id="address-path-v1-secret-data",
    ),
    pytest.param(
        with_("type: vault, ", "type: vault, client_cert: a.pem, "),
        {},
        [
            "config.yaml:7:10: stores.vault.client_key: client_cert is set without client_key [missing-key]",
            "add client_key, or remove client_cert",
        ],
        id="certificate-alone",
    ),
    pytest.param(
        with_("type: vault, ", "type: vault, client_key: a.key, "),
        {},
        [
            "config.yaml:7:36: stores.vault.client_key: client_key is set without client_cert [missing-key]",
            "add client_cert, or remove client_key",
        ],
        id="key-alone",
    ),
    pytest.param(
        with_("https://vault:8200", "https://me:canary@vault:8200"),
        {},
        [
            "config.yaml:7:33: stores.vault.address: the address contains a user name or password [secret-in-file]",
            "remove everything up to the @",
        ],
        id="address-user",
    ),
    pytest.param(
        with_("https://vault:8200", "https://vault:8200?x=1"),
        {},
        [
            "config.yaml:7:33: stores.vault.address: an address with a query or fragment [bad-address]",
            "end it before the ? or #",
        ],
        id="address-query",
    ),
    pytest.param(
        with_("https://vault:8200", "https://vault:port"),
        {},
        [
            "config.yaml:7:33: stores.vault.address: not an address [bad-address]",
            "write https://HOST or https://HOST:PORT",
        ],
        id="address-port",
    ),
    pytest.param(
        with_("https://vault:8200", "http://vault:8200"),
        {},
        [
            "config.yaml:7:33: stores.vault.address: plain http to another machine would expose secrets to the network [plain-http]",
            "write https://, or add allow_http: true beside it if the network is trusted",
        ],
        id="plain-http",
    ),
    pytest.param(
        with_("https://vault:8200", "http://localhost.evil:8200"),
        {},
        [
            "config.yaml:7:33: stores.vault.address: plain http to another machine would expose secrets to the network [plain-http]",
            "write https://, or add allow_http: true beside it if the network is trusted",
        ],
        id="plain-http-evil",
    ),
    pytest.param(
        GOOD + 'graph: {base_url: "http://10.0.0.1"}\n',
        {},
        [
            "config.yaml:10:19: graph.base_url: plain http to another machine would expose secrets to the network [plain-http]",
            "write https://, or add allow_http: true beside it if the network is trusted",
        ],
        id="plain-http-graph",
    ),
    pytest.param(
        GOOD.replace(V, '{type: aws-secrets-manager, region: eu-central-1, endpoint_url: "http://moto:5000"}'),
        {},
        [
            "config.yaml:7:74: stores.vault.endpoint_url: plain http to another machine would expose secrets to the network [plain-http]",
            "write https://, or add allow_http: true beside it if the network is trusted",
        ],
        id="plain-http-aws",
    ),
    pytest.param(
        with_("type: vault", 'type: vault, path: "meta/../{name}"'),
        {},
        [
            "config.yaml:7:30: stores.vault.path: not a path for a secret: it has a segment . or .. [bad-path]",
            "write it like meta/pages/{name}",
        ],
        id="path-dots",
    ),
    pytest.param(
        with_("type: vault", 'type: vault, path: "/meta/{name}"'),
        {},
        [
            "config.yaml:7:30: stores.vault.path: not a path for a secret: it begins with a slash [bad-path]",
            "write it like meta/pages/{name}",
        ],
        id="path-slash",
    ),
    pytest.param(
        with_("type: vault", 'type: vault, path: "meta/{name}/"'),
        {},
        [
            "config.yaml:7:30: stores.vault.path: not a path for a secret: it ends with a slash [bad-path]",
            "write it like meta/pages/{name}",
        ],
        id="path-end",
    ),
    pytest.param(
        with_("type: vault", 'type: vault, path: "meta//{name}"'),
        {},
        [
            "config.yaml:7:30: stores.vault.path: not a path for a secret: it has an empty segment [bad-path]",
            "write it like meta/pages/{name}",
        ],
        id="path-empty",
    ),
    pytest.param(
        with_("type: vault", 'type: vault, path: "meta/{nam}"'),
        {},
        [
            "config.yaml:7:30: stores.vault.path: unknown placeholder {nam}; did you mean {name}? Known are {name} {id} {app} {app_id} {system_user} {instance} [bad-template]",
            "write {{ and }} for literal braces",
        ],
        id="path-placeholder",
    ),
    pytest.param(
        with_("type: vault", 'type: vault, path: "meta/{token}"'),
        {},
        [
            "config.yaml:7:30: stores.vault.path: unknown placeholder {token}; known are {name} {id} {app} {app_id} {system_user} {instance} [bad-template]",
            "write {{ and }} for literal braces",
        ],
        id="path-token",
    ),
    pytest.param(
        with_("type: vault", 'type: vault, path: "meta/{name"'),
        {},
        [
            "config.yaml:7:30: stores.vault.path: an unpaired '{' at character 6; write '{{' for a brace [bad-template]",
            "write {{ and }} for literal braces",
        ],
        id="path-brace",
    ),
    pytest.param(
        GOOD.replace(V, '{type: aws-secrets-manager, region: eu-central-1, name: "meta pages/{name}"}'),
        {},
        [
            "config.yaml:7:66: stores.vault.name: not a name for a secret in AWS: it contains characters other than letters, digits and / _ + = . @ - [bad-path]",
            "write it like meta/pages/{name}",
        ],
        id="aws-name",
    ),
    pytest.param(
        GOOD.replace(V, '{type: aws-secrets-manager, region: eu-central-1, tags: {"a*": b}}'),
        {},
        [
            "config.yaml:7:73: stores.vault.tags.?: not a tag in AWS: it contains characters other than letters, digits, spaces and _ . : / = + - @ [label-limit]",
            "shorten or change it",
        ],
        id="aws-tag",
    ),
    pytest.param(
        GOOD.replace(V, '{type: aws-secrets-manager, region: eu-central-1, tags: {"aws:x": b}}'),
        {},
        [
            "config.yaml:7:67: stores.vault.tags.aws:x: the name of the tag begins with a reserved prefix [label-limit]",
            "aws: is reserved by AWS, and page-token-sync: by this program",
        ],
        id="aws-tag-prefix",
    ),
    pytest.param(
        GOOD.replace(V, "{type: aws-secrets-manager}"),
        {},
        [
            "config.yaml:7:10: stores.vault.region: region is missing [missing-key]",
            "The region of the secrets.",
        ],
        id="aws-region",
    ),
    pytest.param(
        GOOD.replace(V, '{type: file, directory: d, name: ".{name}"}'),
        {},
        [
            "config.yaml:7:43: stores.vault.name: a name that begins with a dot, which is reserved for the marks of secrets [bad-path]",
            "begin the name with another character",
        ],
        id="hidden-file",
    ),
    pytest.param(
        GOOD + 'defaults: {payload: {a: "{id}"}}\n',
        {},
        [
            "config.yaml:10:21: defaults.payload: the payload has no {token}, so that no application could read the token [bad-template]",
            'write "{token}" as one of the values',
        ],
        id="payload-no-token",
    ),
    pytest.param(
        GOOD + 'defaults: {payload: {a: "{token}", b: 1}}\n',
        {},
        [
            "config.yaml:10:39: defaults.payload.b: a number without quotes, which YAML or a template can change [altered-value]",
            "put it in quotes",
        ],
        id="payload-number",
    ),
    pytest.param(
        GOOD + 'defaults: {payload: {a: "{token}", b: "{page}"}}\n',
        {},
        [
            "config.yaml:10:39: defaults.payload.b: unknown placeholder {page}; known are {name} {id} {app} {app_id} {system_user} {instance} {token} [bad-template]",
            "write {{ and }} for literal braces",
        ],
        id="payload-placeholder",
    ),
    pytest.param(
        GOOD + 'defaults: {payload: ["{token}"]}\n',
        {},
        [
            "config.yaml:10:21: defaults.payload: a list, where text or a mapping is expected [wrong-type]",
            "What applications read: a mapping of names to texts, or one text. Placeholders: those of paths, and {token}.",
        ],
        id="payload-list",
    ),
    pytest.param(
        GOOD + 'defaults: {payload: "{token}"}\n',
        {},
        [
            "config.yaml:10:21: defaults.payload: raw text cannot be stored in vault, which holds JSON objects only [raw-payload]",
            "write a mapping of names to texts",
        ],
        id="payload-raw",
    ),
    pytest.param(
        with_("name: berlin", 'name: berlin, labels: {team: ""}'),
        {},
        [
            "config.yaml:9:58: pages[0].labels.team: not possible in Vault's custom_metadata: its value is empty [label-limit]",
            "change it, or remove vault from the stores",
        ],
        id="vault-label-empty",
    ),
    pytest.param(
        with_("name: berlin", f"name: berlin, labels: {{team: {'x' * 513}}}"),
        {},
        [
            "config.yaml:9:58: pages[0].labels.team: not possible in Vault's custom_metadata: its value is longer than 512 bytes [label-limit]",
            "change it, or remove vault from the stores",
        ],
        id="vault-label-long",
    ),
    pytest.param(
        with_("name: berlin", f"name: berlin, labels: {{{'k' * 123}: x}}"),
        {},
        [
            "config.yaml:9:177: pages[0].labels.?: not possible in Vault's custom_metadata: its name is longer than 122 bytes [label-limit]",
            "change it, or remove vault from the stores",
        ],
        id="vault-label-key",
    ),
    pytest.param(
        with_("name: berlin", "name: berlin, labels: {" + ", ".join(f"k{i}: x" for i in range(55)) + "}"),
        {},
        [
            "config.yaml:9:51: pages[0].labels: more than 54 labels, which is the limit of Vault's custom_metadata [label-limit]",
            "change it, or remove vault from the stores",
        ],
        id="vault-label-many",
    ),
    pytest.param(
        GOOD + 'defaults: {labels: {team: "a\\tb"}}\n',
        {},
        [
            "config.yaml:10:27: defaults.labels.team: not possible in Vault's custom_metadata: it contains a character that cannot be printed [label-limit]",
            "change it, or remove vault from the stores",
        ],
        id="vault-label-default",
    ),
    pytest.param(
        GOOD.replace(V, "{type: aws-secrets-manager, region: eu-central-1}").replace(
            "name: berlin", 'name: berlin, labels: {team: "a*b"}'
        ),
        {},
        [
            "config.yaml:9:58: pages[0].labels.team: not possible as a tag in AWS: it contains characters other than letters, digits, spaces and _ . : / = + - @ [label-limit]",
            "change it, or remove vault from the stores",
        ],
        id="aws-label",
    ),
    pytest.param(
        GOOD.replace(V, "{type: aws-secrets-manager, region: eu-central-1}").replace(
            "name: berlin", f"name: berlin, labels: {{team: {'x' * 257}}}"
        ),
        {},
        [
            "config.yaml:9:58: pages[0].labels.team: not possible as a tag in AWS: its value is longer than 256 characters [label-limit]",
            "change it, or remove vault from the stores",
        ],
        id="aws-label-long",
    ),
    pytest.param(
        GOOD.replace(V, "{type: aws-secrets-manager, region: eu-central-1}").replace(
            "name: berlin", f"name: berlin, labels: {{{'k' * 107}: x}}"
        ),
        {},
        [
            "config.yaml:9:161: pages[0].labels.?: not possible as a tag in AWS: its name, including the prefix, is empty or longer than 128 characters [label-limit]",
            "change it, or remove vault from the stores",
        ],
        id="aws-label-key",
    ),
    pytest.param(
        GOOD.replace(V, "{type: aws-secrets-manager, region: eu-central-1, tags: {a: b}}").replace(
            "name: berlin", "name: berlin, labels: {" + ", ".join(f"k{i}: x" for i in range(40)) + "}"
        ),
        {},
        [
            "config.yaml:9:51: pages[0].labels: more than 40 labels and tags together, which is the limit of AWS [label-limit]",
            "change it, or remove vault from the stores",
        ],
        id="aws-label-many",
    ),
]


@pytest.mark.parametrize(("text", "others", "expected"), ROWS)
def test_errors(tmp_path: Path, text: str, others: dict[str, str], expected: list[str]) -> None:
    """Every value that a store would refuse is reported with its location, its cause and its remedy."""
    found = [line for error in errors(tmp_path, text, **others) for line in error.split("\n    ")]
    assert found == expected
