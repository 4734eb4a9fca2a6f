"""Write the generated parts of the documentation: ``python -m tools.docs``.

A page holds text by hand and, between two comments of one name, text that follows from the code.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from typer.testing import CliRunner

from sync.cli.main import app
from sync.cli.output.words import ACTIONS, EXITS, FAILURES, REASONS, SERVED, STORE_FAILURES, Word
from sync.config.errors import CODES
from sync.config.schema.references import EnvReference, FileReference, StoreReference
from sync.config.schema.settings import Settings
from sync.config.schema.types import ConfigModel
from sync.config.show.example import default
from sync.core.problems import CATALOGUE
from sync.core.report.event import EVENTS
from sync.ops.metrics import FAMILIES
from sync.sandbox.world.faults import KINDS
from tools import terminal_picture

ROOT = Path(__file__).parents[1]
COMMANDS = ("demo", "validate", "plan", "once", "run", "explain", "schema", "sandbox")
"""Every command, in the order in which a reader meets them."""
_REFERENCES = (EnvReference, FileReference, StoreReference)
_TABLE_WIDTH = 100


def generated() -> dict[Path, str]:
    """Return every file with generated parts, by its path, as it should be."""
    files = {}
    for name, blocks in _blocks().items():
        path = ROOT / name
        text = path.read_text()
        for marker, block in blocks.items():
            text = _replaced(text, marker, block)
        files[path] = text
    runbook = ROOT / "docs" / "runbook.md"
    files[runbook] = with_summaries(runbook.read_text())
    files[ROOT / terminal_picture.PICTURE] = terminal_picture.svg()
    return files


def with_summaries(page: str) -> str:
    """Return the runbook with the catalogue's meaning, owner and remedy below the heading of each problem code."""
    for code, entry in CATALOGUE.items():
        quote = f"> {entry.meaning}\n> Owner: `{entry.owner}`.\n> {entry.remedy}\n"
        page = re.sub(
            rf"^(### {code}\n\n)(?:(?:> .*\n)+\n)?",
            lambda found, quote=quote: f"{found[1]}{quote}\n",
            page,
            flags=re.MULTILINE,
        )
    return page


def models() -> Iterator[tuple[str, type[ConfigModel]]]:
    """Return every model of the configuration that a file can write, with the path of its keys; references are values."""
    seen: set[tuple[str, type[ConfigModel]]] = set()
    left: list[tuple[str, type[ConfigModel]]] = [("", Settings)]
    while left:
        prefix, model = left.pop(0)
        if (prefix, model) in seen or model in _REFERENCES:
            continue
        seen.add((prefix, model))
        yield prefix, model
        left += [
            (f"{prefix}{key}{link}.", part)
            for key, field in model.model_fields.items()
            for link, part in _parts(field.annotation, "")
        ]


def _blocks() -> Mapping[str, Mapping[str, str]]:
    words = "docs/reference/report.md"
    return {
        "README.md": {"bad day": _fenced(terminal_picture.table())},
        "docs/how-to/read-a-report.md": {"bad day": _fenced(terminal_picture.plain())},
        "docs/reference/cli.md": {"commands": _commands(), "failures": _words(FAILURES, "code")},
        "docs/reference/configuration.md": {
            "keys": _keys(),
            "configuration errors": _table(("code", "meaning"), [(f"`{code}`", text) for code, text in CODES.items()]),
        },
        words: {
            "actions": _words(ACTIONS, "action"),
            "reasons": _words(REASONS, "reason"),
            "served": _words(SERVED, "served"),
            "store failures": _words(STORE_FAILURES, "error code"),
        },
        "docs/reference/log-events.md": {
            "events": _table(("event", "meaning"), [(f"`{name}`", text) for name, text in EVENTS.items()])
        },
        "docs/reference/metrics.md": {"metrics": _metrics()},
        "docs/reference/problems.md": {"problems": _problems()},
        "docs/reference/exit-codes.md": {"exit codes": _exits()},
        "docs/reference/sandbox.md": {"kinds": ", ".join(f"`{kind}`" for kind in KINDS) + "."},
    }


def _replaced(page: str, marker: str, block: str) -> str:
    start, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    before, found, rest = page.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"no {start} … {end}")
    return f"{before}{start}\n{block}\n{end}{after}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _words(words: Mapping[str, Word], title: str) -> str:
    return _table((title, "meaning"), [(f"`{code}`", word.meaning) for code, word in words.items()])


def _exits() -> str:
    rows = [(f"`{code}`", word.short, word.meaning) for code, word in EXITS.items()]
    return _table(("exit code", "result", "meaning"), rows)


def _metrics() -> str:
    rows = [
        (f"`{name}`", family.kind, ", ".join(f"`{label}`" for label in family.labels), family.meaning)
        for name, family in FAMILIES.items()
    ]
    return _table(("metric", "type", "labels", "meaning"), rows)


def _problems() -> str:
    rows = [
        (f"[`{code}`](../runbook.md#{code})", entry.meaning, f"`{entry.owner}`", entry.remedy)
        for code, entry in CATALOGUE.items()
    ]
    return _table(("code", "meaning", "owner", "remedy"), rows)


def _fenced(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


def _commands() -> str:
    parts = []
    for name in COMMANDS:
        arguments = [name, "--help"]
        found = CliRunner().invoke(app, arguments, prog_name="page-token-sync", terminal_width=_TABLE_WIDTH)
        parts.append(f"## {name}\n\n{_fenced(found.stdout)}")
    return "\n\n".join(parts)


def _keys() -> str:
    parts = []
    for prefix, model in models():
        rows = [
            (f"`{prefix}{key}`", _default(model, key), field.description or "")
            for key, field in model.model_fields.items()
        ]
        parts.append(f"### {_title(prefix, model)}\n\n{_table(('key', 'default', 'meaning'), rows)}")
    return "\n\n".join(parts)


def _title(prefix: str, model: type[ConfigModel]) -> str:
    if not prefix:
        return "Top level"
    for key, field in model.model_fields.items():
        if key in {"type", "method"} and get_origin(field.annotation) is Literal:
            return f"{prefix.rstrip('.')}, {key}: {get_args(field.annotation)[0]}"
    return prefix.rstrip(".")


def _default(model: type[ConfigModel], key: str) -> str:
    field = model.model_fields[key]
    if field.is_required():
        literal = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        return f"`{literal[0]}`" if literal else "required"
    # The helper shows an example where there is no default.
    if field.default is None and field.default_factory is None:
        return f"none; such as `{default(model, key)}`" if field.examples else "none"
    text = default(model, key)
    return "" if isinstance(field.default, ConfigModel) else f"`{text}`"


def _parts(annotation: Any, link: str) -> Iterator[tuple[str, type[ConfigModel]]]:
    """Return the models inside an annotation, with what a path writes between the key and theirs."""
    if isinstance(annotation, type) and issubclass(annotation, ConfigModel):
        yield link, annotation
        return
    origin = get_origin(annotation)
    if origin is dict:
        yield from _parts(get_args(annotation)[1], ".*")
    elif origin is tuple:
        yield from _parts(get_args(annotation)[0], "[]")
    elif origin in {Union, types.UnionType} or origin is not None:
        for inner in get_args(annotation):
            yield from _parts(inner, link)


def main() -> None:
    """Write every generated part."""
    for path, text in generated().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
