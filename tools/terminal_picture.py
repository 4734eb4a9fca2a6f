"""Draw the picture of a terminal that the README shows: ``once`` on a bad day, run for real against the sandbox."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from rich.console import Console
from rich.text import Text

from sync.sandbox.api.states import switch_on
from sync.sandbox.http.server import Sandbox, start

PICTURE = Path("docs") / "images" / "bad-day.svg"
_COMMAND = "page-token-sync once"
_COLUMNS = 100
_TIMEOUT = 60
# rich's own frame links a font from a server of others; the viewer's own fixed-width font does as well.
_FRAME = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
    <style>
    .{unique_id}-matrix {{
        font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
        font-size: {char_height}px;
        line-height: {line_height}px;
    }}
    .{unique_id}-title {{
        font-size: 18px;
        font-weight: bold;
        font-family: sans-serif;
    }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""


def svg() -> str:
    """Return the picture of the command's output on a terminal."""
    with bad_day() as folder:
        shown = _on_a_terminal(folder)
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.assemble(("$ ", "bold green"), (_COMMAND, "bold")))
    console.print(Text.from_ansi(shown.rstrip()))
    picture = console.export_svg(title=_COMMAND, code_format=_FRAME, unique_id="bad-day")
    return "".join(f"{line.rstrip()}\n" for line in picture.splitlines())


@cache
def plain() -> str:
    """Return the command and its output in a pipe, which is never cut."""
    with bad_day() as folder:
        ran = subprocess.run(
            _arguments(), cwd=folder, env=environment(), capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    return f"$ {_COMMAND}\n{_steady(ran.stdout)}"


def table() -> str:
    """Return the command and the table of its output alone."""
    lines = plain().splitlines()
    last = next(number for number, line in enumerate(lines) if line.startswith("problem "))
    return "\n".join(lines[:last])


@contextmanager
def bad_day() -> Iterator[Path]:
    """Yield a folder with a configuration whose five Pages are in order, but for what has happened to them since."""
    with tempfile.TemporaryDirectory() as name, start(pages=5) as sandbox:
        folder = Path(name)
        _configure(folder, sandbox)
        subprocess.run(
            _arguments(), cwd=folder, env=environment(), stdout=subprocess.DEVNULL, timeout=_TIMEOUT, check=True
        )
        world = sandbox.world
        world.revoke_page(next(page for page in world.pages.values() if page.name == "rome"))
        world.unassignment_invalidates_page_tokens = False
        switch_on(world, "unassigned@madrid")
        for path in (folder / "secrets").iterdir():
            if "lisbon" in path.name or "paris" in path.name:
                path.unlink()
        (folder / "secrets" / "lisbon.json").write_text('{"note": "mine"}\n')
        yield folder


def _configure(folder: Path, sandbox: Sandbox) -> None:
    (folder / "app_secret").write_text(sandbox.app_secret)
    (folder / "system_user_token").write_text(sandbox.system_user_token)
    configuration = {
        "instance": "acme-prod",
        "graph": {"base_url": sandbox.url},
        "apps": {"messenger": {"id": sandbox.app_id, "secret": {"file": "app_secret"}}},
        "system_users": {"main": {"token": {"file": "system_user_token"}}},
        "stores": {"disk": {"type": "file", "directory": "secrets"}},
        "pages": sandbox.pages,
    }
    # JSON is YAML.
    (folder / "config.yaml").write_text(json.dumps(configuration))


def _arguments() -> list[str]:
    return [sys.executable, "-m", "sync", "once"]


def environment() -> dict[str, str]:
    """Return the environment of the program, with nothing of the machine's own settings."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1]), "TERM": "xterm-256color"}


def _on_a_terminal(folder: Path) -> str:
    """Run the command with a terminal as its output, and return what it wrote there, colours included."""
    terminal, output = pty.openpty()
    variables = {**environment(), "COLUMNS": str(_COLUMNS), "LINES": "60"}
    with subprocess.Popen(
        _arguments(), cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL
    ) as process:
        os.close(output)
        written = b""
        try:
            # Linux answers with an error, and not with nothing, when the last writer has gone.
            while part := os.read(terminal, 65536):
                written += part
        except OSError:
            pass
        finally:
            os.close(terminal)
        process.wait(_TIMEOUT)
    return _steady(written.decode().replace("\r\n", "\n"))


def _steady(text: str) -> str:
    """Return output without what differs from run to run: how long the cycle took."""
    return re.sub(r"in \d+\.\d s", "in 0.1 s", text)
