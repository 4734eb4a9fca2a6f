"""Build from a configuration what runs it: the only package that names concrete stores and clients."""

from sync.app.app import App, build

__all__ = ["App", "build"]
