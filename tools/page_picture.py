"""Write the picture of the page that the README shows: ``python -m tools.page_picture``, with Chromium.

The daemon runs for real against the sandbox on the bad day of the terminal's picture. Each run gives another picture, since
times differ, so that it is no part of the generated documentation.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tools.terminal_picture import bad_day, environment

PICTURE = Path("docs") / "images" / "page.png"
_SIZE = {"width": 960, "height": 900}


def main() -> None:
    """Run the daemon until its first cycle has ended, and write the picture."""
    command = [sys.executable, "-m", "sync", "run", "--listen", "127.0.0.1:0"]
    with (
        bad_day() as folder,
        subprocess.Popen(
            command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        ) as daemon,
    ):
        try:
            _take(_address(daemon))
        finally:
            daemon.terminate()


def _address(daemon: subprocess.Popen[str]) -> str:
    address = ""
    for text in daemon.stdout or ():
        line = json.loads(text)
        address = line.get("listen", address)
        if line["event"] == "cycle_finished":
            return f"http://{address}/"
    raise RuntimeError("the daemon ended before its first cycle did")


def _take(address: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=_SIZE, device_scale_factor=1.5)
        page.goto(address)
        page.screenshot(path=PICTURE, clip={"x": 0, "y": 0, **_SIZE})
        browser.close()


if __name__ == "__main__":
    main()
