"""A Graph API for tests: the sandbox, in this process, on a free port of the loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sync.sandbox.server import Sandbox, start


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Give a healthy sandbox of five Pages, fresh for each test; ``sandbox.world`` may be changed at will."""
    with start(pages=5) as running:
        yield running
