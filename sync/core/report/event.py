"""The closed list of log events, and the fields that their lines share. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sync.core.memory.problems import ProblemKey
from sync.core.problems import CATALOGUE, Problem
from sync.core.report.changes import MOST_NAMED
from sync.core.report.entries import WORST_FIRST, PageEntry

EVENTS: Mapping[str, str] = {
    "daemon_started": "The daemon starts: version, instance, number of Pages, configuration file, and when cycles run.",
    "daemon_stopped": "The daemon has stopped after a signal, or (level error) could not start; message says why.",
    "cycle_started": "A cycle starts; logged at debug.",
    "cycle_finished": "A cycle has ended, with its result and its counts; the only line of a cycle in which nothing changed.",
    "config_reloaded": "An edited configuration is in force; pages_added, pages_removed, pages_changed and keys say what changed.",
    "config_rejected": "The configuration is wrong and not in force; errors lists what is wrong, with file and line.",
    "cycle_warning": "Something needs an operator's attention and does not change the result yet; the first line of this warning.",
    "page_written": "A secret was created, updated or replaced.",
    "served_changed": "The stored tokens of Pages serve something else than in the last cycle; served and previous_served say what.",
    "page_checked": "An app asked for a check of these Pages between two cycles; what the check changed is on the lines before.",
    "page_refused": "Secrets are not written because another program or instance owns them, or the store blocks writes; the first line of this cause.",
    "page_held": "Writes were decided and are held by hold, observe, a rollback, another plan or because the new token is weaker; the first line of this cause.",
    "page_lost": "Pages have been out of their system user's reach for long enough to count as lost; they had worked before.",
    "page_regained": "Pages that were lost can be read again.",
    "brake_held": "Too many working tokens of a store would change at once; remedy has the command that lets these writes through.",
    "secret_changed": "Somebody else wrote to a secret of this instance; logged once for each such write.",
    "problem_started": "A cause of problems began, or reached further Pages; causes that have an event of their own begin with that one instead.",
    "problem_reminder": "A cause still lasts; logged once a day.",
    "problem_ended": "A cause has ended; since and duration_ms say how long it lasted.",
    "system_user_invalid": "A system user's token stopped working; the first line of this cause.",
    "system_user_expiring": "A system user's token expires soon (logged 14, 7, 3 and 1 days before), or renewing it fails; the first line of that cause.",
    "system_user_renewed": "A system user's token was renewed; the next cycle reads the new one.",
    "graph_throttled": "Meta's rate limit is used up; the first line of this cause.",
    "app_refused": "Meta refuses an app's credentials or calls, or has blocked the app; the first line of this cause.",
    "notify_failed": "A receiver of notifications or the heartbeat fails (level warning), or works again (level info); message says which.",
    "store_failed": "A store could not do what was asked; the first line of this cause.",
}
"""Every event that is logged, with what it means."""

Level = Literal["debug", "info", "warning", "error"]


class EventLog(Protocol):
    """Where events go."""

    def write(self, event: Event, *, cycle: str | None = None) -> None:
        """Write one event, with the id of the cycle that it belongs to."""
        ...


@dataclass(frozen=True, slots=True)
class Event:
    """One log line to be: its level, its name from EVENTS, and its fields. ``cause`` is the cause that it is about."""

    level: Level
    name: str
    fields: Mapping[str, Any]
    cause: ProblemKey | None = field(default=None, compare=False)


def of_pages(pages: Sequence[PageEntry]) -> dict[str, Any]:
    """Return one Page by its name and id, and several by their names."""
    names = list(dict.fromkeys(page.name for page in pages))
    if len(names) == 1:
        return {"page": names[0], "page_id": pages[0].id}
    return {"pages": names[:MOST_NAMED], "page_count": len(names)} if names else {}


def served_counts(pages: Sequence[PageEntry]) -> dict[str, Any]:
    """Return what one Page serves, and of several how many serve what."""
    if len(pages) == 1:
        return {"served": pages[0].served}
    counts = Counter(page.served for page in pages)
    return {served: counts[served] for served in reversed(WORST_FIRST) if counts[served]}


def of_problem(problem: Problem) -> dict[str, Any]:
    """Return what is wrong, who must act, what to do, and the codes of Graph's answer."""
    return present(
        {
            "problem": problem.code,
            "message": problem.message,
            "owner": problem.owner,
            "remedy": problem.remedy,
            "code": problem.graph_code,
            "subcode": problem.graph_subcode,
            "fbtrace_id": problem.fbtrace_id,
        }
    )


def of_problems(problems: Sequence[Problem]) -> dict[str, Any]:
    """Return the same for a problem that several Pages have, each with a message of its own; nothing where there is none."""
    if not problems:
        return {}
    same = len({problem.message for problem in problems}) == 1
    return of_problem(problems[0]) | ({} if same else {"message": CATALOGUE[problems[0].code].meaning})


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}
