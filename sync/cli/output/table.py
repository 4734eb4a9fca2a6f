"""A report as a person reads it: lines with problems first, each cause once, and a summary. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from sync.cli.output.words import REASONS
from sync.cli.remedies import with_file
from sync.core.judge.decide import Kind
from sync.core.model import State
from sync.core.plan.guards import FOR_A_PERSON
from sync.core.plan.served import Served
from sync.core.problems import action_text
from sync.core.report.causes import QUOTED, Cause
from sync.core.report.entries import WORST_FIRST, PageEntry, StoreEntry
from sync.core.report.report import Report
from sync.core.report.text import count, some, stored_expiry

COLUMNS = ("Page", "store", "action", "reason", "served", "token", "expires", "problem")
EMPTY = ("-", "never", "")
"""Cells without information; a column that has no other cell may be left out."""
_PLANNED: Mapping[Kind, str] = {
    Kind.CREATED: "to create",
    Kind.UPDATED: "to update",
    Kind.REPLACED: "to replace",
}
"""What a plan calls the actions that it has not carried out."""
STORED: Mapping[Served, str] = {
    "verified": "the stored token is still valid",
    "broken": "the secret holds no working token",
    "stale": "the stored token could not be verified",
    "absent": "nothing is stored",
    "foreign": "the secret has no mark of this instance",
}
"""What a kept secret serves, in words."""


@dataclass(frozen=True, slots=True)
class Line:
    """One secret of one Page.

    ``quiet``: it is verified, without a problem and unchanged. ``notable``: it changes, is held, or has a problem.
    """

    cells: tuple[str, ...]
    served: str
    quiet: bool
    notable: bool


def lines(report: Report) -> list[Line]:
    """Return a line for each Page and store, the worst first, otherwise in the order of the configuration."""
    entries = [(page, entry) for page in report.pages for entry in page.stores]
    return [_line(page, entry, planned=report.planned) for page, entry in sorted(entries, key=_rank)]


def cause_text(cause: Cause, given: Path | None = None) -> tuple[str, str, str]:
    """Return three sentences about a cause: whom it concerns, what is wrong, and who does what.

    Commands name the configuration ``given``.
    """
    head = f"{'notice' if cause.notice else 'problem'} {cause.key.code}: {', '.join(_concerned(cause))}"
    more = "; --output json lists them all" if len(cause.messages) > QUOTED else ""
    return head, cause.message + more, action_text(cause.owner, with_file(cause.remedy, given))


def _concerned(cause: Cause) -> list[str]:
    scope, pages = cause.key.scope, list(cause.pages)
    named = [] if scope == "page" else [f"{scope.replace('_', ' ')} {cause.key.whose}"]
    return [*named, *([f"{count(len(pages), 'Page')} ({some(pages)})"] if pages else [])]


def renewed_texts(report: Report) -> list[str]:
    """Return a line for each system user's token that this cycle renewed; the causes report those that failed."""
    return [
        f"renewed: system user {name}, {tried.token} > {tried.became}, at {tried.target.store}:{tried.target.path}"
        + ("" if tried.confirmed else "; written, not confirmed by reading it back")
        for name, tried in report.tried.items()
        if tried.became is not None
    ]


def orphans_text(report: Report) -> str | None:
    """Return the secrets of this instance that no Page of the configuration names; None where there are none."""
    if not report.orphans:
        return None
    named = some([f"{key.store}:{key.path}" for key in report.orphans], most=10)
    return f"Orphans: {named}. This instance wrote these secrets, but no Page of the configuration uses them. They are kept."


def summary(report: Report) -> list[str]:
    """Return the sums of a report: Pages, secrets, traffic; for a plan also that nothing was written, and its checksum if it has one."""
    counts, traffic = report.summary, report.frame.traffic
    served = ", ".join(f"{counts[word]:,} {word}" for word in reversed(WORST_FIRST) if counts[word])
    words = {kind: planned_word(kind) if report.planned else kind.value for kind in Kind}
    actions = ", ".join(f"{counts[kind.value]:,} {word}" for kind, word in words.items() if counts[kind.value])
    stores = f", {traffic.store_requests:,} to stores" if traffic.store_requests else ""
    cost = f"{count(traffic.graph_requests, 'request')} to Graph{stores}"
    sums = [
        f"Pages: {served or 'none'}. Secrets: {actions or 'none'}.",
        f"Result: {report.result}, in {report.frame.duration_seconds:.1f} s with {cost}.",
    ]
    if not report.planned:
        return sums
    nothing = "There is nothing to write." if decided(report) else "No write is planned."
    return [*sums, f"Nothing was written. {f'Plan {report.checksum}' if report.checksum else nothing}"]


def decided(report: Report) -> bool:
    """Check whether each secret was read, and each token that is not verified was judged: else more may have to be written."""
    return report.result != "failed" and not any(
        entry.action is Kind.FAILED or (page.fetched is State.UNKNOWN and entry.served != "verified")
        for page in report.pages
        for entry in page.stores
    )


def planned_word(kind: Kind) -> str:
    """Return an action as a plan calls it, which has not carried it out."""
    return _PLANNED.get(kind, kind.value)


