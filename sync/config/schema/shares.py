"""Shares as the configuration writes them: whole percent."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from sync.config.schema.values import wrong

_SHARE = re.compile(r"(0|[1-9][0-9]{0,2})%")
_WHOLE, _MOST_OF_BUDGET = 1.0, 0.94


def _share(value: object) -> object:
    if isinstance(value, float):
        return value
    match = _SHARE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        wrong("bad-share", "not a share", "write a whole number and the percent sign: 30% (and not 0.3)")
    return int(match[1]) / 100


def _of_the_whole(value: float) -> float:
    if value > _WHOLE:
        wrong("bad-share", "more than the whole", "100% is the most")
    return value


def share_text(value: float) -> str:
    """Write a share as the configuration does."""
    return f"{round(100 * value)}%"


def _budget(value: float) -> float:
    if not value:
        wrong("bad-share", "a budget of nothing: stored tokens would never be judged again", "write at least 1%")
    if value > _MOST_OF_BUDGET:
        wrong("bad-share", "above 94%: from 95% of Meta's reported usage on nothing is asked", "94% is the most")
    return value


_SHARE_SCHEMA = {"type": "string", "pattern": f"^{_SHARE.pattern}$"}
_Written = Annotated[float, BeforeValidator(_share), PlainSerializer(share_text)]
Share = Annotated[_Written, AfterValidator(_of_the_whole), WithJsonSchema(_SHARE_SCHEMA)]
"""From 0 to 1; written from 0% to 100%."""
Budget = Annotated[_Written, AfterValidator(_budget), WithJsonSchema(_SHARE_SCHEMA)]
