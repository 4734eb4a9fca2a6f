"""One fork server for the tests of all commands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.forkserver import ForkServer, fork_server


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """Return the fork server."""
    with fork_server() as running:
        yield running
