"""The keys of everything that is reached over a network."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from sync.config.schema.references import Reference
from sync.config.schema.types import ConfigModel, FilePath


class NetworkConfig(ConfigModel):
    """How a service is reached over a network."""

    address_key: ClassVar[str]
    """The key with the service's address."""

    proxy: Annotated[
        Reference | None,
        Field(
            description="A reference to the address of an HTTP proxy, which may hold a password.",
            examples=[{"env": "PROXY_URL"}],
        ),
    ] = None
    ca_file: Annotated[
        FilePath | None,
        Field(
            description="A file of CA certificates in PEM form to trust instead of the usual ones, read again in each cycle.",
            examples=["/etc/ssl/internal-ca.pem"],
        ),
    ] = None
    trust_env: Annotated[
        bool, Field(description="Whether proxies of the environment (HTTPS_PROXY and so on) are used.")
    ] = False
    allow_http: Annotated[
        bool,
        Field(description="Allows plain http to an address that is not this machine's. Warned about at each start."),
    ] = False
