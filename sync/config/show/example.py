"""What is generated from the models: the JSON Schema, and config.example.yaml with each key's description."""

from __future__ import annotations

import json
import re
import textwrap
import types
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticUndefined

from sync.config.schema.choices import option
from sync.config.schema.references import EnvReference, FileReference, StoreReference
from sync.config.schema.settings import Settings
from sync.config.schema.stores.kinds import AnyStore
from sync.config.schema.types import ConfigModel, duration_text, share_text
from sync.core.model import Never

EXAMPLE: Mapping[str, Any] = {
    "version": 1,
    "instance": "acme-prod",
    "schedule": {"every": "15m", "jitter": "1m"},
    "graph": {"version": "v25.0"},
    "apps": {"messenger": {"id": "123456789012345", "secret": {"file": "/run/secrets/meta_app_secret"}}},
    "system_users": {"main": {"app": "messenger", "token": {"file": "/run/secrets/meta_system_user_token"}}},
    "stores": dict(kind.example for kind in get_args(AnyStore)),
    "defaults": {
        "stores": ["vault"],
        "checks": {"scopes": ["pages_messaging"], "expires": "7d"},
        "payload": {"access_token": "{token}", "page_id": "{id}", "app_id": "{app_id}"},
        "labels": {"managed": "central"},
    },
    "brake": {"share": "30%", "min_changes": 3},
    "log": {"level": "info"},
    "pages": [
        {"id": "101010101010101", "name": "berlin"},
        {"id": "202020202020202", "name": "paris", "stores": ["vault", "aws"], "labels": {"team": "crm"}},
    ],
}
"""What config.example.yaml says; keys that it leaves out stand there as comments, with their defaults."""

_HEAD = """\
# Every key of the configuration, written by `python -m sync.config.show.example`. A line of the form `# key: value` shows a
# default, or an example where there is none. The least that is needed: instance,
# apps, system_users, one store and pages.
# A secret never stands here; in its place stands a reference, one of
#   {env: NAME}, {file: PATH} or {store: STORE, path: PATH, key: KEY}
# Durations are a whole number and a unit: 500ms, 90s, 15m, 24h, 7d. Shares are whole percent: 30%.
"""
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*|[0-9]+(?:[a-z]+|%)|\./[a-z]+")
_REFERENCES = (EnvReference, FileReference, StoreReference)


class _Schema(GenerateJsonSchema):
    """Pydantic's schema, with defaults as the file would write them."""

    def encode_default(self, dft: Any) -> Any:
        """Write a default; pydantic's own form of durations is another one, and shares are no numbers in the file."""
        if isinstance(dft, (timedelta, Never)):
            return duration_text(dft)
        if isinstance(dft, float):
            return share_text(dft)
        return dft.model_dump(mode="json") if isinstance(dft, BaseModel) else super().encode_default(dft)


def schema() -> dict[str, Any]:
    """Return the configuration's JSON Schema, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Settings.model_json_schema(schema_generator=_Schema),
        "title": "Configuration of page-token-sync",
    }


def example() -> str:
    """Return the text of config.example.yaml."""
    return _HEAD + "\n".join(_part(EXAMPLE, Settings, 0)) + "\n"


def _part(values: Mapping[str, Any], model: type[ConfigModel], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for key in sorted(model.model_fields, key=lambda key: key not in model.__annotations__):
        field = model.model_fields[key]
        if depth == 0:
            yield ""
        if field.description:
            yield from _comment(field.description, indent)
        if key in values:
            yield from _value(key, values[key], _model(field.annotation, values[key]), depth)
        elif model_of := _model(field.annotation, {}):
            yield f"{indent}{key}:"
            yield from _part({}, model_of, depth + 1)
        else:
            yield f"{indent}# {key}: {default(model, key)}".rstrip()


def _value(key: str, value: Any, model: type[ConfigModel] | None, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, Mapping) and model is not None and model not in _REFERENCES:
        yield f"{indent}{key}:"
        yield from _part(value, model, depth + 1)
    elif key in ("apps", "system_users", "stores") and isinstance(value, Mapping):
        yield f"{indent}{key}:"
        for name, entry in value.items():
            yield f"{indent}  {name}:"
            yield from _part(entry, _entry(key, entry), depth + 2)
    elif key == "pages":
        yield f"{indent}{key}:"
        yield from (f"{indent}  - {flow(page)}" for page in value)
    else:
        yield f"{indent}{key}: {flow(value)}"


def _entry(section: str, entry: Mapping[str, Any]) -> type[ConfigModel]:
    found = _model(get_args(Settings.model_fields[section].annotation)[1], entry)
    if found is None:
        raise LookupError(f"{section} holds no models")
    return found


def _model(annotation: Any, value: Any) -> type[ConfigModel] | None:
    """Find the model that a value of this annotation belongs to; None where it is no part of the configuration."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if isinstance(annotation, type) and issubclass(annotation, ConfigModel):
        return annotation
    if get_origin(annotation) not in (Union, types.UnionType) or not isinstance(value, Mapping):
        return None
    found = option(annotation, str(value.get("type") or value.get("method")))
    return found if found is not None and issubclass(found, ConfigModel) else None


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, 110, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ", break_on_hyphens=False
    )


def default(model: type[ConfigModel], key: str) -> str:
    """Write a key's default as the file would, or else an example; empty where there is neither."""
    field = model.model_fields[key]
    usual = field.get_default(call_default_factory=True, validated_data={})
    if usual is None or usual is PydanticUndefined:
        return flow(field.examples[0]) if field.examples else ""
    if isinstance(usual, (list, tuple, dict, bool, str)):
        return flow(usual)
    dumped = usual.model_dump() if isinstance(usual, BaseModel) else model.__pydantic_serializer__.to_python(
        model.model_construct(**{key: usual}), include={key}, mode="json", warnings=False
    )[key]  # fmt: skip
    return flow(dumped)


def flow(value: Any) -> str:
    """Write a value on one line, with quotes wherever YAML could misread text."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(flow(inner) for inner in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value)


if __name__ == "__main__":
    print(example(), end="")  # noqa: T201 - its purpose
