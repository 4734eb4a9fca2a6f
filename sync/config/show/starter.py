"""The first configuration of an installation: what ``init`` writes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sync.config.schema.settings import Settings, SystemUserConfig
from sync.config.schema.stores.aws import AwsConfig
from sync.config.schema.stores.file import FileConfig
from sync.config.schema.stores.kinds import AnyStore
from sync.config.schema.stores.vault import VaultConfig
from sync.config.show.example import Style, rendered
from sync.core.slug import unique_slugs

Kind = Literal["vault", "aws", "file"]
KINDS: Sequence[Kind] = get_args(Kind)

APP_ID, APP_SECRET, USER_TOKEN = "META_APP_ID", "META_APP_SECRET", "META_SYSTEM_USER_TOKEN"
_VAULT = ("VAULT_", "BAO_")
_SECRETS = "/run/secrets/"
"""Where containers and the manifests of this project have their secrets."""

_MADE_UP = {"id": "123456789012345", "pages": [{"id": "101010101010101", "name": "berlin"}]}
_HEAD = """\
# The configuration of page-token-sync, written by `page-token-sync init`.
# A comment `# key: value` is the next key that you may want; `page-token-sync schema` has all of them.
# The file never contains a secret, only a reference to it:
#   {env: NAME}, {file: PATH} or {store: STORE, path: PATH, key: KEY}
"""
_NEXT: Mapping[type, Sequence[str]] = {
    Settings: ("mode", "state", "heartbeat", "notify", "pages_from"),
    SystemUserConfig: ("business", "renew_before"),
    VaultConfig: ("namespace", "mount", "ca_file"),
    AwsConfig: ("kms_key", "replicas"),
    FileConfig: ("name",),
}
"""The keys without a value that are shown as comments."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What the file is made from. ``secret`` and ``token`` are references; ``pages`` are names by id, as people call them.

    ``app_id`` None and no ``pages``: made-up ones are written, and a comment says so.
    """

    kind: Kind
    store: Mapping[str, Any]
    instance: str = "prod"
    app_id: str | None = None
    secret: Mapping[str, str] = field(default_factory=dict)
    token: Mapping[str, str] = field(default_factory=dict)
    base_url: str | None = None
    pages: Mapping[str, str] = field(default_factory=dict)


def likely_kind(environment: Mapping[str, str]) -> Kind:
    """Return the kind of store that the environment suggests."""
    if _vault(environment, "ADDR") is not None:
        return "vault"
    return "aws" if any(environment.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION")) else "file"


def draft(kind: Kind, environment: Mapping[str, str]) -> Draft:
    """Return what the environment says: references to the variables that are set, and otherwise to files of containers."""
    app_id = environment.get(APP_ID, "").strip()
    return Draft(
        kind,
        _STORES[kind](environment),
        app_id=app_id or None,
        secret=_reference(environment, APP_SECRET),
        token=_reference(environment, USER_TOKEN),
    )


def text(of: Draft) -> str:
    """Return the text of the file."""
    names = unique_slugs(of.pages, ())
    pages = [{"id": one, "name": names[one]} for one in of.pages]
    values = {
        "version": 1,
        "instance": of.instance,
        "schedule": {"every": "15m"},
        **({"graph": {"base_url": of.base_url}} if of.base_url is not None else {}),
        "apps": {"messenger": {"id": of.app_id or _MADE_UP["id"], "secret": of.secret}},
        "system_users": {"main": {"token": of.token}},
        "stores": {_name(of.kind): of.store},
        "pages": pages or _MADE_UP["pages"],
    }
    notes = {
        **({} if of.app_id else {"apps.messenger.id": "This one is made up: write your app's."}),
        **({} if pages else {"pages": "This one is made up: page-token-sync discover lists those that you can add."}),
    }
    return _HEAD + rendered(values, Style(_NEXT, notes))


def _name(kind: Kind) -> str:
    return {"vault": "vault", "aws": "aws", "file": "disk"}[kind]


def _example(kind: Kind) -> dict[str, Any]:
    (values,) = (dict(model.example[1]) for model in get_args(AnyStore) if model.example[0] == _name(kind))
    return values


def _reference(environment: Mapping[str, str], name: str) -> Mapping[str, str]:
    return {"env": name} if environment.get(name) else {"file": f"{_SECRETS}{name.lower()}"}


def _vault(environment: Mapping[str, str], name: str) -> str | None:
    """Return the variable of Vault's or OpenBao's own tools that is set."""
    return next((prefix + name for prefix in _VAULT if environment.get(prefix + name)), None)


def _vault_store(environment: Mapping[str, str]) -> Mapping[str, Any]:
    values = _example("vault")
    for key, name in (("address", "ADDR"), ("namespace", "NAMESPACE"), ("ca_file", "CACERT")):
        variable = _vault(environment, name)
        if variable is not None:
            values[key] = environment[variable]
    role, secret, token = (_vault(environment, name) for name in ("ROLE_ID", "SECRET_ID", "TOKEN"))
    if role is None and secret is None and token is not None:
        return {**values, "auth": {"method": "token", "token": {"env": token}}}
    if environment.get("KUBERNETES_SERVICE_HOST") and role is None:
        return {**values, "auth": {"method": "kubernetes", "role": "page-token-sync"}}
    role_id = {"env": role} if role else {"file": f"{_SECRETS}vault_role_id"}
    secret_id = {"env": secret} if secret else {"file": f"{_SECRETS}vault_secret_id"}
    return {**values, "auth": {"method": "approle", "role_id": role_id, "secret_id": secret_id}}


def _aws_store(environment: Mapping[str, str]) -> Mapping[str, Any]:
    values = {key: value for key, value in _example("aws").items() if key in ("type", "region", "name")}
    for key, names in (
        ("region", ("AWS_REGION", "AWS_DEFAULT_REGION")),
        ("endpoint_url", ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL")),
    ):
        found = next((environment[name] for name in names if environment.get(name)), None)
        values.update({key: found} if found is not None else {})
    return values


_STORES: Mapping[Kind, Callable[[Mapping[str, str]], Mapping[str, Any]]] = {
    "vault": _vault_store,
    "aws": _aws_store,
    "file": lambda _: _example("file"),
}
