"""The keys of a Page, and those that all Pages share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Tag

from sync.config.schema.choices import TAG
from sync.config.schema.types import ConfigModel, Expires, GraphId, Name, PayloadText, Text, wrong
from sync.core.payload import PLACEHOLDERS, fill


class ChecksConfig(ConfigModel):
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


class FilePage(ConfigModel):
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
    hold: Annotated[bool | None, Field(description="true: this Page is read and judged, and nothing is written.")] = (
        None
    )


class PageEntry(FilePage):
    """A Page as the main file lists it: every key of the defaults may stand here too."""

    checks: Annotated[ChecksConfig | None, Field(description="Checks of this Page's token.")] = None
    payload: Annotated[Payload | None, Field(description="This Page's payload, instead of that of the defaults.")] = (
        None
    )


class Defaults(ConfigModel):
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
    checks: Annotated[ChecksConfig, Field(description="What a token must fulfil beyond being valid.")] = ChecksConfig()
    payload: Annotated[
        Payload,
        Field(
            description="What applications read: a mapping of names to texts, or one text. Knows what paths know, and {token}."
        ),
    ] = Field(default_factory=lambda: {"access_token": "{token}", "page_id": "{id}", "app_id": "{app_id}"})
    labels: Annotated[
        dict[str, str], Field(description="Labels that every secret carries, within the limits of its store.")
    ] = Field(default_factory=dict)
    hold: Annotated[bool, Field(description="true: Pages are read and judged, and nothing is written for them.")] = (
        False
    )
