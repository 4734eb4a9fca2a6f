"""The policies that the program prints are enough on a real OpenBao; without any line something fails, and an examination names it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from sync.app import build
from sync.app.credentials import Credentials
from sync.app.policy import Holder, vault_policy
from sync.app.stores import build_store
from sync.config.load import Config, load
from sync.config.resolve.uses import uses
from sync.config.schema.stores.vault import VaultConfig
from sync.core.model import Removed
from sync.core.report.finding import Finding
from sync.core.report.report import Report
from sync.runtime.threads import SystemClock
from sync.sandbox.http.server import Sandbox
from sync.stores.interface import Store
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox

__all__ = ["bao", "mount", "sandbox"]

SHAPES = {
    "prefix": ("meta/pages/{name}", False),
    "exact": ("meta/pages/{name}", True),
    "folders": ("meta/page-{system_user}/{name}", False),
    "odd characters": ('"a\\b" Köln/{name}', False),
    "instance": ("meta/{instance}/{name}", False),
    "exact folders": ("meta/page-{system_user}/{name}", True),
}
"""Path templates, and whether each secret has lines of its own."""


OF_ITSELF = ("auth/token/lookup-self", "sys/capabilities-self")
"""What a token asks about itself."""


@dataclass(frozen=True)
class Rig:
    """A configuration of two Pages in this process, whose app secret and system user token are in the same mount."""

    bao: Bao
    config: Config
    folder: Path

    def policy(self, holder: Holder, *, exact: bool) -> list[str]:
        """Return the lines of a policy, without comments and the blanks that align them."""
        text = vault_policy(self.config, "vault", holder, self.config.pages, exact=exact).text
        return [" ".join(line.split()) for line in text.splitlines() if line.startswith("path ")]

    def allow(self, lines: Sequence[str], *, default: bool = False) -> None:
        """Have the program use a token with this policy from now on, and with the policy `default` or without."""
        policy = self.bao.policy("\n".join(lines))
        (self.folder / "token").write_text(self.bao.token(policy, ttl="1h", no_default_policy=not default))

    def log_in(self, lines: Sequence[str], *, default: bool = False) -> Rig:
        """Return the configuration with a login by AppRole, whose tokens have this policy."""
        mount, role, secret = self.bao.approle(
            self.bao.policy("\n".join(lines)), token_ttl="1h", token_no_default_policy=not default
        )
        (self.folder / "role").write_text(role)
        (self.folder / "secret").write_text(secret)
        text = yaml.safe_load((self.folder / "config.yaml").read_text())
        auth = {"method": "approle", "mount": mount, "role_id": {"file": "role"}, "secret_id": {"file": "secret"}}
        text["stores"]["vault"]["auth"] = auth
        (self.folder / "approle.yaml").write_text(yaml.safe_dump(text))
        return replace(self, config=load(self.folder / "approle.yaml"))

    @property
    def mount(self) -> str:
        """The mount of the store."""
        store = self.config.settings.stores["vault"]
        assert isinstance(store, VaultConfig)
        return store.mount

    @property
    def paths(self) -> list[str]:
        """The path of each Page's secret."""
        return [key.path for page in self.config.pages for key in page.targets]

    def ask(self, method: str, path: str, body: object = None) -> int:
        """Make a call with the program's token; returns the status."""
        return self.bao.call(method, path, body or {"data": {}}, token=(self.folder / "token").read_text())[0]

    def remove_pages(self) -> None:
        """Remove the Pages' secrets without a trace."""
        for path in self.paths:
            self.bao.admin("DELETE", f"{self.mount}/metadata/{quote(path)}")

    def credential(self) -> dict[str, str]:
        """Return the secret that holds the system user token."""
        return dict(self.bao.admin("GET", f"{self.mount}/data/meta/user")["data"]["data"])

    @staticmethod
    def actions(report: Report) -> list[str]:
        """Return what was done with each secret, or would be."""
        return [entry.action.value for page in report.pages for entry in page.stores]

    def cycle(self, *, write: bool = True) -> Report:
        """Run one cycle, or its plan."""
        with build(self.config, clock=SystemClock()) as app:
            return app.cycle(write=write)

    def store(self) -> Store:
        """Return the store."""
        return build_store("vault", self.config.settings, Credentials(self.config, {}), SystemClock())

    def examine(self) -> Sequence[Finding]:
        """Return what the store finds out about itself."""
        settings, store = self.config.settings, self.store()
        store.begin(writes=False)
        found = store.examine(uses(settings, self.config.pages)["vault"], settings.instance)
        store.close()
        return found


@pytest.fixture
def shape() -> str:
    """Return the shape of the paths, where a test has no other."""
    return "prefix"


