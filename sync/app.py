"""Build from a configuration what runs it: the only module that names concrete stores and clients."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Self, assert_never

from sync.config.errors import shown_path
from sync.config.load import Config
from sync.config.resolve import references
from sync.config.resolve.overlap import in_other_stores
from sync.config.schedule import needs_state_file, probe_after, verify_every
from sync.config.schema.references import Reference, StoreReference
from sync.config.schema.stores import vault as logins
from sync.config.schema.stores.aws import AwsConfig
from sync.config.schema.stores.file import FileConfig
from sync.config.schema.stores.kinds import AnyStore
from sync.config.schema.stores.vault import VaultConfig
from sync.core.memory.memory import Memory, Rhythm
from sync.core.memory.renewal import RenewalRule
from sync.core.model import Key, Never, Stored, StoreError
from sync.core.payload import fixed_part
from sync.core.plan.guards import Brake
from sync.core.report.changes import and_warned
from sync.core.report.report import Report
from sync.core.secret import CredentialError, Secret, SecretSource, is_credential
from sync.cycle import Task, run
from sync.cycle.task import attempt
from sync.graph.client import GraphSettings
from sync.graph.interface import AppCredentials, SystemUserCredentials
from sync.graph.source import GraphSource
from sync.http import Http
from sync.runtime.garbage import uncollected
from sync.runtime.threads import GraceClock, Stopping, SystemClock
from sync.state import StateFile
from sync.stores.interface import Store

if TYPE_CHECKING:
    from sync.config.resolve.select import Selected
    from sync.stores.vault.settings import Login

_GRACE = 1.0
"""Seconds that saving the state may take under shutdown: another process may hold the file's lock."""


