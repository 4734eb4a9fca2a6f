"""What holds for every test: no stranger's credentials, and no skip where all must run."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import hypothesis
import pytest

# How long an example takes is the machine's matter, which other work shares.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.load_profile("here")

REQUIRE_ALL = os.environ.get("REQUIRE_ALL") == "1"
"""Set where everything that the tests need can be installed: a skipped test is a failed one there."""

_STRANGERS = ("AWS_", "VAULT_", "BAO_", "PAGE_TOKEN_SYNC_", "NO_COLOR", "FORCE_COLOR")

for _name in [name for name in os.environ if name.startswith(_STRANGERS)]:
    # The machine's own settings would change what is tested; children inherit the environment as it is here.
    del os.environ[_name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where nothing may be skipped."""
    report = yield
    return _no_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole module into a failure where nothing may be skipped."""
    report = yield
    return _no_skip(report)


def _no_skip(report: Any) -> Any:
    if REQUIRE_ALL and report.outcome == "skipped":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"skipped, but REQUIRE_ALL=1 allows no skip: {reason}"
    return report
