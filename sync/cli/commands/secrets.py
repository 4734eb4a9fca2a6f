"""The commands that change single secrets for a person: ``prune``, ``adopt`` and ``rollback``. Each function prints its result and returns the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sync.cli.command import INTERRUPTED, begin, carry_out, configuration, opened
from sync.cli.file import command_line, each_value
from sync.cli.output.forms import Form
from sync.cli.remedies import Remedies
from sync.config.resolve.select import check_stores, in_one_store

_DOING = "reading"
_UNCHANGED = "Interrupted before anything was changed."


def prune(given: Path | None, form: Form, stores: Sequence[str], *, yes: bool) -> int:
    """Show the orphans, and with ``yes`` delete them."""
    return carry_out(lambda: _prune(given, form, stores, yes=yes), form, interrupted=_UNCHANGED)


def _prune(given: Path | None, form: Form, stores: Sequence[str], *, yes: bool) -> int:
    clock, config = begin(), configuration(given)
    check_stores(config.settings.stores, stores)
    from sync.app.prune import prune as find  # noqa: PLC0415 - only if the file is valid
    from sync.cli.output.pruned import put_pruned  # noqa: PLC0415 - only if the file is valid

    with opened(config, clock, _DOING) as app:
        found = find(app, stores, write=yes)
    finish = Remedies(given, config.settings, ("--for", "prune"))
    removals = tuple(
        replace(one, remedy=finish(one.remedy, one.key.store, one.error_code, path=one.key.path))
        for one in found.removals
    )
    unlisted = {
        name: replace(error, remedy=finish(error.remedy, name, error.error_code))
        for name, error in found.unlisted.items()
    }
    found = replace(found, removals=removals, unlisted=unlisted)
    again = command_line(given, "prune", *each_value("--store", stores), "--yes")
    listed = {name: store for name, store in config.settings.stores.items() if not stores or name in stores}
    prefixes = {name: store.listed_prefix(config.settings.instance) for name, store in listed.items()}
    below = [f"{name}:{prefix}" for name, prefix in prefixes.items() if prefix]
    put_pruned(found, form, again=again, done=yes, below=below)
    return INTERRUPTED if found.cut_short else found.exit_code


def adopt(given: Path | None, form: Form, page: str | None, store: str | None, *, yes: bool) -> int:
    """Show what the secret of a Page is, or of all Pages, and with ``yes`` mark what is proven."""
    return carry_out(lambda: _adopt(given, form, page, store, yes=yes), form, interrupted=_UNCHANGED)


def _adopt(given: Path | None, form: Form, page: str | None, only: str | None, *, yes: bool) -> int:
    clock, config = begin(), configuration(given)
    selection, store = in_one_store(config.pages, page, only)
    from sync.app.adopt import adopt as find  # noqa: PLC0415 - only if the file is valid
    from sync.cli.output.adopted import put_adopted  # noqa: PLC0415 - only if the file is valid
    from sync.core.plan.adopt import exit_code  # noqa: PLC0415 - only if the file is valid

    with opened(config, clock, _DOING) as app:
        adoptions = find(app, selection, by_name=page is not None, write=yes)
    finish = Remedies(given, config.settings)
    found = [
        replace(one, remedy=finish(one.remedy, one.key.store, one.error_code, page=one.page.name, path=one.key.path))
        for one in adoptions
    ]
    which = "--all" if page is None else page
    absent = sum(len(page.targets) for page in selection.pages) - len(found)
    put_adopted(found, form, again=command_line(given, "adopt", which, "--store", store, "--yes"), absent=absent)
    cut_short = yes and any(one.action == "adopt" for one in found)
    return INTERRUPTED if cut_short else exit_code(found)


def rollback(
    given: Path | None, form: Form, page: str, store: str | None, version: str | None, *, release: bool, yes: bool
) -> int:
    """Show the versions of a secret, and with ``yes`` make an earlier one current; or ``release`` what a rollback holds."""
    return carry_out(
        lambda: _rollback(given, form, page, store, version, release=release, yes=yes), form, interrupted=_UNCHANGED
    )


def _rollback(
    given: Path | None, form: Form, page: str, only: str | None, version: str | None, *, release: bool, yes: bool
) -> int:
    clock, config = begin(), configuration(given)
    selection, store = in_one_store(config.pages, page, only)
    from sync.app.rollback import let_go, roll_back  # noqa: PLC0415 - only if the file is valid
    from sync.cli.output.rolled_back import put_rolled_back  # noqa: PLC0415 - only if the file is valid

    with opened(config, clock, _DOING) as app:
        found = let_go(app, selection) if release else roll_back(app, selection, version, write=yes)
    finish = Remedies(given, config.settings, ("--for", "rollback"))
    found = replace(found, remedy=finish(found.remedy, store, found.error_code, page=page, path=found.key.path))
    arguments = ["rollback", page, "--store", store]
    wanted = ["--version", found.wanted.version] if found.wanted is not None else []
    put_rolled_back(
        found,
        form,
        again=command_line(given, *arguments, *wanted, "--yes"),
        release=command_line(given, *arguments, "--release"),
    )
    interrupted = clock.stop.is_set() or found.action == "release" or (yes and found.action == "roll-back")
    return INTERRUPTED if interrupted else found.exit_code
