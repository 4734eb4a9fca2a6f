"""The closed list of problems: what each means, who acts, and what that person does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Owner = Literal["operator", "app-admin", "business-admin", "meta", "nobody"]
"""Who must act. "operator": whoever runs this daemon; "nobody": it heals or passes by itself."""

Scope = Literal["app", "system_user", "store", "page"]
"""What shares one cause of a problem: all Pages of an app, of a system user, of a store, or each Page alone."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the catalogue: the sentence that is always true of the code, who acts, and the remedy."""

    meaning: str
    owner: Owner
    remedy: str
    scope: Scope = "page"


CATALOGUE: dict[str, Entry] = {
    "token-invalid": Entry(
        "Meta calls the token invalid.",
        "nobody",
        "Healed as soon as a valid token can be fetched. If it stays, generate a new system user token.",
    ),
    "token-expired": Entry(
        "The token has reached its end.",
        "nobody",
        "Healed as soon as a valid token can be fetched. If it stays, generate a new system user token.",
    ),
    "wrong-type": Entry(
        "The token is not a Page token.",
        "operator",
        "Check that the id is a Page's and that the system user has a task on that Page.",
    ),
    "wrong-app": Entry(
        "The token belongs to another app.",
        "operator",
        "Check apps.*.id, and that the system user token was generated for this app.",
    ),
    "wrong-page": Entry("The token belongs to another Page.", "operator", "Check the Page's id in the configuration."),
    "missing-scope": Entry(
        "The token lacks a permission that checks.scopes asks for.",
        "app-admin",
        "Permissions are fixed when a system user token is made: in Business Settings > Users > System users, "
        "generate a new token for the app with this permission ticked, and put it in place of the old one.",
    ),
    "expires-too-soon": Entry(
        "The token ends sooner than checks.expires allows.",
        "app-admin",
        "Use a system user token that does not expire, or lower checks.expires.",
    ),
    "clock-skew": Entry(
        "This machine's clock and Meta's are too far apart to say whether the token ends too soon.",
        "operator",
        "Set this machine's clock right, and keep it so by NTP (chrony, systemd-timesyncd, or the host's own).",
    ),
    "data-access-expiring": Entry(
        "The token's access to data ends soon or has ended.",
        "app-admin",
        "Generate the system user token again; system users of the app's own business have no such end.",
    ),
    "no-access": Entry(
        "The system user reaches no token of this Page.",
        "business-admin",
        "Check the Page's id: Graph does not tell a wrong one from a Page out of reach. In Business Settings > Users > "
        "System users, assign the Page to the system user with Full control, or with Messages and Community activity; "
        "check that the business still owns the Page and that the token has pages_show_list.",
    ),
    "page-not-found": Entry(
        "Graph knows no Page by this id.", "operator", "Check the Page's id; a user name or an alias is no id."
    ),
    "page-migrated": Entry(
        "The Page was merged into another one.",
        "operator",
        "Put the new id, which the message names, into the configuration.",
    ),
    "not-a-page": Entry(
        "The id belongs to something that is no Page, such as a person.",
        "operator",
        "Find the Page's id in Business Settings > Accounts > Pages; the number in a profile's address is another one.",
    ),
    "probe-failed": Entry(
        "Graph refuses a call with the stored token, though Meta calls it valid.",
        "app-admin",
        "Look at the app's permissions and at the system user's task on the Page; the token itself is as Meta wants it.",
    ),
    "system-user-invalid": Entry(
        "The system user's token no longer works.",
        "app-admin",
        "In Business Settings > Users > System users, generate a new token for the app and put it where "
        "system_users.*.token points; it is read again in each cycle.",
    ),
    "system-user-expiring": Entry(
        "The system user's token ends soon.",
        "app-admin",
        "Generate a new one in Business Settings > Users > System users and put it where system_users.*.token points.",
    ),
    "renewal-failed": Entry(
        "The system user's token ends, and could not be renewed.",
        "app-admin",
        "It is tried again every hour while the old one works. If it stays, generate a new token in Business Settings > Users > "
        "System users and put it where system_users.*.token points.",
    ),
    "app-secret-invalid": Entry(
        "Meta refuses the app's id and secret.",
        "operator",
        "Compare apps.*.id and apps.*.secret with App settings > Basic; after a reset of the secret put the new one in place.",
    ),
    "app-blocked": Entry(
        "Meta has blocked the app's API access.",
        "app-admin",
        "Open the app's dashboard: its alerts say why and how to appeal.",
    ),
    "app-capability": Entry(
        "The app lacks the product or capability for this call.",
        "app-admin",
        "In the app's dashboard add the use case for managing Pages or Messenger.",
    ),
    "two-factor-required": Entry(
        "The business that owns the Page demands two-factor authentication.",
        "app-admin",
        "In Business Settings > Security, let the system user's business satisfy the rule, or relax it for this Page.",
    ),
    "policy-blocked": Entry(
        "Meta has blocked this token or user for policy reasons; a new token does not help.",
        "app-admin",
        "Open Business Support Home: it names the restriction. Meta is asked again in each cycle.",
    ),
    "throttled": Entry(
        "Meta's rate limit is used up.",
        "nobody",
        "Wait; the stored tokens stay as they are. Lengthen schedule.every if it recurs.",
    ),
    "graph-unavailable": Entry(
        "Graph could not be reached or gave no usable answer.",
        "nobody",
        "It is asked again in the next cycle. If it lasts, check the way to graph.base_url, then Meta's status page.",
    ),
    "debug-unavailable": Entry(
        "Meta would not say what the token is.",
        "operator",
        "Check that apps.*.id and apps.*.secret belong together. If the message speaks of the form of the call, set "
        "graph.token_in_url: fallback.",
    ),
    "unexpected-graph-error": Entry(
        "Graph gave an error that this version does not know.",
        "operator",
        "Look the code up in Meta's error reference; if it lasts, report it with the fbtrace_id.",
    ),
    "version-sunset": Entry(
        "Graph serves another version than graph.version asks for.",
        "operator",
        "Set graph.version to a version that Meta still serves.",
    ),
    "secret-foreign": Entry(
        "The secret at this place is not ours.",
        "operator",
        "Move it away or choose another path for this Page; it is never overwritten.",
    ),
    "secret-deleted": Entry(
        "The secret is scheduled for deletion.",
        "operator",
        "If it should live, restore it: aws secretsmanager restore-secret --secret-id NAME. It is never restored by this daemon.",
    ),
    "rotation-enabled": Entry(
        "A rotation by another program is enabled on the secret.",
        "operator",
        "Switch the rotation off (aws secretsmanager cancel-rotate-secret --secret-id NAME), or let the Page's secret have another name.",
    ),
    "store-failed": Entry("The store could not do what was asked.", "operator", "See the message."),
}
"""Each problem code. The list grows only together with the documentation."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of one Page, token, system user or secret.

    ``message`` is the particular of this case. ``owner`` and ``remedy`` come from the catalogue unless the case knows better.
    ``graph_code``, ``graph_subcode`` and ``fbtrace_id`` are what Graph said, where it said something.
    """

    code: str
    message: str
    owner: str = ""
    remedy: str = ""
    graph_code: int | None = None
    graph_subcode: int | None = None
    fbtrace_id: str | None = None

    def __post_init__(self) -> None:
        entry = CATALOGUE[self.code]
        if not self.owner:
            object.__setattr__(self, "owner", entry.owner)
        if not self.remedy:
            object.__setattr__(self, "remedy", entry.remedy)
