"""A healthy beginning in a real OpenBao, and the proof that bad input has changed nothing in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sync.app import build
from sync.config.load import load
from sync.runtime.threads import SystemClock
from sync.sandbox.http.server import Sandbox
from sync.sandbox.world.business import Page
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


class Scene:
    """The program before a mount of OpenBao; ``before`` is all that was in the mount when the scene began."""

    def __init__(self, folder: Path, sandbox: Sandbox, bao: Bao, mount: str) -> None:
        self.bao = bao
        self.mount = mount
        self.world = sandbox.world
        self.rig = Rig(folder, sandbox, vault_store(bao, mount, folder / "vault_token"))
        self.rig.secret("vault_token", bao.root)
        self.before: Mapping[str, Any] = {}

    @property
    def ids(self) -> dict[str, str]:
        """The Pages' ids by name."""
        return {page["name"]: page["id"] for page in self.rig.sandbox.pages}

    def page(self, name: str) -> Page:
        """Return a Page of the sandbox."""
        return self.world.pages[self.ids[name]]

    def token(self, name: str) -> str:
        """Return the token that Graph hands out for a Page now."""
        with self.world.lock:
            return self.world.page_token(self.page(name), self.world.tokens[self.world.user.token], peek=True).value

    def settle(self) -> None:
        """Let one cycle put every Page right, in this process, and note what the mount then holds."""
        with build(load(self.rig.file), clock=SystemClock()) as app:
            assert app.cycle(write=True).result == "ok"
        self.note()

    def note(self) -> None:
        """Note what the mount holds now, as that which must stay."""
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

    def assert_nothing_changed(self) -> None:
        """Every secret, its versions, their times and its marks are as they were noted."""
        assert self.before
        assert self.everything() == self.before


def assert_told(problems: list[Mapping[str, Any]], code: str, owner: str, *words: str) -> None:
    """There is this one problem, with who acts, and a remedy in a sentence that has these words."""
    assert codes(problems) == [code]
    problem = problems[0]
    assert problem["owner"] == owner
    assert problem["message"]
    assert len(problem["remedy"].split()) > 1
    assert problem["remedy"][0].isupper()
    assert problem["remedy"].endswith((".", "}")), "a sentence, or a policy's line to be copied"
    told = problem["message"] + " " + problem["remedy"]
    assert [word for word in words if word not in told] == [], told


def assert_all_told(ran: Ran, code: str, owner: str, *words: str) -> None:
    """Every Page has this one problem."""
    for page in ran.report["pages"]:
        assert_told(page["problems"], code, owner, *words)


def assert_stores_told(ran: Ran, error: str, *words: str) -> None:
    """Every place has failed for this reason, which an operator is told; nothing is called right or wrong for it."""
    for page in ran.report["pages"]:
        target = page["stores"][0]
        assert (target["action"], target["error_code"], target["confirmed"]) == ("failed", error, None)
        assert_told(target["problems"], "store-failed", "operator", *words)


def actions(ran: Ran, *, but: str = "") -> set[tuple[str, str]]:
    """Return what was done and what is served at the places of every Page but one."""
    return {
        (target["action"], target["served"])
        for page in ran.report["pages"]
        if page["name"] != but
        for target in page["stores"]
    }


def ended(ran: Ran) -> tuple[int, str]:
    """Return exit code and result."""
    return ran.code, ran.report["result"]
