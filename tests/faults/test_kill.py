"""`once`, killed with SIGKILL at its calls to Graph and to a real OpenBao or the AWS emulator."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.faults.five_pages import AwsInspector, Inspector, VaultInspector
from tests.support.forkserver import ForkServer, forks
from tests.support.killing import MOMENTS, MakeInspector, Moment, killed_at
from tests.support.services.aws import Aws, aws, aws_environment, aws_server
from tests.support.services.bao import Bao, bao, mount

__all__ = ["aws", "aws_environment", "aws_server", "bao", "forks", "mount"]

pytestmark = pytest.mark.slow

SAMPLE: dict[Moment, tuple[int, ...]] = {"before": (3, 20), "during": (12, 19), "after": (8, 18)}
"""The calls at which `once` is killed without ``--long``; with it, it is killed at each."""


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_with_vault(forks: ForkServer, tmp_path: Path, bao: Bao, mount: str, moment: Moment, long: bool) -> None:
    """Wherever `once` is killed, OpenBao holds no invalid token, and the next cycle ends as wanted with at most one extra version."""

    def inspector(folder: str) -> Inspector:
        return VaultInspector(bao, mount, folder)

    _everywhere(forks, tmp_path, inspector, moment, long=long)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_with_aws(forks: ForkServer, tmp_path: Path, aws: Aws, moment: Moment, long: bool) -> None:
    """Wherever `once` is killed, AWS holds no invalid token, and the next cycle ends as wanted with at most one extra version."""
    _everywhere(forks, tmp_path, lambda folder: AwsInspector(aws, folder), moment, long=long)


def _everywhere(forks: ForkServer, folder: Path, make: MakeInspector, moment: Moment, *, long: bool) -> None:
    for number in itertools.count(1) if long else SAMPLE[moment]:
        calls = killed_at(forks, folder, make, number, moment)
        if calls < number:
            break
    assert not long or 15 < number <= 40, "a cycle of this world makes so many calls"
