"""``python -m tools.economy [PAGES ...]``: simulate three weeks under Meta's smallest quota, about two minutes."""

from __future__ import annotations

import sys
from datetime import timedelta

from tools.economy.simulate import Simulation
from tools.economy.table import table

DAYS = 21


def main(pages: list[int]) -> None:
    """Print the table."""
    runs = [Simulation(count, rotations=(10,)).run(timedelta(days=DAYS)) for count in pages]
    print(f"{DAYS} days of cycles every 15 minutes, 200 calls an hour, a budget of 75 %.")
    print("No facts known at the start; 1 % of the stored tokens revoked each day, the")
    print("system user rotated once.")
    print()
    print(table(runs, DAYS * 24))


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [10, 100, 1000, 20_000])
