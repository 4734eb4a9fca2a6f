"""``adopt``: secrets that a script wrote become this instance's, once Meta has confirmed their tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sync.app.adopt import adopt, carry_out
from sync.app.app import App, build
from sync.config.load import load
from sync.config.resolve.select import select
from sync.core import marks as mark_map
from sync.core.model import Key, Marks, Stored, StoreError
from sync.core.plan.adopt import Adoption
from sync.runtime.threads import SystemClock
from sync.sandbox.http.server import Sandbox, start
from sync.stores.file.layout import sidecar_name
from tests.support.fakes import StoreInMemory
from tests.support.forkserver import ForkServer
from tests.support.rigs.e2e import INSTANCE, Ran, Rig
from tests.support.rigs.file import FileRig
from tests.support.services.graph import sandbox

__all__ = ["sandbox"]


class Program(Rig):
    """A configured program over a directory into which a script wrote."""

    def __init__(self, folder: Path, sandbox: Sandbox, forks: ForkServer) -> None:
        directory = folder / "secrets"
        directory.mkdir(mode=0o700)
        super().__init__(folder, sandbox, {"type": "file", "directory": str(directory)})
        self.files, self.forks = FileRig(directory), forks
        self.files.name = "store"

    def token(self, name: str, user: str | None = None) -> str:
        """Return a token of a Page that a script could have stored; ``user`` is a further system user, or a person."""
        world = self.sandbox.world
        of = world.user if user is None else world.add_user(user)
        page = next(page for page in world.pages.values() if page.name == name)
        return world.page_token(page, world.tokens[of.token], peek=True).value

    def plant(self, name: str, token: str, marks: Marks | None = None, **more: Any) -> Key:
        """Store what a script stores."""
        page_id = next(page["id"] for page in self.sandbox.pages if page["name"] == name)
        content = {"access_token": token, "page_id": page_id, "app_id": self.sandbox.app_id, **more}
        self.files.plant(self.files.key(name), content, mark_map.present(marks) if marks else None)
        return self.files.key(name)

    def texts(self) -> dict[str, str]:
        """Return what each secret holds."""
        return {page["name"]: self.files.text(self.files.key(page["name"])) for page in self.sandbox.pages}

    def is_marked(self, name: str) -> bool:
        """Check whether a secret has marks."""
        return (self.files.directory / sidecar_name(self.files.key(name).path)).exists()

    def adopt(self, *arguments: str) -> Ran:
        """Run ``adopt``; what it prints never holds a token."""
        child = self.forks.run(self.folder, "--config", str(self.file), "adopt", "--store", "store", *arguments)
        ran = Ran(child.wait(), child.stdout.read_text(), child.stderr.read_text())
        assert not [token for token in self.sandbox.world.tokens if token in ran.stdout + ran.stderr]
        return ran

    def app(self) -> App:
        """Return the configuration in this process."""
        return build(load(self.file), clock=SystemClock())

    def all(self, app: App, *, write: bool = False) -> dict[str, Adoption]:
        """Adopt all Pages in this process."""
        found = adopt(app, select(app.config.pages), by_name=False, write=write)
        return {one.page.name: one for one in found}


@pytest.fixture
def program(tmp_path: Path, sandbox: Sandbox, forks: ForkServer) -> Program:
    """Return a program whose directory is empty."""
    return Program(tmp_path, sandbox, forks)


@pytest.mark.parametrize("command", [("check", "berlin"), ("plan", "--page", "berlin")])
def test_the_command_that_another_one_prints(program: Program, command: tuple[str, ...]) -> None:
    """`check` and `plan` print the command that adopts a secret, with the configuration that they were given."""
    program.plant("berlin", program.token("berlin"), note="by hand")
    child = program.forks.run(program.folder, "--config", str(program.file), *command)
    assert child.wait() == 1
    assert f"page-token-sync --config {program.file} adopt berlin --store store" in child.stdout.read_text()


def test_one_page(program: Program) -> None:
    """Without --yes nothing is marked, with it the marks are there and the payload is the same, and a further run has nothing to do."""
    token = program.token("berlin")
    program.plant("berlin", token, note="by hand", fb_token=token)
    before = sorted(program.files.directory.iterdir())
    text = program.files.text(program.files.key("berlin"))
    ran = program.adopt("berlin")
    assert (ran.code, ran.stderr) == (1, "")
    for part in (
        "to adopt",
        "system user main",
        "never",
        "to update, marks",
        "fb_token",
        "note",
        "berlin --store store --yes",
    ):
        assert part in ran.stdout, part
    assert sorted(program.files.directory.iterdir()) == before
    ran = program.adopt("berlin", "--yes", "--output", "json")
    (one,) = ran.report["secrets"]
    assert (ran.code, one["action"], one["system_user"], one["old_keys"]) == (0, "adopted", "main", ["fb_token"])
    assert program.files.text(program.files.key("berlin")) == text
    with program.app() as app:
        content = app.begin(writes=False)["store"].read([program.files.key("berlin")])[program.files.key("berlin")]
        marks = content.marks  # type: ignore[union-attr]
        assert marks is not None
        assert (marks.instance, marks.reason, marks.system_user_id) == (INSTANCE, "adopted", None)
        assert app.cycle(write=True, selection=select(app.config.pages, pages=["berlin"])).exit_code == 0
    assert program.adopt("berlin", "--yes").code == 0


def test_a_page_on_hold(program: Program) -> None:
    """The configuration's hold: true does not stop a person: the secret is marked, and the output says that nothing else is written."""
    program.write(defaults={"hold": True})
    program.plant("berlin", program.token("berlin"))
    ran = program.adopt("berlin", "--yes")
    assert ran.code == 0
    assert "hold: true" in ran.stdout
    assert "(held: hold)" in ran.stdout
    assert program.is_marked("berlin")


