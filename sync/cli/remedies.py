"""Remedies whose command lines can be copied."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sync.cli.file import command_line
from sync.core.report.text import filled

if TYPE_CHECKING:
    from sync.config.schema.settings import Settings

_KINDS = {"vault": "vault", "aws-secrets-manager": "aws"}
"""What `policy` calls the types of stores that it has policies for."""


@dataclass(frozen=True, slots=True)
class Remedies:
    """Completes the remedies of a command, whose policy is printed by ``policy`` with ``policy_options``."""

    given: Path | None
    settings: Settings
    policy_options: tuple[str, ...] = ()

    def __call__(
        self, remedy: str, store: str, error_code: str | None, *, page: str | None = None, path: str | None = None
    ) -> str:
        """Return a remedy with the configuration, the Page and the secret in it; what was denied also names the whole policy."""
        kind = _KINDS.get(self.settings.stores[store].type)
        if error_code == "denied" and kind is not None:
            policy = shlex.join(["page-token-sync", "policy", kind, store, *self.policy_options])
            remedy = f"{remedy} The whole policy: {policy}"
        return with_file(filled(remedy, store, page=page, path=path), self.given)


def with_file(remedy: str, given: Path | None) -> str:
    """Return a remedy whose commands read the same configuration file as this one."""
    return remedy.replace("page-token-sync ", f"{command_line(given)} ")
