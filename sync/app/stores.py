"""Build each kind of store from its part of the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from sync.app.credentials import Credentials
from sync.config.schema.settings import Settings
from sync.config.schema.stores import vault as logins
from sync.config.schema.stores.aws import AwsConfig
from sync.config.schema.stores.file import FileConfig
from sync.config.schema.stores.vault import VaultConfig
from sync.runtime.threads import Clock
from sync.stores.interface import Store

if TYPE_CHECKING:
    from sync.stores.vault.settings import Login


def build_store(name: str, settings: Settings, credentials: Credentials, clock: Clock) -> Store:
    """Build the store of this name as the settings describe it; nothing is connected yet."""
    # A store's module is imported where a store of its kind is configured: boto3 and hvac take long to load.
    match store := settings.stores[name]:
        case VaultConfig():
            return _vault(name, store, credentials, clock, store.listed_prefix(settings.instance))
        case AwsConfig():
            return _aws(name, store, credentials, clock, store.listed_prefix(settings.instance))
        case FileConfig():
            return _file(name, store, clock)
        case _:
            assert_never(store)


def _file(name: str, settings: FileConfig, clock: Clock) -> Store:
    from sync.stores.file.store import FileSettings, FileStore  # noqa: PLC0415 - see build_store

    wanted = FileSettings(str(settings.directory), settings.timeout.total_seconds())
    return FileStore(name, wanted, clock=clock)


def _vault(name: str, settings: VaultConfig, credentials: Credentials, clock: Clock, prefix: str) -> Store:
    from sync.stores.vault.settings import VaultSettings  # noqa: PLC0415 - see build_store
    from sync.stores.vault.store import VaultStore  # noqa: PLC0415 - see build_store

    wanted = VaultSettings(
        address=settings.address,
        namespace=settings.namespace,
        mount=settings.mount,
        list_prefix=prefix,
        timeout=settings.timeout.total_seconds(),
        ca_file=str(settings.ca_file) if settings.ca_file is not None else None,
        client_cert=str(settings.client_cert) if settings.client_cert is not None else None,
        client_key=str(settings.client_key) if settings.client_key is not None else None,
        proxy=credentials.optional(settings.proxy),
        trust_env=settings.trust_env,
        login=_login(settings.auth, credentials),
    )
    return VaultStore(name, wanted, clock=clock)


def _login(auth: logins.AnyAuth, credentials: Credentials) -> Login:
    from sync.stores.vault import settings as vault  # noqa: PLC0415 - see build_store

    match auth:
        case logins.TokenAuth():
            return vault.TokenLogin(credentials.source(auth.token))
        case logins.AppRoleAuth():
            role_id, secret_id = credentials.source(auth.role_id), credentials.source(auth.secret_id)
            return vault.AppRoleLogin(role_id, secret_id, mount=auth.mount, namespace=auth.namespace)
        case logins.KubernetesAuth() | logins.JwtAuth():
            jwt = credentials.source(auth.jwt)
            return vault.JwtLogin(auth.role, jwt, mount=auth.mount, namespace=auth.namespace)
        case logins.AwsIamAuth():
            return vault.AwsIamLogin(
                auth.role,
                region=auth.region,
                header_value=auth.header_value,
                profile=auth.profile,
                mount=auth.mount,
                namespace=auth.namespace,
            )
        case _:
            assert_never(auth)


def _aws(name: str, settings: AwsConfig, credentials: Credentials, clock: Clock, prefix: str) -> Store:
    from sync.stores.aws.store import AwsReplica, AwsRole, AwsSettings, AwsStore  # noqa: PLC0415 - see build_store

    auth = settings.auth
    wanted = AwsSettings(
        region=settings.region,
        kms_key=settings.kms_key,
        replicas=tuple(AwsReplica(replica.region, replica.kms_key) for replica in settings.replicas),
        tags=settings.tags,
        endpoint_url=settings.endpoint_url,
        profile=auth.profile,
        role=AwsRole(auth.role_arn, credentials.optional(auth.external_id)) if auth.role_arn is not None else None,
        timeout=settings.timeout.total_seconds(),
        ca_file=str(settings.ca_file) if settings.ca_file is not None else None,
        proxy=credentials.optional(settings.proxy),
        trust_env=settings.trust_env,
        name_prefix=prefix,
    )
    return AwsStore(name, wanted, clock=clock, workers=8)
