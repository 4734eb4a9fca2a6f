"""All HTTP requests: one deadline for the whole answer, a limit on its size, no redirects, nothing logged."""

from sync.http.client import Http, HttpError
from sync.http.response import Kind, Response

__all__ = ["Http", "HttpError", "Kind", "Response"]
