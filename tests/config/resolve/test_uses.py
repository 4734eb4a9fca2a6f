"""What a configuration does with each secret of its stores."""

from __future__ import annotations

from pathlib import Path

from sync.config.resolve.uses import uses
from sync.core.model import Key
from tests.support.config_files import loaded

CONFIG = """
instance: acme
mode: {mode}
apps:
  messenger: {{id: "1", secret: {{store: vault, path: meta/app, key: secret}}}}
system_users:
  main: {{token: {{store: vault, path: meta/user, key: token}}, renew_before: 14d}}
  other: {{token: {{store: disk, path: user, key: token}}}}
defaults: {{system_user: main, stores: [vault]}}
stores:
  vault: {{type: vault, address: "https://vault:8200", auth: {{method: token, token: {{store: disk, path: login, key: token}}}}}}
  disk: {{type: file, directory: secrets}}
pages:
  - {{id: "101", name: berlin}}
  - {{id: "102", name: paris, stores: [vault, disk]}}
"""


def used(folder: Path, mode: str) -> dict[str, dict[str, tuple[str, str]]]:
    """Return, by store and path, what is done with a secret, and the name of its Page."""
    config = loaded(folder, CONFIG.format(mode=mode))
    found = uses(config.settings, config.pages)
    return {
        store: {key.path: (use.access, use.page.name if use.page else "") for key, use in keys.items()}
        for store, keys in found.items()
    }


def test_secrets_of_pages_are_written_and_credentials_are_read_or_renewed(tmp_path: Path) -> None:
    """Pages' secrets are written, the credential of `renew_before` is renewed, and every other credential is read."""
    assert used(tmp_path, "sync") == {
        "vault": {
            "meta/pages/berlin": ("write", "berlin"),
            "meta/pages/paris": ("write", "paris"),
            "meta/app": ("read", ""),
            "meta/user": ("renew", ""),
        },
        "disk": {"paris.json": ("write", "paris"), "user": ("read", ""), "login": ("read", "")},
    }


def test_in_observe_mode_everything_is_read_alone(tmp_path: Path) -> None:
    """Under `mode: observe` nothing is written and nothing is renewed."""
    found = used(tmp_path, "observe")
    assert {access for keys in found.values() for access, _ in keys.values()} == {"read"}


def test_a_selection_has_its_own_pages_and_all_credentials(tmp_path: Path) -> None:
    """Of a selection only its Pages are in the answer, and all credentials."""
    config = loaded(tmp_path, CONFIG.format(mode="sync"))
    found = uses(config.settings, config.pages[:1])
    assert Key("vault", "meta/pages/paris") not in found["vault"]
    assert set(found["disk"]) == {Key("disk", "user"), Key("disk", "login")}
