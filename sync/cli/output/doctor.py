"""The findings of ``doctor`` as a person reads them: a line for each check, many good Pages in one. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, get_args

from sync.core.problems import action_text
from sync.core.report.causes import joined
from sync.core.report.finding import Finding, Status
from sync.core.report.text import count, some
from sync.doctor.checks import group

_PAGES = "Pages"
_DEPENDENCIES = ("Apps", "System users", _PAGES, "Stores")


class Item(NamedTuple):
    """A status, and sentences that are printed beside it, each on its own line."""

    status: Status
    texts: tuple[str, ...]


def sections(findings: Sequence[Finding]) -> Iterator[tuple[str, Sequence[Item]]]:
    """Yield the title and the lines of each group of checks, in the order of the findings."""
    for title, found in groupby(findings, lambda finding: group(finding.id)):
        of_group = list(found)
        yield title, list(_pages(of_group) if title == _PAGES else _items(of_group))


def summary(findings: Sequence[Finding]) -> list[str]:
    """Return how many checks ended how, and who must act on those that failed."""
    counts = Counter(finding.status for finding in findings)
    lines = [f"Checks: {', '.join(f'{counts[status]:,} {status}' for status in get_args(Status) if counts[status])}."]
    by_owner: dict[str, dict[str, None]] = {}
    for finding in findings:
        if finding.status == "fail":
            by_owner.setdefault(finding.owner, {})[f"{finding.id} {finding.subject}".rstrip()] = None
    for owner, failed in by_owner.items():
        whose = "Resolves by itself" if owner == "nobody" else f"Action required ({owner})"
        lines.append(f"{whose}: {some(list(failed))}.")
    if by_owner:
        return lines
    pages = unjudged(findings)
    return [*lines, f"No Page could be judged: {some(pages)}." if pages else "Nothing failed."]


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 0 where nothing failed, 3 where no dependency could be examined or no Page be judged, and 1 otherwise."""
    if not any(finding.status == "fail" for finding in findings):
        return 3 if unjudged(findings) else 0
    examined = any(finding.status in ("ok", "warn") for finding in findings if group(finding.id) in _DEPENDENCIES)
    return 1 if examined else 3


def unjudged(findings: Sequence[Finding]) -> list[str]:
    """Return the unknown results for which not one token of a Page could be judged; none where one was."""
    if any(finding.id == "page-proof" and finding.status in ("ok", "warn", "fail") for finding in findings):
        return []
    unknown = [f"{one.id} {one.subject}".rstrip() for one in findings if one.status == "unknown"]
    tokens = (one for one in findings if one.id in ("page-token", "page-proof"))
    causes = dict.fromkeys(one.because or f"{one.id} {one.subject}" for one in tokens)
    return [cause for cause in causes if cause in unknown]


def _pages(findings: Sequence[Finding]) -> Iterator[Item]:
    """Yield one line for all Pages whose token is proven, and then every result that is not ok."""
    good = [finding.subject for finding in findings if finding.id == "page-proof" and finding.status in ("ok", "warn")]
    if good:
        yield Item("ok", (f"{count(len(good), 'Page')} with a token that works: {some(good)}",))
    yield from _items([finding for finding in findings if finding.status != "ok"])


def _items(findings: Sequence[Finding]) -> Iterator[Item]:
    """Yield a line for each result; the same result of several Pages is one, and so is what one failure has left out."""
    merged: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        merged.setdefault(_key(finding), []).append(finding)
    for same in merged.values():
        first = same[0]
        subjects = some([subject for subject in dict.fromkeys(finding.subject for finding in same) if subject])
        checks = ", ".join(dict.fromkeys(finding.id for finding in same))
        head = f"{checks}{f' ({subjects})' if subjects else ''}"
        messages = joined(list(dict.fromkeys(finding.message for finding in same)))
        if first.because and first.because != same[-1].because:
            messages = f"Not examined, because {_cause(first)} is not ok."
        action = (action_text(first.owner, first.remedy),) if first.remedy else ()
        yield Item(first.status, (f"{head}: {messages}", *action))


def _key(finding: Finding) -> tuple[str, ...]:
    if finding.status == "ok":
        return finding.status, finding.id, finding.subject
    if finding.because:
        return finding.status, _cause(finding)
    return finding.status, finding.id, finding.owner, finding.remedy


def _cause(finding: Finding) -> str:
    """Return the failure for which a check was skipped, without the subject where that is its own: many have one of their own."""
    return finding.because.removesuffix(f" {finding.subject}")
