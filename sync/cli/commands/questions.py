"""The questions that ``init`` asks on a terminal. No answer is a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
        question = "Name of this installation"
        wanted = _answered(wanted, question, wanted.instance, loaded, "instance", lambda text: {"instance": text})
    wanted = _answered(wanted, "Id of the Meta app", wanted.app_id, loaded, "apps", lambda text: {"app_id": text})
    question = "App secret: a variable's name, or a file"
    wanted = _answered(
        wanted, question, _where(wanted.secret), loaded, "apps", lambda text: {"secret": _reference(text)}
    )
    question = "System user token: a variable's name, or a file"
    wanted = _answered(
        wanted, question, _where(wanted.token), loaded, "system_users", lambda text: {"token": _reference(text)}
    )
    question, key = _ADDRESSES[wanted.kind]
    store = wanted.store
    return _answered(wanted, question, store[key], loaded, "stores", lambda text: {"store": {**store, key: text}})


def _answered(  # noqa: PLR0917 - each call is one line
    wanted: Draft,
    question: str,
    default: str | None,
    loaded: Load,
    section: str,
    changes: Callable[[str], Mapping[str, Any]],
) -> Draft:
    """Return the draft with what an answer ``changes``; it leaves no error in its section of the file, others have their own questions."""
    from sync.config.show.starter import text  # noqa: PLC0415 - not for other commands

    while True:
        answer = str(typer.prompt(question, default=default, err=True)).strip()
        if looks_like_secret(answer) and "://" not in answer:
            console.put_warning("This looks like a secret. Write where it is, not what it is.")
            continue
        changed = replace(wanted, **changes(answer))
        try:
            loaded(text(changed))
        except ConfigErrors as errors:
            own = [error for error in errors.errors if error.path.startswith(section)]
            for error in own:
                console.put_warning(f"{error.message}; {error.remedy}")
            if own:
                continue
        return changed


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