@pytest.fixture
def rig(bao: Bao, mount: str, sandbox: Sandbox, tmp_path: Path, shape: str) -> Rig:
    """Return a configuration whose credentials are in the mount; the system user token is to be renewed."""
    bao.admin("POST", f"{mount}/data/meta/app", {"data": {"secret": sandbox.app_secret}})
    bao.admin("POST", f"{mount}/data/meta/user", {"data": {"token": sandbox.system_user_token, "note": "keep"}})
    with sandbox.world.lock:
        sandbox.world.tokens[sandbox.system_user_token].expires_at = int(sandbox.world.time()) + 10 * 86400
    auth = {"method": "token", "token": {"file": "token"}}
    config = {
        "instance": "acme-test",
        "graph": {"base_url": sandbox.url, "timeout": "10s"},
        "apps": {
            "messenger": {"id": sandbox.app_id, "secret": {"store": "vault", "path": "meta/app", "key": "secret"}}
        },
        "system_users": {
            "main": {"token": {"store": "vault", "path": "meta/user", "key": "token"}, "renew_before": "14d"}
        },
        "stores": {
            "vault": {"type": "vault", "address": bao.url, "mount": mount, "path": SHAPES[shape][0], "auth": auth}
        },
        "pages": [{"id": page["id"], "name": page["name"]} for page in sandbox.pages[:2]],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "token").write_text("none yet")
    return Rig(bao, load(tmp_path / "config.yaml"), tmp_path)


def named(found: Sequence[Finding], line: str) -> bool:
    """Check whether the remedy of something that is not ok has this line of a policy."""
    wrong = [finding for finding in found if finding.status in ("fail", "unknown")]
    return any(line in " ".join(finding.remedy.split()) for finding in wrong)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_policy_is_enough_and_each_line_is_needed(rig: Rig, shape: str) -> None:
    """With the policy everything works; without any one of its lines a cycle fails, and an examination names that line."""
    lines = rig.policy("daemon", exact=SHAPES[shape][1])
    for left_out in lines:
        rig.allow([line for line in lines if line != left_out])
        found = rig.examine()
        assert named(found, left_out), (left_out, found)
        reports = [rig.cycle(), rig.cycle()]
        # Without the settings of the mount only a warning about them is missing, and a cycle asks nothing about the token.
        failed = any(report.exit_code != 0 or report.frame.warnings for report in reports)
        assert failed == (not any(part in left_out for part in ("/config", *OF_ITSELF))), (left_out, reports)
        rig.remove_pages()
    for default in (False, True):
        rig.allow(lines, default=default)
        assert {finding.status for finding in rig.examine()} == {"ok"}
        assert rig.actions(rig.cycle(write=False)) == ["created", "created"]
        report = rig.cycle()
        assert (report.exit_code, report.frame.warnings) == (0, ()), report
        assert rig.actions(rig.cycle()) == ["unchanged", "unchanged"]
        assert {finding.status for finding in rig.examine()} == {"ok"}
        rig.remove_pages()


@pytest.mark.parametrize("shape", ["prefix", "exact folders"])
def test_each_capability_is_needed(rig: Rig, shape: str) -> None:
    """Without any one capability an examination names the line that has it, and nothing else is said to be lacking."""
    lines = rig.policy("daemon", exact=SHAPES[shape][1])
    for number, line in enumerate(lines):
        path, capabilities = line.split(" { ")
        for capability in re.findall(r'"(\w+)"', capabilities):
            others = [other for other in re.findall(r'"(\w+)"', capabilities) if other != capability] or ["deny"]
            changed = f"{path} {{ capabilities = {json.dumps(others)} }}"
            rig.allow([*lines[:number], changed, *lines[number + 1 :]])
            found = rig.examine()
            assert named(found, line), (changed, found)
            assert not any(named(found, other) for other in lines if other != line), (changed, found)


def test_a_login_of_the_stores_own_needs_lines_for_its_token(rig: Rig) -> None:
    """The policy lets a token of AppRole renew and revoke itself, without the policy `default` too; an examination names what lacks."""
    given = rig.policy("daemon", exact=False)
    lines = rig.log_in(given).policy("daemon", exact=False)
    added = [line for line in lines if line not in given]
    assert [line.split('"')[1] for line in added] == ["auth/token/renew-self", "auth/token/revoke-self"]
    for left_out in added:
        found = rig.log_in([line for line in lines if line != left_out]).examine()
        assert [finding.id for finding in found if finding.status == "fail"] == ["store-policy"]
        assert named(found, left_out)
    for default in (False, True):
        able = rig.log_in(lines, default=default)
        assert {finding.status for finding in able.examine()} == {"ok"}
        assert able.cycle().exit_code == 0


