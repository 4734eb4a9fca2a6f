"""All keys of the configuration: validation, the JSON Schema and the comments of the example follow from them."""

from __future__ import annotations

import difflib
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sync.config.listen import DEFAULT_LISTEN
from sync.config.schema.choices import words
from sync.config.schema.cron import CronError, parse_cron
from sync.config.schema.network import NetworkConfig, ServiceAddress
from sync.config.schema.notify import HeartbeatConfig, ReceiverConfig
from sync.config.schema.pages import Defaults, PageEntry
from sync.config.schema.references import Reference
from sync.config.schema.stores.kinds import AnyStore, Store
from sync.config.schema.types import (
    Budget,
    ConfigModel,
    CycleInterval,
    Duration,
    FilePath,
    GraphId,
    Interval,
    Listen,
    Name,
    PositiveDuration,
    RenewBefore,
    Share,
    Text,
    wrong,
)
from sync.core.model import NEVER


def _cron(value: str) -> str:
    if len(value) > _LONGEST_CRON:
        wrong("bad-cron", "too long", "write five fields as in crontab(5)")
    try:
        parse_cron(value)
    except CronError as fault:
        wrong("bad-cron", str(fault), 'write five fields as in crontab(5), such as "*/15 * * * *", or @hourly')
    return value


_LONGEST_CRON = 1000


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        known = {name.lower(): name for name in available_timezones()}
        close = difflib.get_close_matches(value.lower(), known, 1)
        meant = f"did you mean {known[close[0]]}?" if close else "write an IANA name, such as Europe/Berlin"
        wrong("bad-timezone", "unknown time zone", meant)
    return value


class Schedule(ConfigModel):
    """When cycles run: at an interval, or at the times of a cron expression."""

    every: CycleInterval | None = None
    """The time from the start of one cycle to the start of the next, at least 10s. Default without cron: 15m."""
    cron: Annotated[
        str | None,
        AfterValidator(lambda value: value if value is None else _cron(value)),
        Field(examples=["*/15 * * * *"]),
    ] = None
    """Instead of every: five fields as in crontab(5), or a word such as @hourly; 0 and 7 are Sunday."""
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    """The time zone of cron, by its IANA name."""
    jitter: Duration = timedelta(0)
    """The maximum of the random delay of each cycle; a cycle never starts early."""
    deadline: Annotated[PositiveDuration | None, Field(examples=["30m"])] = None
    """A running cycle in which no request began or ended for so long is stuck, and /healthz says so. Longer than each
    timeout. Default: the time from one cycle to the next, at least 10m."""

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, value: Any) -> Any:
        """Add the default interval; that every and cron exclude each other is checked with the rest of the file."""
        if not isinstance(value, dict) or value.get("cron") is not None or value.get("every") is not None:
            return value
        return {**value, "every": "15m"}


class GraphConfig(NetworkConfig):
    """The connection to Meta's Graph API."""

    address_key: ClassVar[str] = "base_url"

    version: Annotated[str, Field(pattern=r"^v[0-9]{1,3}\.[0-9]$")] = "v25.0"
    """The version of the Graph API."""
    base_url: ServiceAddress = "https://graph.facebook.com"
    """The address of the Graph API; the sandbox is at http://127.0.0.1:8099."""
    timeout: PositiveDuration = timedelta(seconds=60)
    """The timeout of one whole call, including a slow answer."""
    budget: Budget = 0.75
    """The share of the quota, as Meta reports it, above which only calls for repairs are made. At most 94%: from 95% on
    no call is made."""
    token_in_url: Literal["never", "fallback"] = "never"  # noqa: S105 - a word of the configuration, no token
    """fallback: use the documented form of debug_token, with the token in the URL, if the form with the token in the
    body is refused."""


class AppConfig(ConfigModel):
    """A Meta app."""

    id: GraphId
    """The app's id, in quotes."""
    secret: Reference
    """A reference to the app secret."""


class SystemUserConfig(ConfigModel):
    """A system user of the business that owns the Pages."""

    app: Name | None = None
    """The app that the token belongs to. Optional if there is only one app."""
    token: Reference
    """A reference to the system user token."""
    business: Annotated[GraphId | None, Field(examples=["998877665544332"])] = None
    """The id of the business portfolio, in quotes. With it doctor and discover check which Pages the business owns."""
    renew_before: RenewBefore = NEVER
    """How long before it expires a token is renewed, such as 14d. The token must be a {store: ...} reference: the new
    one is written there."""


class BrakeConfig(ConfigModel):
    """The brake: it holds the replacement of valid tokens if too many of a store would change at once."""

    share: Share = 0.3
    """Hold replacements if more than this share of a store's tokens would change within 24 hours."""
    min_changes: Annotated[int, Field(ge=1)] = 3
    """The minimum number of changes before the brake applies. An integer, at least 1."""


