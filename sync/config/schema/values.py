"""The kinds of value that keys of the configuration take: durations, names, addresses, paths and references."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from sync.config.errors import KeyPath
from sync.core.payload import PLACEHOLDERS, TemplateError, fill

TAG = "\0"
"""Begins the tags of unions, so that they are never taken for keys: no text of a configuration holds this character."""

NAME = r"[a-z0-9][a-z0-9._-]{0,62}"


def wrong(code: str, message: str, remedy: str) -> NoReturn:
    """Refuse a value with a code of the closed list; neither sentence may hold the value."""
    raise PydanticCustomError(code, "refused", {"message": message, "remedy": remedy})


class Part(BaseModel):
    """What all parts of the configuration have in common: no unknown keys, nothing converted, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def _name(value: str) -> str:
    if not re.fullmatch(NAME, value):
        wrong(
            "bad-name",
            "not a name",
            "use small letters, digits, '.', '_' and '-', at most 63, the first a letter or digit",
        )
    return value


def _graph_id(value: str) -> str:
    if re.fullmatch(r"[0-9]{1,32}", value):
        return value
    if re.fullmatch(r"[0-9.]+[eE][-+]?[0-9]+", value):
        wrong(
            "altered-id",
            "a number in floating-point form: a template has turned the id into a number and lost its last digits",
            'quote the id in the values file too, and write {{ .id | quote }} in a Helm template: id: "101010101010101"',
        )
    wrong("bad-value", "not an id of Graph's", 'an id is digits only, in quotes: "101010101010101"')


Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME}$"})]
GraphId = Annotated[str, AfterValidator(_graph_id), WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,32}$"})]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


def _address(value: str) -> str:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        wrong("bad-address", "not an address", "write https://HOST or https://HOST:PORT")
    if parts.username is not None or parts.password is not None:
        wrong("secret-in-file", "a user name or password stands in the address", "remove everything up to the @")
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s\\]", value):
        wrong("bad-address", "not an http or https address", "write https://HOST or https://HOST:PORT")
    if parts.query or parts.fragment or "?" in value or "#" in value:
        wrong("bad-address", "an address with a query or fragment", "end it before the ? or #")
    return value.rstrip("/")


Address = Annotated[str, AfterValidator(_address), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
"""An http or https address without a slash at its end."""


def is_plain_http(address: str) -> bool:
    """Tell whether secrets sent to this address could be read on a network: http, and not to this machine.

    Judged by the literal host, since a name other than ``localhost`` can be made to lead anywhere.
    """
    parts = urlsplit(address)
    if parts.scheme != "http":
        return False
    host = parts.hostname or ""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _from_folder(value: Path, info: ValidationInfo) -> Path:
    return Path(info.context["base"]) / value if info.context else value


FilePath = Annotated[
    Path,
    Field(strict=False),
    AfterValidator(_from_folder),
    WithJsonSchema({"type": "string", "minLength": 1}),
]
"""A path of the file system; made absolute from the folder of the main configuration file."""


def path_fault(path: str) -> str | None:
    """Return what keeps a secret's path or name from being safe, None where nothing does."""
    if path.startswith("/"):
        return "it begins with a slash"
    if path.endswith("/"):
        return "it ends with a slash"
    segments = path.split("/")
    if "" in segments:
        return "a segment of it is empty"
    if not {".", ".."}.isdisjoint(segments):
        return "a segment of it is . or .."
    return None if path.isprintable() else "it holds a character that cannot be printed"


def _secret_path(value: str) -> str:
    try:
        fault = path_fault(fill(value, dict.fromkeys(PLACEHOLDERS, "x")))
    except TemplateError as error:
        wrong("bad-template", str(error), "write {{ and }} for braces that are meant")
    if fault:
        wrong("bad-path", f"not a path for a secret: {fault}", "write it like meta/pages/{name}")
    return value


def _payload_text(value: str) -> str:
    try:
        fill(value, dict.fromkeys((*PLACEHOLDERS, "token"), "x"))
    except TemplateError as error:
        wrong("bad-template", str(error), "write {{ and }} for braces that are meant")
    return value


PathTemplate = Annotated[Text, AfterValidator(_secret_path)]
Namespace = Annotated[
    str,
    StringConstraints(max_length=4096),
    AfterValidator(lambda value: value.strip("/")),
    AfterValidator(lambda value: value and _secret_path(value.replace("{", "{{").replace("}", "}}")) and value),
]
"""Like a PlainPath, or empty for the root."""
PlainPath = Annotated[
    Text,
    AfterValidator(lambda value: value.strip("/")),
    AfterValidator(lambda value: _secret_path(value.replace("{", "{{").replace("}", "}}")) and value),
]
"""A path without placeholders; slashes around it are dropped, as Vault's own documentation writes both forms."""
PayloadText = Annotated[str, StringConstraints(max_length=60_000), AfterValidator(_payload_text)]


def _no_secret(value: str) -> str:
    """Refuse what is rather a secret than the name of one: names are shown, and a long run of letters is no name."""
    if "/" not in value and re.search(r"[A-Za-z0-9]{32}", value):
        wrong(
            "secret-in-file", "this looks like a secret, and not like the name of a place where one is found", _REMEDY
        )
    return value


_REMEDY = (
    "put the secret into a file or variable and write {file: PATH}, {env: NAME} or {store: STORE, path: PATH, key: KEY}"
)


class EnvReference(Part):
    """A secret in an environment variable."""

    env: Annotated[
        str,
        AfterValidator(_no_secret),
        Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$", description="The variable's name."),
    ]

    def __str__(self) -> str:
        return f"{{env: {self.env}}}"


class FileReference(Part):
    """A secret in a file, read again in each cycle."""

    file: Annotated[
        Text,
        AfterValidator(_no_secret),
        Field(
            description="The file's path, from the folder of the configuration file. UTF-8, at most 64 KiB; one newline "
            "at the end is cut; empty is an error."
        ),
    ]

    def __str__(self) -> str:
        return f"{{file: {self.file}}}"


class StoreReference(Part):
    """A secret in one of the configured stores."""

    store: Annotated[str, Field(description="The store's name.")]
    path: Annotated[PlainPath, Field(description="The secret's path or name in the store, without placeholders.")]
    key: Annotated[Text, AfterValidator(_no_secret), Field(description="The name in the secret's JSON object.")]

    def __str__(self) -> str:
        return f"{{store: {self.store}, path: {self.path}, key: {self.key}}}"


_REFERENCES: dict[str, type[Part]] = {"env": EnvReference, "file": FileReference, "store": StoreReference}


def _reference(value: Any) -> Any:
    if isinstance(value, Part):
        return value
    if value is None:
        wrong("bad-reference", "a reference to a secret is missing", _REMEDY)
    if not isinstance(value, dict):
        wrong("secret-in-file", "a reference to a secret is wanted here, and not the secret itself", _REMEDY)
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
"""Where a secret is found; never the secret itself."""


def parts_in(value: Any, path: KeyPath = (), *, skip: Collection[str] = ()) -> Iterator[tuple[KeyPath, Part]]:
    """Return every part inside a value, itself included, with its path; what stands under the keys of ``skip`` is left out."""
    if isinstance(value, Part):
        yield path, value
        for key in type(value).model_fields:
            if key not in skip:
                yield from parts_in(getattr(value, key), (*path, key), skip=skip)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from parts_in(inner, (*path, key), skip=skip)
