"""Durations as the configuration writes them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from sync.config.schema.values import wrong
from sync.core.model import NEVER, Never

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_LONGEST = timedelta(days=3650)


def _duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        wrong("bad-duration", "not a duration", "write a whole number and a unit: 500ms, 90s, 15m, 24h or 7d")
    duration = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if duration > _LONGEST:
        wrong("bad-duration", "longer than ten years", "3650d is the most")
    return duration


def duration_text(value: timedelta | Never) -> str:
    """Write a duration as the configuration does, in the largest unit that leaves a whole number."""
    if isinstance(value, Never):
        return "never"
    for unit in ("d", "h", "m", "s"):
        count = value / timedelta(seconds=_UNITS[unit])
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{round(value / timedelta(milliseconds=1))}ms" if value else "0s"


def _positive(value: timedelta) -> timedelta:
    if not value:
        wrong("bad-duration", "a duration of nothing", "write at least 1ms")
    return value


def _second(value: timedelta) -> timedelta:
    if value < timedelta(seconds=1):
        wrong("bad-duration", "shorter than a second", "write at least 1s")
    return value


_LIFE = timedelta(days=60)  # of a system user's token that ends (Meta's guide of system users, read 2026-11-24)


def _renew_before(value: timedelta | Never) -> timedelta | Never:
    if isinstance(value, Never):
        return value
    if value < timedelta(hours=1):
        wrong("bad-duration", "too late to renew a token in time", "write at least 1h, such as 14d; or never")
    if value >= _LIFE:
        wrong(
            "bad-duration",
            "as long as such a token lives: it would be renewed in each cycle",
            "write less than 60d, such as 14d; or never",
        )
    return value


_DURATION_SCHEMA = {"type": "string", "pattern": f"^{_DURATION.pattern}$"}
Duration = Annotated[
    timedelta, BeforeValidator(_duration), PlainSerializer(duration_text), WithJsonSchema(_DURATION_SCHEMA)
]
PositiveDuration = Annotated[Duration, AfterValidator(_positive), WithJsonSchema(_DURATION_SCHEMA)]
Interval = Annotated[Duration, AfterValidator(_second), WithJsonSchema(_DURATION_SCHEMA)]
"""At least a second."""
_EXPIRES_SCHEMA = {"type": "string", "pattern": f"^(never|{_DURATION.pattern})$"}
Expires = Annotated[
    timedelta | Never,
    BeforeValidator(
        lambda value: value if isinstance(value, Never) else NEVER if value == "never" else _duration(value)
    ),
    PlainSerializer(duration_text),
    WithJsonSchema(_EXPIRES_SCHEMA),
]
RenewBefore = Annotated[Expires, AfterValidator(_renew_before), WithJsonSchema(_EXPIRES_SCHEMA)]
"""How long before its end a token is renewed, or NEVER."""