@pytest.mark.parametrize("default", [True, False], ids=["default", "bare"])
def test_a_mount_that_is_missing_is_not_the_policys_fault(rig: Rig, *, default: bool) -> None:
    """Vault answers a missing mount as one in which nothing is allowed; one failure says both, and what to do about each."""
    lines = rig.policy("daemon", exact=False)
    rig.allow([line.replace(rig.mount, "elsewhere") for line in lines], default=default)
    found = rig.examine()
    (one,) = [finding for finding in found if finding.status in ("fail", "unknown")]
    assert one.id == "store-mount"
    assert f"There is no mount {rig.mount}, or the policy allows nothing in it" in one.message
    assert ("Check `mount`" in one.remedy, "policy vault" in one.remedy) == (True, True)
    assert {finding.because for finding in found if finding.status == "skipped"} == {"store-mount vault"}


def test_the_policy_renews_the_system_user_token(rig: Rig) -> None:
    """With the policy the system user token is renewed in its secret, whose other keys stay."""
    rig.allow(rig.policy("daemon", exact=False))
    before = rig.credential()
    assert rig.cycle().exit_code == 0
    after = rig.credential()
    assert (after["token"] != before["token"], after["note"]) == (True, "keep")


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "prefix"])
def test_a_plan_reads_and_writes_nothing(rig: Rig, *, exact: bool) -> None:
    """With the policy for a plan, a plan finds what the daemon would do, and a cycle is refused before it changes anything."""
    rig.allow(rig.policy("plan", exact=exact))
    planned = rig.cycle(write=False)
    assert rig.actions(planned) == ["failed", "failed"], "the policy allows no write, and the plan says so"
    assert rig.actions(rig.cycle()) == ["failed", "failed"]
    assert rig.bao.call("GET", f"{rig.mount}/data/{rig.paths[0]}")[0] == 404


def test_the_reader_reads_and_does_nothing_else(rig: Rig) -> None:
    """With the policy for the reader each Page's data is read; marks, credentials and lists are not, and nothing is written."""
    rig.allow(rig.policy("daemon", exact=False))
    assert rig.cycle().exit_code == 0
    rig.allow(rig.policy("reader", exact=True))
    first, mount = rig.paths[0], rig.mount
    assert [rig.ask("GET", f"{mount}/data/{path}") for path in rig.paths] == [200, 200]
    denied = [
        ("GET", f"{mount}/metadata/{first}"),
        ("GET", f"{mount}/metadata/meta/pages/?list=true"),
        ("GET", f"{mount}/data/meta/user"),
        ("GET", f"{mount}/data/meta/pages/rome"),
        ("POST", f"{mount}/data/{first}"),
        ("DELETE", f"{mount}/data/{first}"),
        ("POST", f"{mount}/delete/{first}"),
        ("DELETE", f"{mount}/metadata/{first}"),
        ("GET", f"{mount}/config"),
    ]
    assert {(method, path): rig.ask(method, path) for method, path in denied} == dict.fromkeys(denied, 403)


def test_prune_deletes_a_version_and_destroys_nothing(rig: Rig) -> None:
    """With the policy for prune a version is deleted recoverably; neither is it destroyed nor all of the secret removed."""
    rig.allow(rig.policy("daemon", exact=False))
    assert rig.cycle().exit_code == 0
    first, versions = rig.paths[0], {"versions": [1]}
    assert rig.ask("POST", f"{rig.mount}/delete/{first}", versions) == 403, "the daemon deletes nothing"
    rig.allow(rig.policy("prune", exact=False))
    for path in (f"destroy/{first}", "delete/meta/user"):
        assert rig.ask("POST", f"{rig.mount}/{path}", versions) == 403
    assert rig.ask("DELETE", f"{rig.mount}/metadata/{first}") == 403
    assert rig.ask("POST", f"{rig.mount}/delete/{first}", versions) == 204
    rig.allow([*rig.policy("daemon", exact=False), *rig.policy("prune", exact=False)])
    store = rig.store()
    store.begin()
    ((key, marks),) = [one for one in store.owned("acme-test") if one[0].path != first]  # type: ignore[union-attr]
    assert isinstance(store.remove(key, version="1", marks=marks), Removed), "what `prune` does"
    store.close()
    rig.bao.admin("POST", f"{rig.mount}/undelete/{first}", versions)


@pytest.mark.parametrize("shape", ["instance"])
def test_another_instance_beside_this_one(rig: Rig, shape: str) -> None:
    """Where the path has the instance, orphans of this instance are found with a policy that hides other instances' secrets."""
    rig.allow(rig.policy("daemon", exact=False))
    assert rig.cycle().exit_code == 0
    other = f"{rig.mount}/data/meta/other-test/rome"
    rig.bao.admin("POST", other, {"data": {"token": "x"}})
    assert rig.ask("GET", other) == 403
    left = replace(rig, config=replace(rig.config, pages=rig.config.pages[:1]))
    report = left.cycle()
    assert [key.path for key in report.orphans] == [rig.paths[1]]
    assert (report.exit_code, report.frame.warnings) == (0, ())
