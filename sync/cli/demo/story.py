"""The demonstration: a made-up business, what happens to it, and what this program decides each time."""

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
  1. Make a system user in Business Settings, assign your Pages to it, and generate a token for your app.
  2. Write config.yaml: the README has it in twelve lines, for Vault, OpenBao and AWS Secrets Manager.
  3. page-token-sync validate    the file alone, offline
  4. page-token-sync plan        what would be done, and why; writes nothing
  5. page-token-sync once        one cycle
  6. page-token-sync run         cycles on the schedule, for ever
To go on playing: page-token-sync sandbox"""


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing that happens in the world, and the cycle after it; ``write`` False shows the plan alone."""

    title: str
    told: str
    happens: Callable[[], object]
    write: bool = True


def tell(*, keep: bool) -> int:
    """Tell the whole story; gives the exit code. Leaves nothing behind, unless told to ``keep`` its folder."""
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
            return _tell(Stage(folder, sandbox, clock), keep=keep)
        except OSError as error:
            console.put_failure(
                "demo", f"The demo needs a folder for its files and a port: {error.strerror}.", Form.TABLE
            )
            return 3
        except Stopping:
            return 130


def _tell(stage: Stage, *, keep: bool) -> int:
    console.put(
        "A made-up business, its Meta app and five Pages, played by a Graph API in this process; the tokens go into files "
        "of a temporary folder. Tokens are only ever shown as fingerprints."
    )
    code = 0
    scenes = _scenes(stage)
    for number, scene in enumerate(scenes, 1):
        stage.clock.check()
        console.put_title(f"{number}/{len(scenes)}  {scene.title}")
        console.put(scene.told)
        scene.happens()
        code = stage.cycle(write=scene.write)
    console.put_title("That was it: every Page has a proven token again, and no working one was ever lost.")
    if keep:
        console.put(f"Configuration and secrets are kept in {stage.folder}; the Graph API ends now.")
    for line in _NEXT.split("\n"):
        console.put(line)
    return code


class Stage:
    """Where the story is played: a sandbox, and a folder with a configuration and a file store."""

    def __init__(self, folder: Path, sandbox: Sandbox, clock: SystemClock) -> None:
        self.folder, self.world, self.clock = folder, sandbox.world, clock
        self.secrets = folder / "secrets"
        self.secrets.mkdir(0o700)
        self._put("app_secret", sandbox.app_secret)
        self.hand_over_token()
        pages = "\n".join(f'  - {{id: "{page["id"]}", name: {page["name"]}}}' for page in sandbox.pages)
        (folder / "config.yaml").write_text(
            f"version: 1\ninstance: demo\ngraph: {{base_url: {json.dumps(sandbox.url)}}}\n"
            f'apps:\n  messenger: {{id: "{sandbox.app_id}", secret: {{file: app_secret}}}}\n'
            "system_users:\n  main: {token: {file: system_user_token}}\n"
            f"stores:\n  disk: {{type: file, directory: secrets}}\npages:\n{pages}\n"
        )

    def cycle(self, *, write: bool) -> int:
        """Run one cycle as a command would, and show it; gives its exit code."""
        console.put_title(f"$ page-token-sync {'once' if write else 'plan'}")
        with build(load(self.folder / "config.yaml"), clock=self.clock) as app:
            report = app.cycle(write=write)
        console.put_report(report, Form.TABLE, once="page-token-sync once")
        console.put(f"exit code {report.exit_code}")
        return report.exit_code

    def hand_over_token(self) -> None:
        """Put the system user's present token where the configuration refers to it."""
        self._put("system_user_token", self.world.user.token)

    def rotate(self) -> None:
        """Return the system user a new token; the old one goes on working."""
        self.world.rotate(self.world.user)
        self.hand_over_token()

    def revoke(self, name: str) -> None:
        """Make Meta refuse every token of a Page; the next read gives a new one."""
        self.world.revoke_page(next(page for page in self.world.pages.values() if page.name == name))

    def unassign(self, name: str) -> None:
        """Take a Page away from the system user; tokens that were given out go on working."""
        self.world.unassignment_kills_page_tokens = False
        switch_on(self.world, f"unassigned@{name}")

    def occupy(self, name: str) -> None:
        """End the throttle, and put a file of somebody else's where a Page's token should be."""
        switch_off(self.world, "throttled-app")
        self.clear(name)
        (self.secrets / f"{name}.json").write_text('{"note": "mine"}\n')

    def clear(self, name: str) -> None:
        """Remove what is stored for a Page, and what marks it as ours."""
        for path in self.secrets.iterdir():
            if name in path.name:
                path.unlink()

    def heal(self, name: str) -> None:
        """End every fault, and move the stranger's file away."""
        switch_off(self.world)
        self.clear(name)

    def _put(self, name: str, value: str) -> None:
        path = self.folder / name
        path.touch(0o600)
        path.write_text(value)


def _scenes(stage: Stage) -> list[Scene]:
    def nothing() -> None: ...

    return [
        Scene(
            "Nothing is stored yet", "What would be done is shown first; a plan writes nothing.", nothing, write=False
        ),
        Scene("The first cycle", "Each token is fetched, Meta says what it is, and only then it is stored.", nothing),
        Scene(
            "An idle cycle", "A quarter of an hour later nothing has changed, so nothing is written at all.", nothing
        ),
        Scene(
            "The system user gets a new token",
            "The old tokens still work, but hang on the old system user token; so each is replaced by a proven new one.",
            stage.rotate,
        ),
        Scene(
            "One token dies",
            "Meta revokes rome's token. The stored one is dead and a good one can be had: it is replaced.",
            lambda: stage.revoke("rome"),
        ),
        Scene(
            "A Page is taken away",
            "Somebody unassigns madrid from the system user. No token can be fetched; the stored one works and stays.",
            lambda: stage.unassign("madrid"),
        ),
        Scene(
            "Meta throttles the app",
            "Nothing can be said of any token now. What is unknown changes nothing: no write, no alarm that a token broke.",
            lambda: switch_on(stage.world, "throttled-app"),
        ),
        Scene(
            "A stranger's secret",
            "The throttle ends. Somebody has put a file of their own in lisbon's place; it is not ours, so it is left alone.",
            lambda: stage.occupy("lisbon"),
        ),
        Scene(
            "All is put right",
            "madrid is assigned again and the stranger's file is moved away; one cycle brings everything in order.",
            lambda: stage.heal("lisbon"),
        ),
    ]
