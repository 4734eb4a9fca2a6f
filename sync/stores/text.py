"""The text of a payload, for the stores that keep a text."""

from __future__ import annotations

import json

from sync.core.payload import Payload


def wire_text(payload: Payload) -> str:
    """Return the payload's text, always encodable as UTF-8.

    JSON allows half a surrogate pair as an escape, and keys of strangers are carried over: such a text stays escaped.
    """
    text = payload.text()
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(payload.reveal(), separators=(",", ":"))
    return text
