"""The secret that applications read: its template, its text, and the token inside it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from types import MappingProxyType
from typing import Any, NoReturn

from sync.core.json_text import JsonText, dump, encodable, members, same
from sync.core.secret import Secret, fingerprint

PLACEHOLDERS = ("name", "id", "app", "app_id", "system_user", "instance")
"""What paths and payloads may name; payloads may also name ``token``."""

_PIECE = re.compile(r"\{\{|\}\}|\{([a-z_]*)\}|[{}]")
_TOKEN = "\0token\0"  # noqa: S105 - a hole that no configuration text can hold, since YAML refuses NUL


class TemplateError(ValueError):
    """A template names something unknown or has an unpaired brace; the text says which, and quotes nothing else."""


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace each ``{placeholder}``; ``{{`` and ``}}`` are braces. Raises TemplateError."""

    def piece(match: re.Match[str]) -> str:
        text, name = match.group(0), match.group(1)
        if text in ("{{", "}}"):
            return text[0]
        if name is None:
            raise TemplateError(
                f"an unpaired {text!r} at character {match.start() + 1}; write {text + text!r} for a brace"
            )
        if name not in values:
            known = " ".join(f"{{{one}}}" for one in values)
            close = difflib.get_close_matches(name, values, 1)
            meant = f"did you mean {{{close[0]}}}? Known" if close else "known"
            raise TemplateError(f"unknown placeholder {{{name}}}; {meant} are {known}")
        return values[name]

    return _PIECE.sub(piece, template)


