"""The keys of every service that is called over a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, ValidationInfo

from sync.config.schema.references import Reference
from sync.config.schema.types import Address, ConfigModel, FilePath, is_plain_http, wrong


def _private(value: str, info: ValidationInfo) -> str:
    """Refuse plain http unless ``allow_http``, which is validated before, allows it or is wrong itself."""
    if is_plain_http(value) and info.data.get("allow_http") is False:
        wrong(
            "plain-http",
            "plain http to another machine would expose secrets to the network",
            "write https://, or add allow_http: true beside it if the network is trusted",
        )
    return value


ServiceAddress = Annotated[Address, AfterValidator(_private)]
"""The address of a NetworkConfig."""


class Connection(ConfigModel):
    """How a service is reached."""

    proxy: Annotated[Reference | None, Field(examples=[{"env": "PROXY_URL"}])] = None
    """A reference to the URL of an HTTP proxy, which may contain a password."""
    ca_file: Annotated[FilePath | None, Field(examples=["/etc/ssl/internal-ca.pem"])] = None
    """A PEM file of CA certificates to trust instead of the default ones. Read again in each cycle."""
    trust_env: bool = False
    """Whether to use the proxies of the environment (HTTPS_PROXY and so on)."""
    allow_http: bool = False
    """Allow plain http to an address of another machine. Each start warns about it."""

    def certificate_files(self) -> Iterator[Path]:
        """Yield the files of certificates and keys that the connection reads."""
        if self.ca_file is not None:
            yield self.ca_file


class NetworkConfig(Connection):
    """The connection to a service whose address is in the file."""

    address_key: ClassVar[str]
    """The key of the service's address."""
