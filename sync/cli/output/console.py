"""What commands print: the only module that imports rich, and only for a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from sync.cli.output.forms import Form
from sync.config.errors import ConfigError, ConfigErrors
from sync.core.redact import scrub, without_tokens

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from sync.cli.output.table import Line
    from sync.core.report.report import Report

_FEW = 20
"""More quiet lines than this are counted on a terminal and not listed; a pipe gets all of them."""
_ALIKE = 3
"""Blocks of one kind that are printed; a policy that denies every secret has as many texts as there are secrets."""
_WHOLE = ("version",)
"""Columns of what is copied into a command, which are never broken: AWS's versions have 36 characters."""

_STYLES = {"broken": "red", "absent": "red", "foreign": "yellow", "stale": "yellow", "verified": "green"}

_STATUS_WIDTH = 9
_STATUS_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "unknown": "cyan", "skipped": "cyan"}


def put_report(report: Report, form: Form, *, given: Path | None, once: str) -> None:
    """Print the report of a cycle or a plan of the configuration ``given``; ``once`` is the command line that carries it out."""
    if form is Form.JSON:
        from sync.core.report.json import as_json  # noqa: PLC0415 - only for JSON

        put_json(as_json(report))
        return
    if form is Form.MARKDOWN:
        from sync.cli.output.markdown import document  # noqa: PLC0415 - only for Markdown

        _write(sys.stdout, document(report, given=given, once=once))
        return
    from sync.cli.output import table  # noqa: PLC0415 - only for a table

    put_lines(table.lines(report))
    for cause in report.causes:
        put_cause(table.cause_text(cause, given))
    for text in report.frame.warnings:
        put(f"warning: {text}")
    orphans = table.orphans_text(report)
    put(*table.renewed_texts(report), *([orphans] if orphans else []), *table.summary(report))
    held = table.held_text(report, once)
    if held:
        put(held[0])
        # On its own line and never wrapped, so that it can be copied.
        _write(sys.stdout, f"  {scrub(held[1])}")


def put_errors(wrong: ConfigErrors, form: Form, stream: TextIO | None = None) -> None:
    """Print the errors and warnings of a configuration: JSON on stdout; text on stderr, or on ``stream`` if the errors are the result."""
    if form is Form.JSON:
        fields = ("file", "line", "column", "path", "code", "message", "remedy")
        listed = [{name: getattr(error, name) for name in fields} for error in wrong.errors]
        put_json({"format": 1, "errors": listed, "warnings": list(wrong.warnings)})
        return
    if form is Form.GITHUB:
        from sync.cli.output.github import errors  # noqa: PLC0415 - only for GitHub

        _write(sys.stdout, *errors(wrong))
        return
    number = len(wrong.errors)
    texts = [*map(str, wrong.errors), *(f"warning: {text}" for text in wrong.warnings)]
    texts.append(f"{number:,} error{'' if number == 1 else 's'}; nothing was done.")
    _write(stream or sys.stderr, *(scrub(line) for text in texts for line in text.split("\n")))


def put_failure(code: str, message: str, form: Form) -> None:
    """Print why a command failed, in the shape of a configuration's errors."""
    if form is Form.JSON:
        put_errors(ConfigErrors([ConfigError("", 0, 0, "", code, message, "")]), form)
    _write(sys.stderr, scrub(message))


def put_warning(message: str) -> None:
    """Print a warning on stderr."""
    _write(sys.stderr, scrub(f"warning: {message}"))


def put_note(message: str) -> None:
    """Print on stderr what is going on, for a log; a terminal has the progress instead."""
    if not sys.stderr.isatty():
        _write(sys.stderr, scrub(message))


def put_json(value: Any, *, indent: int | None = None) -> None:
    """Print one JSON document: indented on a terminal, on one line in a pipe unless ``indent`` is given."""
    indent = 2 if sys.stdout.isatty() else indent
    _write(sys.stdout, without_tokens(json.dumps(value, indent=indent)))


def put(*paragraphs: str) -> None:
    """Print paragraphs: wrapped on a terminal, one line each in a pipe."""
    console = _console(sys.stdout)
    for text in map(scrub, paragraphs):
        if console is None:
            _write(sys.stdout, text)
        else:
            console.print(text, style=None)


def put_commands(lines: Iterable[str]) -> None:
    """Print lines for another program, unchanged."""
    _write(sys.stdout, *lines)


