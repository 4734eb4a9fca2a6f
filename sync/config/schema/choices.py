"""Unions of models of which one key of the file chooses: ``type`` of a store, ``method`` of a login."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Discriminator, GetCoreSchemaHandler, Tag
from pydantic_core import CoreSchema

TAG = "\0"
"""Begins the tags of unions, so that they are never taken for keys: no text of a configuration holds this character."""
UNCHOSEN = "unchosen"
"""The type of pydantic's error where the key is missing or has none of the words; ``key`` and ``words`` are in its context."""


@dataclass(frozen=True, slots=True)
class ChosenBy:
    """Annotates a union of models, each of which has one word for ``key``: ``Annotated[A | B, ChosenBy("type")]``."""

    key: str

    def __get_pydantic_core_schema__(self, union: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the union, each model tagged with its word."""
        models = {_words(model, self.key)[0]: model for model in get_args(union)}
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


def option(union: Any, word: str) -> type[BaseModel] | None:
    """Return the model of a union that a word chooses; None where none has it."""
    models = [model for model in get_args(union) if isinstance(model, type) and issubclass(model, BaseModel)]
    return next((model for model in models if any(word in _words(model, key) for key in model.model_fields)), None)


def _words(model: type[BaseModel], key: str) -> tuple[Any, ...]:
    annotation = model.model_fields[key].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()
