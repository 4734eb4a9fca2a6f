"""Build what reads Graph from a configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sync.app.credentials import Credentials
from sync.config.load import Config
from sync.core.memory.memory import Memory
from sync.core.secret import CredentialError, Secret
from sync.graph.client import GraphSettings
from sync.graph.interface import AppCredentials, SystemUserCredentials
from sync.graph.source import GraphSource
from sync.http import Http
from sync.runtime.threads import SystemClock


@contextmanager
def graph_source(
    config: Config,
    credentials: Credentials,
    clock: SystemClock,
    memory: Memory,
    *,
    most: float | None = None,
    http: Callable[..., Http] = Http,
) -> Iterator[GraphSource]:
    """Provide Graph, with credentials that are read now; ``most`` shortens the timeout of the configuration."""
    graph = config.settings.graph
    proxy = credentials.read(graph.proxy) if graph.proxy is not None else None
    connection = http(
        ca_file=str(graph.ca_file) if graph.ca_file is not None else None,
        proxy=proxy if isinstance(proxy, Secret) else None,
        trust_env=graph.trust_env,
        stop=clock.stop,
    )
    timeout = graph.timeout.total_seconds()
    try:
        yield GraphSource(
            http=connection,
            settings=GraphSettings(
                base_url=graph.base_url,
                version=graph.version,
                timeout=timeout if most is None else min(timeout, most),
                token_in_url=graph.token_in_url == "fallback",  # noqa: S105 - a policy, no password
            ),
            apps=[
                AppCredentials(name, app.id, credentials.read_app_secret(app.secret))
                for name, app in config.settings.apps.items()
            ],
            system_users=[
                SystemUserCredentials(name, user.app or "", credentials.read_meta(user.token))
                for name, user in config.settings.system_users.items()
            ],
            clock=clock,
            proxy_error=proxy if isinstance(proxy, CredentialError) else None,
            pools=memory.pools,
            budget=graph.budget,
            known={name: judged.facts for name, judged in memory.judged.items()},
        )
    finally:
        connection.close()
