"""Which permission an error of Graph's says that the system user token lacks, in the forms that were reported."""

from __future__ import annotations

import pytest

from sync.core.model import State
from sync.graph.errors import classify
from sync.graph.fault import Fault
from sync.graph.permissions import with_lacking_permissions

IMPERSONATING = (
    "Any of the pages_read_engagement, pages_manage_metadata, pages_read_user_content, pages_manage_ads, "
    "pages_show_list or pages_messaging permission(s) must be granted before impersonating a user's page."
)
ONE_OF_SIX = (
    "pages_read_engagement, pages_manage_metadata, pages_read_user_content, pages_manage_ads, pages_show_list or "
    "pages_messaging"
)
PUBLIC = (
    "(#100) Object does not exist, cannot be loaded due to missing permission or reviewable feature, or does not support "
    "this operation. This endpoint requires the 'pages_read_engagement' permission or the 'Page Public Content Access' "
    "feature or the 'Page Public Metadata Access' feature."
)
METADATA = "(#100) Page Public Metadata Access requires either app secret proof or an app token"
MESSAGING = ("pages_messaging",)
READING = ("pages_messaging", "pages_show_list", "pages_read_engagement", "pages_manage_metadata")


# code, text, the token's scopes (None: not known), and what it lacks
CASES = [
    (283, "(#283) Requires pages_read_engagement permission to manage the object", MESSAGING, "pages_read_engagement"),
    (283, "(#283) Requires pages_read_engagement permission to manage the object", None, "pages_read_engagement"),
    (283, "(#283) Requires pages_read_engagement permission to manage the object", READING, ""),
    (283, "(#283) Requires business_management permission to manage the object", READING, "business_management"),
    (283, "", MESSAGING, "pages_show_list, pages_read_engagement and pages_manage_metadata"),
    (200, "(#200) Requires pages_manage_metadata permission", MESSAGING, "pages_manage_metadata"),
    (200, "(#200) Requires extended permission: manage_pages", READING, "manage_pages"),
    (210, "(#210) Requires pages_manage_metadata permission", MESSAGING, "pages_manage_metadata"),
    (10, "(#10) Requires pages_read_engagement permission", MESSAGING, "pages_read_engagement"),
    (
        10,
        "(#10) This endpoint requires the pages_read_engagement and pages_show_list permissions",
        MESSAGING,
        "pages_read_engagement and pages_show_list",
    ),
    (
        10,
        "(#10) This endpoint requires the pages_read_engagement and pages_show_list permissions",
        (*MESSAGING, "pages_show_list"),
        "pages_read_engagement",
    ),
    (200, "(#200) Requires either pages_show_list or pages_manage_metadata permission", ("pages_show_list",), ""),
    (
        200,
        "(#200) Requires either pages_show_list or pages_manage_metadata permission",
        (),
        "pages_show_list or pages_manage_metadata",
    ),
    (190, IMPERSONATING, ("business_management",), ONE_OF_SIX),
    (190, IMPERSONATING, None, ONE_OF_SIX),
    (190, IMPERSONATING, MESSAGING, ""),
    (100, IMPERSONATING, ("business_management",), ONE_OF_SIX),
    (100, PUBLIC, MESSAGING, "pages_read_engagement"),
    (100, PUBLIC, READING, ""),
    (100, PUBLIC, None, ""),
    (100, METADATA, MESSAGING, "pages_show_list, pages_read_engagement and pages_manage_metadata"),
    (100, METADATA, READING, ""),
    (100, METADATA, None, "pages_show_list, pages_read_engagement or pages_manage_metadata"),
    (100, "(#100) Tried accessing nonexisting field (access_token)", (), ""),
    (190, "Error validating access token: the permission some_thing was removed", (), ""),
    (10, "(#10) Application does not have permission for this action", (), ""),
    (10, "(#10) To use 'Page Public Content Access', your use of this endpoint must be reviewed", (), ""),
    (4, "(#4) Requires pages_messaging permission", (), ""),
]


@pytest.mark.parametrize(("code", "text", "scopes", "lacks"), CASES)
def test_a_permission_is_missing_where_graph_and_debug_token_say_so(
    code: int, text: str, scopes: tuple[str, ...] | None, lacks: str
) -> None:
    """The permission is named that Graph demands and the token does not have; one that the token has is never blamed."""
    fault = Fault("error", 400, code=code, text=text)
    assert with_lacking_permissions(fault, scopes).lacks == lacks


@pytest.mark.parametrize(
    ("code", "text", "scopes", "granted"),
    [
        (
            283,
            "(#283) Requires pages_read_engagement permission to manage the object",
            READING,
            "pages_read_engagement",
        ),
        (283, "(#283) Requires pages_read_engagement permission to manage the object", MESSAGING, ""),
        (283, "(#283) Requires pages_read_engagement permission to manage the object", None, ""),
        (10, "(#10) Requires pages_read_engagement permission", READING, "pages_read_engagement"),
        (200, "(#200) Permissions error", READING, ""),
        (283, "", READING, ""),
    ],
)
def test_a_permission_that_is_demanded_and_listed_is_granted(
    code: int, text: str, scopes: tuple[str, ...] | None, granted: str
) -> None:
    """Where debug_token lists what Graph demands, the message says so: a new token with it selected would not help."""
    fault = with_lacking_permissions(Fault("error", 400, code=code, text=text), scopes)
    message = classify(fault, "page", State.VALID).error(fault).problem.message
    assert message.startswith(f"debug_token lists {granted} on the system user token, but") is bool(granted)


def test_the_text_for_a_person_may_name_the_permission() -> None:
    """Where only that text names it, it is found there."""
    fault = Fault("error", 403, code=200, text="Permissions error", user_text="Grant the permission pages_show_list.")
    assert with_lacking_permissions(fault, MESSAGING).lacks == "pages_show_list"


def test_only_an_error_names_a_permission() -> None:
    """An answer without a token has no text to read one from."""
    assert with_lacking_permissions(Fault("no-token"), ()).lacks == ""
