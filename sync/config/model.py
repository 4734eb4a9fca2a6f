"""All keys of the configuration: the one source of validation, of the JSON Schema and of the example's comments."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from sync.config.cron import CronError, parse_cron
from sync.config.durations import Duration, Expires, PositiveDuration
from sync.config.stores import Store
from sync.config.values import (
    TAG,
    Address,
    FilePath,
    GraphId,
    Name,
    Part,
    PayloadText,
    Reference,
    Text,
    wrong,
)
from sync.core.payload import PLACEHOLDERS, fill


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


class Schedule(Part):
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


class Graph(Part):
    """How Meta's Graph API is reached."""

    version: Annotated[str, Field(pattern=r"^v[0-9]{1,3}\.[0-9]$", description="Graph's version.")] = "v25.0"
    base_url: Annotated[Address, Field(description="Graph's address; the sandbox is at http://127.0.0.1:8099.")] = (
        "https://graph.facebook.com"
    )
    timeout: Annotated[PositiveDuration, Field(description="The longest that one answer may take as a whole.")] = (
        timedelta(seconds=60)
    )
    token_in_url: Annotated[
        Literal["never", "fallback"],
        Field(
            description="fallback: allows debug_token's documented form with the token in the URL if the other is refused."
        ),
    ] = "never"  # noqa: S105 - a word of the configuration, no token
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


class App(Part):
    """A Meta app."""

    id: Annotated[GraphId, Field(description="The app's id, in quotes.")]
    secret: Annotated[Reference, Field(description="A reference to the app secret.")]


class SystemUser(Part):
    """A system user of the business that owns the Pages."""

    app: Annotated[
        Name | None, Field(description="The app that the token belongs to; may be left out when there is one.")
    ] = None
    token: Annotated[Reference, Field(description="A reference to the system user's token.")]


class CheckSettings(Part):
    """What a token must fulfil beyond being valid; a key that a Page leaves out is taken from the defaults."""

    scopes: Annotated[
        tuple[Text, ...] | None,
        Field(
            strict=False,
            description="Permissions that the token must have for its Page; [pages_messaging] if nothing is said.",
        ),
    ] = None
    expires: Annotated[
        Expires | None,
        Field(
            description="The least life that must be left; a token without an end always passes. never: nothing else will do. 7d if nothing is said."
        ),
    ] = None


def _payload_kind(value: Any) -> str | None:
    if isinstance(value, str):
        return TAG + "text"
    return TAG + "fields" if isinstance(value, Mapping) else None


_LARGEST_PAYLOAD = 60_000


def _has_token(value: str | dict[str, str]) -> str | dict[str, str]:
    texts = [value] if isinstance(value, str) else list(value.values())
    if sum(len(text.encode()) for text in (*texts, *(value if isinstance(value, dict) else ()))) > _LARGEST_PAYLOAD:
        wrong("bad-value", "a payload larger than 60,000 bytes", "AWS holds 65,536 bytes in a secret, token included")
    if not any("\0" in fill(text, {**dict.fromkeys(PLACEHOLDERS, ""), "token": "\0"}) for text in texts):
        wrong(
            "bad-template",
            "no {token} in it: an application could not read the token",
            'write "{token}" for one of the values',
        )
    return value


Payload = Annotated[
    Annotated[PayloadText, Tag(TAG + "text")] | Annotated[dict[str, PayloadText], Tag(TAG + "fields")],
    Discriminator(_payload_kind),
    AfterValidator(_has_token),
]


class FilePage(Part):
    """A Page as a further file may list it."""

    id: Annotated[GraphId, Field(description="The Page's id, in quotes.")]
    name: Annotated[Name | None, Field(description="The Page's name here; its id if nothing is said. Unique.")] = None
    labels: Annotated[
        dict[str, str] | None, Field(description="Labels beside those of the defaults; a Page's own win.")
    ] = None
    stores: Annotated[
        tuple[Name, ...] | None,
        Field(strict=False, min_length=1, description="The stores that hold this Page's token."),
    ] = None
    system_user: Annotated[Name | None, Field(description="The system user that reaches this Page.")] = None


class PageEntry(FilePage):
    """A Page as the main file lists it: every key of the defaults may stand here too."""

    checks: Annotated[CheckSettings | None, Field(description="Checks of this Page's token.")] = None
    payload: Annotated[Payload | None, Field(description="This Page's payload, instead of that of the defaults.")] = (
        None
    )


class Defaults(Part):
    """What applies to every Page that does not say otherwise."""

    system_user: Annotated[
        Name | None, Field(description="May be left out when there is only one.", examples=["main"])
    ] = None
    stores: Annotated[
        tuple[Name, ...] | None,
        Field(
            strict=False,
            min_length=1,
            description="The stores that hold the tokens; may be left out when there is only one.",
        ),
    ] = None
    checks: Annotated[CheckSettings, Field(description="What a token must fulfil beyond being valid.")] = (
        CheckSettings()
    )
    payload: Annotated[
        Payload,
        Field(
            description="What applications read: a mapping of names to texts, or one text. Knows what paths know, and {token}."
        ),
    ] = Field(default_factory=lambda: {"access_token": "{token}", "page_id": "{id}", "app_id": "{app_id}"})
    labels: Annotated[
        dict[str, str], Field(description="Labels that every secret carries, within the limits of its store.")
    ] = Field(default_factory=dict)


class Log(Part):
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


class Settings(Part):
    """The whole configuration file."""

    version: Annotated[Literal[1], BeforeValidator(_version), Field(description="The version of this file's form.")] = 1
    instance: Annotated[
        Name, Field(description="The owner's mark on every secret: two instances never touch each other's secrets.")
    ]
    schedule: Annotated[Schedule, Field(description="When cycles run.")] = Schedule(every=timedelta(minutes=15))
    graph: Annotated[Graph, Field(description="How Meta's Graph API is reached.")] = Graph()
    apps: Annotated[dict[Name, App], Field(min_length=1, description="Meta apps, by a name of your choice.")]
    system_users: Annotated[
        dict[Name, SystemUser], Field(min_length=1, description="System users, by a name of your choice.")
    ]
    stores: Annotated[
        dict[Name, Store], Field(min_length=1, description="Where the tokens go, by a name of your choice.")
    ]
    defaults: Annotated[Defaults, Field(description="What applies to every Page that does not say otherwise.")] = (
        Defaults()
    )
    log: Annotated[Log, Field(description="What is logged, and how.")] = Log()
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
            description="Patterns of further files, from the folder of this one; each file is a list of Pages with id, name, labels, stores and system_user only.",
        ),
    ] = ()