def put_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of texts: aligned in a pipe, folded to the width of a terminal."""
    safe = [tuple(map(scrub, row)) for row in rows]
    console = _console(sys.stdout)
    if console is None:
        _write(sys.stdout, *_aligned([tuple(columns), *safe]))
        return
    from rich.text import Text  # noqa: PLC0415 - only for a terminal

    table = _empty_table(columns)
    for row in safe:
        table.add_row(*map(Text, row))
    console.print(table)


def put_title(text: str) -> None:
    """Print a heading."""
    console = _console(sys.stdout)
    if console is None:
        _write(sys.stdout, "", scrub(text))
    else:
        console.print()
        console.print(scrub(text), style="bold cyan")


def put_blocks(blocks: Iterable[tuple[str, str, Sequence[str]]]) -> None:
    """Print blocks, each a kind, a heading and sentences: the first ones of each kind, and how many more there are."""
    kinds: Counter[str] = Counter()
    for kind, head, texts in blocks:
        kinds[kind] += 1
        if kinds[kind] <= _ALIKE:
            put_block(head, *texts)
    for kind, number in kinds.items():
        if number > _ALIKE:
            put_block(f"{kind}: {number - _ALIKE:,} more", "--output json has them all.")


def put_cause(sentences: tuple[str, str, str]) -> None:
    """Print a cause, with its message and its remedy indented below it."""
    put_block(*sentences, style="yellow" if sentences[0].startswith("notice") else "bold red")


def put_block(first: str, *indented: str, style: str = "bold") -> None:
    """Print a line, and others indented below it."""
    head, *rest = map(scrub, (first, *indented))
    console = _console(sys.stdout)
    if console is None:
        _write(sys.stdout, head, *(f"  {text}" for text in rest))
        return
    from rich.padding import Padding  # noqa: PLC0415 - only for a terminal

    console.print(head, style=style)
    for text in rest:
        console.print(Padding(text, (0, 0, 0, 2)))


def put_items(items: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Print a status for each item, with its texts in a column beside it."""
    console = _console(sys.stdout)
    if console is None:
        for status, (first, *others) in items:
            _write(
                sys.stdout,
                *(
                    f"{start:<{_STATUS_WIDTH}} {scrub(text)}"
                    for start, text in [(f"  {status}", first), *(("", text) for text in others)]
                ),
            )
        return
    from rich.table import Table  # noqa: PLC0415 - only for a terminal
    from rich.text import Text  # noqa: PLC0415 - only for a terminal

    table = Table.grid(padding=(0, 1))
    table.add_column(width=_STATUS_WIDTH)
    table.add_column(overflow="fold")
    for status, texts in items:
        table.add_row(Text(f"  {status}", style=_STATUS_STYLES[status]), Text("\n".join(map(scrub, texts))))
    console.print(table)


def put_lines(lines: Sequence[Line]) -> None:
    """Print the table of a report; on a terminal many quiet lines are counted and not listed."""
    from sync.cli.output.table import COLUMNS  # noqa: PLC0415 - only for a table

    console = _console(sys.stdout)
    if console is None:
        _write(sys.stdout, *_aligned([COLUMNS, *(tuple(map(scrub, line.cells)) for line in lines)]))
        return
    quiet = sum(line.quiet for line in lines)
    shown = [line for line in lines if not line.quiet] if quiet > _FEW else lines
    if shown:
        _table(console, COLUMNS, shown)
    if len(shown) < len(lines):
        put(f"{quiet:,} unchanged and verified secrets are not listed.")


def _table(console: Console, columns: Sequence[str], lines: Sequence[Line]) -> None:
    from rich.cells import cell_len  # noqa: PLC0415 - only for a terminal
    from rich.text import Text  # noqa: PLC0415 - only for a terminal

    from sync.cli.output.fit import fitted, shortened  # noqa: PLC0415 - only for a terminal
    from sync.cli.output.table import EMPTY  # noqa: PLC0415 - only for a table

    # An empty column is left out, and so is the store where there is only one.
    values = [{line.cells[position] for line in lines} for position in range(len(columns))]
    kept = [
        position
        for position, name in enumerate(columns)
        if not values[position] <= set(EMPTY) and (name != "store" or len(values[position]) > 1)
    ]
    names = [columns[position] for position in kept]
    rows = [[scrub(line.cells[position]) for position in kept] for line in lines]
    widths = fitted(names, rows, console.width, measure=cell_len)
    short = shortened(names, rows)
    narrow = fitted(names, short, console.width, measure=cell_len)
    shortens = len(widths) < len(narrow)
    rows, widths = (short, narrow) if shortens else (rows, widths)
    table = _empty_table([])
    for position, width in widths.items():
        table.add_column(names[position], overflow="fold", width=width)
    for line, cells in zip(lines, rows, strict=True):
        style = _STYLES[line.served]
        table.add_row(
            *(Text(cells[position], style=style if cells[position] == line.served else "") for position in widths)
        )
    console.print(table, "")
    left_out = [name for position, name in enumerate(names) if position not in widths]
    why = "because the terminal is too narrow"
    if shortens and "token" not in left_out:
        console.print(f"Shortened, {why}: token.")
    if left_out:
        console.print(f"Not shown, {why}: {', '.join(left_out)}. See --output json.")


def _empty_table(columns: Sequence[str]) -> Table:
    from rich import box  # noqa: PLC0415 - only for a terminal
    from rich.table import Table  # noqa: PLC0415 - only for a terminal

    # Together with the box's own column this leaves sync.cli.output.fit.GAP blanks between two columns.
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
    return table


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Show a spinner on a terminal; nothing elsewhere."""
    console = _console(sys.stderr)
    if console is None:
        yield
    else:
        with console.status(f"{text} …"):
            yield


def _console(stream: TextIO) -> Console | None:
    """Return rich's console for a terminal; None for a pipe or a file, which get plain text that is never truncated."""
    if not stream.isatty():
        return None
    from rich.console import Console  # noqa: PLC0415 - only for a terminal

    return Console(file=stream, markup=False, emoji=False, highlight=False, no_color=bool(os.environ.get("NO_COLOR")))


def _write(stream: TextIO, *lines: str) -> None:
    # Characters that the encoding lacks are escaped, so that the report is still printed.
    encoding = stream.encoding or "utf-8"
    text = "".join(f"{line}\n" for line in lines)
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        # A reader that closed the pipe, such as head, changes neither what was done nor the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError as error:
        sys.stderr.write(f"The result could not be written: {error.strerror}.\n")
        os._exit(3)