def fixed_part(template: str, constants: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the text of a valid template before its first placeholder that is no constant: all that it makes begins so."""
    holes = (match for match in _PIECE.finditer(template) if match.group(1) is not None)
    first = next((match for match in holes if match.group(1) not in constants), None)
    return fill(template[: first.start()] if first else template, constants)


class Payload:
    """A payload as it is stored: a JSON object, or raw text. It holds tokens, so it is never printed.

    ``source`` is the text of an object that other tools wrote too: what is not changed in it stays byte for byte.
    """

    __slots__ = ("_source", "_value")

    def __init__(self, value: Mapping[str, Any] | str, *, source: str | None = None) -> None:
        self._value = value if isinstance(value, str) else dict(value)
        self._source = source

    def reveal(self) -> dict[str, Any] | str:
        """Return the content itself; for the stores that put it on a wire, and no others."""
        return self._value

    @property
    def keys(self) -> frozenset[str]:
        """The names in a JSON object; empty for raw text."""
        return frozenset() if isinstance(self._value, str) else frozenset(self._value)

    def secret(self, name: str) -> Secret | None:
        """Return the text under one name of a JSON object; None where no text is there, or nothing in it."""
        text = self._value.get(name) if isinstance(self._value, dict) else None
        return Secret(text) if isinstance(text, str) and text else None

    def renewed(self, name: str, secret: Secret) -> Payload:
        """Return the same JSON object with another text under one name; all others stay, and their order."""
        return self.changed({name: secret.reveal()})

    def changed(self, texts: Mapping[str, str]) -> Payload:
        """Return the same JSON object with these texts under these names; raw text is returned as it is."""
        if isinstance(self._value, str):
            return self
        if self._source is None:
            return Payload({**self._value, **texts})
        found = members(self._source) or ()
        parts, at = [], 0
        for member in found:
            if member.name in texts:
                parts += [self._source[at : member.start], dump(texts[member.name])]
                at = member.end
        missing = [f"{dump(name)}:{dump(text)}" for name, text in texts.items() if name not in self._value]
        end = found[-1].end if found else self._source.index("{") + 1
        parts.append(self._source[at:end])
        if missing:
            parts.append(("," if found else "") + ",".join(missing))
        return Payload({**self._value, **texts}, source="".join([*parts, self._source[end:]]))

    def text(self) -> str:
        """Return the one text form: raw text as it is, an object as its source, or as compact JSON in its own order."""
        if isinstance(self._value, str):
            return self._value
        return self._source if self._source is not None else dump(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Payload) or type(self._value) is not type(other._value):
            return False
        if isinstance(self._value, str):
            return self._value == other._value
        if self._source is None is other._source and all(isinstance(value, str) for value in self._value.values()):
            return self._value == other._value
        return self.keys == other.keys and same(self.text(), other.text())

    def __hash__(self) -> int:
        # By the names alone: equal objects may hold them in another order.
        return hash(self._value if isinstance(self._value, str) else self.keys)

    def __repr__(self) -> str:
        return f"Payload({fingerprint(self.text())})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Payload is never serialised")


def parse_text(text: str, *, raw: bool) -> Payload | None:
    """Read a payload's text form; None where an object is wanted and the text is not one.

    ``raw`` keeps any text as raw text. Whatever JSON allows is read, of any depth and with numbers of any size.
    """
    if raw:
        return Payload(text)
    plain = _plain(text)
    if plain is not None:
        return Payload(plain)
    found = members(text)
    if found is None:
        return None
    value = {member.name: _value(text[member.start : member.end]) for member in found}
    return Payload(value, source=None if dump(value) == text else encodable(text))


def _plain(text: str) -> dict[str, str] | None:
    """Return the object where all its values are texts, and it is in the form in which this program writes one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    plain = isinstance(value, dict) and all(isinstance(one, str) for one in value.values()) and dump(value) == text
    return value if plain else None


def _value(text: str) -> str | JsonText:
    return json.loads(text) if text.startswith('"') else JsonText(text)


@dataclass(frozen=True, slots=True)
class PayloadTemplate:
    """A payload with everything filled in but the token.

    ``fields`` maps a name to a text in which a private hole stands for the token; a plain text is the whole raw payload.
    Made by ``parse``, which refuses a template without a token.
    """

    fields: Mapping[str, str] | str

    @classmethod
    def parse(cls, template: Mapping[str, str] | str, values: Mapping[str, str]) -> PayloadTemplate:
        """Fill in all placeholders but ``{token}``. Raises TemplateError."""
        holes = {**values, "token": _TOKEN}
        if isinstance(template, str):
            fields: Mapping[str, str] | str = fill(template, holes)
            found = _TOKEN in fields
        else:
            # Most Pages have most texts in common.
            fields = {intern(name): intern(fill(text, holes)) for name, text in template.items()}
            found = any(_TOKEN in text for text in fields.values())
        if not found:
            raise TemplateError("no {token} in it: an application could not read the token")
        return cls(fields)

    @property
    def raw(self) -> bool:
        """Whether the payload is one raw text."""
        return isinstance(self.fields, str)

    @property
    def names(self) -> frozenset[str]:
        """The names of a JSON payload; empty for raw text."""
        return frozenset() if isinstance(self.fields, str) else frozenset(self.fields)

    def render(self, token: Secret, *, over: Payload | None = None) -> Payload:
        """Return the payload with the token; names in ``over`` that the template does not have are carried over."""
        if isinstance(self.fields, str):
            return Payload(self.fields.replace(_TOKEN, token.reveal()))
        texts = {name: text.replace(_TOKEN, token.reveal()) for name, text in self.fields.items()}
        return Payload(texts) if over is None or isinstance(over.reveal(), str) else over.changed(texts)

    def token_in(self, payload: Payload | None, *, marked: str | None = None) -> Secret | None:
        """Find the token in a stored payload; None where there is none.

        It is looked for where the template has it; failing that, under any name whose value has the ``marked`` fingerprint,
        so that a working token is found after the template has changed.
        """
        if payload is None:
            return None
        value = payload.reveal()
        token = _from_text(self.fields, value) if isinstance(self.fields, str) else _from_object(self.fields, value)
        if token is not None or marked is None:
            return token
        texts = [value] if isinstance(value, str) else [text for text in value.values() if isinstance(text, str)]
        return next((Secret(text) for text in texts if fingerprint(text) == marked), None)


def _from_object(fields: Mapping[str, str], value: dict[str, Any] | str) -> Secret | None:
    if isinstance(value, str):
        return None
    for name, text in fields.items():
        stored = value.get(name)
        if _TOKEN in text and isinstance(stored, str):
            token = _from_text(text, stored)
            if token is not None:
                return token
    return None


def _from_text(template: str, value: dict[str, Any] | str) -> Secret | None:
    if not isinstance(value, str):
        return None
    before, _, rest = template.partition(_TOKEN)
    after = rest.replace(_TOKEN, "")
    if _TOKEN in rest:
        # The token stands more than once: its length is what is left of the text when all else is taken away.
        holes = template.count(_TOKEN)
        length = (len(value) - (len(template) - holes * len(_TOKEN))) // holes
        token = value[len(before) : len(before) + max(length, 0)]
        return Secret(token) if token and template.replace(_TOKEN, token) == value else None
    if len(value) <= len(before) + len(after) or not (value.startswith(before) and value.endswith(after)):
        return None
    return Secret(value[len(before) : len(value) - len(after)])
