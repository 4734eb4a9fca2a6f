"""The program before a real OpenBao, from its first cycle to the proof that nothing has changed in the mount."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sync.app import build
from sync.config.load import load
from sync.runtime.threads import SystemClock
from sync.sandbox.http.server import Sandbox
from sync.sandbox.world.business import FakePage
from tests.support.rigs.e2e import Ran, Rig, codes
from tests.support.services.bao import Bao


def vault_store(bao: Bao, mount: str, token: Path) -> dict[str, Any]:
    """Return a store's block for a mount, with the token in a file."""
    trust = {"ca_file": str(bao.ca)} if bao.ca else {}
    return {
        "type": "vault",
        "address": bao.url,
        "mount": mount,
        "timeout": "5s",
        "auth": {"method": "token", "token": {"file": str(token)}},
        **trust,
    }


class VaultProgram(Rig):
    """The program, configured with one mount of OpenBao; ``before`` is what the mount held when ``note`` was called."""

    def __init__(self, folder: Path, sandbox: Sandbox, bao: Bao, mount: str) -> None:
        super().__init__(folder, sandbox, vault_store(bao, mount, folder / "vault_token"))
        self.bao = bao
        self.mount = mount
        self.world = sandbox.world
        self.secret("vault_token", bao.root)
        self.before: Mapping[str, Any] = {}

    @property
    def ids(self) -> dict[str, str]:
        """The Pages' ids by name."""
        return {page["name"]: page["id"] for page in self.sandbox.pages}

    def page(self, name: str) -> FakePage:
        """Return a Page of the sandbox."""
        return self.world.pages[self.ids[name]]

    def token(self, name: str) -> str:
        """Return the token that Graph hands out for a Page now."""
        with self.world.lock:
            return self.world.page_token(self.page(name), self.world.tokens[self.world.user.token], peek=True).value

    def synced(self) -> Ran:
        """Run a first cycle as a process; it must end with ``ok``."""
        ran = self.once()
        assert ended(ran) == (0, "ok"), ran.stderr + ran.stdout
        return ran

    def settle(self) -> None:
        """Run a first cycle in this process; it must end with ``ok``. Then note what the mount holds."""
        with build(load(self.file), clock=SystemClock()) as app:
            assert app.cycle(write=True).result == "ok"
        self.note()

    def note(self) -> None:
        """Note what the mount holds now and must still hold later."""
        self.before = self.everything()

    def everything(self) -> dict[str, Any]:
        """Read all secrets of the mount as root: data, versions, times and marks."""
        status, listed = self.bao.call("LIST", f"{self.mount}/metadata/meta/pages")
        names = listed["data"]["keys"] if status == 200 else []
        return {
            name: [
                self.bao.call("GET", f"{self.mount}/{kind}/meta/pages/{name}")[1]["data"]
                for kind in ("data", "metadata")
            ]
            for name in names
        }

    def data(self, name: str) -> dict[str, Any]:
        """Read a secret as an application does."""
        status, answer = self.bao.call("GET", f"{self.mount}/data/meta/pages/{name}")
        return dict(answer["data"]["data"]) if status == 200 else {}

    def metadata(self, name: str) -> dict[str, Any]:
        """Read a secret's marks and versions."""
        return dict(self.bao.admin("GET", f"{self.mount}/metadata/meta/pages/{name}")["data"])

    def put(self, name: str, **data: Any) -> None:
        """Write a secret as a person does, over whatever is there."""
        self.bao.admin("POST", f"{self.mount}/data/meta/pages/{name}", {"data": data})

    def mark(self, name: str, **marks: str) -> None:
        """Change marks as a person does."""
        self.bao.admin(
            "PATCH",
            f"{self.mount}/metadata/meta/pages/{name}",
            {"custom_metadata": {key.replace("_", "-"): value for key, value in marks.items()}},
            kind="application/merge-patch+json",
        )

    def assert_nothing_changed(self) -> None:
        """Assert that every secret, its versions, their times and its marks are as noted."""
        assert self.before
        assert self.everything() == self.before


def assert_problem(problems: list[Mapping[str, Any]], code: str, owner: str, *words: str) -> None:
    """Assert that this is the one problem, with this owner, and that its message and remedy have these words."""
    assert codes(problems) == [code]
    problem = problems[0]
    assert problem["owner"] == owner
    assert problem["message"]
    assert len(problem["remedy"].split()) > 1
    assert problem["remedy"][0].isupper()
    assert problem["remedy"].endswith((".", "}")), "a sentence, or a policy's line to be copied"
    text = problem["message"] + " " + problem["remedy"]
    assert [word for word in words if word not in text] == [], text


def assert_page_problems(ran: Ran, code: str, owner: str, *words: str) -> None:
    """Assert that every Page has this one problem."""
    for page in ran.report["pages"]:
        assert_problem(page["problems"], code, owner, *words)


def assert_store_failures(ran: Ran, error: str, *words: str) -> None:
    """Assert that every secret has failed with this error code, for the operator, and that no token is judged for it."""
    for page in ran.report["pages"]:
        target = page["stores"][0]
        assert (target["action"], target["error_code"], target["confirmed"]) == ("failed", error, None)
        assert_problem(target["problems"], "store-failed", "operator", *words)


def actions(ran: Ran, *, but: str = "") -> set[tuple[str, str]]:
    """Return action and ``served`` of the secrets of every Page but one."""
    return {
        (target["action"], target["served"])
        for page in ran.report["pages"]
        if page["name"] != but
        for target in page["stores"]
    }


def ended(ran: Ran) -> tuple[int, str]:
    """Return exit code and result."""
    return ran.code, ran.report["result"]
