"""References to secrets: where a secret is read from. The configuration never contains the secret itself."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from sync.config.errors import KeyPath, looks_like_secret, shown_path
from sync.config.schema.choices import TAG
from sync.config.schema.types import ConfigModel, SecretPath, Text, wrong


def _no_secret(value: str) -> str:
    """Refuse text that looks like a secret rather than a name; a directory of a path may have any name."""
    if looks_like_secret(value) and ("/" not in value or re.search("://|:[^/]*@", value)):
        wrong("secret-in-file", "this looks like a secret, not like the name of a variable, file or key", _REMEDY)
    return value


_REMEDY = (
    "store the secret in a file or variable and write {file: PATH}, {env: NAME} or {store: STORE, path: PATH, key: KEY}"
)


class EnvReference(ConfigModel):
    """A secret in an environment variable."""

    env: Annotated[
        str, AfterValidator(_no_secret), Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$", examples=["META_APP_SECRET"])
    ]
    """The variable's name."""

    def __str__(self) -> str:
        return f"{{env: {shown_path(self.env)}}}"


class FileReference(ConfigModel):
    """A secret in a file, read again in each cycle."""

    file: Annotated[Text, AfterValidator(_no_secret)]
    """The path of the file, relative to the folder of the configuration file. UTF-8, at most 64 KiB; one newline at the
    end is removed; an empty file is an error."""

    def __str__(self) -> str:
        return f"{{file: {shown_path(self.file)}}}"


class StoreReference(ConfigModel):
    """A secret in one of the configured stores."""

    store: str
    """The store's name."""
    path: SecretPath
    """The secret's path or name in the store, without placeholders."""
    key: Annotated[Text, AfterValidator(_no_secret)]
    """The key in the secret's JSON object."""

    def __str__(self) -> str:
        return f"{{store: {self.store}, path: {shown_path(self.path)}, key: {shown_path(self.key)}}}"


_REFERENCES: dict[str, type[ConfigModel]] = {"env": EnvReference, "file": FileReference, "store": StoreReference}


def _reference(value: Any) -> Any:
    if isinstance(value, ConfigModel):
        return value
    if value is None:
        wrong("bad-reference", "the reference to a secret is missing", _REMEDY)
    if not isinstance(value, dict):
        wrong("secret-in-file", "a value in place of a reference to a secret", _REMEDY)
    kinds = [kind for kind in _REFERENCES if kind in value]
    allowed = set(_REFERENCES[kinds[0]].model_fields) if len(kinds) == 1 else set()
    if len(kinds) != 1 or set(value) - allowed:
        wrong("bad-reference", "not a reference to a secret", _REMEDY)
    return value


def _reference_kind(value: Any) -> str | None:
    if isinstance(value, dict):
        return next((TAG + kind for kind in _REFERENCES if kind in value), None)
    return next((TAG + kind for kind, model in _REFERENCES.items() if isinstance(value, model)), None)


Reference = Annotated[
    Annotated[EnvReference, Tag(TAG + "env")]
    | Annotated[FileReference, Tag(TAG + "file")]
    | Annotated[StoreReference, Tag(TAG + "store")],
    Discriminator(_reference_kind),
    BeforeValidator(_reference),
]
"""Where a secret is read from; never the secret itself."""


def models_in(value: Any, path: KeyPath = (), *, skip: Collection[str] = ()) -> Iterator[tuple[KeyPath, ConfigModel]]:
    """Yield every model inside a value, itself included, with its path; the keys of ``skip`` are left out."""
    if isinstance(value, ConfigModel):
        yield path, value
        for key in type(value).model_fields:
            if key not in skip:
                yield from models_in(getattr(value, key), (*path, key), skip=skip)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from models_in(inner, (*path, key), skip=skip)
    elif isinstance(value, tuple):
        for index, inner in enumerate(value):
            yield from models_in(inner, (*path, index), skip=skip)
