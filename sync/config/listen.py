"""The address of the daemon's web server, as it is written in a configuration, an option or a variable."""

from __future__ import annotations

import ipaddress
import re

DEFAULT_LISTEN = "127.0.0.1:8087"
LISTEN_VARIABLE = "PAGE_TOKEN_SYNC_LISTEN"

_LAST_PORT = 65535
_LISTEN = re.compile(
    r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|(?P<host>[A-Za-z0-9_.-]+)):(?P<port>[0-9]{1,5})", re.ASCII
)


def host_and_port(listen: str) -> tuple[str, int]:
    """Return the host and the port of ``HOST:PORT`` or ``[IPV6]:PORT``; raises ValueError."""
    found = _LISTEN.fullmatch(listen)
    if found is None or int(found["port"]) > _LAST_PORT:
        raise ValueError("not HOST:PORT")
    if found["ipv6"]:
        ipaddress.IPv6Address(found["ipv6"])
    return found["ipv6"] or found["host"], int(found["port"])
