"""What a request to AWS was sent to, for messages: Region, endpoint, and the proxy in between."""

from __future__ import annotations

import os
from dataclasses import replace
from urllib.parse import urlsplit

from sync.core.model import StoreError
from sync.core.secret import CredentialError
from sync.stores.aws.settings import AwsSettings

_NETWORK = ("unreachable", "timeout", "tls", "unexpected", "credentials", "throttled")
"""Error codes that a proxy can be the cause of."""


def located(error: StoreError, settings: AwsSettings, region: str, url: str, *, sent: bool) -> StoreError:
    """Add to an error what was to be reached; an error of finding credentials was not sent to the endpoint."""
    proxy, variable = _proxy(settings, url) if error.error_code in _NETWORK else ("", "")
    through = f"through the proxy {proxy}" + (f" of {variable}" if variable else "") if proxy else ""
    parts = [region or settings.region or "no Region", url if sent else "", through]
    message = f"{error.message.removesuffix('.')} ({', '.join(filter(None, parts))})."
    host = urlsplit(url).hostname if variable else None
    remedy = f"{error.remedy} If {host} is reached without a proxy, add it to NO_PROXY." if host else error.remedy
    return replace(error, message=message, remedy=remedy)


def _proxy(settings: AwsSettings, url: str) -> tuple[str, str]:
    """Return host and port of the proxy in use, and the variable that names it where the environment does."""
    if settings.proxy is not None:
        try:
            return _address(settings.proxy().reveal()), ""
        except CredentialError:
            return "", ""
    if not settings.trust_env:
        return "", ""
    from botocore.utils import get_environ_proxies  # noqa: PLC0415 - half a second and 60 MB

    scheme = urlsplit(url).scheme or "https"
    proxy = get_environ_proxies(url).get(scheme)
    names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
    return (_address(proxy), next((name for name in names if os.environ.get(name)), names[1])) if proxy else ("", "")


def _address(proxy: str) -> str:
    """Return host and port of a proxy's URL, which can hold a user and a password."""
    return proxy.partition("://")[2].rpartition("@")[2].partition("/")[0] or "of the configuration"
