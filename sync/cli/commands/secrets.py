"""The commands that change single secrets for a person: ``prune``, ``adopt`` and ``rollback``. Each function prints its result and returns the exit code."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sync.cli.file import config_file
from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.config.errors import ConfigErrors
from sync.config.parse.translate import nearest
from sync.config.resolve.select import SelectionError, select, select_page
from sync.ops.process import keep_memory_private, silence_libraries, watch_signals
from sync.runtime.threads import Stopping, SystemClock

if TYPE_CHECKING:
    from sync.app import App

INTERRUPTED = 130
T = TypeVar("T")


def prune(given: Path | None, form: Form, stores: Sequence[str], *, yes: bool) -> int:
    """Show the orphans, and with ``yes`` delete them."""
    from sync.core.plan.prune import Pruned  # noqa: PLC0415 - only if the command runs

    def work(app: App) -> Pruned:
        from sync.app.prune import prune as carry_out  # noqa: PLC0415 - only if the file is valid

        for store in stores:
            if store not in app.config.settings.stores:
                known = nearest(store, app.config.settings.stores)
                raise SelectionError(f"--store {store}: the configuration has no such store; {known}")
        return carry_out(app, stores, write=yes)

    found = _run(given, form, work)
    if isinstance(found, int):
        return found
    from sync.cli.output.pruned import put_pruned  # noqa: PLC0415 - only if there is a result

    put_pruned(found, form, again=again(given, "prune", *_options("--store", stores), "--yes"), done=yes)
    return INTERRUPTED if found.cut_short else found.exit_code


def adopt(given: Path | None, form: Form, page: str | None, store: str, *, yes: bool) -> int:
    """Show what the secret of a Page is, or of all Pages, and with ``yes`` mark what is proven."""
    from sync.core.plan.adopt import Adoption, exit_code  # noqa: PLC0415 - only if the command runs

    def work(app: App) -> tuple[Adoption, ...]:
        from sync.app.adopt import adopt as carry_out  # noqa: PLC0415 - only if the file is valid

        pages = app.config.pages
        selection = select(pages, stores=[store]) if page is None else select_page(pages, page, stores=[store])
        return carry_out(app, selection, by_name=page is not None, write=yes)

    found = _run(given, form, work)
    if isinstance(found, int):
        return found
    from sync.cli.output.adopted import put_adopted  # noqa: PLC0415 - only if there is a result

    which = "--all" if page is None else page
    put_adopted(found, form, again=again(given, "adopt", which, "--store", store, "--yes"))
    cut_short = yes and any(one.action == "adopt" for one in found)
    return INTERRUPTED if cut_short else exit_code(found)


def rollback(
    given: Path | None, form: Form, page: str, store: str, version: str | None, *, release: bool, yes: bool
) -> int:
    """Show the versions of a secret, and with ``yes`` make an earlier one current; or ``release`` what a rollback holds."""
    from sync.core.plan.rollback import Rollback  # noqa: PLC0415 - only if the command runs

    def work(app: App) -> Rollback:
        from sync.app.rollback import let_go, roll_back  # noqa: PLC0415 - only if the file is valid

        selection = select_page(app.config.pages, page, stores=[store])
        return let_go(app, selection) if release else roll_back(app, selection, version, write=yes)

    found = _run(given, form, work)
    if isinstance(found, int):
        return found
    from sync.cli.output.rolled_back import put_rolled_back  # noqa: PLC0415 - only if there is a result

    arguments = ["rollback", page, "--store", store]
    version_option = ["--version", found.wanted.version] if found.wanted is not None else []
    put_rolled_back(
        found,
        form,
        again=again(given, *arguments, *version_option, "--yes"),
        release=again(given, *arguments, "--release"),
    )
    return INTERRUPTED if found.action == "release" or (yes and found.action == "roll-back") else found.exit_code


def _run(given: Path | None, form: Form, work: Callable[[App], T]) -> T | int:
    """Run a command over a configuration; return its result, or the exit code where there is none."""
    clock = SystemClock()
    watch_signals(clock, exit_code=INTERRUPTED)
    keep_memory_private()
    try:
        file = config_file(given)
        from sync.config.load import load  # noqa: PLC0415 - only if the file exists

        config = load(file)
        from sync.app import build  # noqa: PLC0415 - only if the file is valid

        silence_libraries()
        with console.progress("reading"), build(config, clock=clock) as app:
            return work(app)
    except ConfigErrors as errors:
        console.put_errors(errors, form)
        return 2
    except SelectionError as error:
        console.put_failure("selection", str(error), form)
        return 2
    except Stopping:
        console.put_failure("interrupted", "Interrupted before anything was changed.", form)
        return INTERRUPTED


def _options(name: str, values: Sequence[str]) -> list[str]:
    return [part for value in values for part in (name, value)]


def again(given: Path | None, *arguments: str) -> str:
    """Return a command line of this program for a shell, with the same configuration."""
    return shlex.join(["page-token-sync", *(["--config", str(given)] if given else []), *arguments])
