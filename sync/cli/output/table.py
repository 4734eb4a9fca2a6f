"""A report as a person reads it: lines with problems first, each cause once, one sentence at the end. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from sync.cli.output.words import REASONS, action_text
from sync.core.judge.decide import Kind
from sync.core.model import Expiry, State
from sync.core.problems import CATALOGUE, Problem
from sync.core.report.report import WORST_FIRST, PageEntry, Report, StoreEntry

COLUMNS = ("Page", "store", "action", "reason", "served", "token", "expires", "problem")
SPARE = ("-", "never", "")
"""What cells say where there is nothing to say; a column of nothing else may be left out."""
_NAMED = 3
"""So many Pages are named in a cause; the lines above it have them all."""


@dataclass(frozen=True, slots=True)
class Line:
    """One place of one Page.

    ``quiet``: it is as it should be, and nothing was or is to be done. ``notable``: it changes, is held, or is in trouble.
    """

    cells: tuple[str, ...]
    served: str
    quiet: bool
    notable: bool


@dataclass(slots=True)
class Cause:
    """One problem code with one remedy, and all that it concerns. A ``notice`` changes no result."""

    code: str
    owner: str
    remedy: str
    notice: bool
    users: dict[str, None] = field(default_factory=dict)
    pages: dict[str, None] = field(default_factory=dict)
    messages: dict[str, None] = field(default_factory=dict)


def lines(report: Report) -> list[Line]:
    """Return a line for each Page and store, the worst first, else in the order of the configuration."""
    told = [(page, entry) for page in report.pages for entry in page.stores]
    return [_line(page, entry, planned=report.planned) for page, entry in sorted(told, key=_rank)]


def causes(report: Report) -> list[Cause]:
    """Return each cause once, problems before notices, whatever the number of Pages that have it."""
    found: dict[tuple[bool, str, str, str], Cause] = {}

    def add(problems: Iterable[Problem], *, user: str = "", page: str = "", notice: bool = False) -> None:
        for problem in problems:
            key = (notice, problem.code, problem.owner, problem.remedy)
            cause = found.setdefault(key, Cause(problem.code, problem.owner, problem.remedy, notice))
            named, name = (cause.users, user) if user else (cause.pages, page)
            named[name] = None
            cause.messages[problem.message] = None

    for user_token in report.user_tokens:
        add(user_token.verdict.problems, user=user_token.system_user)
        add(user_token.verdict.notices, user=user_token.system_user, notice=True)
    for page in report.pages:
        add(page.problems, page=page.name)
        add(page.notices, page=page.name, notice=True)
        for entry in page.stores:
            add(entry.problems, page=page.name)
            add(entry.notices, page=page.name, notice=True)
    return sorted(found.values(), key=lambda cause: cause.notice)


def cause_text(cause: Cause) -> tuple[str, str, str]:
    """Tell a cause in three sentences: whom it concerns, what is the matter, who does what."""
    whom = [f"system user {name}" for name in cause.users]
    if cause.pages:
        whom.append(f"{count(len(cause.pages), 'Page')} ({_some(list(cause.pages))})")
    head = f"{'notice' if cause.notice else 'problem'} {cause.code}: {', '.join(whom)}"
    messages = list(cause.messages)
    matter = messages[0] if len(messages) == 1 else f"{CATALOGUE[cause.code].meaning} {' / '.join(messages[:_NAMED])}"
    if len(messages) > _NAMED:
        matter += f" / and {len(messages) - _NAMED} more; --output json has them all"
    return head, matter, action_text(cause.owner, cause.remedy)


def renewed_texts(report: Report) -> list[str]:
    """Tell of each system user's token that this cycle renewed; of one that it tried in vain the causes tell."""
    return [
        f"renewed: system user {name}, {tried.token} > {tried.became}, at {tried.target.store}:{tried.target.path}"
        + ("" if tried.confirmed else "; written, but not read back in time")
        for name, tried in report.tried.items()
        if tried.became is not None
    ]


def orphans_text(report: Report) -> str | None:
    """Return the secrets of ours that no Page leads to any more; None where there are none."""
    if not report.orphans:
        return None
    named = _some([f"{key.store}:{key.path}" for key in report.orphans], most=10)
    return f"orphans: {named}. They carry our mark, but no Page of the configuration leads to them; they are kept."


def summary(report: Report) -> list[str]:
    """Sum a report up: Pages, actions, traffic; for a plan also that nothing was written, and its checksum."""
    counts = report.summary
    traffic = report.frame.traffic
    served = ", ".join(f"{counts[word]} {word}" for word in reversed(WORST_FIRST) if counts[word])
    kinds = ", ".join(f"{counts[kind.value]} {kind.value}" for kind in Kind if counts[kind.value])
    cost = f"{count(traffic.graph_requests, 'request')} to Graph, {traffic.store_requests} to stores"
    told = [f"Pages: {served or 'none'}. {'Planned secrets' if report.planned else 'Secrets'}: {kinds or 'none'}."]
    told.append(f"Result: {report.result}, in {report.frame.duration_seconds:.1f} s with {cost}.")
    if report.planned:
        told.append(f"Nothing was written. Plan {report.checksum}")
    return told


