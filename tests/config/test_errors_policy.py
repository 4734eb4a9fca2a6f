"""Errors in the keys of limits, intervals, shares and the state file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.config_files import GOOD, errors, loaded, with_

SHARE = ["not a percentage [bad-share]", "write an integer and the percent sign: 30% (not 0.3)"]
WHOLE = "The minimum number of changes before the brake applies. An integer, at least 1."
STATE = "use a separate file, such as /var/lib/page-token-sync/state.json"
STORED = "{store: disk, path: main, key: token}"
DISK = '\n  disk: {type: file, directory: out, name: "{name}.json"}\npages:'

ROWS = [
    pytest.param("mode: observ", ["mode: not one of the allowed values [bad-value]", "write 'sync' or 'observe'"], id="mode"),
    pytest.param("mode: off", ["mode: not one of the allowed values [bad-value]", "write 'sync' or 'observe'"], id="mode-off"),
    pytest.param("probe_every: 0s", ["probe_every: shorter than a second [bad-duration]", "write at least 1s"], id="probe-zero"),
    pytest.param("verify_every: 999ms", ["verify_every: shorter than a second [bad-duration]", "write at least 1s"], id="verify-short"),
    pytest.param("verify_every: 24", ["verify_every: not a duration [bad-duration]", "write an integer and a unit: 500ms, 90s, 15m, 24h or 7d"], id="verify-number"),
    pytest.param("verify_every: 4000d", ["verify_every: longer than ten years [bad-duration]", "the maximum is 3650d"], id="verify-long"),
    pytest.param("brake: {share: 0.3}", [f"brake.share: {SHARE[0]}", SHARE[1]], id="share-float"),
    pytest.param("brake: {share: 30}", [f"brake.share: {SHARE[0]}", SHARE[1]], id="share-number"),
    pytest.param('brake: {share: "-1%"}', [f"brake.share: {SHARE[0]}", SHARE[1]], id="share-negative"),
    pytest.param("brake: {share: 3.5%}", [f"brake.share: {SHARE[0]}", SHARE[1]], id="share-part"),
    pytest.param("brake: {share: true}", [f"brake.share: {SHARE[0]}", SHARE[1]], id="share-true"),
    pytest.param("brake: {share: 101%}", ["brake.share: more than 100% [bad-share]", "the maximum is 100%"], id="share-much"),
    pytest.param("brake: {min_changes: 0}", ["brake.min_changes: too small [bad-value]", "the minimum is 1"], id="min_changes-0"),
    pytest.param("brake: {min_changes: true}", ["brake.min_changes: true or false, where an integer is expected [wrong-type]", WHOLE], id="min_changes-true"),
    pytest.param('brake: {min_changes: "3"}', ["brake.min_changes: text, where an integer is expected [wrong-type]", WHOLE], id="min_changes-text"),
    pytest.param("brake: {min_chances: 3}", ["brake.min_chances: unknown key [unknown-key]", "did you mean min_changes?"], id="brake-key"),
    pytest.param("alive_every: 15m", ["alive_every: unknown key [unknown-key]", "did you mean probe_every?"], id="old-probe_every"),
    pytest.param("brake: {at_least: 3}", ["brake.at_least: unknown key [unknown-key]", "did you mean min_changes?"], id="old-min_changes"),
    pytest.param("graph: {budget: 0%}", ["graph.budget: zero: stored tokens would never be verified again [bad-share]", "write at least 1%"], id="budget-nothing"),
    pytest.param("graph: {budget: 95%}", ["graph.budget: above 94%: no call is made from 95% of the usage that Meta reports [bad-share]", "the maximum is 94%"], id="budget-much"),
    pytest.param("graph: {budget: 120%}", ["graph.budget: above 94%: no call is made from 95% of the usage that Meta reports [bad-share]", "the maximum is 94%"], id="budget-above-all"),
    pytest.param("graph: {budget: 0.75}", [f"graph.budget: {SHARE[0]}", SHARE[1]], id="budget-float"),
    pytest.param("defaults: {hold: yes please}", ["defaults.hold: text, where true or false is expected [wrong-type]", "true: cycles read and verify Pages and write nothing for them; adopt --yes and rollback --yes still do."], id="hold"),
    pytest.param("state: {file: config.yaml}", ["state.file: this file belongs to the configuration [bad-state-file]", STATE], id="state-config"),
    pytest.param("state: {file: ./more.yaml}\npages_from: [more.yaml]", ["state.file: this file belongs to the configuration [bad-state-file]", STATE], id="state-further"),
    pytest.param("state: {file: app}", ["state.file: a credential or certificate is read from this file [bad-state-file]", STATE], id="state-secret"),
    pytest.param("graph: {ca_file: ca.pem}\nstate: {file: ../x/../config/ca.pem}", ["state.file: a credential or certificate is read from this file [bad-state-file]", STATE], id="state-ca"),
    pytest.param("state: {file: .}", ["state.file: a directory, where a file is expected [bad-state-file]", STATE], id="state-folder"),
    pytest.param("state: {}", ["state.file: file is missing [missing-key]", "The file, relative to the folder of the configuration file, in a folder that this program may write to. It contains results by fingerprint, and no secret."], id="state-empty"),
    pytest.param("state: state.json", ["state: text, where a mapping is expected [wrong-type]", "Where results are remembered across restarts. Without it each start verifies every token again."], id="state-text"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "expected"), ROWS)
def test_errors(tmp_path: Path, lines: str, expected: list[str]) -> None:
    """An invalid number, share, interval or file is refused with its cause and its remedy."""
    folder = tmp_path / "config"
    folder.mkdir()
    (found,) = errors(folder, f"{GOOD}{lines}\n", more='- {id: "2"}\n')
    assert [found.splitlines()[0].partition(" ")[2], found.splitlines()[1].strip()] == expected


def test_renewal_needs_a_store(tmp_path: Path) -> None:
    """renew_before requires a {store: ...} reference, since the new token is written there."""
    (found,) = errors(tmp_path, with_("main: {token: {env: TOKEN}}", "main: {token: {env: TOKEN}, renew_before: 14d}"))
    assert found.splitlines() == [
        "config.yaml:5:45: system_users.main.renew_before: the new token could not be written: token is not a {store: ...} reference [renewal-needs-store]",
        "    write token: {store: STORE, path: PATH, key: KEY}, or renew_before: never",
    ]
    assert (
        errors(tmp_path, with_("main: {token: {env: TOKEN}}", "main: {token: {env: TOKEN}, renew_before: never}")) == []
    )


def test_old_key_of_renew_before(tmp_path: Path) -> None:
    """The error about refresh, the old name of renew_before, suggests the present name."""
    (found,) = errors(tmp_path, with_("token: {env: TOKEN}", "token: {env: TOKEN}, refresh: never"))
    assert found.splitlines() == [
        "config.yaml:5:31: system_users.main.refresh: unknown key [unknown-key]",
        "    did you mean renew_before?",
    ]


@pytest.mark.parametrize(
    ("renew_before", "says"),
    [("60d", "not shorter than the lifetime of such a token"), ("59m", "too short to renew"), ("14", "not a duration")],
)
def test_renew_before_out_of_range_is_refused(tmp_path: Path, renew_before: str, says: str) -> None:
    """A renew_before that would renew in each cycle, or too late, is refused."""
    text = with_("token: {env: TOKEN}", f"token: {STORED}, renew_before: {renew_before}").replace("\npages:", DISK)
    text = text.replace("name: berlin", "name: berlin, stores: [vault]")
    (found,) = errors(tmp_path, text)
    assert "[bad-duration]" in found
    assert says in found


def test_system_user_token_in_a_store(tmp_path: Path) -> None:
    """The token of a system user may be in a store; the credentials of a store may not be in the store itself."""
    text = with_("token: {env: TOKEN}", f"token: {STORED}, renew_before: 14d").replace("\npages:", DISK)
    text = text.replace("name: berlin", "name: berlin, stores: [vault]")
    assert errors(tmp_path, text) == []
    looped = text.replace("token: {file: vault}", "token: {store: vault, path: main, key: token}")
    assert "[reference-loop]" in errors(tmp_path, looped)[0]


def test_credential_in_the_secret_of_a_page_is_refused(tmp_path: Path) -> None:
    """A credential may not be read from the secret that a Page's token is written to."""
    text = with_("token: {env: TOKEN}", "token: {store: disk, path: berlin.json, key: token}").replace("\npages:", DISK)
    (found,) = errors(tmp_path, text.replace("name: berlin", "name: berlin, stores: [disk]"))
    assert found.splitlines() == [
        "config.yaml:5:17: system_users.main.token: refers to the secret of a Page, berlin.json (the first is at config.yaml:10:5) [duplicate-target]",
        "    keep this credential in a separate secret",
    ]
    assert errors(tmp_path, text.replace("name: berlin", "name: berlin, stores: [vault]")) == []