class StateConfig(ConfigModel):
    """The file that results are remembered in across restarts."""

    file: FilePath
    """The file, relative to the folder of the configuration file, in a folder that this program may write to. It
    contains results by fingerprint, and no secret."""


class LogConfig(ConfigModel):
    """The logs."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is logged."""
    format: Literal["auto", "json", "console"] = "auto"
    """auto: console on a terminal, JSON lines elsewhere."""


class MetricsConfig(ConfigModel):
    """The metrics at /metrics."""

    per_page: bool = True
    """Whether each Page has series of its own. false: only sums, for many thousand Pages."""


class WebConfig(ConfigModel):
    """The daemon's web server: its page, its status as JSON, health checks and metrics."""

    listen: Listen = DEFAULT_LISTEN
    """The address of the web server, HOST:PORT. The option --listen and then the variable PAGE_TOKEN_SYNC_LISTEN
    replace it; the container image listens on all interfaces."""
    token: Annotated[Reference | None, Field(examples=[{"file": "/run/secrets/web_token"}])] = None
    """A reference to the token with which apps ask for a check: POST /v1/pages/NAME/check. Without it that is not
    possible."""


_SHORTEST_PROBE = timedelta(minutes=5)


def _version(value: Any) -> Any:
    if isinstance(value, bool):
        wrong("bad-value", "not one of the allowed values", "write 1")
    return value


class Settings(ConfigModel):
    """The whole configuration file."""

    version: Annotated[Literal[1], BeforeValidator(_version)] = 1
    """The version of this file's format."""
    instance: Name
    """The name of this installation, marked on every secret: two instances never touch each other's secrets."""
    mode: Literal["sync", "observe"] = "sync"
    """observe: read and verify everything, write nothing."""
    schedule: Schedule = Schedule(every=timedelta(minutes=15))
    """When cycles run."""
    graph: GraphConfig = GraphConfig()
    """The connection to Meta's Graph API."""
    apps: Annotated[dict[Name, AppConfig], Field(min_length=1)]
    """Meta apps, each under a name that you choose."""
    system_users: Annotated[dict[Name, SystemUserConfig], Field(min_length=1)]
    """System users, each under a name that you choose."""
    stores: Annotated[
        dict[Name, Store],
        Field(
            min_length=1,
            description=f"Stores to write the tokens to, each under a name that you choose. Types: {', '.join(words(AnyStore, 'type'))}.",
        ),
    ]
    defaults: Defaults = Defaults()
    """Defaults of every Page; a Page can override each."""
    probe_every: Interval = timedelta(minutes=15)
    """How often each stored token is probed with GET /me, on the Page's own quota. A token that is refused is verified
    at once. Where schedule.every is shorter, the default is that interval, but at least 5m."""
    verify_every: Interval = timedelta(hours=24)
    """How often each stored token is verified with debug_token, the oldest result first; less often if the app's quota
    does not allow it. A result is valid for twice that time."""
    brake: BrakeConfig = BrakeConfig()
    """When the replacement of valid tokens is held until an operator confirms it."""
    state: Annotated[StateConfig | None, Field(examples=[{"file": "/var/lib/page-token-sync/state.json"}])] = None
    """Where results are remembered across restarts. Without it each start verifies every token again."""
    metrics: MetricsConfig = MetricsConfig()
    """The metrics at /metrics."""
    web: WebConfig = WebConfig()
    """The daemon's web server."""
    log: LogConfig = LogConfig()
    """The logs."""
    heartbeat: Annotated[HeartbeatConfig | None, Field(examples=[{"url": {"env": "HEARTBEAT_URL"}}])] = None
    """What is called after each cycle."""
    notify: Annotated[tuple[ReceiverConfig, ...], Field(strict=False, max_length=20)] = ()
    """The receivers of the daemon's notifications."""
    pages: Annotated[tuple[PageEntry, ...], Field(strict=False)] = ()
    """The list of Pages: each has an id, and may have every key of defaults."""
    pages_from: Annotated[tuple[Text, ...], Field(strict=False, max_length=1000)] = ()
    """Patterns of more files, relative to the folder of this one. Each file is a list of Pages with id, name, labels,
    stores, system_user and hold only."""

    @model_validator(mode="after")
    def _probe_in_each_cycle(self) -> Self:
        every = self.schedule.every
        if every is not None and "probe_every" not in self.model_fields_set:
            # The model is frozen for everybody else.
            object.__setattr__(self, "probe_every", min(max(every, _SHORTEST_PROBE), self.probe_every))
        return self
