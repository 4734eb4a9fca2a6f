"""Answers that quote the whole request, in the form of errors of Graph, Vault and AWS at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import count

_turn = count()


def quoting(headers: Mapping[str, str], path: str, body: str) -> bytes:
    """Return an error that quotes a request in each of its fields."""
    said = f"Malformed access token {headers} {path} {body}"
    error = {
        "message": said,
        "type": "OAuthException",
        "code": 190,
        "fbtrace_id": said[-40:],
        "error_user_msg": said,
    }
    aws = {"__type": word(said), "Message": said, "message": said, "SecretList": [{"Name": said}], "Errors": [error]}
    return json.dumps({"error": error, "errors": [said], "data": {"x": said}, **aws}).encode()


def quoting_xml(headers: Mapping[str, str], body: str) -> bytes:
    """Return the same as an error of STS's."""
    said = re.sub("[<>&]", " ", f"{headers} {body}")
    return f"<ErrorResponse><Error><Code>{word(said)}</Code><Message>{said}</Message></Error></ErrorResponse>".encode()


def word(said: str) -> str:
    """Return one of the long words of a text, another one each time: what looks like an error code may be a token."""
    words = re.findall(r"[A-Za-z]\w{15,}", said)
    return words[next(_turn) % len(words)] if words else said