def test_shared_token_is_not_renewed(tmp_path: Path) -> None:
    """Two system users may share a token only if neither renews it."""
    text = with_("token: {env: TOKEN}", f"token: {STORED}, renew_before: 14d").replace("\npages:", DISK)
    text = text.replace("name: berlin", "name: berlin, stores: [vault], system_user: main")
    twice = text.replace("\nstores:", f"\n  other: {{token: {STORED}}}\nstores:")
    (found,) = errors(tmp_path, twice)
    assert "system_users.other.token: another system user has the same token, and one of them renews it" in found
    assert "(the first is at config.yaml:5:17) [duplicate-target]" in found
    assert errors(tmp_path, twice.replace("renew_before: 14d", "renew_before: never")) == []


def test_state_file_in_a_store_is_refused(tmp_path: Path) -> None:
    """The state file may not be in the directory of a file store, even through a link."""
    text = GOOD.replace("\npages:", DISK).replace("name: berlin", "name: berlin, stores: [disk]")
    assert "[bad-state-file]" in errors(tmp_path, f"{text}state: {{file: out/state.json}}\n")[0]
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    assert "[bad-state-file]" in errors(tmp_path, f"{text}state: {{file: link/state.json}}\n")[0]
    assert errors(tmp_path, f"{text}state: {{file: state.json}}\n") == []


