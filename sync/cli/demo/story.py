"""The ``demo`` command: a made-up business, what happens to it, and what this program decides each time."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sync.app import build
from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.config.load import load
from sync.ops.process import silence_libraries, watch_signals
from sync.runtime.threads import Stopping, SystemClock
from sync.sandbox.api.states import switch_off, switch_on
from sync.sandbox.http.server import Sandbox, start

_NEXT = """\
For real use:
  1. In Business Settings, create a system user, assign your Pages to it, and generate a token for your app.
  2. page-token-sync init        write config.yaml, for Vault, OpenBao, AWS Secrets Manager or files
  3. page-token-sync doctor      examine each dependency, and print who must do what; writes nothing
  4. page-token-sync plan        show what would be done, and why; writes nothing
  5. page-token-sync once        run one cycle
  6. page-token-sync run         run cycles on the schedule, continuously
To try more: page-token-sync sandbox"""


@dataclass(frozen=True, slots=True)
class Step:
    """One event in the business, and the cycle after it; ``write`` False shows the plan alone."""

    title: str
    text: str
    happens: Callable[[], object]
    write: bool = True


def run(*, keep: bool) -> int:
    """Run the demo and return the exit code. Deletes its folder, unless ``keep``."""
    clock = SystemClock()
    watch_signals(clock, exit_code=130)
    silence_libraries()
    with ExitStack() as undo:
        try:
            if keep:
                folder = Path(tempfile.mkdtemp(prefix="page-token-sync-demo-"))
            else:
                folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="page-token-sync-demo-")))
            sandbox = undo.enter_context(start(pages=5))
            return _run(Demo(folder, sandbox, clock), keep=keep)
        except OSError as error:
            console.put_failure(
                "demo", f"The demo needs a folder for its files, and a port: {error.strerror}.", Form.TABLE
            )
            return 3
        except Stopping:
            return 130


def _run(demo: Demo, *, keep: bool) -> int:
    console.put(
        "A made-up business has a Meta app and five Facebook Pages. A local Graph API in this process plays the part of Meta, "
        "and the Page tokens are written to files in a temporary folder. Tokens are only ever shown as fingerprints."
    )
    code = 0
    steps = _steps(demo)
    for number, step in enumerate(steps, 1):
        demo.clock.check()
        console.put_title(f"{number}/{len(steps)}  {step.title}")
        console.put(step.text)
        step.happens()
        code = demo.cycle(write=step.write)
    console.put_title("Done: every Page has a verified token again, and no working token was lost.")
    if keep:
        console.put(f"The configuration and the secrets are in {demo.folder}. The local Graph API stops now.")
    for line in _NEXT.split("\n"):
        console.put(line)
    return code


class Demo:
    """A sandbox, and a folder with a configuration and a file store."""

    def __init__(self, folder: Path, sandbox: Sandbox, clock: SystemClock) -> None:
        self.folder, self.world, self.clock = folder, sandbox.world, clock
        self.secrets = folder / "secrets"
        self.secrets.mkdir(0o700)
        self._put("app_secret", sandbox.app_secret)
        self.put_user_token()
        pages = "\n".join(f'  - {{id: "{page["id"]}", name: {page["name"]}}}' for page in sandbox.pages)
        (folder / "config.yaml").write_text(
            f"version: 1\ninstance: demo\ngraph: {{base_url: {json.dumps(sandbox.url)}}}\n"
            f'apps:\n  messenger: {{id: "{sandbox.app_id}", secret: {{file: app_secret}}}}\n'
            "system_users:\n  main: {token: {file: system_user_token}}\n"
            f"stores:\n  disk: {{type: file, directory: secrets}}\npages:\n{pages}\n"
        )

    def cycle(self, *, write: bool) -> int:
        """Run one cycle as a command would, print its report, and return its exit code."""
        console.put_title(f"$ page-token-sync {'once' if write else 'plan'}")
        with build(load(self.folder / "config.yaml"), clock=self.clock) as app:
            report = app.cycle(write=write)
        console.put_report(report, Form.TABLE, given=None, once="page-token-sync once")
        console.put(f"exit code {report.exit_code}")
        return report.exit_code

    def put_user_token(self) -> None:
        """Write the system user's current token to the file that the configuration refers to."""
        self._put("system_user_token", self.world.user.token)

    def rotate(self) -> None:
        """Issue a new token to the system user; the old one keeps working."""
        self.world.rotate(self.world.user)
        self.put_user_token()

    def revoke(self, name: str) -> None:
        """Revoke every token of a Page; the next read gives a new one."""
        self.world.revoke_page(next(page for page in self.world.pages.values() if page.name == name))

    def unassign(self, name: str) -> None:
        """Unassign a Page from the system user; tokens that were issued keep working."""
        switch_on(self.world, f"unassigned=tokens-working@{name}")

    def occupy(self, name: str) -> None:
        """End the throttle, and put another program's file where a Page's secret should be."""
        switch_off(self.world, "throttled-app")
        self.clear(name)
        (self.secrets / f"{name}.json").write_text('{"note": "mine"}\n')

    def clear(self, name: str) -> None:
        """Remove a Page's secret and its marks."""
        for path in self.secrets.iterdir():
            if name in path.name:
                path.unlink()

    def repair(self, name: str) -> None:
        """End every fault, and remove the other program's file."""
        switch_off(self.world)
        self.clear(name)

    def _put(self, name: str, value: str) -> None:
        path = self.folder / name
        path.touch(0o600)
        path.write_text(value)


def _steps(demo: Demo) -> list[Step]:
    def nothing() -> None: ...

    return [
        Step("Nothing is stored yet", "The plan shows what would be done. It writes nothing.", nothing, write=False),
        Step(
            "The first cycle",
            "The token of each Page is fetched, verified with Meta's debug_token, and only then stored.",
            nothing,
        ),
        Step("A cycle without changes", "Nothing has changed since the last cycle, so nothing is written.", nothing),
        Step(
            "The system user gets a new token",
            "The stored tokens still work, but they depend on the old system user token, so each is replaced.",
            demo.rotate,
        ),
        Step(
            "A token is revoked",
            "Meta revokes the token of rome. The stored token is invalid and Graph gives a new one, so it is replaced.",
            lambda: demo.revoke("rome"),
        ),
        Step(
            "A Page is unassigned",
            "Someone unassigns madrid from the system user. Graph gives no token for it; the stored one still works and stays.",
            lambda: demo.unassign("madrid"),
        ),
        Step(
            "Meta throttles the app",
            "No token can be verified now. What is unknown changes nothing: no token is written, deleted or called broken.",
            lambda: switch_on(demo.world, "throttled-app"),
        ),
        Step(
            "Another program's secret",
            "The throttle ends. Another program has written a file where the secret of lisbon should be. It is not overwritten.",
            lambda: demo.occupy("lisbon"),
        ),
        Step(
            "Everything is repaired",
            "madrid is assigned again and the other program's file is removed. One cycle is enough.",
            lambda: demo.repair("lisbon"),
        ),
    ]
