"""The catalogue of what doctor examines: each id, and what it stands for."""

from __future__ import annotations

from collections.abc import Mapping

from sync.core.report.finding import Finding
from sync.core.report.store_findings import STORE_CHECKS

CHECKS: Mapping[str, str] = {
    "process-configuration": "The configuration has no warning.",
    "process-user": "The program does not run as root.",
    "process-files": "No other user of the machine can read the credential files, or change them or the configuration.",
    "process-mounts": "Edited files reach the program: none of them is mounted as a single file.",
    "process-environment": "No variable of the environment is ignored, or sends calls to another address.",
    "process-listen": "The address of the web server can be reached from outside the container.",
    "process-state": "The state file can be written.",
    "process-credentials": "The credentials of the web server, the heartbeat and the notifications can be read.",
    "graph-dns": "The name of Graph's host has an IP address.",
    "graph-reached": "Graph answers, and its certificate is trusted.",
    "clock": "The clock of this machine is Meta's.",
    "graph-version": "Graph serves the version in graph.version.",
    "app-secret": "Meta accepts the app's id and secret.",
    "app-business": "The business that owns the app is the system user's.",
    "system-user-token": "The token can be read, Meta calls it valid, and it is a system user's of this app.",
    "system-user-scopes": "The token has the permissions that its Pages need.",
    "system-user-expiry": "The token does not expire, or is renewed in time.",
    "page-visible": "The id is a Page's, and Graph shows it to the system user.",
    "page-tasks": "The Page is assigned to the system user, with a task that suffices.",
    "page-business": "The business of the system user owns the Page.",
    "page-token": "Graph returns the Page's token.",
    "page-proof": "debug_token calls the Page's token valid, and it passes the Page's checks.",
    **STORE_CHECKS,
}
"""Each check and what is true where it ends with ok, in the order of the chain."""

GROUPS: Mapping[str, str] = {
    "process": "This process",
    "graph": "Meta",
    "clock": "Meta",
    "app": "Apps",
    "system": "System users",
    "page": "Pages",
    "store": "Stores",
}


def group(check: str) -> str:
    """Return the title of the group that a check belongs to."""
    return GROUPS[check.partition("-")[0]]


def ok(check: str, subject: str = "", message: str = "") -> Finding:
    """Return that a check found nothing wrong; without a message it is what the check stands for."""
    return Finding(check, subject, "ok", message or CHECKS[check])
