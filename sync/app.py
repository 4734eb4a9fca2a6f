"""From a configuration to what runs it: the one module that names concrete stores and clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self, assert_never

from sync.config import refs, schedule, stores
from sync.config.load import Config
from sync.config.stores import AnyStore
from sync.config.values import Reference
from sync.core.model import Key, Stored, StoreError
from sync.core.payload import fixed_part
from sync.core.report import Report
from sync.core.secret import CredentialError, Secret, SecretSource
from sync.cycle import Task, run
from sync.graph.client import GraphSettings
from sync.graph.interface import AppCredentials, SystemUserCredentials
from sync.graph.source import GraphSource
from sync.http import Http
from sync.memory import uncollected
from sync.stores.interface import Store
from sync.threads import SystemClock

if TYPE_CHECKING:
    from sync.stores.vault_settings import Login


class App:
    """A configuration that can run cycles. Stores keep their logins and connections between cycles; Graph's do not.

    Every credential is read anew for each cycle, so that a rotated one needs no restart.
    """

    def __init__(self, config: Config, *, clock: SystemClock) -> None:
        self._config = config
        self._clock = clock
        self._stores: Mapping[str, Store] = {
            name: self._store(name, settings) for name, settings in config.settings.stores.items()
        }
        self._begun: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what the stores hold: connections, and logins of our own."""
        for store in self._stores.values():
            store.close()

    def cycle(self, *, write: bool, cycle: str | None = None) -> Report:
        """Run one cycle over the whole configuration; ``write`` False stops after the plan."""
        self._begun.clear()
        graph = self._config.settings.graph
        proxy = self._read(graph.proxy) if graph.proxy is not None else None
        http = Http(
            ca_file=str(graph.ca_file) if graph.ca_file is not None else None,
            proxy=proxy if isinstance(proxy, Secret) else None,
            trust_env=graph.trust_env,
            stop=self._clock.stop,
        )
        try:
            source = GraphSource(
                http=http,
                settings=GraphSettings(
                    base_url=graph.base_url,
                    version=graph.version,
                    timeout=graph.timeout.total_seconds(),
                    token_in_url=graph.token_in_url == "fallback",  # noqa: S105 - a policy, no password
                ),
                apps=[
                    AppCredentials(name, app.id, self._read(app.secret))
                    for name, app in self._config.settings.apps.items()
                ],
                system_users=self._system_users(),
                clock=self._clock,
                barred=proxy if isinstance(proxy, CredentialError) else None,
            )
            self._begun.update(self._stores)  # the cycle itself begins every store
            with uncollected():
                return run(self._task(source), write=write, cycle=cycle)
        finally:
            http.close()

    def _task(self, source: GraphSource) -> Task:
        config = self._config
        return Task(
            instance=config.settings.instance,
            pages=config.pages,
            source=source,
            stores=self._stores,
            clock=self._clock,
            verify_interval_seconds=schedule.interval_seconds(config.settings.schedule),
            warnings=config.warnings,
        )

    def _system_users(self) -> list[SystemUserCredentials]:
        return [
            SystemUserCredentials(name, user.app or "", self._read(user.token))
            for name, user in self._config.settings.system_users.items()
        ]

    def _source(self, reference: Reference) -> SecretSource:
        return refs.source(reference, base=self._config.base, read_store=self._read_store)

    def _read(self, reference: Reference) -> Secret | CredentialError:
        try:
            return self._source(reference)()
        except CredentialError as error:
            return error

    def _read_store(self, store: str, path: str, key: str) -> Secret:
        """Read one string out of a secret in a store; raises CredentialError.

        Graph's credentials are read before the cycle begins its stores: what a store remembers of the last one goes first.
        """
        if store not in self._begun:
            self._begun.add(store)
            self._stores[store].begin(writes=False)
        found = self._stores[store].read([Key(store, path)])[Key(store, path)]
        if isinstance(found, StoreError):
            raise CredentialError(f"store {store}, path {path}: {found.message}")
        value = found.payload.reveal() if isinstance(found, Stored) and found.payload is not None else None
        text = value.get(key) if isinstance(value, dict) else None
        if not isinstance(text, str) or not text:
            raise CredentialError(f"store {store}, path {path}: there is no text under the key {key}")
        return Secret(text)

    def _optional(self, reference: Reference | None) -> SecretSource | None:
        return self._source(reference) if reference is not None else None

    def _store(self, name: str, settings: AnyStore) -> Store:
        # A store's module is imported where a store of its kind is configured: boto3 and hvac take long to load.
        match settings:
            case stores.VaultStore():
                return self._vault(name, settings)
            case stores.AwsStore():
                return self._aws(name, settings)
            case stores.FileStore():
                from sync.stores.file import FileSettings, FileStore  # noqa: PLC0415 - see _store

                return FileStore(
                    name, FileSettings(str(settings.directory), settings.timeout.total_seconds()), clock=self._clock
                )
            case _:
                assert_never(settings)

    def _vault(self, name: str, settings: stores.VaultStore) -> Store:
        from sync.stores.vault import VaultStore  # noqa: PLC0415 - see _store
        from sync.stores.vault_settings import VaultSettings  # noqa: PLC0415 - see _store

        wanted = VaultSettings(
            address=settings.address,
            namespace=settings.namespace,
            mount=settings.mount,
            list_prefix=fixed_part(settings.path),
            timeout=settings.timeout.total_seconds(),
            ca_file=str(settings.ca_file) if settings.ca_file is not None else None,
            proxy=self._optional(settings.proxy),
            trust_env=settings.trust_env,
            login=self._login(settings.auth),
        )
        return VaultStore(name, wanted, clock=self._clock)

    def _login(self, auth: stores.TokenAuth | stores.AppRoleAuth | stores.KubernetesAuth) -> Login:
        from sync.stores import vault_settings as vault  # noqa: PLC0415 - see _store

        match auth:
            case stores.TokenAuth():
                return vault.TokenLogin(self._source(auth.token))
            case stores.AppRoleAuth():
                role_id, secret_id = self._source(auth.role_id), self._source(auth.secret_id)
                return vault.AppRoleLogin(role_id, secret_id, mount=auth.mount, namespace=auth.namespace)
            case stores.KubernetesAuth():
                jwt = self._source(auth.jwt)
                return vault.KubernetesLogin(auth.role, jwt, mount=auth.mount, namespace=auth.namespace)
            case _:
                assert_never(auth)

    def _aws(self, name: str, settings: stores.AwsStore) -> Store:
        from sync.stores.aws import AwsSettings, AwsStore  # noqa: PLC0415 - see _store

        wanted = AwsSettings(
            region=settings.region,
            kms_key=settings.kms_key,
            tags=settings.tags,
            endpoint_url=settings.endpoint_url,
            profile=settings.auth.profile,
            timeout=settings.timeout.total_seconds(),
            ca_file=str(settings.ca_file) if settings.ca_file is not None else None,
            proxy=self._optional(settings.proxy),
            trust_env=settings.trust_env,
            name_prefix=fixed_part(settings.name),
        )
        return AwsStore(name, wanted, clock=self._clock, workers=8)


def build(config: Config, *, clock: SystemClock) -> App:
    """Make what a configuration describes; nothing is read or reached before the first cycle."""
    return App(config, clock=clock)
