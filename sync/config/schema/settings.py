"""All keys of the configuration: the one source of validation, of the JSON Schema and of the example's comments."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sync.config.schema.cron import CronError, parse_cron
from sync.config.schema.network import NetworkConfig
from sync.config.schema.pages import Defaults, PageEntry
from sync.config.schema.references import Reference
from sync.config.schema.stores.kinds import Store
from sync.config.schema.types import (
    Address,
    Budget,
    ConfigModel,
    Duration,
    FilePath,
    GraphId,
    Interval,
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
        wrong(
            "bad-timezone", "not a time zone that is known here", "write a name of the IANA list, such as Europe/Berlin"
        )
    return value


class Schedule(ConfigModel):
    """When cycles run: at an interval, or by the clock."""

    every: Annotated[
        PositiveDuration | None,
        Field(description="The time from the start of one cycle to the next; 15m without cron."),
    ] = None
    cron: Annotated[
        str | None,
        AfterValidator(lambda value: value if value is None else _cron(value)),
        Field(
            description="Instead of every: five fields with the meaning of crontab(5), or @hourly and the like; 0 and 7 are Sunday.",
            examples=["*/15 * * * *"],
        ),
    ] = None
    timezone: Annotated[
        str, AfterValidator(_timezone), Field(description="The time zone that cron counts in, by its IANA name.")
    ] = "UTC"
    jitter: Annotated[
        Duration, Field(description="Each cycle starts later by a random time up to this; never earlier.")
    ] = timedelta(0)

    @model_validator(mode="before")
    @classmethod
    def _one_rhythm(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if value.get("every") is not None and value.get("cron") is not None:
            wrong("bad-schedule", "every and cron contradict each other", "keep one of the two")
        if value.get("timezone") is not None and value.get("cron") is None:
            wrong("bad-schedule", "timezone counts only with cron", "remove timezone, or write cron instead of every")
        return value if value.get("cron") is not None or value.get("every") is not None else {**value, "every": "15m"}


class GraphConfig(NetworkConfig):
    """How Meta's Graph API is reached."""

    address_key: ClassVar[str] = "base_url"

    version: Annotated[str, Field(pattern=r"^v[0-9]{1,3}\.[0-9]$", description="Graph's version.")] = "v25.0"
    base_url: Annotated[Address, Field(description="Graph's address; the sandbox is at http://127.0.0.1:8099.")] = (
        "https://graph.facebook.com"
    )
    timeout: Annotated[PositiveDuration, Field(description="The longest that one answer may take as a whole.")] = (
        timedelta(seconds=60)
    )
    budget: Annotated[
        Budget,
        Field(
            description="The share of Meta's reported usage above which only repairs are asked for; at most 94%, since "
            "nothing is asked from 95% on."
        ),
    ] = 0.75
    token_in_url: Annotated[
        Literal["never", "fallback"],
        Field(
            description="fallback: allows debug_token's documented form with the token in the URL if the other is refused."
        ),
    ] = "never"  # noqa: S105 - a word of the configuration, no token


class AppConfig(ConfigModel):
    """A Meta app."""

    id: Annotated[GraphId, Field(description="The app's id, in quotes.")]
    secret: Annotated[Reference, Field(description="A reference to the app secret.")]


class SystemUserConfig(ConfigModel):
    """A system user of the business that owns the Pages."""

    app: Annotated[
        Name | None, Field(description="The app that the token belongs to; may be left out when there is one.")
    ] = None
    token: Annotated[Reference, Field(description="A reference to the system user's token.")]
    renew_before: Annotated[
        RenewBefore,
        Field(
            description="How long before its end a token that ends is renewed, such as 14d; the token must be a {store: ...} "
            "reference, since the new one is written there."
        ),
    ] = NEVER


class BrakeConfig(ConfigModel):
    """What holds the replacement of tokens that still work when too many of a store would change at once."""

    share: Annotated[
        Share,
        Field(description="Held where more than this share of a store's stored tokens would change within 24 hours."),
    ] = 0.3
    min_changes: Annotated[
        int, Field(ge=1, description="So many changes at the least; fewer are never held. A whole number from 1.")
    ] = 3


class StateConfig(ConfigModel):
    """What is remembered from one start to the next."""

    file: Annotated[
        FilePath,
        Field(
            description="The file, from the folder of the configuration file, in a folder that this program may write "
            "to. It holds verdicts by fingerprint, and no secret."
        ),
    ]


class LogConfig(ConfigModel):
    """What is logged, and how."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="The least level that is logged.")
    ] = "info"
    format: Annotated[
        Literal["auto", "json", "console"], Field(description="auto: console on a terminal, JSON lines elsewhere.")
    ] = "auto"


def _version(value: Any) -> Any:
    if isinstance(value, bool):
        wrong("bad-value", "not one of the values that are allowed here", "write 1")
    return value


class Settings(ConfigModel):
    """The whole configuration file."""

    version: Annotated[Literal[1], BeforeValidator(_version), Field(description="The version of this file's form.")] = 1
    instance: Annotated[
        Name, Field(description="The owner's mark on every secret: two instances never touch each other's secrets.")
    ]
    mode: Annotated[
        Literal["sync", "observe"],
        Field(description="observe: everything is read and judged, and nothing is written."),
    ] = "sync"
    schedule: Annotated[Schedule, Field(description="When cycles run.")] = Schedule(every=timedelta(minutes=15))
    graph: Annotated[GraphConfig, Field(description="How Meta's Graph API is reached.")] = GraphConfig()
    apps: Annotated[dict[Name, AppConfig], Field(min_length=1, description="Meta apps, by a name of your choice.")]
    system_users: Annotated[
        dict[Name, SystemUserConfig], Field(min_length=1, description="System users, by a name of your choice.")
    ]
    stores: Annotated[
        dict[Name, Store], Field(min_length=1, description="Where the tokens go, by a name of your choice.")
    ]
    defaults: Annotated[Defaults, Field(description="What applies to every Page that does not say otherwise.")] = (
        Defaults()
    )
    probe_every: Annotated[
        Interval,
        Field(
            description="Each stored token is used once so often, on its Page's own quota; one that is refused is judged at once."
        ),
    ] = timedelta(minutes=15)
    verify_every: Annotated[
        Interval,
        Field(
            description="Meta is asked so often what a stored token is, the oldest word first; less often where the app's quota "
            "does not allow it. A word counts for twice that time."
        ),
    ] = timedelta(hours=24)
    brake: Annotated[
        BrakeConfig, Field(description="When a cycle's replacements of working tokens wait for a person.")
    ] = BrakeConfig()
    state: Annotated[
        StateConfig | None,
        Field(
            description="Where verdicts are remembered across restarts; without it each start asks again.",
            examples=[{"file": "/var/lib/page-token-sync/state.json"}],
        ),
    ] = None
    log: Annotated[LogConfig, Field(description="What is logged, and how.")] = LogConfig()
    pages: Annotated[
        tuple[PageEntry, ...],
        Field(
            strict=False,
            description="The Pages, a list: each with its id, and every key of the defaults may stand on one too.",
        ),
    ] = ()
    pages_from: Annotated[
        tuple[Text, ...],
        Field(
            strict=False,
            max_length=1000,
            description="Patterns of further files, from the folder of this one; each file is a list of Pages with id, name, labels, stores, system_user and hold only.",
        ),
    ] = ()
