"""A plan as Markdown, for a comment on a pull request: what would change, why, and how to release it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sync.cli.output import table
from sync.core.judge.decide import Kind
from sync.core.redact import scrub
from sync.core.report.report import Report
from sync.core.report.text import count

_MOST = 50_000
"""The table takes at most this many characters: a comment on GitHub holds 65,536 (its API, read 2026-11-25)."""
_CAUSES = 20
_LONGEST = 500
# All characters that Markdown or GitHub could interpret: markup, HTML, user names, issue numbers.
_ACTIVE = re.compile(r"[\\`*_{}\[\]<>()#+!|~&@$^=\"']|(?<=[a-z]):(?=/)|(?<=www)\.", re.IGNORECASE)
_MENTIONS = "@#"


def document(report: Report, *, given: Path | None = None, once: str) -> str:
    """Return the document, whose commands name the configuration ``given``; ``once`` is the one that carries the plan out."""
    return "\n".join([*_head(report), *_table(report), *_causes(report, given), *_tail(report, once)])


def _head(report: Report) -> Iterator[str]:
    yield f"## Plan for `{scrub(report.frame.instance)}`: {_counts(report)}"
    yield ""
    if report.checksum is not None:
        yield f"`{report.checksum}`"
        yield ""


def _counts(report: Report) -> str:
    counts = report.summary
    kinds = (Kind.CREATED, Kind.UPDATED, Kind.REPLACED, Kind.HELD, Kind.REFUSED, Kind.FAILED)
    nothing = "nothing to do" if table.decided(report) else "no write is planned"
    return (
        ", ".join(f"{counts[kind.value]:,} {table.planned_word(kind)}" for kind in kinds if counts[kind.value])
        or nothing
    )


def _table(report: Report) -> Iterator[str]:
    lines = table.lines(report)
    shown = [line for line in lines if line.notable]
    rows, left = [], _MOST
    for line in shown:
        row = f"| {' | '.join(map(inert, line.cells))} |"
        left -= len(row)
        if left < 0:
            break
        rows.append(row)
    if rows:
        yield f"| {' | '.join(table.COLUMNS)} |"
        yield f"|{'---|' * len(table.COLUMNS)}"
        yield from rows
        yield ""
    if len(rows) < len(shown):
        yield f"{len(shown) - len(rows):,} more lines do not fit into a comment; `plan --output table` has them all."
        yield ""
    still = len(lines) - len(shown)
    if still:
        yield f"{count(still, 'secret')} of {count(len(report.pages), 'Page')} {'stays' if still == 1 else 'stay'} unchanged."
        yield ""


def _causes(report: Report, given: Path | None) -> Iterator[str]:
    found = report.causes
    for cause in found[:_CAUSES]:
        head, message, remedy = table.cause_text(cause, given)
        yield f"- **{inert(head)}**<br>{inert(message)}<br>{inert(remedy)}"
    if len(found) > _CAUSES:
        yield f"- and {len(found) - _CAUSES} more; `plan --output table` has them all"
    warnings = report.frame.warnings
    yield from (f"- **warning**<br>{inert(text)}" for text in warnings[:_CAUSES])
    orphans = table.orphans_text(report)
    if orphans:
        yield f"- {inert(orphans)}"
    if found or warnings or orphans:
        yield ""


def _tail(report: Report, once: str) -> Sequence[str]:
    sums = [inert(text) for text in table.summary(report)[:2]]
    held = table.held_text(report, once)
    if held is None:
        return [*sums, "", "Nothing was written."]
    command = scrub(held[1])
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", command)), default=0))
    return [*sums, "", f"**{inert(held[0])}**", "", f"{fence}sh", command, fence]


def inert(text: str) -> str:
    """Return text that Markdown shows as it is, in a cell of a table too; very long text is truncated."""
    text = scrub(text)
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return _ACTIVE.sub(lambda found: _entity(found[0]), text)


def _entity(character: str) -> str:
    # The zero-width space keeps the next word from being a user name or an issue number.
    return f"&#{ord(character)};" + ("&#8203;" if character in _MENTIONS else "")