def test_a_persons_token(program: Program) -> None:
    """It is adopted as somebody else's, and the next cycle replaces it by the system user's as it said."""
    program.plant("berlin", program.token("berlin", "A person"))
    ran = program.adopt("berlin", "--yes", "--output", "json")
    (one,) = ran.report["secrets"]
    assert (one["action"], one["system_user"], one["next_action"], one["next_reason"]) == (
        "adopted",
        None,
        "replaced",
        "rotate",
    )
    with program.app() as app:
        (page,) = app.cycle(write=True, selection=select(app.config.pages, pages=["berlin"])).pages
        assert (page.stores[0].action.value, page.stores[0].reason) == ("replaced", "rotate")


def test_a_page_that_the_system_user_cannot_read(program: Program) -> None:
    """Its stored token is proven all the same; what the next cycle lacks is part of the answer."""
    program.plant("berlin", program.token("berlin", "A person"))
    world = program.sandbox.world
    with world.lock:
        world.user.assigned.pop(next(page.id for page in world.pages.values() if page.name == "berlin"))
    (one,) = program.adopt("berlin", "--output", "json").report["secrets"]
    assert (one["action"], one["next_action"], one["problems"][0]["code"]) == ("adopt", "kept", "no-access")
    assert "no-access: berlin" in program.adopt("berlin").stdout


def test_all(program: Program) -> None:
    """What proves to be the Page's and the app's is adopted, and the rest is listed with its reasons, unchanged."""
    names = [page["name"] for page in program.sandbox.pages]
    good, wrong, shaped, other, _ = names
    program.plant(good, program.token(good))
    program.plant(wrong, program.token(good))
    program.files.plant(program.files.key(shaped), {"fb": program.token(shaped)})
    theirs = Marks("other-instance", "1", "2", "f" * 12, written_at="2026-11-01T00:00:00Z")
    program.plant(other, program.token(other), theirs)
    with program.app() as app:
        found = program.all(app)
        assert {name: (one.action, one.reason) for name, one in found.items()} == {
            good: ("adopt", None),
            wrong: ("refused", "wrong-page"),
            shaped: ("refused", "no-token"),
            other: ("refused", "another-instance"),
        }
        assert {name: one.action for name, one in program.all(app, write=True).items()}[good] == "adopted"
    ran = program.adopt("--all")
    assert ran.code == 1
    for part in ("other-instance", "2026-11-01", 'payload: {fb: "{token}"}', "wrong-page", "1 unchanged", "secret: 1."):
        assert part in ran.stdout, part
    named = program.adopt(other, "--yes")
    assert named.code == 0
    assert "'other-instance'" in named.stdout


