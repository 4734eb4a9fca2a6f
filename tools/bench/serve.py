"""A service of the bench as a process of its own: ``python -m tools.bench.serve sandbox PAGES LATENCY_MS``, or ``aws``.

Prints one JSON line that says how it is reached, and serves until it is ended.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import contextmanager
from typing import Any


def tell(value: dict[str, Any]) -> None:
    """Print one JSON line at once."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve what the command line names."""
    match sys.argv[1:]:
        case ["sandbox", pages, latency]:
            from sync.sandbox.http.server import start

            with start(pages=int(pages), latency_ms=float(latency)) as sandbox:
                tell(sandbox.describe())
                signal.pause()
        case ["aws"]:
            import logging

            from tests.support.services.aws import aws_server

            # moto's server tells of each request, in the midst of the figures.
            logging.getLogger("werkzeug").setLevel(logging.ERROR)
            with contextmanager(aws_server.__wrapped__)() as (aws, _):
                tell({"url": aws.url})
                signal.pause()
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
