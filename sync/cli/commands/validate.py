"""What ``validate`` prints for a valid configuration: what follows from it, and on request every setting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.cli.output.github import command
from sync.config.load import Config, Sources
from sync.config.schedule import longest_repair, needs_state_file, next_runs, verify_every
from sync.config.schema.types import duration_text
from sync.config.show.example import flow
from sync.config.show.show import Shown, shown_pages, shown_settings
from sync.core.report.text import count

_COLUMNS = ("key", "value", "from")
_NEEDS_STATE = (
    "state: not set, and Meta's quota may not suffice to judge all Pages in one cycle. What the brake holds is forgotten with "
    "the process, and once --if-plan cannot carry out the plan of another run. Set state.file."
)


def put_valid(config: Config, sources: Sources | None, form: Form) -> None:
    """Print that a configuration is valid; with ``sources``, also every setting of it and of every Page."""
    now = datetime.now(UTC)
    runs = next_runs(config.settings.schedule, count=3, now=now)
    verified = verify_every(config.settings, config.pages)
    repaired = longest_repair(config.settings, now=now)
    warnings = [*config.warnings, *([_NEEDS_STATE] if needs_state_file(config.settings, config.pages) else [])]
    if form is Form.JSON:
        result = {
            "format": 1,
            "errors": [],
            "warnings": warnings,
            "next_runs": [_utc(at) for at in runs],
            "next_runs_local": [at.isoformat(timespec="seconds") for at in runs],
            "verify_interval_seconds": round(verified.total_seconds()),
            "longest_repair_seconds": round(repaired.total_seconds()),
        }
        console.put_json(result if sources is None else {**result, **_shown(config, sources)})
        return
    head = f"{config.files[0]} is valid: {count(len(config.pages), 'Page')}, {count(len(config.settings.stores), 'store')}."
    if form is Form.GITHUB:
        file = str(config.files[0])
        console.put_commands(command("warning", text, file=file) for text in warnings)
        console.put_commands([command("notice", head, file=file)])
        return
    if sources is not None:
        console.put_rows(_COLUMNS, [_row("", value) for value in shown_settings(config, sources)])
        console.put("")
        console.put_rows(_COLUMNS, list(_page_rows(config, sources)))
        console.put("")
    console.put(
        head,
        f"If started now, the next cycles run at {', '.join(_time(at, config.settings.schedule.timezone) for at in runs)}.",
        _verified(verified, config.settings.verify_every),
        f"A stored token that becomes invalid is found and replaced after {duration_text(_rounded(repaired))} at the latest.",
        *(f"warning: {text}" for text in warnings),
    )


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _time(at: datetime, zone: str) -> str:
    """Return a time in UTC, and in the zone of the schedule where that is another one."""
    return _utc(at) if zone == "UTC" else f"{_utc(at)} ({at:%a %H:%M} in {zone})"


def _verified(effective: timedelta, wanted: timedelta) -> str:
    text = f"Each stored token is verified with debug_token every {duration_text(_rounded(effective))}"
    if effective <= wanted:
        return f"{text}."
    return f"{text}, because the app's quota does not allow every {duration_text(wanted)} for so many Pages."


def _rounded(interval: timedelta) -> timedelta:
    unit = timedelta(hours=1) if interval > timedelta(days=1) else timedelta(minutes=1)
    return interval if not interval % unit or interval < unit else -(-interval // unit) * unit


def _shown(config: Config, sources: Sources) -> dict[str, object]:
    return {
        "settings": [asdict(value) for value in shown_settings(config, sources)],
        "pages": [
            {"name": page.name, "values": [asdict(value) for value in page.values]}
            for page in shown_pages(config, sources)
        ],
    }


def _page_rows(config: Config, sources: Sources) -> Iterator[tuple[str, str, str]]:
    for page in shown_pages(config, sources):
        for value in page.values:
            yield _row(f"{page.name}: ", value)


def _row(before: str, value: Shown) -> tuple[str, str, str]:
    origin = "default" if value.file is None else f"{value.file}:{value.line}"
    return f"{before}{value.key}", "-" if value.value is None else flow(value.value), origin
