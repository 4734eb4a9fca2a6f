"""Unions of models that one key chooses from: ``type`` of a store, ``method`` of a login."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Discriminator, GetCoreSchemaHandler, Tag
from pydantic_core import CoreSchema

TAG = "\0"
"""The prefix of the tags of unions, which distinguishes them from keys: no text of a configuration contains this character."""
UNCHOSEN = "unchosen"
"""The type of pydantic's error if the key is missing or has an unknown word; its context has ``key`` and ``words``."""


@dataclass(frozen=True, slots=True)
class ChosenBy:
    """Annotates a union of models whose field ``key`` is a Literal of one word: ``Annotated[A | B, ChosenBy("type")]``."""

    key: str

    def __get_pydantic_core_schema__(self, union: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the union, each model tagged with its word."""
        models = dict(zip(words(union, self.key), get_args(union), strict=True))
        tagged: Any = Union[tuple(Annotated[model, Tag(TAG + word)] for word, model in models.items())]  # noqa: UP007 - made of the models
        discriminator = Discriminator(
            self._tag,
            custom_error_type=UNCHOSEN,
            custom_error_message="refused",
            custom_error_context={"key": self.key, "words": ", ".join(models)},
        )
        return handler.generate_schema(Annotated[tagged, discriminator])

    def _tag(self, value: Any) -> str | None:
        word = value.get(self.key) if isinstance(value, Mapping) else getattr(value, self.key, None)
        return TAG + word if isinstance(word, str) else None


def words(union: Any, key: str) -> list[str]:
    """Return the word of each model of a union."""
    return [_words(model, key)[0] for model in get_args(union)]


def option(union: Any, word: str) -> type[BaseModel] | None:
    """Return the model of a union that has this word; None if there is none."""
    models = [model for model in get_args(union) if isinstance(model, type) and issubclass(model, BaseModel)]
    return next((model for model in models if any(word in _words(model, key) for key in model.model_fields)), None)


def _words(model: type[BaseModel], key: str) -> tuple[Any, ...]:
    annotation = model.model_fields[key].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()
