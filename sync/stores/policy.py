"""What every kind of store's policies share."""

from __future__ import annotations


class PolicyError(Exception):
    """No policy can be written for what is wanted; the text is for a person, and has the way out."""