def test_forty_secrets_of_a_script(tmp_path: Path, forks: ForkServer) -> None:
    """The way of the documentation: observed, adopted while Pages are held, planned, and released; a payload changes only for a better token."""
    with start(pages=40) as sandbox:
        program = Program(tmp_path, sandbox, forks)
        program.write(mode="observe", defaults={"hold": True})
        pages = list(sandbox.world.pages.values())
        person = sandbox.world.add_user("A person")
        for number, page in enumerate(pages):
            user = person if number % 4 == 0 else sandbox.world.user
            token = sandbox.world.page_token(page, sandbox.world.tokens[user.token], peek=True)
            program.plant(page.name, token.value)
        before = program.texts()
        with program.app() as app:
            assert {one.action for one in program.all(app, write=True).values()} == {"held"}
        program.write(mode="sync")
        with program.app() as app:
            found = program.all(app, write=True)
            assert {one.action for one in found.values()} == {"adopted"}
            assert sum(one.system_user is None for one in found.values()) == 10
            assert app.progress < 40
            planned = app.cycle(write=False)
        would = [entry.would for page in planned.pages for entry in page.stores if entry.would is not None]
        assert [one.reason for one in would].count("rotate") == 10
        assert program.texts() == before
        program.write(defaults={}, brake={"share": "50%"})
        with program.app() as app:
            assert app.cycle(write=True).exit_code == 0
        after = program.texts()
        assert [name for name in before if after[name] != before[name]] == [page.name for page in pages[::4]]


def test_what_changes_before_it_is_marked(program: Program) -> None:
    """A secret that somebody else writes between the judgement and the mark is a conflict, and stays theirs."""
    program.plant("berlin", program.token("berlin"))
    program.plant("paris", program.token("paris"))
    with program.app() as app:
        shown = adopt(app, select(app.config.pages), by_name=False, write=False)
        program.plant("berlin", program.token("paris"))
        done = {one.page.name: one for one in carry_out(shown, app.stores, app.clock)}
    assert (done["berlin"].action, done["berlin"].error_code) == ("failed", "conflict")
    assert done["paris"].action == "adopted"
    assert not program.is_marked("berlin")


def test_meta_cannot_be_asked(program: Program) -> None:
    """While Graph does not answer, nothing is proven and nothing is adopted."""
    program.plant("berlin", program.token("berlin"))
    program.write(graph={"base_url": "http://127.0.0.1:9", "timeout": "1s"})
    ran = program.adopt("berlin", "--yes", "--output", "json")
    (one,) = ran.report["secrets"]
    assert (ran.code, one["action"]) == (1, "refused")
    assert one["remedy"]
    assert not program.is_marked("berlin")


def test_credentials_that_may_not_write(program: Program) -> None:
    """A store that refuses the mark is a failure with its cause, and stops no other secret."""
    for name in ("berlin", "paris"):
        program.plant(name, program.token(name))
    with program.app() as app:
        shown = adopt(app, select(app.config.pages), by_name=False, write=False)
        store = StoreInMemory("store")
        store.secrets = {one.key: one.read for one in shown if isinstance(one.read, Stored)}
        store.down_at[program.files.key("berlin")] = StoreError("denied", "It is denied.", "Allow it.")
        done = {one.page.name: one for one in carry_out(shown, {"store": store}, app.clock)}
    assert (done["berlin"].action, done["berlin"].error_code, done["berlin"].remedy) == (
        "failed",
        "denied",
        "Allow it.",
    )
    assert done["paris"].action == "adopted"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("berlni",), 2, "berlin"),
        (("berlin", "--all"), 2, "either a Page or --all"),
        ((), 2, "either a Page or --all"),
        (("berlin", "--yes"), 1, "no secret to adopt"),
        (("--all", "--yes"), 0, "No secret to adopt."),
    ],
)
def test_wrong_usage_and_nothing_to_do(program: Program, arguments: tuple[str, ...], code: int, text: str) -> None:
    """An unknown Page, both or none of the ways to choose, and an absent secret: each says so, with its exit code."""
    ran = program.adopt(*arguments)
    assert ran.code == code, ran
    assert text in ran.stdout + ran.stderr
    answer = json.loads(program.adopt(*arguments, "--output", "json").stdout)
    assert answer["format"] == 1