def held_text(report: Report, once: str) -> tuple[str, str] | None:
    """Return why a person is asked before something is written, and the command that lets it through; None where none is.

    ``once`` is the command line of ``once`` for the same configuration and selection.
    """
    release = f"{once} --if-plan {report.checksum}"
    if report.frame.another_plan and report.checksum is None:
        return "The plan is no longer the one that --if-plan names: nothing is left to write. To run without it:", once
    if report.frame.another_plan:
        why = "The plan is no longer the one that --if-plan names, so nothing was written. Look at the plan above."
        return f"{why} {_state(report)}If these changes are wanted, run:", release
    reasons = []
    if report.braked:
        reasons.append(
            f"The brake holds {count(report.braked, 'write')} over tokens that still work, because brake.share and "
            f"brake.min_changes do not allow so many within 24 hours; they stay held until a person lets them through. {_braked(report)}"
        )
    if report.weaker:
        reasons.append(
            f"{count(report.weaker, 'write')} would put a weaker token over one that still works: the new token lacks a "
            "permission that the stored one has, or expires sooner."
        )
    if not reasons:
        return None
    others = any(entry.would and entry.reason not in FOR_A_PERSON for page in report.pages for entry in page.stores)
    if not others:
        reasons.append("Nothing else is held.")
    return f"{' '.join(reasons)} {_state(report)}If these changes are wanted, run:", release


def _state(report: Report) -> str:
    """Return what this plan needs first, where no other run can judge enough Pages to plan the same."""
    if not report.frame.needs_state_file:
        return ""
    return (
        "First set state.file: Meta's quota may not suffice to judge all Pages in one cycle, and without it each run starts "
        "from nothing, so that its plan is another one. "
    )


def _braked(report: Report) -> str:
    """Return what the brake holds in each store, of the tokens that were found there (a selection looks at its own only)."""
    stored: Counter[str] = Counter()
    held: Counter[str] = Counter()
    for page in report.pages:
        for entry in page.stores:
            stored[entry.key.store] += entry.fingerprint is not None and entry.action is not Kind.CREATED
            held[entry.key.store] += entry.action is Kind.HELD and entry.reason == "brake"
    shares = [
        f"store {name}, {number:,} of {count(stored[name], 'stored token')} ({number / max(number, stored[name]):.0%})"
        for name, number in held.items()
        if number
    ]
    return f"Held: {'; '.join(shares)}."


def _rank(line: tuple[PageEntry, StoreEntry]) -> int:
    page, entry = line
    if page.problems or entry.problems or entry.served != "verified":
        return WORST_FIRST.index(entry.served)
    return len(WORST_FIRST) + (entry.action is Kind.UNCHANGED)


def _line(page: PageEntry, entry: StoreEntry, *, planned: bool) -> Line:
    problems = list(dict.fromkeys(problem.code for problem in (*page.problems, *entry.problems)))
    cells = (
        page.name,
        entry.key.store,
        entry.action.value,
        reason_text(page, entry),
        entry.served,
        _token(page, entry, planned=planned),
        stored_expiry(page, entry),
        ", ".join(problems) or "-",
    )
    well = entry.served == "verified" and not problems
    return Line(
        cells,
        entry.served,
        quiet=well and entry.action is Kind.UNCHANGED,
        notable=not well or entry.action not in (Kind.UNCHANGED, Kind.KEPT),
    )


def reason_text(page: PageEntry, entry: StoreEntry) -> str:
    """Return the reason of the action; the report's own word comes first where there is one."""
    if entry.confirmed is False:
        return "written, not confirmed by reading it back"
    if entry.reason:
        return f"{entry.reason}: {_would(entry) or REASONS[entry.reason].short}"
    match entry.action:
        case Kind.CREATED:
            return "nothing was stored"
        case Kind.UNCHANGED:
            return "the same token"
        case Kind.KEPT:
            return _reason_kept(page, entry)
        case Kind.REFUSED:
            return "not this instance's secret"
        case Kind.FAILED:
            return f"store error: {entry.error_code}"
        case Kind.UPDATED | Kind.REPLACED | Kind.HELD:
            return "-"
        case _:
            assert_never(entry.action)


def _would(entry: StoreEntry) -> str | None:
    """Return what a held write would be."""
    would = entry.would
    if would is None:
        return None
    text = f"would be {would.kind.value}" + (f" ({would.reason})" if would.reason else "")
    return f"{text}, but the new token {' and '.join(would.loses)}" if would.loses else text


def _reason_kept(page: PageEntry, entry: StoreEntry) -> str:
    stored = STORED[entry.served]
    if page.fetched is State.VALID:
        return stored
    if page.fetched is State.UNKNOWN and entry.served == "stale":
        return "no token could be verified"
    fetched = "Graph gave no valid token" if page.fetched is State.INVALID else "no new token could be verified"
    return f"{fetched}; {stored}"


def _token(page: PageEntry, entry: StoreEntry, *, planned: bool) -> str:
    """Return the stored token's fingerprint; where another token replaces it, both."""
    old, new = entry.previous_fingerprint, entry.fingerprint
    action = entry.would.kind if entry.would else entry.action
    if (planned or entry.would) and action in (Kind.CREATED, Kind.REPLACED):
        old, new = entry.fingerprint, page.fingerprint
    return f"{old} > {new}" if old and old != new else new or "-"
