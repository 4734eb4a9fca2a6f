"""Translate pydantic's errors into findings: what is wrong and what would be right, without the value."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from pydantic import Tag, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from sync.config.errors import CODES, MAX_ERRORS, Finding, KeyPath, shown
from sync.config.parse.scalars import Altered
from sync.config.parse.yaml import Unreadable
from sync.config.schema.choices import TAG, UNCHOSEN, option
from sync.config.schema.described import described
from sync.config.schema.types import ConfigModel

Loc: TypeAlias = tuple[str | int, ...]
_ABSENT: Any = object()


def nearest(name: str, known: Iterable[str], *, show: Callable[[str], str] = shown) -> str:
    """Return a hint with the nearest known name, or with all known names; it does not repeat the given name."""
    names = sorted(show(one) for one in known)
    close = difflib.get_close_matches(name, names, 1)
    if close:
        return f"did you mean {close[0]}?"
    line = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")  # noqa: PLR2004 - about a line
    return f"known: {line}" if line else "none is configured"


def finding(error: ErrorDetails, raw: Any, model: Any, document: int) -> Finding | None:
    """Translate one error; None if the value was already refused when the text was read, or has an error of its own inside."""
    loc = error["loc"]
    path = _path(loc)
    if path[-1:] == ("[key]",):
        path = path[:-1]
        code, message, remedy = _refused(error, path, _ABSENT, None)
        return Finding(document, path, code, message, remedy, key=True)
    value = _value(raw, path)
    if isinstance(value, Unreadable) or (error["type"] == "too_short" and value):
        # Of a list whose entries are all invalid pydantic says that it is too short as well.
        return None
    if error["type"] == "extra_forbidden":
        return _unknown(path, model_at(model, loc[:-1]), document)
    if error["type"] == UNCHOSEN:
        return _unchosen(error["ctx"], path, value, field_at(model, loc), document)
    field = field_at(model, loc)
    if error["type"] == "union_tag_not_found":
        message = f"{_kind(value)}, where text or a mapping is expected"
        return Finding(document, path, "wrong-type", message, _described(field, path))
    code, message, remedy = _refused(error, path, value, field)
    return Finding(document, path, code, message, remedy)


def details_of(error: ValidationError, raw: Any, validate: Callable[[Any], object]) -> list[ErrorDetails]:
    """Return pydantic's errors; if there are very many only the first ones, from validating the first values again.

    An error costs more time and memory than the value that it is about: a hostile file can lead to a million errors.
    """
    if error.error_count() <= MAX_ERRORS:
        return error.errors(include_url=False, include_input=False)
    try:
        validate(_first(raw, [10 * MAX_ERRORS]))
    except ValidationError as part:
        # A key that is missing now may have been cut off.
        details = part.errors(include_url=False, include_input=False)
        return [one for one in details if one["type"] != "missing" or _value(raw, _path(one["loc"])) is _ABSENT]
    return error.errors(include_url=False, include_input=False)


def _first(value: Any, left: list[int]) -> Any:
    """Return the first values in the order of the file; MAX_DEPTH bounds the recursion."""
    left[0] -= 1
    if isinstance(value, dict):
        return {key: _first(inner, left) for key, inner in value.items() if left[0] > 0}
    return [_first(inner, left) for inner in value if left[0] > 0] if isinstance(value, list) else value


def _path(loc: Loc) -> KeyPath:
    return tuple(part for part in loc if not (isinstance(part, str) and part.startswith(TAG)))


def _value(raw: Any, path: KeyPath) -> Any:
    for part in path:
        try:
            raw = raw[part]
        except (KeyError, IndexError, TypeError):
            return raw if isinstance(raw, Unreadable) else _ABSENT
    return raw


def _unknown(path: KeyPath, part: type[ConfigModel] | None, document: int) -> Finding:
    name = str(path[-1])
    known = part.model_fields if part else {}
    renamed = _RENAMED.get(name)
    remedy = f"did you mean {renamed}?" if renamed in known else nearest(name, known)
    return Finding(document, path, "unknown-key", "unknown key", remedy, key=True)


def _unchosen(context: Mapping[str, str], path: KeyPath, value: Any, field: FieldInfo | None, document: int) -> Finding:
    if not isinstance(value, Mapping):
        return Finding(
            document, path, "wrong-type", f"{_kind(value)}, where a mapping is expected", _described(field, path)
        )
    key, choice = context["key"], f"one of {context['words']}"
    word, path = value.get(key, _ABSENT), (*path, key)
    if word is _ABSENT:
        return Finding(document, path, "missing-key", f"{key} is missing", choice)
    if not isinstance(word, str):
        return Finding(document, path, "wrong-type", f"{_kind(word)}, where text is expected", choice)
    return Finding(document, path, "bad-value", f"unknown {key}", nearest(word, context["words"].split(", ")))


_RENAMED = {"alive_every": "probe_every", "refresh": "renew_before", "at_least": "min_changes"}
"""Old names of keys that are not similar to their present names."""


def _described(field: FieldInfo | None, path: KeyPath) -> str:
    return (field.description if field else None) or (
        f"see {path[0]} in config.example.yaml" if path else "see config.example.yaml"
    )


def _like(field: FieldInfo | None) -> str | None:
    example = next(iter(field.examples or ()), field.default) if field else None
    return f"write it like {example}" if isinstance(example, str) else None


_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "tuple_type": "a list",
    "int_type": "an integer",
}


def _refused(error: ErrorDetails, path: KeyPath, value: Any, field: FieldInfo | None) -> tuple[str, str, str]:
    context: Mapping[str, Any] = error.get("ctx", {})
    described = _described(field, path)
    match error["type"]:
        case code if code in CODES:
            return code, context["message"], context["remedy"]
        case kind if kind in _EXPECTED:
            return "wrong-type", f"{_kind(value)}, where {_EXPECTED[kind]} is expected", described
        case "missing":
            return "missing-key", f"{path[-1]} is missing", described
        case "string_type" | "path_type":
            return _no_text(path, value)
        case "literal_error":
            return "bad-value", "not one of the allowed values", f"write {context['expected']}"
        case "string_pattern_mismatch":
            return "bad-value", "not in the expected format", _like(field) or described
        case "greater_than_equal":
            return "bad-value", "too small", f"the minimum is {context['ge']}"
        case "string_too_short" | "too_short":
            return "bad-value", "empty", described
        case "string_too_long" | "too_long":
            return "bad-value", f"too long: the maximum is {context['max_length']}", described
        case _:
            return "bad-value", "not an allowed value", described


def _no_text(path: KeyPath, value: Any) -> tuple[str, str, str]:
    code = "altered-id" if path[-1:] == ("id",) else "altered-value"
    remedy = 'put it in quotes: id: "101010101010101"' if code == "altered-id" else "put it in quotes"
    if isinstance(value, Altered):
        return code, f"without quotes YAML reads this as {value.kind}", remedy
    if isinstance(value, bool):
        return code, "without quotes YAML reads this as true or false", remedy
    if isinstance(value, int):
        return code, "a number without quotes, which YAML or a template can change", remedy
    if value is None and code == "altered-id":
        return "wrong-type", "nothing, where an id is expected", remedy
    return (
        "wrong-type",
        f"{_kind(value)}, where text is expected",
        "write text, in quotes where YAML would read it as something else",
    )


def _kind(value: Any) -> str:
    if isinstance(value, Altered):
        return value.kind
    kinds = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", int: "a number"}
    return kinds.get(type(value), "nothing")


def model_at(annotation: Any, loc: Loc) -> type[ConfigModel] | None:
    """Return the model of the value at a location of pydantic; None if the value has none."""
    found = _walk(annotation, loc)
    return found if isinstance(found, type) and issubclass(found, ConfigModel) else None


def field_at(annotation: Any, loc: Loc) -> FieldInfo | None:
    """Return the field at a location of pydantic; None if the location is not a field."""
    if not loc:
        return None
    part = model_at(annotation, loc[:-1])
    return described(part).get(str(loc[-1])) if part else None


def _walk(annotation: Any, loc: Loc) -> Any:
    annotation = _bare(annotation)
    if not loc:
        return annotation
    first, rest = loc[0], loc[1:]
    if get_origin(annotation) in (Union, types.UnionType):
        for one in get_args(annotation):
            if any(isinstance(meta, Tag) and meta.tag == first for meta in getattr(one, "__metadata__", ())):
                return _walk(one, rest)
        return _walk(option(annotation, str(first).removeprefix(TAG)), rest)
    if isinstance(annotation, type) and issubclass(annotation, ConfigModel):
        field = annotation.model_fields.get(str(first))
        return _walk(field.annotation, rest) if field else None
    arguments = get_args(annotation)
    if get_origin(annotation) is dict:
        return _walk(arguments[1], rest)
    return _walk(arguments[0], rest) if get_origin(annotation) is tuple else None


def _bare(annotation: Any) -> Any:
    """Return an annotation without Annotated, and without None if one type is left then."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
            continue
        options = [option for option in get_args(annotation) if option is not type(None)]
        if get_origin(annotation) in (Union, types.UnionType) and len(options) == 1:
            annotation = options[0]
            continue
        return annotation
