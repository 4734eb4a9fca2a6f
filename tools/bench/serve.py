"""A service of the bench in its own process: ``python -m tools.bench.serve sandbox PAGES LATENCY_MS``, or ``aws``.

It prints one line of JSON with its address, and serves until it is ended.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import contextmanager
from typing import Any


def print_line(value: dict[str, Any]) -> None:
    """Print one JSON line at once."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run the service that the command line names."""
    match sys.argv[1:]:
        case ["sandbox", pages, latency]:
            from sync.sandbox.http.server import start

            with start(pages=int(pages), latency_ms=float(latency)) as sandbox:
                print_line(sandbox.describe())
                signal.pause()
        case ["aws"]:
            import logging

            from tests.support.services.aws import aws_server

            # moto's server logs each request to stderr, between the figures.
            logging.getLogger("werkzeug").setLevel(logging.ERROR)
            with contextmanager(aws_server.__wrapped__)() as (aws, _):
                print_line({"url": aws.url})
                signal.pause()
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
