"""Make names for Pages in the configuration from what people call them. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

_LONGEST = 63
_SPELLED = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d"}
)
"""Letters that Unicode does not take apart into a letter of ASCII and an accent, and the German ones as Germans write them."""


def slug(text: str) -> str:
    """Return a text as a name of the configuration, empty where nothing of it can stand in one."""
    composed = unicodedata.normalize("NFC", text).lower().translate(_SPELLED)
    plain = unicodedata.normalize("NFKD", composed).encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]+", "-", plain.replace("'", "")).strip("-")[:_LONGEST].rstrip("-")


def unique_slugs(texts: Mapping[str, str], taken: Iterable[str]) -> Mapping[str, str]:
    """Return a name for each id, from its text: none is among ``taken``, and none occurs twice.

    A name that would, has the id behind it; an id whose text gives no name is its own name.
    """
    used, found = set(taken), dict[str, str]()
    for one, text in texts.items():
        name = slug(text) or one
        if name in used:
            name = f"{name[: _LONGEST - len(one) - 1]}-{one}"
        used.add(name)
        found[one] = name
    return found
