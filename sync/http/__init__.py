"""The one way out by HTTP: a deadline for the whole answer, a cap on its size, no redirects, nothing logged."""

from sync.http.answers import Kind, Response
from sync.http.client import Http, HttpError

__all__ = ["Http", "HttpError", "Kind", "Response"]
