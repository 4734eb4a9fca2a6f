"""OpenBao's detailed listing, read while it arrives: what is kept of it is one small value for each secret.

A whole listing of thousands of secrets is large, and its parsed form is several times as large. A hostile one would be
larger still, so it is given up at the first part that is not of a listing.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping

from sync.core.json_text import decoder
from sync.stores.vault.kv import Info, info

_MOST = 100_000
"""Secrets in one listing; for more, the folders are listed and the secrets read one by one."""
_PIECE = 1 << 16
_ENTRY = 1 << 18
"""Characters of the longest metadata of one secret: 64 entries of 512 bytes and hundreds of versions fit."""
_START = re.compile(r'"key_info"\s*:\s*\{')
_NAME = re.compile(r'[\s,]*(?:("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*:\s*|\})')


class DetailedListing:
    """The secrets of one listing, whose parts are fed in turn; ValueError is raised where they are not of a listing."""

    def __init__(self) -> None:
        self._infos: dict[str, Info | None] = {}
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._begun = self._ended = False
        self._decode = decoder().raw_decode

    def feed(self, part: bytes) -> None:
        """Read the next part."""
        if self._ended:
            return
        self._text += self._utf8.decode(part)
        if len(self._text) >= _PIECE:
            self._read()

    def finish(self) -> Mapping[str, Info | None]:
        """Return the metadata by name, after the last part; None where it needs a request of its own."""
        self._read()
        if not self._ended and not self._is_empty():
            raise ValueError("not a detailed listing")
        return self._infos

    def _is_empty(self) -> bool:
        """Check whether this is the listing of a folder that does not exist, which has no names at all (OpenBao 2.7.2)."""
        try:
            answer = json.loads(self._text) if not self._begun else None
        except RecursionError:
            raise ValueError("too deep") from None
        return isinstance(answer, dict) and answer.get("data") == {} and "request_id" in answer

    def _read(self) -> None:
        text, at = self._text, 0
        if not self._begun:
            start = _START.search(text)
            self._begun, at = start is not None, start.end() if start is not None else 0
        while self._begun and not self._ended:
            name = _NAME.match(text, at)
            if name is None:
                break
            if name[1] is None:
                self._ended = True
                break
            try:
                value, at = self._decode(text, name.end())
            except RecursionError:
                raise ValueError("too deep") from None
            except ValueError:
                break  # the rest of it has not arrived
            self._keep(json.loads(name[1]), value)
        self._text = "" if self._ended else text[at:]
        if len(self._text) > _ENTRY or len(self._infos) > _MOST:
            raise ValueError("too long")

    def _keep(self, name: str, value: object) -> None:
        if not isinstance(value, dict) or name in self._infos:
            raise ValueError("not metadata")
        if value:  # a folder has none
            self._infos[name] = info(value)
