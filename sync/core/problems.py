"""The closed list of problems: what each means, who must act, and what that person does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Owner = Literal["operator", "app-admin", "business-admin", "meta", "nobody"]
"""Who must act. "operator": whoever runs this daemon; "nobody": the problem resolves itself."""

Scope = Literal["app", "system_user", "store", "page", "instance"]
"""What shares one cause: all Pages of an app, of a system user, of a store, each Page alone, or the whole instance."""

NO_ACTION = "No action needed."

READ_AGAIN = "A file or a store is read again in each cycle; a variable needs a restart."
"""When a credential that was changed takes effect."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the catalogue: a sentence that is true of every case, who must act, and what that person does."""

    meaning: str
    owner: Owner
    remedy: str
    scope: Scope = "page"


def action_text(owner: str, remedy: str) -> str:
    """Return who must act and how, as one sentence after a label."""
    if remedy == NO_ACTION:
        return remedy
    return f"{'No action needed' if owner == 'nobody' else f'Action required ({owner})'}: {remedy}"


CATALOGUE: dict[str, Entry] = {
    "token-invalid": Entry(
        "Meta calls the token invalid.",
        "nobody",
        "It is replaced as soon as a valid token can be fetched. If this stays, generate a new system user token.",
    ),
    "token-expired": Entry(
        "The token has expired.",
        "nobody",
        "It is replaced as soon as a valid token can be fetched. If this stays, generate a new system user token.",
    ),
    "wrong-type": Entry(
        "The token is not a Page token.",
        "operator",
        "Check that the id is a Page's, and that the system user has a task on that Page.",
    ),
    "wrong-app": Entry(
        "The token belongs to another app.",
        "operator",
        "Check apps.*.id, and that the system user token was generated for this app.",
    ),
    "wrong-page": Entry("The token belongs to another Page.", "operator", "Check the Page's id in the configuration."),
    "missing-scope": Entry(
        "The token lacks a permission that checks.scopes requires.",
        "app-admin",
        "The permissions of a system user token are fixed when it is generated. In Business Settings > Users > System users, "
        "generate a new token for the app with this permission selected, and replace the old token with it.",
    ),
    "expires-too-soon": Entry(
        "The token expires sooner than checks.expires allows.",
        "app-admin",
        "Use a system user token that does not expire, or lower checks.expires.",
    ),
    "clock-skew": Entry(
        "The clock skew between this machine and Meta is too large to judge when the token expires.",
        "operator",
        "Set this machine's clock, and keep it synchronised by NTP (chrony, systemd-timesyncd, or the host's own).",
    ),
    "data-access-expiring": Entry(
        "The token's data access expires soon or has expired.",
        "app-admin",
        "Generate the system user token again. Data access does not expire for system users of the app's own business.",
    ),
    "no-access": Entry(
        "The system user cannot get a token of this Page.",
        "business-admin",
        "Check the Page's id: Graph gives the same error for a wrong id and for a Page without access. In Business Settings > "
        "Users > System users, assign the Page to the system user with Full control, or with Messages and Community activity. "
        "Check that the business still owns the Page and that the token has pages_show_list.",
    ),
    "missing-permission": Entry(
        "The system user token lacks a permission that Graph demands.",
        "app-admin",
        "The permissions of a system user token are fixed when it is generated. In Business Settings > Users > System users, "
        f"generate a new token for the app with this permission selected, and replace the old token with it. {READ_AGAIN}",
        "system_user",
    ),
    "page-not-found": Entry(
        "Graph knows no Page with this id.",
        "operator",
        "Check the Page's id. A user name or an alias is not an id.",
    ),
    "page-migrated": Entry(
        "The Page was merged into another one.",
        "operator",
        "Put the new id into the configuration; the message has it.",
    ),
    "not-a-page": Entry(
        "The id belongs to something other than a Page, such as a person.",
        "operator",
        "Find the Page's id in Business Settings > Accounts > Pages. The number in a profile's address is a different one.",
    ),
    "probe-failed": Entry(
        "Graph refuses a call with the stored token, although debug_token calls it valid.",
        "app-admin",
        "Check the app's permissions and the system user's task on the Page. A new token does not help.",
    ),
    "system-user-invalid": Entry(
        "The system user's token no longer works.",
        "app-admin",
        "In Business Settings > Users > System users, generate a new token for the app and store it where "
        f"system_users.*.token points. {READ_AGAIN}",
        "system_user",
    ),
    "system-user-expiring": Entry(
        "The system user's token expires soon.",
        "app-admin",
        "Generate a new one in Business Settings > Users > System users and store it where system_users.*.token points.",
        "system_user",
    ),
    "not-a-system-user": Entry(
        "The token under system_users is a person's, and not a system user's.",
        "app-admin",
        "Generate a token in Business Settings > Users > System users and store it where system_users.*.token points. A "
        "person's token stops working when that person changes the password or leaves the business.",
        "system_user",
    ),
    "renewal-failed": Entry(
        "The system user's token expires soon and could not be renewed.",
        "app-admin",
        "It is tried again every hour while the old token works. If this stays, generate a new token in Business Settings > "
        "Users > System users and store it where system_users.*.token points.",
        "system_user",
    ),
    "credential-unavailable": Entry(
        "A credential for Meta cannot be read, or is not shaped like one.",
        "operator",
        "Put the credential where its reference points, without quotes, blanks or line breaks. Meta is not asked until then. "
        f"{READ_AGAIN}",
        "system_user",
    ),
    "app-secret-invalid": Entry(
        "Meta refuses the app's id and secret.",
        "operator",
        "Compare apps.*.id and apps.*.secret with App settings > Basic. After a reset of the secret, store the new one.",
        "app",
    ),
    "app-blocked": Entry(
        "Meta has blocked the app's API access.",
        "app-admin",
        "Open the app's dashboard. Its alerts give the reason and the way to appeal.",
        "app",
    ),
    "app-capability": Entry(
        "The app lacks the product or capability for this call.",
        "app-admin",
        "In the app's dashboard, add the use case for managing Pages or for Messenger.",
        "app",
    ),
    "app-misconfigured": Entry(
        "A setting of the app forbids calls from a server.",
        "app-admin",
        'Open App settings > Advanced in the app\'s dashboard. Under App authentication, switch "Native or desktop app" off.',
        "app",
    ),
    "address-not-allowed": Entry(
        "The app does not allow calls from this machine's IP address.",
        "app-admin",
        "Open App settings > Advanced in the app's dashboard. Add the public IP address of this machine, or of its NAT gateway, "
        "to the Server IP allowlist, or empty the list.",
        "app",
    ),
    "two-factor-required": Entry(
        "The business that owns the Page requires two-factor authentication.",
        "app-admin",
        "In Business Settings > Security, make the system user's business meet the requirement, or relax it for this Page.",
    ),
    "policy-blocked": Entry(
        "Meta has blocked this token or user for policy reasons.",
        "app-admin",
        "Open Business Support Home, which shows the restriction. A new token does not help. Meta is asked again in each cycle.",
        "system_user",
    ),
    "throttled": Entry(
        "Meta's rate limit is used up.",
        "nobody",
        "Stored tokens stay as they are until Meta answers again. If this recurs, lengthen schedule.every.",
        "app",
    ),
    "graph-unavailable": Entry(
        "Graph could not be reached or gave no usable answer.",
        "nobody",
        "Graph is asked again in the next cycle. If this lasts, check the network path to graph.base_url and Meta's status page.",
        "app",
    ),
    "debug-unavailable": Entry(
        "debug_token did not say what the token is.",
        "operator",
        "Check that apps.*.id and apps.*.secret belong together. If the message is about the form of the call, set "
        "graph.token_in_url: fallback.",
        "app",
    ),
    "unexpected-graph-error": Entry(
        "Graph gave an error that this version does not know.",
        "operator",
        "Look the code up in Meta's error reference. If it lasts, report it with the fbtrace_id.",
    ),
    "version-sunset": Entry(
        "Graph does not know the version in graph.version.",
        "operator",
        "Set graph.version to a version of Meta's changelog, such as v25.0, and check graph.base_url.",
        "app",
    ),
    "secret-foreign": Entry(
        "The secret at this path does not belong to this instance.",
        "operator",
        "If it is meant to be this Page's, take it over: page-token-sync adopt PAGE --store STORE. Otherwise move it away, or choose "
        "another path for this Page. It is never overwritten.",
        "store",
    ),
    "secret-deleted": Entry(
        "The secret is scheduled for deletion.",
        "operator",
        "To keep it, restore it: aws secretsmanager restore-secret --secret-id NAME. The daemon never restores it.",
        "store",
    ),
    "rotation-enabled": Entry(
        "A rotation by another program is enabled on the secret.",
        "operator",
        "Disable the rotation (aws secretsmanager cancel-rotate-secret --secret-id NAME), or choose another name for the Page's secret.",
        "store",
    ),
    "foreign-write": Entry(
        "Somebody else wrote a token over a secret of this instance.",
        "operator",
        "Find out what writes to this secret, and stop it. The token stays while it works and is the system user's.",
        "store",
    ),
    "rollback-hold": Entry(
        "The secret is held since a rollback, so the daemon does not write it.",
        "operator",
        "When it may be written again: page-token-sync rollback PAGE --store STORE --release.",
        "store",
    ),
    "store-failed": Entry("The store could not do what was asked.", "operator", "See the message.", "store"),
}
"""Each problem code. The list grows only together with the documentation."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of one Page, token, system user or secret.

    ``message`` is a sentence about this case. ``owner`` and ``remedy`` come from the catalogue unless the case has its own.
    ``graph_code``, ``graph_subcode`` and ``fbtrace_id`` are from Graph's answer, where there is one. ``scope`` is what shares
    the cause, where that differs from the catalogue's.
    """

    code: str
    message: str
    owner: Owner | Literal[""] = ""
    remedy: str = ""
    graph_code: int | None = None
    graph_subcode: int | None = None
    fbtrace_id: str | None = None
    scope: Scope | Literal[""] = ""

    @property
    def shared_by(self) -> Scope:
        """What shares the cause of the problem."""
        return self.scope or CATALOGUE[self.code].scope

    def __post_init__(self) -> None:
        entry = CATALOGUE[self.code]
        if not self.owner:
            object.__setattr__(self, "owner", entry.owner)
        if not self.remedy:
            object.__setattr__(self, "remedy", entry.remedy)
