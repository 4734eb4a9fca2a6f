"""What each key is for: the text below it in its model. It is read from the source, which only an explanation needs."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from copy import copy
from functools import cache
from itertools import pairwise

from pydantic.fields import FieldInfo

from sync.config.schema.types import ConfigModel


@cache
def described(model: type[ConfigModel]) -> Mapping[str, FieldInfo]:
    """Return the fields of a model by key, each with its description."""
    texts: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, ConfigModel):
            texts.update(_texts(base.__module__).get(base.__name__, {}))
    fields = {key: copy(field) for key, field in model.model_fields.items()}
    for key, field in fields.items():
        field.description = field.description or texts.get(key)
    return fields


@cache
def _texts(module: str) -> Mapping[str, Mapping[str, str]]:
    """Return the texts below the keys of each class of a module; none where its source is missing or is being replaced."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError, SyntaxError):
        return {}
    return {part.name: dict(_below_keys(part)) for part in tree.body if isinstance(part, ast.ClassDef)}


def _below_keys(model: ast.ClassDef) -> list[tuple[str, str]]:
    return [
        (key.target.id, " ".join(text.value.value.split()))
        for key, text in pairwise(model.body)
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    ]
