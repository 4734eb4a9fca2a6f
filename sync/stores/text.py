"""The text of a payload, for stores whose secrets are text."""

from __future__ import annotations

import json

from sync.core.payload import Payload


def wire_text(payload: Payload) -> str:
    """Return the payload's text, which can always be encoded as UTF-8.

    JSON allows half a surrogate pair as an escape, and keys that others added are kept: a text with one stays escaped.
    """
    text = payload.text()
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(payload.reveal(), separators=(",", ":"))
    return text