def test_defaults(tmp_path: Path) -> None:
    """Keys that are left out have the documented defaults."""
    settings = loaded(tmp_path, GOOD).settings
    assert (settings.mode, settings.state, settings.graph.budget) == ("sync", None, 0.75)
    assert (settings.probe_every.total_seconds(), settings.verify_every.total_seconds()) == (900, 86400)
    assert (settings.brake.share, settings.brake.min_changes) == (0.3, 3)


def test_values(tmp_path: Path) -> None:
    """Configured values are used: shares as numbers from 0 to 1, the state file relative to the configuration's folder."""
    text = f"{GOOD}mode: observe\nbrake: {{share: 0%, min_changes: 1}}\ngraph: {{budget: 94%}}\nstate: {{file: a/state.json}}\n"
    settings = loaded(tmp_path, f"{text}probe_every: 2d\nverify_every: 1s\n").settings
    assert (settings.mode, settings.brake.share, settings.brake.min_changes, settings.graph.budget) == (
        "observe",
        0,
        1,
        0.94,
    )
    assert settings.state is not None
    assert settings.state.file == tmp_path / "a" / "state.json"
    assert settings.probe_every > settings.verify_every


def test_hold_of_a_page_overrides_the_default(tmp_path: Path) -> None:
    """The default of hold applies to Pages of all files, and a Page's own value wins, false included."""
    text = f'{GOOD}  - {{id: "2", hold: false}}\npages_from: [more.yaml]\ndefaults: {{hold: true}}\n'
    pages = loaded(tmp_path, text, more='- {id: "3", hold: false}\n- {id: "4"}\n').pages
    assert {page.name: page.hold for page in pages} == {"berlin": True, "2": False, "3": False, "4": True}
    assert [page.hold for page in loaded(tmp_path, GOOD).pages] == [False]
