"""Requests and replies as values, and Graph's errors with their exact messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
Behaviour = Literal["drip-headers", "drip-body", "cut", "close", "hang"]
_COMPACT = json.JSONEncoder(separators=(",", ":"))
DOCS = "https://developers.facebook.com/docs/graph-api"


@dataclass(frozen=True, slots=True)
class Request:
    """One call: header names are in lower case, query and form are decoded, the last value of a repeated name counts."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def params(self) -> dict[str, str]:
        """Query and form together; the form wins, as the body does at Graph."""
        return {**self.query, **self.form}


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent back, and how.

    ``behaviour`` makes the server send it wrongly; ``delay`` is seconds before it sends, ``pause`` seconds between the
    bytes of a drip.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    behaviour: Behaviour | None = None
    delay: float = 0.0
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class FakeAnswer:
    """An answer before the common headers are added: JSON, or ``raw`` bytes of ``content_type``.

    ``value`` may be anything that JSON can say, or an error. ``headers`` are those that only this answer has.
    """

    status: int
    value: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    raw: bytes | None = None
    content_type: str = "application/json; charset=UTF-8"
    behaviour: Behaviour | None = None
    delay: float = 0.0
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class GraphError:
    """An error of Graph; ``code`` None is the batch envelope's, which has none."""

    message: str
    code: int | None = 100
    subcode: int | None = None
    type: str = "OAuthException"
    status: int = 400
    is_transient: bool | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    def body(self, trace: str) -> Json:
        """Return the envelope; keys that do not apply are left out, as Meta leaves them out."""
        error: Json = {"message": self.message, "type": self.type}
        if self.code is not None:
            error["code"] = self.code
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.is_transient is not None:
            error["is_transient"] = self.is_transient
        return {"error": {**error, **self.extra, "fbtrace_id": trace}}

    def challenge(self) -> str:
        """Return the value of ``WWW-Authenticate`` that Meta sends with every error."""
        kind = "invalid_token" if self.code == 190 else "invalid_request"  # noqa: PLR2004 - Graph's own code
        text = "".join(char if " " <= char <= "~" else "?" for char in self.message).replace('"', "'")
        return f'OAuth "Facebook Platform" "{kind}" "{text}"'


def dump(value: Any) -> bytes:
    r"""Write JSON as Graph does: ASCII only, no blanks, and ``\/`` for a slash."""
    return _COMPACT.encode(value).replace("/", "\\/").encode()


def unsupported(method: str, node: str) -> GraphError:
    """Return the one error that Graph has for objects that are missing, hidden, or without this operation."""
    return GraphError(
        f"Unsupported {method.lower()} request. Object with ID '{node}' does not exist, cannot be loaded due to missing "
        f"permissions, or does not support this operation. Please read the Graph API documentation at {DOCS}",
        100,
        33,
        "GraphMethodException",
    )


def nonexisting_field(name: str, node_type: str) -> GraphError:
    """Refuse a field that the node does not have."""
    return GraphError(f"(#100) Tried accessing nonexisting field ({name}) on node type ({node_type})")


def unknown_path(path: str) -> GraphError:
    """Refuse a path, or any path under a version that does not exist."""
    return GraphError(f"Unknown path components: {path}", 2500)


NO_TOKEN = GraphError("An access token is required to request this resource.", 104)
NO_USER = GraphError("An active access token must be used to query information about the current user.", 2500)
PROOF_REQUIRED = GraphError(
    "API calls from the server require an appsecret_proof argument", type="GraphMethodException"
)
PROOF_WRONG = GraphError("Invalid appsecret_proof provided in the API argument", type="GraphMethodException")
NOT_THE_APP = GraphError(
    "(#100) You must provide an app access token, or a user access token that is an owner or developer of the app"
)
OTHER_APP = GraphError("(#100) The App_id in the input_token did not match the Viewing App")
APP_UNKNOWN = "Error validating application. Cannot get application info due to a system error."
BAD_SIGNATURE = "Invalid OAuth access token signature."
CANNOT_PARSE = "Invalid OAuth access token - Cannot parse access token"
NOT_DECRYPTED = "The access token could not be decrypted"
APP_BLOCKED = GraphError("API access blocked.", 200)
APP_NOT_ACTIVE = GraphError(
    "(#200) Access to this data is temporarily disabled for non-active apps or apps that have not recently accessed this "
    "data type due to changes we are making to the Facebook Platform.",
    200,
)
ADDRESS_REFUSED = GraphError("(#5) This IP can't make requests for that application.", 5)
DESKTOP_APP = GraphError(
    "(#15) This method cannot be called with a client token or an app secret embedded in a client application.", 15
)
NO_APP_ID = GraphError("(#200) Provide valid app ID", 200)


def permission_required(name: str) -> GraphError:
    """Refuse a caller whose token lacks a permission."""
    return GraphError(f"(#283) Requires {name} permission to manage the object", 283, status=403)


def shown_to_a_person(text: str) -> GraphError:
    """Return an error with a title and a text for a person, beside the developer's message."""
    texts = {
        "error_user_title": "Action required",
        "error_user_msg": text or "Confirm the business in Business Settings.",
    }
    return GraphError("(#200) Permissions error", 200, status=403, extra=texts)


_PUBLIC_ACCESS = (
    "the 'pages_read_engagement' permission or the 'Page Public Content Access' feature or the "
    "'Page Public Metadata Access' feature"
)
REFUSALS: dict[str, GraphError | None] = {
    "field-missing": None,
    "nonexisting-field": GraphError("(#100) Tried accessing nonexisting field (access_token)"),
    "object-missing": None,
    "public-content": GraphError(
        "(#100) Object does not exist, cannot be loaded due to missing permission or reviewable feature, or does not "
        f"support this operation. This endpoint requires {_PUBLIC_ACCESS}. Refer to {DOCS}/overview/access-levels"
    ),
    "feature-review": GraphError(
        "(#10) To use 'Page Public Content Access', your use of this endpoint must be reviewed and approved by Facebook. "
        "To submit this 'Page Public Content Access' feature for review please read our documentation on reviewable "
        "features: https://developers.facebook.com/docs/apps/review.",
        10,
    ),
    "metadata-access": GraphError(
        "(#100) Page Public Metadata Access requires either app secret proof or an app token"
    ),
    "impersonation": GraphError(
        "Any of the pages_read_engagement, pages_manage_metadata, pages_read_user_content, pages_manage_ads, "
        "pages_show_list or pages_messaging permission(s) must be granted before impersonating a user's page.",
        190,
    ),
    "no-role": GraphError("The user must be an administrator of the page in order to impersonate it.", 190, 492),
}
"""The shapes in which Graph refuses a Page's token to a caller without access to it, all of them seen in public reports."""

FIELD_ONLY = frozenset({"field-missing", "nonexisting-field", "impersonation", "no-role"})
"""The refusals of ``access_token`` alone: other fields of the Page are still answered."""
