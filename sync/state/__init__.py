"""The memory between two runs of the program: one file, without a secret in it."""

from sync.state.content import decode, encode
from sync.state.file import StateFile

__all__ = ["StateFile", "decode", "encode"]