class App:
    """A configuration that can run cycles. Stores keep logins and connections between cycles, the Graph client keeps none.

    Every credential is read again for each cycle, so that a rotated one needs no restart.
    """

    def __init__(self, config: Config, *, clock: SystemClock) -> None:
        self._config = config
        self._clock = clock
        self._stores: Mapping[str, Store] = {
            name: self._store(name, settings) for name, settings in config.settings.stores.items()
        }
        self._begun: set[str] = set()
        self._writes = False
        state = config.settings.state
        self._late = GraceClock(clock)
        self._state = StateFile(state.file, config.settings.instance, clock=self._late) if state is not None else None
        self._memory: Memory | None = None
        self._state_warning = ""
        self._unlogged = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the stores' connections, and end the logins that they made."""
        for store in self._stores.values():
            store.close()

    def cycle(
        self,
        *,
        write: bool,
        cycle: str | None = None,
        selection: Selected | None = None,
        if_plan: str | None = None,
        continuous: bool = False,
    ) -> Report:
        """Run one cycle, over the whole configuration or a selection of it; without ``write`` it stops after the plan.

        ``if_plan`` is the checksum of the only plan that may be carried out; that plan is exempt from the brake.
        ``continuous``: another cycle of this process follows, and remembers this one. Once something is written, shutdown
        does not end the cycle before what was done is remembered and reported.
        """
        started_at, started = self._clock.now(), self._clock.elapsed()
        report = self._cycle(write=write, cycle=cycle, selection=selection, if_plan=if_plan, continuous=continuous)
        # From the first credential that is read to the saved state: each of them may wait for a timeout.
        duration = self._clock.elapsed() - started
        frame = replace(report.frame, started_at=started_at, finished_at=self._clock.now(), duration_seconds=duration)
        return replace(report, frame=frame)

    def _cycle(
        self, *, write: bool, cycle: str | None, selection: Selected | None, if_plan: str | None, continuous: bool
    ) -> Report:
        self._begun = set()
        self._writes = write and self._config.settings.mode == "sync"
        memory = self._with_let_through(self._memory) if self._memory is not None else self._load()
        graph = self._config.settings.graph
        proxy = self._read(graph.proxy) if graph.proxy is not None else None
        http = Http(
            ca_file=str(graph.ca_file) if graph.ca_file is not None else None,
            proxy=proxy if isinstance(proxy, Secret) else None,
            trust_env=graph.trust_env,
            stop=self._clock.stop,
        )
        try:
            source = self._graph(http, memory, proxy_error=proxy if isinstance(proxy, CredentialError) else None)
            with uncollected():
                report, self._memory = run(
                    self._task(source, memory, selection, continuous=continuous),
                    write=write,
                    cycle=cycle,
                    if_plan=if_plan,
                )
            if not write:
                return report
            self._memory = self._with_let_through(self._memory)
            # A kill before the report is in the log must not lose its lines: they are logged again after the next start.
            self._unlogged = continuous and report.changes.is_news
            self._save(replace(self._memory, reported=memory.reported) if self._unlogged else self._memory)
            report = self._warned(report)
            if continuous:
                self._memory = replace(self._memory, reported=report.changes.reported)
            return report
        finally:
            http.close()

    def logged(self) -> None:
        """Remember that the report of the last cycle is in the log."""
        if self._unlogged and self._memory is not None:
            self._unlogged = False
            self._save(self._memory)

    def _with_let_through(self, memory: Memory) -> Memory:
        """Return the memory with what a person let through meanwhile by ``once --if-plan`` in another process."""
        lines = self._state.let_through() if self._state is not None else {}
        return replace(memory, let_through={**memory.let_through, **lines}) if lines else memory

    def _load(self) -> Memory:
        if self._state is None:
            return Memory()
        memory = self._state.load()
        self._state_warning = self._state.warning
        return memory

    def _save(self, memory: Memory) -> None:
        """Write the memory to the state file; a failure is a warning, and ends no cycle."""
        if self._state is None:
            return
        state = self._state

        def save() -> str:
            state.save(memory)
            return state.warning

        with suppress(Stopping), self._late.grace(_GRACE):
            self._state_warning = attempt(
                save, lambda where: f"The state file is not written. Internal error: {where}."
            )

    def _warned(self, report: Report) -> Report:
        """Return the report with the warning of the state file, if it is a new one."""
        text = self._state_warning
        if not text or text in report.frame.warnings:
            return report
        frame = replace(report.frame, warnings=(*report.frame.warnings, text))
        return replace(report, frame=frame, changes=and_warned(report.changes, text, frame.started_at))

    def _graph(self, http: Http, memory: Memory, *, proxy_error: CredentialError | None) -> GraphSource:
        graph = self._config.settings.graph
        return GraphSource(
            http=http,
            settings=GraphSettings(
                base_url=graph.base_url,
                version=graph.version,
                timeout=graph.timeout.total_seconds(),
                token_in_url=graph.token_in_url == "fallback",  # noqa: S105 - a policy, no password
            ),
            apps=[
                AppCredentials(name, app.id, self._read_meta(app.secret))
                for name, app in self._config.settings.apps.items()
            ],
            system_users=self._system_users(),
            clock=self._clock,
            proxy_error=proxy_error,
            pools=memory.pools,
            budget=graph.budget,
            known={name: judged.facts for name, judged in memory.judged.items()},
        )

    def _task(self, source: GraphSource, memory: Memory, selection: Selected | None, *, continuous: bool) -> Task:
        config, settings = self._config, self._config.settings
        # The first cycle reports the warning of reading the file; each later one that of the last writing.
        state = (self._state_warning,) if self._state_warning else ()
        return Task(
            instance=settings.instance,
            pages=config.pages if selection is None else selection.pages,
            source=source,
            stores=self._stores,
            clock=self._clock,
            memory=memory,
            rhythm=Rhythm(verify_every(settings, config.pages, memory.pools)),
            probe_every=probe_after(settings),
            brake=Brake(settings.brake.share, settings.brake.min_changes),
            observe=settings.mode == "observe",
            confirm_mass_invalid=not continuous,
            selected_from=None if selection is None else selection.named,
            in_other_stores=in_other_stores(settings, config.pages),
            renewal_rules=self._renewal_rules(),
            begun=self._begun,
            needs_state_file=needs_state_file(settings, config.pages),
            warnings=(*config.warnings, *state),
        )

    def _renewal_rules(self) -> Mapping[str, RenewalRule]:
        return {
            name: RenewalRule(Key(user.token.store, user.token.path), user.token.key, user.renew_before)
            for name, user in self._config.settings.system_users.items()
            if isinstance(user.token, StoreReference) and not isinstance(user.renew_before, Never)
        }

    def _system_users(self) -> list[SystemUserCredentials]:
        return [
            SystemUserCredentials(name, user.app or "", self._read_meta(user.token))
            for name, user in self._config.settings.system_users.items()
        ]

    def _source(self, reference: Reference) -> SecretSource:
        return references.source(reference, base=self._config.base, read_store=self._read_store)

    def _read(self, reference: Reference) -> Secret | CredentialError:
        try:
            return self._source(reference)()
        except CredentialError as error:
            return error

    def _read_meta(self, reference: Reference) -> Secret | CredentialError:
        """Read a credential of Meta's; one that is not shaped like a token is never sent."""
        found = self._read(reference)
        if isinstance(found, Secret) and not is_credential(found.reveal()):
            return CredentialError(
                f"{reference}: not shaped like a token: characters that no token has; write it again"
            )
        return found

    def _read_store(self, store: str, path: str, key: str) -> Secret:
        """Read one string out of a secret in a store; raises CredentialError.

        Graph's credentials are read before the cycle begins its stores, so the store must first forget the last cycle.
        """
        if store not in self._begun:
            self._begun.add(store)
            self._stores[store].begin(writes=self._writes)
        where = f"{{store: {store}, path: {shown_path(path)}, key: {shown_path(key)}}}"
        found = self._stores[store].read([Key(store, path)])[Key(store, path)]
        if isinstance(found, StoreError):
            raise self._store_failed(where, store, found)
        value = found.payload.reveal() if isinstance(found, Stored) and found.payload is not None else None
        text = value.get(key) if isinstance(value, dict) else None
        if not isinstance(text, str) or not text.strip():
            raise CredentialError(f"{where}: there is no text under this key; write the credential there")
        return Secret(text)

    def _store_failed(self, where: str, store: str, error: StoreError) -> CredentialError:
        """Return the error of a credential whose store failed; what the store's own problem reports is not repeated."""
        holds_pages = any(target.store == store for page in self._config.pages for target in page.targets)
        if error.whole and holds_pages:
            remedy = f"Resolve the problem of store {store}. The credential is read again in each cycle."
            return CredentialError(f"{where}: store {store} failed ({error.error_code})", remedy)
        message = error.message.rstrip(".")
        return CredentialError(f"{where}: store {store} failed ({error.error_code}): {message}", error.remedy)

    def _optional(self, reference: Reference | None) -> SecretSource | None:
        return self._source(reference) if reference is not None else None

    def _store(self, name: str, settings: AnyStore) -> Store:
        # A store's module is imported where a store of its kind is configured: boto3 and hvac take long to load.
        match settings:
            case VaultConfig():
                return self._vault(name, settings)
            case AwsConfig():
                return self._aws(name, settings)
            case FileConfig():
                return self._file(name, settings)
            case _:
                assert_never(settings)

    def _file(self, name: str, settings: FileConfig) -> Store:
        from sync.stores.file.store import FileSettings, FileStore  # noqa: PLC0415 - see _store

        wanted = FileSettings(str(settings.directory), settings.timeout.total_seconds())
        return FileStore(name, wanted, clock=self._clock)

    def _vault(self, name: str, settings: VaultConfig) -> Store:
        from sync.stores.vault.settings import VaultSettings  # noqa: PLC0415 - see _store
        from sync.stores.vault.store import VaultStore  # noqa: PLC0415 - see _store

        wanted = VaultSettings(
            address=settings.address,
            namespace=settings.namespace,
            mount=settings.mount,
            list_prefix=fixed_part(settings.path),
            timeout=settings.timeout.total_seconds(),
            ca_file=str(settings.ca_file) if settings.ca_file is not None else None,
            client_cert=str(settings.client_cert) if settings.client_cert is not None else None,
            client_key=str(settings.client_key) if settings.client_key is not None else None,
            proxy=self._optional(settings.proxy),
            trust_env=settings.trust_env,
            login=self._login(settings.auth),
        )
        return VaultStore(name, wanted, clock=self._clock)

    def _login(self, auth: logins.AnyAuth) -> Login:
        from sync.stores.vault import settings as vault  # noqa: PLC0415 - see _store

        match auth:
            case logins.TokenAuth():
                return vault.TokenLogin(self._source(auth.token))
            case logins.AppRoleAuth():
                role_id, secret_id = self._source(auth.role_id), self._source(auth.secret_id)
                return vault.AppRoleLogin(role_id, secret_id, mount=auth.mount, namespace=auth.namespace)
            case logins.KubernetesAuth():
                jwt = self._source(auth.jwt)
                return vault.KubernetesLogin(auth.role, jwt, mount=auth.mount, namespace=auth.namespace)
            case logins.JwtAuth():
                jwt = self._source(auth.jwt)
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

    def _aws(self, name: str, settings: AwsConfig) -> Store:
        from sync.stores.aws.store import AwsReplica, AwsRole, AwsSettings, AwsStore  # noqa: PLC0415 - see _store

        auth = settings.auth
        wanted = AwsSettings(
            region=settings.region,
            kms_key=settings.kms_key,
            replicas=tuple(AwsReplica(replica.region, replica.kms_key) for replica in settings.replicas),
            tags=settings.tags,
            endpoint_url=settings.endpoint_url,
            profile=auth.profile,
            role=AwsRole(auth.role_arn, self._optional(auth.external_id)) if auth.role_arn is not None else None,
            timeout=settings.timeout.total_seconds(),
            ca_file=str(settings.ca_file) if settings.ca_file is not None else None,
            proxy=self._optional(settings.proxy),
            trust_env=settings.trust_env,
            name_prefix=fixed_part(settings.name),
        )
        return AwsStore(name, wanted, clock=self._clock, workers=8)


def build(config: Config, *, clock: SystemClock) -> App:
    """Build what a configuration describes; nothing is read or connected before the first cycle."""
    return App(config, clock=clock)
