"""The command ``policy``: print the least policy that the configuration needs in a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sync.cli.command import UsageError, carry_out, configuration
from sync.cli.options import Holder, Scope
from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.config.resolve.select import select

if TYPE_CHECKING:
    from sync.app.policy import Policy
    from sync.config.load import Config


_TYPES = {"vault": "vault", "aws": "aws-secrets-manager"}


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """The options of ``policy``. ``scope`` None is the usual one: a line for each secret of a reader, and for the others the prefix."""

    file: Path | None
    form: Form
    kind: Literal["vault", "aws"]
    store: str | None
    holder: Holder
    scope: Scope | None
    pages: Sequence[str]
    labels: Sequence[str]

    @property
    def selects(self) -> bool:
        """Whether the policy is for some Pages only."""
        return bool(self.pages or self.labels)

    @property
    def exact(self) -> bool:
        """Whether the policy has a line for each secret. Raises UsageError."""
        if self.holder == "prune" and (self.selects or self.scope == "exact"):
            raise UsageError(
                "The Pages of the secrets that `prune` deletes are gone, so its policy has only the scope prefix."
            )
        if self.selects and self.scope == "prefix":
            raise UsageError("--page and --label need --scope exact: with the prefix a policy covers all Pages.")
        if self.scope is None:
            return self.selects or self.holder == "reader"
        return self.scope == "exact"


def policy(options: PolicyOptions) -> int:
    """Print the policy, which goes into the service's own command, and warnings on stderr; return the exit code."""
    return carry_out(lambda: _print(options), options.form)


def _print(options: PolicyOptions) -> int:
    exact = options.exact
    config = configuration(options.file)
    name = _store(config, options)
    found = _policy(config, name, options, exact=exact)
    for text in found.warnings:
        console.put_warning(text)
    if options.form is Form.JSON:
        scope = "exact" if exact else "prefix"
        head = {"format": 1, "store": name, "for": options.holder, "scope": scope}
        console.put_json({**head, "policy": found.value, "warnings": list(found.warnings)})
    else:
        console.put_commands(found.text.splitlines())
    return 0


def _store(config: Config, options: PolicyOptions) -> str:
    """Return the store that is meant. Raises UsageError."""
    wanted = _TYPES[options.kind]
    names = [name for name, store in config.settings.stores.items() if store.type == wanted]
    if options.store is not None and options.store not in names:
        there = f"it has {', '.join(names)}" if names else "it has none"
        raise UsageError(f"The configuration has no store {options.store} of the type {wanted}; {there}.")
    if not names:
        raise UsageError(f"The configuration has no store of the type {wanted}.")
    if options.store is None and len(names) > 1:
        raise UsageError(
            f"The configuration has several stores of the type {wanted}, and each needs a policy of its own. Write one of them after "
            f"`policy {options.kind}`: {', '.join(names)}."
        )
    return options.store or names[0]


def _policy(config: Config, name: str, options: PolicyOptions, *, exact: bool) -> Policy:
    """Return the policy. Raises UsageError where there is none."""
    from sync.app.policy import aws_policy, vault_policy  # noqa: PLC0415 - only if the file is valid
    from sync.stores.policy import PolicyError  # noqa: PLC0415 - only if the file is valid

    pages = config.pages
    if options.selects:
        pages = select(pages, pages=options.pages, labels=options.labels, stores=[name]).pages
    make = aws_policy if options.kind == "aws" else vault_policy
    try:
        return make(config, name, options.holder, pages, exact=exact)
    except PolicyError as error:
        raise UsageError(str(error)) from None
