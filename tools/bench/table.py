"""The tables of the bench, in 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tools.bench.targets import Figures, Key, Target

_ROWS = (
    ("elapsed, s", "elapsed"),
    ("CPU, s", "cpu"),
    ("peak memory, MiB", "memory"),
    ("Graph requests", "graph_requests"),
    ("Graph calls", "graph_calls"),
    ("store requests", "store_requests"),
)


def number(value: float) -> str:
    """Return a figure as text: a count in full, another number with one or two decimals."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if value < 100 else f"{value:,.1f}"


def ratio(value: float) -> str:
    """Return a ratio as text: 1/40 where it is less than one, otherwise 1.60."""
    return f"1/{1 / value:.1f}" if 0 < value < 1 else f"{value:.2f}"


def comparison(figures: Mapping[Key, Figures], pages: int, latency: int) -> str:
    """Return the table of script and program, both cycles, for one number of Pages and one latency."""
    lines = [
        "",
        f"{pages:,} Pages, {latency} ms Graph latency",
        f"{'':17}{'first cycle':^31}  {'idle cycle':^30}".rstrip(),
        f"{'':17}" + "  ".join([f"{'script':>10}{'sync':>10}{'ratio':>9}"] * 2),
    ]
    for title, field in _ROWS:
        cells = "  ".join(_cells(figures, pages, latency, cycle, field) for cycle in ("first", "idle"))
        lines.append(f"{title:17}{cells}".rstrip())
    return "\n".join(lines)


def _cells(figures: Mapping[Key, Figures], pages: int, latency: int, cycle: str, field: str) -> str:
    script, sync = (_value(figures.get((pages, latency, program, cycle)), field) for program in ("script", "sync"))
    share = ratio(sync / script) if script and sync is not None else "-"
    return f"{_cell(script):>10}{_cell(sync):>10}{share:>9}"


def _value(figure: Figures | None, field: str) -> float | None:
    value: float | None = getattr(figure, field, None)
    return value


def _cell(value: float | None) -> str:
    return "-" if value is None else number(value)


def verdicts(targets: Sequence[Target]) -> str:
    """Return the table of targets, each with its bound, its aim, and whether it is met."""
    lines = [f"{'':40}{'measured':>10}{'at most':>10}{'aim':>8}"]
    for target in targets:
        write = ratio if target.unit else number
        aim = write(target.aim) if target.aim is not None else ""
        result = "ok" if target.met else "MISSED"
        lines.append(f"{target.what:40}{write(target.value):>10}{write(target.at_most):>10}{aim:>8}  {result}")
    return "\n".join(lines)
