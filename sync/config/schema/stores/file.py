"""The keys of the store that is a directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sync.config.schema.stores.store import PLACEHOLDERS_TEXT, TYPE_TEXT, Fault, StoreConfig, Timeout
from sync.config.schema.types import FilePath, PathTemplate


class FileConfig(StoreConfig):
    """A directory of this machine, for a laptop or a tmpfs; files are 0600 and replaced atomically."""

    example: ClassVar = ("disk", {"type": "file", "directory": "./secrets"})

    type: Annotated[Literal["file"], Field(description=TYPE_TEXT)]
    directory: FilePath
    """The directory, relative to the folder of the configuration file."""
    name: Annotated[PathTemplate, Field(description=f"The name of a secret's file in it. {PLACEHOLDERS_TEXT}")] = (
        "{name}.json"
    )
    timeout: Timeout = timedelta(seconds=30)

    def root(self) -> tuple[str, ...]:
        """Return the directory, links followed, with a slash at its end."""
        return ("file", f"{os.path.realpath(self.directory)}/")

    def faults(self) -> Iterator[Fault]:
        """Refuse a name that begins with a dot: the store keeps the marks of secrets in such files."""
        if any(part.startswith(".") for part in self.filled().split("/")):
            yield Fault(("name",), "bad-path", "a name that begins with a dot, which is reserved for the marks of secrets",
                        "begin the name with another character")  # fmt: skip

    def listed_prefix(self, instance: str) -> str:  # noqa: ARG002 - see the base
        """Return an empty text: the whole directory is listed."""
        return ""

    def contains(self, file: Path) -> bool:
        """Check whether a file lies in the directory."""
        return file.is_relative_to(os.path.realpath(self.directory))
