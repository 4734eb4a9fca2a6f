"""The questions that ``init`` asks on a terminal. No answer is a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from sync.cli.output import console
from sync.config.errors import ConfigErrors, looks_like_secret

if TYPE_CHECKING:
    from sync.config.load import Config
    from sync.config.show.starter import Draft, Kind

_VARIABLE = re.compile("[A-Z][A-Z0-9_]*")

Load = Callable[[str], "Config"]


def asked_kind(likely: Kind) -> Kind:
    """Ask for the kind of store until the answer is one."""
    from sync.config.show.starter import KINDS  # noqa: PLC0415 - not for other commands

    while True:
        answer = typer.prompt(f"Store the tokens in ({', '.join(KINDS)})", default=likely, err=True).strip().lower()
        for kind in KINDS:
            if answer == kind:
                return kind


def asked(wanted: Draft, loaded: Load, *, instance: bool) -> Draft:
    """Return the draft with a person's answers; each is checked as the configuration would be. ``instance``: its name is asked for too."""
    if instance:
        wanted = _answered(wanted, "Name of this installation", wanted.instance, loaded, _with_instance, "instance")
    wanted = _answered(wanted, "Id of the Meta app", wanted.app_id, loaded, _with_app_id, "apps")
    where = "a variable's name, or a file"
    wanted = _answered(wanted, f"App secret: {where}", _where(wanted.secret), loaded, _with_secret, "apps")
    wanted = _answered(wanted, f"System user token: {where}", _where(wanted.token), loaded, _with_token, "system_users")
    label, key = _ADDRESSES[wanted.kind]
    return _answered(wanted, label, wanted.store[key], loaded, _with_address, "stores")


def _answered(  # noqa: PLR0917 - each call is one line
    wanted: Draft, question: str, default: str | None, loaded: Load, change: Callable[[Draft, str], Draft], section: str
) -> Draft:
    """Return the draft with an answer that leaves no error in its section of the file; other sections have their own questions."""
    from sync.config.show.starter import text  # noqa: PLC0415 - not for other commands

    while True:
        answer = str(typer.prompt(question, default=default, err=True)).strip()
        if looks_like_secret(answer) and "://" not in answer:
            console.put_warning("This looks like a secret. Write where it is, not what it is.")
            continue
        changed = change(wanted, answer)
        try:
            loaded(text(changed))
        except ConfigErrors as errors:
            own = [error for error in errors.errors if error.path.startswith(section)]
            for error in own:
                console.put_warning(f"{error.message}; {error.remedy}")
            if own:
                continue
        return changed


def _with_instance(wanted: Draft, answer: str) -> Draft:
    return replace(wanted, instance=answer)


def _with_app_id(wanted: Draft, answer: str) -> Draft:
    return replace(wanted, app_id=answer)


def _with_secret(wanted: Draft, answer: str) -> Draft:
    return replace(wanted, secret=_reference(answer))


def _with_token(wanted: Draft, answer: str) -> Draft:
    return replace(wanted, token=_reference(answer))


def _with_address(wanted: Draft, answer: str) -> Draft:
    return replace(wanted, store={**wanted.store, _ADDRESSES[wanted.kind][1]: answer})


_ADDRESSES: Mapping[Kind, tuple[str, str]] = {
    "vault": ("Address of Vault or OpenBao", "address"),
    "aws": ("Region of the secrets", "region"),
    "file": ("Directory of the secrets", "directory"),
}
"""The question about each kind of store, and the key that has the answer."""


def _reference(answer: str) -> Mapping[str, str]:
    return {"env": answer} if _VARIABLE.fullmatch(answer) else {"file": answer}


def _where(reference: Mapping[str, str]) -> str:
    return next(iter(reference.values()))
