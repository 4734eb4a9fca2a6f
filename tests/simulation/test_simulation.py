"""The whole daemon under faults, seed by seed: the invariants hold after every step."""

from __future__ import annotations

import pytest

from tests.simulation.stage import run_seed

pytestmark = pytest.mark.slow

_PIECES, _SEEDS = 40, 25


@pytest.mark.parametrize("piece", range(_PIECES))
def test_the_invariants_hold(piece: int) -> None:
    """No seed of a thousand breaks an invariant."""
    for seed in range(piece * _SEEDS, (piece + 1) * _SEEDS):
        outcome = run_seed(seed)
        assert not outcome.violations, f"python -m tools.simulation --seed {seed} --trace\n" + "\n".join(
            outcome.violations[:5]
        )
