"""The keys of notifications and heartbeats."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sync.config.schema.network import Connection
from sync.config.schema.references import Reference
from sync.config.schema.types import Address


class HeartbeatConfig(Connection):
    """What is called after each cycle, so that a service outside notices when no cycle ends any more."""

    url: Annotated[Reference, Field(examples=[{"env": "HEARTBEAT_URL"}])]
    """A reference to the URL that is called (GET) after each cycle of `run`, and after `once` for all Pages; after one
    that failed or holds writes for a person, with /fail at the end of its path."""


class ReceiverConfig(Connection):
    """A receiver of notifications."""

    webhook: Annotated[Reference, Field(examples=[{"env": "WEBHOOK_URL"}])]
    """A reference to the URL that messages are sent to (POST). Such a URL is a secret."""
    format: Literal["json", "slack"] = "json"
    """json: the documented message, format 1; slack: what an incoming webhook of Slack takes."""
    events: Annotated[tuple[Literal["problem", "written"], ...], Field(strict=False, min_length=1)] = ("problem",)
    """problem: each cause when it begins, once a day, and when it ends; written: secrets whose value changed."""
    link: Annotated[Address | None, Field(examples=["https://page-token-sync.internal"])] = None
    """The address of this daemon's page as readers of the messages reach it; messages link to it."""