def held_text(report: Report, once: str) -> tuple[str, str] | None:
    """Return why a person is asked before something is written, and the command that lets it through; None where none is.

    ``once`` is the command line of ``once`` for the same configuration and selection.
    """
    go_on = f"{once} --if-plan {report.checksum}"
    if report.frame.another_plan and not any(entry.would for page in report.pages for entry in page.stores):
        return "The plan is no longer the one that --if-plan names: nothing is left to be written. Without it:", once
    if report.frame.another_plan:
        told = "The plan is no longer the one that --if-plan names, and nothing was written. Look at it again. If it is wanted as it is now:"
        return told, go_on
    if not report.braked:
        return None
    told = (
        f"The brake holds {count(report.braked, 'write')} over tokens that still work: more than brake.share and brake.min_changes "
        f"allow would change within 24 hours. {_braked(report)} Nothing else is held. If these changes are wanted:"
    )
    return told, go_on


def _braked(report: Report) -> str:
    """Return of each store with a brake on how many of its tokens are held; a selection knows only those that it looked at."""
    stored: Counter[str] = Counter()
    held: Counter[str] = Counter()
    for entry in (entry for page in report.pages for entry in page.stores):
        stored[entry.key.store] += entry.fingerprint is not None and entry.action is not Kind.CREATED
        held[entry.key.store] += entry.action is Kind.HELD and entry.reason == "brake"
    told = [
        f"store {name}, {number:,} of {count(stored[name], 'token')} looked at ({number / max(number, stored[name]):.0%})"
        for name, number in held.items()
        if number
    ]
    return f"Held: {'; '.join(told)}."


def count(number: int, noun: str) -> str:
    """Write a number of things, with the plural where it belongs."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _rank(told: tuple[PageEntry, StoreEntry]) -> int:
    page, entry = told
    if page.problems or entry.problems or entry.served != "verified":
        return WORST_FIRST.index(entry.served)
    return len(WORST_FIRST) + (entry.action is Kind.UNCHANGED)


def _line(page: PageEntry, entry: StoreEntry, *, planned: bool) -> Line:
    problems = list(dict.fromkeys(problem.code for problem in (*page.problems, *entry.problems)))
    cells = (
        page.name,
        entry.key.store,
        entry.action.value,
        _why(page, entry),
        entry.served,
        _token(page, entry, planned=planned),
        _ends(page, entry),
        ", ".join(problems) or "-",
    )
    well = entry.served == "verified" and not problems
    return Line(
        cells,
        entry.served,
        quiet=well and entry.action is Kind.UNCHANGED,
        notable=not well or entry.action not in (Kind.UNCHANGED, Kind.KEPT),
    )


def _why(page: PageEntry, entry: StoreEntry) -> str:
    """Return why this is done; the report's reason comes first where there is one."""
    if entry.confirmed is False:
        return "written, but not read back in time"
    if entry.reason:
        return f"{entry.reason}: {_would(entry) or REASONS[entry.reason].short}"
    match entry.action:
        case Kind.CREATED:
            return "nothing was stored"
        case Kind.UNCHANGED:
            return "the same token"
        case Kind.KEPT:
            return _why_kept(page, entry)
        case Kind.REFUSED:
            return "not ours to write"
        case Kind.FAILED:
            return f"the store: {entry.error_code}"
        case Kind.UPDATED | Kind.REPLACED | Kind.HELD:
            return "-"
        case _:
            assert_never(entry.action)


def _would(entry: StoreEntry) -> str | None:
    """Return what a held write would be."""
    would = entry.would
    if would is None:
        return None
    return f"would be {would.kind.value}" + (f" ({would.reason})" if would.reason else "")


def _why_kept(page: PageEntry, entry: StoreEntry) -> str:
    if page.fetched is not State.VALID:
        return "no token could be proven"
    return "the stored one is as good" if entry.served == "verified" else "the stored one is in doubt"


def _token(page: PageEntry, entry: StoreEntry, *, planned: bool) -> str:
    """Show the stored token's fingerprint; where one is replaced by another, both."""
    old, new = entry.previous_fingerprint, entry.fingerprint
    action = entry.would.kind if entry.would else entry.action
    if (planned or entry.would) and action in (Kind.CREATED, Kind.REPLACED):
        old, new = entry.fingerprint, page.fingerprint
    return f"{old} > {new}" if old and old != new else new or "-"


def _ends(page: PageEntry, entry: StoreEntry) -> str:
    """Return when the fetched token ends, where it is the one that is stored."""
    if page.fingerprint is None or page.fingerprint != entry.fingerprint:
        return "-"
    return expiry(page.expires_at)


def expiry(end: Expiry | None) -> str:
    """Write when a token ends."""
    if end is None:
        return "-"
    return f"{end:%Y-%m-%d}" if isinstance(end, datetime) else "never"


def _some(names: Sequence[str], *, most: int = _NAMED) -> str:
    if len(names) <= most + 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"
