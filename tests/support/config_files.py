"""A small valid configuration for tests, and its errors as a person sees them."""

from __future__ import annotations

from pathlib import Path

from sync.config.errors import ConfigErrors
from sync.config.load import Config, load

GOOD = """\
instance: acme
apps:
  messenger: {id: "123456789012345", secret: {file: app}}
system_users:
  main: {token: {env: TOKEN}}
stores:
  vault: {type: vault, address: "https://vault:8200", auth: {method: token, token: {file: vault}}}
pages:
  - {id: "101010101010101", name: berlin}
"""


def loaded(folder: Path, text: str | bytes, **others: str) -> Config:
    """Write the text as config.yaml, the others beside it by their stems, and load it."""
    (folder / "config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    for stem, other in others.items():
        (folder / f"{stem}.yaml").write_text(other, encoding="utf-8")
    return load(folder / "config.yaml")


def errors(folder: Path, text: str | bytes, **others: str) -> list[str]:
    """Return the full text of every error of the files, without the folder."""
    try:
        loaded(folder, text, **others)
    except ConfigErrors as found:
        return [str(error).replace(f"{folder}/", "") for error in found.errors]
    return []


def with_(old: str, new: str) -> str:
    """Return the valid file with one part replaced."""
    if old not in GOOD:
        raise ValueError(old)
    return GOOD.replace(old, new)
