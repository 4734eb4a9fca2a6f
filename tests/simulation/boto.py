"""boto3 for the simulation: the whole library, with the simulation's clock, and without repeating the same work.

Most of a simulated life's time was botocore's, which makes each client and its thousand event handlers again. What is kept
here from one client to the next follows from its arguments alone, so that no life learns anything of another.
"""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest import mock

from botocore import UNSIGNED, endpoint, hooks, httpsession, signers, utils
from dateutil import tz

from tests.simulation.process import SimulatedTime

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "simulated",
    "AWS_SECRET_ACCESS_KEY": "simulated",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_TLS = httpsession.create_urllib3_context()
_original_takes_keywords: Callable[[Any], bool] = hooks.accepts_kwargs


@contextmanager
def aws_apart() -> Iterator[None]:
    """Run boto3 with the simulation's credentials and clock, and none of this machine's settings."""
    _whole()
    clock = SimpleNamespace(**{**vars(time), "sleep": SimulatedTime.sleep})
    exchanged: tuple[tuple[object, str, object], ...] = (
        (endpoint, "time", clock),
        (hooks.EventAliaser, "_alias_event_name", _alias),
        (hooks, "accepts_kwargs", _takes_keywords),
        # A moment is the same in any zone, and this machine's takes long to find.
        (utils, "get_tzinfo_options", lambda: (tz.tzutc,)),
        # Nobody in the simulation looks at a signature, or opens a socket.
        (signers.RequestSigner, "_choose_signer", lambda *_, **__: UNSIGNED),
        (httpsession.URLLib3Session, "_get_ssl_context", lambda _: _TLS),
    )
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, _ENVIRONMENT))
        for owner, name, value in exchanged:
            stack.enter_context(mock.patch.object(owner, name, value))
        yield


@cache
def _whole() -> None:
    """Import all of the library before its clock is replaced."""
    import boto3.session

    boto3.session.Session()


def _alias(_: hooks.EventAliaser, event_name: str) -> str:
    return _alias_of(event_name)


@cache
def _alias_of(event_name: str) -> str:
    """Return the library's alias of a name; it is constant, so the library is asked once."""
    return str(_ALIASES(_ALIASER, event_name))


_ALIASES = hooks.EventAliaser._alias_event_name
_ALIASER = hooks.EventAliaser(None)


def _takes_keywords(handler: Any) -> bool:
    """Check whether a handler takes keywords by its code flags, which is much faster than by its signature."""
    code = getattr(handler, "__code__", None)
    return _original_takes_keywords(handler) if code is None else bool(code.co_flags & inspect.CO_VARKEYWORDS)
