"""The keys of a Page, and their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Tag

from sync.config.schema.choices import TAG
from sync.config.schema.types import ConfigModel, Expires, GraphId, Name, PayloadText, Text, wrong
from sync.core.payload import PLACEHOLDERS, fill

SCOPES = frozenset(
    [
        "ads_management",
        "ads_read",
        "attribution_read",
        "business_management",
        "catalog_management",
        "commerce_account_manage_orders",
        "commerce_account_read_orders",
        "commerce_account_read_reports",
        "commerce_account_read_settings",
        "email",
        "instagram_basic",
        "instagram_branded_content_ads_brand",
        "instagram_branded_content_brand",
        "instagram_branded_content_creator",
        "instagram_content_publish",
        "instagram_manage_comments",
        "instagram_manage_events",
        "instagram_manage_insights",
        "instagram_manage_messages",
        "instagram_manage_upcoming_events",
        "instagram_shopping_tag_products",
        "leads_retrieval",
        "manage_app_solution",
        "manage_fundraisers",
        "page_events",
        "pages_events",
        "pages_manage_ads",
        "pages_manage_cta",
        "pages_manage_engagement",
        "pages_manage_instant_articles",
        "pages_manage_metadata",
        "pages_manage_posts",
        "pages_messaging",
        "pages_messaging_phone_number",
        "pages_messaging_subscriptions",
        "pages_read_engagement",
        "pages_read_user_content",
        "pages_show_list",
        "pages_user_gender",
        "pages_user_locale",
        "pages_user_timezone",
        "pages_utility_messaging",
        "private_computation_access",
        "public_profile",
        "publish_video",
        "read_audience_network_insights",
        "read_custom_friendlists",
        "read_insights",
        "threads_business_basic",
        "whatsapp_business_manage_events",
        "whatsapp_business_management",
        "whatsapp_business_messaging",
    ]
)
"""Permissions of Meta, to recognise a mistyped one (its permissions reference, November 2026); others are allowed."""


class ChecksConfig(ConfigModel):
    """What a token must have in addition to being valid. A key that a Page leaves out has the value of defaults."""

    scopes: Annotated[tuple[Text, ...] | None, Field(strict=False)] = None
    """Permissions that the token must have for its Page. Default: [pages_messaging]."""
    expires: Expires | None = None
    """The minimum time until the token expires. A token that never expires always passes; never: only such a token
    passes. Default: 7d."""


def _payload_kind(value: Any) -> str | None:
    if isinstance(value, str):
        return TAG + "text"
    return TAG + "fields" if isinstance(value, Mapping) else None


_LARGEST_PAYLOAD = 60_000


def _has_token(value: str | dict[str, str]) -> str | dict[str, str]:
    texts = [value] if isinstance(value, str) else list(value.values())
    if sum(len(text.encode()) for text in (*texts, *(value if isinstance(value, dict) else ()))) > _LARGEST_PAYLOAD:
        wrong(
            "bad-value",
            "the payload is larger than 60,000 bytes",
            "AWS allows 65,536 bytes in a secret, including the token",
        )
    if not any("\0" in fill(text, {**dict.fromkeys(PLACEHOLDERS, ""), "token": "\0"}) for text in texts):
        wrong(
            "bad-template",
            "the payload has no {token}, so that no application could read the token",
            'write "{token}" as one of the values',
        )
    return value


Payload = Annotated[
    Annotated[PayloadText, Tag(TAG + "text")] | Annotated[dict[str, PayloadText], Tag(TAG + "fields")],
    Discriminator(_payload_kind),
    AfterValidator(_has_token),
]


class FilePage(ConfigModel):
    """A Page in one of the files of pages_from."""

    id: GraphId
    """The Page's id, in quotes."""
    name: Name | None = None
    """The Page's unique name in this program. Default: its id."""
    labels: dict[str, str] | None = None
    """Labels in addition to those of defaults, which they override."""
    stores: Annotated[tuple[Name, ...] | None, Field(strict=False, min_length=1)] = None
    """The stores to write this Page's token to."""
    system_user: Name | None = None
    """The system user that has access to this Page."""
    hold: bool | None = None
    """true: cycles read and verify this Page and write nothing for it; adopt --yes and rollback --yes still do."""


class PageEntry(FilePage):
    """A Page in the main file: it may have every key of defaults."""

    checks: ChecksConfig | None = None
    """Checks of this Page's token."""
    payload: Payload | None = None
    """This Page's payload, instead of the one of defaults."""


class Defaults(ConfigModel):
    """Defaults of every Page; a Page can override each."""

    system_user: Annotated[Name | None, Field(examples=["main"])] = None
    """Optional if there is only one system user."""
    stores: Annotated[tuple[Name, ...] | None, Field(strict=False, min_length=1)] = None
    """The stores to write the tokens to. Optional if there is only one store."""
    checks: ChecksConfig = ChecksConfig()
    """What a token must have in addition to being valid."""
    payload: Payload = Field(
        default_factory=lambda: {"access_token": "{token}", "page_id": "{id}", "app_id": "{app_id}"}
    )
    """What applications read: a mapping of names to texts, or one text. Placeholders: those of paths, and {token}."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels on every secret, within the limits of its store."""
    hold: bool = False
    """true: cycles read and verify Pages and write nothing for them; adopt --yes and rollback --yes still do."""
