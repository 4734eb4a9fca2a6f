"""Shell completion: names of the configuration, and codes. An error offers nothing."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from sync.cli.file import config_file
from sync.config.errors import ConfigErrors
from sync.config.source import STDIN


def pages(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the names of Pages."""
    names, _, _ = _names(ctx)
    return _matching(names, incomplete)


def labels(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer labels in the form KEY=VALUE."""
    _, known, _ = _names(ctx)
    return _matching(known, incomplete)


def stores(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the names of stores."""
    _, _, names = _names(ctx)
    return _matching(names, incomplete)


def codes(incomplete: str) -> list[str]:
    """Offer every code that can be explained."""
    from sync.cli.output.codes import explanations  # noqa: PLC0415 - not for a command that is run

    return _matching((one.code for one in explanations()), incomplete)


def _names(ctx: typer.Context) -> tuple[Iterable[str], Iterable[str], Iterable[str]]:
    """Return the names of Pages, the labels and the stores of the configuration; none where it is wrong."""
    from sync.config.load import load  # noqa: PLC0415 - not for a command that is run

    try:
        file = config_file(ctx.params.get("config") or ctx.find_root().params.get("config"))
        # The shell waits for an answer, and nobody types a configuration meanwhile.
        if file == STDIN:
            return (), (), ()
        config = load(file)
    except ConfigErrors:
        return (), (), ()
    known = (f"{key}={value}" for page in config.pages for key, value in page.labels.items())
    return (page.name for page in config.pages), known, config.settings.stores


def _matching(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in dict.fromkeys(words) if word.startswith(incomplete)]
