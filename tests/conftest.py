"""Settings of all tests: no credentials of the machine, markers by the services that a test uses, and options for its length."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from typing import Any

import hypothesis
import pytest

# The time of one example depends on the machine and on its load.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.load_profile("here")

SERVICES = frozenset({"bao", "raft", "cluster", "aws_server", "ministack_server", "engine"})
"""The fixtures that start an external program; each test that uses one is marked ``service``."""

LONG_TIMEOUT = 4 * 3600
"""Seconds that each test may take with ``--long``."""

_FOREIGN = ("AWS_", "VAULT_", "BAO_", "PAGE_TOKEN_SYNC_", "NO_COLOR", "FORCE_COLOR")

for _name in [name for name in os.environ if name.startswith(_FOREIGN)]:
    # The machine's own settings would change the tests; child processes inherit this environment.
    del os.environ[_name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
# Many daemons run at once here.
os.environ["PAGE_TOKEN_SYNC_LISTEN"] = "127.0.0.1:0"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose how much is run."""
    group = parser.getgroup("page-token-sync")
    group.addoption("--require-all", action="store_true", help="A skipped test fails: everything must be installed.")
    group.addoption("--long", action="store_true", help="Run the long form of each test, which takes hours.")


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Return whether the long form of a test was asked for."""
    return bool(request.config.getoption("--long"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the number of test processes: a few more than processors, since tests of services and daemons often wait."""
    return len(os.sched_getaffinity(0)) + (0 if config.option.markexpr else 2)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that use a service, and leave out the long cases unless they were asked for."""
    with_long = config.getoption("--long")
    for item in items:
        if SERVICES & set(getattr(item, "fixturenames", ())):
            item.add_marker("service")
        if with_long:
            item.add_marker(pytest.mark.timeout(LONG_TIMEOUT), append=False)
    if not with_long:
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector from what the collection makes: all of it stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where nothing may be skipped."""
    report = yield
    return _no_skip(item.config, report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole module into a failure where nothing may be skipped."""
    report = yield
    return _no_skip(collector.config, report)


def _no_skip(config: pytest.Config, report: Any) -> Any:
    if config.getoption("--require-all") and report.outcome == "skipped":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"skipped, but --require-all allows no skip: {reason}"
    return report
